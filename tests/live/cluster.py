"""Two nodes on PostgreSQL and the bus, one Asterisk, agents with phones and pages, callers who hear tones: the fault bench's place,
with a recording proxy on the nodes' way to ARI, at which a node can be killed between two messages.

Other processes send us no event when they have written something, so the ledger is read again and again (`until`).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx2
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.chaos.place import Place, Wanted, standing
from benchmarks.stand import number
from cti import ledger
from cti.asterisk import pbx
from cti.cluster import Node
from cti.db import Database
from cti.demo.callers import LiveCall
from cti.demo.hearing import Tone
from cti.demo.tones import QUEUE_TONES
from cti.events import CallArrived, Event
from cti.records.tickets import Ticket
from ivr.store import FlowSession
from tests.live.site import tools
from tests.live.wire import AriWire, Passing

LIMIT_S = 20.0
LOOK_EVERY_S = 0.05
CUSTOMERS = 100
WANTED = Wanted(nodes=2, agents=2, customers=CUSTOMERS)
EVENTS_MAX = 100_000
DIALLED_MAX = 20  # calls, for some of them to be answered by a certain node

E = TypeVar("E", bound=Event)
T = TypeVar("T")


@dataclass
class Called:
    """A caller on the line, the channel that he is for the switch, and the node that answered."""

    live: LiveCall
    channel: str
    node: Node

    async def hears(self, *names: str, since_s: float = 0.0, within_s: float = LIMIT_S) -> Tone:
        return await self.live.until_any(names, since_s, within_s)

    async def hears_queue(self, since_s: float) -> Tone:
        return await self.hears(*QUEUE_TONES, since_s=since_s)

    def first_after(self, at_s: float) -> Tone | None:
        """The first known tone that began after `at_s`."""
        return next((each for each in self.live.tones if each.begin_s > at_s), None)

    async def press(self, key: str, *, at: str, since_s: float = 0.0) -> None:
        """Press it as soon as the prompt `at` is heard."""
        await self.hears(at, since_s=since_s)
        await self.live.press(key)


@dataclass
class Pair:
    """Two nodes and what one sees of them from outside."""

    place: Place
    wire: AriWire
    db: Database
    _called: int = 0
    _mending: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def nodes(self) -> list[Node]:
        return self.place.cluster.nodes

    def node(self, application: str) -> Node:
        return next(each for each in self.nodes if each.settings.application == application)

    def other(self, node: Node) -> Node:
        return next(each for each in self.nodes if each is not node)

    # --- callers ---

    @contextlib.asynccontextmanager
    async def call(self, raw: str = "", *, heard: str = "") -> AsyncIterator[Called]:
        """A caller who was answered, and is on the line inside the block. `raw` is his number; empty: a customer who never called
        before. `heard`: the prompt that he hears by now."""
        raw = raw or self._customer()
        since = len(self.wire.passed)
        live = await self.place.callers.dial(raw)
        try:
            entered = await self.entered(raw, since)
            called = Called(live, str(entered.message["channel"]["id"]), self.node(entered.node))
            if heard:
                await called.hears(heard)
            yield called
        finally:
            await live.hang_up()

    @contextlib.asynccontextmanager
    async def calls_on(self, node: Node, many: int) -> AsyncIterator[list[Called]]:
        """So many callers who are in the menu on this node; whom the other one answered hangs up. AssertionError when it takes too
        few."""
        found: list[Called] = []
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(DIALLED_MAX):
                async with contextlib.AsyncExitStack() as trial:
                    called = await trial.enter_async_context(self.call())
                    if called.node is node:
                        found.append(called)
                        stack.push_async_exit(trial.pop_all())
                if len(found) == many:
                    break
            assert len(found) == many, f"expected {node.name} to answer {many} of {DIALLED_MAX} calls, got {len(found)}"
            for called in found:
                await called.hears("menu")
            yield found

    def _customer(self) -> str:
        self._called += 1
        return number(self._called - 1)

    async def entered(self, raw: str, since: int, timeout_s: float = LIMIT_S) -> Passing:
        """This caller's channel came to a node, after the wire's first `since` messages."""
        return await self.wire.until(lambda each: _entered_as(each, raw), since=since, timeout_s=timeout_s)

    async def came_to(self, node: Node, channel: str, since: int) -> Passing:
        """Somebody's channel came to this node by takeover."""
        return await self.wire.until(
            lambda each: (
                each.node == node.settings.application
                and each.message.get("type") == "StasisStart"
                and each.message["channel"]["id"] == channel
            ),
            since=since,
            timeout_s=LIMIT_S,
        )

    # --- what is written ---

    async def story(self, channel: str) -> list[Event]:
        """Everything in the ledger about this channel's conversation."""
        recorded = await self.db.read(ledger.since, 0, EVENTS_MAX)
        names = {
            each.conversation
            for each in recorded
            if isinstance(each.event, CallArrived) and each.event.channel == channel
        }
        return [each.event for each in recorded if each.conversation in names]

    async def told(self, channel: str, kind: type[E], *, where: Callable[[E], bool] = lambda event: True) -> E:
        """The first event of this kind about the channel's conversation; waits for it."""

        async def look() -> E | None:
            story = await self.story(channel)
            return next((each for each in story if isinstance(each, kind) and where(each)), None)

        return await until(look, f"{kind.type} of {channel}")

    async def tickets(self, conversation: str) -> list[str]:
        """Numbers of the tickets that this conversation opened."""
        return await self.db.read(_tickets_of, conversation)

    async def keyed(self, conversation: str) -> str:
        """Keys of a half given answer, as they are kept."""
        return await self.db.read(_keyed, conversation)

    # --- nodes ---

    def mend(self, node: Node) -> None:
        """Start it again beside what the test still has to hear; `both` waits for it."""
        self._mending.add(asyncio.create_task(node.start(), name=f"mend-{node.name}"))

    async def both(self) -> None:
        """As before the first test: both nodes live and see one another, and nobody is on the line."""
        self.wire.on_message = lambda passing: True
        await pbx_idle(self.place)
        mending, self._mending = self._mending, set()
        await asyncio.gather(*mending, *(node.start() for node in self.nodes))

        async def led_by_one() -> bool:
            leads = [await self.gauge(node, "santral_leads") for node in self.nodes]
            return sum(leads) == 1

        await until(led_by_one, "one of two nodes to lead")

    async def gauge(self, node: Node, name: str) -> float:
        """A figure of this node's /metrics."""
        async with httpx2.AsyncClient(timeout=LIMIT_S) as client:
            text = (await client.get(f"{node.url}/metrics")).text
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


@dataclass
class Axe:
    """Set it as the wire's `on_message`: kills the node with -9 at the first message for which `falls` is true. `through`: that
    message still reaches whom it was sent to; otherwise it is lost with the node."""

    pair: Pair
    falls: Callable[[Passing], bool]
    through: bool
    fell_at_s: float = 0.0
    fallen: asyncio.Event = field(default_factory=asyncio.Event)
    node: Node | None = None

    def __call__(self, passing: Passing) -> bool:
        if self.node is not None or not self.falls(passing):
            return True
        self.node = self.pair.node(passing.node)
        if self.through:
            asyncio.get_running_loop().call_soon(self.strike, self.node)
        else:
            self.strike(self.node)
        return self.through

    def strike(self, node: Node) -> None:
        self.node = node
        node.kill()
        self.fell_at_s = asyncio.get_running_loop().time()
        self.fallen.set()


@contextlib.asynccontextmanager
async def pair_of_nodes(folder: Path) -> AsyncIterator[Pair]:
    wires: list[AriWire] = []

    async def tap(port: int, stack: contextlib.AsyncExitStack) -> int:
        wire = AriWire(port)
        stack.push_async_callback(wire.close)
        await wire.open()
        wires.append(wire)
        return wire.port

    async with standing(folder, tools(), WANTED, tap=tap) as place:
        db = Database(place.cluster.database_url)
        try:
            yield Pair(place, wires[0], db)
        finally:
            await db.close()


async def pbx_idle(place: Place) -> None:
    """Nobody is on the line."""
    plan = place.switch.plan

    async def is_idle() -> bool:
        await asyncio.to_thread(pbx.ask, plan, "channel request hangup all")
        return "0 active channels" in await asyncio.to_thread(pbx.ask, plan, "core show channels count")

    await until(is_idle, "a switch without calls")


async def terminated(node: Node) -> int | None:
    """SIGTERM, as a supervisor ends it; returns its exit code."""
    assert node.command.ends_by == signal.SIGTERM
    await node.stop()
    return node.ended_with


async def until(look: Callable[[], Awaitable[T | None]], wanted: str, timeout_s: float = LIMIT_S) -> T:
    """The first answer that is something. AssertionError."""
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + timeout_s
    while not (found := await look()):
        assert loop.time() < give_up_s, f"expected {wanted} within {timeout_s:g} s, it did not come"
        await asyncio.sleep(LOOK_EVERY_S)
    return found


def _entered_as(passing: Passing, raw: str) -> bool:
    said = passing.message
    return said.get("type") == "StasisStart" and said["channel"]["caller"]["number"] == raw


def _tickets_of(session: Session, conversation: str) -> list[str]:
    return list(session.scalars(select(Ticket.number).where(Ticket.conversation == conversation)))


def _keyed(session: Session, conversation: str) -> str:
    return session.scalar(select(FlowSession.keyed).where(FlowSession.conversation == conversation)) or ""
