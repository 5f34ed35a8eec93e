"""Whom somebody has to call back, and why: his call was cut, or what he wanted could only be taken down.

One for each conversation and reason. The message that a caller left is a file of the switch under a name that we gave it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ForeignKey, Index, Row, String, Text, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti import ledger
from cti.db import Base
from cti.events import CallbackSettled, CallbackWanted
from cti.records import effects
from cti.records.parties import Party
from cti.records.tickets import Ticket

REASONS = (
    "interrupted",  # the switch died under the call
    "message",  # the caller left a message while we could not open a ticket
    "noted",  # what he keyed was kept in a node's journal; he heard no ticket number
)
OPEN = "open"
SETTLED = ("done", "dropped")
MESSAGE = re.compile(r"[a-z0-9-]{1,80}")
ROWS_MAX = 200


class Callback(Base):
    __tablename__ = "callbacks"
    __table_args__ = (
        UniqueConstraint("conversation", "reason"),
        Index("ix_callbacks_state_wanted", "state", "wanted_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    conversation: Mapped[str] = mapped_column(String(36))
    reason: Mapped[str] = mapped_column(String(32))  # one of REASONS
    number: Mapped[str | None] = mapped_column(String(20))  # E.164; None: withheld or malformed
    party_id: Mapped[str | None] = mapped_column(ForeignKey("parties.id"))
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))
    ticket_id: Mapped[str | None] = mapped_column(ForeignKey("tickets.id"))  # whose number was not read to the caller
    message: Mapped[str] = mapped_column(String(80))  # name of the sound, without folder and ending; "" without one
    text: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))  # open | done | dropped
    wanted_at: Mapped[dt.datetime]
    done_at: Mapped[dt.datetime | None]
    done_by: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True, kw_only=True)
class CallbackRow:
    id: str
    conversation: str
    reason: str  # interrupted | message | noted
    number: str | None  # E.164; None: withheld or malformed
    party: str | None
    party_name: str
    subscription: str | None
    ticket: str | None
    ticket_number: str  # for whoever calls back to read out; "" without a ticket
    message: str  # name of the message's sound; "" without one
    text: str
    state: str  # open | done | dropped
    wanted_at: dt.datetime
    done_at: dt.datetime | None
    done_by: str


# With the party's name and the ticket's number; each of them may be None.
FOUND = (
    select(Callback, Party.name, Ticket.number)
    .outerjoin(Party, Party.id == Callback.party_id)
    .outerjoin(Ticket, Ticket.id == Callback.ticket_id)
)


def want_once(
    session: Session,
    *,
    conversation: str,
    reason: str,
    number: str | None,
    party: str | None,
    subscription: str | None,
    ticket: str | None,
    message: str = "",
    text: str = "",
    now: dt.datetime,
) -> str:
    """The callback of this conversation for this reason, wanted now if it never was, also when it is settled already. Returns its id.

    Who reports twice in one call is called back once: another ticket's number, message or text is added to the callback's text.
    ValueError for a reason or a message's name that cannot be one.
    """
    if reason not in REASONS:
        raise ValueError(f"expected a reason of {', '.join(REASONS)}, got {reason!r}")
    if message and not MESSAGE.fullmatch(message):
        raise ValueError(f"expected a message's name of a-z, 0-9 and dashes, got {message!r}")
    row = Callback(
        id=ledger.uuid7(now), conversation=conversation, reason=reason, number=number, party_id=party,
        subscription_id=subscription, ticket_id=ticket, message=message, text=text, state=OPEN, wanted_at=now, done_by="",
    )  # fmt: skip

    def make(session: Session) -> dict[str, Any]:
        session.add(row)
        session.flush()
        _tell_wanted(session, row, now)
        return {"callback": row.id}

    callback = str(effects.once(session, f"callback:{conversation}:{reason}", make, now=now)["callback"])
    if callback != row.id:
        _add(session, callback, row)
    return callback


def _add(session: Session, callback: str, wish: Callback) -> None:
    """What `wish` says beyond the callback that there is, below its text; the same again adds nothing."""
    there = session.get_one(Callback, callback, with_for_update=True)
    ticket = session.get(Ticket, wish.ticket_id) if wish.ticket_id not in (None, there.ticket_id) else None
    message = wish.message if wish.message != there.message else ""
    more = [each for each in (ticket.number if ticket else "", message, wish.text) if each and each not in there.text]
    if more:
        there.text = "\n".join(filter(None, (there.text, " · ".join(more))))
        session.flush()


def _tell_wanted(session: Session, row: Callback, now: dt.datetime) -> None:
    wanted = CallbackWanted(
        callback=row.id, conversation=row.conversation, reason=row.reason, party=row.party_id,
        subscription=row.subscription_id, ticket=row.ticket_id,
    )  # fmt: skip
    ledger.append(session, wanted, now=now)


def settle(session: Session, callback: str, *, state: str, by: str, now: dt.datetime) -> CallbackRow:
    """The callback is done, or dropped. One that was settled before stays as it was; the row says how and by whom. LookupError when
    there is no such callback."""
    if state not in SETTLED:
        raise ValueError(f"expected a state of {', '.join(SETTLED)}, got {state!r}")
    row = session.get(Callback, callback, with_for_update=True)
    if row is None:
        raise LookupError(f"expected the id of a callback, got {callback!r}")
    if row.state == OPEN:
        row.state, row.done_at, row.done_by = state, now, by
        session.flush()
        settled = CallbackSettled(callback=row.id, conversation=row.conversation, state=state, by=by)
        ledger.append(session, settled, now=now)
    return by_id(session, callback)


def by_id(session: Session, callback: str) -> CallbackRow:
    """LookupError when there is no such callback."""
    found = session.execute(FOUND.where(Callback.id == callback)).first()
    if found is None:
        raise LookupError(f"expected the id of a callback, got {callback!r}")
    return _row(found)


def open_ones(session: Session, limit: int = 50) -> list[CallbackRow]:
    """Who waits for a call, the one who has waited longest first."""
    query = FOUND.where(Callback.state == OPEN).order_by(Callback.wanted_at, Callback.id)
    return _rows(session.execute(query.limit(min(limit, ROWS_MAX))).all())


def settled_ones(session: Session, state: str, limit: int = 50) -> list[CallbackRow]:
    """Those that are done, or dropped; the last one first."""
    query = FOUND.where(Callback.state == state).order_by(Callback.done_at.desc(), Callback.id.desc())
    return _rows(session.execute(query.limit(min(limit, ROWS_MAX))).all())


def sound(row: CallbackRow, folder: Path) -> Path:
    """The file of the message that the caller left, in the `folder` where the switch puts what it records for us. LookupError when
    there is no message, or its file is not there (another machine's switch recorded it)."""
    path = folder / f"{row.message}.wav"
    if not MESSAGE.fullmatch(row.message):
        raise LookupError(f"callback {row.id} has no message")
    if path.is_symlink() or not path.is_file():
        raise LookupError(f"expected the message of callback {row.id} among what this machine's switch recorded")
    return path


def _rows(found: Sequence[Row[Callback, str, str]]) -> list[CallbackRow]:
    return [_row(each) for each in found]


def _row(found: Row[Callback, str, str]) -> CallbackRow:
    row, party_name, ticket_number = found
    return CallbackRow(
        id=row.id, conversation=row.conversation, reason=row.reason, number=row.number, party=row.party_id,
        party_name=party_name or "", subscription=row.subscription_id, ticket=row.ticket_id, ticket_number=ticket_number or "",
        message=row.message, text=row.text, state=row.state, wanted_at=row.wanted_at, done_at=row.done_at, done_by=row.done_by,
    )  # fmt: skip
