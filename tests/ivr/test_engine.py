from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cti.line import Digits, Silence
from ivr import document, engine, facts, steps
from ivr.fields import DocumentError
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
    assert step.effects == (steps.ToQueue("customer_care", "fault"),)
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
    assert step.effects[-1] == steps.ToQueue("customer_care", "unknown")
    assert step.session.state == "queued"


def test_without_even_a_person_the_fallback_queue_is_named():
    step = engine.start(flow_of({"start": menu(), "person": menu()}, start="nowhere"), {})
    assert step.effects == (steps.ToQueue(engine.FALLBACK_QUEUE, "unknown"),)


def test_something_that_was_not_waited_for_ends_at_a_person():
    doc = flow_of({"start": menu()})
    assert engine.hear(doc, engine.start(doc, {}).session, steps.Done({}), {}).trouble


def test_resuming_asks_the_same_again_and_changes_nothing(main_flow):
    first = engine.start(main_flow, {"outcome": "none"})
    again = engine.resume(main_flow, first.session, {"outcome": "none"})
    assert (again.wait, again.session, again.effects) == (first.wait, first.session, ())


def test_resuming_a_call_that_was_over_goes_to_a_person(main_flow):
    gone = engine.hear(main_flow, engine.start(main_flow, {}).session, steps.Gone(), {}).session
    assert engine.resume(main_flow, gone, {}).session.state == "queued"


def test_whoever_takes_a_call_over_does_what_is_left_and_then_waits_where_the_call_stands(main_flow):
    known = facts.NOBODY
    first = engine.start(main_flow, known)
    again = engine.resume(main_flow, first.session, known, first.effects[1:])
    assert (again.wait, again.effects, again.trouble) == (first.wait, first.effects[1:], "")


def test_a_call_that_was_on_its_way_out_is_let_out_by_whoever_takes_it_over(main_flow):
    queued = engine.hear(main_flow, engine.start(main_flow, {}).session, Digits("0"), {})
    again = engine.resume(main_flow, queued.session, {}, queued.effects[-1:])
    assert (again.effects, again.wait, again.trouble) == (queued.effects[-1:], None, "")


QUEUED, OPEN = steps.ToQueue("technical", "fault"), steps.OpenTicket("fault", "s1", "", "open", 1)


@pytest.mark.parametrize(
    ("node", "state", "todo"),
    [
        ("menu", "queued", ()), ("menu", "ended", ()), ("menu", "gone", ()), ("menu", "gone", (steps.HangUp(),)),
        ("menu", "waiting", (QUEUED,)), ("menu", "queued", (steps.HangUp(),)), ("menu", "ended", (QUEUED,)),
        ("menu", "queued", (QUEUED, steps.Speak(("menu",), "menu"))), ("menu", "queued", (QUEUED, QUEUED)),
        ("open", "waiting", (OPEN,)), ("welcome", "waiting", ()), ("nowhere", "waiting", ()), ("menu", "dancing", ()),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_goes_to_a_person_when_a_call_is_taken_over(main_flow, node, state, todo):
    step = engine.resume(main_flow, engine.Session("main", node, "tr", state=state, intent="fault"), {}, todo)
    assert (step.effects, step.wait) == ((steps.ToQueue("customer_care", "fault"),), None)
    assert "cannot go on" in step.trouble


EFFECT = st.one_of(
    st.builds(steps.Speak, st.lists(st.text(), max_size=3).map(tuple), st.text(), st.booleans()),
    st.builds(steps.SetLanguage, st.text()),
    st.builds(steps.OpenTicket, st.text(), st.none() | st.text(), st.text(), st.text(), st.integers(1, 9)),
    st.builds(steps.ToQueue, st.text(), st.text()),
    st.builds(steps.HangUp),
)


@given(st.lists(EFFECT, max_size=5))
def test_effects_survive_json(effects):
    assert steps.effects_of(json.loads(json.dumps(steps.plain_effects(effects)))) == tuple(effects)


def test_effects_of_a_newer_version_can_be_read():
    plain: list[dict[str, Any]] = [
        {"kind": "dance", "steps": 3},
        {},
        {"kind": "set_language", "language": "en", "accent": "Scottish"},
    ]
    assert steps.effects_of(plain) == (steps.SetLanguage("en"),)


MESSAGE = {"kind": "message", "say": ["p"], "to": "end", "fact": "said", "max_s": 30, "silence_s": 2}


def test_a_message_is_recorded_and_its_name_and_length_become_facts():
    doc = flow_of({"start": MESSAGE})
    step = engine.start(doc, {})
    assert step.wait == steps.WaitMessage("start", ("p",), 30, 2, visit=1)
    after = engine.hear(doc, step.session, steps.Done({"message": "m-1", "message_s": 7.5}), {})
    assert (after.session.state, after.session.facts) == ("ended", {"said": "m-1", "said_s": 7.5})


@pytest.mark.parametrize(("failed", "queue"), [("", "customer_care"), ("technical", "technical")])
def test_a_message_that_was_not_kept_leads_to_a_person(failed, queue):
    technical = {"kind": "queue", "queue": "technical", "intent": "fault"}
    doc = flow_of({"start": MESSAGE | {"failed": failed}, "technical": technical})
    step = engine.hear(doc, engine.start(doc, {}).session, steps.Failed("nobody spoke"), {})
    assert [each.queue for each in step.effects if isinstance(each, steps.ToQueue)] == [queue]


@pytest.mark.parametrize(("noted", "state"), [("", "queued"), ("end", "ended")])
def test_a_ticket_that_is_noted_goes_its_own_way_or_the_failed_one(noted, state):
    ticket = {
        "kind": "ticket",
        "matter": "fault",
        "subscription": "s",
        "opened": "end",
        "existing": "end",
        "failed": "person",
    }
    doc = flow_of({"start": ticket | {"noted": noted}})
    step = engine.hear(doc, engine.start(doc, {}).session, steps.Noted(), {})
    assert (step.session.state, step.session.facts, step.trouble) == (state, {}, "")


def test_a_session_of_a_newer_version_can_be_read():
    plain = engine.Session("main", "menu", "tr").plain() | {"mood": "good"}
    assert engine.Session.of(plain) == engine.Session("main", "menu", "tr")


HEARD = st.one_of(
    st.builds(Silence),
    st.builds(Digits, st.text("0123456789*", max_size=24)),
    st.builds(steps.Done, st.just({"ticket_number": "100005"}), st.booleans()),
    st.just(steps.Done({"message": "m-1", "message_s": 7.5})),
    st.just(steps.Noted()),
    st.just(steps.Refused()),
    st.builds(steps.Failed, st.just("down")),
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
    assert isinstance(step.effects[-1], steps.ToQueue | steps.HangUp)


ASKED: dict[str, dict[str, Any]] = {
    "start": {"kind": "ask", "say": ["p"], "fact": "born", "secret": True, "to": "prove", "person": "person"},
    "prove": {
        "kind": "prove",
        "answers": {"birth_date": "born"},
        "proved": "again",
        "wrong": "again",
        "failed": "person",
    },
    "again": menu(),
}


@pytest.mark.parametrize(
    ("heard", "facts"), [(steps.Done({"level": 2}), {"level": 2}), (steps.Refused(), {})], ids=["right", "wrong"]
)
def test_what_was_keyed_as_an_answer_is_forgotten_whether_it_was_right_or_not(heard, facts):
    doc = flow_of(ASKED)
    asked = engine.hear(doc, engine.start(doc, {}).session, Digits("12041980"), {})
    assert asked.wait == steps.WaitDone(steps.CheckProof({"birth_date": "12041980"}, 1, "prove", 1))
    assert "12041980" not in repr(asked.wait)
    assert engine.hear(doc, asked.session, heard, {}).session.facts == facts


@pytest.mark.parametrize("heard", [steps.Gone(), steps.Failed("away")], ids=["hung up", "records away"])
def test_a_secret_does_not_outlive_the_flow(heard):
    doc = flow_of(ASKED)
    asked = engine.hear(doc, engine.start(doc, {}).session, Digits("12041980"), {})
    assert "12041980" not in str(engine.hear(doc, asked.session, heard, {}).session.plain())


def test_a_link_goes_on_or_says_that_it_failed():
    doc = flow_of({"start": {"kind": "link", "take": True, "to": "end", "failed": "person"}})
    session = engine.start(doc, {}).session
    assert engine.hear(doc, session, steps.Done({"link_offer": False}), {}).session.state == "ended"
    assert engine.hear(doc, session, steps.Failed("away"), {}).session.state == "queued"


def test_a_code_is_asked_for_in_the_callers_language_and_once_for_each_visit():
    nodes = {
        "start": {"kind": "code", "to": "again", "failed": "person"},
        "again": menu(choices={"1": "start", "0": "person"}),
    }
    doc = flow_of(nodes)
    first = engine.start(doc, {})
    assert first.wait == steps.WaitDone(steps.SendCode("tr", "start", 1))
    taken_over = engine.Session.of(first.session.plain())
    assert engine.resume(doc, taken_over, {}).wait == first.wait
    asked = engine.hear(doc, taken_over, steps.Done({}), {}).session
    assert (asked.node, asked.facts) == ("again", {})
    assert engine.hear(doc, asked, Digits("1"), {}).wait == steps.WaitDone(steps.SendCode("tr", "start", 2))


def test_a_code_with_the_records_away_takes_the_other_way():
    doc = flow_of({"start": {"kind": "code", "to": "end", "failed": "person"}})
    assert engine.hear(doc, engine.start(doc, {}).session, steps.Failed("away"), {}).session.state == "queued"


def test_a_code_is_heard_neither_refused_nor_noted():
    doc = flow_of({"start": {"kind": "code", "to": "end", "failed": "end"}})
    for heard in (steps.Refused(), steps.Noted(), Digits("1")):
        step = engine.hear(doc, engine.start(doc, {}).session, heard, {})
        assert (step.session.state, "does not wait for" in step.trouble) == ("queued", True)


def test_a_proof_without_answers_or_with_unknown_questions_is_no_flow():
    for answers in ({}, {"shoe_size": "x"}):
        node = {"kind": "prove", "answers": answers, "proved": "end", "wrong": "end", "failed": "end"}
        with pytest.raises(DocumentError, match="expected answers to birth_date"):
            flow_of({"start": node})


def test_who_hangs_up_between_two_answers_leaves_neither_behind():
    number = {"kind": "ask", "say": ["p"], "fact": "number", "to": "start", "person": "person"}
    answers = {"identifier": "number", "birth_date": "born"}
    prove = {**ASKED["prove"], "answers": answers}
    doc = flow_of({**ASKED, "first": number, "prove": prove}, start="first")
    asked = engine.hear(doc, engine.start(doc, {}).session, Digits("10023"), {}).session
    assert asked.facts == {"number": "10023"}
    assert engine.hear(doc, asked, steps.Gone(), {}).session.facts == {}
    assert engine.hear(doc, asked, Digits("*"), {}).session.facts == {}
