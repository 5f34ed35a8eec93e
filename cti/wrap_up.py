"""After a talk an agent whose page is open gets time to write: no further call until he saves, or until his time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from cti.events import CallCleared, Recorded
from cti.line import Controls, LineFailed
from cti.switchboard import Switchboard
from screenpop.commands import PAUSE_FOR_WRAP_UP

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
CLEARED_WAITING_MAX = (
    1_000  # talks that ended and are not looked at yet; more, and their agents get the next call at once
)


class WrapUp:
    """`heard` is a subscriber of the bus: quick, never raises. `run()` never ends. `is_live`: does the agent have a page here?"""

    def __init__(
        self, switchboard: Switchboard, controls: Controls, *, is_live: Callable[[str], bool], longest_s: float
    ) -> None:
        self._switchboard, self._controls, self._is_live, self._longest_s = switchboard, controls, is_live, longest_s
        self._cleared: asyncio.Queue[str] = asyncio.Queue(CLEARED_WAITING_MAX)

    def heard(self, recorded: Recorded) -> None:
        event = recorded.event
        if isinstance(event, CallCleared) and self._is_live(event.agent) and not self._cleared.full():
            self._cleared.put_nowait(event.agent)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._begin())
            tasks.create_task(self._end())

    async def _begin(self) -> None:
        while True:
            member = self._switchboard.members.get(await self._cleared.get())
            if member and not member.paused:
                await self._pause(member.device, True)

    async def _end(self) -> None:
        """Nobody stays in wrap-up for ever: a page closed in the middle would keep an agent away from callers. By the monotonic
        clock: a step of the other one ends nobody's time."""
        loop, since_s = asyncio.get_running_loop(), dict[str, float]()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            members = self._switchboard.members.items()
            waiting = {agent: each.device for agent, each in members if each.reason == PAUSE_FOR_WRAP_UP}
            since_s = {agent: since_s.get(agent, loop.time()) for agent in waiting}
            for agent, device in waiting.items():
                if loop.time() - since_s[agent] > self._longest_s:
                    await self._pause(device, False)

    async def _pause(self, device: str, paused: bool) -> None:
        try:
            await self._controls.pause(device, paused, PAUSE_FOR_WRAP_UP if paused else "")
        except LineFailed as error:
            log.warning("agent.pause_failed", device=device, error=str(error))
