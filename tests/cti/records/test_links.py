"""The life of a link: what it told us is believed as long as it is, and taken back exactly when it is not."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy.orm import Session

from cti import numbers
from cti.db import Database
from cti.events import InteractionsRelinked, LinkDisputed, LinkEnded, LinkVerified
from cti.identity import Outcome
from cti.records import contact_points, links, number_life, parties, timeline
from cti.records.contact_points import Link
from cti.records.conversations import Conversation
from tests.cti.records.mobile import (
    DAY,
    MOBILE,
    NOW,
    YEAR,
    called,
    contacts,
    linked,
    matches,
    prepare,
    told,
    whose,
    wrote,
)  # fmt: skip


@pytest_asyncio.fixture
async def people(any_db):
    return await any_db.work(prepare)


# --- verified and disputed --------------------------------------------------------------------------------------------


async def test_a_verified_link_makes_earlier_contacts_the_partys_and_a_mere_match_does_not(any_db, people):
    link = await linked(any_db, people["mobile"], party=people["Ali"])
    assert await whose(any_db) == [None] * 3
    assert await any_db.work(links.verify, link, method="sms", by="sms", now=NOW)
    assert await whose(any_db) == [people["Ali"]] * 3
    assert await told(any_db, LinkVerified, InteractionsRelinked) == [
        LinkVerified(link=link, method="sms", by="sms"),
        InteractionsRelinked(link=link, contact_point=people["mobile"], party=people["Ali"], count=3),
    ]
    assert not await any_db.work(links.verify, link, method="sms", by="sms", now=NOW), "it is already"


async def test_a_disputed_link_stops_at_once_and_its_contacts_are_open_again(any_db, people):
    before = await contacts(any_db)
    link = await linked(any_db, people["mobile"], party=people["Ali"], state="verified")
    assert await matches(any_db)
    assert await whose(any_db) == [people["Ali"]] * 3
    assert await any_db.work(links.dispute, link, reason="not me", by="agent1", now=NOW)
    assert not await matches(any_db)
    assert await contacts(any_db) == before
    assert (await told(any_db, LinkDisputed, InteractionsRelinked))[1:] == [
        LinkDisputed(link=link, reason="not me", by="agent1"),
        InteractionsRelinked(link=link, contact_point=people["mobile"], party=None, count=3),
    ]
    assert not await any_db.work(links.dispute, link, reason="not me", by="agent1", now=NOW), "it is already"


async def test_who_disputes_a_number_disputes_it_in_every_role(any_db, people):
    his = await linked(any_db, people["mobile"], NOW - DAY, party=people["Ali"], role="owner")
    also = await linked(any_db, people["mobile"], NOW - DAY, party=people["Ali"], role="work")
    hers = await linked(any_db, people["mobile"], NOW - DAY, party=people["Veli"], role="user")
    assert await any_db.work(links.dispute, his, reason="not_theirs", by="test", now=NOW)
    states = {
        each: (await any_db.read(lambda session, each=each: session.get_one(Link, each))).state
        for each in (his, also, hers)
    }
    assert states == {his: "disputed", also: "disputed", hers: "unverified"}
    assert not await any_db.work(links.dispute, also, reason="not_theirs", by="test", now=NOW)


async def test_disputing_and_verifying_in_turn_comes_back_to_the_same_states(any_db, people):
    opened = await contacts(any_db)
    link = await linked(any_db, people["mobile"], party=people["Ali"], state="verified")
    known = await contacts(any_db)
    for turn in range(links.TURNS_MAX + 2):
        now = NOW + turn * dt.timedelta(minutes=1)
        await any_db.work(links.dispute, link, reason="", by="agent1", now=now)
        assert await contacts(any_db) == opened
        await any_db.work(links.verify, link, method="agent", by="agent1", now=now)
        assert await contacts(any_db) == known
    assert len(await told(any_db, LinkDisputed)) == links.TURNS_MAX + 2, "also those beyond what the page shows"


async def test_what_somebody_said_is_not_touched_by_any_link(any_db, people):
    def say(session: Session) -> None:
        wrote(session, people["mobile"], NOW, party_id=people["Veli"])

    await any_db.work(say)
    link = await linked(any_db, people["mobile"], party=people["Ali"], state="verified")
    assert await whose(any_db) == [*[people["Ali"]] * 3, people["Veli"]]
    await any_db.work(links.dispute, link, reason="", by="a", now=NOW)
    assert await whose(any_db) == [None, None, None, people["Veli"]]


@pytest.mark.parametrize("doubt", [{"exclusivity": "shared"}, {"role": "work"}, {"role": "neighbour"}])
async def test_a_link_that_does_not_say_who_it_was_changes_no_contact(any_db, people, doubt):
    await linked(any_db, people["mobile"], party=people["Ali"], state="verified", **doubt)
    assert await whose(any_db) == [None] * 3


@pytest.mark.parametrize("other", ["Veli", "home"])
async def test_two_links_of_one_number_leave_its_contacts_open(any_db, people, other):
    named = {"party": people[other]} if other == "Veli" else {"household": people[other]}
    await linked(any_db, people["mobile"], **named)
    await linked(any_db, people["mobile"], party=people["Ali"], state="verified")
    assert await whose(any_db) == [None] * 3


async def test_contacts_from_the_time_of_an_earlier_owner_are_not_the_new_ones(any_db, people):
    """The number was Veli's until a year ago: what was written before is not Ali's."""
    first = await linked(any_db, people["mobile"], NOW - 8 * YEAR, party=people["Veli"])
    await any_db.work(links.end_link, first, reason="sold", by="agent1", now=NOW - YEAR)
    await linked(any_db, people["mobile"], party=people["Ali"], state="verified")
    assert await whose(any_db) == [None, people["Ali"], people["Ali"]]


async def test_an_owner_who_never_was_one_hides_nothing_from_the_right_one(any_db, people):
    wrong = await linked(any_db, people["mobile"], NOW - 8 * YEAR, party=people["Veli"], state="verified")
    await any_db.work(links.end_link, wrong, reason="not_theirs", by="agent1", now=NOW)
    assert await whose(any_db) == [None] * 3
    await linked(any_db, people["mobile"], party=people["Ali"], state="verified")
    assert await whose(any_db) == [people["Ali"]] * 3


async def test_what_came_while_he_had_the_number_stays_his_when_he_gives_it_up(any_db, people):
    link = await linked(any_db, people["mobile"], party=people["Ali"], state="verified")
    assert await any_db.work(links.end_link, link, reason="sold", by="agent1", now=NOW)
    assert not await matches(any_db)
    assert await whose(any_db) == [people["Ali"]] * 3


async def test_a_link_that_takes_anothers_place_answers_for_its_contacts(any_db, people):
    """An import's link attributed messages at once; a verified one replaced it and was disputed."""
    weak = await linked(any_db, people["mobile"], party=people["Ali"])

    def write(session: Session) -> None:
        wrote(session, people["mobile"], NOW, party_id=people["Ali"], party_by=weak)

    await any_db.work(write)
    strong = await linked(any_db, people["mobile"], party=people["Ali"], state="verified")
    assert strong != weak
    await any_db.work(links.dispute, strong, reason="", by="a", now=NOW)
    assert await whose(any_db) == [None] * 4


async def test_a_link_that_is_not_there_is_named_in_the_refusal(db):
    for change in (links.verify, links.dispute, links.end_link):
        words = {"method": "x"} if change is links.verify else {"reason": "x"}
        with pytest.raises(LookupError, match="expected the id of a link, got 'none'"):
            await db.work(change, "none", by="x", now=NOW, **words)


async def test_a_link_that_ended_is_neither_verified_nor_disputed(any_db, people):
    link = await linked(any_db, people["mobile"], party=people["Ali"])
    await any_db.work(links.end_link, link, reason="sold", by="a", now=NOW)
    assert not await any_db.work(links.verify, link, method="sms", by="a", now=NOW)
    assert not await any_db.work(links.dispute, link, reason="", by="a", now=NOW)


# --- calls ------------------------------------------------------------------------------------------------------------


async def test_a_call_that_goes_on_does_not_lose_the_party_that_its_number_was_given(any_db, people):
    await linked(any_db, people["mobile"], party=people["Ali"], state="verified")

    def noted(session: Session, party: str | None) -> None:
        row = session.get_one(Conversation, "call")
        row.note, row.party_id = "modem", party
        timeline.record_call(session, row, NOW)

    await any_db.work(noted, None)
    assert await whose(any_db) == [people["Ali"]] * 3
    await any_db.work(noted, people["Veli"])  # the agent confirmed somebody: that counts for more
    assert (await contacts(any_db))[2][1:3] == (people["Veli"], None)
    await any_db.work(noted, None)  # and takes it back
    assert (await contacts(any_db))[2][1:3] == (None, None)


async def test_a_call_on_a_shared_number_is_one_contact_of_nobody_until_somebody_decides(any_db, people):
    for name in ("Ali", "Veli"):
        await linked(any_db, people["mobile"], party=people[name], exclusivity="shared")
    found = await any_db.read(contact_points.identify, numbers.parse(MOBILE, "TR"), NOW)
    assert found.outcome is Outcome.AMBIGUOUS
    assert {each.party for each in found.candidates} == {people["Ali"], people["Veli"]}
    interaction = await any_db.work(called, "shared", NOW)
    shown = await any_db.read(timeline.entries, parties=[people["Ali"], people["Veli"]], conversation="shared")
    assert [(each.id, each.party) for each in shown if each.id == interaction] == [(interaction, None)]

    def decide(session: Session) -> str:
        row = session.get_one(Conversation, "shared")
        row.party_id = people["Veli"]
        return timeline.record_call(session, row, NOW)

    assert await any_db.work(decide) == interaction
    assert len([each for each in await contacts(any_db) if each[0] == interaction and each[1] == people["Veli"]]) == 1
    assert await any_db.read(timeline.entries, parties=[people["Ali"]]) == []


# --- seen and expired -------------------------------------------------------------------------------------------------


async def age(db: Database, link: str, **times: Any) -> None:
    def set_(session: Session) -> None:
        row = session.get_one(Link, link)
        for name, value in times.items():
            setattr(row, name, value)

    await db.work(set_)


async def test_a_recycled_number_stops_matching_within_the_policys_period(any_db, people):
    link = await linked(any_db, people["mobile"], NOW - 400 * DAY, party=people["Ali"])
    assert await any_db.read(links.unseen, NOW, unseen_days=401) == []
    assert await any_db.work(links.expire, NOW, unseen_days=401) == 0
    assert await any_db.read(links.unseen, NOW, unseen_days=399) == [link]
    assert await any_db.work(links.expire, NOW, unseen_days=399) == 1
    assert not await matches(any_db)
    assert await told(any_db, LinkEnded) == [LinkEnded(link=link, reason="expired", by="policy")]
    assert await any_db.work(links.expire, NOW, unseen_days=399) == 0, "once more does no harm"


async def test_whoever_was_met_on_it_keeps_his_number(any_db, people):
    link = await linked(any_db, people["mobile"], NOW - 900 * DAY, party=people["Ali"])
    seen = NOW - 700 * DAY
    assert await any_db.work(links.seen, people["mobile"], now=seen, party=people["Veli"]) == 0
    assert await any_db.work(links.seen, people["mobile"], now=seen) == 0
    assert await any_db.work(links.seen, people["mobile"], now=seen, party=people["Ali"], household="none") == 1
    assert await any_db.work(links.seen, people["mobile"], now=seen - DAY, party=people["Ali"]) == 1
    assert await any_db.read(links.unseen, NOW, unseen_days=701) == []
    assert await any_db.read(links.unseen, NOW, unseen_days=699) == [link]


async def test_a_verified_link_lives_longer(any_db, people):
    link = await linked(any_db, people["mobile"], NOW - 140 * DAY, party=people["Ali"], state="verified")
    assert await any_db.read(links.unseen, NOW, unseen_days=100) == []
    assert await any_db.read(links.unseen, NOW, unseen_days=90) == [link]


async def test_a_lines_own_number_and_an_address_do_not_grow_old(any_db, people):
    def add(session: Session) -> None:
        ali = session.get_one(parties.Party, people["Ali"])
        line = parties.add_subscription(session, number="1", kind="landline", holder=ali, now=NOW)
        old: dict[str, Any] = {"source": "test", "by": "test", "now": NOW - 9 * YEAR}
        point = contact_points.ensure(session, "phone", "0212 555 01 01", now=NOW)
        links.link(session, point, subscription=line.id, role="line_number", **old)
        mail = contact_points.ensure(session, "email", "ali@example.com", now=NOW)
        links.link(session, mail, party=ali.id, role="owner", **old)

    await any_db.work(add)
    assert await any_db.read(links.unseen, NOW, unseen_days=30) == []


async def test_of_those_that_were_found_before_only_those_that_still_are_old_end(any_db, people):
    link = await linked(any_db, people["mobile"], NOW - 900 * DAY, party=people["Ali"])
    await any_db.work(links.seen, people["mobile"], now=NOW, party=people["Ali"])
    assert await any_db.work(links.expire, NOW, unseen_days=730, among=[link]) == 0


# --- its whole life ---------------------------------------------------------------------------------------------------


async def test_a_numbers_whole_life_is_told_from_its_links_and_the_ledger(any_db, people):
    first = await linked(any_db, people["mobile"], NOW - 8 * YEAR, party=people["Veli"])
    await any_db.work(links.end_link, first, reason="sold", by="agent1", now=NOW - YEAR)
    second = await linked(any_db, people["mobile"], party=people["Ali"])
    await any_db.work(links.verify, second, method="document", by="agent2", now=NOW + DAY)
    await any_db.work(links.dispute, second, reason="stolen", by="agent3", now=NOW + 2 * DAY)
    life = await any_db.read(number_life.life, "phone", MOBILE)
    assert [(each.whom, each.state, each.valid_to) for each in life.links] == [
        ("Veli", "unverified", NOW - YEAR), ("Ali", "disputed", None),
    ]  # fmt: skip
    assert [(each.type, each.at, each.body.get("by", "")) for each in life.events] == [
        ("link.made", NOW - 8 * YEAR, "agent1"),
        ("link.ended", NOW - YEAR, "agent1"),
        ("link.made", NOW, "agent1"),
        ("link.verified", NOW + DAY, "agent2"),
        ("interactions.relinked", NOW + DAY, ""),
        ("link.disputed", NOW + 2 * DAY, "agent3"),
        ("interactions.relinked", NOW + 2 * DAY, ""),
    ]
    assert (life.interactions, life.nobodys) == (3, 3)
    assert life.since == NOW - 9 * YEAR


async def test_a_number_nobody_knows_has_no_life(db):
    assert await db.read(number_life.life, "phone", MOBILE) == number_life.NumberLife(
        kind="phone", value=MOBILE, raw="", since=None
    )
