"""Is the database there? While it is not, calls go on with what is known and pages say so; when it is back, the journal is replayed.

Asked by writing something that needs room, because a full disk still answers questions.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cti.db import AWAY, Beaten, Database
from cti.journal import Entry, Journal
from cti.numbers import NO_AREAS, Areas
from cti.records import effects
from cti.replay import replay

log = structlog.get_logger(__name__)

PROBE_EVERY_S = 1.0
AGAIN_EVERY_S = 0.5  # while it is away
DEADLINE_S = 1.0


class Degraded:
    """`asked` is the same database by connections that nobody else uses. `away` is the answer of the moment; `on_change` hears when it
    becomes another. `run()` never ends.
    """

    def __init__(
        self,
        db: Database,
        asked: Database,
        journal: Journal,
        *,
        node: str,
        region: str,
        clock: Callable[[], dt.datetime],
        on_change: Callable[[bool], None],
        areas: Areas = NO_AREAS,
    ) -> None:
        self._db, self._asked, self._journal, self._region, self._clock = db, asked, journal, region, clock
        self._node, self._areas = node, areas
        self._on_change = on_change
        self.away = False

    async def run(self) -> None:
        while True:
            await self.look()
            if not self.away:
                await self.replay()
            await asyncio.sleep(AGAIN_EVERY_S if self.away else PROBE_EVERY_S)

    async def look(self) -> None:
        """Ask now."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._asked.work(effects.probe, self._node, self._clock())
            self._set(False, "")
        except AWAY as error:
            self._set(True, f"{type(error).__name__}: {error}"[:200])

    async def replay(self) -> None:
        """What callers told us meanwhile goes where it belongs. What cannot be written stays in the journal and is said aloud."""
        done: set[str] = set()
        try:
            for entry in await asyncio.to_thread(self._journal.waiting):
                if await self._replayed(entry):
                    done.add(entry.id)
            if done:
                await asyncio.to_thread(self._journal.forget, done)
                log.info("journal.replayed", entries=len(done))
        except AWAY as error:  # the database again, or the file
            log.warning("journal.not_replayed", error=f"{type(error).__name__}: {error}"[:200], done=len(done))

    async def _replayed(self, entry: Entry) -> bool:
        """False: this one cannot be written now; the others go on, and it is tried again."""
        try:
            await self._db.work(replay, entry, region=self._region, areas=self._areas, now=self._clock())
        except AWAY:
            raise
        except (SQLAlchemyError, Beaten, ValueError, LookupError) as error:
            log.error("journal.not_replayed", entry=entry.id, error=f"{type(error).__name__}: {error}"[:200])
            return False
        return True

    def _set(self, away: bool, why: str) -> None:
        if away == self.away:
            return
        self.away = away
        log.warning("database.away", why=why) if away else log.info("database.back")
        self._on_change(away)
