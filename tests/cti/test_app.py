"""One node: which of its tasks may end, what it does with a dead node's calls, how many it takes. Whole nodes run in tests/live."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from sqlalchemy.exc import InternalError, OperationalError
from structlog.testing import capture_logs

from cti import app
from cti.app import MAY_END, House
from cti.asterisk.ari import Ari
from cti.asterisk.wire import path
from cti.attendance import Attendance
from cti.config import Settings
from cti.db import DatabaseTimeout
from cti.line import LineFailed
from ivr.voice import Voice
from tests.fakes.asterisk_ari import FakeAri
from tests.fakes.synth import FakeSynth

CALLS_MAX = 2


@pytest_asyncio.fixture
async def switch() -> AsyncIterator[FakeAri]:
    async with FakeAri() as made:
        yield made


@pytest_asyncio.fixture
async def house(switch: FakeAri, sqlite_file: Path, tmp_path: Path) -> AsyncIterator[House]:
    """A node of which nothing runs yet, with a database."""
    shutil.copyfile(sqlite_file, tmp_path / "santral.db")
    settings = Settings(data_dir=tmp_path, ari_port=switch.port, calls_max=CALLS_MAX)
    made = House(settings, Voice(tmp_path / "prompts", FakeSynth()), ari_password="secret", ami_password="secret")
    yield made
    await made.close()


# --- tasks that end ---


async def returns() -> None:
    """Ends, and all is well."""


async def breaks() -> None:
    raise RuntimeError("ours")


async def stays() -> None:
    await asyncio.Event().wait()


async def ended(house: House, name: str, work: Callable[[], Awaitable[None]], *, cancelled: bool = False) -> bool:
    """Start this as a task of the node that must not end; when it has ended all the same: is the node of no use any more?"""
    house._start(name, cast(Any, work()), may_end=False)
    (task,) = house._tasks
    if cancelled:
        task.cancel()
    await asyncio.wait([task], timeout=5)
    return house.died.is_set()


@pytest.mark.parametrize("name", MAY_END)
async def test_a_task_that_may_end_may_not_break(house, name):
    assert await ended(house, name, breaks)


@pytest.mark.parametrize("name", MAY_END)
async def test_a_task_that_has_nothing_to_do_may_end(house, name):
    assert not await ended(house, name, returns)


@pytest.mark.parametrize("work", [returns, breaks])
async def test_any_other_task_that_ends_takes_the_node_along(house, work):
    assert await ended(house, "switchboard", work)


async def test_a_task_that_we_end_ourselves_takes_nothing_along(house):
    assert not await ended(house, "switchboard", stays, cancelled=True)


async def test_a_task_that_ends_while_the_node_ends_changes_nothing(house):
    house.draining = True
    assert not await ended(house, "switchboard", breaks)


# --- a dead node's calls ---


@dataclass
class Deaf:
    """What of a switch and of attendance matters here: `asked` is what was asked of both, in order. The switch does not answer the
    first `refusals` times; `trouble` is what the database makes of attendance."""

    refusals: float = 0
    trouble: Exception | None = None
    asked: list[str] = field(default_factory=list)

    async def take_over(self, application: str) -> int:
        self.asked.append(application)
        if len(self.asked) > self.refusals:
            return 3
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await stays()
        raise LineFailed("expected an answer, none came")

    async def lost_with(self, node: str) -> None:
        self.asked.append(f"lost_with {node}")
        if self.trouble is not None:
            raise self.trouble


async def taken_over(house: House, deaf: Deaf) -> list[MutableMapping[str, Any]]:
    """Node 2 died, and its calls are ours to take: what was said in the log."""
    house.ari, house.attendance = cast(Ari, deaf), cast(Attendance, deaf)
    with capture_logs() as logs:
        async with asyncio.timeout(5):
            await house._take_over("2")
    return logs


async def test_a_dead_node_s_callers_come_first_and_are_asked_for_until_the_switch_answers(house):
    deaf = Deaf(refusals=2)
    logs = await taken_over(house, deaf)
    assert deaf.asked == ["santral-2", "santral-2", "santral-2", "lost_with 2"]
    assert [(each["event"], each["calls"]) for each in logs] == [("node.taken_over", 3)]


async def test_a_dead_node_s_pages_are_lost_though_its_callers_cannot_be_had(house, monkeypatch):
    monkeypatch.setattr(app, "TAKE_OVER_S", 0.05)
    deaf = Deaf(refusals=float("inf"))
    logs = await taken_over(house, deaf)
    *tries, last = deaf.asked
    assert (len(tries) > 1, set(tries), last) == (True, {"santral-2"}, "lost_with 2")
    assert [each["event"] for each in logs] == ["node.not_taken_over"]


@pytest.mark.parametrize("error", [
    DatabaseTimeout("late"), OperationalError("UPDATE", {}, OSError("gone")), InternalError("UPDATE", {}, OSError("read only")),
])  # fmt: skip
async def test_with_the_database_away_a_takeover_is_done_all_the_same(house, error):
    logs = await taken_over(house, Deaf(trouble=error))
    assert [each["event"] for each in logs] == ["node.taken_over", "attendance.not_settled"]


async def test_a_bug_of_ours_in_a_takeover_is_not_taken_for_a_database_that_is_away(house):
    with pytest.raises(LookupError):
        await taken_over(house, Deaf(trouble=LookupError("ours")))


# --- how many calls ---


@pytest.mark.parametrize("here", [0, 1])
async def test_a_burst_of_calls_is_claimed_only_as_far_as_there_is_room(house, switch, here):
    """All are offered before the first of them is here: what is under way takes room like the calls that are."""
    house.reception.calls = here
    switch.silent.add("claim")
    house.ami.connected.set()
    running = asyncio.create_task(house.ari.run())
    await switch.asked("eventFilter")
    for number in range(CALLS_MAX + 3):
        await switch.call(f"{number}.0")
    await house.ari.request("GET", path("channels", "0.0"))  # what came before it has been read
    assert sum("claim" in request for request in switch.requests) == CALLS_MAX - here
    assert not house._may_claim()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
