"""Do the sign-ins behind this node's browsers still stand? One question to the records about all of them, every few seconds.

Work on the page, and a call on it, keep a sign-in alive: nobody is signed out in the middle of a talk. Records that are slow or away
sign nobody out.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import structlog

from cti import auth
from cti.db import AWAY, Database

log = structlog.get_logger(__name__)

CHECK_S = 5.0
TOUCH_S = 30.0  # signs of life are written down this often

Alive = Callable[[Collection[str]], Awaitable[Collection[str]]]  # sessions -> those that still stand; raises AWAY
Touch = Callable[[Collection[str]], Awaitable[None]]  # these have been seen; raises AWAY


@dataclass(frozen=True, eq=False)
class Watched:
    """One browser. `is_lively`: has it shown a sign of life since this was last asked? Both are quick and never raise."""

    session: str  # hash of its cookie
    is_lively: Callable[[], bool]
    sign_out: Callable[[], None]


class SignIns:
    """All browsers of a node."""

    def __init__(self, alive: Alive, touch: Touch) -> None:
        self._alive = alive
        self._touch = touch
        self._watched: set[Watched] = set()
        self._lively: set[str] = set()
        self._touched_s = float("-inf")

    @classmethod
    def of(cls, db: Database, clock: Callable[[], dt.datetime]) -> SignIns:
        """As the records know them."""
        return cls(
            lambda asked: db.read(auth.sessions_alive, asked, clock()), lambda seen: db.work(auth.touch, seen, clock())
        )

    def watch(self, browser: Watched) -> None:
        self._watched.add(browser)

    def forget(self, browser: Watched) -> None:
        self._watched.discard(browser)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                await self.check(asyncio.get_running_loop().time())
            except AWAY as error:
                log.warning("sign_ins.records_away", browsers=len(self._watched), error=repr(error))

    async def check(self, now_s: float) -> None:
        """Sign out who is out. AWAY when the records do not answer; then nobody is, and signs of life are kept for the next time."""
        asked = tuple(self._watched)
        if not asked:
            return
        self._lively |= {each.session for each in asked if each.is_lively()}
        if self._lively and now_s - self._touched_s >= TOUCH_S:
            await self._write_down(now_s)
        alive = await self._alive({each.session for each in asked})
        for each in asked:
            if each.session not in alive:
                each.sign_out()

    async def _write_down(self, now_s: float) -> None:
        """Before the question: who worked on while the records were away is not idle."""
        seen = frozenset(self._lively)
        await self._touch(seen)
        self._lively -= seen
        self._touched_s = now_s
