"""What every test may ask for: a fixed moment, and a real database with all tables: SQLite, and PostgreSQL where both must do."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import create_engine

from cti import migrations
from cti.db import Database, sqlite_engine
from tests import postgresql


@pytest.fixture
def now() -> dt.datetime:
    return dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with every table and no row, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "santral.db"
    engine = sqlite_engine(f"sqlite:///{path}")
    migrations.tables().create_all(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.Server]:
    """A real PostgreSQL that lives as long as the session."""
    with postgresql.running() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(postgres: postgresql.Server) -> str:
    """The name of a PostgreSQL database with every table, which each test leaves without a row."""
    name = postgres.create()
    engine = create_engine(postgres.url(name))
    migrations.tables().create_all(engine)
    engine.dispose()
    return name


@pytest_asyncio.fixture
async def db(sqlite_file: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """A fresh SQLite database with every table; closed afterwards."""
    shutil.copyfile(sqlite_file, tmp_path / "santral.db")
    database = Database(f"sqlite:///{tmp_path / 'santral.db'}")
    yield database
    await database.close()


@pytest_asyncio.fixture
async def pg(postgres: postgresql.Server, postgres_database: str) -> AsyncIterator[Database]:
    """A PostgreSQL database with every table and no row; closed and emptied afterwards."""
    database = Database(postgres.url(postgres_database))
    yield database
    await database.close()
    postgres.empty(postgres_database, migrations.tables().tables)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_db(request: pytest.FixtureRequest) -> Database:
    """The same test on each engine."""
    database: Database = request.getfixturevalue("db" if request.param == "sqlite" else "pg")
    return database
