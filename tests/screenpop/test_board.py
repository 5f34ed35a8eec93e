"""What a seat shows and when it must look again: values in, values out."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cti.events import (
    REGISTRY,
    AgentStateChanged,
    CallDelivered,
    Event,
    FlowEntered,
    FlowHeard,
    FlowSpoke,
    OfferPainted,
    OutageClosed,
    Recorded,
    TicketOpened,
)
from screenpop import board
from screenpop.protocol import Agent, Card, Channel, Disposition, Seat
from tests.fakes.anything import whole
from tests.fakes.page import applied

START = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)
CARD = whole(
    Card, id=st.sampled_from("abcde"), offered_at=st.sampled_from(["2026-11-20", "2026-11-21"]), tickets=st.just(()),
    outages=st.just(()), path=st.just(()), timeline=st.just(()),
)  # fmt: skip
SEAT = st.builds(
    Seat,
    agent=whole(Agent),
    cards=st.lists(CARD, max_size=4, unique_by=lambda card: card.id).map(board.order),
    dispositions=st.lists(whole(Disposition), max_size=1).map(tuple),
    channels=st.lists(whole(Channel), max_size=1).map(tuple),
)

FEW = settings(max_examples=40)  # seats are large


def recorded(*events: Event) -> list[Recorded]:
    return [
        Recorded(seq=10 + second, id=str(second), at=START + dt.timedelta(seconds=second), event=event)
        for second, event in enumerate(events)
    ]


@FEW
@given(SEAT, SEAT)
def test_changes_turn_the_one_page_into_the_other(before, after):
    changes = json.loads(json.dumps(board.changes(before, after)))
    assert applied(board.plain(before), changes) == board.plain(after)


@FEW
@given(SEAT)
def test_nothing_changed_is_nothing_to_say(seat):
    assert board.changes(seat, seat) == []


@FEW
@given(SEAT)
def test_a_fresh_page_gets_the_whole_seat(seat):
    assert applied({}, board.changes(None, seat)) == board.plain(seat)


@FEW
@given(st.lists(CARD, max_size=5, unique_by=lambda card: card.id).flatmap(lambda cards: st.permutations(cards)))
def test_cards_stand_in_one_order_however_they_came(cards):
    assert board.order(cards) == board.order(reversed(cards))


# --- whom an event concerns ---


def ticket(**changes) -> TicketOpened:
    of = {"subscription": "s1", "party": None, "conversation": None, **changes}
    return TicketOpened(ticket="t1", number="1007", matter="fault", channel="sms", **of)


@pytest.mark.parametrize(
    ("ids", "concerned"), [({"s1"}, True), ({"1007"}, True), ({"s2", "c1"}, False), (set(), False), ({"sms"}, True)]
)
def test_an_event_concerns_a_card_that_shows_what_it_names(ids, concerned):
    assert board.concerns(ticket(), frozenset(ids)) == concerned


def test_an_outage_concerns_every_card():
    assert board.concerns(OutageClosed(outage="o1"), frozenset({"c1"}))


# --- coming back to another node ---


def sealed(seat: Seat) -> Seat:
    """`seat` as a look makes it: every card and the lists with their etags."""
    lists = board.lists_etag(seat.dispositions, seat.channels)
    return dataclasses.replace(seat, cards=tuple(board.sealed(card) for card in seat.cards), lists=lists)


SEALED = SEAT.map(sealed)


@FEW
@given(SEALED, SEALED, st.booleans())
def test_what_a_page_has_and_the_difference_make_the_seat(has, now, knows_some):
    """`knows_some`: the page has one of the cards just as the seat shows it."""
    if knows_some and now.cards:
        rest = [card for card in has.cards if card.id != now.cards[0].id]
        has = dataclasses.replace(has, cards=board.order([*rest, now.cards[0]]))
    have = {card.id: card.etag for card in has.cards}
    parts = json.loads(json.dumps(board.difference(have, has.lists, now)))
    assert applied(board.plain(has), parts) == board.plain(now)
    brought = {part["card"]["id"] for part in parts if part["part"] == "card"}
    assert brought == {card.id for card in now.cards if card not in has.cards}


@FEW
@given(CARD, CARD)
def test_cards_have_the_same_etag_when_they_say_the_same(one, other):
    one, other = (dataclasses.replace(card, etag="") for card in (one, other))
    assert (board.sealed(one).etag == board.sealed(other).etag) == (board.plain(one) == board.plain(other))
    assert board.sealed(board.sealed(one)) == board.sealed(one)
    assert re.fullmatch("[0-9a-f]{12}", board.sealed(one).etag)


PAINTED = OfferPainted(conversation="c1", offer="o1", agent="zeynep", acked_ms=1, browser_ms=1)


@pytest.mark.parametrize("quiet", [PAINTED, AgentStateChanged(agent="zeynep", state="ready")])
def test_facts_about_screens_and_places_make_nobody_look(quiet):
    assert not board.concerns(quiet, frozenset({"c1", "zeynep"}))
    assert board.agents_of(quiet) == frozenset()


@pytest.mark.parametrize("name", sorted(REGISTRY))
@given(data=st.data())
def test_any_event_names_agents_and_cards_without_trouble(name, data):
    event = data.draw(whole(REGISTRY[name]))
    board.concerns(event, frozenset({"c1"}))
    assert len(board.agents_of(event)) <= 1


# --- the path ---


def entered(node: str, **label: str) -> FlowEntered:
    return FlowEntered(conversation="c1", node=node, label=label)


def heard(node: str, digits: str, kind: str = "digits") -> FlowHeard:
    return FlowHeard(conversation="c1", node=node, kind=kind, digits=digits)


def test_the_path_says_where_the_caller_was_and_what_he_keyed_there():
    events = recorded(entered("welcome", tr="Karşılama", en="Welcome"), heard("welcome", "1"), heard("welcome", "2"))
    (step,) = board.path(events, "tr")
    assert (step.at, step.label, step.heard, step.digits) == ("2026-11-20T07:30:00.000Z", "Karşılama", "digits", "1 2")


def test_keys_of_another_place_are_not_shown_here():
    (step,) = board.path(recorded(entered("welcome", en="Welcome"), heard("elsewhere", "1")), "en")
    assert step.digits == ""


def test_a_place_without_a_label_in_this_language_has_the_english_one_or_its_name():
    steps = board.path(recorded(entered("a", en="Fault"), entered("b")), "tr")
    assert [step.label for step in steps] == ["Fault", "b"]


def test_what_was_said_to_the_caller_is_kept_in_order():
    spoke = [FlowSpoke(conversation="c1", node="n", text=text) for text in ("bir", "iki")]
    assert board.spoken(recorded(*spoke)) == ("bir", "iki")


def test_the_version_is_the_newest_fact_that_a_card_shows():
    assert board.version(recorded(entered("a"), entered("b"), PAINTED)) == 11
    assert board.version([]) == 0


def test_each_offer_has_its_own_waiting_time():
    def delivered(offer: str, waited_s: float) -> CallDelivered:
        return CallDelivered(
            conversation="c1", offer=offer, agent="a", queue="", device="", device_channel="", waited_s=waited_s, read_at=""
        )  # fmt: skip

    events = recorded(delivered("o1", 5.0), delivered("o2", 25.0))
    assert [board.waited_s(events, offer) for offer in ("o1", "o2", "o3")] == [5.0, 25.0, 0.0]
