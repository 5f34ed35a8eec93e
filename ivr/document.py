"""The flow document: what an admin writes, read from JSON into frozen values. How a call walks through it is `ivr.engine`.

A document is a graph of nodes; a prompt is text in each language, kept apart from the nodes that speak it. Reading checks
the form (every field known and of its type); whether the graph is a good one is `ivr.checks`' business, so that a draft may
be half finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ivr.fields import DocumentError, Fields
from ivr.nodes import (
    Ask,
    Branch,
    Case,
    Choice,
    Code,
    Condition,
    End,
    Fact,
    Language,
    Link,
    Menu,
    Message,
    Node,
    Otherwise,
    Prove,
    Queue,
    Say,
    Text,
    Ticket,
    Value,
)

FORMAT = 1  # a new kind of node or a field that may be left out keeps it: old documents mean what they meant
TRIES_MAX = 5  # no node may ask the same caller more often than this
KEYS_MAX = 20
TIMEOUT_S_MAX = 30.0
MESSAGE_S_MAX = 180.0
SILENCE_S_MAX = 10.0
LEVEL_MAX = 4  # identity.Level.STRONG
QUESTIONS = frozenset({"identifier", "last_four", "birth_date", "pin", "one_time_code"})


@dataclass(frozen=True)
class Document:
    """`person` names the queue node for everything that goes wrong."""

    id: str
    title: Mapping[str, str]
    languages: tuple[str, ...]
    start: str
    person: str
    nodes: Mapping[str, Node]
    prompts: Mapping[str, Mapping[str, Text]]


def read(plain: Any) -> Document:
    """The document that the parsed JSON `plain` holds. Raises DocumentError."""
    top = Fields("flow", plain)
    if (got := top.number("format", FORMAT)) != FORMAT:
        raise DocumentError(f"flow: expected format {FORMAT}, got {got!r}")
    top.where = f"flow {top.text('id')}"
    document = Document(
        id=top.text("id"),
        title=top.labels("title"),
        languages=top.words("languages"),
        start=top.text("start"),
        person=top.text("person"),
        nodes={name: _node(top.where, name, each) for name, each in top.mapping("nodes").items()},
        prompts={name: _prompt(top.where, name, each) for name, each in top.mapping("prompts").items()},
    )
    top.done()
    return document


# --- reading ----------------------------------------------------------------------------------------------------------


def _node(flow: str, name: str, plain: Any) -> Node:
    fields = Fields(f"{flow}: node {name!r}", plain)
    kind = fields.text("kind")
    if kind not in _KINDS:
        raise DocumentError(f"{fields.where}: expected a kind of {', '.join(_KINDS)}; got {kind!r}")
    node = _KINDS[kind](fields, {"id": name, "label": fields.labels("label", {})})
    fields.done()
    return node


def _say(fields: Fields, base: dict[str, Any]) -> Node:
    return Say(**base, say=fields.words("say"), to=fields.text("to"), report=fields.flag("report"))


def _menu(fields: Fields, base: dict[str, Any]) -> Node:
    choices = {key: _choice(fields.where, key, each) for key, each in fields.mapping("choices").items()}
    return Menu(**base, **_asking(fields, 5.0), choices=choices, no_person=fields.text("no_person", ""))


def _ask(fields: Fields, base: dict[str, Any]) -> Node:
    return Ask(
        **base,
        **_asking(fields, 8.0),
        fact=fields.text("fact"),
        to=fields.text("to"),
        person=fields.text("person"),
        keys_min=fields.count("keys_min", 1, 1, KEYS_MAX),
        keys_max=fields.count("keys_max", 12, 1, KEYS_MAX),
        secret=fields.flag("secret"),
    )


def _asking(fields: Fields, timeout_s: float) -> dict[str, Any]:
    return {
        "say": fields.words("say"),
        "noinput": _otherwise(fields, "noinput"),
        "nomatch": _otherwise(fields, "nomatch"),
        "giveup": fields.text("giveup", ""),
        "tries_max": fields.count("tries_max", 3, 1, TRIES_MAX),
        "timeout_s": fields.number("timeout_s", timeout_s, 1, TIMEOUT_S_MAX),
    }


def _otherwise(fields: Fields, key: str) -> Otherwise:
    inner = Fields(f"{fields.where}, {key}", fields.mapping(key, {}))
    found = Otherwise(say=inner.words("say", []), to=inner.text("to", ""))
    inner.done()
    return found


def _branch(fields: Fields, base: dict[str, Any]) -> Node:
    cases = fields.get("cases", list, "a list of cases", None)
    read_cases = tuple(_case(f"{fields.where}, case {at}", each) for at, each in enumerate(cases, 1))
    return Branch(**base, cases=read_cases, otherwise=fields.text("else"))


def _language(fields: Fields, base: dict[str, Any]) -> Node:
    return Language(**base, language=fields.text("language"), to=fields.text("to"))


def _ticket(fields: Fields, base: dict[str, Any]) -> Node:
    return Ticket(
        **base,
        matter=fields.text("matter"),
        subscription=fields.text("subscription"),
        opened=fields.text("opened"),
        existing=fields.text("existing"),
        failed=fields.text("failed"),
        noted=fields.text("noted", ""),
        text=fields.text("text", ""),
    )


def _message(fields: Fields, base: dict[str, Any]) -> Node:
    return Message(
        **base,
        say=fields.words("say"),
        to=fields.text("to"),
        failed=fields.text("failed", ""),
        fact=fields.text("fact", "message"),
        max_s=fields.number("max_s", 60, 1, MESSAGE_S_MAX),
        silence_s=fields.number("silence_s", 3, 1, SILENCE_S_MAX),
    )


def _prove(fields: Fields, base: dict[str, Any]) -> Node:
    answers = fields.labels("answers")
    if not answers or not set(answers) <= QUESTIONS:
        raise DocumentError(f"{fields.where}: expected answers to {', '.join(sorted(QUESTIONS))}; got {answers!r}")
    return Prove(
        **base,
        answers=answers,
        proved=fields.text("proved"),
        wrong=fields.text("wrong"),
        failed=fields.text("failed"),
        level=fields.count("level", 1, 1, LEVEL_MAX),
    )


def _code(fields: Fields, base: dict[str, Any]) -> Node:
    return Code(**base, to=fields.text("to"), failed=fields.text("failed"))


def _link(fields: Fields, base: dict[str, Any]) -> Node:
    return Link(**base, take=fields.flag("take"), to=fields.text("to"), failed=fields.text("failed"))


def _queue(fields: Fields, base: dict[str, Any]) -> Node:
    return Queue(**base, queue=fields.text("queue"), intent=fields.text("intent", ""), say=fields.words("say", []))


def _end(fields: Fields, base: dict[str, Any]) -> Node:
    return End(**base, say=fields.words("say", []))


_KINDS = {
    "say": _say, "menu": _menu, "ask": _ask, "branch": _branch,
    "language": _language, "ticket": _ticket, "message": _message, "prove": _prove, "code": _code, "link": _link,
    "queue": _queue, "end": _end,
}  # fmt: skip


def _choice(where: str, key: str, plain: Any) -> Choice:
    """A bare text is the target alone."""
    if len(key) != 1 or key not in "0123456789*":
        raise DocumentError(f"{where}: expected one key of 0 to 9 or * for a choice, got {key!r}")
    fields = Fields(f"{where}, key {key}", {"to": plain} if isinstance(plain, str) else plain)
    sets = tuple((name, _setting(fields.where, each)) for name, each in fields.mapping("set", {}).items())
    choice = Choice(to=fields.text("to"), intent=fields.text("intent", ""), set=sets)
    fields.done()
    return choice


def _setting(where: str, plain: Any) -> Value | Fact:
    match plain:
        case {"fact": str(name)}:
            return Fact(name)
        case str() | int() | float() | bool() | None:
            return plain
    raise DocumentError(f"{where}: expected a plain value or {{'fact': name}}, got {plain!r}")


def _case(where: str, plain: Any) -> Case:
    fields = Fields(where, plain)
    when = fields.get("when", list, "a list of conditions", None)
    case = Case(when=tuple(_condition(where, each) for each in when), to=fields.text("to"))
    fields.done()
    return case


_OPERANDS: dict[str, tuple[type, ...]] = {
    "is": (str, int, float, bool), "is_not": (str, int, float, bool), "in": (list,),
    "above": (int, float), "below": (int, float), "known": (bool,),
}  # fmt: skip


def _condition(where: str, plain: Any) -> Condition:
    match plain:
        case {"fact": str(fact), **rest} if len(rest) == 1:
            op, value = str(next(iter(rest))), next(iter(rest.values()))
            if op in _OPERANDS and isinstance(value, _OPERANDS[op]):
                return Condition(fact, op, tuple(value) if isinstance(value, list) else value)
    ops = ", ".join(_OPERANDS)
    raise DocumentError(f"{where}: expected a fact and one of {ops} with a fitting value; got {plain!r}")


def _prompt(flow: str, name: str, plain: Any) -> dict[str, Text]:
    fields = Fields(f"{flow}: prompt {name!r}", plain)
    return {language: _text(fields.where, language, each) for language, each in fields.plain.items()}


def _text(where: str, language: str, plain: Any) -> Text:
    match plain:
        case str():
            return Text(plain, language)
        case {"text": str(words), "language": str(other)}:
            return Text(words, other)
    raise DocumentError(f"{where}: expected a text, or text and language, for {language!r}; got {plain!r}")
