"""Who is hit by an outage: the lines of its area and what hangs on them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest_asyncio

from cti import ledger
from cti.db import Database
from cti.events import OutageClosed, OutageOpened
from cti.records import outages, parties
from cti.records.parties import Subscription

HOUR = dt.timedelta(hours=1)


@pytest_asyncio.fixture
async def home(db, now):
    """A DSL line in Moda, the landline on it (which lies in no area of its own), and a mobile elsewhere; ids by kind."""

    def prepare(session):
        holder = parties.add_party(session, name="Ayşe", source="test", now=now)

        def service(kind: str, area: str, carrier: Subscription | None = None) -> Subscription:
            return parties.add_subscription(
                session, number=kind, kind=kind, holder=holder, area=area, depends_on=carrier, now=now
            )

        dsl = service("dsl", "moda")
        return {each.kind: each.id for each in (dsl, service("landline", "", dsl), service("mobile", "kars"))}

    return await db.work(prepare)


async def opened(db: Database, now: dt.datetime, **changes: Any) -> outages.OutageRow:
    asked: dict[str, Any] = {"area": "moda", "started_at": now - HOUR, "estimate_at": now + HOUR, "now": now}
    return await db.work(outages.open_outage, **{**asked, **changes})


async def hit(db: Database, now: dt.datetime, *subscriptions: str) -> list[str]:
    return [row.id for row in await db.read(outages.hitting, subscriptions, now)]


async def test_an_outage_hits_its_area_and_what_depends_on_it(db, home, now):
    outage = await opened(db, now)
    assert await hit(db, now, home["dsl"]) == [outage.id]
    assert await hit(db, now, home["landline"]) == [outage.id]
    assert await hit(db, now, home["mobile"]) == []
    assert await hit(db, now) == []


async def test_an_outage_of_one_kind_leaves_the_others(db, home, now):
    await opened(db, now, kind="fibre")
    dsl_only = await opened(db, now, kind="dsl")
    assert await hit(db, now, home["dsl"]) == [dsl_only.id]
    assert await hit(db, now, home["landline"]) == [dsl_only.id]


async def test_an_outage_that_has_not_begun_hits_nobody_yet(db, home, now):
    planned = await opened(db, now, started_at=now + HOUR)
    assert await hit(db, now, home["dsl"]) == []
    assert await hit(db, now + HOUR, home["dsl"]) == [planned.id]


async def test_a_closed_outage_hits_nobody_and_closes_once(db, home, now):
    outage = await opened(db, now)
    assert await db.work(outages.close, outage.id, now)
    assert not await db.work(outages.close, outage.id, now)
    assert not await db.work(outages.close, "no-such", now)
    assert await hit(db, now, home["dsl"]) == []
    assert await db.read(outages.recent) == []
    events = [each.event for each in await db.read(ledger.since, 0) if each.event.type.startswith("outage.")]
    assert events == [
        OutageOpened(outage=outage.id, area="moda", estimate_at="2026-11-20T08:30:00+00:00"),
        OutageClosed(outage=outage.id),
    ]


async def test_services_that_carry_each_other_in_a_ring_end_the_search(db, home, now):
    def ring(session):
        session.get_one(parties.Subscription, home["dsl"]).depends_on_id = home["landline"]

    await db.work(ring)
    outage = await opened(db, now)
    assert await hit(db, now, home["landline"]) == [outage.id]
