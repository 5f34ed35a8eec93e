"""What of a call is kept, and where: in the database at every wait, in the node's journal what a caller reports while there is none.

No piece of database work may take longer than its deadline: the caller waits for it. What could not be kept is kept at the next wait.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as Db

from cti import ledger, switchboard
from cti.db import Database, Overloaded
from cti.events import CallEvent
from cti.journal import Journal, JournalFull, ReportNoted
from cti.line import HungUp, Line
from cti.numbers import Areas
from cti.records import tickets
from cti.switchboard import Arrival
from ivr import caller, engine, steps, store
from ivr.voice import Voice

log = structlog.get_logger(__name__)

KEEP_S = 0.5  # deadlines of the call path, each for one piece of database work
KEEP_AGAIN_S = 0.1  # once a deadline was missed in this call: the caller shall not pay at every wait
AWAY_S = 0.1  # for a database that is known not to answer: just in case
SHOWN_MAX = 120  # characters of an error in the ledger
MESSAGE_NAME_MAX = 80

T = TypeVar("T")
Clock = Callable[[], dt.datetime]


class Wishes(Protocol):
    """What of the settings matters here."""

    @property
    def language(self) -> str: ...

    @property
    def default_region(self) -> str: ...

    @property
    def time_zone(self) -> str: ...

    @property
    def areas(self) -> Areas: ...

    @property
    def public_name(self) -> str: ...

    @property
    def link_unseen_days(self) -> int: ...


class Visited(Protocol):
    """A wait, or its effect, that names where in the call it stands."""

    @property
    def node(self) -> str: ...

    @property
    def visit(self) -> int: ...


@dataclass(frozen=True)
class Means:
    """What a call is served with. `away`: the database is known not to answer. `areas_down`: the fact of that name, for strangers."""

    db: Database
    voice: Voice
    settings: Wishes
    clock: Clock
    journal: Journal | None
    away: Callable[[], bool]
    areas_down: Callable[[], str]


@dataclass(frozen=True)
class Report:
    """A matter that no ticket could be opened for now. `visit` names the flow's wait that asked for it."""

    matter: str
    visit: str
    subscription: str | None = None
    text: str = ""
    message: str = ""  # name of the recorded message
    message_s: float = 0.0


def message_name(visit: str) -> str:
    """A recording's name: [a-z0-9-], and another one for each visit however long a node's name is."""
    name = re.sub(r"[^a-z0-9]+", "-", visit.lower())
    mark = hashlib.blake2b(visit.encode(), digest_size=4).hexdigest()
    return name if len(name) <= MESSAGE_NAME_MAX else f"{name[: MESSAGE_NAME_MAX - len(mark) - 1]}-{mark}"


def nothing(db: Db, now: dt.datetime) -> Any:
    """Keep, and that is all."""


class Keeper:
    """One call's memory: events that are not in the ledger yet, effects that are not done yet, and how much was kept before."""

    def __init__(self, line: Line, arrival: Arrival, means: Means, version: int, resumed: store.Kept | None) -> None:
        self.conversation = arrival.conversation
        self.arrival = arrival  # who calls, as far as it is known now
        self.log = log.bind(call=line.caller.channel)
        self.todo: list[steps.Effect] = []  # of this step: what the caller has not heard, or we have not done
        self.keep_s = KEEP_S
        self.broken = False  # something of ours raised: nothing more may come between the caller and a person
        self._line, self._means, self._version = line, means, version
        self._written = arrival.written  # the conversation stands in the database
        self._events: list[CallEvent] = []
        self._kept = resumed.first if resumed else 0  # events of this call that are in the ledger
        self._generation = resumed.generation if resumed else 0
        self._turn = 0  # of our keepings
        self._keeping: asyncio.Task[None] | None = None  # of keys, while they come

    def happened(self, event: CallEvent) -> None:
        """In the ledger with the next keeping."""
        self._events.append(event)

    def visit(self, wanted: Visited) -> str:
        """The key of an effect: this visit of this node in this call."""
        return f"{self.conversation}:{wanted.node}:{wanted.visit}"

    async def keep(
        self,
        session: engine.Session,
        wait_s: float,
        then: Callable[[Db, dt.datetime], T] = nothing,
        *,
        secret: bool = False,
        visit: str = "",
    ) -> T:
        """One piece of work: the session as it stands, the events so far, and what `then` does with them.

        `secret`: keys that were pressed are not written down. `visit`: `then` opens the ticket of this visit. Raises TimeoutError,
        Superseded and what the database raises.
        """
        async with asyncio.timeout(min(wait_s, AWAY_S) if self._means.away() else wait_s):
            if not self._written:
                await self._write_down()
            keyed = "" if secret else self._line.keyed
            self._turn += 1
            kept = store.Kept(
                self.conversation, self._version, session, tuple(self._events), self._kept, tuple(self.todo), keyed,
                self._generation, self._turn,
            )  # fmt: skip
            done = await self._means.db.work(_keep_and, kept, then, self._means.clock(), visit=visit)
        self._kept += len(kept.events)
        del self._events[: len(kept.events)]
        return done

    def keyed(self, keys: str) -> None:
        """Half a number is worth keeping: whoever takes the call over goes on with it. One writing at a time; the next one has all."""
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep_keyed(), name=f"keys={self._line.caller.channel}")

    async def noted(self, report: Report) -> bool:
        """Into the journal, for the time when the database is back. False: nobody may say that it is kept."""
        if self._means.journal is None:
            return False
        now, who = self._means.clock(), self._line.caller
        entry = ReportNoted(
            id=ledger.uuid7(now), at=now, conversation=self.conversation, channel=who.channel, raw=who.raw, did=who.did,
            subscription=report.subscription, party=caller.party(self.arrival), matter=report.matter, text=report.text,
            visit=report.visit, message=report.message, message_s=report.message_s,
        )  # fmt: skip
        try:
            await self._means.journal.keep_soon(entry)
        except JournalFull as full:
            self.log.error("journal.full", error=str(full))
            return False
        self.log.warning("report.noted", matter=report.matter, message=report.message)
        return True

    def patience(self, what: str) -> Patience:
        """A block in which a late or broken database is passed over."""
        return Patience(self, what)

    async def _write_down(self) -> None:
        """The call came while the database was away; it is back, and the conversation has its row from now on."""
        settings, now = self._means.settings, self._means.clock()
        found = await self._means.db.work(
            switchboard.arrived, self._line.caller, region=settings.default_region, areas=settings.areas,
            unseen_days=settings.link_unseen_days, now=now, conversation=self.conversation,
        )  # fmt: skip
        self._written = True
        if found.conversation != self.conversation:  # somebody else wrote it down meanwhile
            self.conversation = found.conversation
            self._events = [replace(event, conversation=found.conversation) for event in self._events]

    async def _keep_keyed(self) -> None:
        kept, turn = "", self._turn
        while self._line.keyed != kept and self._turn == turn:
            kept = self._line.keyed
            with self.patience("keys"):
                async with asyncio.timeout(KEEP_S):
                    await self._means.db.work(store.keep_keyed, self.conversation, self._generation, turn, kept)


class Patience:
    """The database is late or broken: said once in the log, and from now on the call waits less for it.

    Once a call is broken, whatever else breaks is passed over in the same way; only a caller who hung up, or who is with another
    driver, never is.
    """

    def __init__(self, keeper: Keeper, what: str) -> None:
        self._keeper, self._what = keeper, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        expected = (Exception,) if self._keeper.broken else (TimeoutError, Overloaded, SQLAlchemyError)
        if not isinstance(error, expected) or isinstance(error, HungUp | store.Superseded):
            return False
        self._keeper.keep_s = KEEP_AGAIN_S
        self._keeper.log.warning("flow.missed", what=self._what, error=repr(error)[:SHOWN_MAX])
        return True


def _keep_and(db: Db, kept: store.Kept, then: Callable[[Db, dt.datetime], T], now: dt.datetime, *, visit: str) -> T:
    """The turn of a visit's ticket is taken before the ledger's, on every node alike."""
    if visit:
        tickets.take_turn(db, visit)
    store.keep(db, kept, now)
    return then(db, now)
