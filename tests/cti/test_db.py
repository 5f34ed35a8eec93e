"""A piece of work is durable when it returns, fails alone, and its news is told in the order of the ledger: on both engines."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

import cti.db
from cti import ledger
from cti.db import AWAY, Database, DatabaseTimeout, Overloaded, sync_session
from cti.events import FlowFailed, Recorded
from cti.records.conversations import Disposition


def add(session: Session, name: str) -> Disposition:
    row = Disposition(id=name, name_tr=name, name_en=name, position=0)
    session.add(row)
    return row


def names(session: Session) -> list[str]:
    return list(session.scalars(select(Disposition.id).order_by(Disposition.id)))


def append(session: Session, number: int, now: dt.datetime) -> int:
    assert ledger.append(session, FlowFailed(conversation=f"c{number}", node="main", error=""), now=now)
    return number


class Held:
    """The SQLite writer, busy with one piece of work until it is let go; what comes meanwhile waits and makes one group."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._begun = threading.Event()
        self._free = threading.Event()

    async def __aenter__(self) -> Held:
        self._work = asyncio.ensure_future(self._db.work(self._wait))
        await asyncio.to_thread(self._begun.wait, 5)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.let_go()
        await asyncio.gather(self._work, return_exceptions=True)

    def let_go(self) -> None:
        self._free.set()

    def _wait(self, session: Session) -> None:
        self._begun.set()
        self._free.wait(5)


async def group(db: Database, *works: Any) -> list[Any]:
    """Run these works as one group of the SQLite writer; results and errors in their order."""
    async with Held(db) as held:
        waiting = [asyncio.ensure_future(db.work(*each)) for each in works]
        await asyncio.wait(waiting, timeout=0)  # each has its place in the line
        held.let_go()
        return await asyncio.gather(*waiting, return_exceptions=True)


@pytest_asyncio.fixture
async def impatient(any_db: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """The same database, opened once more with little patience and little room."""
    monkeypatch.setattr(cti.db, "WORKS_WAITING_MAX", 3)
    database = Database(any_db.url.render_as_string(hide_password=False))
    yield database
    await database.close()


# --- both engines ---


async def test_work_is_there_for_others_when_it_returns(any_db):
    await any_db.work(add, "one")
    with sync_session(str(any_db.url)) as elsewhere:
        assert names(elsewhere) == ["one"]


async def test_a_work_that_fails_leaves_nothing_behind(any_db, now):
    told: list[Any] = []
    any_db.on_commit = told.extend

    def half(session: Session) -> None:
        add(session, "one")
        append(session, 1, now)
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        await any_db.work(half)
    assert await any_db.read(names) == []
    assert await any_db.read(ledger.last_seq) == 0
    assert told == []


async def test_a_broken_constraint_is_told_to_who_broke_it_and_the_next_work_goes_on(any_db):
    await any_db.work(add, "one")
    with pytest.raises(IntegrityError):
        await any_db.work(add, "one")
    await any_db.work(add, "two")
    assert await any_db.read(names) == ["one", "two"]


async def test_rows_can_be_read_after_the_work(any_db):
    row = await any_db.work(add, "one")
    assert (row.id, row.name_en) == ("one", "one")


async def test_a_read_sees_one_moment(any_db):
    def twice(session: Session) -> tuple[list[str], list[str]]:
        before = names(session)
        with sync_session(str(any_db.url)) as elsewhere:
            add(elsewhere, "meanwhile")
        return before, names(session)

    assert await any_db.read(twice) == ([], [])
    assert await any_db.read(names) == ["meanwhile"]


async def test_what_a_read_writes_is_thrown_away(any_db):
    def writes(session: Session) -> None:
        add(session, "one")
        session.flush()

    await any_db.read(writes)
    assert await any_db.read(names) == []


async def test_news_is_told_in_the_order_of_the_ledger_and_before_the_work_returns(any_db, now):
    told: list[int] = []
    conversations: list[str | None] = []

    def tell(news: list[Any]) -> None:
        told.extend(each.seq for each in news)
        conversations.extend(each.conversation for each in news)

    any_db.on_commit = tell

    async def work(number: int) -> bool:
        return f"c{await any_db.work(append, number, now)}" in conversations

    assert all(await asyncio.gather(*(work(number) for number in range(100))))
    assert told == sorted(told)
    assert len(told) == 100


async def test_whoever_follows_the_ledger_misses_nothing_while_many_write(any_db, now):
    """A later number must not become visible before an earlier one: the follower would step over that."""
    followed: list[Recorded] = []

    def slowly(session: Session, number: int) -> None:
        if number % 3 == 0:
            append(session, number, now)
        add(session, f"{number:03}")
        session.flush()
        if not any_db.is_sqlite:
            session.execute(text("SELECT pg_sleep(:s)"), {"s": (number % 7) / 1000})
        append(session, 1000 + number, now)

    async def follow() -> None:
        followed.extend(await any_db.read(ledger.since, followed[-1].seq if followed else 0))

    writers = asyncio.gather(*(any_db.work(slowly, number) for number in range(60)))
    while not writers.done():
        await follow()
    await writers
    await follow()
    assert len(followed) == 80
    assert followed == await any_db.read(ledger.since, 0)


async def test_too_much_waiting_work_is_refused_and_nothing_of_it_is_done(impatient):
    many = await asyncio.gather(*(impatient.work(add, f"{number:02}") for number in range(40)), return_exceptions=True)
    refused = [each for each in many if isinstance(each, Overloaded)]
    assert refused
    assert len(await impatient.read(names)) == 40 - len(refused)


async def test_after_the_rush_there_is_room_again(impatient):
    await asyncio.gather(*(impatient.work(add, f"{number:02}") for number in range(40)), return_exceptions=True)
    assert (await impatient.work(add, "later")).id == "later"


async def test_times_come_back_in_utc_whatever_zone_they_had(any_db, now):
    istanbul = now.astimezone(dt.timezone(dt.timedelta(hours=3)))
    await any_db.work(append, 1, istanbul)
    (recorded,) = await any_db.read(ledger.since, 0)
    assert recorded.at == now
    assert recorded.at.utcoffset() == dt.timedelta(0)


async def test_a_time_without_a_zone_is_refused(any_db, now):
    with pytest.raises(Exception, match="expected a time with a zone"):
        await any_db.work(append, 1, now.replace(tzinfo=None))


async def test_errors_do_not_carry_what_people_wrote(any_db):
    await any_db.work(add, "+905325550123")
    with pytest.raises(IntegrityError) as error:
        await any_db.work(add, "+905325550123")
    assert "[parameters:" not in str(error.value)
    assert "+905325550123" not in repr(error.value) or not any_db.is_sqlite  # PostgreSQL names the key; logs mask it


# --- SQLite: one writer, one commit for a group ---


async def test_what_waits_shares_one_commit(db):
    commits: list[object] = []
    event.listen(db._inner._engine, "commit", commits.append)
    await group(db, *((add, f"{number:02}") for number in range(20)))
    assert len(await db.read(names)) == 20
    assert len(commits) == 2  # the one that held the writer, and the group


async def test_one_that_fails_does_not_hurt_its_neighbours(db, now):
    told: list[Any] = []
    db.on_commit = told.extend

    def fails(session: Session) -> None:
        append(session, 99, now)
        raise KeyError("mine")

    results = await group(db, (add, "one"), (add, "one"), (append, 1, now), (fails,), (add, "two"))
    assert [type(each) for each in results] == [Disposition, IntegrityError, int, KeyError, Disposition]
    assert await db.read(names) == ["one", "two"]
    assert [each.conversation for each in told] == ["c1"]


async def test_a_row_that_was_returned_stays_readable_when_a_neighbour_changes_it_and_fails(db):
    await db.work(add, "one")

    def changes_and_fails(session: Session) -> None:
        session.get_one(Disposition, "one").name_en = "other"
        session.flush()
        raise ValueError

    row, error = await group(db, (lambda session: session.get_one(Disposition, "one"),), (changes_and_fails,))
    assert row.name_en == "one"
    assert isinstance(error, ValueError)


async def test_a_full_disk_is_told_to_each_and_the_writer_lives_on(db, now):
    told: list[Any] = []
    db.on_commit = told.extend

    def fill(session: Session) -> None:
        pages = session.scalar(text("PRAGMA page_count"))
        session.execute(text(f"PRAGMA max_page_count={pages + 3}"))
        for number in range(100):
            add(session, f"{number:03}").name_tr = "x" * 4000
            session.flush()

    results = await group(db, (append, 1, now), (fill,), (append, 2, now))
    assert [type(each) for each in results] == [OperationalError] * 3  # SQLite undid the first one too
    assert told == []
    assert await db.read(ledger.last_seq) == 0
    await db.work(lambda session: session.execute(text("PRAGMA max_page_count=1000000")))
    await db.work(add, "later")


async def test_a_commit_that_fails_is_told_to_every_one_of_its_group(db, now):
    told: list[Any] = []
    db.on_commit = told.extend

    def promises_too_much(session: Session) -> None:
        session.execute(text("PRAGMA defer_foreign_keys=ON"))
        session.execute(text("INSERT INTO flow_versions VALUES ('nowhere', 1, '{}', '2026-01-01', '')"))

    results = await group(db, (append, 1, now), (promises_too_much,), (add, "one"))
    assert [type(each) for each in results] == [IntegrityError] * 3
    assert told == []
    assert await db.read(ledger.last_seq) == 0
    await db.work(add, "later")


async def test_who_waits_too_long_is_told_so_and_the_work_may_still_be_done(db, now, monkeypatch):
    told = asyncio.Event()
    db.on_commit = lambda news: told.set()
    async with Held(db) as held:
        monkeypatch.setattr(cti.db, "WORK_TIMEOUT_S", 0.01)
        with pytest.raises(DatabaseTimeout, match=r"within 0\.01 s"):
            await db.work(append, 1, now)
        monkeypatch.undo()
        held.let_go()
        await told.wait()
    assert await db.read(ledger.last_seq) == 1


async def test_reads_do_not_wait_for_the_writer(db):
    await db.work(add, "one")
    async with Held(db):
        assert await db.read(names) == ["one"]


async def test_closing_finishes_what_waits(db, tmp_path):
    async with Held(db) as held:
        waiting = asyncio.ensure_future(db.work(add, "one"))
        await asyncio.wait([waiting], timeout=0)
        closing = asyncio.ensure_future(db.close())
        held.let_go()
        await closing
    assert (await waiting).id == "one"


async def test_the_file_is_synced_at_every_commit(db):
    settings = await db.read(
        lambda session: [
            session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )
    assert settings == ["wal", 2, 1]


# --- PostgreSQL ---


async def test_postgresql_that_does_not_answer_in_time_is_given_up(pg, monkeypatch):
    monkeypatch.setattr(cti.db, "WORK_TIMEOUT_S", 0.05)
    for ask in (pg.work, pg.read):
        with pytest.raises(DatabaseTimeout):
            await ask(lambda session: session.execute(text("SELECT pg_sleep(5)")))
    monkeypatch.undo()
    await pg.work(add, "later")
    assert await pg.read(names) == ["later"]


async def test_postgresql_that_went_away_is_an_error_and_then_it_is_back(pg, postgres):
    await pg.work(add, "one")
    with pytest.raises(OperationalError):
        await pg.work(lambda session: session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())")))
    await pg.work(add, "two")
    assert await pg.read(lambda session: session.scalar(select(func.count()).select_from(Disposition))) == 2


def held_too_long(session: Session, url: str) -> None:
    """A transaction that stands still, until the server has ended it."""
    session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 1"))
    driver: Any = session.connection().connection.driver_connection
    ours = {"pid": driver.info.backend_pid}
    with sync_session(url) as elsewhere:
        while elsewhere.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid"), ours):
            elsewhere.rollback()  # within one transaction the answer stays what it was
    add(session, "one")


def read_only(session: Session, url: str) -> None:
    session.execute(text("SET TRANSACTION READ ONLY"))
    add(session, "one")


@pytest.mark.parametrize("work", [held_too_long, read_only])
async def test_postgresql_that_ended_our_transaction_or_takes_no_writing_is_away_and_then_it_is_back(pg, work):
    with pytest.raises(AWAY):
        await pg.work(work, str(pg.url))
    await pg.work(add, "two")
    assert await pg.read(names) == ["two"]


async def test_a_read_whose_connection_was_lost_is_done_again(pg):
    def me(session):
        return session.scalar(text("SELECT pg_backend_pid()"))

    lost = await pg.read(me)
    await pg.work(lambda session: session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": lost}).all())
    assert await pg.read(me) != lost


async def test_a_read_that_is_wrong_is_not_done_again(pg):
    asked = []

    def wrong(session):
        asked.append(session.scalar(text("SHOW transaction_isolation")))
        session.execute(text("SELECT 1 FROM nothing"))

    with pytest.raises(ProgrammingError):
        await pg.read(wrong)
    assert asked == ["repeatable read"]
