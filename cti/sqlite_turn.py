"""The writer's turn on SQLite, which it may have to take from another process: an import, a migration, a tool."""

from __future__ import annotations

import sqlite3
import time

BUSY_MS = 5000  # SQLite's own wait for a lock that another process has
LOOK_S, LOOKS_MAX = 0.001, 1000  # how often and how many times we look by ourselves before that


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
