"""The database's shape, step by step (Alembic). `upgrade` brings a database to today's; `tables` knows every table there is."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text

import cti.records
from cti.db import Base

HERE = Path(__file__).parent
UPGRADE_LOCK = 0x53414E55  # "SANU", beside the ledger's
WITH_TABLES = ("cti.ledger", "cti.auth", "ivr.store")  # and every file of cti.records


def tables() -> MetaData:
    """All tables of the house. A table counts once its file has been imported: this imports them all."""
    records = (f"cti.records.{module.name}" for module in pkgutil.iter_modules(cti.records.__path__))
    for name in (*WITH_TABLES, *records):
        importlib.import_module(name)
    return Base.metadata


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration without a file. `connection` is used as it is; the caller owns its transaction."""
    settings = Config()
    settings.set_main_option("script_location", str(HERE))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings


def upgrade(connection: Connection, to: str = "head") -> None:
    """Bring the database to the newest shape; nothing happens when it is there already. Nodes that start together take turns."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": UPGRADE_LOCK})
    command.upgrade(config(connection), to)


def downgrade(connection: Connection, to: str) -> None:
    """Back to an older revision, or to "base", where there is no table left."""
    command.downgrade(config(connection), to)


def is_current(connection: Connection) -> bool:
    """Is the database's shape the one that this code was written for?"""
    wanted = ScriptDirectory.from_config(config()).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() == wanted
