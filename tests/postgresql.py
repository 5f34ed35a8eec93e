"""A real PostgreSQL for a test session: `cti.cluster.postgresql` without the writing to disk, and with databases to be used and emptied."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cti.cluster import postgresql
from cti.config import Settings


@dataclass(frozen=True)
class Server:
    """A running server."""

    engine: postgresql.Postgresql
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        return self.engine.url(database)

    def create(self) -> str:
        """A new database without tables; returns its name."""
        name = f"test_{next(self._numbers)}"
        self.engine.execute(f"CREATE DATABASE {name}")
        return name

    def empty(self, database: str, tables: Iterable[str]) -> None:
        """Throw away every row of these tables: quicker than a new database. Numbers begin at 1 again."""
        named = ", ".join(f'"{table}"' for table in tables)
        self.engine.execute(f"SET lock_timeout = '5s'; TRUNCATE {named} RESTART IDENTITY", database)


@contextmanager
def running() -> Iterator[Server]:
    """Start a server, and end it. Raises debs.DebsError when there is none and none can be fetched."""
    with postgresql.prepared(Settings().tools, say=print, options=postgresql.FAST) as engine:
        engine.begin()
        yield Server(engine)
