"""What happens by itself: links of numbers end that nobody was met on for too long, proposals lapse that nobody decided, old counts of
guesses are forgotten, and whoever we may know already is proposed to be merged.

Every node does this once an hour; doing it twice does no harm. Looking for old links goes through all of them, so it is done in one
hour of the night, by a reader; the writer only ends what was found.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

import structlog

from cti.db import AWAY, Database
from cti.ledger import uuid7
from cti.records import alike, guesses, links, merge_proposals, proposals

EVERY_S = 3600.0
AT_ONCE = 500  # of a kind in one piece of work: calls wait no longer for it than for another call
ROUNDS_MAX = 20  # in one hour; what is left over has waited for years and waits one night more
LOOKED_AT_ONCE = 100  # parties that are compared in one round
LOOKED_BACK = dt.timedelta(days=7)
NIGHT_HOUR_UTC = 1  # four o'clock in Istanbul

log = structlog.get_logger(__name__)


class Tended(NamedTuple):
    """What one round did."""

    links_expired: int
    proposals_lapsed: int
    merges_proposed: int


class Tending:
    """One node's rounds. What it has looked at is forgotten when the node ends: the next life begins a week back, and proposes nothing
    twice."""

    def __init__(self, db: Database, clock: Callable[[], dt.datetime], *, unseen_days: int) -> None:
        self._db, self._clock, self._unseen_days = db, clock, unseen_days
        self._looked = uuid7(clock() - LOOKED_BACK)  # the mark of what was compared last

    async def run(self) -> None:
        """Until cancelled; an hour in which the database is away is passed over."""
        while True:
            try:
                await self.round()
            except AWAY as error:
                log.warning("tending.missed", error=type(error).__name__)
            await asyncio.sleep(EVERY_S)

    async def round(self) -> Tended:
        lapsed = await _lapse(self._db, self._clock())
        await self._db.work(guesses.forget, self._clock())
        is_night = self._clock().hour == NIGHT_HOUR_UTC
        expired = await _expire(self._db, self._clock(), self._unseen_days) if is_night else 0
        done = Tended(expired, lapsed, await self._propose_merges())
        if any(done):
            log.info("tending.done", **done._asdict())
        return done

    async def _propose_merges(self) -> int:
        """Of whom we learned something since the last round: whether we know them already. Looking reads whole indexes, so no writer
        waits for it, and it is done for few in one round; the others' turn is in the next."""
        total = 0
        for mark, party in await self._db.read(alike.learned_after, self._looked, limit=LOOKED_AT_ONCE):
            try:
                found = await self._db.read(alike.candidates_for, party)
            except LookupError:  # gone since
                found = []
            if found:
                total += len(await self._db.work(merge_proposals.propose_for, party, found, now=self._clock()))
            self._looked = mark
        return total


async def _lapse(db: Database, now: dt.datetime) -> int:
    total = 0
    for _ in range(ROUNDS_MAX):
        count = await db.work(proposals.lapse, now, limit=AT_ONCE)
        total += count
        if count < AT_ONCE:
            break
    return total


async def _expire(db: Database, now: dt.datetime, unseen_days: int) -> int:
    total = 0
    for _ in range(ROUNDS_MAX):
        old = await db.read(links.unseen, now, unseen_days=unseen_days, limit=AT_ONCE)
        if old:
            total += await db.work(links.expire, now, unseen_days=unseen_days, limit=AT_ONCE, among=old)
        if len(old) < AT_ONCE:
            break
    return total
