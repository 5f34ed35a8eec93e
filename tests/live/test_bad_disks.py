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
from tests.live import crowd
from tests.live import site as live
from tests.live.crowd import Office
from tests.live.site import Site

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
            await self._process.communicate()
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
