"""The interpreter of a flow: values in, values out. It stops at every wait and says what it waits for.

    step = start(document, facts, "tr")
    step = hear(document, step.session, Digits("1"), facts)

The driver performs the step's effects in their order, then waits. A session is small, frozen and survives JSON, so another process
can go on with it (`resume`). Whatever is wrong with a document at run time ends at a person (`Step.trouble` says what it was), and
no call enters more than STEPS_MAX nodes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from cti.line import Digits, Silence
from ivr.conditions import holds
from ivr.document import Document
from ivr.nodes import (
    Ask,
    Branch,
    Choice,
    Code,
    End,
    Fact,
    Facts,
    Language,
    Link,
    Menu,
    Message,
    Node,
    Otherwise,
    Prove,
    Queue,
    Say,
    Ticket,
    Value,
)
from ivr.steps import (
    CheckProof,
    Done,
    Effect,
    Failed,
    Gone,
    HangUp,
    Heard,
    Noted,
    OpenTicket,
    Refused,
    SendCode,
    SetLanguage,
    SettleLink,
    Speak,
    ToQueue,
    Wait,
    WaitDone,
    WaitKeys,
    WaitMessage,
)

STEPS_MAX = 200  # nodes entered in one call
FACT_MAX = 200  # characters kept of what a driver hands back
WAITING = (Menu, Ask, Ticket, Message, Prove, Code, Link)  # nodes at which a call stands
FALLBACK_QUEUE = "customer_care"  # when not even the document's `person` is there


# --- where a call stands ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """`facts` are the flow's own (keys, choices, tickets); they win over the ones that the driver hands in."""

    flow: str
    node: str
    language: str
    state: str = "waiting"  # waiting | queued | ended | gone
    intent: str = ""  # of the caller's last choice that named one
    tries: int = 0  # bad inputs at this node
    steps: int = 0
    facts: Mapping[str, Value] = field(default_factory=dict)
    visits: Mapping[str, int] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The session as plain JSON values."""
        return {item.name: _plain(getattr(self, item.name)) for item in dataclasses.fields(self)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Session:
        """What `plain` wrote; keys of a newer version are ignored."""
        known = {item.name for item in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in plain.items() if key in known})


@dataclass(frozen=True)
class Step:
    """One stretch between two waits. `wait` None: the flow is over, `session.state` says how."""

    session: Session
    effects: tuple[Effect, ...] = ()
    wait: Wait | None = None
    entered: tuple[str, ...] = ()
    verdict: str = ""  # on what was heard: digits | noinput | nomatch; empty when it was not keys
    trouble: str = ""  # what was wrong with the document, in words for its author


def start(document: Document, facts: Facts, language: str = "") -> Step:
    """The first stretch of a call. A language that the document does not have becomes its first one."""
    language = language if language in document.languages else document.languages[0]
    return _walk(document, Session(flow=document.id, node=document.start, language=language), facts, document.start)


def hear(document: Document, session: Session, heard: Heard, facts: Facts) -> Step:
    """Go on with what was heard at the wait where `session` stands."""
    node = document.nodes.get(session.node)
    match node, heard:
        case _, Gone():
            return Step(replace(_without_secrets(document, session), state="gone"))
        case Menu(), Digits(keys) if keys:
            return _pressed(document, session, node, keys, facts)
        case Ask(), Digits(keys) if keys:
            return _keyed(document, session, node, keys, facts)
        case ((Menu() | Ask()), (Silence() | Digits())):
            return _bad(document, session, node, facts, "noinput")
        case ((Ticket() | Prove() | Code() | Link() | Message()), _) if (
            settled := _settled(session, node, heard)
        ) is not None:
            following, to = settled
            return _walk(document, following, facts, to or document.person)
    return give_up(document, session, f"node {session.node!r} does not wait for {type(heard).__name__}")


def _settled(session: Session, node: Node, heard: Heard) -> tuple[Session, str] | None:
    """An effect was done, or was not: the session afterwards and where it goes on. None: that is nothing to be heard there."""
    match node, heard:
        case Ticket(), Done(values, new):
            return _with(session, _short(values)), node.opened if new else node.existing
        case Ticket(), Noted():
            return session, node.noted or node.failed
        case ((Ticket() | Code() | Link()), Failed()):
            return session, node.failed
        case Prove(), Done(values):
            return _with(_forgotten(session, node), _short(values)), node.proved
        case Prove(), (Refused() | Failed()):
            return _forgotten(session, node), node.wrong if isinstance(heard, Refused) else node.failed
        case ((Code() | Link()), Done(values)):
            return _with(session, _short(values)), node.to
        case Message(), Done(values):
            left = {node.fact: values.get("message"), f"{node.fact}_s": values.get("message_s")}
            return _with(session, _short(left)), node.to
        case Message(), Failed():
            return session, node.failed
    return None


def resume(document: Document, session: Session, facts: Facts, todo: Sequence[Effect] = ()) -> Step:
    """For whoever takes over a call in the middle: what is left to do of its step, then the wait it stands at, again.

    `todo` are the step's effects that were not performed. What does not fit together goes to a person.
    """
    node = document.nodes.get(session.node)
    last = _LAST.get(session.state)
    ends = [effect for effect in todo if isinstance(effect, ToQueue | HangUp | OpenTicket)]
    if last and [type(effect) for effect in ends] == [last] and ends == [todo[-1]]:
        return Step(session, tuple(todo))
    if session.state == "waiting" and isinstance(node, WAITING) and not ends:
        return Step(session, tuple(todo), _wait(session, node, facts))
    left = ", ".join(type(effect).__name__ for effect in todo) or "nothing"
    return give_up(document, session, f"cannot go on: {session.state} at {session.node!r} with {left} left to do")


def give_up(document: Document, session: Session, why: str) -> Step:
    """To a person, with what the caller last wanted; it takes nothing from the document but a queue's name."""
    person = document.nodes.get(document.person)
    queue = person.queue if isinstance(person, Queue) else FALLBACK_QUEUE
    to_queue = ToQueue(queue, session.intent or "unknown")
    return Step(replace(session, state="queued"), (to_queue,), trouble=f"flow {document.id}: {why}")


def lookup(session: Session, facts: Facts) -> dict[str, Value]:
    """Every fact as a prompt or a condition sees it."""
    return {**facts, **session.facts}


# --- what keys mean -----------------------------------------------------------------------------------------------------


def _pressed(document: Document, session: Session, menu: Menu, keys: str, facts: Facts) -> Step:
    choice = menu.choices.get(keys[0])
    if choice is None:
        return _bad(document, session, menu, facts, "nomatch")
    chosen = _chosen(session, choice, facts)
    return replace(_walk(document, chosen, facts, choice.to), verdict="digits")


def _chosen(session: Session, choice: Choice, facts: Facts) -> Session:
    known = lookup(session, facts)
    sets = {name: known.get(value.name) if isinstance(value, Fact) else value for name, value in choice.set}
    return replace(_with(session, sets), intent=choice.intent or session.intent)


def _keyed(document: Document, session: Session, ask: Ask, keys: str, facts: Facts) -> Step:
    if keys == "0" or "*" in keys:
        return replace(_walk(document, session, facts, ask.person), verdict="digits")
    if not ask.keys_min <= len(keys) <= ask.keys_max:
        return _bad(document, session, ask, facts, "nomatch")
    return replace(_walk(document, _with(session, {ask.fact: keys}), facts, ask.to), verdict="digits")


def _bad(document: Document, session: Session, node: Menu | Ask, facts: Facts, verdict: str) -> Step:
    """Nothing, or nothing known: leave, ask again, or give up when it was too often."""
    otherwise: Otherwise = node.noinput if verdict == "noinput" else node.nomatch
    tried = replace(session, tries=session.tries + 1)
    if otherwise.to:
        return replace(_walk(document, tried, facts, otherwise.to), verdict=verdict)
    if tried.tries >= node.tries_max:
        return replace(_walk(document, tried, facts, node.giveup or document.person), verdict=verdict)
    wait = _wait(tried, node, facts)
    if isinstance(wait, WaitKeys):
        wait = replace(wait, prompts=otherwise.say + wait.prompts)
    return Step(tried, wait=wait, verdict=verdict)


def _forgotten(session: Session, node: Prove) -> Session:
    """Without what was keyed as an answer: it has served its purpose."""
    answers = set(node.answers.values())
    return replace(session, facts={name: value for name, value in session.facts.items() if name not in answers})


def _without_secrets(document: Document, session: Session) -> Session:
    """What was secret, and what was keyed as an answer: nobody needs it any more once a flow is over."""
    secrets = {node.fact for node in document.nodes.values() if isinstance(node, Ask) and node.secret}
    secrets.update(*(node.answers.values() for node in document.nodes.values() if isinstance(node, Prove)))
    return replace(session, facts={name: value for name, value in session.facts.items() if name not in secrets})


def _with(session: Session, facts: Mapping[str, Value]) -> Session:
    return replace(session, facts={**session.facts, **facts}) if facts else session


# --- from wait to wait --------------------------------------------------------------------------------------------------


def _walk(document: Document, session: Session, facts: Facts, to: str) -> Step:
    """Enter node after node until one waits or ends the flow."""
    effects: list[Effect] = []
    entered: list[str] = []
    while to:
        node = document.nodes.get(to)
        if node is None:
            return _stuck(document, session, effects, entered, f"{session.node!r} goes to {to!r}, which is not a node")
        if to in entered:
            return _stuck(document, session, effects, entered, f"{to!r} comes back to itself without asking anything")
        if session.steps >= STEPS_MAX:
            return _stuck(document, session, effects, entered, f"expected at most {STEPS_MAX} nodes in one call")
        entered.append(to)
        session, done, to = _enter(_at(session, node), node, facts)
        effects += done
    if session.state != "waiting":
        return Step(_without_secrets(document, session), tuple(effects), None, tuple(entered))
    return Step(session, tuple(effects), _wait(session, document.nodes[session.node], facts), tuple(entered))


def _at(session: Session, node: Node) -> Session:
    visits = {**session.visits, node.id: session.visits.get(node.id, 0) + 1}
    return replace(session, node=node.id, tries=0, steps=session.steps + 1, visits=visits)


def _enter(session: Session, node: Node, facts: Facts) -> tuple[Session, list[Effect], str]:
    """What entering `node` does, and the node that follows at once; empty when it waits or the flow is over."""
    match node:
        case Say():
            return session, [Speak(node.say, node.id, node.report)], node.to
        case Branch():
            known = lookup(session, facts)
            return session, [], next((case.to for case in node.cases if holds(case, known)), node.otherwise)
        case Language():
            return replace(session, language=node.language), [SetLanguage(node.language)], node.to
        case Menu() | Ask() | Ticket() | Message() | Prove() | Code() | Link():
            return session, [], ""
        case Queue():
            speak: list[Effect] = [Speak(node.say, node.id)] if node.say else []
            to_queue = ToQueue(node.queue, node.intent or session.intent or "unknown")
            return replace(session, state="queued"), [*speak, to_queue], ""
        case End():
            last: list[Effect] = [Speak(node.say, node.id)] if node.say else []
            return replace(session, state="ended"), [*last, HangUp()], ""
        case _:
            assert_never(node)


def _wait(session: Session, node: Node, facts: Facts) -> Wait | None:
    match node:
        case Menu():
            return WaitKeys(node.id, node.say, 1, node.timeout_s)
        case Ask():
            return WaitKeys(node.id, node.say, node.keys_max, node.timeout_s, node.secret)
        case Ticket():
            named = lookup(session, facts).get(node.subscription)
            subscription = str(named) if named else None
            return WaitDone(OpenTicket(node.matter, subscription, node.text, node.id, session.visits.get(node.id, 1)))
        case Prove():
            known = lookup(session, facts)
            answers = {question: str(known.get(name) or "") for question, name in node.answers.items()}
            return WaitDone(CheckProof(answers, node.level, node.id, session.visits.get(node.id, 1)))
        case Code():
            return WaitDone(SendCode(session.language, node.id, session.visits.get(node.id, 1)))
        case Link():
            return WaitDone(SettleLink(node.take, node.id, session.visits.get(node.id, 1)))
        case Message():
            return WaitMessage(node.id, node.say, node.max_s, node.silence_s, session.visits.get(node.id, 1))
        case _:
            return None


# --- the small things ---------------------------------------------------------------------------------------------------

# State -> the effect that ends the step in which a session comes to it.
_LAST: dict[str, type[Effect]] = {"queued": ToQueue, "ended": HangUp}


def _stuck(document: Document, session: Session, effects: list[Effect], entered: list[str], why: str) -> Step:
    out = give_up(document, session, why)
    return replace(out, effects=(*effects, *out.effects), entered=tuple(entered))


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _short(values: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value[:FACT_MAX] if isinstance(value, str) else value for name, value in values.items()}
