"""What a seat shows, whom an event concerns, and what changed between two looks. Pure: values in, values out."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable
from typing import Any

from cti.events import (
    AgentStateChanged,
    CallDelivered,
    Event,
    FlowEntered,
    FlowHeard,
    FlowSpoke,
    OfferPainted,
    OfferSeen,
    OutageClosed,
    OutageOpened,
    Recorded,
)
from screenpop.protocol import Card, Message, Seat, Step

QUIET = (OfferPainted, OfferSeen, AgentStateChanged)  # facts about screens and places, not about what a card shows
WITHDRAWN_KEPT_S = 30 * 60  # a missed offer stays on the page this long, unless put away
CARDS_MAX = 12


def concerns(event: Event, ids: frozenset[str]) -> bool:
    """Does `event` name something that a card with these ids (conversation, parties, contact points, subscriptions) shows?"""
    if isinstance(event, QUIET):
        return False
    if isinstance(event, OutageOpened | OutageClosed):
        return bool(ids)
    return any(isinstance(value, str) and value in ids for value in _values(event))


def _values(event: Event) -> Iterable[Any]:
    return (getattr(event, field.name) for field in dataclasses.fields(event))


def agents_of(event: Event) -> frozenset[str]:
    """Agents who must look again because the event names them, whether or not they show the conversation yet."""
    if isinstance(event, QUIET):
        return frozenset()
    agent = getattr(event, "agent", None)
    return frozenset((agent,)) if agent else frozenset()


def version(events: Iterable[Recorded]) -> int:
    """The newest fact of a conversation that a card shows."""
    return max((each.seq for each in events if not isinstance(each.event, QUIET)), default=0)


def path(events: Iterable[Recorded], language: str) -> tuple[Step, ...]:
    """The caller's way through the flow: places in order, with what was keyed at each."""
    steps: list[Step] = []
    for recorded in events:
        event = recorded.event
        if isinstance(event, FlowEntered):
            label = event.label.get(language) or event.label.get("en") or event.node
            steps.append(Step(at=when(recorded.at), node=event.node, label=label, heard="", digits=""))
        elif isinstance(event, FlowHeard) and steps:
            steps[-1] = _heard(steps[-1], event)
    return tuple(step for step in steps if step.label)


def _heard(step: Step, event: FlowHeard) -> Step:
    if step.node != event.node:
        return step
    digits = " ".join(each for each in (step.digits, event.digits) if each)
    return dataclasses.replace(step, heard=event.kind, digits=digits)


def spoken(events: Iterable[Recorded]) -> tuple[str, ...]:
    """What was said to the caller with facts in it, in his language."""
    return tuple(each.event.text for each in events if isinstance(each.event, FlowSpoke))


def waited_s(events: Iterable[Recorded], offer: str) -> float:
    for recorded in events:
        if isinstance(recorded.event, CallDelivered) and recorded.event.offer == offer:
            return recorded.event.waited_s
    return 0.0


def when(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """A card or seat as plain JSON values."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def changes(before: Seat | None, after: Seat) -> list[Message]:
    """The parts to push so that a page that shows `before` shows `after`."""
    if before is None:
        return [{"part": "seat", "seat": plain(after)}]
    parts: list[Message] = []
    old = {card.id: card for card in before.cards}
    new = {card.id: card for card in after.cards}
    parts += [{"part": "card_gone", "id": each} for each in old if each not in new]
    parts += [{"part": "card", "card": plain(card)} for card in reversed(after.cards) if old.get(card.id) != card]
    if before.agent != after.agent:
        parts.append({"part": "agent", "agent": plain(after.agent)})
    if (before.dispositions, before.channels) != (after.dispositions, after.channels):
        lists = {"dispositions": plain(after.dispositions), "channels": plain(after.channels)}
        parts.append({"part": "lists", **lists})
    return parts


def order(cards: Iterable[Card]) -> tuple[Card, ...]:
    """Newest offer first; the id settles ties, so that every look has the same order."""
    return tuple(sorted(cards, key=lambda card: (card.offered_at, card.id), reverse=True)[:CARDS_MAX])
