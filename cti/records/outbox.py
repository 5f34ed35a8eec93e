"""Messages that we send: written in the same piece of work as their cause, sent afterwards, each once.

Once, as far as the other side plays along: a message goes out under its id as often as it takes to hear an answer, and a gateway that
knows the id again sends nothing. Who sends them is `cti.sender`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import ForeignKey, Index, String, Table, Text, bindparam, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti.db import Base
from cti.events import MessageSettled
from cti.ledger import append, uuid7
from cti.records.contact_points import ContactPoint

TEXT_MAX = 1000  # characters: some seven parts of an SMS with Turkish letters
KEY_MAX = 160
TRIES_MAX = 8
PAUSE_S = (2, 5, 15, 60, 300, 900, 3600)  # after the first, second … try that brought no answer; in all 81 minutes
LEASE_S = 60  # a message belongs to the sender that took it for so long; longer than a gateway may take to answer
CODE_WORTH_S = 600  # a one-time code is asked for on the telephone: later than this nobody waits for it
WORTH_S = 7 * 86400  # any other message; so long may a gateway be missing
SECRETS = ("code", "link")  # purposes whose text carries a code; a settled message no longer needs it


class OutMessage(Base):
    """`key` says what it is about, so that asking twice sends once. `state`: waiting until the channel took it (sent) or never will
    (failed)."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_state_next", "state", "next_at"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    key: Mapped[str] = mapped_column(String(160), unique=True)
    channel_id: Mapped[str] = mapped_column(ForeignKey("channels.id"))
    contact_point_id: Mapped[str] = mapped_column(ForeignKey("contact_points.id"))
    purpose: Mapped[str] = mapped_column(String(32))  # link | code | ticket
    text: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))  # waiting | sent | failed
    tries: Mapped[int]
    made_at: Mapped[dt.datetime]
    next_at: Mapped[dt.datetime]
    sent_at: Mapped[dt.datetime | None]
    external_id: Mapped[str] = mapped_column(String(200))  # the gateway's
    error: Mapped[str] = mapped_column(String(200))


@dataclass(frozen=True)
class Held:
    """A message that one sender has for LEASE_S. `attempt` counts from 1 and is the proof that it is still his."""

    id: str
    to: str  # the contact point's canonical value
    text: str
    attempt: int


OUTBOX = cast(Table, OutMessage.__table__)
DUE = (
    select(OUTBOX.c.id)
    .where(
        OUTBOX.c.state == "waiting", OUTBOX.c.channel_id == bindparam("channel"), OUTBOX.c.next_at <= bindparam("at")
    )
    .order_by(OUTBOX.c.next_at, OUTBOX.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)  # PostgreSQL: two nodes take different ones; SQLite has one writer
)


def put(
    session: Session, *, key: str, channel: str, contact_point: str, purpose: str, text: str, now: dt.datetime
) -> str:
    """A message to be sent by `channel` (id of a row in channels) to `contact_point` (id). The message's id; with the same `key`
    again, that of the first, and nothing new. ValueError when key or text have no fitting length."""
    if not 0 < len(key) <= KEY_MAX:
        raise ValueError(f"expected a key of 1 to {KEY_MAX} characters, got {len(key)}")
    if not 0 < len(text) <= TEXT_MAX:
        raise ValueError(f"expected a text of 1 to {TEXT_MAX} characters, got {len(text)}")
    known = _of_key(session, key)
    if known is not None:
        return known
    new = OutMessage(
        id=uuid7(now), key=key, channel_id=channel, contact_point_id=contact_point, purpose=purpose, text=text,
        state="waiting", tries=0, made_at=now, next_at=now, external_id="", error="",
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(new)
    except IntegrityError:
        known = _of_key(session, key)
        if known is None:  # not the key: there is no such channel or contact point
            raise
        return known  # another node put it there in between
    return new.id


def _of_key(session: Session, key: str) -> str | None:
    return session.scalar(select(OutMessage.id).where(OutMessage.key == key))


# --- a sender's way through a message -----------------------------------------------------------------------------------


def claim(session: Session, *, channel: str, now: dt.datetime, limit: int = 8) -> list[Held]:
    """Take what is due, the longest waiting first. Nobody else gets these for LEASE_S; a sender that dies with them has tried once."""
    due = session.scalars(DUE, {"channel": channel, "at": now, "most": limit}).all()
    if not due:
        return []
    rows = session.execute(
        update(OUTBOX)
        .where(OUTBOX.c.id.in_(due), OUTBOX.c.state == "waiting", OUTBOX.c.next_at <= now)
        .values(next_at=now + dt.timedelta(seconds=LEASE_S), tries=OUTBOX.c.tries + 1)
        .returning(OUTBOX.c.id, OUTBOX.c.contact_point_id, OUTBOX.c.text, OUTBOX.c.tries)
    ).all()
    to = _values(session, [row.contact_point_id for row in rows])
    return sorted(
        (Held(row.id, to[row.contact_point_id], row.text, row.tries) for row in rows), key=lambda each: each.id
    )


def sent(session: Session, held: Held, *, external_id: str, now: dt.datetime) -> bool:
    """The gateway took it. False: that was known already."""
    row = session.get(OutMessage, held.id)
    if row is None or row.state != "waiting":
        return False
    row.sent_at, row.external_id = now, external_id[:200]
    _settle(session, row, "sent", "", now)
    return True


def failed(session: Session, held: Held, *, error: str, final: bool, now: dt.datetime) -> bool:
    """The gateway refused it for ever (`final`), or nobody knows: then it is tried again, at most TRIES_MAX times. False: the message
    is no longer this sender's, or settled."""
    row = session.get(OutMessage, held.id)
    if row is None or row.state != "waiting" or row.tries != held.attempt:
        return False
    if final or row.tries >= TRIES_MAX:
        _settle(session, row, "failed", error, now)
    else:
        row.next_at, row.error = now + dt.timedelta(seconds=PAUSE_S[row.tries - 1]), error[:200]
    return True


def drop_worthless(session: Session, now: dt.datetime, limit: int = 100) -> int:
    """Give up what nobody waits for any more, and what died with its last sender. What a sender has at this moment is left to him.
    Returns how many."""
    old_code = (OutMessage.purpose == "code") & (OutMessage.made_at <= now - dt.timedelta(seconds=CODE_WORTH_S))
    old = OutMessage.made_at <= now - dt.timedelta(seconds=WORTH_S)
    spent = OutMessage.tries >= TRIES_MAX
    query = (
        select(OutMessage)
        .where(OutMessage.state == "waiting", OutMessage.next_at <= now, old_code | old | spent)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.scalars(query).all()
    for row in rows:
        _settle(session, row, "failed", "too late" if row.tries < TRIES_MAX else row.error or "no sender lived", now)
    return len(rows)


def look(session: Session, now: dt.datetime) -> tuple[int, bool]:
    """How many messages wait, and whether any of them is due."""
    due = select(OutMessage.id).where(OutMessage.state == "waiting", OutMessage.next_at <= now).limit(1)
    return count_waiting(session), session.scalar(due) is not None


def count_waiting(session: Session) -> int:
    """Messages that no gateway has taken yet."""
    return session.scalar(select(func.count()).where(OutMessage.state == "waiting")) or 0


def _settle(session: Session, row: OutMessage, state: str, error: str, now: dt.datetime) -> None:
    row.state, row.error = state, error[:200]
    if row.purpose in SECRETS:
        row.text = ""
    append(session, MessageSettled(
        message=row.id, channel=row.channel_id, contact_point=row.contact_point_id, purpose=row.purpose, state=state,
    ), now=now)  # fmt: skip


def _values(session: Session, contact_points: Sequence[str]) -> dict[str, str]:
    query = select(ContactPoint.id, ContactPoint.value).where(ContactPoint.id.in_(contact_points))
    return {row.id: row.value for row in session.execute(query)}
