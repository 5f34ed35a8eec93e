"""Published flows, which never change, and the sessions of running calls: tables and their queries."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any, cast

from sqlalchemy import JSON, ForeignKey, String, Table, bindparam, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti import ledger
from cti.db import Base
from cti.events import CallEvent
from ivr import document, engine, steps
from ivr.document import Document
from ivr.prompts import Book

SHIPPED = ("main",)
SHIPPED_BY = "santral"
KEYED_MAX = 64


class Flow(Base):
    """A flow by name, and the version that new calls get. A call in progress stays on its own."""

    __tablename__ = "flows"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    published: Mapped[int]


class FlowVersion(Base):
    __tablename__ = "flow_versions"

    flow_id: Mapped[str] = mapped_column(ForeignKey("flows.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    published_at: Mapped[dt.datetime]
    published_by: Mapped[str] = mapped_column(String(64), default="")


class FlowSession(Base):
    """Where a call stands in its flow. `events` counts what its driver has put into the ledger: keeping twice adds nothing. `todo` are
    effects of the last step that are not done yet, `keyed` the keys that no answer has consumed, `generation` how often the call was
    taken over: a driver of an older one may write no more. `turn` counts a driver's keepings: one that was given up waiting for, and
    comes late, must not put the call back to where it was."""

    __tablename__ = "flow_sessions"

    conversation: Mapped[str] = mapped_column(String(36), primary_key=True)
    flow: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    node: Mapped[str] = mapped_column(String(64))
    session: Mapped[dict[str, Any]] = mapped_column(JSON)
    events: Mapped[int] = mapped_column(default=0)
    updated_at: Mapped[dt.datetime]
    todo: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)  # None: kept by a version that knew no such thing
    keyed: Mapped[str | None] = mapped_column(String(KEYED_MAX))
    generation: Mapped[int] = mapped_column(default=0, server_default="0")
    turn: Mapped[int] = mapped_column(default=0, server_default="0")


@dataclass(frozen=True)
class Published:
    """A version of a flow, read once and shared by all its calls."""

    document: Document
    version: int

    @cached_property
    def book(self) -> Book:
        return Book(self.document)


class Superseded(RuntimeError):
    """Another driver has this call now: whoever hears this lets go of it without touching the line."""


@dataclass(frozen=True)
class Kept:
    """What a driver keeps at a wait. `first` is the number, in this call, of the first of `events`."""

    conversation: str
    version: int
    session: engine.Session
    events: tuple[CallEvent, ...]
    first: int
    todo: tuple[steps.Effect, ...] = ()
    keyed: str = ""
    generation: int = 0
    turn: int = 0


def publish(session: Session, plain: dict[str, Any], *, by: str, now: dt.datetime) -> int:
    """Make `plain` the version that new calls get, and return its number; unchanged content keeps the number it has.

    Raises ivr.fields.DocumentError. Whether it is a *good* flow is asked before, outside of the database's writer (ivr.checks).
    """
    flow_id = document.read(plain).id
    row = session.get(Flow, flow_id)
    if row is not None and session.get_one(FlowVersion, (flow_id, row.published)).document == plain:
        return row.published
    last = session.scalars(select(FlowVersion.version).where(FlowVersion.flow_id == flow_id)).all()
    version = max(last, default=0) + 1
    if row is None:
        row = Flow(id=flow_id, published=version)
        session.add(row)
        session.flush()
    row.published = version
    session.add(FlowVersion(flow_id=flow_id, version=version, document=plain, published_at=now, published_by=by))
    return version


def published(session: Session, flow_id: str) -> Published:
    """What new calls get. Raises NoResultFound for a flow that was never published."""
    return version(session, flow_id, session.get_one(Flow, flow_id).published)


def version(session: Session, flow_id: str, number: int) -> Published:
    """One version, for a call that is on it. Raises NoResultFound."""
    row = session.get_one(FlowVersion, (flow_id, number))
    return Published(document.read(row.document), number)


def seed(session: Session, now: dt.datetime) -> dict[str, int]:
    """Publish shipped flows that are new or were changed since; flow -> its published version. An admin's own version stays live."""
    found: dict[str, int] = {}
    for flow_id in SHIPPED:
        plain = shipped(flow_id)
        flow = session.get(Flow, flow_id)
        live = session.get_one(FlowVersion, (flow_id, flow.published)) if flow else None
        ours = live is None or (live.published_by == SHIPPED_BY and live.document != plain)
        found[flow_id] = publish(session, plain, by=SHIPPED_BY, now=now) if ours or not flow else flow.published
    return found


def shipped(flow_id: str) -> dict[str, Any]:
    """The JSON of a flow that comes with Santral."""
    file = resources.files("ivr") / "flows" / f"{flow_id}.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def read_shipped(flow_id: str) -> Document:
    return document.read(shipped(flow_id))


def keep(session: Session, kept: Kept, now: dt.datetime) -> None:
    """The session as it stands, and the events that led there, in one piece. Events that were kept before are passed over.

    A keeping that comes after a later one of the same driver writes nothing. Raises Superseded, and then nothing is written either.
    """
    connection = session.connection()
    row = connection.execute(KEPT, {"wanted": kept.conversation}).one_or_none()
    if row is not None and row.generation != kept.generation:
        raise Superseded(
            f"expected generation {kept.generation} of conversation {kept.conversation}, got {row.generation}"
        )
    if row is not None and kept.turn and row.turn >= kept.turn:
        return
    known = row.events if row is not None else None
    ledger.append_all(session, kept.events[max(0, (known or 0) - kept.first) :], now=now)
    stands = {
        "node": kept.session.node, "session": kept.session.plain(), "updated_at": now,
        "events": max(known or 0, kept.first + len(kept.events)),
        "todo": steps.plain_effects(kept.todo), "keyed": kept.keyed[:KEYED_MAX],
        "turn": kept.turn,
    }  # fmt: skip
    if known is None:
        first = {
            "conversation": kept.conversation, "flow": kept.session.flow, "version": kept.version, "generation": kept.generation,
        }  # fmt: skip
        connection.execute(KEEP_FIRST, stands | first)
    else:
        again = connection.execute(KEEP_AGAIN, stands | {"wanted": kept.conversation, "ours": kept.generation})
        if again.rowcount != 1:  # taken over between the two statements
            raise Superseded(
                f"expected generation {kept.generation} of conversation {kept.conversation}, got a newer one"
            )


# Every wait of every call is kept: these go past the ORM, which would read the row before writing it.
SESSIONS = cast(Table, FlowSession.__table__)
KEPT = (
    select(SESSIONS.c.events, SESSIONS.c.generation, SESSIONS.c.turn)
    .where(SESSIONS.c.conversation == bindparam("wanted"))
    .with_for_update()
)
KEEP_FIRST = insert(SESSIONS)
KEEP_AGAIN = update(SESSIONS).where(
    SESSIONS.c.conversation == bindparam("wanted"), SESSIONS.c.generation == bindparam("ours")
)


KEEP_KEYED = KEEP_AGAIN.where(SESSIONS.c.turn == bindparam("since"))


def keep_keyed(session: Session, conversation: str, generation: int, turn: int, keyed: str) -> None:
    """The keys of an answer that is not complete yet, to the question that was kept with `turn`; too late for it, nothing is written."""
    ours = {"wanted": conversation, "ours": generation, "since": turn, "keyed": keyed[:KEYED_MAX]}
    session.connection().execute(KEEP_KEYED, ours)


def take(session: Session, conversation: str) -> Kept | None:
    """Where a call stood at its last wait, for whoever takes it over from here; its events are in the ledger. From now on the driver
    before him is superseded. None: it had not come to its first wait."""
    row = session.get(FlowSession, conversation, with_for_update=True)
    if row is None:
        return None
    row.generation, row.turn = row.generation + 1, 0
    todo = steps.effects_of(row.todo or ())
    where = engine.Session.of(row.session)
    return Kept(conversation, row.version, where, (), row.events, todo, row.keyed or "", row.generation)
