"""Carries a plan of faults out on a place, and notes what was broken when, and which callers the node had at that moment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import httpx2

from benchmarks.chaos.evidence import (
    ASTERISK,
    BUS_KILL,
    BUS_PAUSE,
    DATABASE,
    DISK,
    KILL,
    NODE_FAULTS,
    PAUSE,
    SOCKETS,
    STALL,
    Fault,
)
from benchmarks.chaos.place import Place, say
from benchmarks.chaos.schedule import HEAL_S, Planned
from cti.asterisk import pbx
from cti.cluster import Node

ASK_MAX_S = 2.0
DOWN_S = 0.4  # a node that was killed is started again after so long: a supervisor's pause
AWAKE_MAX_S = 30.0


@dataclass
class Breaker:
    """Breaks parts of a place. `done`: what was broken, in order."""

    place: Place
    done: list[Fault] = field(default_factory=list)
    _enough: bool = False

    def possible(self) -> tuple[list[str], list[str]]:
        """The kinds of faults that this place allows; and of the others, why not."""
        kinds = [KILL, PAUSE, SOCKETS, STALL, DATABASE, BUS_KILL, BUS_PAUSE, ASTERISK]
        if self.place.disk is None:
            return kinds, [f"{DISK}: no small disk may be mounted here"]
        return [*kinds, DISK], []

    async def carry_out(self, plan: Sequence[Planned]) -> None:
        """Each fault at its time; when one took longer than planned, those after it come later, so that there is time to heal.
        After `enough` nothing more is broken."""
        began_s = healed_s = time.monotonic()
        for planned in plan:
            await asyncio.sleep(max(0.0, began_s + planned.at_s - time.monotonic(), healed_s - time.monotonic()))
            if self._enough:
                return
            await self._break(planned)
            healed_s = time.monotonic() + HEAL_S

    def enough(self) -> None:
        self._enough = True

    async def _break(self, planned: Planned) -> None:
        node = next((each for each in self.place.cluster.nodes if each.settings.node == planned.target), None)
        held = await self._held(planned.target) if planned.kind in NODE_FAULTS else frozenset()
        began_at = time.time()
        say(f"{planned.kind} {planned.target} ({len(held)} callers)" if held or node else planned.kind)
        if node is not None:
            await NODE[planned.kind](node, planned.lasts_s)
        else:
            await ELSE[planned.kind](self.place, planned.lasts_s)
        self.done.append(
            Fault(kind=planned.kind, target=planned.target, began_at=began_at, ended_at=time.time(), held=held)
        )

    async def _held(self, node: str) -> frozenset[str]:
        """The channels that this node drives just now, as Asterisk knows."""
        plan = self.place.switch.plan
        known = pbx.keep_secrets(plan)
        address = f"http://{plan.control_host}:{plan.http_port}/ari/applications/santral-{node}"
        async with httpx2.AsyncClient(auth=(known.user, known.ari), timeout=ASK_MAX_S) as client:
            with contextlib.suppress(httpx2.HTTPError):
                answer = await client.get(address)
                return frozenset(answer.json().get("channel_ids", ())) if answer.status_code == 200 else frozenset()
        return frozenset()


# --- each fault, from its beginning to its end ---


async def _kill(node: Node, lasts_s: float) -> None:
    node.kill()
    await asyncio.sleep(DOWN_S)
    await node.start()


async def _pause(node: Node, lasts_s: float) -> None:
    node.pause()
    try:
        await asyncio.sleep(lasts_s)
    finally:
        node.resume()


async def _sockets(place: Place, lasts_s: float) -> None:
    """Everything that is connected to Asterisk, and every page, is cut off once."""
    await asyncio.gather(*(pipe.cut() for pipe in place.pipes.each))


async def _stall(place: Place, lasts_s: float) -> None:
    """The network to Asterisk and to the pages swallows everything, and nobody is told."""
    for pipe in place.pipes.each:
        pipe.stall()
    try:
        await asyncio.sleep(lasts_s)
    finally:
        for pipe in place.pipes.each:
            pipe.flow()


async def _database(place: Place, lasts_s: float) -> None:
    await place.cluster.postgres.stop()
    await asyncio.sleep(lasts_s)
    await place.cluster.postgres.start()


async def _bus_kill(place: Place, lasts_s: float) -> None:
    place.cluster.valkey.kill()
    await asyncio.sleep(lasts_s)
    await place.cluster.valkey.start()


async def _bus_pause(place: Place, lasts_s: float) -> None:
    place.cluster.valkey.pause()
    try:
        await asyncio.sleep(lasts_s)
    finally:
        place.cluster.valkey.resume()


async def _asterisk(place: Place, lasts_s: float) -> None:
    """kill -9; it is started again by itself. Over when it answers."""
    old = place.switch.pid
    place.switch.kill()
    async with asyncio.timeout(AWAKE_MAX_S):
        while place.switch.pid == old or not place.switch.alive:  # noqa: ASYNC110  the switch has no event for it
            await asyncio.sleep(0.05)


async def _disk(place: Place, lasts_s: float) -> None:
    with _full(place):
        await asyncio.sleep(lasts_s)


@contextlib.contextmanager
def _full(place: Place) -> Iterator[None]:
    """Nothing fits on the recordings' disk inside the block."""
    assert place.disk is not None
    ballast = place.disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(os.urandom(1 << 16))
        yield
    finally:
        ballast.unlink(missing_ok=True)


NODE: Mapping[str, Callable[[Node, float], Awaitable[None]]] = {KILL: _kill, PAUSE: _pause}
ELSE: Mapping[str, Callable[[Place, float], Awaitable[None]]] = {
    SOCKETS: _sockets, STALL: _stall, DATABASE: _database, BUS_KILL: _bus_kill, BUS_PAUSE: _bus_pause, ASTERISK: _asterisk,
    DISK: _disk,
}  # fmt: skip


@contextlib.asynccontextmanager
async def breaking(breaker: Breaker, plan: Sequence[Planned]) -> AsyncIterator[None]:
    """The plan is carried out beside the block; what is broken at its end is whole again before this returns, the rest is left."""
    work = asyncio.create_task(breaker.carry_out(plan), name="faults")
    try:
        yield
        breaker.enough()
        await work
    finally:
        work.cancel()
        await asyncio.wait([work])
