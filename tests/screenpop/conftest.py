"""A desk with two live seats, Zeynep's and Murat's, over a company on a SQLite database."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator

import pytest_asyncio

from cti.db import Database
from tests.fakes.live_desk import LiveDesk, opened


@pytest_asyncio.fixture
async def desk(db: Database, now: dt.datetime) -> AsyncIterator[LiveDesk]:
    desk = await opened(db, now)
    yield desk
    desk.hub.close()
