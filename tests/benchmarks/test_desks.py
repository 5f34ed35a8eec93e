"""What a bare page shows: the same messages as a browser gets, folded the same way."""

from __future__ import annotations

from benchmarks.chaos.desks import Page

AGENT = {"agent": "1001", "paused": False}


def card(name: str, state: str = "offered", etag: str = "e1") -> dict[str, str]:
    return {"id": name, "offer": f"o-{name}", "state": state, "etag": etag}


def snapshot(*cards: dict[str, str]) -> dict[str, object]:
    return {
        "type": "snapshot",
        "v": 1,
        "epoch": "a",
        "seq": 4,
        "seat": {"agent": AGENT, "cards": list(cards), "lists": "l1"},
    }


def test_a_page_shows_the_same_after_changes_as_a_fresh_one():
    page, fresh = Page(), Page()
    page.take(snapshot(card("c1")))
    page.take({"type": "event", "seq": 5, "changes": [{"part": "card", "card": card("c2")}]})
    page.take({"type": "event", "seq": 6, "changes": [{"part": "card", "card": card("c1", "talking", "e2")}]})
    page.take({"type": "event", "seq": 7, "changes": [{"part": "card_gone", "id": "c2"}]})
    fresh.take(snapshot(card("c1", "talking", "e2")))
    assert page.plain() == fresh.plain()


def test_a_page_that_comes_back_says_what_it_has():
    page = Page()
    page.take(snapshot(card("c1")))
    page.take({"type": "event", "seq": 5, "changes": []})
    hello = page.hello()
    assert (hello["epoch"], hello["seq"]) == ("a", 5)
    assert (hello["have"], hello["lists"]) == ({"c1": "e1"}, "l1")


def test_another_node_sends_only_the_difference():
    page = Page()
    page.take(snapshot(card("c1"), card("c2")))
    changes = [{"part": "card_gone", "id": "c1"}, {"part": "agent", "agent": {**AGENT, "paused": True}}]
    page.take({"type": "resumed", "epoch": "b", "seq": 1, "changes": changes})
    assert [each["id"] for each in page.plain()["cards"]] == ["c2"]
    assert page.plain()["agent"]["paused"] is True
    assert page.hello()["epoch"] == "b"


def test_a_fresh_page_has_nothing_to_say():
    hello = Page().hello()
    assert "have" not in hello
    assert hello["epoch"] is None
