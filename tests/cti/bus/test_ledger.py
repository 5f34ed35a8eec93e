"""What the bus makes of the ledger when there is no engine, and of a ledger that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from cti.bus import Bus, cluster, open_bus
from cti.events import FlowFailed, Recorded
from tests.cti.bus.conftest import Ear

NOBODY_LISTENS = "redis://127.0.0.1:1"


class Ledger:
    """Events in memory, which can be out of reach. `asked` says how often it was asked, and can be waited for."""

    def __init__(self) -> None:
        self.events: list[Recorded] = []
        self.trouble: Exception | None = None
        self.asked = 0
        self._again = asyncio.Event()

    async def since(self, seq: int, most: int) -> list[Recorded]:
        self._answer()
        return [recorded for recorded in self.events if recorded.seq > seq][:most]

    async def newest(self) -> int:
        self._answer()
        return max((recorded.seq for recorded in self.events), default=0)

    async def asked_again(self, times: int = 2) -> None:
        """Twice: the first question may have been under way already."""
        wanted = self.asked + times
        async with asyncio.timeout(5):
            while self.asked < wanted:
                self._again.clear()
                await self._again.wait()

    def _answer(self) -> None:
        self.asked += 1
        self._again.set()
        if self.trouble is not None:
            raise self.trouble


@pytest.fixture
def ledger(monkeypatch) -> Ledger:
    monkeypatch.setattr(cluster, "POLL_S", 0.02)
    return Ledger()


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def hung(ledger: Ledger) -> None:
    """From before the node begins."""
    ledger.trouble = TimeoutError("hung")


@pytest_asyncio.fixture
async def bus(ledger: Ledger, ear: Ear) -> AsyncIterator[Bus]:
    bus = open_bus(NOBODY_LISTENS, since=ledger.since, newest=ledger.newest)
    bus.subscribe(ear.hear)
    running = asyncio.create_task(bus.run())
    yield bus
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def event(now):
    """A function: number -> event."""
    return lambda seq: Recorded(seq=seq, id=str(seq), at=now, event=FlowFailed(conversation="c", node="n", error=""))


async def test_while_the_ledger_is_away_own_news_is_told_and_later_nothing_twice(hung, bus, ledger, ear, event):
    await ledger.asked_again()
    ledger.events = [event(1), event(2)]
    bus.publish([event(2)])
    assert ear.numbers == [2]
    ledger.trouble = None
    await ledger.asked_again()
    ledger.events.append(event(3))
    assert await ear.until(2) == [2, 3]


@pytest.mark.parametrize("trouble", [TimeoutError("hung"), OSError("gone"), RuntimeError("another engine's own word")])
async def test_a_ledger_away_is_said_once_and_asked_again(bus, ledger, ear, event, trouble):
    await ledger.asked_again()
    with capture_logs() as logs:
        ledger.trouble = trouble
        await ledger.asked_again(4)
        ledger.events = [event(1)]
        ledger.trouble = None
        assert await ear.until(1) == [1]
        await ledger.asked_again()
    assert [line["event"] for line in logs if "ledger" in line["event"]] == ["bus.ledger_away", "bus.ledger_back"]


async def test_news_that_was_read_before_its_commit_returned_is_told_once_to_each(bus, ledger, ear, event):
    own = Ear()
    bus.subscribe(own.hear, local_only=True)
    await ledger.asked_again()
    ledger.events = [event(1)]
    await ear.until(1)
    assert own.numbers == []
    bus.publish([event(1)])
    assert (ear.numbers, own.numbers) == ([1], [1])


async def test_more_than_a_page_that_was_missed_comes_in_order(bus, ledger, ear, event):
    await ledger.asked_again()
    numbers = [seq for seq in range(1, 3 * cluster.PAGE) if seq % 7]
    ledger.events = [event(seq) for seq in numbers]
    assert await ear.until(len(numbers)) == numbers
    assert bus.healed == len(numbers)


async def test_without_an_engine_waiting_hints_are_bounded(bus, ear, event):
    bus.publish([event(seq) for seq in range(1, cluster.SEND_MAX + 11)])
    assert len(ear.numbers) == cluster.SEND_MAX + 10
    assert bus.dropped == 10
