from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cti.line import Digits, Silence
from ivr import document, engine
from tests.ivr.flows import documents, flow_of

QUEUE = {"kind": "queue", "queue": "customer_care", "intent": "person"}


def menu(**changes: Any) -> dict[str, Any]:
    return {"kind": "menu", "say": ["p"], "choices": {"0": "person"}} | changes


def test_a_condition_about_a_missing_fact_is_not_fulfilled():
    when = [{"fact": "x", "is_not": "a"}]
    doc = flow_of({"start": {"kind": "branch", "cases": [{"when": when, "to": "end"}], "else": "person"}})
    assert engine.start(doc, {}).session.state == "queued"
    assert engine.start(doc, {"x": "b"}).session.state == "ended"


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ({"is": "a"}, "a", True), ({"in": ["a", "b"]}, "b", True), ({"in": ["a"]}, "b", False), ({"above": 1}, 2, True),
        ({"above": 1}, "2", False), ({"below": 1}, 0, True), ({"known": True}, "x", True), ({"known": True}, "", False),
        ({"known": False}, None, True), ({"is": True}, True, True),
    ],
)  # fmt: skip
def test_conditions(condition, value, holds):
    cases = [{"when": [{"fact": "x", **condition}], "to": "end"}]
    doc = flow_of({"start": {"kind": "branch", "cases": cases, "else": "person"}})
    assert (engine.start(doc, {"x": value}).session.state == "ended") is holds


def test_a_key_sets_facts_and_the_intent_for_the_queue():
    choice = {"to": "person", "intent": "fault", "set": {"a": "yes", "b": {"fact": "given"}}}
    doc = flow_of({"start": menu(choices={"1": choice}), "person": {"kind": "queue", "queue": "customer_care"}})
    step = engine.hear(doc, engine.start(doc, {}).session, Digits("1"), {"given": "s1"})
    assert step.effects == (engine.ToQueue("customer_care", "fault"),)
    assert step.session.facts == {"a": "yes", "b": "s1"}


def test_tries_begin_anew_at_the_next_node():
    doc = flow_of({"start": menu(choices={"1": "next"}), "next": menu()})
    session = engine.hear(doc, engine.start(doc, {}).session, Silence(), {}).session
    assert session.tries == 1
    assert engine.hear(doc, session, Digits("1"), {}).session.tries == 0


@pytest.mark.parametrize("keys", ["0", "*", "12*"])
def test_star_or_a_single_zero_at_a_question_is_a_person(keys):
    ask = {"kind": "ask", "say": ["p"], "fact": "n", "to": "end", "person": "person"}
    doc = flow_of({"start": ask})
    assert engine.hear(doc, engine.start(doc, {}).session, Digits(keys), {}).session.state == "queued"


@pytest.mark.parametrize(
    "nodes",
    [
        {"start": {"kind": "say", "say": ["p"], "to": "nowhere"}},
        {"start": {"kind": "say", "say": ["p"], "to": "start"}},
        {"start": {"kind": "branch", "cases": [], "else": "back"}, "back": {"kind": "say", "say": [], "to": "start"}},
    ],
)
def test_a_broken_document_ends_at_a_person(nodes):
    step = engine.start(flow_of(nodes), {})
    assert step.trouble.startswith("flow drawn: ")
    assert step.effects[-1] == engine.ToQueue("customer_care", "unknown")
    assert step.session.state == "queued"


def test_without_even_a_person_the_fallback_queue_is_named():
    step = engine.start(flow_of({"start": menu(), "person": menu()}, start="nowhere"), {})
    assert step.effects == (engine.ToQueue(engine.FALLBACK_QUEUE, "unknown"),)


def test_something_that_was_not_waited_for_ends_at_a_person():
    doc = flow_of({"start": menu()})
    assert engine.hear(doc, engine.start(doc, {}).session, engine.Done({}), {}).trouble


def test_resuming_asks_the_same_again_and_changes_nothing(main_flow):
    first = engine.start(main_flow, {"outcome": "none"})
    again = engine.resume(main_flow, first.session, {"outcome": "none"})
    assert (again.wait, again.session, again.effects) == (first.wait, first.session, ())


def test_resuming_a_call_that_was_over_goes_to_a_person(main_flow):
    gone = engine.hear(main_flow, engine.start(main_flow, {}).session, engine.Gone(), {}).session
    assert engine.resume(main_flow, gone, {}).session.state == "queued"


def test_a_session_of_a_newer_version_can_be_read():
    plain = engine.Session("main", "menu", "tr").plain() | {"mood": "good"}
    assert engine.Session.of(plain) == engine.Session("main", "menu", "tr")


HEARD = st.one_of(
    st.builds(Silence),
    st.builds(Digits, st.text("0123456789*", max_size=24)),
    st.builds(engine.Done, st.just({"ticket_number": "100005"}), st.booleans()),
    st.builds(engine.Failed, st.just("down")),
)


@settings(max_examples=300, deadline=None)
@given(
    plain=documents(),
    heard=st.lists(HEARD, min_size=1, max_size=6),
    data=st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
)
def test_any_document_and_any_keys_end_within_the_limits(plain, heard, data):
    doc = document.read(plain)
    step = engine.start(doc, data)
    for at in range(engine.STEPS_MAX * document.TRIES_MAX + 1):
        assert step.session.steps <= engine.STEPS_MAX
        session = engine.Session.of(json.loads(json.dumps(step.session.plain())))
        assert session == step.session
        if step.wait is None:
            break
        assert session.tries < document.TRIES_MAX
        step = engine.hear(doc, session, heard[at % len(heard)], data)
    assert step.wait is None
    assert isinstance(step.effects[-1], engine.ToQueue | engine.HangUp)
