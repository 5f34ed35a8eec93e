"""Which lines are down: what the network says of each, what hangs on them, and what ends with four digits."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from cti import ledger
from cti.db import Database
from cti.events import LineStateChanged
from cti.records import lines, outages, parties
from cti.records.parties import Subscription

NOW = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)
MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)


def town(session: Session) -> dict[str, str]:
    """Two homes in Moda, each with DSL, a landline over it and television over that; and a DSL in Kars. Ids by name."""
    ids: dict[str, str] = {}
    for home, area in (("a", "moda"), ("b", "moda"), ("k", "kars")):
        holder = parties.add_party(session, name=home, source="test", now=NOW)
        carrier: Subscription | None = None
        for kind, number in (("dsl", None), ("landline", f"+90212555{ord(home):04}"), ("tv", None)):
            carrier = parties.add_subscription(
                session, number=f"{home}-{kind}", kind=kind, holder=holder, area=area if kind == "dsl" else "",
                line_number=number, depends_on=carrier, now=NOW,
            )  # fmt: skip
            ids[f"{home}-{kind}"] = carrier.id
    return ids


LAST_FOUR = {home: f"{ord(home):04}" for home in "abk"}


async def said(db: Database, subscription: str, state: str = "down", at: dt.datetime = NOW, **changes: Any) -> bool:
    asked: dict[str, Any] = {"state": state, "since": at, "source": "nms", "now": NOW}
    return await db.work(lines.set_state, subscription=subscription, **{**asked, **changes})


async def ending(db: Database, last_four: str, now: dt.datetime = NOW) -> list[str]:
    return [each.number for each in await db.read(lines.ending_with, last_four, now)]


async def test_a_line_that_is_down_takes_with_it_what_hangs_on_it(any_db):
    town_ = await any_db.work(town)
    assert await said(any_db, town_["a-dsl"])
    down = {town_["a-dsl"], town_["a-landline"], town_["a-tv"]}
    assert await any_db.read(lines.down, NOW) == down
    assert await any_db.read(lines.lines_down, NOW)
    assert await ending(any_db, LAST_FOUR["a"]) == ["a-landline"]
    assert await said(any_db, town_["a-dsl"], "up", NOW + MINUTE, now=NOW + MINUTE)
    assert await any_db.read(lines.down, NOW + MINUTE) == frozenset()
    assert not await any_db.read(lines.lines_down, NOW + MINUTE)
    assert await ending(any_db, LAST_FOUR["a"], NOW + MINUTE) == []


async def test_digits_of_a_line_that_is_up_find_nothing(any_db):
    town_ = await any_db.work(town)
    await said(any_db, town_["a-dsl"])
    assert await ending(any_db, LAST_FOUR["b"]) == []
    assert await ending(any_db, "9999") == []


@pytest.mark.parametrize(
    ("kind", "found"), [("", ["a-landline"]), ("dsl", ["a-landline"]), ("fibre", []), ("landline", [])]
)
async def test_an_outage_of_the_area_counts_as_far_as_it_is_of_the_carriers_kind(any_db, kind, found):
    await any_db.work(town)
    await any_db.work(outages.open_outage, area="moda", kind=kind, started_at=NOW, estimate_at=None, now=NOW)
    assert await ending(any_db, LAST_FOUR["a"]) == found
    assert await ending(any_db, LAST_FOUR["k"]) == []
    assert await any_db.read(lines.down, NOW) == frozenset(), "an outage is no line's own state"


async def test_a_subscription_that_has_ended_is_not_found(db):
    town_ = await db.work(town)
    await said(db, town_["a-dsl"])

    def end(session):
        session.get_one(Subscription, town_["a-landline"]).status = "ended"

    await db.work(end)
    assert await ending(db, LAST_FOUR["a"]) == []


@pytest.mark.parametrize("keyed", ["%", "____", "", "12", "+90212", "٠٠٩٧", "0097\x00", "' OR 1=1"])
async def test_what_is_not_four_digits_finds_nothing(any_db, keyed):
    town_ = await any_db.work(town)
    await said(any_db, town_["a-dsl"])
    assert await ending(any_db, keyed) == []


async def test_right_wrong_and_senseless_digits_ask_the_same_of_the_database(db):
    """Otherwise the time to the next prompt would tell which lines there are."""
    town_ = await db.work(town)
    await said(db, town_["a-dsl"])

    def asked(session: Session, keyed: str) -> list[str]:
        said_: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
            said_.append(statement)

        engine = session.connection().engine
        event.listen(engine, "before_cursor_execute", note)
        lines.ending_with(session, keyed, NOW)
        event.remove(engine, "before_cursor_execute", note)
        return said_

    right, up, none, senseless = [
        await db.read(asked, keyed) for keyed in (LAST_FOUR["a"], LAST_FOUR["b"], "9999", "%%")
    ]
    assert len(right) == 1
    assert right == up == none == senseless


async def test_services_that_carry_each_other_in_a_ring_end_the_search(any_db):
    town_ = await any_db.work(town)

    def ring(session):
        session.get_one(Subscription, town_["a-dsl"]).depends_on_id = town_["a-tv"]

    await any_db.work(ring)
    await said(any_db, town_["a-dsl"])
    assert len(await any_db.read(lines.down, NOW)) == 3


async def test_the_same_news_twice_and_older_news_change_nothing(any_db):
    dsl = (await any_db.work(town))["a-dsl"]
    assert not await said(any_db, dsl, "up"), "a line of which nothing was said is up"
    assert await said(any_db, dsl)
    assert not await said(any_db, dsl, at=NOW + MINUTE, now=NOW + MINUTE)
    assert not await said(any_db, dsl, "up", NOW - HOUR)
    assert await any_db.read(lines.down, NOW) != frozenset()
    told = [each.event for each in await any_db.read(ledger.since, 0) if isinstance(each.event, LineStateChanged)]
    assert told == [LineStateChanged(subscription=dsl, state="down", since=NOW.isoformat(), source="nms")]


async def test_a_clock_that_runs_ahead_does_not_put_the_trouble_off(db):
    dsl = (await db.work(town))["a-dsl"]
    await said(db, dsl, at=NOW + HOUR)
    assert dsl in await db.read(lines.down, NOW)


async def test_news_that_makes_no_sense_are_refused(db):
    dsl = (await db.work(town))["a-dsl"]
    with pytest.raises(ValueError, match="expected a state of up, down, got 'dead'"):
        await said(db, dsl, "dead")
    with pytest.raises(LookupError, match="expected the id of a subscription, got 'no-such'"):
        await said(db, "no-such")


async def test_old_trouble_is_no_reason_to_ask_strangers_but_is_still_found(db):
    town_ = await db.work(town)
    await said(db, town_["a-dsl"], at=NOW - 25 * HOUR)
    await db.work(outages.open_outage, area="kars", started_at=NOW - 25 * HOUR, estimate_at=None, now=NOW)
    assert not await db.read(lines.lines_down, NOW)
    assert await db.read(lines.areas_down, NOW) == ()
    assert await ending(db, LAST_FOUR["a"]) == ["a-landline"]
    assert await ending(db, LAST_FOUR["k"]) == ["k-landline"]


async def test_the_areas_of_lines_that_went_down_are_among_them(any_db):
    town_ = await any_db.work(town)
    await any_db.work(outages.open_outage, area="rize", started_at=NOW - HOUR, estimate_at=None, now=NOW)
    for line, ago in (("a-dsl", 3 * HOUR), ("b-dsl", 2 * HOUR), ("k-dsl", MINUTE)):
        await said(any_db, town_[line], at=NOW - ago)
    assert await any_db.read(lines.areas_down, NOW) == ("kars", "rize", "moda")
    await said(any_db, town_["a-tv"])
    assert await any_db.read(lines.areas_down, NOW) == ("", "kars", "rize", "moda"), "a line that lies in no area"
    for line in ("a-tv", "k-dsl"):
        await said(any_db, town_[line], "up")
    assert await any_db.read(lines.areas_down, NOW) == ("rize", "moda")


async def test_the_areas_that_are_down_are_named_the_newest_first(db):
    await db.work(town)
    for area, ago in (("kars", 2 * HOUR), ("moda", HOUR), ("kars", MINUTE), ("moda", -HOUR)):
        await db.work(outages.open_outage, area=area, started_at=NOW - ago, estimate_at=None, now=NOW)
    assert await db.read(lines.areas_down, NOW) == ("kars", "moda")
    assert await db.read(lines.lines_down, NOW, area="moda")
    assert not await db.read(lines.lines_down, NOW, area="rize")
