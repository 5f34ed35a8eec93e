"""What happens by itself: links of numbers end that nobody was met on for too long, proposals lapse that nobody decided, old counts of
guesses are forgotten, and whoever we may know already is proposed to be merged.

Every node does this once an hour; doing it twice does no harm. Looking for old links goes through all of them, and looking for namesakes
through all names, so they are done in one hour of the night, by a reader; the writer only writes what was found.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

import structlog

from cti.db import AWAY, Database
from cti.records import alike, guesses, links, merge_proposals, proposals

EVERY_S = 3600.0
AT_ONCE = 500  # of a kind in one piece of work: calls wait no longer for it than for another call
ROUNDS_MAX = 20  # in one hour; what is left over has waited for years and waits one night more
NIGHT_MAX = 200  # parties that are looked at in one night
YESTERDAY = dt.timedelta(hours=25)  # with the hour that the round may be late
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


class Tended(NamedTuple):
    """What one round did."""

    links_expired: int
    proposals_lapsed: int
    merges_proposed: int


async def tend(db: Database, clock: Callable[[], dt.datetime], *, unseen_days: int) -> Tended:
    """One round."""
    lapsed = await _lapse(db, clock())
    await db.work(guesses.forget, clock())
    is_night = clock().hour == NIGHT_HOUR_UTC
    expired = await _expire(db, clock(), unseen_days) if is_night else 0
    alike_ones = await _propose_merges(db, clock()) if is_night else 0
    if lapsed or expired or alike_ones:
        log.info("tending.done", links_expired=expired, proposals_lapsed=lapsed, merges_proposed=alike_ones)
    return Tended(expired, lapsed, alike_ones)


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


async def _propose_merges(db: Database, now: dt.datetime) -> int:
    """Of whom we learned something since yesterday: whether we know them already. Looking reads whole indexes, so no writer waits for it;
    what is beyond NIGHT_MAX is left to `santral parties duplicates`, which compares everybody."""
    total = 0
    for party in await db.read(alike.new_since, now - YESTERDAY, limit=NIGHT_MAX):
        if found := await db.read(alike.candidates_for, party):
            total += len(await db.work(merge_proposals.propose_for, party, found, now=now))
    return total
