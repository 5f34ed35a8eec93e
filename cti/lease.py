"""Who of the nodes lives, who leads, and whose calls have to be taken over.

`Watch` decides, and is pure: rows and our own monotonic seconds in, names out. `Lease` beats our row and acts. A beat that does not move
for LAPSE_S, while we ourselves could read all the time, is a dead or hanging node; clocks of different machines are never compared.
With the database away nobody can be seized, so nobody is.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from cti.db import AWAY, Database
from cti.records import nodes
from cti.records.nodes import DRAINING, LIVE, SEIZED, Seen

log = structlog.get_logger(__name__)

BEAT_S = 0.2
DEAD_S = 0.4  # silent for two beats, and PostgreSQL says that its process is gone
LAPSE_S = (
    1.0  # five beats, from a process that is there and hangs; who only stumbled loses his calls: they cost an apology
)
BLIND_S = 0.6  # between two of our own readings; more, and we begin to count anew: we cannot know who was silent
BEAT_DEADLINE_S = 2.0


@dataclass(frozen=True)
class View:
    """What one reading of the nodes means for us."""

    lapsed: tuple[Seen, ...] = ()  # to be seized
    draining: tuple[Seen, ...] = ()  # ask to be relieved
    leads: bool = False  # we speak for the switch
    peers: int = 0  # other nodes at our switch that live
    inherited: tuple[tuple[str, str], ...] = ()  # (who was seized, by whom): his calls may still be under the old name
    seized: bool = False  # somebody took our calls: we were thought dead
    replaced: bool = False  # another process runs under our name


class Watch:
    """Judges nodes by their beats. `switch`: only nodes at our own Asterisk can be relieved by us."""

    def __init__(self, name: str, switch: str) -> None:
        self._name, self._switch = name, switch
        self._moved: dict[str, tuple[str, int, float]] = {}  # name -> run, beat, when we saw it move
        self._held: set[str] = set()  # runs whose lock we saw held
        self._read_at = float("-inf")

    def see(self, rows: Sequence[Seen], run: str, now_s: float) -> View:
        """`run` is our own life's name, `now_s` our monotonic clock."""
        if now_s - self._read_at > BLIND_S:
            self._moved.clear()
        self._read_at = now_s
        here = [row for row in rows if row.switch == self._switch]
        others = [row for row in here if row.name != self._name]
        lapsed = {row.name for row in others if self._is_lapsed(row, now_s) and row.state in (LIVE, DRAINING)}
        mine = next((row for row in rows if row.name == self._name), None)
        living = [row for row in here if row.state == LIVE and row.name not in lapsed]
        leader = min(living, key=lambda row: (row.started_at, row.name), default=None)
        return View(
            lapsed=tuple(row for row in others if row.name in lapsed),
            draining=tuple(row for row in others if row.state == DRAINING and row.name not in lapsed),
            leads=leader is not None and leader.name == self._name,
            peers=sum(row.name != self._name for row in living),
            inherited=tuple((row.name, row.seized_by) for row in here if row.state == SEIZED),
            seized=mine is None or (mine.run == run and mine.state == SEIZED),
            replaced=mine is not None and mine.run != run and mine.state == LIVE,
        )

    def _is_lapsed(self, row: Seen, now_s: float) -> bool:
        """A lock that was held and is not any more means death, once the beat has stopped too: a connection alone may break."""
        if row.held:
            self._held.add(row.run)
        is_gone = row.run in self._held and not row.held
        return self._silent_s(row, now_s) >= (DEAD_S if is_gone else LAPSE_S)

    def _silent_s(self, row: Seen, now_s: float) -> float:
        run, beat, since_s = self._moved.get(row.name, ("", 0, now_s))
        if (run, beat) != (row.run, row.beat):
            self._moved[row.name] = row.run, row.beat, now_s
            return 0.0
        return now_s - since_s


class Lease:
    """Our row, kept beating. `run()` never ends but by cancellation, or when another process took our name."""

    def __init__(
        self,
        db: Database,
        name: str,
        switch: str,
        *,
        clock: Callable[[], dt.datetime],
        on_seized: Callable[[str], Awaitable[None]],
        on_lead: Callable[[bool], None],
    ) -> None:
        """`on_seized` is called with the name of a node whose calls are ours to take now; `on_lead` when leading begins or ends."""
        self._db, self._name, self._switch, self._clock = db, name, switch, clock
        self._on_seized, self._on_lead = on_seized, on_lead
        self._watch = Watch(name, switch)
        self._run = ""
        self._seizing: set[asyncio.Task[None]] = set()
        self.leads = False
        self.peers = 0
        self.replaced = False
        self._draining = False
        self._silent = False  # the database does not take our beats; said once

    async def run(self) -> None:
        holding = asyncio.create_task(self._hold(), name="lease-lock")
        try:
            await self._keep_beating()
        finally:
            holding.cancel()

    async def _hold(self) -> None:
        """Let the others know at once when our process dies. Without it they know a little later."""
        while True:
            if self._run:
                with contextlib.suppress(*AWAY):
                    await self._db.hold(nodes.lock_of(self._name, self._run))
            await asyncio.sleep(BEAT_S)

    async def _keep_beating(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.replaced:
            began = loop.time()
            try:
                async with asyncio.timeout(BEAT_DEADLINE_S):
                    await self._beat()
                if self._silent:
                    log.info("lease.beating")
                self._silent = False
            except AWAY as problem:
                if not self._silent:
                    log.warning("lease.not_beating", problem=f"{type(problem).__name__}: {problem}"[:160])
                self._silent = True
            await asyncio.sleep(max(0.0, began + BEAT_S - loop.time()))

    async def drain(self) -> None:
        """Ask the others to take our calls; we claim none any more."""
        self._draining = True
        await self._db.work(nodes.drain, name=self._name, run=self._run)

    async def end(self) -> None:
        """An orderly end of this node."""
        await self._db.work(nodes.end, name=self._name, run=self._run)

    async def _beat(self) -> None:
        if not self._run:
            run = str(uuid.uuid4())
            await self._db.work(nodes.register, name=self._name, switch=self._switch, run=run, now=self._clock())
            self._run = run
        rows = await self._db.work(nodes.beat, name=self._name, run=self._run, now=self._clock())
        self._act(self._watch.see(rows, self._run, asyncio.get_running_loop().time()))

    def _act(self, view: View) -> None:
        self.replaced, self.peers = view.replaced, view.peers
        if view.seized and not self._draining:
            log.warning(
                "lease.lost", node=self._name, hint="we were silent for too long; our calls are with another node"
            )
            self._run = ""
        if view.leads != self.leads:
            self.leads = view.leads
            log.info("lease.leads", node=self._name, leads=view.leads)
            self._on_lead(view.leads)
        if not self._draining:
            for node in view.lapsed:
                self._soon(self._seize(node, view))
            for node in view.draining:
                self._soon(self._relieve(node))

    async def _seize(self, node: Seen, view: View) -> None:
        """Its calls, and those that it was about to take from others when it died."""
        if await self._db.work(nodes.seize, node, by=self._name):
            log.warning("lease.seized", node=node.name, by=self._name)
            for name in (node.name, *(each for each, by in view.inherited if by == node.name and each != self._name)):
                await self._on_seized(name)

    async def _relieve(self, node: Seen) -> None:
        if await self._db.work(nodes.take_from, node, by=self._name):
            log.info("lease.relieved", node=node.name, by=self._name)
            await self._on_seized(node.name)

    def _soon(self, work: Awaitable[None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except AWAY as problem:
                log.warning("lease.not_seized", problem=f"{type(problem).__name__}: {problem}"[:160])

        task = asyncio.create_task(guarded())
        self._seizing.add(task)
        task.add_done_callback(self._seizing.discard)
