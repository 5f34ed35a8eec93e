"""Trouble tickets (TMF621): one open ticket per subscription and matter, however often and on whatever channel it is asked for."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ForeignKey, Index, String, Table, Text, bindparam, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti import ledger
from cti.db import Base
from cti.events import TicketAppended, TicketOpened
from cti.records import effects
from cti.records.conversations import Conversation

FIRST_COUNT = 10_000  # so that a number has at least six digits to be read out: five counted ones and the check digit
RECENT_MAX = 200

# H. Michael Damm's quasigroup of order 10 (2004): catches every single wrong digit and every swap of neighbours.
DAMM = (
    "0317598642", "7092154863", "4206871359", "1750983426", "6123045978",
    "3674209581", "5869720134", "8945362017", "9438617205", "2581436790",
)  # fmt: skip


class Ticket(Base):
    __tablename__ = "tickets"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    number: Mapped[str] = mapped_column(String(16), unique=True)  # digits, the last one a check digit (Damm)
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    party_id: Mapped[str | None] = mapped_column(ForeignKey("parties.id"), index=True)
    matter: Mapped[str] = mapped_column(String(32))  # fault | billing | ...
    state: Mapped[str] = mapped_column(String(16), default="open")  # open | closed
    channel: Mapped[str] = mapped_column(String(32))
    text: Mapped[str] = mapped_column(Text, default="")
    conversation: Mapped[str | None] = mapped_column(String(36), index=True)  # the one that opened it
    contacts: Mapped[int] = mapped_column(default=1)  # how often it was asked for, the first time included
    opened_at: Mapped[dt.datetime]
    closed_at: Mapped[dt.datetime | None]


Index(
    "uq_tickets_open_matter",
    Ticket.subscription_id,
    Ticket.matter,
    unique=True,
    sqlite_where=text("state = 'open' AND subscription_id IS NOT NULL"),
    postgresql_where=text("state = 'open' AND subscription_id IS NOT NULL"),
)


# Asked for every call, so they are made once: making one costs more than running it.
OPEN_FOR = (
    select(Ticket)
    .where(Ticket.subscription_id.in_(bindparam("ids", expanding=True)), Ticket.state == "open")
    .order_by(Ticket.opened_at.desc(), Ticket.id.desc())
)
OPEN = select(Ticket).where(Ticket.matter == bindparam("matter"), Ticket.state == "open")
OF_SUBSCRIPTION = OPEN.where(Ticket.subscription_id == bindparam("wanted"))
OF_CONVERSATION = OPEN.where(Ticket.subscription_id.is_(None), Ticket.conversation == bindparam("wanted"))
OF_PARTY = OPEN.where(
    Ticket.subscription_id.is_(None), Ticket.conversation.is_(None), Ticket.party_id == bindparam("wanted")
)
CONVERSATIONS = cast(Table, Conversation.__table__)
REMEMBER = update(CONVERSATIONS).where(CONVERSATIONS.c.id == bindparam("wanted"))
NEXT_NUMBER = text(
    "INSERT INTO ticket_counter (id, last) VALUES (1, :first)"
    " ON CONFLICT (id) DO UPDATE SET last = ticket_counter.last + 1 RETURNING last"
)


class TicketCounter(Base):
    """The one row from which the next ticket number is taken, inside the transaction that opens the ticket."""

    __tablename__ = "ticket_counter"

    id: Mapped[int] = mapped_column(primary_key=True)
    last: Mapped[int]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The ticket that stands for the matter now. `new`: this very piece of work opened it."""

    ticket: str
    number: str
    new: bool


@dataclass(frozen=True, kw_only=True)
class TicketRow:
    id: str
    number: str
    subscription: str | None
    party: str | None
    matter: str
    state: str  # open | closed
    channel: str
    text: str
    conversation: str | None
    contacts: int
    opened_at: dt.datetime
    closed_at: dt.datetime | None


def open_once(
    session: Session,
    *,
    subscription: str | None,
    party: str | None,
    matter: str,
    channel: str,
    conversation: str | None,
    text: str = "",
    now: dt.datetime,
) -> Opened:
    """The one open ticket of this subscription and matter, opened if there is none; without a subscription, of this conversation and
    matter; without both, of this party and matter.

    Asked again from the same conversation it is the same answer and nothing is written; from another one the contact is appended.
    """
    ticket = _same_matter(session, subscription, party, matter, conversation)
    new = ticket is None
    if ticket is None:
        number = _next_number(session)  # waits for whoever opens a ticket now; afterwards we see what he opened
        ticket = _same_matter(session, subscription, party, matter, conversation)
        new = ticket is None
    if ticket is None:
        ticket = Ticket(
            id=ledger.uuid7(now), number=number, subscription_id=subscription, party_id=party, matter=matter, state="open",
            channel=channel, text=text, conversation=conversation, contacts=1, opened_at=now,
        )  # fmt: skip
        _open(session, ticket, now)
    else:
        _append(session, ticket, channel=channel, conversation=conversation, text=text, now=now)
    _remember(session, conversation, ticket.id)
    return Opened(ticket=ticket.id, number=ticket.number, new=new)


def open_for_visit(
    session: Session,
    *,
    visit: str,
    subscription: str | None,
    party: str | None,
    matter: str,
    channel: str,
    conversation: str | None,
    text: str = "",
    now: dt.datetime,
) -> Opened:
    """`open_once` for one visit to a node of a flow, which `visit` names among all calls ("conversation:node:count"): however often
    and from wherever it is asked, the answer is the first one, `new` included, also when the ticket was closed meanwhile."""

    def make(session: Session) -> dict[str, Any]:
        opened = open_once(
            session, subscription=subscription, party=party, matter=matter, channel=channel, conversation=conversation,
            text=text, now=now,
        )  # fmt: skip
        return dataclasses.asdict(opened)

    return Opened(**effects.once(session, _key(visit), make, now=now))


def take_turn(session: Session, visit: str) -> None:
    """Before `open_for_visit`, for a piece of work that appends to the ledger earlier than it."""
    effects.take_turn(session, _key(visit))


def _key(visit: str) -> str:
    return f"ticket:{visit}"


def open_for(session: Session, subscriptions: Sequence[str]) -> list[TicketRow]:
    """Open tickets of these subscriptions, newest first."""
    if not subscriptions:
        return []
    return [_row(ticket) for ticket in session.scalars(OPEN_FOR, {"ids": list(subscriptions)})]


def recent(
    session: Session, *, party: str | None = None, subscription: str | None = None, state: str = "", limit: int = 50
) -> list[TicketRow]:
    """Newest first, at most `limit`; of this party, subscription and state where they are given."""
    query = select(Ticket).order_by(Ticket.opened_at.desc(), Ticket.id.desc()).limit(min(limit, RECENT_MAX))
    if party is not None:
        query = query.where(Ticket.party_id == party)
    if subscription is not None:
        query = query.where(Ticket.subscription_id == subscription)
    if state:
        query = query.where(Ticket.state == state)
    return [_row(ticket) for ticket in session.scalars(query)]


def by_number(session: Session, number: str) -> TicketRow | None:
    ticket = session.scalar(select(Ticket).where(Ticket.number == number))
    return None if ticket is None else _row(ticket)


def by_ids(session: Session, ids: Sequence[str]) -> list[TicketRow]:
    """These tickets, newest first."""
    query = select(Ticket).where(Ticket.id.in_(ids)).order_by(Ticket.opened_at.desc(), Ticket.id.desc())
    return [_row(ticket) for ticket in session.scalars(query)]


def check_digit_ok(number: str) -> bool:
    """False: this was never a ticket number of ours; a digit is wrong, or two neighbours changed places."""
    return len(number) > 1 and number.isascii() and number.isdigit() and check_digit(number) == 0


def check_digit(digits: str) -> int:
    """The Damm check digit of `digits`; 0 for digits that end with their own."""
    interim = 0
    for digit in digits:
        interim = int(DAMM[interim][int(digit)])
    return interim


def _same_matter(
    session: Session, subscription: str | None, party: str | None, matter: str, conversation: str | None
) -> Ticket | None:
    if subscription is not None:
        return session.scalar(OF_SUBSCRIPTION, {"wanted": subscription, "matter": matter})
    if conversation is not None:
        return session.scalar(OF_CONVERSATION, {"wanted": conversation, "matter": matter})
    if party is not None:
        return session.scalar(OF_PARTY, {"wanted": party, "matter": matter})
    raise ValueError("expected a subscription, a conversation or a party to open a ticket for, got none of them")


def _next_number(session: Session) -> str:
    """The counter's row stays locked until the commit, so openings happen one after another on PostgreSQL too; a number taken by
    somebody who then finds the ticket open is skipped."""
    count = session.connection().scalar(NEXT_NUMBER, {"first": FIRST_COUNT})
    return f"{count}{check_digit(str(count))}"


def _open(session: Session, ticket: Ticket, now: dt.datetime) -> None:
    session.add(ticket)
    session.flush()
    opened = TicketOpened(
        ticket=ticket.id, number=ticket.number, subscription=ticket.subscription_id, party=ticket.party_id,
        matter=ticket.matter, channel=ticket.channel, conversation=ticket.conversation, text=ticket.text,
    )  # fmt: skip
    ledger.append(session, opened, now=now)


def _append(
    session: Session, ticket: Ticket, *, channel: str, conversation: str | None, text: str, now: dt.datetime
) -> None:
    """One more contact about the matter; the event's key makes it one per conversation."""
    if conversation is not None and conversation == ticket.conversation:
        return
    event = TicketAppended(
        ticket=ticket.id, number=ticket.number, channel=channel, conversation=conversation, text=text
    )
    key = f"{event.type}:{ticket.id}:{conversation}" if conversation is not None else None
    if ledger.append(session, event, now=now, key=key):
        ticket.contacts = Ticket.contacts + 1
        session.flush()


def _remember(session: Session, conversation: str | None, ticket: str) -> None:
    if conversation is not None:
        session.connection().execute(REMEMBER, {"wanted": conversation, "ticket_id": ticket})


def _row(ticket: Ticket) -> TicketRow:
    return TicketRow(
        id=ticket.id, number=ticket.number, subscription=ticket.subscription_id, party=ticket.party_id, matter=ticket.matter,
        state=ticket.state, channel=ticket.channel, text=ticket.text, conversation=ticket.conversation,
        contacts=ticket.contacts, opened_at=ticket.opened_at, closed_at=ticket.closed_at,
    )  # fmt: skip
