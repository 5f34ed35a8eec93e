"""Effects that happen once: what a flow's step did for a caller is what its repetition is told, on this node or on another.

A call that was taken over asks again for the effect that its first node may or may not have finished. The key says which one it is:
the conversation, the flow's node and the visit to it. Browsers' clicks are in `cti.records.commands`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, cast

from sqlalchemy import JSON, Connection, String, Table, bindparam, delete, insert, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti.db import Base

KEY_MAX = 160
ROOM_BYTES = 16_384  # that a probe asks for: some pages more than the last ones may have left


class Effect(Base):
    """One that happened, and its result in small JSON."""

    __tablename__ = "effects"

    key: Mapped[str] = mapped_column(String(KEY_MAX), primary_key=True)
    result: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[dt.datetime]


# Asked for every ticket, so they are made once; past the ORM, which would flush first and keep what it read before the wait.
ROWS = cast(Table, Effect.__table__)
RESULT = select(ROWS.c.result).where(ROWS.c.key == bindparam("wanted"))
INSERT = insert(ROWS)
TAKE_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")


def once(session: Session, key: str, make: Callable[[Session], dict[str, Any]], *, now: dt.datetime) -> dict[str, Any]:
    """What `make` returned the first time for this `key`; it runs only then, and in the same transaction as its result is stored.

    Whoever comes second at the same moment waits for the first: then he has his result, or, if it was undone, makes it himself. Ask
    before you append to the ledger in the same piece of work: the ledger's turn is taken after this one. ValueError when `key` is
    empty or longer than KEY_MAX.
    """
    if not 0 < len(key) <= KEY_MAX:
        raise ValueError(f"expected a key of 1 to {KEY_MAX} characters, got {len(key)}: {key[:KEY_MAX]!r}")
    connection = session.connection()
    _take_turn(connection, key)
    done: dict[str, Any] | None = connection.scalar(RESULT, {"wanted": key})
    if done is not None:
        return done
    result = make(session)
    connection.execute(INSERT, {"key": key, "result": result, "at": now})
    return result


def take_turn(session: Session, key: str) -> None:
    """For who writes more in the same piece of work than the effect: ask this before the first append to the ledger."""
    _take_turn(session.connection(), key)


def probe(session: Session, name: str, now: dt.datetime) -> None:
    """Does the database take what is new? A full SQLite goes on changing rows, so this asks for room: one of two rows is put there before
    the other one goes, and what that one had is free for anybody meanwhile."""
    connection = session.connection()
    _take_turn(connection, f"probe:{name}")
    keys = [f"probe:{name}:{each}" for each in ("a", "b")]
    there = connection.scalars(select(ROWS.c.key).where(ROWS.c.key.in_(keys))).all()
    fresh = next(key for key in keys if key not in there)
    room = "x" * ROOM_BYTES if connection.dialect.name == "sqlite" else ""
    connection.execute(INSERT, {"key": fresh, "result": {"room": room}, "at": now})
    connection.execute(delete(ROWS).where(ROWS.c.key.in_(there)))


def _take_turn(connection: Connection, key: str) -> None:
    """Until the transaction ends. A lock rather than a row put there beforehand: nothing half-made can ever be read as a result.
    SQLite has one writer, so there it is our turn already."""
    if connection.dialect.name == "postgresql":
        connection.execute(TAKE_TURN, {"key": key})
