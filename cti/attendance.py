"""Agents whose page does not answer: calls pass them by, and come again with the page.

What a seat hears goes into the presence rows that all nodes share; the node that leads at the switch looks who is unreachable.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable

import structlog

from cti.db import AWAY, Database
from cti.line import LineFailed
from cti.records import presence
from cti.records.presence import UNREACHABLE
from cti.switchboard import Switchboard

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
SAID_WAITING_MAX = (
    5_000  # what seats said and is not written yet; more is dropped: an agent is then asked by his phone alone
)

Pause = Callable[[str, bool, str], Awaitable[None]]  # device, paused, reason


class Attendance:
    """`heard` is the hub's ear: quick, never raises. `run()` never ends."""

    def __init__(
        self, db: Database, switchboard: Switchboard, *, node: str, clock: Callable[[], dt.datetime], pause: Pause
    ) -> None:
        self._db, self._switchboard, self._node, self._clock, self._pause = db, switchboard, node, clock, pause
        self._said: asyncio.Queue[tuple[str, str]] = asyncio.Queue(SAID_WAITING_MAX)

    def heard(self, agent: str, what: str) -> None:
        """`what` became of the agent's pages on this node: attached | lost | left."""
        if agent and not self._said.full():
            self._said.put_nowait((agent, what))

    async def settle(self, agents: frozenset[str]) -> None:
        """The rows become what this node's pages are: after a time in which what seats said could not be written."""
        try:
            await self._db.work(presence.settle, self._node, agents, self._clock())
        except AWAY as error:
            log.warning("attendance.not_settled", error=f"{type(error).__name__}: {error}"[:160])

    async def lost_with(self, node: str) -> None:
        """A node and all pages on it are gone."""
        await self._db.work(presence.lost_with, node, self._clock())

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write())
            tasks.create_task(self._look())

    async def _write(self) -> None:
        while True:
            agent, what = await self._said.get()
            try:
                await self._note(agent, what)
            except (LineFailed, *AWAY) as error:
                log.warning(
                    "attendance.not_written", agent=agent, what=what, error=f"{type(error).__name__}: {error}"[:160]
                )

    async def _note(self, agent: str, what: str) -> None:
        if what == "attached":
            await self._db.work(presence.attached, agent, self._node, self._clock())
            await self._welcome(agent)
        elif what == "left":
            await self._db.work(presence.left, agent, self._node)
        else:
            await self._db.work(presence.lost, agent, self._node, self._clock())

    async def _welcome(self, agent: str) -> None:
        member = self._switchboard.members.get(agent)
        if member and member.paused and member.reason == UNREACHABLE:
            await self._pause(member.device, False, "")
            log.info("agent.reachable", agent=agent)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if not self._switchboard.leads:
                continue
            try:
                for agent in await self._db.read(presence.unreachable, self._clock()):
                    await self._pass_by(agent)
            except (LineFailed, *AWAY) as error:
                log.warning("attendance.not_looked", error=f"{type(error).__name__}: {error}"[:160])

    async def _pass_by(self, agent: str) -> None:
        """Once: who is made ready again without a page wants to work by telephone alone. Who is paused already stays so for his own
        reason, and is looked at again when that is over."""
        member = self._switchboard.members.get(agent)
        if member and not member.paused:
            await self._pause(member.device, True, UNREACHABLE)
            await self._db.work(presence.forget, agent)
            log.warning("agent.unreachable", agent=agent)
