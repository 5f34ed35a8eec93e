"""Message -> contact point, timeline. A message never makes a customer: it is attached to a party only when there is no doubt. And an
SMS that answers one of ours about a link settles that link."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cti import identity, ledger
from cti.events import InteractionReceived
from cti.identity import LinkFact
from cti.records import contact_points, link_notices, timeline
from cti.records.contact_points import ContactPoint
from cti.records.parties import Party, current
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


def receive(
    session: Session,
    message: Message,
    now: dt.datetime,
    *,
    region: str = "TR",
    unseen_days: int = identity.UNSEEN_DAYS,
    name: str = "Santral",
) -> Received:
    """Put a message into the timeline, once for each (channel, external id). `name` is how messages call us.

    UnknownChannel names the channels that there are; UnknownParty; ValueError when the contact point cannot be one of its kind.
    """
    timeline.known_channel(session, message.channel)
    there = timeline.by_external_id(session, message.channel, message.external_id) if message.external_id else None
    if there is not None:
        return Received(there, new=False)
    point = _contact_point(session, message, region, now)
    party, link = _whose(session, message, point, now, unseen_days)
    row = _row(message, point, party, link, now)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:  # another node took the same message in between
        there = timeline.by_external_id(session, message.channel, message.external_id)
        if there is None:
            raise
        return Received(there, new=False)
    ledger.append(session, _event(row), now=now)
    if point is not None and message.direction == "in" and message.channel == link_notices.CHANNEL:
        link_notices.reply(session, contact_point=point.id, text=message.text, now=now, name=name)
    return Received(row.id, new=True)


def only_link(links: Sequence[LinkFact], now: dt.datetime, unseen_days: int = identity.UNSEEN_DAYS) -> LinkFact | None:
    """The link to the party that alone is linked, as its own, to a contact point. A household, a line or a shared number leaves it open
    who wrote, and so does a neighbour's."""
    counted = [link for link in links if identity.matches(link, now, unseen_days)]
    doubt = any(link.role == "neighbour" or link.exclusivity == "shared" for link in counted)
    alone = len({link.party for link in counted}) == 1 and counted[0].party is not None
    return counted[0] if alone and not doubt else None


def _contact_point(session: Session, message: Message, region: str, now: dt.datetime) -> ContactPoint | None:
    contact = message.contact_point
    if contact is None:
        return None
    return contact_points.ensure(session, contact.kind, contact.value, raw=contact.value, region=region, now=now)


def _whose(
    session: Session, message: Message, point: ContactPoint | None, now: dt.datetime, unseen_days: int
) -> tuple[str | None, str | None]:
    """The party, and the link by which we know it; no link when somebody said whose it is."""
    if message.party is not None:
        if session.get(Party, message.party) is None:
            raise UnknownParty(f"expected the id of a party, got {message.party[:64]!r}")
        return current(session, message.party), None
    if point is None:
        return None, None
    link = only_link(contact_points.links_of(session, point.value, point.kind, now=now), now, unseen_days)
    return (link.party, link.link) if link else (None, None)


def _row(
    message: Message, point: ContactPoint | None, party: str | None, link: str | None, now: dt.datetime
) -> Interaction:
    id_ = ledger.uuid7(now)
    return Interaction(
        id=id_, channel_id=message.channel, direction=message.direction, contact_point_id=point.id if point else None,
        party_id=party, party_by=link, external_id=message.external_id or id_,
        subject=_stored(message.subject, SUBJECT_MAX), text=_stored(message.text, TEXT_MAX), author=message.author,
        at=message.at,
    )  # fmt: skip


def _stored(text: str, length_max: int) -> str:
    """As it was written, but for NUL, which PostgreSQL does not store."""
    return text.replace("\x00", "")[:length_max]


def _event(row: Interaction) -> InteractionReceived:
    return InteractionReceived(
        interaction=row.id, channel=row.channel_id, direction=row.direction, contact_point=row.contact_point_id or "",
        party=row.party_id, external_id=row.external_id,
    )  # fmt: skip
