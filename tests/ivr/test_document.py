from __future__ import annotations

import copy
from typing import Any

import pytest

from ivr import document, nodes, store
from ivr.fields import DocumentError
from tests.ivr.flows import by_code


def flow(**changes: Any) -> dict[str, Any]:
    plain = {
        "format": 1, "id": "small", "title": {"tr": "Küçük", "en": "Small"}, "languages": ["tr"], "start": "ask", "person": "person",
        "nodes": {
            "ask": {"kind": "menu", "say": ["hello"], "choices": {"0": "person"}},
            "person": {"kind": "queue", "queue": "customer_care"},
        },
        "prompts": {"hello": {"tr": "Merhaba."}},
    }  # fmt: skip
    return plain | changes


def test_the_shipped_flow_is_read_with_its_prompts_and_nodes(main_flow):
    assert main_flow.languages == ("tr", "en")
    assert isinstance(main_flow.nodes["menu"], nodes.Menu)
    assert main_flow.prompts["other_language"]["tr"] == nodes.Text("For English, press nine.", "en")


def test_every_kind_of_node_is_in_the_shipped_flow_or_in_the_one_that_docs_show(main_flow):
    kinds = {type(node) for each in (main_flow, document.read(by_code())) for node in each.nodes.values()}
    assert kinds == set(nodes.Node.__args__)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "flow: expected format 1, got 2"),
        ({"start": 3}, "flow small: expected a text as 'start', got 3"),
        ({"colour": "red"}, "got also colour"),
        ({"nodes": {"a": {"kind": "dance"}}}, "flow small: node 'a': expected a kind of say, menu"),
        ({"nodes": {"a": {"kind": "say", "say": "hello", "to": "b"}}}, "expected a list of texts as 'say'"),
        ({"nodes": {"a": {"kind": "say", "say": ["hello"], "to": "b", "volume": 3}}}, "got also volume"),
        ({"nodes": {"a": {"kind": "menu", "say": [], "choices": {"12": "b"}}}}, "expected one key of 0 to 9 or *"),
        ({"nodes": {"a": {"kind": "menu", "say": [], "choices": {}, "tries_max": 99}}}, "expected 1 to 5 as 'tries_max'"),
        ({"nodes": {"a": {"kind": "branch", "else": "b", "cases": [{"to": "c", "when": [{"fact": "x", "is": []}]}]}}},
         "expected a fact and one of is, is_not, in"),
        ({"nodes": {"a": {"kind": "message", "say": ["hello"], "to": "b", "max_s": 900}}}, "expected 1 to 180 as 'max_s'"),
        ({"nodes": {"a": {"kind": "message", "to": "b"}}}, "expected a list of texts as 'say'"),
        ({"prompts": {"hello": {"tr": 3}}}, "prompt 'hello': expected a text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(changes, said):
    with pytest.raises(DocumentError, match=r"^flow") as error:
        document.read(flow(**changes))
    assert said in str(error.value)


def test_a_code_has_two_ways_out_and_nothing_else():
    plain = flow(nodes={"send": {"kind": "code", "to": "a", "failed": "b"}})
    assert document.read(plain).nodes["send"] == nodes.Code(id="send", to="a", failed="b")
    with pytest.raises(DocumentError, match="'send': expected a text as 'failed'"):
        document.read(flow(nodes={"send": {"kind": "code", "to": "a"}}))


def test_something_that_is_no_object_is_refused():
    with pytest.raises(DocumentError, match="expected an object"):
        document.read([])


def test_reading_does_not_change_what_is_read():
    plain = store.shipped("main")
    before = copy.deepcopy(plain)
    document.read(plain)
    assert plain == before


def test_a_message_needs_a_prompt_and_a_target_only():
    plain = flow(nodes={"ask": {"kind": "message", "say": ["hello"], "to": "person"}})
    assert document.read(plain).nodes["ask"] == nodes.Message(id="ask", say=("hello",), to="person")
