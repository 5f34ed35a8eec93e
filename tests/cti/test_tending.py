"""Once an hour, on every node: old links end by night, and what nobody decided lapses."""

from __future__ import annotations

import datetime as dt

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from cti import tending
from cti.db import Database
from cti.records import alike, contact_points, links, merge_proposals, parties, proposals
from cti.records.contact_points import Link
from tests.fakes import company

NIGHT = dt.datetime(2026, 11, 20, tending.NIGHT_HOUR_UTC, 30, tzinfo=dt.UTC)
DAY = NIGHT + dt.timedelta(hours=9)
YEARS = dt.timedelta(days=900)


@pytest_asyncio.fixture
async def old(db):
    """A company whose links are old (but for a landline's), and a proposal of two months ago."""

    def prepare(session):
        home = company.load(session, NIGHT - YEARS)
        point = contact_points.ensure(session, "phone", "0544 555 01 99", now=NIGHT)
        proposals.propose(
            session, contact_point=point.id, party=home.ayse, role="user", reason="agent", conversation=None,
            now=NIGHT - dt.timedelta(days=60),
        )  # fmt: skip
        return home

    return await db.work(prepare)


async def at(db: Database, now: dt.datetime, unseen_days: int = 30) -> tending.Tended:
    return await tending.Tending(db, lambda: now, unseen_days=unseen_days).round()


async def open_links(db: Database) -> int | None:
    return await db.read(lambda session: session.scalar(select(func.count()).where(Link.valid_to.is_(None))))


async def test_old_links_end_by_night_and_proposals_lapse_at_any_hour(db, old):
    assert await open_links(db) == 4
    assert await at(db, DAY) == (0, 1, 0)
    assert await at(db, NIGHT) == (3, 0, 0)
    assert await open_links(db) == 1, "the landline's"
    assert await at(db, NIGHT) == (0, 0, 0), "once more does no harm"


async def test_many_end_in_pieces_so_that_no_call_waits_for_all(db, old, monkeypatch):
    monkeypatch.setattr(tending, "AT_ONCE", 2)
    pieces = []
    expire = links.expire

    def counted(session, now, *, unseen_days, limit, among):
        pieces.append(len(among))
        return expire(session, now, unseen_days=unseen_days, limit=limit, among=among)

    monkeypatch.setattr(links, "expire", counted)
    assert (await at(db, NIGHT))[0] == 3
    assert pieces == [2, 1]


@pytest.mark.parametrize("unseen_days", [901, 100_000])
async def test_a_policy_that_waits_longer_ends_nothing(db, old, unseen_days):
    assert (await at(db, NIGHT, unseen_days))[0] == 0


async def test_whoever_was_added_and_may_be_known_already_is_proposed_in_the_next_round(db, monkeypatch):
    def two_of_one(session):
        for days, name in ((300, "Şule Işık"), (1, "SULE ISIK"), (1, "Can Demir")):
            now = NIGHT - dt.timedelta(days=days)
            party = parties.add_party(session, name=name, source="test", now=now, birth_date="1980-12-31").id
            point = contact_points.ensure(session, "phone", "0532 123 45 67", now=now)
            links.link(session, point, party=party, role="owner", source="test", by="test", now=now)

    await db.work(two_of_one)
    monkeypatch.setattr(tending, "LOOKED_AT_ONCE", 1)
    node = tending.Tending(db, lambda: DAY, unseen_days=900)
    rounds = [(await node.round()).merges_proposed for _ in range(6)]
    assert (sum(rounds[:4]), rounds[4:]) == (2, [0, 0]), "of the party and of its link, once each"
    (row,) = await db.read(merge_proposals.open_proposals)
    assert {row.a.name, row.b.name} == {"Şule Işık", "SULE ISIK"}
    await db.work(merge_proposals.refuse, row.id, by="chief", now=NIGHT)
    assert (await at(db, NIGHT)).merges_proposed == 0, "a refusal is remembered in the node's next life"


async def test_a_node_that_was_down_for_days_misses_nobody(db):
    assert await db.read(alike.learned_after, "", limit=10) == []
    late = tending.Tending(db, lambda: NIGHT + dt.timedelta(days=6), unseen_days=900)

    def two(session):
        for _ in range(2):
            parties.add_party(session, name="Ali", source="test", now=NIGHT, birth_date="1980-01-01")

    await db.work(two)
    assert (await late.round()).merges_proposed > 0
