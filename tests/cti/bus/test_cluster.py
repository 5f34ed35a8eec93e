"""Two nodes, one PostgreSQL, a real engine: each node hears each event once, whatever happens to the engine."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from cti.bus import cluster
from tests.cti.bus.conftest import Ear

NOBODY_LISTENS = "redis://127.0.0.1:1"


@pytest.fixture
def no_poll(monkeypatch):
    """What is heard now, hints have brought; or the look at a hole."""
    monkeypatch.setattr(cluster, "POLL_S", 60.0)


async def test_both_nodes_hear_everything_in_commit_order(no_poll, pair):
    one, two = pair
    for count, node in enumerate([one, two, two, one, two, one], 1):
        await node.commit()
        await one.ear.until(count)
        await two.ear.until(count)
    assert one.ear.heard == two.ear.heard
    assert one.ear.numbers == sorted(one.ear.numbers)
    assert one.ear.committers == ["one", "two", "two", "one", "two", "one"]
    assert (one.bus.told, one.bus.dropped) == (6, 0)


async def test_what_a_node_commits_is_told_there_before_the_work_returns(pair):
    one, _ = pair
    await one.commit()
    assert len(one.ear.numbers) == 1


async def test_nodes_that_commit_at_once_hear_each_event_once_and_each_node_in_its_order(no_poll, pair):
    one, two = pair
    await asyncio.gather(*(node.commit(10) for node in (one, two) for _ in range(4)))
    for node in pair:
        await node.ear.until(80)
        assert len(set(node.ear.numbers)) == len(node.ear.numbers) == 80
        for name in ("one", "two"):
            own = [
                seq for seq, committer in zip(node.ear.numbers, node.ear.committers, strict=True) if committer == name
            ]
            assert own == sorted(own)


async def test_who_wants_the_nodes_own_news_hears_no_other(pair):
    one, two = pair
    own = Ear()
    one.bus.subscribe(own.hear, local_only=True)
    await two.commit()
    await one.commit()
    await one.ear.until(2)
    assert own.committers == ["one"]


async def test_a_killed_engine_costs_a_delay_and_comes_back(engine, pair):
    one, two = pair
    await one.commit(3)
    await two.ear.until(3)
    engine.kill()
    await one.commit(3)
    await two.commit(3)
    assert sorted(await two.ear.until(9)) == sorted(await one.ear.until(9))
    assert not two.bus.connected.is_set()
    engine.start()
    await one.connected()
    await two.connected()
    healed = two.bus.healed
    await one.commit()
    numbers = await two.ear.until(10)
    assert sorted(set(numbers)) == sorted(numbers)
    assert healed >= 3


async def test_a_hung_engine_costs_a_delay_and_nothing_is_told_twice_when_it_goes_on(engine, pair):
    one, two = pair
    engine.hang()
    for count in (5, 10, 15):  # a second each: the ledger is read
        await one.commit(5)
        await two.ear.until(count)
    engine.go_on()
    await one.connected()
    await two.connected()
    await one.commit(5)
    await two.commit()
    for node in pair:
        numbers = await node.ear.until(21)
        assert sorted(set(numbers)) == sorted(numbers)


async def test_an_engine_that_forgets_everything_costs_nothing(no_poll, engine, pair):
    one, two = pair
    await one.commit(3)
    await two.ear.until(3)
    healed = two.bus.healed
    assert engine.say("FLUSHALL").startswith(b"+OK")
    await one.commit(3)
    assert await two.ear.until(6) == one.ear.numbers
    assert two.bus.healed == healed


async def test_a_stream_that_begins_again_with_smaller_ids_is_heard(no_poll, engine, pair):
    """Deleted, on an engine whose clock was set back."""
    one, two = pair
    assert engine.say("XADD santral:events 99999999999999-0 seq none").startswith(b"$")
    await one.commit()  # two has heard the entry before this one too
    await two.ear.until(1)
    healed = two.bus.healed
    assert engine.say("DEL santral:events") == b":1\r\n"
    await one.commit()
    await two.ear.until(2)
    assert two.bus.healed == healed


async def test_a_number_whose_transaction_was_undone_is_not_waited_for(no_poll, pair):
    one, two = pair
    await one.commit()
    await two.undo()
    await one.commit()
    for node in pair:
        first, second = await node.ear.until(2)
        assert second == first + 2
    await one.commit(2)
    for node in pair:
        assert len(set(await node.ear.until(4))) == 4


async def test_a_subscriber_that_raises_keeps_no_news_from_anybody(no_poll, pair):
    one, two = pair

    def broken(recorded):
        raise ZeroDivisionError

    for node in pair:
        node.bus.subscribe(broken)
        node.bus.subscribe(broken, local_only=True)
    second = Ear()
    two.bus.subscribe(second.hear)
    await one.commit(3)
    assert await second.until(3) == await two.ear.until(3) == one.ear.numbers


async def test_hints_that_find_no_place_are_dropped_and_the_ledger_brings_them(engine, pair, monkeypatch):
    one, two = pair
    monkeypatch.setattr(cluster, "SEND_MAX", 5)
    engine.hang()
    await one.commit(20)
    assert await two.ear.until(20) == one.ear.numbers
    assert one.bus.dropped >= 14  # one batch may be on its way
    engine.go_on()


async def test_nonsense_in_the_stream_is_said_once_and_passed_over(no_poll, engine, pair):
    one, two = pair
    with capture_logs() as logs:
        for fields in ("a b", "seq x", "seq 1000000", "seq 1000001 news []", "seq -4 news {}"):
            engine.say(f"XADD santral:events * {fields}")
        await one.commit()
        await two.ear.until(1)
    assert [line["event"] for line in logs if line["log_level"] == "warning"].count("bus.garbled") == 2  # a node each


async def test_a_stream_that_is_something_else_is_an_engine_away(engine, new_node, monkeypatch):
    monkeypatch.setattr(cluster, "POLL_S", 0.1)
    assert engine.say("SET santral:events 1") == b"+OK\r\n"
    one, two = await new_node("one", engine.url), await new_node("two", engine.url)
    await one.commit(2)
    assert await two.ear.until(2) == one.ear.numbers
    assert not two.bus.connected.is_set()


async def test_without_any_engine_nodes_hear_each_other_through_the_ledger(new_node, monkeypatch):
    monkeypatch.setattr(cluster, "POLL_S", 0.1)
    one, two = await new_node("one", NOBODY_LISTENS), await new_node("two", NOBODY_LISTENS)
    await one.commit(2 * cluster.PAGE // 100)
    await two.commit()
    assert await one.ear.until(5) == sorted(one.ear.numbers)
    assert sorted(await two.ear.until(5)) == one.ear.numbers
    assert (one.bus.healed, two.bus.healed) == (1, 4)


async def test_a_node_that_comes_later_is_not_told_of_the_past(engine, pair, new_node):
    one, _ = pair
    await one.commit(2)
    late = await new_node("late", engine.url)
    await late.connected()
    await one.commit()
    assert await late.ear.until(1) == one.ear.numbers[2:]
