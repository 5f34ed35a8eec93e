"""What is planned where it is read comes to the same as what is planned with looking: rows, counts, rejected lines, on both engines."""

import contextlib
import csv
import datetime as dt
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from cti.db import Database
from cti.records import import_loading, imports
from cti.records.contact_points import ContactPoint, Link
from cti.records.import_ahead import ahead, cut
from cti.records.import_loading import Ids
from cti.records.import_rows import Parser
from cti.records.parties import Household, HouseholdMember, Party, Subscription
from tests.cti.records.test_imports_whole import Killed, killed_after, quiet

HEADER = "external_id,name,customer_no,household,household_role,subscription_no,subscription_kind,line_number,depends_on,phones\n"
BATCH = 5


@pytest.fixture
def planned_ahead(monkeypatch):
    """The reading process's work, in this one and in batches of five rows."""

    @contextlib.asynccontextmanager
    async def reading(wanted):
        async def found() -> AsyncIterator[object]:
            parser, ids = Parser(wanted.region), Ids(wanted.moment)
            with wanted.source.path.open(encoding="utf-8") as file:
                for rows in cut(parser.rows(file, wanted.after), BATCH):
                    yield ahead(rows, ids)
            yield parser.cleaning

        yield found()

    def begin() -> None:
        monkeypatch.setattr(imports, "reading", reading)
        monkeypatch.setattr(
            imports, "PIECE_MIN", imports.PIECE_FIRST
        )  # so small a piece seems slow, and would be planned anew

    return begin


@pytest.fixture
async def beside(sqlite_file, tmp_path) -> AsyncIterator[Database]:
    """Another database, opened as the import opens it."""
    shutil.copyfile(sqlite_file, tmp_path / "beside.db")
    database = Database(f"sqlite:///{tmp_path / 'beside.db'}", bulk=True)
    yield database
    await database.close()


def everything(session):
    """All that imports brought, told by names instead of ids."""
    carrier = select(Subscription.id, Subscription.number.label("carrier")).subquery()
    queries = (
        select(Party.external_id, Party.name, Party.customer_no, Party.search_text, Party.kind, Party.created_at, Party.batch),
        select(Household.label, Household.batch),
        select(Household.label, Party.external_id, HouseholdMember.role).select_from(HouseholdMember)
        .join(Household, Household.id == HouseholdMember.household_id).join(Party, Party.id == HouseholdMember.party_id),
        select(Subscription.number, Party.external_id, Household.label, Subscription.line_number, Subscription.status, carrier.c.carrier)
        .join(Party, Party.id == Subscription.holder_id).outerjoin(Household, Household.id == Subscription.household_id)
        .outerjoin(carrier, carrier.c.id == Subscription.depends_on_id),
        select(ContactPoint.kind, ContactPoint.value, ContactPoint.raw, ContactPoint.created_at, ContactPoint.batch),
        select(ContactPoint.value, Party.external_id, Subscription.number, Link.role, Link.source, Link.state, Link.valid_from, Link.batch)
        .join(ContactPoint, ContactPoint.id == Link.contact_point_id).outerjoin(Party, Party.id == Link.party_id)
        .outerjoin(Subscription, Subscription.id == Link.subscription_id),
    )  # fmt: skip
    return [sorted(map(repr, map(tuple, session.execute(query)))) for query in queries]


def rejected(path: Path) -> list[list[str]]:
    left_out = path.with_name(path.name + ".rejected.csv")
    if not left_out.exists():
        return []
    with left_out.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def customers(seed: int, many: int = 70) -> str:
    """Mostly new ones; some share a number or a household, come again, contradict one another, wait for a carrier or are wrong."""
    chance = random.Random(seed)

    def row(n: int) -> str:
        who = chance.randrange(many) if chance.random() < 0.1 else n
        number = who if chance.random() < 0.95 else chance.randrange(many)
        home = f"ev {who // 3}" if chance.random() < 0.3 else ""
        service = f"S{number}" if chance.random() < 0.3 else ""
        on = f"S{chance.randrange(many)}" if service and chance.random() < 0.2 else ""
        line = f"0212 555 {n % 100:02} 01" if service and chance.random() < 0.5 else ""
        phone = chance.choice(
            [f"0532 555 {n % 100:02} 00", "0533 555 01 45", f"user:0532 555 {who % 100:02} 00", "0532"][
                : 4 if n % 9 == 0 else 3
            ]
        )
        return f"m{who},Müşteri {who},{number},{home},,{service},{'dsl' if service else ''},{line},{on if on != service else ''},{phone}"

    return HEADER + "\n".join(row(n) for n in range(many)) + "\n"


async def load(db: Database, path: Path, now: dt.datetime, **options) -> imports.Report:
    return await imports.import_customers(db, path, region="TR", now=now, say=quiet, **options)


@pytest.mark.parametrize("seed", range(6))
async def test_it_brings_the_same_as_the_careful_way(any_db, beside, tmp_path, now, planned_ahead, seed):
    earlier, path = tmp_path / "earlier.csv", tmp_path / "customers.csv"
    earlier.write_text(customers(seed + 100, many=10 * (seed % 3)), encoding="utf-8")
    path.write_text(customers(seed), encoding="utf-8")
    before = [await load(beside, each, now) for each in (earlier, path)]
    expected = await beside.read(everything), rejected(path)
    planned_ahead()
    after = [await load(any_db, each, now) for each in (earlier, path)]
    assert (await any_db.read(everything), rejected(path)) == expected
    assert [each.counts() for each in after] == [each.counts() for each in before]
    assert [each.rejected for each in after] == [each.rejected for each in before]


async def test_a_number_that_is_there_is_shared_without_looking_at_the_rest(
    any_db, tmp_path, now, planned_ahead, monkeypatch
):
    path = tmp_path / "customers.csv"
    path.write_text("external_id,name,phones\nx,Eski,0533 555 01 45\n", encoding="utf-8")
    await load(any_db, path, now)
    rows = "".join(f"{n},Yeni {n},0532 555 {n:02} 00|user:0533 555 01 45\n" for n in range(20))
    path.write_text("external_id,name,phones\n" + rows, encoding="utf-8")
    planned_ahead()
    monkeypatch.setattr(import_loading, "plan", None)  # nobody asks for it
    report = await load(any_db, path, now)
    assert (report.parties, report.numbers, report.links) == (20, 20, 40)


async def test_killed_it_goes_on_where_it_stopped(db, beside, tmp_path, now, planned_ahead):
    path = tmp_path / "customers.csv"
    path.write_text(customers(7), encoding="utf-8")
    whole = await load(beside, path, now)
    expected = await beside.read(everything), rejected(path)
    path.with_name("customers.csv.rejected.csv").unlink()
    planned_ahead()
    with pytest.raises(Killed):
        await load(db, path, now, progress=killed_after(20))
    report = await load(db, path, now, resume=True)
    assert report.counts() == whole.counts()
    assert (await db.read(everything), rejected(path)) == expected


def test_the_rows_of_one_customer_or_household_stay_together():
    cells = "".join(f"{n // 4},Ali,,ev {n // 8}\n" for n in range(24))
    rows = Parser("TR").rows(("external_id,name,customer_no,household\n" + cells).splitlines(keepends=True))
    assert [len(each) for each in cut(rows, 5)] == [8, 8, 8]
    many = Parser("TR").rows(["external_id,name\n", *["1,Ali\n"] * 25])
    assert [len(each) for each in cut(many, 5)] == [10, 10, 5]


# --- what an import's indexes are for --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "query"),
    [("ix_links_household_id", select(Link.id).where(Link.household_id.in_(["a", "b"]))),
     ("ix_links_subscription_id", select(Link.id).where(Link.subscription_id == "a")),
     ("ix_parties_merged_into_id", select(Party.id).where(Party.merged_into_id.in_(["a", "b"]))),
     ("ix_subscriptions_depends_on_id", select(Subscription.id).where(Subscription.depends_on_id.in_(["a", "b"]))),
     ("ix_subscriptions_depends_on_id", select(Subscription.id).where(Subscription.depends_on_id == "a"))],
)  # fmt: skip
async def test_what_is_seldom_there_is_found_by_an_index_of_what_is_there(any_db, index, query):
    def explained(session):
        if not any_db.is_sqlite:
            session.execute(text("SET LOCAL enable_seqscan = off"))  # of a table without rows it would read the whole
        explain = "EXPLAIN QUERY PLAN" if any_db.is_sqlite else "EXPLAIN"
        made = query.compile(dialect=session.connection().dialect, compile_kwargs={"literal_binds": True})
        return "\n".join(str(row) for row in session.execute(text(f"{explain} {made}")))

    assert index in await any_db.read(explained)
