from __future__ import annotations

from typing import Any

import pytest

from ivr import checks
from tests.ivr.flows import flow_of


def menu(**changes: Any) -> dict[str, Any]:
    return {"kind": "menu", "say": ["p"], "choices": {"0": "person"}} | changes


def ticket(**changes: Any) -> dict[str, Any]:
    to = {"opened": "end", "existing": "end", "failed": "person"}
    return {"kind": "ticket", "matter": "fault", "subscription": "subscription", **to} | changes


def message(**changes: Any) -> dict[str, Any]:
    return {"kind": "message", "say": ["p"], "to": "end"} | changes


def code(**changes: Any) -> dict[str, Any]:
    return {"kind": "code", "to": "person", "failed": "person"} | changes


def codes(nodes: dict[str, Any], **prompts: str) -> set[str]:
    return {issue.code for issue in checks.check(flow_of(nodes, **prompts))}


def test_the_shipped_flow_has_no_issue(main_flow):
    assert checks.check(main_flow) == ()


def test_a_small_sound_flow_has_no_issue_but_its_unused_end():
    assert codes({"start": menu()}) == {"unreachable"}
    assert codes({"start": menu(choices={"0": "person", "1": "end"})}) == set()


@pytest.mark.parametrize(
    ("nodes", "code"),
    [
        ({"start": menu(choices={"0": "nowhere"})}, "unknown_target"),
        ({"start": menu(), "island": menu()}, "unreachable"),
        ({"start": menu(say=["missing"])}, "prompt_missing"),
        ({"start": menu(say=["broken"])}, "prompt_wrong"),
        ({"start": menu(say=["needs"])}, "prompt_wrong"),
        ({"start": menu(say=[])}, "silent"),
        ({"start": message(say=[])}, "silent"),
        ({"start": message(say=["needs"])}, "prompt_wrong"),
        ({"start": message(to="told"), "told": {"kind": "say", "say": ["needs"], "to": "person"}}, "prompt_wrong"),
        ({"start": message(to="nowhere")}, "unknown_target"),
        ({"start": message(failed="nowhere")}, "unknown_target"),
        ({"start": message(failed="start")}, "endless"),
        ({"start": message(failed="end")}, "left_alone"),
        ({"start": ticket(noted="nowhere")}, "unknown_target"),
        ({"start": ticket(noted="start")}, "endless"),
        ({"start": ticket(noted="end")}, "left_alone"),
        ({"start": ticket(failed="end")}, "left_alone"),
        ({"start": code(to="nowhere")}, "unknown_target"),
        ({"start": code(failed="start")}, "endless"),
        ({"start": code(failed="end")}, "left_alone"),
        ({"start": menu(choices={})}, "dead_end"),
        ({"start": menu(choices={"1": "end"})}, "person_missing"),
        ({"start": {"kind": "language", "language": "fr", "to": "person"}}, "unknown_language"),
        ({"start": menu(), "person": {"kind": "end"}}, "no_person"),
        ({"start": {"kind": "say", "say": ["p"], "to": "start"}}, "trouble"),
        ({"start": menu(noinput={"to": "again"}), "again": {"kind": "say", "say": ["p"], "to": "start"}}, "endless"),
    ],
)
def test_what_is_wrong_is_found(nodes, code):
    assert code in codes(nodes, broken="{% if x %}", needs="{{ x | digits }}")


def test_a_sound_message_or_noted_ticket_has_no_issue():
    assert codes({"start": message()}) == set()
    assert codes({"start": ticket(noted="more"), "more": menu(noinput={"to": "end"})}) == set()


def test_the_call_that_is_left_alone_is_shown():
    nodes = {"start": menu(choices={"0": "person", "1": "open"}), "open": ticket(noted="bye"), "bye": {"kind": "end"}}
    (issue,) = (issue for issue in checks.check(flow_of(nodes)) if issue.code == "left_alone")
    assert (issue.node, issue.path) == ("open", ("start: 1", "open: noted"))


def test_a_number_that_was_never_given_cannot_be_spoken_after_a_ticket_is_noted():
    nodes = {"start": ticket(noted="told"), "told": {"kind": "say", "say": ["number"], "to": "person"}}
    wrong = [
        issue
        for issue in checks.check(flow_of(nodes, number="{{ ticket_number | digits }}"))
        if issue.code == "prompt_wrong"
    ]
    assert [issue.path for issue in wrong] == [("start: noted",)]


def test_a_menu_without_a_person_may_say_why():
    assert "person_missing" not in codes({"start": menu(choices={"1": "end"}, no_person="one key, then it is over")})


def test_a_stranger_who_finds_sales_only_is_an_issue_with_the_call_that_shows_it():
    sales = {"kind": "queue", "queue": "customer_care", "intent": "sales"}
    nodes = {
        "start": menu(choices={"1": "more"}),
        "more": menu(choices={"1": "person", "0": "person"}),
        "person": sales,
    }
    issues = [issue for issue in checks.check(flow_of(nodes)) if issue.code == "only_sales"]
    assert [(issue.node, issue.path) for issue in issues] == [("start", ()), ("more", ("start: 1",))]
    assert issues[0].caller["outcome"] != "unique"


def test_a_known_customer_may_be_offered_sales_only():
    stranger = [{"when": [{"fact": "outcome", "is": "unique"}], "to": "offer"}]
    sales = {"kind": "queue", "queue": "customer_care", "intent": "sales"}
    nodes = {
        "start": {"kind": "branch", "cases": stranger, "else": "person"},
        "offer": menu(choices={"0": "buy"}),
        "buy": sales,
    }
    assert "only_sales" not in codes(nodes)


@pytest.mark.parametrize("language", ["tr", "en"])
@pytest.mark.parametrize("code", sorted(checks.TEXTS))
def test_every_issue_can_be_said_in_both_languages(code, language):
    assert "{" not in checks.Issue(code, "menu", "x").text(language)
