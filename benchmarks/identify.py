"""Who is calling, out of ten million contact points: 50 lookups a second for a minute beside a running import, on SQLite and PostgreSQL.

Lookups go through the product's own way (contact_points.identify by Database.read) on a schedule, and count from the moment at which they
were due. Beside them the product's import runs in a process of its own, and a call's small write is made ten times a second. The rival,
in the same database: the suffix LIKE over a column of numbers as they were written, by which common connectors find a caller.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from benchmarks import importer
from benchmarks.contact_book import Book, fill
from benchmarks.report import Figure, against, keep, percentile
from cti import migrations, numbers
from cti.cluster import postgresql
from cti.config import Settings
from cti.db import Database, DatabaseTimeout, sqlite_engine
from cti.identity import Outcome
from cti.ledger import uuid7
from cti.records.batches import Import
from cti.records.contact_points import identify
from cti.records.conversations import Conversation
from cti.run import make_quick

POINTS = 10_000_000
ENGINES = ("sqlite", "postgresql")
LOOKUPS_PER_S, LOOKUPS_S = 50, 60
WRITES_PER_S = 10
WARM = 100  # lookups before the minute: the first ones of a process make its statements
RIVALS = 10  # suffix searches; each reads the whole table
ALONE_ROWS = 1_000_000  # imported into an empty database, with nothing beside it
BESIDE_ROWS = 1_500_000  # more than a minute's worth
SEED = 20_261_122


@dataclass(frozen=True)
class Filled:
    """A filled database."""

    engine: str
    url: str
    size_bytes: int


@dataclass(frozen=True)
class Beside:
    """What was measured in the minute."""

    lookups_ms: list[float]
    writes_ms: list[float]
    rows: int
    passed_s: float
    rss_mb: list[float]


def say(what: str) -> None:
    print(f"  {dt.datetime.now(dt.UTC):%H:%M:%S} {what}", file=sys.stderr, flush=True)


async def measure(
    settings: Settings, points: int, kept: Callable[[list[Figure]], None], engines: Sequence[str] = ENGINES
) -> None:
    """`kept` hears of the figures as they come; the whole takes a quarter of an hour."""
    with tempfile.TemporaryDirectory(prefix="santral-book-") as name:
        folder = Path(name)
        kept(await _import_alone(folder))
        new = folder / "new.csv"
        await asyncio.to_thread(importer.write, new, min(BESIDE_ROWS, points), 5_000_000)
        for engine in engines:
            async with _sqlite(folder, points) if engine == "sqlite" else _postgresql(settings, points) as book:
                kept(await _engine(book, points, new))


async def _engine(book: Filled, points: int, new: Path) -> list[Figure]:
    sort = f"{points // 1_000_000}m_{book.engine}" if points >= 1_000_000 else f"{points // 1000}k_{book.engine}"
    db = Database(book.url)
    try:
        beside = await _beside(db, Book(points), book.url, new)
        rival_ms = await _rival(db, Book(points))
    finally:
        await db.close()
    looked = beside.lookups_ms
    p99 = percentile(looked, 99)
    warm = beside.rss_mb[len(beside.rss_mb) // 4 :] or [0.0]
    return [
        Figure(name=f"identify.lookup_p50_ms_{sort}", value=round(percentile(looked, 50), 2), unit="ms", samples=len(looked)),
        Figure(name=f"identify.lookup_p95_ms_{sort}", value=round(percentile(looked, 95), 2), unit="ms", samples=len(looked)),
        against(f"identify.lookup_p99_ms_{sort}", p99, "ms", "suffix LIKE, median", percentile(rival_ms, 50), len(looked)),
        Figure(name=f"identify.suffix_like_p99_ms_{sort}", value=round(percentile(rival_ms, 99), 1), unit="ms", samples=RIVALS),
        Figure(name=f"identify.mb_per_million_{book.engine}", value=round(book.size_bytes / points, 1), unit="MB", samples=1),
        Figure(name=f"import.beside_rows_per_s_{sort}", value=round(beside.rows / beside.passed_s), unit="/s", samples=beside.rows),
        Figure(name=f"import.call_wait_p99_ms_{sort}", value=round(percentile(beside.writes_ms, 99), 1), unit="ms",
               samples=len(beside.writes_ms)),
        Figure(name=f"import.rss_growth_mb_{sort}", value=round(warm[-1] - warm[0], 1), unit="MB", samples=len(warm)),
    ]  # fmt: skip


# --- a minute ---------------------------------------------------------------------------------------------------------


async def _beside(db: Database, book: Book, url: str, new: Path) -> Beside:
    wanted = book.numbers(LOOKUPS_PER_S * LOOKUPS_S, SEED)
    now = dt.datetime.now(dt.UTC)
    rss: list[float] = []

    async def look(each: int) -> None:
        found = await db.read(identify, numbers.parse(wanted[each], "TR"), now)
        assert found.outcome in (Outcome.UNIQUE, Outcome.AMBIGUOUS), wanted[each]

    async def write(each: int) -> None:
        await db.work(_call, dt.datetime.now(dt.UTC))

    async with _importing(url, new, db) as process:
        watching = asyncio.create_task(_watch(process.pid, rss))
        for each in range(WARM):
            await look(each)
        rows, began = await db.read(_rows_in), time.perf_counter()
        lookups, writes = await asyncio.gather(
            _paced(look, LOOKUPS_PER_S, LOOKUPS_PER_S * LOOKUPS_S),
            _paced(write, WRITES_PER_S, WRITES_PER_S * LOOKUPS_S),
        )
        passed_s = time.perf_counter() - began
        rows = await db.read(_rows_in) - rows
        watching.cancel()
        if process.returncode is not None:
            say("the import was at its end before the minute was; its rate counts the whole minute")
    return Beside(lookups, writes, rows, passed_s, rss)


def _call(session: Session, now: dt.datetime) -> None:
    id_ = uuid7(now)
    session.add(Conversation(id=id_, channel=id_, did="", number_kind="withheld", arrived_at=now))


async def _paced(run: Callable[[int], Awaitable[None]], per_s: int, many: int) -> list[float]:
    """Run it on a schedule; how long each took, in ms, from when it was due."""
    began = time.perf_counter()

    async def one(each: int) -> float:
        due = began + each / per_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        with contextlib.suppress(DatabaseTimeout):  # ten seconds then stand in the figures
            await run(each)
        return (time.perf_counter() - due) * 1000

    return await asyncio.gather(*(one(each) for each in range(many)))


@asynccontextmanager
async def _importing(url: str, new: Path, db: Database) -> AsyncIterator[asyncio.subprocess.Process]:
    """The import at work; it is ended when the block is left."""
    argv = (sys.executable, "-m", "benchmarks.importer", url, str(new))
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(120):
            while await db.read(_rows_in) == 0:  # noqa: ASYNC110  it is another process that we wait for
                await asyncio.sleep(0.1)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


def _rows_in(session: Session) -> int:
    found = session.scalars(select(Import.counts).where(Import.file == "new.csv")).first()
    return (found or {}).get("rows", 0)


async def _watch(pid: int, rss: list[float]) -> None:
    """The memory of the importing process (without its reader), in MB, once a second."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            rss.append(_rss_mb(pid))
        await asyncio.sleep(1)


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _rival(db: Database, book: Book) -> list[float]:
    """What a connector asks that keeps numbers as they were written."""
    took: list[float] = []
    for number in book.numbers(RIVALS, SEED + 1):
        began = time.perf_counter()
        found = await db.read(_by_suffix, number[-10:])
        took.append((time.perf_counter() - began) * 1000)
        assert found >= 1, number
    return took


def _by_suffix(session: Session, suffix: str) -> int:
    query = text("SELECT id FROM contact_points WHERE raw LIKE :suffix")
    return len(session.execute(query, {"suffix": f"%{suffix}"}).all())


# --- databases --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _sqlite(folder: Path, points: int) -> AsyncIterator[Filled]:
    path = folder / "book.db"
    size = await asyncio.to_thread(_fill_sqlite, path, points)
    yield Filled("sqlite", f"sqlite:///{path}", size)
    await asyncio.to_thread(_remove, folder)


def _remove(folder: Path) -> None:
    for each in folder.glob("book.db*"):
        each.unlink()


def _fill_sqlite(path: Path, points: int) -> int:
    """The size of the file."""
    engine = sqlite_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        for pragma in (
            "journal_mode=OFF",
            "synchronous=OFF",
            "cache_size=-1000000",
            "foreign_keys=OFF",
            "temp_store=MEMORY",
        ):
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        connection.exec_driver_sql("BEGIN")
        fill(connection, Book(points), say)
        connection.commit()
        connection.exec_driver_sql("ANALYZE")
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    engine.dispose()
    return path.stat().st_size


@asynccontextmanager
async def _postgresql(settings: Settings, points: int) -> AsyncIterator[Filled]:
    with _server(settings) as server:
        await asyncio.to_thread(server.execute, "CREATE DATABASE book")
        size = await asyncio.to_thread(_fill_postgresql, server.url("book"), points)
        yield Filled("postgresql", server.url("book"), size)


@contextmanager
def _server(settings: Settings) -> Iterator[postgresql.Postgresql]:
    options = (
        "-c",
        "max_wal_size=8GB",
        "-c",
        "maintenance_work_mem=1GB",
        "-c",
        "shared_buffers=2GB",
        "-c",
        "checkpoint_timeout=30min",
    )
    with postgresql.prepared(settings.tools, say=say, options=options) as server:
        server.begin()
        yield server


def _fill_postgresql(url: str, points: int) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text("SET synchronous_commit = off"))
        connection.execute(text("SET session_replication_role = replica"))  # no check of each foreign key
        fill(connection, Book(points), say)
        connection.commit()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        size = connection.scalar(text("SELECT pg_database_size('book')"))
    engine.dispose()
    assert size is not None
    return int(size)


# --- the import alone -------------------------------------------------------------------------------------------------


async def _import_alone(folder: Path) -> list[Figure]:
    """Into an empty SQLite database, with nothing beside it."""
    path, database = folder / "alone.csv", folder / "alone.db"
    await asyncio.to_thread(importer.write, path, ALONE_ROWS, 1_000_000)
    engine = sqlite_engine(f"sqlite:///{database}")
    migrations.tables().create_all(engine)
    engine.dispose()
    rss: list[float] = []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.importer", f"sqlite:///{database}", str(path), stdout=asyncio.subprocess.PIPE
    )
    watching = asyncio.create_task(_watch(process.pid, rss))
    said, _ = await process.communicate()
    watching.cancel()
    done = json.loads(said)
    warm = rss[len(rss) // 4 :] or [0.0]
    return [
        Figure(name="import.rows_per_s", value=round(done["rows"] / done["passed_s"]), unit="/s", samples=done["rows"]),
        Figure(
            name="import.writer_cpu_us_per_row",
            value=round(done["cpu_s"] / done["rows"] * 1e6, 1),
            unit="us",
            samples=done["rows"],
        ),
        Figure(name="import.rss_growth_mb", value=round(warm[-1] - warm[0], 1), unit="MB", samples=len(warm)),
    ]


def main(arguments: list[str]) -> int:
    """`python -m benchmarks identify [--points N] [--engine E]`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks identify")
    parser.add_argument("--points", type=int, default=POINTS, help="contact points in each database")
    parser.add_argument("--engine", choices=ENGINES, action="append", help="one of them; without it both")
    given = parser.parse_args(arguments)
    settings = Settings()

    def kept(figures: list[Figure]) -> None:
        keep(figures, settings.data_dir / "bench.jsonl", dt.datetime.now(dt.UTC))

    make_quick()  # as the process does that takes the calls
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(settings, given.points, kept, given.engine or ENGINES))
    return 0
