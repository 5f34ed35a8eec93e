"""A ringing while the records are away: the number at once, the real card as soon as there is one."""

from __future__ import annotations

import datetime as dt

import pytest

from screenpop import board, unwritten
from screenpop.unwritten import UnwrittenOffer
from tests.fakes import company
from tests.fakes.live_desk import LiveDesk

RINGS = [
    {"flow": "arrives", "number": company.HIS},
    {"flow": "queues", "intent": "fault"},
    {"fact": "DeviceRinging", "agent": "zeynep"},
]
NOW = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)


def offer(device_channel: str = "zeynep-1", number: str = company.HIS, rang_at: dt.datetime = NOW) -> UnwrittenOffer:
    return UnwrittenOffer(
        device_channel=device_channel, channel="c1", agent="zeynep", number_raw=number, queue="fault", rang_at=rang_at
    )


@pytest.mark.parametrize(
    ("raw", "shown", "kind"),
    [("05325550123", "0532 555 01 23", "e164"), ("493023125123", "+49 30 23125123", "e164"), ("anonymous", "", "withheld"),
     ("1#2#3", "1#2#3", "malformed")],
)  # fmt: skip
def test_the_card_says_the_number_and_that_nothing_more_is_known(raw, shown, kind):
    card = unwritten.card(offer(number=raw), "TR")
    assert (card.number, card.number_kind, card.state) == (shown, kind, "offered")
    assert (card.identity.outcome, card.identity.candidates) == ("unwritten", ())
    assert card == board.sealed(card)


def cards(desk: LiveDesk, agent: str = "zeynep") -> list[str]:
    desk.pages[agent].take_all()
    return [card["id"] for card in desk.pages[agent].seat["cards"]]


async def test_the_seat_shows_it_at_once_and_nobody_else_does(desk):
    desk.hub.offer_unwritten("zeynep", offer())
    assert cards(desk) == ["unwritten:zeynep-1"]
    assert cards(desk, "murat") == []


async def test_it_rings_no_longer_when_it_was_answered(desk):
    desk.hub.offer_unwritten("zeynep", offer())
    desk.hub.unwritten_answered("another", NOW)
    desk.hub.unwritten_answered("zeynep-1", NOW)
    assert cards(desk) == ["unwritten:zeynep-1"]
    (card,) = desk.pages["zeynep"].seat["cards"]
    assert (card["state"], card["answered_at"]) == ("talking", "2026-11-20T07:30:00.000Z")


async def test_it_goes_when_the_ringing_is_over(desk):
    desk.hub.offer_unwritten("zeynep", offer())
    desk.hub.unwritten_gone("zeynep-1")
    desk.hub.unwritten_gone("zeynep-1")
    assert cards(desk) == []


async def test_the_real_card_takes_its_place_in_one_message(desk):
    desk.hub.offer_unwritten("zeynep", offer())
    await desk.teller.tell(RINGS)
    await desk.same()
    assert [card["identity"]["outcome"] for card in desk.pages["zeynep"].seat["cards"]] != ["unwritten"]
    (event,) = [each for each in desk.pages["zeynep"].taken if "unwritten:zeynep-1" in str(each)][1:]
    assert {change["part"] for change in event["changes"]} >= {"card_gone", "card"}


async def test_what_is_written_already_is_not_shown_twice(desk):
    await desk.teller.tell(RINGS)
    await desk.same()
    desk.hub.offer_unwritten("zeynep", offer())
    assert len(cards(desk)) == 1


async def test_another_call_s_card_does_not_take_its_place(desk):
    desk.hub.offer_unwritten("zeynep", offer("zeynep-2", rang_at=desk.teller.now))
    await desk.teller.tell(RINGS)
    await desk.settle()
    assert len(cards(desk)) == 2


async def test_who_comes_later_sees_it_too_and_a_seat_keeps_a_dozen_at_most(desk):
    for number in range(board.CARDS_MAX + 3):
        desk.hub.offer_unwritten("murat", offer(f"murat-{number}"))
    assert len(cards(desk, "murat")) == board.CARDS_MAX
    page = desk.pages["murat"]
    page.leave()
    await page.open()
    assert "unwritten:murat-0" not in cards(desk, "murat")
    assert "unwritten:murat-14" in cards(desk, "murat")
