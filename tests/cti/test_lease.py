"""Who is dead, who leads: judged by whether beats move, never by clocks; and exactly one takes a dead node's calls."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace

import pytest

from cti.lease import BLIND_S, DEAD_S, LAPSE_S, Lease, Watch
from cti.records import nodes
from cti.records.nodes import DRAINING, SEIZED, Seen

T0 = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)
ONE = Seen("1", "a", "run-1", 10, "live", "", T0)
TWO = Seen("2", "a", "run-2", 10, "live", "", T0 + dt.timedelta(seconds=1))
STEP_S = 0.2


def looked(watch: Watch, *rows: list[Seen], run: str = "run-1", step_s: float = STEP_S) -> list[list[str]]:
    """Who lapsed at each look, a step apart."""
    return [[row.name for row in watch.see(each, run, number * step_s).lapsed] for number, each in enumerate(rows)]


def moving(row: Seen, times: int) -> list[Seen]:
    return [replace(row, beat=row.beat + number) for number in range(times)]


def test_a_node_whose_beat_moves_lives():
    assert not any(looked(Watch("1", "a"), *([ONE, two] for two in moving(TWO, 20))))


def test_a_node_whose_beat_stands_still_is_lapsed_after_a_second():
    lapsed = looked(Watch("1", "a"), *([ONE, TWO] for _ in range(10)))
    assert lapsed.index(["2"]) * STEP_S == pytest.approx(LAPSE_S)


def test_a_node_whose_process_is_gone_is_lapsed_sooner():
    held, gone = replace(TWO, held=True), TWO
    lapsed = looked(Watch("1", "a"), [ONE, held], *([ONE, gone] for _ in range(10)))
    assert lapsed.index(["2"]) * STEP_S == pytest.approx(DEAD_S)


def test_a_node_that_lost_only_its_connection_and_beats_lives():
    rows = [[ONE, replace(two, held=number < 2)] for number, two in enumerate(moving(TWO, 20))]
    assert not any(looked(Watch("1", "a"), *rows))


def test_who_could_not_look_himself_begins_to_count_anew():
    watch = Watch("1", "a")
    assert not watch.see([ONE, TWO], "run-1", 0.0).lapsed
    assert not watch.see([ONE, TWO], "run-1", BLIND_S + 5.0).lapsed


def test_nodes_at_another_switch_are_not_ours_to_relieve():
    assert not any(looked(Watch("1", "a"), *([ONE, replace(TWO, switch="b")] for _ in range(10))))


def test_the_oldest_living_node_leads():
    watch = Watch("2", "a")
    assert not watch.see([ONE, TWO], "run-2", 0.0).leads
    assert watch.see([replace(ONE, state=SEIZED), TWO], "run-2", 0.2).leads
    assert watch.see([replace(ONE, state=DRAINING), TWO], "run-2", 0.4).leads


def test_who_was_seized_and_who_was_replaced_sees_it():
    watch = Watch("1", "a")
    assert watch.see([replace(ONE, state=SEIZED)], "run-1", 0.0).seized
    assert watch.see([replace(ONE, run="another")], "run-1", 0.2).replaced
    assert not watch.see([ONE], "run-1", 0.4).replaced


async def test_exactly_one_seizes_a_dead_node_and_never_one_that_beat_again(any_db, now):
    for name in ("1", "2", "3"):
        await any_db.work(nodes.register, name=name, switch="a", run=f"run-{name}", now=now)
    seen = {row.name: row for row in await any_db.work(nodes.beat, name="1", run="run-1", now=now)}
    both = await asyncio.gather(*(any_db.work(nodes.seize, seen["2"], by=by) for by in ("1", "3")))
    assert sorted(both) == [False, True]
    await any_db.work(nodes.beat, name="3", run="run-3", now=now)
    assert not await any_db.work(nodes.seize, seen["3"], by="1")


async def test_a_process_that_is_gone_is_seized_and_one_that_drains_is_relieved(pg, now):
    """Two leases on one PostgreSQL; the first is cancelled like a killed process: its beat and its lock end."""
    seized: asyncio.Queue[str] = asyncio.Queue()
    leads: list[bool] = []

    async def take(name: str) -> None:
        seized.put_nowait(name)

    async def nobody(name: str) -> None:
        raise AssertionError(name)

    first = Lease(pg, "1", "a", clock=lambda: now, on_seized=nobody, on_lead=lambda leads: None)
    later = now + dt.timedelta(seconds=1)
    second = Lease(pg, "2", "a", clock=lambda: later, on_seized=take, on_lead=leads.append)
    tasks = [asyncio.create_task(each.run()) for each in (first, second)]
    async with asyncio.timeout(10):
        while not (first.leads and second.peers):
            await asyncio.wait(tasks, timeout=0.05)
        tasks[0].cancel()
        assert await seized.get() == "1"
        again = Lease(pg, "1", "a", clock=lambda: later, on_seized=nobody, on_lead=lambda leads: None)
        tasks.append(asyncio.create_task(again.run()))
        while not second.peers:
            await asyncio.wait(tasks[1:], timeout=0.05)
        await again.drain()
        assert await seized.get() == "1"
    assert leads[-1]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
