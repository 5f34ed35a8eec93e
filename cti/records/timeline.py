"""Interactions (TMF683): every contact on every channel, in one order. Channels are rows, not code."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import (
    BindParameter,
    ForeignKey,
    Index,
    Integer,
    Select,
    String,
    Table,
    Text,
    UniqueConstraint,
    Update,
    bindparam,
    case,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti import ledger
from cti.db import Base
from cti.records.contact_points import ContactPoint
from cti.records.conversations import Conversation
from cti.records.parties import Party, Subscription
from cti.records.tickets import Ticket

ENTRIES_MAX = 500
PHONE = "phone"


class ChannelTaken(ValueError):
    """A channel of this id stands there already."""


class UnknownChannel(ValueError):
    """Contacts come by channels that are rows; this is none of them."""


class Channel(Base):
    """A way of contact. `contact_kind` says which contact points it uses, `icon` names a drawing of the page's set."""

    __tablename__ = "channels"

    id: Mapped[str] = mapped_column(
        String(32), primary_key=True
    )  # phone | sms | email | chat | whatsapp | social | branch | ...
    name_tr: Mapped[str] = mapped_column(String(64))
    name_en: Mapped[str] = mapped_column(String(64))
    contact_kind: Mapped[str] = mapped_column(String(16))
    icon: Mapped[str] = mapped_column(String(32), default="dot")


class Interaction(Base):
    """One contact on one channel. `party_id` is the confirmed party or empty; candidates follow from the contact point's links."""

    __tablename__ = "interactions"
    __table_args__ = (
        UniqueConstraint("channel_id", "external_id"),
        Index("ix_interactions_party_at", "party_id", "at"),
        Index("ix_interactions_contact_point_at", "contact_point_id", "at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    channel_id: Mapped[str] = mapped_column(ForeignKey("channels.id"))
    direction: Mapped[str] = mapped_column(String(4))  # in | out
    contact_point_id: Mapped[str | None] = mapped_column(ForeignKey("contact_points.id"))  # None: withheld
    party_id: Mapped[str | None] = mapped_column(ForeignKey("parties.id"))
    party_by: Mapped[str | None] = mapped_column(
        String(36)
    )  # the link by which it was found out afterwards; None: said at once
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))
    ticket_id: Mapped[str | None] = mapped_column(ForeignKey("tickets.id"))
    conversation: Mapped[str | None] = mapped_column(String(36), unique=True)  # of a phone call
    external_id: Mapped[str] = mapped_column(String(200))
    subject: Mapped[str] = mapped_column(String(200), default="")
    text: Mapped[str] = mapped_column(Text, default="")
    author: Mapped[str] = mapped_column(String(64), default="")  # agent, for what we sent
    at: Mapped[dt.datetime]


IS_CHANNEL = select(Channel.id).where(Channel.id == bindparam("id"))
CALLS = cast(Table, Interaction.__table__)
SAID: BindParameter[str | None] = bindparam("party", type_=String)
# A call whose caller nobody named keeps the party that its number's link gave it; who is named counts for more than any link.
RECORD_CALL = (
    update(CALLS)
    .where(CALLS.c.conversation == bindparam("wanted"))
    .values(
        party_id=case((SAID.is_not(None), SAID), (CALLS.c.party_by.is_not(None), CALLS.c.party_id)),
        party_by=case((SAID.is_(None), CALLS.c.party_by)),
    )
    .returning(CALLS.c.id)
)


# With the contact's value, the ticket's number and the party's name; each of them may be None.
Found = Select[Interaction, str, str, str]

# What every pop asks is made once: making it costs more than running it.
PARTIES: BindParameter[Any] = bindparam("parties", expanding=True)
MOST: BindParameter[int] = bindparam("most", type_=Integer)
CALL = select(Interaction.id, Interaction.contact_point_id).where(Interaction.conversation == bindparam("conversation"))
INTERACTIONS: Found = (
    select(Interaction, ContactPoint.value, Ticket.number, Party.name)
    .outerjoin(ContactPoint, ContactPoint.id == Interaction.contact_point_id)
    .outerjoin(Ticket, Ticket.id == Interaction.ticket_id)
    .outerjoin(Party, Party.id == Interaction.party_id)
    .order_by(Interaction.at.desc(), Interaction.id.desc())
)
CONCERNING = INTERACTIONS.where(
    Interaction.party_id.in_(PARTIES)
    | (Interaction.party_id.is_(None) & Interaction.contact_point_id.in_(bindparam("points", expanding=True)))
    | (Interaction.id == bindparam("call"))
).limit(MOST)
TICKETS = (
    select(Ticket, Party.name)
    .outerjoin(Party, Party.id == Ticket.party_id)
    .where(
        Ticket.party_id.in_(PARTIES)
        | Ticket.subscription_id.in_(select(Subscription.id).where(Subscription.holder_id.in_(PARTIES)))
        | (Ticket.conversation == bindparam("conversation"))
    )
    .order_by(Ticket.opened_at.desc(), Ticket.id.desc())
    .limit(MOST)
)
NOTHING_MORE: Mapping[str, Any] = {}


@dataclass(frozen=True)
class ChannelRow:
    id: str
    name_tr: str
    name_en: str
    contact_kind: str  # phone | email | social | chat | postal
    icon: str = "dot"


SHIPPED = (
    ChannelRow("phone", "Telefon", "Phone", "phone", "phone"),
    ChannelRow("sms", "SMS", "SMS", "phone", "message"),
    ChannelRow("email", "E-posta", "E-mail", "email", "mail"),
    ChannelRow("chat", "Web sohbeti", "Web chat", "chat", "chat"),
    ChannelRow("whatsapp", "WhatsApp", "WhatsApp", "phone", "whatsapp"),
    ChannelRow("social", "Sosyal medya", "Social media", "social", "social"),
    ChannelRow("branch", "Şube", "Branch", "phone", "building"),
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the timeline, plain enough for JSON. What people wrote is hostile text: show it as text only."""

    id: str
    kind: str  # interaction | call | ticket
    channel: str
    direction: str  # in | out
    at: str  # ISO 8601, UTC
    subject: str  # of a call the intent, of a ticket its matter
    text: str  # of a call the agent's note
    contact: str  # the contact point's value, unmasked; empty when withheld
    author: str  # the agent
    ticket: str  # its number
    party: str | None  # confirmed
    party_name: str


def entries(
    session: Session,
    *,
    parties: Sequence[str],
    contact_points: Sequence[str] = (),
    conversation: str | None = None,
    limit: int = 50,
) -> list[Entry]:
    """Newest first: what is known to concern these parties, and what came from these contact points (ids) without a confirmed party.
    `conversation` adds that call itself and what its number is known for without a party."""
    known = session.execute(CALL, {"conversation": conversation}).first() if conversation else None
    points = [*contact_points, *([known.contact_point_id] if known and known.contact_point_id else [])]
    limit = min(limit, ENTRIES_MAX)
    whose = {"parties": list(parties), "most": limit}
    found = _entries(session, CONCERNING, whose | {"points": points, "call": known.id if known else None})
    found += _tickets(session, whose | {"conversation": conversation})
    return sorted(found, key=lambda entry: (entry.at, entry.id), reverse=True)[:limit]


def interactions(
    session: Session, *, party: str | None = None, channel: str | None = None, limit: int = 50
) -> list[Entry]:
    """Newest first, tickets not included; of this party and channel where they are given."""
    query = INTERACTIONS.limit(min(limit, ENTRIES_MAX))
    if party is not None:
        query = query.where(Interaction.party_id == party)
    if channel is not None:
        query = query.where(Interaction.channel_id == channel)
    return _entries(session, query)


def begin_call(session: Session, conversation: Conversation, contact_point: str | None, now: dt.datetime) -> str:
    """The interaction of a call that has just come; `contact_point` is its number's id, None when there is none. Returns its id. No
    event of its own: the call's events tell of it."""
    if session.connection().scalar(IS_CHANNEL, {"id": PHONE}) is None:
        seed_channels(session)  # the call goes on, whatever somebody forgot
    row = Interaction(
        id=ledger.uuid7(now), channel_id=PHONE, direction="in", conversation=conversation.id,
        external_id=conversation.id, contact_point_id=contact_point, at=conversation.arrived_at, party_id=conversation.party_id,
        **_stands(conversation),
    )  # fmt: skip
    session.add(row)
    return row.id


def record_call(session: Session, conversation: Conversation, now: dt.datetime) -> str:
    """Bring the interaction of a call up to date; it is made when there is none yet. Returns its id."""
    session.flush()  # the statement goes past the ORM
    stands = {"wanted": conversation.id, "party": conversation.party_id, **_stands(conversation)}
    known = session.connection().scalar(RECORD_CALL, stands)
    return known or begin_call(session, conversation, _phone(session, conversation.number), now)


def _stands(conversation: Conversation) -> dict[str, str | None]:
    """What of a call changes while it lasts."""
    return {
        "subscription_id": conversation.subscription_id,
        "ticket_id": conversation.ticket_id,
        "subject": conversation.intent or "",
        "text": conversation.note or "",
        "author": conversation.agent or "",
    }


# --- whose a contact was, found out afterwards ---


def attribute(session: Session, contact_point: str, party: str, link: str, *, since: dt.datetime | None) -> int:
    """What came from `contact_point` (later than `since`) and is nobody's is `party`'s, by this link. Returns how many there were."""
    nobodys = update(Interaction).where(Interaction.contact_point_id == contact_point, Interaction.party_id.is_(None))
    if since is not None:
        nobodys = nobodys.where(Interaction.at > since)
    return _count(session, nobodys.values(party_id=party, party_by=link))


def reopen(session: Session, contact_point: str, link: str) -> int:
    """What is somebody's by this link is nobody's again. Returns how many there were."""
    return _count(session, _by(contact_point, link).values(party_id=None, party_by=None))


def forget_lines(session: Session, contact_point: str, link: str) -> int:
    """The calls of `contact_point` that are about a line only because this link led there are about none. Returns how many."""
    calls = (
        select(Interaction, Conversation.candidates)
        .join(Conversation, Conversation.id == Interaction.conversation)
        .where(Interaction.contact_point_id == contact_point, Interaction.subscription_id.is_not(None))
        .where(Conversation.party_id.is_(None), Conversation.proof.is_(None))
    )
    led = [row for row, found in session.execute(calls) if any(each["link"] == link for each in found)]
    for row in led:
        row.subscription_id = None
    session.flush()
    return len(led)


def inherit(session: Session, contact_point: str, link: str, heir: str) -> None:
    """What was somebody's by the one link is it by the other, which took its place."""
    session.execute(_by(contact_point, link).values(party_by=heir))


def _by(contact_point: str, link: str) -> Update:
    return update(Interaction).where(Interaction.contact_point_id == contact_point, Interaction.party_by == link)


def _count(session: Session, changed: Update) -> int:
    return len(session.execute(changed.returning(Interaction.id)).all())


def by_external_id(session: Session, channel: str, external_id: str) -> str | None:
    """The interaction that this message of this channel became, if it came before."""
    query = select(Interaction.id).where(Interaction.channel_id == channel, Interaction.external_id == external_id)
    return session.scalar(query)


def seed_channels(session: Session) -> None:
    """The channels that are shipped, those of them that are not there yet."""
    there = {row.id for row in channels(session)}
    session.add_all(Channel(**dataclasses.asdict(each)) for each in SHIPPED if each.id not in there)
    session.flush()


def add_channel(session: Session, channel: ChannelRow) -> None:
    """A channel nobody thought of. ChannelTaken when its id stands for another one."""
    if session.get(Channel, channel.id) is not None:
        raise ChannelTaken(f"expected the id of a new channel, {channel.id!r} is there already")
    session.add(Channel(**dataclasses.asdict(channel)))
    session.flush()


def channels(session: Session) -> list[ChannelRow]:
    rows = session.scalars(select(Channel).order_by(Channel.id))
    return [ChannelRow(row.id, row.name_tr, row.name_en, row.contact_kind, row.icon) for row in rows]


def known_channel(session: Session, channel: str) -> Channel:
    """UnknownChannel, naming those that there are."""
    row = session.get(Channel, channel)
    if row is None:
        there = ", ".join(each.id for each in channels(session))
        raise UnknownChannel(f"expected one of the channels {there}, got {channel[:32]!r}")
    return row


def _phone(session: Session, number: str | None) -> str | None:
    query = select(ContactPoint.id).where(ContactPoint.kind == "phone", ContactPoint.value == number)
    return session.scalar(query) if number else None


def _entries(session: Session, query: Found, wanted: Mapping[str, Any] = NOTHING_MORE) -> list[Entry]:
    return [
        Entry(
            id=row.id, kind="call" if row.conversation else "interaction", channel=row.channel_id, direction=row.direction,
            at=row.at.isoformat(), subject=row.subject, text=row.text, contact=value or "", author=row.author,
            ticket=number or "", party=row.party_id, party_name=name or "",
        )
        for row, value, number, name in session.execute(query, wanted)
    ]  # fmt: skip


def _tickets(session: Session, whose: Mapping[str, Any]) -> list[Entry]:
    """Tickets of these parties, of the subscriptions that they hold, and of this conversation."""
    return [
        Entry(
            id=row.id, kind="ticket", channel=row.channel, direction="in", at=row.opened_at.isoformat(), subject=row.matter,
            text=row.text, contact="", author="", ticket=row.number, party=row.party_id, party_name=name or "",
        )
        for row, name in session.execute(TICKETS, whose)
    ]  # fmt: skip
