"""Every event survives the way into the ledger and out of it, also when it was written by another version of this code."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti import events
from cti.events import REGISTRY, CallArrived, Candidate, Event, Reason, UnknownEvent, read
from tests.fakes.anything import whole


@pytest.mark.parametrize("name", sorted(REGISTRY))
@given(data=st.data())
def test_every_event_survives_json(name, data):
    event = data.draw(whole(REGISTRY[name]))
    assert read(name, json.loads(json.dumps(event.plain()))) == event


def test_every_event_has_a_name_of_its_own_and_can_be_imported_from_the_front():
    classes = [cls for cls in vars(events).values() if isinstance(cls, type) and issubclass(cls, Event) and cls.type]
    assert sorted(cls.type for cls in classes) == sorted(REGISTRY)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_name_is_a_subject_and_what_happened_to_it(name):
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", name)
    assert len(name) <= 64  # the column


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_an_event_cannot_be_changed(name):
    assert REGISTRY[name].__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_a_name_that_nobody_knows_is_said():
    with pytest.raises(UnknownEvent, match=r"known event names, got 'call.teleported'"):
        read("call.teleported", {})


ARRIVED: dict[str, Any] = {
    "conversation": "c1",
    "channel": "1.2",
    "did": "",
    "raw": "",
    "number": None,
    "number_kind": "withheld",
}


def test_what_a_newer_version_added_is_passed_over():
    assert read("call.arrived", {**ARRIVED, "colour": "red"}) == CallArrived(**ARRIVED)


def test_what_an_older_version_did_not_know_has_its_default():
    event = read("call.arrived", ARRIVED)
    assert isinstance(event, CallArrived)
    assert event.claimed


def test_what_is_missing_without_a_default_is_an_error():
    with pytest.raises(TypeError, match="conversation"):
        read("call.arrived", {key: value for key, value in ARRIVED.items() if key != "conversation"})


def test_candidates_come_back_as_candidates():
    candidate = Candidate(
        party="p1", party_name="Ali", household=None, subscriptions=("s1", "s2"), link="l1", role="owner", probability=0.75,
        reasons=(Reason(key="owner", values={"at": "2026"}),),
    )  # fmt: skip
    body = events.CallIdentified(
        conversation="c1", outcome="unique", level=1, method="caller_id", candidates=(candidate,)
    )
    again = events.CallIdentified.of(json.loads(json.dumps(body.plain())))
    assert again.candidates[0] == candidate
