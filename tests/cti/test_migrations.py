"""The migrations make exactly the tables that the code declares, on both engines, and can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect

from cti import migrations
from cti.db import Database, sqlite_engine
from tests import postgresql

# SQLite cannot tell what an index on an expression is made of.
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:Skipped unsupported reflection of expression-based index:sqlalchemy.exc.SAWarning"
    ),
    pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index:UserWarning"),
]
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """An open transaction on a database without tables."""
    if request.param == "sqlite":
        engine = sqlite_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    else:
        server: postgresql.Server = request.getfixturevalue("postgres")
        engine = create_engine(server.url(server.create()))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def difference(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    found: list[object] = compare_metadata(context, migrations.tables())
    return found


def test_migrations_make_the_tables_that_the_code_declares(connection):
    migrations.upgrade(connection)
    assert difference(connection) == []


def test_an_empty_database_is_not_current_until_it_is_upgraded(connection):
    assert not migrations.is_current(connection)
    migrations.upgrade(connection)
    assert migrations.is_current(connection)


def test_every_step_can_be_undone_and_done_again(connection):
    migrations.upgrade(connection)
    migrations.downgrade(connection, "base")
    assert inspect(connection).get_table_names() == ["alembic_version"]
    migrations.upgrade(connection)
    assert difference(connection) == []


def test_upgrading_twice_changes_nothing(connection):
    migrations.upgrade(connection)
    migrations.upgrade(connection)
    assert migrations.is_current(connection)


async def test_the_upgrade_runs_inside_a_piece_of_work(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    await upgraded_by_work(database)


async def test_the_upgrade_runs_inside_a_piece_of_work_on_postgresql(postgres):
    await upgraded_by_work(Database(postgres.url(postgres.create())))


async def upgraded_by_work(database: Database) -> None:
    try:
        await database.work(lambda session: migrations.upgrade(session.connection()))
        assert await database.read(lambda session: migrations.is_current(session.connection()))
    finally:
        await database.close()


def test_no_table_is_forgotten():
    declared = {
        line.split('"')[1]
        for path in ROOT.glob("*/**/*.py")
        if path.relative_to(ROOT).parts[0] in ("cti", "ivr", "screenpop", "recordings")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith('__tablename__ = "')
    }
    assert set(migrations.tables().tables) == declared
