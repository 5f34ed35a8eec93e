"""What is written down when a call arrives: its number in the area it called, and what the trunk says beside it."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from sqlalchemy.orm import Session

from cti import journal, switchboard
from cti.db import Database
from cti.events import CallArrived
from cti.journal import CallNoted
from cti.line import Caller, QueueJoined
from cti.records import contact_points, links, parties
from cti.records.conversations import Conversation
from cti.replay import replay
from tests.fakes import company, story

ISTANBUL, ANKARA, NOWHERE = "+902125550100", "03125550100", "08505550100"
OTHER = "sip:+905339998877@carrier.example"
DIVERTER = "tel:+902125550199"


def two_landlines(session: Session, now: dt.datetime) -> dict[str, str]:
    """The same seven digits in two areas; subscription of each area code."""
    found = {}
    holder = parties.add_party(session, name="Ali Yılmaz", now=now, source="test")
    for area in ("212", "312"):
        line = parties.add_subscription(
            session, number=f"L-{area}", kind="landline", holder=holder, line_number=f"+90{area}5550199", now=now
        )
        point = contact_points.ensure(session, "phone", f"+90{area}5550199", now=now)
        links.link(session, point, subscription=line.id, role="line_number", source="test", by="test", now=now)
        found[area] = line.id
    return found


async def arrived(
    db: Database, now: dt.datetime, raw: str = company.HIS, did: str = ISTANBUL, **more: Any
) -> tuple[CallArrived, Conversation]:
    arrival = await db.work(switchboard.arrived, Caller("c1", did, raw, "", **more), region="TR", now=now)
    row = await db.read(lambda session: session.get_one(Conversation, arrival.conversation))
    told = [each.event for each in await story.told(db) if isinstance(each.event, CallArrived)]
    return told[-1], row


@pytest.mark.parametrize(("did", "area"), [(ISTANBUL, "212"), (ANKARA, "312"), (NOWHERE, "312")])
async def test_the_same_seven_digits_at_two_numbers_of_ours_are_two_subscriptions(db, now, did, area):
    lines = await db.work(two_landlines, now)
    caller = Caller("c1", did, "555 01 99", "")
    arrival = await db.work(switchboard.arrived, caller, region="TR", areas={"+908505550100": "312"}, now=now)
    assert arrival.number.e164 == f"+90{area}5550199"
    assert arrival.identification.subscriptions == (lines[area],)


async def test_carriers_write_numbers_of_other_countries_without_their_plus(db, now):
    event, row = await arrived(db, now, "493023125123", asserted="442079460123", diverted_from="12025550123")
    assert (event.number, event.asserted, event.diverted_from) == ("+493023125123", "+442079460123", "+12025550123")
    assert row.number == "+493023125123"


async def test_a_local_number_at_a_number_without_a_place_is_nobody(db, now):
    await db.work(two_landlines, now)
    event, row = await arrived(db, now, "5550199", NOWHERE)
    assert (event.number, event.number_kind, row.outcome) == (None, "malformed", "malformed")


async def test_a_caller_whom_the_dialplan_served_is_read_in_the_same_area(db, now):
    await db.work(two_landlines, now)
    fact = QueueJoined(now.timestamp(), "c1", "", "default", "5550199", NOWHERE)
    await db.work(lambda session: switchboard.take(fact, session, now, "TR", {"+908505550100": "212"}))
    row = await db.read(switchboard.of_channel, "c1")
    assert row.number == "+902125550199"


async def test_what_the_trunk_says_beside_the_number_is_kept(db, now):
    event, row = await arrived(db, now, asserted=OTHER, diverted_from=DIVERTER, attestation="B")
    assert (event.number, event.asserted, event.diverted_from, event.attestation) == (
        company.HIS,
        "+905339998877",
        "+902125550199",
        "B",
    )
    assert row.evidence == {"asserted": "+905339998877", "diverted_from": "+902125550199", "attestation": "B"}


async def test_a_trunk_that_says_nothing_new_leaves_nothing(db, now):
    event, row = await arrived(db, now, asserted=f"sip:{company.HIS}@carrier.example")
    assert (event.asserted, event.diverted_from, event.attestation) == ("", "", "")
    assert row.evidence is None


async def test_nobody_is_matched_by_the_number_that_the_trunk_vouches_for(db, now):
    await db.work(company.load, now)
    event, row = await arrived(db, now, "05449990000", asserted=f"sip:{company.HIS}@carrier.example")
    assert (event.asserted, row.outcome, row.candidates) == (company.HIS, "none", [])


async def test_a_withheld_number_stays_withheld_for_people_whatever_the_trunk_knows(db, now):
    await db.work(company.load, now)
    event, row = await arrived(db, now, "anonymous", asserted=f"sip:{company.HIS}@carrier.example", attestation="A")
    assert (event.number, event.asserted) == (None, company.HIS)
    assert (row.outcome, row.number, row.candidates) == ("withheld", None, [])
    assert row.evidence == {"attestation": "A"}


@pytest.mark.parametrize(
    ("asserted", "diverted", "kept"),
    [
        ("sip:junk@x", "", None),
        ("anonymous", "sip:reception@pbx", {"diverted_from": "sip:reception@pbx"}),
        ("\0", "\ud800\0" * 200, {"diverted_from": "?" * 40}),
        ("<" * 300, "", None),
    ],
)
async def test_an_odd_word_of_the_trunk_breaks_nothing(any_db, now, asserted, diverted, kept):
    event, row = await arrived(any_db, now, asserted=asserted, diverted_from=diverted)
    assert (event.number, event.asserted, row.evidence) == (company.HIS, "", kept)


async def test_what_the_trunk_said_while_the_database_was_away_is_kept_too(db, now):
    noted = CallNoted(
        id="n1",
        at=now,
        conversation="conv-1",
        channel="c1",
        did=NOWHERE,
        raw="5550199",
        name="",
        asserted=OTHER,
        attestation="A",
    )
    await db.work(replay, noted, region="TR", areas={"+908505550100": "212"}, now=now)
    row = await db.read(switchboard.of_channel, "c1")
    assert (row.number, row.evidence) == ("+902125550199", {"asserted": "+905339998877", "attestation": "A"})


def test_a_journal_of_before_is_still_read(now):
    noted = CallNoted(id="n1", at=now, conversation="v", channel="c1", did=ISTANBUL, raw="", name="")
    line = json.loads(journal.written(noted))
    for name in ("asserted", "diverted_from", "attestation"):
        del line[name]
    assert journal.read(json.dumps(line).encode()) == noted
