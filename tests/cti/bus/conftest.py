"""Nodes of a cluster in one process: each with its own way to the one ledger and to the one engine."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from sqlalchemy import text

from cti import ledger
from cti.bus import Bus, open_bus
from cti.db import Database
from cti.events import FlowFailed, Recorded
from tests import valkey

WAIT_S = 8.0

T = TypeVar("T")


class Ear:
    """A subscriber that can be waited for."""

    def __init__(self) -> None:
        self.heard: list[Recorded] = []
        self._more = asyncio.Event()

    def hear(self, recorded: Recorded) -> None:
        self.heard.append(recorded)
        self._more.set()

    @property
    def numbers(self) -> list[int]:
        return [recorded.seq for recorded in self.heard]

    @property
    def committers(self) -> list[str]:
        """The names of the nodes that committed what was heard."""
        return [recorded.event.plain()["node"] for recorded in self.heard]

    async def until(self, count: int) -> list[int]:
        """The numbers heard, when there are at least `count`."""
        async with asyncio.timeout(WAIT_S):
            while len(self.heard) < count:
                self._more.clear()
                await self._more.wait()
        return self.numbers


@dataclass
class Node:
    """A database, a bus that runs, and somebody who listens. `begun` is set when the ledger has said where it stands."""

    name: str
    db: Database
    bus: Bus
    now: dt.datetime
    begun: asyncio.Event
    reads: set[asyncio.Task[object]]
    ear: Ear = field(default_factory=Ear)

    async def commit(self, count: int = 1) -> None:
        """So many pieces of work with an event each, one after the other."""
        for _ in range(count):
            event = FlowFailed(conversation="c", node=self.name, error="")
            await self.db.work(ledger.append, event, now=self.now)

    async def undo(self) -> None:
        """A piece of work that takes a number and fails."""

        def fail(session):
            session.execute(text("SELECT nextval(pg_get_serial_sequence('events', 'seq'))"))
            raise ZeroDivisionError

        with contextlib.suppress(ZeroDivisionError):
            await self.db.work(fail)

    async def close(self) -> None:
        await asyncio.gather(*self.reads, return_exceptions=True)
        await self.db.close()

    async def connected(self) -> None:
        async with asyncio.timeout(WAIT_S):
            await self.bus.connected.wait()


@pytest.fixture
def engine() -> Iterator[valkey.Server]:
    """A real engine, which the test may kill."""
    with valkey.running() as server:
        yield server


NewNode = Callable[[str, str], Awaitable[Node]]


@pytest_asyncio.fixture
async def new_node(pg: Database, now: dt.datetime) -> AsyncIterator[NewNode]:
    """A function (name, address of the bus) -> a node that runs; each ends with the test."""
    async with contextlib.AsyncExitStack() as ends:

        async def make(name: str, url: str) -> Node:
            node = _node(name, url, Database(pg.url.render_as_string(hide_password=False)), now)
            ends.push_async_callback(node.close)
            await ends.enter_async_context(_running(node.bus))
            async with asyncio.timeout(WAIT_S):
                await node.begun.wait()
            return node

        yield make


def _node(name: str, url: str, db: Database, now: dt.datetime) -> Node:
    begun = asyncio.Event()
    reads: set[asyncio.Task[object]] = set()

    async def to_its_end(read: Coroutine[Any, Any, T]) -> T:
        """A read that the ending bus left still holds its tables, and the next test wants them empty: `reads` are waited for."""
        task = asyncio.create_task(read)
        reads.add(task)
        task.add_done_callback(reads.discard)
        return await asyncio.shield(task)

    async def newest() -> int:
        seq = await to_its_end(db.read(ledger.last_seq))
        begun.set()
        return seq

    async def since(seq: int, most: int) -> list[Recorded]:
        return await to_its_end(db.read(ledger.since, seq, most))

    bus = open_bus(url, node=name, since=since, newest=newest)
    db.on_commit = bus.publish
    node = Node(name, db, bus, now, begun, reads)
    bus.subscribe(node.ear.hear)
    return node


@contextlib.asynccontextmanager
async def _running(bus: Bus) -> AsyncIterator[None]:
    running = asyncio.create_task(bus.run())
    try:
        yield
        assert not running.done(), "expected a bus to run until it is cancelled"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest_asyncio.fixture
async def pair(engine: valkey.Server, new_node: NewNode) -> tuple[Node, Node]:
    """Two nodes that hear each other."""
    one, two = await new_node("one", engine.url), await new_node("two", engine.url)
    await one.connected()
    await two.connected()
    return one, two
