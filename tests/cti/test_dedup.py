"""All parties compared at once: splink itself, over a small company."""

from __future__ import annotations

import datetime as dt
import random

import pytest
from sqlalchemy.orm import Session

from cti import dedup
from cti.db import Database
from cti.records import merge_proposals, merges, parties
from cti.records.contact_points import ensure
from cti.records.links import link

GIVEN = ["Ayşe", "Fatma", "Mehmet", "Ali", "Can", "Murat", "İpek", "Hasan", "Zeynep", "Elif"]
FAMILY = ["Yılmaz", "Kaya", "Demir", "Öz", "Işık", "Çelik", "Şahin", "Doğan", "Kılıç", "Aslan", "Arslan", "Polat"]


def company(session, now):
    """300 people at home in 100 households, a mobile each; the households' landline is everybody's. Ids by name."""
    chance = random.Random(4711)
    for home in range(100):
        household = parties.add_household(session, label=f"{home}", now=now)
        landline = ensure(session, "phone", f"+90212555{home:04}", now=now)
        link(session, landline, household=household.id, role="owner", source="test", by="test", now=now)
        for member in range(3):
            birth_date = f"{1940 + chance.randrange(60)}-0{1 + chance.randrange(9)}-1{chance.randrange(10)}"
            name = f"{chance.choice(GIVEN)} {chance.choice(FAMILY)}"
            party = person(session, now, name, f"+9053255{home:03}{member:02}", birth_date)
            parties.add_member(session, household, party)
            link(session, landline, party=party.id, role="user", source="test", by="test", now=now)
    return {
        "same": [
            person(session, now, "Şule Işıkoğlu", "+905331110001", "1980-12-31").id,
            person(session, now, "SULE ISIKOGLU", "+905331110001", None).id,
        ],
        "slip": [
            person(session, now, "İbrahim Çağlar", "+905331110002", "1970-03-08").id,
            person(session, now, "ibrahim caglr", "+905331110003", "1970-03-08").id,
        ],
        "number only": [
            person(session, now, "Jale Tok", "+905331110004", None).id,
            person(session, now, "Okan Uz", "+905331110004", None).id,
        ],
    }


def person(session: Session, now: dt.datetime, name: str, phone: str, birth_date: str | None) -> parties.Party:
    party = parties.add_party(session, name=name, birth_date=birth_date, source="test", now=now)
    point = ensure(session, "phone", phone, now=now)
    link(session, point, party=party.id, role="owner", source="test", by="test", now=now)
    return party


async def proposed(db: Database) -> dict[frozenset[str], merge_proposals.ProposalRow]:
    return {frozenset((row.a.party, row.b.party)): row for row in await db.read(merge_proposals.open_proposals, 200)}


async def test_who_is_there_twice_is_proposed_and_nobody_for_a_number_alone(db, now, capfd):
    ids = await db.work(company, now)
    said: list[str] = []
    count = await dedup.bulk(db, said.append, now=now)
    found = await proposed(db)
    assert len(found) == count < 20
    assert {frozenset(ids["same"]), frozenset(ids["slip"])} <= found.keys()
    assert frozenset(ids["number only"]) not in found
    row = found[frozenset(ids["same"])]
    assert (row.source, {each.key for each in row.reasons}) == ("bulk", {"same_name", "own_contact"})
    assert said[0] == "306 parties read"
    assert capfd.readouterr() == ("", "")  # splink tells a novel, if it may

    # Once more: nothing is doubled, a refusal is remembered, and what was merged is one.
    await db.work(merge_proposals.refuse, row.id, by="chief", now=now)
    await db.work(merges.merge, kept=ids["slip"][0], gone=ids["slip"][1], reason="", by="chief", now=now)
    assert await dedup.bulk(db, said.append, now=now) == count - 2
    assert not {frozenset(ids["same"]), frozenset(ids["slip"])} & (await proposed(db)).keys()


async def test_the_likeliest_come_first_when_there_are_too_many(db, now):
    ids = await db.work(company, now)
    assert await dedup.bulk(db, lambda text: None, limit=1, now=now) == 1
    (row,) = (await proposed(db)).values()
    assert row.score > 0.85
    assert await dedup.bulk(db, lambda text: None, limit=0, now=now) == 0
    assert ids


async def test_a_company_without_anybody_has_nobody_twice(db, now):
    assert await dedup.bulk(db, lambda text: None, now=now) == 0


async def test_without_the_extra_it_says_how_to_get_it(db, now, monkeypatch):
    monkeypatch.setattr(dedup, "EXTRA", ("pyarrow", "splink_of_another_planet"))
    with pytest.raises(dedup.NotInstalled, match=r"missing: splink_of_another_planet. pip install --require-hashes"):
        await dedup.bulk(db, lambda text: None, now=now)
