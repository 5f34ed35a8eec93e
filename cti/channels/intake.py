"""Message -> contact point, timeline. A message never makes a customer: it is attached to a party only when there is no doubt."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cti import identity, ledger
from cti.events import InteractionReceived
from cti.identity import LinkFact
from cti.records import contact_points, timeline
from cti.records.contact_points import ContactPoint
from cti.records.parties import Party
from cti.records.timeline import Interaction

SUBJECT_MAX = 200  # characters kept; the rest is cut
TEXT_MAX = 20_000


class UnknownParty(LookupError):
    """A message was said to be a party's that is not there."""


@dataclass(frozen=True, kw_only=True)
class Contact:
    """How somebody was reached, as the channel wrote it: kind phone | email | social | chat | postal."""

    kind: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """One contact on one channel, in whatever direction. The texts are a stranger's."""

    channel: str
    direction: str  # in | out
    contact_point: Contact | None  # None: the channel did not say
    at: dt.datetime
    text: str = ""
    subject: str = ""
    external_id: str = ""  # the channel's own; "": it has none, and a repetition cannot be told from a second message
    party: str | None = None  # confirmed by whoever hands it in
    author: str = ""  # the agent, for what we sent


@dataclass(frozen=True)
class Received:
    """`new` is False when this message had come before; nothing was written then."""

    interaction: str
    new: bool


def receive(session: Session, message: Message, now: dt.datetime, *, region: str = "TR") -> Received:
    """Put a message into the timeline, once for each (channel, external id).

    UnknownChannel names the channels that there are; UnknownParty; ValueError when the contact point cannot be one of its kind.
    """
    timeline.known_channel(session, message.channel)
    there = timeline.by_external_id(session, message.channel, message.external_id) if message.external_id else None
    if there is not None:
        return Received(there, new=False)
    point = _contact_point(session, message, region, now)
    row = _row(message, point, _whose(session, message, point, now), now)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:  # another node took the same message in between
        there = timeline.by_external_id(session, message.channel, message.external_id)
        if there is None:
            raise
        return Received(there, new=False)
    ledger.append(session, _event(row), now=now)
    return Received(row.id, new=True)


def only_party(links: Sequence[LinkFact], now: dt.datetime) -> str | None:
    """The party that alone is linked, as its own, to a contact point. A household, a line or a shared number leaves it open who
    wrote, and so does a neighbour's."""
    counted = [link for link in links if identity.matches(link, now)]
    parties = {link.party for link in counted}
    doubt = any(link.role == "neighbour" or link.exclusivity == "shared" for link in counted)
    return parties.pop() if len(parties) == 1 and not doubt else None


def _contact_point(session: Session, message: Message, region: str, now: dt.datetime) -> ContactPoint | None:
    contact = message.contact_point
    if contact is None:
        return None
    return contact_points.ensure(session, contact.kind, contact.value, raw=contact.value, region=region, now=now)


def _whose(session: Session, message: Message, point: ContactPoint | None, now: dt.datetime) -> str | None:
    if message.party is not None:
        if session.get(Party, message.party) is None:
            raise UnknownParty(f"expected the id of a party, got {message.party[:64]!r}")
        return message.party
    if point is None:
        return None
    return only_party(contact_points.links_of(session, point.value, point.kind, now=now), now)


def _row(message: Message, point: ContactPoint | None, party: str | None, now: dt.datetime) -> Interaction:
    id_ = ledger.uuid7(now)
    return Interaction(
        id=id_, channel_id=message.channel, direction=message.direction, contact_point_id=point.id if point else None,
        party_id=party, external_id=message.external_id or id_, subject=_stored(message.subject, SUBJECT_MAX),
        text=_stored(message.text, TEXT_MAX), author=message.author, at=message.at,
    )  # fmt: skip


def _stored(text: str, length_max: int) -> str:
    """As it was written, but for NUL, which PostgreSQL does not store."""
    return text.replace("\x00", "")[:length_max]


def _event(row: Interaction) -> InteractionReceived:
    return InteractionReceived(
        interaction=row.id, channel=row.channel_id, direction=row.direction, contact_point=row.contact_point_id or "",
        party=row.party_id, external_id=row.external_id,
    )  # fmt: skip
