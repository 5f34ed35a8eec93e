"""What ends by itself: links of numbers that nobody was met on for too long, proposals that nobody decided, old counts of guesses.

Every node does this once an hour; doing it twice does no harm. Looking for old links goes through all of them, so it is done in one
hour of the night, by a reader; the writer only ends what was found.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable

import structlog

from cti.db import AWAY, Database
from cti.records import guesses, links, proposals

EVERY_S = 3600.0
AT_ONCE = 500  # of a kind in one piece of work: calls wait no longer for it than for another call
ROUNDS_MAX = 20  # in one hour; what is left over has waited for years and waits one night more
NIGHT_HOUR_UTC = 1  # four o'clock in Istanbul

log = structlog.get_logger(__name__)


async def run(db: Database, clock: Callable[[], dt.datetime], *, unseen_days: int) -> None:
    """Until cancelled; an hour in which the database is away is passed over."""
    while True:
        try:
            await tend(db, clock, unseen_days=unseen_days)
        except AWAY as error:
            log.warning("tending.missed", error=type(error).__name__)
        await asyncio.sleep(EVERY_S)


async def tend(db: Database, clock: Callable[[], dt.datetime], *, unseen_days: int) -> tuple[int, int]:
    """How many links ended and how many proposals lapsed."""
    lapsed = await _lapse(db, clock())
    await db.work(guesses.forget, clock())
    expired = await _expire(db, clock(), unseen_days) if clock().hour == NIGHT_HOUR_UTC else 0
    if lapsed or expired:
        log.info("tending.done", links_expired=expired, proposals_lapsed=lapsed)
    return expired, lapsed


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
