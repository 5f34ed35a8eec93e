"""Calls as JSON: facts and what is heard in, what is spoken and done out. The session is re-read from JSON between the steps.

A scenario: `language` and `facts` the call begins with, and `steps`. Each but the first begins with `hear`, or with `resume`: another
driver takes over, and so many effects of the step before were performed. What follows: `speaks` (prompt keys), `reads` (a part of
the text as it is spoken), `does` (other effects), `waits` (for what, at which node), `opens` (a ticket's matter and subscription) and
`proves` (the answers that are checked).
Keys that a step leaves out are not looked at.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cti.line import Digits, Silence
from ivr import engine, prompts, steps
from ivr.document import Document
from ivr.facts import NOBODY
from ivr.nodes import Facts

WAITS = {
    steps.WaitKeys: "keys", steps.OpenTicket: "ticket", steps.CheckProof: "proof", steps.SettleLink: "link", steps.WaitMessage: "message",
}  # fmt: skip
SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.json"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path, main_flow):
    scenario = json.loads(path.read_text(encoding="utf-8"))
    facts = {**NOBODY, **scenario["facts"]}
    book = prompts.Book(main_flow)
    step = engine.start(main_flow, facts, scenario.get("language", "tr"))
    for at, expected in enumerate(scenario["steps"]):
        if at > 0:
            session = engine.Session.of(json.loads(json.dumps(step.session.plain())))
            assert session == step.session
            step = went_on(main_flow, step, session, expected, facts)
        wanted = {key: value for key, value in expected.items() if key not in {"hear", "resume"}}
        assert shown(step, book, facts, expected) == wanted, f"step {at}"


def went_on(
    flow: Document, step: engine.Step, session: engine.Session, expected: dict[str, Any], facts: Facts
) -> engine.Step:
    if "hear" in expected:
        return engine.hear(flow, session, heard(expected["hear"]), facts)
    todo = json.loads(json.dumps(steps.plain_effects(step.effects[expected["resume"] :])))
    return engine.resume(flow, session, facts, steps.effects_of(todo))


def heard(plain: Any) -> steps.Heard:
    match plain:
        case "silence":
            return Silence()
        case "hangup":
            return steps.Gone()
        case {"done": values, **rest}:
            return steps.Done(values, new=bool(rest.get("new", True)))
        case "noted":
            return steps.Noted()
        case "refused":
            return steps.Refused()
        case {"proved": facts}:
            return steps.Done(facts)
        case {"message_s": seconds}:
            return steps.Done({"message": "m-1", "message_s": seconds})
        case {"failed": reason}:
            return steps.Failed(reason)
    return Digits(plain)


def shown(step: engine.Step, book: prompts.Book, facts: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Of `step`, what the scenario looks at."""
    spoken = [key for effect in step.effects if isinstance(effect, steps.Speak) for key in effect.prompts]
    spoken += step.wait.prompts if isinstance(step.wait, steps.WaitKeys | steps.WaitMessage) else ()
    known = engine.lookup(step.session, facts)
    text = " ".join(prompts.text(book.pieces(key, known, step.session.language)) for key in spoken)
    wait = WAITS.get(type(getattr(step.wait, "effect", step.wait)), "")
    what = {
        "speaks": spoken,
        "reads": [part for part in expected.get("reads", []) if part in text],
        "does": [done(effect) for effect in step.effects if not isinstance(effect, steps.Speak)],
        "waits": f"{wait} {step.session.node}".strip() if wait else step.session.state,
        "opens": opens(step),
        "proves": effect.answers if isinstance(effect := getattr(step.wait, "effect", None), steps.CheckProof) else {},
    }
    return {key: value for key, value in what.items() if key in expected}


def done(effect: steps.Effect) -> str:
    match effect:
        case steps.ToQueue(queue, intent):
            return f"queue {queue} {intent}"
        case steps.SetLanguage(language):
            return f"language {language}"
    return "hang up"


def opens(step: engine.Step) -> list[str | None]:
    wanted = getattr(step.wait, "effect", None)
    return [wanted.matter, wanted.subscription] if isinstance(wanted, steps.OpenTicket) else []
