"""A message comes into the timeline once, and to a person only when there is no doubt."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cti import ledger
from cti.channels import intake
from cti.channels.intake import Contact, Message, Received
from cti.db import Database
from cti.events import InteractionReceived
from cti.records import contact_points, link_notices, links, parties, timeline
from cti.records.contact_points import Link
from cti.records.outbox import OutMessage
from cti.records.parties import Party
from cti.records.timeline import Interaction, UnknownChannel
from tests.fakes import company


@pytest_asyncio.fixture
async def people(db, now):
    def prepare(session):
        timeline.seed_channels(session)
        return {name: parties.add_party(session, name=name, source="test", now=now).id for name in ("Ali", "Veli")}

    return await db.work(prepare)


@pytest.fixture
def sms(now):
    point = Contact(kind="phone", value="0532 123 45 67")
    return Message(channel="sms", direction="in", contact_point=point, at=now, text="evet", external_id="x1")


async def linked(db: Database, now: dt.datetime, *, role: str = "owner", **whose: Any) -> None:
    def link(session: Session) -> None:
        point = contact_points.ensure(session, "phone", "0532 123 45 67", now=now)
        links.link(session, point, role=role, source="test", by="test", now=now, **whose)

    await db.work(link)


async def row_of(db: Database, received: Received) -> Interaction:
    return await db.read(lambda session: session.get_one(Interaction, received.interaction))


async def test_a_message_that_comes_twice_is_taken_once(db, people, sms, now):
    first = await db.work(intake.receive, sms, now)
    again = await db.work(intake.receive, dataclasses.replace(sms, text="repeated"), now)
    assert (first.new, again.new) == (True, False)
    assert again.interaction == first.interaction
    assert (await row_of(db, first)).text == "evet"
    told = [each.event for each in await db.read(ledger.since, 0) if isinstance(each.event, InteractionReceived)]
    assert [(each.interaction, each.channel, each.external_id) for each in told] == [(first.interaction, "sms", "x1")]


async def test_twenty_at_once_with_one_id_are_one(db, people, sms, now):
    received = await asyncio.gather(*(db.work(intake.receive, sms, now) for _ in range(20)))
    assert [each.new for each in received].count(True) == 1
    assert len({each.interaction for each in received}) == 1


async def test_the_same_id_on_another_channel_is_another_message(db, people, sms, now):
    await db.work(intake.receive, sms, now)
    assert (await db.work(intake.receive, dataclasses.replace(sms, channel="whatsapp"), now)).new


async def test_messages_without_an_id_are_all_taken(db, people, sms, now):
    nameless = dataclasses.replace(sms, external_id="")
    received = [await db.work(intake.receive, nameless, now) for _ in range(2)]
    assert [each.new for each in received] == [True, True]


async def test_an_unknown_number_makes_a_contact_point_and_no_customer(db, people, sms, now):
    row = await row_of(db, await db.work(intake.receive, sms, now))
    assert row.party_id is None
    point = await db.read(contact_points.find, "phone", "+905321234567")
    assert point is not None
    assert row.contact_point_id == point.id
    assert await db.read(lambda session: session.scalar(select(func.count()).select_from(Party))) == 2


async def test_a_number_of_one_person_is_his(db, people, sms, now):
    await linked(db, now, party=people["Ali"])
    assert (await row_of(db, await db.work(intake.receive, sms, now))).party_id == people["Ali"]


async def test_a_number_of_two_people_is_nobodys(db, people, sms, now):
    await linked(db, now, party=people["Ali"])
    await linked(db, now, party=people["Veli"])
    assert (await row_of(db, await db.work(intake.receive, sms, now))).party_id is None


@pytest.mark.parametrize(
    "doubt", [{"exclusivity": "shared"}, {"role": "neighbour"}, {"state": "proposed"}, {"role": "former"}]
)
async def test_a_doubtful_link_is_nobodys(db, people, sms, now, doubt):
    await linked(db, now, party=people["Ali"], **doubt)
    assert (await row_of(db, await db.work(intake.receive, sms, now))).party_id is None


async def test_a_households_number_is_nobodys_even_beside_a_person(db, people, sms, now):
    home = await db.work(lambda session: parties.add_household(session, label="Öz", now=now).id)
    await linked(db, now, party=people["Ali"])
    await linked(db, now, household=home)
    assert (await row_of(db, await db.work(intake.receive, sms, now))).party_id is None


async def test_whoever_hands_it_in_may_say_whose_it_is(db, people, sms, now):
    row = await row_of(db, await db.work(intake.receive, dataclasses.replace(sms, party=people["Veli"]), now))
    assert row.party_id == people["Veli"]
    with pytest.raises(intake.UnknownParty, match="expected the id of a party, got 'nobody'"):
        await db.work(intake.receive, dataclasses.replace(sms, external_id="x2", party="nobody"), now)


async def test_an_unknown_channel_is_refused_with_the_list_of_channels(db, people, sms, now):
    with pytest.raises(UnknownChannel, match="branch, chat, email, phone, sms, social, whatsapp, got 'pigeon'"):
        await db.work(intake.receive, dataclasses.replace(sms, channel="pigeon"), now)


async def test_a_message_without_a_contact_point_is_kept(db, people, sms, now):
    row = await row_of(db, await db.work(intake.receive, dataclasses.replace(sms, contact_point=None), now))
    assert row.contact_point_id is None


async def test_hostile_text_stays_text_and_has_an_end(db, people, sms, now):
    hostile = "<script>alert(1)</script>\x00' OR 1=1; -- ${SHELL(id)} \u202e"
    message = dataclasses.replace(sms, text=hostile + "x" * 30_000, subject="s" * 500)
    row = await row_of(db, await db.work(intake.receive, message, now))
    assert row.text.startswith(hostile.replace("\x00", ""))
    assert (len(row.text), len(row.subject)) == (intake.TEXT_MAX, intake.SUBJECT_MAX)


# --- links ------------------------------------------------------------------------------------------------------------


async def test_what_a_disputed_link_made_somebodys_at_once_is_open_again(db, people, sms, now):
    await linked(db, now, party=people["Ali"])
    received = await db.work(intake.receive, sms, now)
    row = await row_of(db, received)
    assert row.party_id == people["Ali"]
    assert await db.work(links.dispute, row.party_by, reason="not me", by="agent1", now=now)
    row = await row_of(db, received)
    assert (row.party_id, row.party_by) == (None, None)


async def test_what_somebody_said_is_of_no_link(db, people, sms, now):
    await linked(db, now, party=people["Ali"])
    row = await row_of(db, await db.work(intake.receive, dataclasses.replace(sms, party=people["Veli"]), now))
    assert (row.party_id, row.party_by) == (people["Veli"], None)


async def test_a_link_that_nobody_was_met_on_for_longer_than_the_policy_allows_makes_nothing_his(db, people, sms, now):
    await linked(db, now - dt.timedelta(days=40), party=people["Ali"])
    row = await row_of(db, await db.work(intake.receive, sms, now, unseen_days=30))
    assert row.party_id is None


@pytest_asyncio.fixture
async def asked_by_sms(db, now):
    """Ali's wife gave a new number, and Ali was asked by SMS; the link and the code."""

    def prepare(session: Session) -> tuple[str, str]:
        home = company.load(session, now)
        point = contact_points.ensure(session, "phone", "0544 555 01 99", now=now)
        link = links.link(session, point, party=home.ayse, role="user", source="ivr", by="caller", now=now)
        link_notices.notify(session, link, now)
        text = session.scalars(select(OutMessage.text)).one()
        return link.id, next(word for word in text.replace(",", " ").split() if len(word) == 6 and word.isdigit())

    return await db.work(prepare)


async def state_of(db: Database, link: str) -> str:
    return await db.read(lambda session: session.get_one(Link, link).state)


async def test_an_sms_from_home_and_one_from_the_new_number_make_it_verified(db, sms, now, asked_by_sms):
    link, code = asked_by_sms
    for number in (company.HIS, "0544 555 01 99"):
        assert await state_of(db, link) == "unverified"
        answer = dataclasses.replace(sms, contact_point=Contact(kind="phone", value=number), external_id=number)
        await db.work(intake.receive, dataclasses.replace(answer, text=f"ONAY {code}"), now, name="Telefoncu")
        text = (await db.read(lambda session: session.scalars(select(OutMessage.text).order_by(OutMessage.key)).all()))[
            -1
        ]
        code = text.split("ONAY ")[1][:6]
        assert text.startswith("Bu telefonu Telefoncu kayıtlarına eklemek için ONAY ")
    assert await state_of(db, link) == "verified"


@pytest.mark.parametrize(("word", "state"), [("ONAY", "unverified"), ("İptal", "disputed")])
async def test_an_sms_that_answers_ours_settles_the_link_and_is_kept_like_every_other(
    db, sms, now, asked_by_sms, word, state
):
    link, code = asked_by_sms
    his = Contact(kind="phone", value=company.HIS)
    answer = dataclasses.replace(sms, contact_point=his, text=f"{word} {code}")
    first = await db.work(intake.receive, answer, now)
    assert (first.new, await state_of(db, link)) == (True, state)
    assert (await row_of(db, first)).text == f"{word} {code}"
    assert not (await db.work(intake.receive, answer, now)).new, "the gateway told us twice"


@pytest.mark.parametrize(
    "changes",
    [
        {"channel": "whatsapp"},
        {"direction": "out"},
        {"contact_point": Contact(kind="phone", value="0544 555 01 99")},  # the very number that it is about
        {"contact_point": Contact(kind="phone", value=company.SHARED)},
        {"contact_point": None},
        {"text": "ONAY 12345"},
        {"text": "ONAY \u202e123456"},
        {"text": "\x00" * 99},
    ],
)
async def test_from_elsewhere_and_in_other_words_it_settles_nothing_and_is_kept(db, sms, now, asked_by_sms, changes):
    link, code = asked_by_sms
    his = Contact(kind="phone", value=company.HIS)
    answer = dataclasses.replace(sms, **{"contact_point": his, "text": f"ONAY {code}", **changes})
    assert (await db.work(intake.receive, answer, now)).new
    assert await state_of(db, link) == "unverified"
