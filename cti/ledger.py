"""The append-only ledger: rows and events commit together; subscribers hear after the commit, in order.

`append` is called inside a piece of work (cti.db) and written at its end. `seq` is a single counter in commit order: SQLite has one
writer; on PostgreSQL a transaction takes an advisory lock before it writes its events and holds it to its commit, so no later number is
visible before an earlier one. What was appended is published on the bus (cti.bus) after the commit, as the same `Recorded` values that
`since` reads later.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, cast

from sqlalchemy import JSON, BigInteger, Connection, Index, Integer, Row, String, Table, bindparam, insert, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti.db import LAST_WORDS, NEWS, Base, Beaten
from cti.events import REGISTRY, Event, Recorded, read

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


class _Written:
    """What a piece of work appended: put into the ledger by its last words, so that the turn at the ledger is taken after every other
    lock and held no longer than the commit lasts. Whoever has the turn waits for nobody."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, dt.datetime, str | None]] = []

    def __call__(self, session: Session) -> None:
        connection = session.connection()
        _take_turn(connection)
        for event, now, key in self.events:
            if key is not None and _is_known(connection, key):
                raise Beaten(f"{event.type} was written by another node meanwhile")
            _write(session, connection, event, now, key)


def append(session: Session, event: Event, *, now: dt.datetime, key: str | None = None) -> bool:
    """Write `event` with the current piece of work. False: an event with this `key` stands there already and nothing is written."""
    written = _written(session)
    if key is not None and (
        any(key == known for _, _, known in written.events) or _is_known(session.connection(), key)
    ):
        return False
    written.events.append((event, now, key))
    return True


def append_all(session: Session, events: Sequence[Event], *, now: dt.datetime) -> None:
    """Write `events` in their order."""
    _written(session).events.extend((event, now, None) for event in events)


def _written(session: Session) -> _Written:
    words: list[Any] = session.info[LAST_WORDS]
    found = next((each for each in words if isinstance(each, _Written)), None)
    if found is None:
        found = _Written()
        words.append(found)
    return found


# The busiest statements of the house: made once, and past the ORM, which would flush for each event.
ROWS = cast(Table, EventRow.__table__)
OF_KEY = select(ROWS.c.seq).where(ROWS.c.key == bindparam("wanted"))
OF_CONVERSATION = select(ROWS).where(ROWS.c.conversation == bindparam("wanted")).order_by(ROWS.c.seq)
SINCE = select(ROWS).where(ROWS.c.seq > bindparam("seen")).order_by(ROWS.c.seq).limit(bindparam("most"))
INSERT = insert(ROWS)


def _take_turn(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": APPEND_LOCK})


def _is_known(connection: Connection, key: str) -> bool:
    return connection.scalar(OF_KEY, {"wanted": key}) is not None


def _write(session: Session, connection: Connection, event: Event, now: dt.datetime, key: str | None) -> None:
    row: dict[str, Any] = {
        "id": uuid7(now), "at": now, "type": event.type, "conversation": getattr(event, "conversation", None),
        "key": key, "body": event.plain(),
    }  # fmt: skip
    made = connection.execute(INSERT, row).inserted_primary_key
    assert made is not None
    session.info.setdefault(NEWS, []).append(Recorded(seq=made.seq, id=row["id"], at=now, event=event))


def of_conversation(session: Session, conversation: str) -> list[Recorded]:
    """Everything that happened in one conversation, oldest first."""
    return [_recorded(row) for row in session.connection().execute(OF_CONVERSATION, {"wanted": conversation})]


def newest(session: Session, conversation: str, *, besides: Iterable[type[Event]] = ()) -> int:
    """The number of the conversation's newest event that is of none of these kinds; 0 without one."""
    query = select(EventRow.seq).where(
        EventRow.conversation == conversation, EventRow.type.not_in([e.type for e in besides])
    )
    return session.scalar(query.order_by(EventRow.seq.desc()).limit(1)) or 0


def since(session: Session, seq: int, limit: int = 1000) -> list[Recorded]:
    """Events after `seq`, oldest first, at most `limit`. Kinds that only a newer version of the code knows are stepped over: in a
    rolling upgrade a node must not stop at them; an empty list means that there is nothing more."""
    while True:
        rows = session.connection().execute(SINCE, {"seen": seq, "most": limit}).all()
        known = [_recorded(row) for row in rows if row.type in REGISTRY]
        if known or len(rows) < limit:
            return known
        seq = rows[-1].seq


def last_seq(session: Session) -> int:
    return session.scalar(select(EventRow.seq).order_by(EventRow.seq.desc()).limit(1)) or 0


def _recorded(row: Row[Any]) -> Recorded:
    return Recorded(seq=row.seq, id=row.id, at=row.at, event=read(row.type, row.body))
