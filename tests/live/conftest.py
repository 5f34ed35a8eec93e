"""What the live tests share: one demo company for all, and a running site and a browser for each file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from playwright.async_api import Browser, async_playwright

from cti import logs, run
from tests.live import site as live
from tests.live.desk import ARGUMENTS
from tests.live.site import Site


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo company's prompts and database, to be copied."""
    folder = tmp_path_factory.mktemp("company")
    asyncio.run(live.make_company(folder))
    return folder


@pytest.fixture(scope="module")
def product_logs() -> Iterator[None]:
    """Logs as the product writes them. structlog's own way draws pictures of exceptions, which takes a busy node's time away."""
    before = structlog.get_config()
    logs.set_up("console")
    structlog.configure(cache_logger_on_first_use=False)
    yield
    structlog.configure(**before)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory, company: Path, product_logs: None) -> AsyncIterator[Site]:
    async with live.running(tmp_path_factory.mktemp("site"), company) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="module")
async def site(started: Site) -> AsyncIterator[Site]:
    """The file's running site, without calls at the beginning of each test."""
    await started.clear()
    yield started
    await started.clear()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    settings = live.settings_in(tmp_path_factory.mktemp("browser"))
    program = await asyncio.to_thread(run.chromium, settings, live.quiet)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield chromium
        await chromium.close()
