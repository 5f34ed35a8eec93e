"""Two parties become one and two again: nothing is lost, nothing is counted twice, whatever happens in between."""

from __future__ import annotations

import datetime as dt

import pytest
import pytest_asyncio
from sqlalchemy import UniqueConstraint, update
from sqlalchemy.orm import Session

from cti import ledger, migrations
from cti.db import Database
from cti.events import Event, PartiesMerged, PartiesUnmerged
from cti.records import cards, merges, moves, parties, timeline
from cti.records.contact_points import ensure
from cti.records.links import link
from cti.records.moves import Left, references
from cti.records.parties import HouseholdMember, Party, Subscription
from cti.records.tickets import Opened, open_once
from tests.fakes import rows

BESIDES = ("merges", "events")
LATER = dt.timedelta(days=3)


def asked(
    session: Session,
    now: dt.datetime,
    *,
    subscription: str | None = None,
    party: str | None = None,
    matter: str = "fault",
) -> Opened:
    return open_once(
        session, subscription=subscription, party=party, matter=matter, channel="phone", conversation=None, now=now
    )


def two(session, now):
    """Şule Öz, known twice: under her customer number, and by her mobile with her birth date. Ids by name."""
    timeline.seed_channels(session)
    old = parties.add_party(session, name="Şule Öz", customer_no="4711", source="test", now=now)
    new = parties.add_party(
        session, name="Sule Öz", customer_no="4712", birth_date="1980-12-31", tags="vip", source="test", now=now + LATER
    )
    third = parties.add_party(session, name="Murat Demir", source="test", now=now)
    home = parties.add_household(session, label="Öz", now=now)
    weekend = parties.add_household(session, label="Öz, Şile", now=now)
    parties.add_member(session, home, old, "holder")
    parties.add_member(session, home, new, "spouse")
    parties.add_member(session, weekend, new, "holder")
    line = parties.add_subscription(session, number="100200", kind="dsl", holder=new, household=weekend, now=now)
    phone = ensure(session, "phone", "0532 123 45 67", now=now)
    made = link(session, phone, party=new.id, role="owner", source="test", by="test", now=now)
    ticket = asked(session, now, subscription=line.id)
    mine = asked(session, now, party=new.id)
    return {
        "old": old.id, "new": new.id, "third": third.id, "home": home.id, "weekend": weekend.id, "line": line.id,
        "link": made.id, "ticket": ticket.ticket, "mine": mine.ticket,
    }  # fmt: skip


@pytest_asyncio.fixture
async def ids(db, now):
    return await db.work(two, now)


def merge(session, ids, now, kept="old", gone="new"):
    return merges.merge(session, kept=ids[kept], gone=ids[gone], reason="the same", by="chief", now=now)


async def events(db: Database) -> list[Event]:
    return [each.event for each in await db.read(ledger.since, 0)]


async def test_everything_of_one_is_the_others_and_everything_goes_back(any_db, now):
    db = any_db
    ids = await db.work(two, now)
    before = await db.read(rows.dump, besides=BESIDES)
    made = await db.work(merge, ids, now)

    card = await db.read(cards.card, ids["old"])
    assert (card.name, card.tags, [each.number for each in card.services]) == ("Şule Öz", ("vip",), ["100200"])
    assert [each.value for each in card.contacts] == ["+905321234567"]
    assert {each.ticket for each in await db.read(timeline.entries, parties=[ids["old"]])} == {
        each.ticket for each in await db.read(timeline.entries, parties=[ids["old"], ids["new"]])
    }

    done = await db.work(merges.unmerge, made, by="chief", now=now + LATER)
    after = await db.read(rows.dump, besides=BESIDES)
    assert after == before, rows.difference(before, after)
    assert done.left == ()
    assert (await events(db))[-2:] == [
        PartiesMerged(merge=made, kept=ids["old"], gone=ids["new"], reason="the same", by="chief"),
        PartiesUnmerged(merge=made, kept=ids["old"], gone=ids["new"], by="chief"),
    ]


async def test_who_was_merged_is_found_by_his_old_name_and_numbers(db, now, ids):
    await db.work(merge, ids, now)
    for wanted in ("4711", "4712", "Sule", "100200", "0532 123 45 67"):
        assert [each.id for each in await db.read(cards.search, wanted)] == [ids["old"]], wanted
    assert (await db.read(cards.card, ids["new"])).id == ids["old"]
    assert await db.read(parties.current, ids["new"]) == await db.read(parties.current, ids["old"]) == ids["old"]
    assert await db.read(parties.current, "nobody") == "nobody"


async def test_both_were_in_one_household_and_are_again(db, now, ids):
    made = await db.work(merge, ids, now)

    def members(session):
        query = session.query(HouseholdMember.household_id, HouseholdMember.party_id, HouseholdMember.role)
        return {(home, party): role for home, party, role in query}

    assert await db.read(members) == {(ids["home"], ids["old"]): "holder", (ids["weekend"], ids["old"]): "holder"}
    await db.work(merges.unmerge, made, by="chief", now=now)
    assert (await db.read(members))[ids["home"], ids["new"]] == "spouse"


async def test_later_work_on_other_fields_stays_and_what_came_since_stays_with_the_kept_one(db, now, ids):
    made = await db.work(merge, ids, now)

    def work(session):
        session.get_one(Subscription, ids["line"]).address = "Moda Cad. 1"
        session.get_one(Party, ids["old"]).name = "Şule Öz Demir"
        session.get_one(Party, ids["new"]).language = "en"
        session.get_one(HouseholdMember, (ids["weekend"], ids["old"])).role = "member"
        session.flush()
        return asked(session, now, party=ids["old"], matter="sales").ticket

    sale = await db.work(work)
    assert (await db.work(merges.unmerge, made, by="chief", now=now)).left == ()

    def look(session):
        line, old, new = (
            session.get_one(Subscription, ids["line"]),
            session.get_one(Party, ids["old"]),
            session.get_one(Party, ids["new"]),
        )
        assert (line.address, line.holder_id) == ("Moda Cad. 1", ids["new"])
        assert (old.name, old.tags, old.birth_date) == ("Şule Öz Demir", "", None)
        assert (new.language, new.merged_into_id) == ("en", None)
        assert session.get_one(HouseholdMember, (ids["weekend"], ids["new"])).role == "member"
        assert {each.id for each in timeline.entries(session, parties=[ids["old"]]) if each.kind == "ticket"} == {sale}

    await db.read(look)


async def test_what_somebody_gave_to_a_third_party_stays_there_and_is_named(db, now, ids):
    made = await db.work(merge, ids, now)

    def work(session):
        session.get_one(Subscription, ids["line"]).holder_id = ids["third"]
        session.delete(session.get_one(HouseholdMember, (ids["weekend"], ids["old"])))
        session.get_one(Party, ids["old"]).birth_date = "1981-01-01"

    await db.work(work)
    done = await db.work(merges.unmerge, made, by="chief", now=now)
    assert set(done.left) == {
        Left(table="subscriptions", column="holder_id", key=ids["line"], now=ids["third"], why="changed"),
        Left(table="household_members", column="party_id", key=ids["weekend"], now=None, why="gone"),
        Left(table="parties", column="birth_date", key=ids["old"], now="1981-01-01", why="changed"),
    }
    holder = await db.read(lambda session: session.get_one(Subscription, ids["line"]).holder_id)
    assert holder == ids["third"]


async def test_a_row_that_stands_there_already_is_left_alone(db, now, ids):
    made = await db.work(merge, ids, now)

    def work(session):
        for home in ("home", "weekend"):
            session.add(HouseholdMember(household_id=ids[home], party_id=ids["new"], role="child"))

    await db.work(work)
    done = await db.work(merges.unmerge, made, by="chief", now=now)
    assert {(each.table, each.why) for each in done.left} == {("household_members", "taken")}
    assert len(done.left) == 2


async def test_merges_that_stand_on_one_another_are_undone_from_the_top(db, now, ids):
    first = await db.work(merge, ids, now)
    second = await db.work(merge, ids, now, kept="third", gone="old")  # at the very same moment
    fourth = await db.work(lambda session: parties.add_party(session, name="X", source="test", now=now).id)
    third = await db.work(merge, ids | {"x": fourth}, now, kept="third", gone="x")
    for lower in (first, second):
        with pytest.raises(merges.NotLast, match=f"expected merge {third}") as refused:
            await db.work(merges.unmerge, lower, by="chief", now=now)
        assert refused.value.first == third
    assert await db.read(parties.current, ids["new"]) == ids["third"]
    assert set(await db.read(merges.merged_with, ids["third"])) == {ids["third"], ids["old"], ids["new"], fourth}
    for top in (third, second, first):
        await db.work(merges.unmerge, top, by="chief", now=now)
    assert await db.read(parties.current, ids["new"]) == ids["new"]


async def test_merging_and_parting_twice_is_the_same_as_once(db, now, ids):
    made = await db.work(merge, ids, now)
    assert await db.work(merge, ids, now) == made
    assert (await db.work(merges.unmerge, made, by="chief", now=now)).restored > 0
    before = await db.read(rows.dump, besides=())
    assert (await db.work(merges.unmerge, made, by="other", now=now)).restored == 0
    assert await db.read(rows.dump, besides=()) == before
    again = await db.work(merge, ids, now, kept="new", gone="old")
    newest, oldest = await db.read(merges.recent, party=ids["old"])
    assert (newest.id, newest.kept_name, newest.undone_at) == (again, "Sule Öz", None)
    assert (oldest.id, oldest.undone_at, oldest.undone_by) == (made, now, "chief")


async def test_what_can_not_be_merged_is_refused_with_the_reason(db, now, ids):
    with pytest.raises(ValueError, match="expected two parties"):
        await db.work(merge, ids, now, kept="old", gone="old")
    with pytest.raises(LookupError, match="expected the id of a party, got 'nobody'"):
        await db.work(merge, ids | {"x": "nobody"}, now, kept="old", gone="x")
    with pytest.raises(LookupError, match="expected the id of a merge"):
        await db.work(merges.unmerge, "none", by="chief", now=now)
    await db.work(merge, ids, now)
    for kept, gone in (("new", "third"), ("third", "new")):
        with pytest.raises(ValueError, match="was merged into"):
            await db.work(merge, ids, now, kept=kept, gone=gone)


def test_every_column_that_refers_to_a_party_is_moved_or_stays_for_a_reason():
    """A new table that refers to parties: it is moved by itself. This fails when its shape is one that the log cannot hold."""
    found = {
        str(column)
        for table in migrations.tables().sorted_tables
        for column in table.columns
        if any(key.column.table.name == "parties" for key in column.foreign_keys)
    }
    assert {str(each.column) for each in references()} | moves.STAYS == found
    for each in references():
        assert each.key is not None  # one column names a row
        for each_one in each.table.constraints:
            if isinstance(each_one, UniqueConstraint):
                assert each.column not in [*each_one.columns], f"{each.column}: moves knows of primary keys alone"
        for index in each.table.indexes:
            assert not (index.unique and each.column in [*index.columns]), f"{each.column} is in {index.name}"


async def test_a_long_history_is_moved_by_one_statement_a_column_and_a_short_log(db, now, ids):
    table = migrations.tables().tables["interactions"]

    def many(session):
        rows.ground(session)
        made = [rows.row_of(table, n, id=f"i{n}", party_id=ids["new"]) for n in range(5000)]
        session.connection().execute(table.insert(), made)

    await db.work(many)
    made = await db.work(merge, ids, now)

    def size(session):
        log = session.get_one(merges.Merge, made).moves
        return len(log), sum(len(line.get("keys", ())) for line in log)

    lines, keys = await db.read(size)
    assert lines <= len(references()) + 5
    assert keys >= 5000

    def give_some_away(session):
        session.execute(update(table).where(table.c.id.in_(["i7", "i4000"])).values(party_id=ids["third"]))

    await db.work(give_some_away)
    done = await db.work(merges.unmerge, made, by="chief", now=now)
    assert {each.key for each in done.left} == {"i7", "i4000"}
