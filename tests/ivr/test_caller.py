from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from cti.db import Database
from cti.records import outages, tickets
from ivr import caller, facts
from ivr.nodes import Value
from tests.ivr import people

ISTANBUL = ZoneInfo("Europe/Istanbul")


async def gathered(db: Database, now: dt.datetime, raw: str = people.MOBILE) -> dict[str, Value]:
    arrival = await db.work(people.arrive, raw, now)
    known = caller.outside(arrival, region="TR", zone=ISTANBUL, now=now)
    return known | await db.read(caller.inside, arrival, zone=ISTANBUL, now=now)


async def test_a_line_and_what_hangs_on_it_are_one_line(db, now):
    dsl, _landline = await db.work(people.customer, "dsl", "landline", now=now)
    known = await gathered(db, now)
    assert (known["outcome"], known["role"], known["lines"], known["subscription"]) == ("unique", "owner", 1, dsl.id)
    assert (known["line_1_kind"], known["line_1_tail"], known["open_ticket"]) == ("dsl", "41", False)


async def test_two_lines_are_told_apart_and_none_is_chosen(db, now):
    held = await db.work(people.customer, "dsl", "mobile", now=now)
    known = await gathered(db, now)
    assert {known["subscription_1"], known["subscription_2"]} == {each.id for each in held}
    assert "subscription" not in known


async def test_an_open_fault_ticket_is_known_and_another_matter_is_not(db, now):
    (dsl,) = await db.work(people.customer, "dsl", now=now)
    asked = {"subscription": dsl.id, "party": None, "channel": "sms", "conversation": None, "now": now}
    await db.work(tickets.open_once, matter="billing", **asked)
    assert (await gathered(db, now))["open_ticket"] is False
    await db.work(tickets.open_once, matter="fault", **asked)
    assert (await gathered(db, now))["open_ticket"] is True


async def test_an_outage_counts_on_his_own_line_with_an_estimate_that_is_still_ahead(db, now):
    await db.work(people.customer, "dsl", now=now)
    there = {"started_at": now, "estimate_at": now + dt.timedelta(hours=2), "now": now}
    await db.work(outages.open_outage, area="Beşiktaş-1", **there)
    assert (await gathered(db, now))["outage"] is False
    await db.work(outages.open_outage, area=people.AREA, **there)
    known = await gathered(db, now)
    assert (known["outage"], known["outage_estimate"]) == (True, "2026-11-20T12:30")
    assert "outage_estimate" not in await gathered(db, now + dt.timedelta(hours=3))


async def test_of_several_outages_one_without_an_estimate_makes_it_unknown(db, now):
    await db.work(people.customer, "dsl", now=now)
    for estimate in (now + dt.timedelta(hours=2), None):
        await db.work(outages.open_outage, area=people.AREA, started_at=now, estimate_at=estimate, now=now)
    known = await gathered(db, now)
    assert known["outage"] is True
    assert "outage_estimate" not in known


async def test_a_stranger_has_no_lines_and_a_foreign_number_is_foreign(db, now):
    assert (await gathered(db, now, "05325559999"))["lines"] == 0
    assert (await gathered(db, now, "+493012345678"))["foreign"] is True


async def test_everything_that_is_handed_in_has_a_meaning(db, now):
    await db.work(people.customer, "dsl", "mobile", "fibre", "mobile", now=now)
    known = await gathered(db, now)
    assert known["lines"] == 4
    assert not [name for name in known if not facts.known(name)]
    assert not [name for each in facts.callers() for name in each if not facts.known(name)]
