"""What the database says a seat shows: who may see how much, in which language, and at what price."""

from __future__ import annotations

import pytest
import pytest_asyncio
from sqlalchemy import event

from cti.records import outages, tickets
from cti.records.conversations import Conversation, Offer
from screenpop import board, snapshot
from screenpop.protocol import Card
from screenpop.seat import Owner
from tests.fakes import company, story
from tests.fakes.story import Step, Teller, row_of

ALI_CALLS = [
    {"flow": "arrives", "number": company.HIS},
    {"flow": "opens_ticket"},
    {"flow": "queues", "intent": "fault"},
]
RINGS, ANSWERS = {"fact": "DeviceRinging", "agent": "zeynep"}, {"fact": "DeviceAnswered", "agent": "zeynep"}
QUERIES_MAX = 40  # for one card, however much is known of the caller


@pytest_asyncio.fixture
async def teller(any_db, now):
    return await story.begin(any_db, now)


async def card(teller: Teller, agent: str = "zeynep") -> Card:
    (only,) = (await teller.seat(agent)).seat.cards
    return only


async def test_a_ringing_card_says_everything_before_the_agent_speaks(teller):
    await teller.tell([*ALI_CALLS, RINGS])
    shown = await card(teller)
    assert (shown.state, shown.intent, shown.number) == ("offered", "fault", "0532 555 01 23")
    assert [each.this_call for each in shown.tickets] == [True]
    assert {each.kind for each in shown.timeline} == {"call", "ticket"}
    assert shown.identity.candidates[0].customer_no == "1000123"


async def test_a_missed_card_says_who_it_was_and_not_everything_about_him(teller):
    await teller.tell([*ALI_CALLS, RINGS, {"fact": "DeviceStopped", "agent": "zeynep"}])
    shown = await card(teller)
    assert [each.name for each in shown.identity.candidates] == ["Ali Yılmaz"]
    assert (shown.tickets, shown.timeline, shown.path, shown.outages, shown.note) == ((), (), (), (), "")
    assert shown.recording is None


async def test_strangers_on_one_number_are_not_mixed_until_one_is_confirmed(teller, now):
    await teller.tell(
        [{"flow": "arrives", "number": company.SHARED}, {"flow": "queues", "intent": "fault"}, RINGS, ANSWERS]
    )

    def ticket_of_the_first(session):
        row = row_of(session, "c1")
        first = row.candidates[0]
        tickets.open_once(
            session, subscription=first["subscriptions"][0], party=first["party"], matter="fault", channel="sms",
            conversation=None, now=now,
        )  # fmt: skip
        return first["party"]

    party = await teller.db.work(ticket_of_the_first)
    assert (await card(teller)).tickets == ()
    await teller.command("confirm_party", by="zeynep", value=party)
    assert [each.matter for each in (await card(teller)).tickets] == ["fault"]


async def test_an_outage_of_the_carrier_shows_on_the_card_of_the_landline_s_caller(teller, now):
    await teller.db.work(outages.open_outage, area="Kadıköy-3", kind="dsl", started_at=now, estimate_at=None, now=now)
    await teller.tell([{"flow": "arrives", "number": company.LANDLINE}, {"flow": "queues", "intent": "fault"}, RINGS])
    assert [each.area for each in (await card(teller)).outages] == ["Kadıköy-3"]


async def test_a_seat_speaks_the_language_of_its_page(teller, now):
    await teller.tell([*ALI_CALLS, RINGS])
    agent = story.seated(Owner("user-zeynep", "Zeynep", "zeynep", "tr"))
    tr, en = [
        (await teller.db.read(snapshot.look, agent, language, before=None, only=None, now=teller.now)).seat
        for language in ("tr", "en")
    ]
    assert tr.dispositions[0].name != en.dispositions[0].name
    assert tr.channels != en.channels
    assert tr.cards[0].identity.candidates[0].reasons != en.cards[0].identity.candidates[0].reasons


async def test_who_takes_no_calls_has_no_cards(teller):
    await teller.tell([*ALI_CALLS, RINGS])
    assert (await teller.seat("")).seat.cards == ()


async def calls(teller: Teller, count: int, *steps: Step) -> None:
    for number in range(count):
        ids = {"channel": f"c{number}", "device_channel": f"d{number}"}
        arrives = {"flow": "arrives", "number": company.HIS, "channel": ids["channel"]}
        await teller.tell([arrives, *({**step, **ids} for step in (RINGS, *steps))])


async def test_no_more_cards_than_fit_and_the_newest_of_them(teller):
    await calls(teller, board.CARDS_MAX + 2)
    shown = (await teller.seat("zeynep")).seat.cards
    assert len(shown) == board.CARDS_MAX
    assert [each.offered_at for each in shown] == sorted((each.offered_at for each in shown), reverse=True)


async def test_of_many_missed_offers_the_last_few_are_kept(teller):
    await calls(teller, snapshot.WITHDRAWN_MAX + 2, {"fact": "DeviceStopped", "agent": "zeynep"})
    assert len((await teller.seat("zeynep")).seat.cards) == snapshot.WITHDRAWN_MAX


async def test_looking_at_one_conversation_takes_the_others_over_and_comes_to_the_same(teller):
    await calls(teller, 3)
    before = await teller.seat("zeynep")
    changed = before.seat.cards[1].id

    def rename(session):
        for row in session.query(Conversation):
            row.caller_name = "new"

    await teller.db.work(rename)
    after = await teller.seat("zeynep", before, {changed: board.ALL})
    assert [each.caller_name for each in after.seat.cards] == ["", "new", ""]
    whole = await teller.seat("zeynep")
    everything = dict.fromkeys((each.id for each in whole.seat.cards), board.ALL)
    assert (await teller.seat("zeynep", before, everything)).seat == whole.seat


async def test_a_new_offer_of_a_known_conversation_is_read_anew(teller):
    await teller.tell([*ALI_CALLS, RINGS, {"fact": "DeviceStopped", "agent": "zeynep"}])
    before = await teller.seat("zeynep")
    await teller.step({**RINGS, "device_channel": "zeynep-2"})
    (again,) = (await teller.seat("zeynep", before, {})).seat.cards
    assert again.state == "offered"


@pytest.mark.parametrize("count", [1, 3])
async def test_a_look_costs_few_queries_a_card(db, now, count):
    teller = await story.begin(db, now)
    await calls(teller, count, ANSWERS)
    asked = []
    event.listen(db._inner._engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    await teller.seat("zeynep")
    assert len(asked) <= 5 + QUERIES_MAX * count


async def test_every_offer_keeps_its_own_story(teller):
    await teller.tell([*ALI_CALLS, RINGS, ANSWERS])
    offer = await teller.db.read(lambda session: session.query(Offer).one())
    assert (await card(teller)).offer == offer.id
