"""Ends that nobody heard: cut by the switch's own end, or simply over; and one comparison with the switch at a time."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable

import pytest

from cti.db import Database
from cti.line import Caller, ChannelGone, LineFailed
from cti.reconcile import Reconciler
from cti.switchboard import INTERRUPTED, Switchboard, arrived

CHANNEL = "1795311706.4"
BEFORE, AFTER = dt.timedelta(seconds=-30), dt.timedelta(seconds=30)


class Ear:
    """A switchboard's ear alone."""

    leads = True

    def __init__(self) -> None:
        self.taken: list[ChannelGone] = []

    def take(self, fact: ChannelGone) -> None:
        self.taken.append(fact)


@pytest.fixture
def judged(db: Database, now: dt.datetime) -> Callable[..., object]:
    """What is made of the end of a call that came `now`, by a switch that was started so much later; None: it does not answer."""

    async def judge(started: dt.timedelta | None) -> list[ChannelGone]:
        async def started_at() -> dt.datetime:
            if started is None:
                raise LineFailed("expected an answer, none came")
            return now + started

        ear = Ear()
        switchboard: Switchboard = ear  # type: ignore[assignment]
        await db.work(arrived, Caller(CHANNEL, "+902125550100", "05325550123", ""), region="TR", now=now)
        reconciler = Reconciler(db, switchboard, clock=lambda: now, switch_started_at=started_at)
        await reconciler.unheard(ChannelGone(now.timestamp(), CHANNEL, ""))
        return ear.taken

    return judge


@pytest.mark.parametrize(
    ("started", "ends"), [(AFTER, [(INTERRUPTED, True)]), (BEFORE, [("", False)]), (None, [])]
)  # fmt: skip
async def test_a_call_that_the_switch_cut_by_its_own_end_is_known_as_such(judged, started, ends) -> None:
    assert [(each.cause, each.reconstructed) for each in await judged(started)] == ends


async def test_a_comparison_is_passed_over_while_another_one_is_under_way(db: Database, now: dt.datetime) -> None:
    """The switch is read every few seconds: what waited for its turn would end calls by an old list of channels."""
    asked, answer = asyncio.Semaphore(0), asyncio.Event()

    async def started_at() -> dt.datetime:
        asked.release()
        await answer.wait()
        return now + BEFORE

    ear = Ear()
    switchboard: Switchboard = ear  # type: ignore[assignment]
    await db.work(arrived, Caller(CHANNEL, "+902125550100", "05325550123", ""), region="TR", now=now + BEFORE / 2)
    reconciler = Reconciler(db, switchboard, clock=lambda: now, switch_started_at=started_at)
    first = asyncio.create_task(reconciler.compare(frozenset({CHANNEL})))
    async with asyncio.timeout(5):
        await asked.acquire()
        await reconciler.compare(frozenset())
        answer.set()
        await first
        assert ear.taken == []
        await reconciler.compare(frozenset())
    assert [each.channel for each in ear.taken] == [CHANNEL]
