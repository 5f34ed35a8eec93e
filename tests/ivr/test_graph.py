from __future__ import annotations

from ivr import graph
from tests.ivr.flows import flow_of


def test_routes_name_every_way_out(main_flow):
    assert graph.routes(main_flow.nodes["after_ticket"]) == {
        "key 1": "hear_again", "key 0": "technical", "noinput": "technical", "giveup": "technical"
    }  # fmt: skip


def test_ways_that_were_left_out_are_no_routes():
    ticket = {"kind": "ticket", "matter": "m", "subscription": "s", "opened": "a", "existing": "b", "failed": "c"}
    message = {"kind": "message", "say": ["p"], "to": "a"}
    nodes = flow_of({"t": ticket, "n": ticket | {"noted": "d"}, "m": message, "f": message | {"failed": "c"}}).nodes
    assert list(graph.routes(nodes["t"])) == ["opened", "existing", "failed"]
    assert graph.routes(nodes["n"])["noted"] == "d"
    assert (graph.routes(nodes["m"]), graph.routes(nodes["f"])) == ({"kept": "a"}, {"kept": "a", "failed": "c"})


def test_a_code_leads_on_and_says_nothing():
    code = flow_of({"start": {"kind": "code", "to": "end", "failed": "person"}}).nodes["start"]
    assert graph.routes(code) == {"next": "end", "failed": "person"}
    assert graph.spoken(code) == ()


def test_what_a_node_may_speak(main_flow):
    assert graph.spoken(main_flow.nodes["leave_message"]) == ("leave_message",)
    assert graph.spoken(main_flow.nodes["menu"]) == ("menu", "still_there", "not_understood")
    assert graph.spoken(main_flow.nodes["open"]) == ()


def test_where_ways_lead_in_the_end_goes_round_no_circle_twice(main_flow):
    assert graph.reached(main_flow, "message_menu") == {"message_menu", "technical", "goodbye"}
    assert "open" in graph.reached(main_flow, "anything_else")
