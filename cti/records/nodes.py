"""Nodes of one house, and their leases: a row that its node keeps beating, and that exactly one survivor can seize.

No clock is compared with another machine's: a node is judged by whether its `beat` moves (cti.lease). The compare-and-set here is
what makes it exactly one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import BigInteger, CursorResult, String, Table, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti.db import Base

LIVE, DRAINING, SEIZED, ENDED = "live", "draining", "seized", "ended"


class Node(Base):
    """`run` names one life of a node's process; `switch` the Asterisk at which it is."""

    __tablename__ = "nodes"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    switch: Mapped[str] = mapped_column(String(120))
    run: Mapped[str] = mapped_column(String(36))
    beat: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))  # live | draining | seized | ended
    seized_by: Mapped[str] = mapped_column(String(32))
    started_at: Mapped[dt.datetime]
    beat_at: Mapped[dt.datetime]


@dataclass(frozen=True)
class Seen:
    """A node's row, as read at one moment."""

    name: str
    switch: str
    run: str
    beat: int
    state: str
    seized_by: str
    started_at: dt.datetime
    held: bool = False  # its process holds its lock: it may hang, but it is not dead


def lock_of(name: str, run: str) -> int:
    """The advisory lock of one life of a node: PostgreSQL frees it the moment that its process dies."""
    digest = hashlib.blake2b(f"{name}:{run}".encode(), digest_size=7).digest()
    return int.from_bytes(digest)


HELD = text(
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
)
NODES = cast(Table, Node.__table__)


def register(session: Session, *, name: str, switch: str, run: str, now: dt.datetime) -> None:
    """A new life of this node begins, whatever became of the one before."""
    row = session.get(Node, name) or Node(name=name, beat=0)
    row.switch, row.run, row.state, row.seized_by = switch, run, LIVE, ""
    row.beat, row.started_at, row.beat_at = row.beat + 1, now, now
    session.add(row)


def beat(session: Session, *, name: str, run: str, now: dt.datetime) -> list[Seen]:
    """Prove that we live, and read what all nodes say. Our own row in it is as it was found: seized, or of another run, when
    somebody took our place."""
    mine = NODES.c.name == name, NODES.c.run == run, NODES.c.state.in_((LIVE, DRAINING))
    session.connection().execute(update(NODES).where(*mine).values(beat=NODES.c.beat + 1, beat_at=now))
    rows = session.connection().execute(select(NODES)).all()
    held = set(session.connection().scalars(HELD)) if session.connection().dialect.name == "postgresql" else set()
    return [
        Seen(
            row.name, row.switch, row.run, row.beat, row.state, row.seized_by, row.started_at, lock_of(row.name, row.run) in held
        )
        for row in rows
    ]  # fmt: skip


def seize(session: Session, node: Seen, *, by: str) -> bool:
    """Take a node's calls upon us; False when it beat again meanwhile, or somebody else was first."""
    as_seen = NODES.c.name == node.name, NODES.c.run == node.run, NODES.c.beat == node.beat, NODES.c.state == node.state
    return _changed(session, update(NODES).where(*as_seen).values(state=SEIZED, seized_by=by))


def take_from(session: Session, node: Seen, *, by: str) -> bool:
    """Take the calls of a node that drains and asks for it; its beat goes on, so that is not compared."""
    as_seen = NODES.c.name == node.name, NODES.c.run == node.run, NODES.c.state == DRAINING
    return _changed(session, update(NODES).where(*as_seen).values(state=SEIZED, seized_by=by))


def drain(session: Session, *, name: str, run: str) -> None:
    """From now on another node may take our calls."""
    mine = NODES.c.name == name, NODES.c.run == run, NODES.c.state == LIVE
    session.connection().execute(update(NODES).where(*mine).values(state=DRAINING))


def end(session: Session, *, name: str, run: str) -> None:
    """An orderly end: there is nothing left to take over."""
    session.connection().execute(update(NODES).where(NODES.c.name == name, NODES.c.run == run).values(state=ENDED))


def _changed(session: Session, change: Any) -> bool:
    done = cast("CursorResult[Any]", session.connection().execute(change))
    return done.rowcount == 1
