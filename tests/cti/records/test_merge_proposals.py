"""Who may be one, put before somebody: once, with reasons, and never again after a refusal."""

from __future__ import annotations

import datetime as dt

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.orm import Session

from cti import ledger
from cti.db import Database
from cti.duplicates import score
from cti.events import MergeRefused
from cti.records import alike, merge_proposals, merges, parties
from cti.records.alike import candidates_for
from cti.records.contact_points import ensure
from cti.records.links import link
from cti.records.merge_proposals import ProposalRow, merge_proposed, open_proposals, refuse

MOBILE = "+905321234567"


def person(session: Session, now: dt.datetime, name: str, phone: str = "", **given: str) -> str:
    party = parties.add_party(session, name=name, source="test", now=now, **given)
    if phone:
        point = ensure(session, "phone", phone, now=now)
        link(session, point, party=party.id, role="owner", source="test", by="test", now=now)
    return party.id


@pytest_asyncio.fixture
async def ids(any_db, now):
    """Şule Işık three times, her husband on her number, and a namesake. Ids by name."""

    def prepare(session):
        return {
            "customer": person(session, now, "Şule Işık", MOBILE, customer_no="4711", birth_date="1980-12-31"),
            "mobile": person(session, now, "SULE ISIK", MOBILE),
            "birth": person(session, now, "Sule Işık", birth_date="1980-12-31"),
            "husband": person(session, now, "Murat Demir", MOBILE),
            "namesake": person(session, now, "Şule Işık", birth_date="1999-01-02"),
        }

    return await any_db.work(prepare)


async def rows(db: Database) -> list[ProposalRow]:
    return await db.read(open_proposals)


async def look_for(db: Database, party: str, *, now: dt.datetime) -> list[str]:
    """As the night does it."""
    found = await db.read(candidates_for, party)
    return await db.work(merge_proposals.propose_for, party, found, now=now)


async def refused(db: Database) -> list[MergeRefused]:
    return [each.event for each in await db.read(ledger.since, 0) if isinstance(each.event, MergeRefused)]


async def test_who_meets_on_a_number_or_a_name_and_birth_date_is_looked_at(any_db, ids):
    found = await any_db.read(candidates_for, ids["customer"])
    # The number is three people's: it says little of each, so who has only that and the name is left out.
    assert [each.party for each in found] == [ids["birth"]]

    def part(session):
        session.execute(text("UPDATE links SET state = 'disputed' WHERE party_id = :who"), {"who": ids["husband"]})

    await any_db.work(part)
    found = await any_db.read(candidates_for, ids["customer"])
    assert [each.party for each in found] == [ids["mobile"], ids["birth"]]
    assert [each.party for each in await any_db.read(candidates_for, ids["customer"], limit=1)] == [ids["mobile"]]
    with pytest.raises(LookupError, match="expected the id of a party"):
        await any_db.read(candidates_for, "nobody")


async def test_a_proposal_is_made_once_and_a_refusal_is_remembered(any_db, now, ids):
    (first,) = await look_for(any_db, ids["customer"], now=now)
    assert await look_for(any_db, ids["birth"], now=now) == [first]
    (row,) = await rows(any_db)
    assert (row.id, row.a.party, row.b.party, row.source) == (first, ids["customer"], ids["birth"], "online")
    assert {each.key for each in row.reasons} == {"same_name", "same_birth_date"}
    assert await any_db.work(refuse, first, by="chief", now=now) is True
    assert await any_db.work(refuse, first, by="chief", now=now) is False
    assert await rows(any_db) == []
    assert await look_for(any_db, ids["birth"], now=now) == []
    assert await refused(any_db) == [MergeRefused(proposal=first, by="chief")]
    with pytest.raises(ValueError, match="was refused by chief"):
        await any_db.work(merge_proposed, first, by="chief", now=now)


async def test_a_refusal_holds_for_what_was_merged_with_either_of_them(any_db, now, ids):
    (first,) = await look_for(any_db, ids["birth"], now=now)
    await any_db.work(refuse, first, by="chief", now=now)
    made = await any_db.work(merges.merge, kept=ids["mobile"], gone=ids["customer"], reason="", by="chief", now=now)
    assert await look_for(any_db, ids["birth"], now=now) == []  # the merged one has the birth date now
    await any_db.work(merges.unmerge, made, by="chief", now=now)
    assert await rows(any_db) == []


async def test_merging_from_a_proposal_keeps_the_customer_and_happens_once(any_db, now, ids):
    (first,) = await look_for(any_db, ids["birth"], now=now)
    made = await any_db.work(merge_proposed, first, by="chief", now=now)
    assert await any_db.work(merge_proposed, first, by="chief", now=now) == made
    (row,) = await any_db.read(merges.recent)
    assert (row.kept, row.gone, row.reason) == (ids["customer"], ids["birth"], "same_birth_date, same_name")
    assert await rows(any_db) == []
    with pytest.raises(ValueError, match="undo the merge instead"):
        await any_db.work(refuse, first, by="chief", now=now)

    await any_db.work(merges.unmerge, made, by="chief", now=now)
    assert await look_for(any_db, ids["birth"], now=now) == []  # whoever undid it said that they are two


async def test_somebody_may_choose_who_is_kept(any_db, now, ids):
    (first,) = await look_for(any_db, ids["birth"], now=now)
    with pytest.raises(ValueError, match="to be kept, got"):
        await any_db.work(merge_proposed, first, kept=ids["husband"], by="chief", now=now)
    await any_db.work(merge_proposed, first, kept=ids["birth"], by="chief", now=now)
    assert await any_db.read(parties.current, ids["customer"]) == ids["birth"]


async def test_an_open_proposal_follows_those_who_were_merged_meanwhile(any_db, now, ids):
    def both(session):
        known = alike.profiles(session, ids.values())
        assert known.keys() == set(ids.values())
        for a, b in (("customer", "birth"), ("mobile", "birth"), ("customer", "mobile")):
            found = score(known[ids[a]], known[ids[b]])
            assert merge_proposals.propose(session, ids[b], ids[a], found, source="bulk", now=now)

    await any_db.work(both)
    assert len(await rows(any_db)) == 3
    await any_db.work(merges.merge, kept=ids["customer"], gone=ids["mobile"], reason="", by="chief", now=now)
    (row,) = await rows(any_db)
    assert {row.a.party, row.b.party} == {ids["customer"], ids["birth"]}
    found = await any_db.read(lambda session: alike.profiles(session, ids.values()))
    assert ids["mobile"] not in found  # what was merged is compared no more


async def test_names_are_looked_through_in_an_index_that_holds_nothing_else(db):
    def plan(session):
        query = "EXPLAIN QUERY PLAN SELECT id FROM parties WHERE ' ' || search_text LIKE '% isik%' ORDER BY search_text, id LIMIT 20"
        return " ".join(row[3] for row in session.execute(text(query)))

    assert "USING COVERING INDEX ix_parties_names" in await db.read(plan)


async def test_a_namesake_with_the_birth_date_is_found_among_any_number_of_others(any_db, now, ids, monkeypatch):
    monkeypatch.setattr(alike, "NAMED_AT_ONCE", 1)
    found = await any_db.read(candidates_for, ids["birth"])
    assert ids["customer"] in [each.party for each in found]
