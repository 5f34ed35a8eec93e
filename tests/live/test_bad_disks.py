"""Days of a single node on SQLite: somebody else keeps the database locked, it is full, the machine's clock jumps."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import logging
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import event
from sqlalchemy.pool import Pool

from cti import app
from cti.asterisk.ami import Ami
from cti.asterisk.ari import Ari
from cti.demo import tones
from cti.demo.callers import Callers
from cti.demo.sipp import Address
from cti.events import CallAnswered, CallCleared, CallEnded
from tests.live import crowd
from tests.live import site as live
from tests.live.crowd import TALKS_S, Office, Page, Person, page
from tests.live.site import LIMIT_S, Site

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

LOG = logging.getLogger(__name__)
LOCKED_S = 10.0
FULL_S = 10.0
PAGES_MAX = 1_073_741_823  # of SQLite, as it is shipped
HOLDS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@dataclass
class Clock:
    """The wall clock as the node sees it: `step_s` ahead of the real one."""

    step_s: float = 0.0

    def time(self) -> float:
        return time.time() + self.step_s

    def now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.time(), dt.UTC)


@pytest.fixture(scope="module")
def clock() -> Iterator[Clock]:
    """Every clock that the node's wiring hands out."""
    made = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "utc_now", made.now)
        patch.setattr(app, "Ari", functools.partial(Ari, clock=made.time))
        patch.setattr(app, "Ami", functools.partial(Ami, clock=made.time))
        yield made


@pytest.fixture(scope="module")
def company(company: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo company, every prompt of which is a tone."""
    folder = tmp_path_factory.mktemp("tones") / "company"
    shutil.copytree(company, folder)
    tones.tone_prompts(folder / "prompts", tones.PROMPTS)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(
    tmp_path_factory: pytest.TempPathFactory, company: Path, product_logs: None, clock: Clock
) -> AsyncIterator[Site]:
    async with live.running(tmp_path_factory.mktemp("site"), company) as site:
        yield site


@contextlib.asynccontextmanager
async def office_of(site: Site) -> AsyncIterator[Office]:
    async with Callers(Address(site.settings.sip_host, site.settings.sip_port)) as callers:
        yield Office(callers, site.house.db, site.url, [site.settings.journal])


class Holder:
    """Another process that has the database for itself, as a backup or a careless hand would."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._process: asyncio.subprocess.Process | None = None

    async def hold(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HOLDS, str(self._database)),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert await self._process.stdout.readline() == b"held\n"

    async def let_go(self) -> None:
        if self._process is not None:
            await self._process.communicate(b"")  # its end of the pipe closes
            self._process = None


async def test_another_process_locks_the_database_and_every_report_of_that_time_is_a_ticket(site: Site) -> None:
    holder = Holder(site.database)
    numbers = [*crowd.customers()[:7], *map(crowd.stranger, range(5))]
    async with office_of(site) as office:
        try:
            shown = await crowd.a_day_without_records(office, numbers, LOCKED_S, holder.hold, holder.let_go)
        finally:
            await holder.let_go()
    assert shown.degraded[0] == ["database"]


class Full:
    """SQLite that may take no further page while it is told so, on whatever connection; what it says is what a full disk says."""

    def __init__(self) -> None:
        self.pages = PAGES_MAX

    def __call__(self, connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={self.pages}")

    async def fill(self) -> None:
        self.pages = 1  # SQLite makes of it as many as there are

    async def empty(self) -> None:
        self.pages = PAGES_MAX


@pytest.fixture
def full() -> Iterator[Full]:
    made = Full()
    event.listen(Pool, "checkout", made)
    yield made
    event.remove(Pool, "checkout", made)


async def test_the_database_is_full_and_every_report_of_that_time_is_a_ticket(site: Site, full: Full) -> None:
    numbers = [*crowd.customers()[7:14], *map(crowd.stranger, range(5, 10))]
    async with office_of(site) as office:
        await crowd.a_day_without_records(office, numbers, FULL_S, full.fill, full.empty)


STEP_S = 3600.0
LOOKS_EVERY_S = 5.0  # the longest between two looks of a timer of the node


async def signed_in(site: Site, shown: Page) -> bool:
    async with httpx2.AsyncClient(base_url=site.url, headers={"cookie": shown.cookie}, timeout=LIMIT_S) as client:
        return (await client.get("/desk")).status_code == 200


async def talks_a_while(person: Person) -> None:
    await person.follow(crowd.WANTS_A_PERSON, (tones.AGENT,))
    await person.stays(TALKS_S)


async def test_the_clock_jumps_an_hour_back_and_forth_in_the_middle_of_calls(site: Site, clock: Clock) -> None:
    async with office_of(site) as office, page(site.url, "agent1001") as shown:
        try:
            back = await while_it_steps(site, clock, office, -STEP_S, 0)
            assert await signed_in(site, shown), "an hour back"
            forth = await while_it_steps(site, clock, office, 0.0, 1)
            assert await signed_in(site, shown), "and an hour forth"
            clock.step_s = STEP_S
            await crowd.until_s(asyncio.get_running_loop().time() + LOOKS_EVERY_S + 1)
            member = site.house.switchboard.members["1001"]
            LOG.info("an hour ahead: signed in %s, socket %s", await signed_in(site, shown), shown.socket.state.name)
            assert (member.paused, member.reason) == (True, "wrap_up")
        finally:
            clock.step_s = 0.0
    crowd.judge([*back, *forth])


async def while_it_steps(site: Site, clock: Clock, office: Office, step_s: float, turn: int) -> list[Person]:
    """One caller talks and one is in the menu when the clock is set; both go on, and what they did is told with true durations."""
    broken = asyncio.Event()
    reporter, talker = crowd.customers()[15 + turn], crowd.stranger(30 + turn)
    since = len(site.heard)
    talk = asyncio.create_task(crowd.one_call(office.callers, talker, talks_a_while))
    await office.until_heard("hold", 1)
    report = asyncio.create_task(
        crowd.one_call(office.callers, reporter, functools.partial(crowd.waits_in_the_menu, broken=broken))
    )
    await office.until_heard("menu", 1)
    await office.until_heard(tones.AGENT, 1)
    clock.step_s = step_s
    broken.set()
    reported, talked = await report, await talk
    assert reported.outcome == "opened"
    cleared = await site.until(CallCleared, since=since)
    await site.until(CallEnded, count=2, since=since)
    answered = site.found(CallAnswered, since=since)[0]
    assert talked.call.ended_at_s is not None
    whole_s = talked.call.ended_at_s - talked.call.answered_at_s
    LOG.info(
        "clock set to %+.0f s: call of %.1f s, by the ledger it waited %.1f s and talked %.1f s (ended by %s)", step_s, whole_s,
        answered.waited_s, cleared.talked_s, cleared.by,
    )  # fmt: skip
    assert cleared.talked_s >= 0
    if (
        cleared.by != "unknown"
    ):  # else the caller's end was heard before the switch's own count, and the clock is all we have
        assert cleared.talked_s <= whole_s + 1
    return [reported, talked]
