"""What every test may ask for: a fixed moment, and a real database in a temporary file."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cti.db import Base, Database


@pytest.fixture
def now() -> dt.datetime:
    return dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)


@pytest_asyncio.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    """A fresh SQLite database with every table that has been imported; closed afterwards."""
    from cti.records import contact_points, conversations, outages, parties, tickets, timeline

    assert all((contact_points, conversations, outages, parties, tickets, timeline))
    database = Database(f"sqlite:///{tmp_path / 'santral.db'}")
    await database.work(lambda session: Base.metadata.create_all(session.connection()))
    yield database
    await database.close()
