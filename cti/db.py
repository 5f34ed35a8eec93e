"""One piece of work, durable when it returns: the only place that opens databases and commits.

A piece of work is a plain function of a session. On SQLite all pieces go to one writer thread, which takes whatever waits, runs each
in a savepoint of its own and commits the group once, fully synced; on PostgreSQL each is a transaction of its own on the asyncio
engine. Reads have connections of their own and never wait for the writer.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import datetime as dt
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import DateTime, MetaData, create_engine, text
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from cti import sqlite_turn
from cti.sqlite_turn import READERS
from cti.sqlite_turn import sqlite_engine as sqlite_engine

P = ParamSpec("P")
T = TypeVar("T")

WORKS_WAITING_MAX = 2000  # more than this and a caller of `work` gets Overloaded instead of a place in the line
GROUP_MAX = 64  # works that share one commit on SQLite
WORK_TIMEOUT_S = 10.0
HOLD_LOOK_S = 2.0
# A node that is stopped in the middle of a transaction must not hold its locks, the ledger's turn among them, for longer than this.
POSTGRES_OPTIONS = "-c idle_in_transaction_session_timeout=1500"

NEWS = "news"  # session.info key: what `ledger.append` wrote in this piece of work
LAST_WORDS = "last words"  # session.info key: functions of the session that are called when the piece of work is done, before it is durable
AGAIN_MAX = 3  # runs of a piece of work that another node's was in the way of
DEADLOCK, NOT_SERIAL = "40P01", "40001"  # SQLSTATE of PostgreSQL, appendix A


class Overloaded(RuntimeError):
    """The database is so far behind that new work is refused; nothing was done."""


class DatabaseTimeout(TimeoutError):
    """No answer in time; the work may still become durable."""


class Beaten(RuntimeError):
    """Somebody else wrote the same fact while this piece of work ran: it is undone and run again, and sees it then."""


# What a database that is not there, does not answer, is full or is locked makes of a piece of work. Nothing was done, or it may still
# become durable (DatabaseTimeout); trying again later is right for whoever can, and everything else goes on without it.
# InternalError: PostgreSQL ended a transaction that we held too long, or became read only.
AWAY = (DatabaseTimeout, TimeoutError, Overloaded, OperationalError, InterfaceError, InternalError, OSError)


class UtcDateTime(TypeDecorator[dt.datetime]):
    """Times are UTC in the database and aware in Python, on both engines."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a time with a zone, got the naive {value!r}")
        return value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class Base(DeclarativeBase):
    """The mother of all tables. Constraint names are fixed so that migrations can name them on both engines."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dt.datetime: UtcDateTime}  # noqa: RUF012  (SQLAlchemy's own form)


@dataclass
class _Job:
    run: Callable[[Session], Any]
    future: concurrent.futures.Future[Any]
    result: Any = None
    error: BaseException | None = None
    news: list[Any] = field(default_factory=list)


Committed = Callable[[list[Any]], None]


class Database:
    """Works and reads against one address. `on_commit` hears, on the loop and in commit order, what a work put into NEWS."""

    def __init__(self, url: str, *, bulk: bool = False) -> None:
        """`bulk`: of a process that only loads (sqlite_turn.BULK); on PostgreSQL it changes nothing."""
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.on_commit: Committed = lambda news: None
        self._inner: _Sqlite | _Postgres = _Sqlite(self, bulk=bulk) if self.is_sqlite else _Postgres(self)

    async def work(self, fn: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(session, …)`; when this returns, what it wrote is on disk and its news is told. An exception undoes all of it."""
        return await self._inner.work(lambda session: fn(session, *args, **kwargs))

    async def read(self, fn: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(session, …)` on a connection that sees one moment; whatever it writes is thrown away."""
        return await self._inner.read(lambda session: fn(session, *args, **kwargs))

    async def hold(self, lock: int) -> None:
        """Hold an advisory lock of PostgreSQL (bigint) for as long as this is awaited, on a connection of its own: when this process
        dies, the server knows at once. Returns when the connection is lost; on SQLite never."""
        await self._inner.hold(lock)

    async def close(self) -> None:
        await self._inner.close()


class _Sqlite:
    def __init__(self, owner: Database, *, bulk: bool) -> None:
        self._owner = owner
        if owner.url.database:
            Path(owner.url.database).parent.mkdir(parents=True, exist_ok=True)
        self._engine = sqlite_engine(str(owner.url), bulk=bulk)
        self._jobs: queue.Queue[_Job | None] = queue.Queue(WORKS_WAITING_MAX)
        self._readers = concurrent.futures.ThreadPoolExecutor(READERS, thread_name_prefix="db-read")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer = threading.Thread(target=self._write, name="db-write", daemon=True)
        self._writer.start()

    async def work(self, run: Callable[[Session], T]) -> T:
        self._loop = asyncio.get_running_loop()
        job = _Job(run, concurrent.futures.Future())
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise Overloaded(f"{WORKS_WAITING_MAX} works wait for the database") from None
        return await _in_time(asyncio.wrap_future(job.future))

    async def read(self, run: Callable[[Session], T]) -> T:
        def in_thread() -> T:
            with Session(self._engine) as session:
                session.connection().exec_driver_sql("BEGIN")  # one moment for all its queries
                return run(session)

        return await _in_time(asyncio.get_running_loop().run_in_executor(self._readers, in_thread))

    async def hold(self, lock: int) -> None:
        await asyncio.Event().wait()  # there is one process, so nobody has to know

    async def close(self) -> None:
        await asyncio.to_thread(self._jobs.put, None)
        await asyncio.to_thread(self._writer.join, WORK_TIMEOUT_S)
        self._readers.shutdown(wait=True)
        self._engine.dispose()

    def _write(self) -> None:
        """The writer thread: a group of waiting jobs, a savepoint each, one commit for all."""
        ending = False
        while not ending:
            group, ending = self._next_group()
            if group:
                self._commit(group)

    def _next_group(self) -> tuple[list[_Job], bool]:
        first = self._jobs.get()
        group = [first] if first is not None else []
        ending = first is None
        while not ending and len(group) < GROUP_MAX:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                ending = True
            else:
                group.append(job)
        return group, ending

    def _commit(self, group: list[_Job]) -> None:
        with Session(self._engine, expire_on_commit=False) as session:
            try:
                _begin_to_write(session)
                alone = len(group) == 1
                for job in group:
                    self._run(session, job, alone=alone)
                    if job.error is not None and (alone or not _in_transaction(session)):
                        raise job.error  # a full or failing disk makes SQLite undo the whole group, not the savepoint alone
                session.commit()
            except BaseException as error:  # noqa: BLE001  the disk said no: each of the group hears it, the thread lives on
                with contextlib.suppress(Exception):
                    session.rollback()
                for job in group:
                    job.error = job.error or error
        self._tell(group)

    def _run(self, session: Session, job: _Job, *, alone: bool) -> None:
        """In a savepoint; a job that has the transaction for itself needs none."""
        session.info[NEWS], session.info[LAST_WORDS] = job.news, []
        try:
            with contextlib.nullcontext() if alone else session.begin_nested():
                job.result = _done(session, job.run)
        except Exception as error:  # noqa: BLE001  handed to whoever awaits this job; the others of the group go on
            job.error = error
        session.expunge_all()  # rows that this job returned are its own: the next one's failure must not expire them

    def _tell(self, group: list[_Job]) -> None:
        """Crossing: from the writer thread to the loop, one call for the whole group so that the order is the commit's."""

        def on_loop() -> None:
            for job in group:
                if job.error is None and job.news:
                    self._owner.on_commit(job.news)
                if job.future.set_running_or_notify_cancel():
                    if job.error is not None:
                        job.future.set_exception(job.error)
                    else:
                        job.future.set_result(job.result)

        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(on_loop)


class _Postgres:
    """Reads have connections of their own: they begin as they will be used, and are not asked before each use whether they still live, for
    that would take as long as what is asked. A read whose connection was lost is done again on another."""

    def __init__(self, owner: Database) -> None:
        self._owner = owner
        options: dict[str, Any] = {"hide_parameters": True, "connect_args": {"options": POSTGRES_OPTIONS}}
        self._engine = create_async_engine(
            owner.url, pool_size=READERS, max_overflow=READERS, pool_pre_ping=True, **options
        )
        self._reads = create_async_engine(
            owner.url, pool_size=READERS * 2, max_overflow=0, isolation_level="REPEATABLE READ", **options
        )  # a read sees one moment in all its queries
        self._order = asyncio.Lock()
        self._working = 0

    async def work(self, run: Callable[[Session], T]) -> T:
        """A transaction of its own. The ledger's numbers are taken in its last words, under a lock that holds until the commit, so
        the order of telling is the order of `seq`."""
        if self._working >= WORKS_WAITING_MAX:
            raise Overloaded(f"{WORKS_WAITING_MAX} works wait for the database")

        async def until_written() -> T:
            for _ in range(AGAIN_MAX - 1):
                try:
                    return await transaction()
                except (Beaten, IntegrityError, OperationalError) as error:
                    if not _may_go_better(error):
                        raise
            return await transaction()

        async def transaction() -> T:
            news: list[Any] = []

            def in_session(session: Session) -> T:
                session.info[NEWS], session.info[LAST_WORDS] = news, []
                return _done(session, run)

            async with self._engine.connect() as connection:
                await connection.begin()  # ours: a session that began it itself would undo it when it closes
                result = await connection.run_sync(lambda sync: _in_session(sync, in_session))
                async with self._order:
                    await connection.commit()
                    if news:
                        self._owner.on_commit(news)
                return result

        return await _in_time(self._apart(until_written()))

    async def read(self, run: Callable[[Session], T]) -> T:
        async def reading() -> T:
            async with self._reads.connect() as connection:
                return await connection.run_sync(lambda sync: _in_session(sync, run))

        async def until_read() -> T:
            try:
                return await reading()
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            return await reading()

        return await _in_time(self._apart(until_read()))

    async def hold(self, lock: int) -> None:
        async with self._engine.connect() as connection:
            held = await connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                await held.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": lock})
                while True:
                    await asyncio.sleep(HOLD_LOOK_S)
                    await held.execute(text("SELECT 1"))
            finally:
                await held.invalidate()  # back in the pool it would go on holding the lock

    async def _apart(self, work: Coroutine[Any, Any, T]) -> T:
        """Whoever gives up waiting goes at once; the work ends by itself. Cancelled with him, psycopg would hold him for five
        seconds while it asks a server that hangs to stop."""
        self._working += 1
        task = asyncio.create_task(work)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._working -= 1
        if not task.cancelled():
            task.exception()  # whoever waited has it, or has gone

    async def close(self) -> None:
        await self._engine.dispose()
        await self._reads.dispose()


def _may_go_better(error: Exception) -> bool:
    """Another transaction was in the way: the same row at the same moment, or each had what the other wanted."""
    state = getattr(getattr(error, "orig", None), "sqlstate", "")
    return isinstance(error, Beaten | IntegrityError) or state in (DEADLOCK, NOT_SERIAL)


def _begin_to_write(session: Session) -> None:
    driver: Any = session.connection().connection.driver_connection
    if not sqlite_turn.take(driver):
        session.connection().exec_driver_sql("BEGIN IMMEDIATE")


def _done(session: Session, run: Callable[[Session], T]) -> T:
    """The piece of work, and what it left to be said at its end."""
    result = run(session)
    session.flush()
    for word in session.info[LAST_WORDS]:
        word(session)
    return result


def _in_transaction(session: Session) -> bool:
    """Asks SQLite itself: SQLAlchemy does not notice when a transaction is undone behind its back."""
    driver: Any = session.connection().connection.driver_connection
    return bool(driver.in_transaction)


def _in_session(connection: Any, run: Callable[[Session], T]) -> T:
    with Session(connection, expire_on_commit=False) as session:
        return run(session)


async def _in_time(answer: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(WORK_TIMEOUT_S):
            return await answer
    except TimeoutError as error:
        raise DatabaseTimeout(f"expected an answer of the database within {WORK_TIMEOUT_S:g} s") from error


@contextlib.contextmanager
def sync_session(url: str) -> Iterator[Session]:
    """A session for one-off tools (imports of the demo company, migrations in tests); commits at the end."""
    engine = sqlite_engine(url) if make_url(url).get_backend_name() == "sqlite" else create_engine(url)
    with Session(engine, expire_on_commit=False) as session:
        if engine.dialect.name == "sqlite":
            session.execute(text("BEGIN IMMEDIATE"))
        session.info[LAST_WORDS] = []
        yield session
        _done(session, lambda session: None)
        session.commit()
    engine.dispose()
