"""The index finds the very seats that asking each of them would find."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cti.events import REGISTRY, Event, NoteWritten, OutageClosed, TicketAppended
from screenpop import board, heard
from screenpop.heard import Index, Recent
from tests.fakes.anything import whole

Shown = dict[str, frozenset[str]]  # card -> ids


def asked(event: Event, seats: dict[str, Shown]) -> set[str]:
    """Every seat is asked, as it was before there was an index."""
    return {
        name
        for name, shown in seats.items()
        if name in board.agents_of(event) or any(board.changed_parts(event, card, ids) for card, ids in shown.items())
    }


def seats_around(event: Event) -> st.SearchStrategy[list[tuple[str, Shown]]]:
    """Seats, some of them several times with other cards, that show what the event names, and other things."""
    named = [value for value in board.values(event) if isinstance(value, str)]
    ids = st.frozensets(st.sampled_from([*named, "x", "y", "z"]), min_size=1, max_size=3)
    cards = st.dictionaries(st.sampled_from(["c1", "c2", *named]), ids, max_size=2)
    return st.lists(st.tuples(st.sampled_from(["ayşe", "murat", "zeynep", *named]), cards), max_size=6)


@pytest.mark.parametrize("name", sorted(REGISTRY))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_no_seat_is_left_out(name: str, data: st.DataObject) -> None:
    event: Any = data.draw(whole(REGISTRY[name]))
    index, seats = Index(), {}
    for seat, cards in data.draw(seats_around(event)):
        seats[seat] = cards
        index.show(seat, cards)
    found = index.concerned(event) & seats.keys()
    assert asked(event, seats) <= found


def test_an_event_costs_only_the_seats_that_show_what_it_names() -> None:
    index = Index()
    for number in range(2000):
        index.show(f"agent{number}", {f"c{number}": frozenset({f"c{number}", "+905320000000"[: 5 + number % 3]})})
    assert index.concerned(NoteWritten(conversation="c7", agent="agent7", text="")) == {"agent7"}


def test_an_outage_is_for_every_seat_with_a_card() -> None:
    index = Index()
    index.show("ayşe", {"c1": frozenset({"c1"})})
    index.show("murat", {})
    assert index.concerned(OutageClosed(outage="o")) == {"ayşe"}


def test_what_is_no_longer_shown_concerns_nobody() -> None:
    index = Index()
    appended = TicketAppended(ticket="t", number="100962", conversation="c2", channel="sms")
    index.show("ayşe", {"c1": frozenset({"c1", "100962"})})
    assert index.concerned(appended) == {"ayşe"}
    index.show("ayşe", {"c1": frozenset({"c1"})})
    assert index.concerned(appended) == set()
    index.forget("ayşe")
    assert index.concerned(NoteWritten(conversation="c1", agent="", text="")) == set()


def test_recent_events_are_given_from_any_place_that_is_still_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heard, "RECENT_MAX", 3)
    recent = Recent()
    events = [NoteWritten(conversation=str(number), agent="", text="") for number in range(5)]
    for event in events:
        recent.add(event)
    assert [recent.since(place) for place in (5, 4, 2, 1)] == [[], events[4:], events[2:], None]
