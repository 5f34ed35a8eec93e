"""The flow as a graph: which ways lead out of a node, where they lead in the end, and what may be spoken there."""

from __future__ import annotations

from typing import assert_never

from ivr.document import Document
from ivr.nodes import Ask, Branch, Code, End, Language, Link, Menu, Message, Node, Prove, Queue, Say, Ticket


def routes(node: Node) -> dict[str, str]:
    """Every way out of `node`: name of the way -> node it leads to."""
    match node:
        case Say() | Language():
            return {"next": node.to}
        case Menu():
            keys = {f"key {key}": choice.to for key, choice in node.choices.items()}
            return keys | _exits(node)
        case Ask():
            return {"keys": node.to, "person": node.person} | _exits(node)
        case Branch():
            return {f"case {at}": case.to for at, case in enumerate(node.cases, 1)} | {"else": node.otherwise}
        case Ticket():
            ways = {"opened": node.opened, "existing": node.existing, "noted": node.noted, "failed": node.failed}
            return {name: to for name, to in ways.items() if to or name != "noted"}
        case Message():
            return {"kept": node.to} | ({"failed": node.failed} if node.failed else {})
        case Prove():
            return {"proved": node.proved, "wrong": node.wrong, "failed": node.failed}
        case Code() | Link():
            return {"next": node.to, "failed": node.failed}
        case Queue() | End():
            return {}
        case _:
            assert_never(node)


def spoken(node: Node) -> tuple[str, ...]:
    """The prompts that `node` may speak."""
    match node:
        case Say() | Message() | Queue() | End():
            return node.say
        case Menu() | Ask():
            return node.say + node.noinput.say + node.nomatch.say
        case Branch() | Language() | Ticket() | Prove() | Code() | Link():
            return ()
        case _:
            assert_never(node)


def reached(document: Document, *starts: str) -> set[str]:
    """Nodes to which some way leads from `starts`, whatever the facts."""
    found: set[str] = set()
    open_ends = list(starts)
    while open_ends:
        at = open_ends.pop()
        if at in document.nodes and at not in found:
            found.add(at)
            open_ends += routes(document.nodes[at]).values()
    return found


def _exits(node: Menu | Ask) -> dict[str, str]:
    exits = {"noinput": node.noinput.to, "nomatch": node.nomatch.to, "giveup": node.giveup}
    return {name: to for name, to in exits.items() if to}
