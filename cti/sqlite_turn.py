"""SQLite's connections, and the writer's turn, which it may have to take from another process: an import, a migration, a tool."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from sqlalchemy import Engine, create_engine, event

BUSY_MS = 5000  # SQLite's own wait for a lock that another process has
LOOK_S, LOOKS_MAX = 0.001, 1000  # how often and how many times we look by ourselves before that

READERS = 4  # threads (SQLite) or spare connections (PostgreSQL) for reads

# Others carry the log over before the calls' process has to (records/import_turns.PAGES_BESIDE).
DURABLE = ("synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=4000", "journal_size_limit=67108864")
# A process that only loads: what it wrote last a power cut may take away (never the file's soundness), it has looked up every id it
# refers to in the same transaction, and it keeps the pages of the indexes at hand (64 MB) and the log as long as it is (256 MB).
BULK = ("synchronous=NORMAL", "foreign_keys=OFF", "cache_size=-65536", "journal_size_limit=268435456")


def sqlite_engine(url: str, *, bulk: bool = False) -> Engine:
    """An engine whose connections are durable (WAL, fully synced) and whose transactions begin only where we say so."""
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False},
        pool_size=READERS + 1,
        max_overflow=0,
        hide_parameters=True,  # errors are logged; what people wrote and their numbers are not
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # pysqlite's own BEGIN would come too late for savepoints
        cursor = connection.cursor()
        always = ("journal_mode=WAL", f"busy_timeout={BUSY_MS}", "trusted_schema=OFF")
        for pragma in (*always, *(BULK if bulk else DURABLE)):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def take(driver: sqlite3.Connection) -> bool:
    """Begin a transaction that writes, as soon as nobody else does. SQLite itself waits in longer and longer naps, up to 100 ms, and
    sleeps through every gap between the pieces of an import. False: it must be begun in the ordinary way, which waits as SQLite does
    and says what is wrong."""
    driver.execute("PRAGMA busy_timeout=0")
    try:
        for _ in range(LOOKS_MAX):
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # the low byte is the primary code
                    return False
                time.sleep(LOOK_S)
            else:
                return True
        return False
    finally:
        driver.execute(f"PRAGMA busy_timeout={BUSY_MS}")
