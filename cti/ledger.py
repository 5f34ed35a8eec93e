"""The append-only ledger: rows and events commit together; subscribers hear after the commit, in order.

`append` is called inside a piece of work (cti.db). `seq` is a single counter in commit order: SQLite has one writer; on PostgreSQL a
transaction that appends holds an advisory lock from its first append to its commit, so no later number is visible before an earlier
one. What was appended is published on the bus (cti.bus) after the commit, as the same `Recorded` values that `since` reads later.
"""

from __future__ import annotations

import datetime as dt
import secrets
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, String, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti.db import NEWS, Base
from cti.events import Event, Recorded, read

APPEND_LOCK = 0x53414E54  # "SANT": the advisory lock that orders appends on PostgreSQL


class EventRow(Base):
    """One event. `key` makes receiving the same fact twice harmless: a second append with the same key does nothing."""

    __tablename__ = "events"

    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    at: Mapped[dt.datetime]
    type: Mapped[str] = mapped_column(String(64))
    conversation: Mapped[str | None] = mapped_column(String(36))
    key: Mapped[str | None] = mapped_column(String(200), unique=True)
    body: Mapped[dict[str, Any]] = mapped_column(JSON)

    __table_args__ = (
        Index("ix_events_conversation", "conversation", "seq"),
        Index("ix_events_type", "type", "seq"),
        {"sqlite_autoincrement": True},
    )


def uuid7(now: dt.datetime) -> str:
    """A UUID of version 7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, then 74 random bits."""
    value = (
        int(now.timestamp() * 1000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    )
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def append(session: Session, event: Event, *, now: dt.datetime, key: str | None = None) -> Recorded | None:
    """Write `event` into the current piece of work. None: an event with this `key` stands there already and nothing was written."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": APPEND_LOCK})
    if key is not None and session.scalar(select(EventRow.seq).where(EventRow.key == key)) is not None:
        return None
    row = EventRow(
        id=uuid7(now),
        at=now,
        type=event.type,
        conversation=getattr(event, "conversation", None),
        key=key,
        body=event.plain(),
    )
    session.add(row)
    session.flush()
    recorded = Recorded(seq=row.seq, id=row.id, at=now, event=event)
    session.info.setdefault(NEWS, []).append(recorded)
    return recorded


def _recorded(row: EventRow) -> Recorded:
    return Recorded(seq=row.seq, id=row.id, at=row.at, event=read(row.type, row.body))


def of_conversation(session: Session, conversation: str) -> list[Recorded]:
    """Everything that happened in one conversation, oldest first."""
    rows = session.scalars(select(EventRow).where(EventRow.conversation == conversation).order_by(EventRow.seq))
    return [_recorded(row) for row in rows]


def since(session: Session, seq: int, limit: int = 1000) -> list[Recorded]:
    """Events after `seq`, oldest first, at most `limit`."""
    rows = session.scalars(select(EventRow).where(EventRow.seq > seq).order_by(EventRow.seq).limit(limit))
    return [_recorded(row) for row in rows]


def last_seq(session: Session) -> int:
    return session.scalar(select(EventRow.seq).order_by(EventRow.seq.desc()).limit(1)) or 0
