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


async def open_links(db: Database) -> int | None:
    return await db.read(lambda session: session.scalar(select(func.count()).where(Link.valid_to.is_(None))))


async def test_old_links_end_by_night_and_proposals_lapse_at_any_hour(db, old):
    assert await open_links(db) == 4
    assert await tending.tend(db, lambda: DAY, unseen_days=30) == (0, 1, 0)
    assert await tending.tend(db, lambda: NIGHT, unseen_days=30) == (3, 0, 0)
    assert await open_links(db) == 1, "the landline's"
    assert await tending.tend(db, lambda: NIGHT, unseen_days=30) == (0, 0, 0), "once more does no harm"


async def test_many_end_in_pieces_so_that_no_call_waits_for_all(db, old, monkeypatch):
    monkeypatch.setattr(tending, "AT_ONCE", 2)
    pieces = []
    expire = links.expire

    def counted(session, now, *, unseen_days, limit, among):
        pieces.append(len(among))
        return expire(session, now, unseen_days=unseen_days, limit=limit, among=among)

    monkeypatch.setattr(links, "expire", counted)
    assert (await tending.tend(db, lambda: NIGHT, unseen_days=30))[0] == 3
    assert pieces == [2, 1]


@pytest.mark.parametrize("unseen_days", [901, 100_000])
async def test_a_policy_that_waits_longer_ends_nothing(db, old, unseen_days):
    assert (await tending.tend(db, lambda: NIGHT, unseen_days=unseen_days))[0] == 0


async def test_whoever_was_added_yesterday_and_may_be_known_already_is_proposed_by_night(db):
    def two_of_one(session):
        for days, name in ((300, "Şule Işık"), (0, "SULE ISIK")):
            now = NIGHT - dt.timedelta(days=days, hours=9)
            party = parties.add_party(session, name=name, source="test", now=now, birth_date="1980-12-31").id
            point = contact_points.ensure(session, "phone", "0532 123 45 67", now=now)
            links.link(session, point, party=party, role="owner", source="test", by="test", now=now)

    await db.work(two_of_one)
    assert (await tending.tend(db, lambda: DAY - dt.timedelta(days=1), unseen_days=900)).merges_proposed == 0
    assert (await tending.tend(db, lambda: NIGHT, unseen_days=900)).merges_proposed == 1
    (row,) = await db.read(merge_proposals.open_proposals)
    assert {row.a.name, row.b.name} == {"Şule Işık", "SULE ISIK"}
    await db.work(merge_proposals.refuse, row.id, by="chief", now=NIGHT)
    assert (await tending.tend(db, lambda: NIGHT, unseen_days=900)).merges_proposed == 0, "a refusal is remembered"
    later = NIGHT + dt.timedelta(days=2)
    assert await db.read(alike.new_since, later - tending.YESTERDAY, limit=10) == []
