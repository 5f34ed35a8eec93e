"""Flows for tests: small ones by hand, and random ones, sound or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from ivr import document
from ivr.document import Document

BASE: dict[str, Any] = {
    "person": {"kind": "queue", "queue": "customer_care", "intent": "person"},
    "end": {"kind": "end"},
}
NAMES = [*"vwxyz", "person", "end", "nowhere"]


def plain_of(nodes: dict[str, Any], start: str = "start", **prompts: str) -> dict[str, Any]:
    texts = {"p": "Merhaba.", **prompts}
    return {
        "format": 1, "id": "drawn", "title": {}, "languages": ["tr"], "start": start, "person": "person",
        "nodes": BASE | nodes, "prompts": {key: {"tr": text} for key, text in texts.items()},
    }  # fmt: skip


def by_code() -> dict[str, Any]:
    """The flow of docs/proof.md: a number, a code that is sent, and the code keyed."""
    page = Path(__file__).parents[2] / "docs" / "proof.md"
    _, after = page.read_text(encoding="utf-8").split("```json\n")
    plain: dict[str, Any] = json.loads(after.split("```")[0])
    return plain


def flow_of(nodes: dict[str, Any], start: str = "start", **prompts: str) -> Document:
    return document.read(plain_of(nodes, start, **prompts))


def documents() -> st.SearchStrategy[dict[str, Any]]:
    nodes = st.dictionaries(st.sampled_from(NAMES[:5]), _node(), min_size=1)
    return st.builds(plain_of, nodes, st.sampled_from(NAMES))


def _node() -> st.SearchStrategy[dict[str, Any]]:
    to, keys = st.sampled_from(NAMES), st.sampled_from("0123")
    when = st.fixed_dictionaries({"fact": st.sampled_from("abc"), "is": st.integers(0, 2)})
    case = st.fixed_dictionaries({"when": st.lists(when, max_size=2), "to": to})
    choice = st.fixed_dictionaries({"to": to, "set": st.dictionaries(st.sampled_from("abc"), st.integers(0, 2))})
    otherwise = st.one_of(st.just({}), st.fixed_dictionaries({"to": to}))
    asked = {"say": st.just(["p"]), "noinput": otherwise, "nomatch": otherwise, "tries_max": st.integers(1, 5)}
    return st.one_of(
        st.fixed_dictionaries({"kind": st.just("say"), "say": st.just(["p"]), "to": to}),
        st.fixed_dictionaries({"kind": st.just("menu"), **asked, "choices": st.dictionaries(keys, choice, max_size=4)}),
        st.fixed_dictionaries({"kind": st.just("ask"), **asked, "fact": st.sampled_from("abc"), "to": to, "person": to}),
        st.fixed_dictionaries({"kind": st.just("branch"), "cases": st.lists(case, max_size=3), "else": to}),
        st.fixed_dictionaries({"kind": st.just("language"), "language": st.just("tr"), "to": to}),
        st.fixed_dictionaries({
            "kind": st.just("ticket"), "matter": st.just("fault"), "subscription": st.just("a"), "opened": to, "existing": to,
            "noted": st.one_of(st.just(""), to), "failed": to,
        }),
        st.fixed_dictionaries({
            "kind": st.just("prove"), "answers": st.just({"birth_date": "a"}), "proved": to, "wrong": to, "failed": to,
        }),
        st.fixed_dictionaries({"kind": st.just("code"), "to": to, "failed": to}),
        st.fixed_dictionaries({"kind": st.just("link"), "take": st.booleans(), "to": to, "failed": to}),
        st.fixed_dictionaries({"kind": st.just("message"), "say": st.just(["p"]), "to": to, "failed": st.one_of(st.just(""), to)}),
    )  # fmt: skip
