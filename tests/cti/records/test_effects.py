"""Once is once: asked twice, asked by two nodes at the same moment, and asked again after it was undone."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from cti import ledger, migrations
from cti.db import Database
from cti.events import SignedIn
from cti.records import effects

WAIT_S = 20


class Maker:
    """Says how often it was asked, and leaves an event each time."""

    def __init__(self, now: dt.datetime) -> None:
        self.now = now
        self.times = 0

    def __call__(self, session: Session) -> dict[str, Any]:
        self.times += 1
        ledger.append(session, SignedIn(user=str(self.times), role="agent"), now=self.now)
        return {"number": f"n{self.times}", "new": True}


async def events(db: Database) -> int:
    return len(await db.read(ledger.since, 0))


async def test_the_second_time_is_told_what_the_first_one_made(any_db, now):
    make = Maker(now)
    first = await any_db.work(effects.once, "c:open:1", make, now=now)
    again = await any_db.work(effects.once, "c:open:1", make, now=now)
    other = await any_db.work(effects.once, "c:open:2", make, now=now)
    assert (first, again, other) == ({"number": "n1", "new": True}, first, {"number": "n2", "new": True})
    assert (make.times, await events(any_db)) == (2, 2)


async def test_many_at_once_make_it_once(any_db, now):
    make = Maker(now)
    told = await asyncio.gather(*(any_db.work(effects.once, "k", make, now=now) for _ in range(30)))
    assert told == [{"number": "n1", "new": True}] * 30
    assert (make.times, await events(any_db)) == (1, 1)


async def test_twice_in_one_piece_of_work_is_once(any_db, now):
    make = Maker(now)
    twice = lambda session: [effects.once(session, "k", make, now=now) for _ in range(2)]  # noqa: E731
    first, second = await any_db.work(twice)
    assert first == second
    assert make.times == 1


async def test_what_was_undone_is_made_again(any_db, now):
    make = Maker(now)

    def broken(session: Session) -> None:
        effects.once(session, "k", make, now=now)
        raise LookupError("after the effect, before the commit")

    with pytest.raises(LookupError):
        await any_db.work(broken)
    assert await any_db.work(effects.once, "k", make, now=now) == {"number": "n2", "new": True}
    assert await events(any_db) == 1


async def test_an_effect_that_failed_is_not_taken_for_done_by_whoever_goes_on(any_db, now):
    make = Maker(now)

    def fails(session: Session) -> dict[str, Any]:
        raise LookupError("no such line")

    def goes_on(session: Session) -> None:
        with pytest.raises(LookupError):
            effects.once(session, "k", fails, now=now)

    await any_db.work(goes_on)
    await any_db.work(effects.once, "k", make, now=now)
    assert make.times == 1


@pytest.mark.parametrize("key", ["", "k" * (effects.KEY_MAX + 1)])
async def test_a_key_that_no_row_can_have_is_refused(db, now, key):
    with pytest.raises(ValueError, match="expected a key of 1 to 160 characters"):
        await db.work(effects.once, key, Maker(now), now=now)


# --- two nodes, each with its own connection ---


class Nodes:
    """Two threads, each with its own transaction, and a watcher who sees that the second one waits for the first."""

    def __init__(self, engine: Engine, now: dt.datetime) -> None:
        self.engine = engine
        self.now = now
        self.inside, self.release = threading.Event(), threading.Event()
        self.pool = ThreadPoolExecutor(2)

    def first(self, *, then: Exception | None = None) -> Future[dict[str, Any]]:
        """Stands in the middle of its effect until it is released; then it commits, or raises."""

        def make(session: Session) -> dict[str, Any]:
            self.inside.set()
            assert self.release.wait(WAIT_S)
            if then is not None:
                raise then
            return {"by": "first"}

        going = self.pool.submit(self._run, make)
        assert self.inside.wait(WAIT_S)
        return going

    def second(self) -> Future[dict[str, Any]]:
        """Asked for the same while the first one stands there; returns when it waits."""
        going = self.pool.submit(self._run, lambda session: {"by": "second"})
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        with self.engine.connect() as watcher:
            while watcher.execute(waits).scalar() == 0:
                assert not going.done(), "expected the second to wait for the first"
        return going

    def _run(self, make: Any) -> dict[str, Any]:
        with Session(self.engine) as session, session.begin():
            return effects.once(session, "c:open:1", make, now=self.now)


@pytest.fixture
def nodes(postgres: Any, postgres_database: str, now: dt.datetime) -> Iterator[Nodes]:
    engine = create_engine(postgres.url(postgres_database), pool_size=3)
    nodes = Nodes(engine, now)
    yield nodes
    nodes.release.set()
    nodes.pool.shutdown()
    engine.dispose()
    postgres.empty(postgres_database, migrations.tables().tables)


def test_the_second_node_gets_what_the_first_one_commits(nodes: Nodes):
    first, second = nodes.first(), nodes.second()
    nodes.release.set()
    assert first.result(WAIT_S) == second.result(WAIT_S) == {"by": "first"}


def test_the_second_node_makes_it_when_the_first_one_is_undone(nodes: Nodes):
    first, second = nodes.first(then=LookupError("died")), nodes.second()
    nodes.release.set()
    assert second.result(WAIT_S) == {"by": "second"}
    with pytest.raises(LookupError):
        first.result(WAIT_S)


def test_another_effect_does_not_wait(nodes: Nodes):
    nodes.first()
    with Session(nodes.engine) as session, session.begin():
        assert effects.once(session, "other:open:1", lambda _: {"by": "third"}, now=nodes.now) == {"by": "third"}


async def test_a_probe_leaves_one_row_however_often_it_asks(db: Database, now: dt.datetime) -> None:
    for _ in range(3):
        await db.work(effects.probe, "1", now)
    assert await db.read(lambda session: session.scalar(text("SELECT count(*) FROM effects"))) == 1


async def test_a_probe_finds_that_a_full_database_takes_nothing_new(db: Database, now: dt.datetime) -> None:
    def full(session: Session) -> None:
        session.connection().exec_driver_sql("PRAGMA max_page_count=1")  # SQLite makes of it as many pages as there are
        effects.probe(session, "2", now)

    await db.work(effects.probe, "1", now)
    with pytest.raises(OperationalError, match="full"):
        await db.work(full)
