"""Is a flow a good one? Document -> issues, each with a call that shows it.

Two looks: at the graph (targets, prompts, unreachable nodes), and, when that holds together, at every call that can happen: each
sort of caller (`ivr.facts`) and each outcome of each wait is walked with the very interpreter that serves the phone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cti.line import Digits, Silence
from ivr import engine, prompts, steps
from ivr.document import Document
from ivr.facts import callers, proved
from ivr.graph import reached, routes, spoken
from ivr.nodes import Ask, Code, Facts, Language, Link, Menu, Message, Node, Prove, Queue, Ticket

STATES_MAX = 5000  # places at which one caller can stand; a flow with more of them is not checked any further
SALES = "sales"

TEXTS: dict[str, dict[str, str]] = {
    "no_start": {"tr": "Başlangıç düğümü {detail!r} yok", "en": "The start node {detail!r} does not exist"},
    "no_person": {"tr": "'person' bir kuyruk düğümü olmalı, {detail!r} değil", "en": "'person' must name a queue node, {detail!r} is none"},
    "unknown_target": {"tr": "{node}: {detail} diye bir düğüm yok", "en": "{node}: {detail} is not a node"},
    "unreachable": {"tr": "{node}: buraya hiçbir yol gelmiyor", "en": "{node}: nothing leads here"},
    "prompt_missing": {"tr": "{node}: {detail} anonsu eksik", "en": "{node}: the prompt {detail} is missing"},
    "prompt_wrong": {"tr": "{node}: anons söylenemiyor: {detail}", "en": "{node}: a prompt cannot be spoken: {detail}"},
    "unknown_language": {"tr": "{node}: akışta {detail} dili yok", "en": "{node}: the flow has no language {detail}"},
    "silent": {"tr": "{node}: soruyor ama bir şey söylemiyor", "en": "{node}: asks without saying anything"},
    "dead_end": {"tr": "{node}: menünün hiç seçeneği yok", "en": "{node}: the menu has no choices"},
    "person_missing": {"tr": "{node}: tek tuşla temsilciye ulaşılamıyor", "en": "{node}: no person within one key"},
    "only_sales": {"tr": "{node}: tanınmayan arayan için tek çıkış satış", "en": "{node}: a caller we do not know finds sales only"},
    "endless": {"tr": "{node}: arayan bir şey yapmazsa döngü bitmiyor", "en": "{node}: goes round for ever when the caller does nothing"},
    "left_alone": {"tr": "{node}: olmayınca temsilciye ulaşmadan bitiyor", "en": "{node}: when it fails, the call ends without a person"},
    "trouble": {"tr": "{node}: yorumlayıcı yürüyemiyor: {detail}", "en": "{node}: the interpreter cannot go on: {detail}"},
    "too_large": {"tr": "Akış denetlenemeyecek kadar büyük", "en": "The flow is too large to be checked"},
}  # fmt: skip


@dataclass(frozen=True)
class Issue:
    """`path` is a call that shows it: node and what was heard there, in order; `caller` are the facts that this call began with."""

    code: str
    node: str = ""
    detail: str = ""
    path: tuple[str, ...] = ()
    caller: Facts = field(default_factory=dict, compare=False)

    def text(self, language: str) -> str:
        return TEXTS[self.code][language].format(node=self.node, detail=self.detail)


def check(document: Document) -> tuple[Issue, ...]:
    """Every issue of `document`, each once, the graph's first. None: it may be published."""
    issues = list(_of_graph(document))
    if not any(issue.code in {"no_start", "unknown_target"} for issue in issues):
        issues += _of_calls(document)
    first: dict[tuple[str, str, str], Issue] = {}
    for issue in issues:
        first.setdefault((issue.code, issue.node, issue.detail), issue)
    return tuple(first.values())


# --- the graph ----------------------------------------------------------------------------------------------------------


def _of_graph(document: Document) -> Iterator[Issue]:
    if document.start not in document.nodes:
        yield Issue("no_start", detail=document.start)
    if not isinstance(document.nodes.get(document.person), Queue):
        yield Issue("no_person", detail=document.person)
    there = reached(document, document.start, document.person)
    for node in document.nodes.values():
        yield from _of_node(document, node)
        if node.id not in there:
            yield Issue("unreachable", node.id)


def _of_node(document: Document, node: Node) -> Iterator[Issue]:
    for way, to in routes(node).items():
        if to not in document.nodes:
            yield Issue("unknown_target", node.id, f"{way} -> {to!r}")
    for key in (*spoken(node), *([node.text] if isinstance(node, Ticket) and node.text else [])):
        yield from _of_prompt(document, node.id, key)
    if isinstance(node, Menu) and not node.choices:
        yield Issue("dead_end", node.id)
    if isinstance(node, Menu | Ask | Message) and not node.say:
        yield Issue("silent", node.id)
    if isinstance(node, Language) and node.language not in document.languages:
        yield Issue("unknown_language", node.id, repr(node.language))


def _of_prompt(document: Document, node: str, key: str) -> Iterator[Issue]:
    for language in document.languages:
        text = document.prompts.get(key, {}).get(language)
        if text is None:
            yield Issue("prompt_missing", node, f"{key} ({language})")
            continue
        try:
            prompts.slots(text.text, key)
        except prompts.PromptError as error:
            yield Issue("prompt_wrong", node, str(error))


# --- every call ---------------------------------------------------------------------------------------------------------

Key = tuple[object, ...]


@dataclass(frozen=True)
class _Place:
    """A wait at which a caller can stand, and how he came there."""

    step: engine.Step
    path: tuple[str, ...]

    @property
    def key(self) -> Key:
        at = self.step.session
        return (at.node, at.language, at.state, at.tries, at.intent, tuple(sorted(at.facts.items())))


def _of_calls(document: Document) -> Iterator[Issue]:
    book = prompts.Book(document)
    for caller in callers():
        yield from _of_caller(document, book, caller)


def _of_caller(document: Document, book: prompts.Book, caller: Facts) -> Iterator[Issue]:
    first = _Place(engine.start(document, caller), ())
    seen = {first.key: first}
    alone: dict[Key, list[Key]] = {}  # where a call goes on without the caller's doing
    todo = deque([first])
    while todo:
        place = todo.popleft()
        yield from (Issue(*found, place.path, caller) for found in _of_place(document, book, caller, place))
        for heard, following in _following(document, caller, place):
            if _left_alone(heard, following):
                yield Issue("left_alone", place.step.session.node, "", following.path, caller)
            if not isinstance(heard, Digits):
                alone.setdefault(place.key, []).append(following.key)
            if following.key not in seen:
                seen[following.key] = following
                todo.append(following)
        if len(seen) > STATES_MAX:
            yield Issue("too_large", caller=caller)
            return
    yield from (Issue("endless", at.step.session.node, "", at.path, caller) for at in _rounds(alone, seen))


def _of_place(document: Document, book: prompts.Book, caller: Facts, place: _Place) -> Iterator[tuple[str, str, str]]:
    """What is wrong with one place: (code, node, detail)."""
    step = place.step
    node = document.nodes[step.session.node]
    if step.trouble:
        yield "trouble", node.id, step.trouble
    for error in _unspeakable(book, step, caller):
        yield "prompt_wrong", node.id, error
    if step.wait is None or not isinstance(node, Menu | Ask):
        return
    if not (isinstance(node, Menu) and node.no_person) and not _person_in_one_key(document, step, node, caller):
        yield "person_missing", node.id, ""
    if isinstance(node, Menu) and caller["outcome"] != "unique" and _only_sales(document, node):
        yield "only_sales", node.id, ""


def _following(document: Document, caller: Facts, place: _Place) -> Iterator[tuple[steps.Heard, _Place]]:
    if place.step.wait is None:
        return
    session = place.step.session
    for heard in _outcomes(document.nodes[session.node]):
        step = engine.hear(document, session, heard, caller)
        yield heard, _Place(step, (*place.path, f"{session.node}: {_named(heard)}"))


def _outcomes(node: Node) -> Iterable[steps.Heard]:
    """One of each sort of thing that can be heard at `node`."""
    match node:
        case Menu():
            wrong = next((key for key in "7*6543210" if key not in node.choices), "")
            return [Silence(), *(Digits(key) for key in (*node.choices, wrong) if key)]
        case Ask():
            long_enough = "1" * node.keys_max
            return [Silence(), Digits("*"), Digits(long_enough), *([Digits("1")] if node.keys_min > 1 else [])]
        case Message():
            return [steps.Done({"message": "checked", "message_s": 7.0}), steps.Failed("checked"), steps.Gone()]
        case Prove():
            return [steps.Done(proved(node.level)), steps.Refused(), steps.Failed("checked"), steps.Gone()]
        case Code():
            return [steps.Done({}), steps.Failed("checked"), steps.Gone()]
        case Link():
            return [steps.Done({"link_offer": False}), steps.Failed("checked"), steps.Gone()]
        case _:
            known = {"ticket_number": "100005"}
            done = [steps.Done(known, new=True), steps.Done(known, new=False)]
            return [*done, steps.Noted(), steps.Failed("checked"), steps.Gone()]


def _named(heard: steps.Heard) -> str:
    match heard:
        case Digits(keys):
            return keys
        case Silence():
            return "noinput"
        case steps.Done({"message": _}):
            return "kept"
        case steps.Done({"ticket_number": _}, new):
            return "opened" if new else "existing"
        case steps.Done():
            return "done"
        case steps.Noted():
            return "noted"
        case steps.Refused():
            return "refused"
        case steps.Failed():
            return "failed"
        case steps.Gone():
            return "hangup"


def _left_alone(heard: steps.Heard, following: _Place) -> bool:
    """Nothing that the caller could carry away came of it, and no way to a person was even offered."""
    unhelped = isinstance(heard, steps.Noted | steps.Refused | steps.Failed)
    return unhelped and any(isinstance(effect, steps.HangUp) for effect in following.step.effects)


def _unspeakable(book: prompts.Book, step: engine.Step, caller: Facts) -> Iterator[str]:
    known = engine.lookup(step.session, caller)
    spoke = [key for effect in step.effects if isinstance(effect, steps.Speak) for key in effect.prompts]
    asked = step.wait.prompts if isinstance(step.wait, steps.WaitKeys | steps.WaitMessage) else ()
    for key in (*spoke, *asked):
        try:
            book.pieces(key, known, step.session.language)
        except prompts.PromptError as error:
            yield str(error)


def _person_in_one_key(document: Document, step: engine.Step, node: Menu | Ask, caller: Facts) -> bool:
    key = "0" if isinstance(node, Menu) else "*"
    after = engine.hear(document, step.session, Digits(key), caller)
    return any(isinstance(effect, steps.ToQueue) for effect in after.effects) and not after.trouble


def _only_sales(document: Document, menu: Menu) -> bool:
    wants = {want for choice in menu.choices.values() for want in _wants(document, choice.to, choice.intent)}
    return bool(wants) and wants <= {SALES}


def _wants(document: Document, to: str, intent: str) -> set[str]:
    """The intents with which a caller who goes to `to` can end at a person, or "end" for a call that ends by itself."""
    ends = [document.nodes[name] for name in reached(document, to) if not routes(document.nodes[name])]
    return {(node.intent or intent or "unknown") if isinstance(node, Queue) else "end" for node in ends}


def _rounds(alone: dict[Key, list[Key]], seen: dict[Key, _Place]) -> list[_Place]:
    """Places from which a call can come back to itself with nobody doing anything. Those that end are taken away until none does."""
    left = dict(alone)
    while done := [key for key, nexts in left.items() if not any(following in left for following in nexts)]:
        for key in done:
            del left[key]
    return [seen[key] for key in list(left)[:1]]
