"""What a seat shows, whom an event concerns, and what changed between two looks. Pure: values in, values out."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from cti.events import (
    AgentStateChanged,
    CallAnswered,
    CallArrived,
    CallCleared,
    CallDelivered,
    CallDiverted,
    CallEnded,
    CallEvent,
    CallWrappedUp,
    Event,
    FlowEntered,
    FlowHeard,
    FlowLeft,
    FlowSpoke,
    GuessingAlarmed,
    InteractionReceived,
    InteractionsRelinked,
    LineStateChanged,
    LinkDisputed,
    LinkEnded,
    LinkMade,
    LinkProposalSettled,
    LinkProposed,
    LinkVerified,
    MessageSettled,
    NoteWritten,
    OfferPainted,
    OfferSeen,
    OutageClosed,
    OutageOpened,
    PartyConfirmed,
    ProofGiven,
    ProofRefused,
    Recorded,
    RecordingErased,
    RecordingStarted,
    RecordingStored,
    TicketAppended,
    TicketOpened,
)
from screenpop.protocol import Card, Channel, Disposition, Message, Seat, Step

QUIET = (OfferPainted, OfferSeen, AgentStateChanged)  # facts about screens and places, not about what a card shows

# The parts of a card that are read apart: the call as it stands, who it may be, how sure that is (proofs, links and their proposal), the
# way through the flow, and what was before.
CALL, WHO, SURE, PATH, HISTORY = "call", "who", "sure", "path", "history"
Parts = frozenset[str]
NOTHING: Parts = frozenset()
ALL: Parts = frozenset((CALL, WHO, SURE, PATH, HISTORY))

# What an event changes on the card of its own conversation; what is not named here changes all of it.
CHANGES: dict[type[Event], Parts] = {
    CallAnswered: frozenset((CALL,)),
    CallDiverted: frozenset((CALL,)),
    CallCleared: frozenset((CALL,)),
    CallEnded: frozenset((CALL, HISTORY)),
    CallWrappedUp: frozenset((CALL, HISTORY)),
    NoteWritten: frozenset((CALL,)),
    RecordingStarted: frozenset((CALL,)),
    RecordingStored: frozenset((CALL,)),
    RecordingErased: frozenset((CALL,)),
    FlowEntered: frozenset((PATH,)),
    FlowHeard: frozenset((PATH,)),
    FlowSpoke: frozenset((PATH,)),
    FlowLeft: frozenset((PATH,)),
    TicketOpened: frozenset((CALL, HISTORY)),
    TicketAppended: frozenset((CALL, HISTORY)),
    InteractionReceived: frozenset((HISTORY,)),
    InteractionsRelinked: frozenset((HISTORY,)),
    OutageOpened: frozenset((HISTORY,)),
    OutageClosed: frozenset((HISTORY,)),
    LineStateChanged: frozenset((HISTORY,)),
    ProofGiven: frozenset((SURE,)),
    ProofRefused: frozenset((SURE,)),
    LinkProposed: frozenset((SURE,)),
    LinkProposalSettled: frozenset((SURE,)),
    LinkMade: frozenset((SURE,)),
    LinkVerified: frozenset((SURE,)),
    LinkDisputed: frozenset((SURE,)),
    LinkEnded: frozenset((SURE,)),
    GuessingAlarmed: NOTHING,
    MessageSettled: NOTHING,
}
# What an event changes on the cards of other conversations that list it: nothing but history, and mostly not even that.
ELSEWHERE: frozenset[type[Event]] = frozenset(
    (CallArrived, CallEnded, CallWrappedUp, PartyConfirmed, TicketOpened, TicketAppended, InteractionReceived)
)
ETAG_BYTES = 6  # 12 hex digits: a wrong match among a seat's cards is less likely than a broken memory chip
WITHDRAWN_KEPT_S = 30 * 60  # a missed offer stays on the page this long, unless put away
CARDS_MAX = 12


def concerns(event: Event, ids: frozenset[str]) -> bool:
    """Does `event` name something that a card with these ids (conversation, parties, contact points, subscriptions) shows?"""
    if isinstance(event, QUIET):
        return False
    if isinstance(event, OutageOpened | OutageClosed):
        return bool(ids)
    return any(isinstance(value, str) and value in ids for value in values(event))


def changed_parts(event: Event, card: str, ids: frozenset[str]) -> Parts:
    """The parts of the card of conversation `card` that may look different after `event`; empty when it does not concern it."""
    if not concerns(event, ids):
        return NOTHING
    if isinstance(event, CallEvent) and event.conversation != card:
        return frozenset((HISTORY,)) if type(event) in ELSEWHERE else NOTHING
    return CHANGES.get(type(event), ALL)


def values(event: Event) -> Iterable[Any]:
    """What an event names: the values of its fields."""
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
        parts.append(_lists(after))
    return parts


def difference(have: Mapping[str, str], lists: str, seat: Seat) -> list[Message]:
    """The parts to send so that a page which has these cards (id -> etag) and these lists (etag) shows `seat`."""
    shown = {card.id for card in seat.cards}
    parts: list[Message] = [{"part": "card_gone", "id": each} for each in have if each not in shown]
    parts += [{"part": "card", "card": plain(card)} for card in reversed(seat.cards) if have.get(card.id) != card.etag]
    parts.append({"part": "agent", "agent": plain(seat.agent)})
    return parts if lists == seat.lists else [*parts, _lists(seat)]


def _lists(seat: Seat) -> Message:
    lists = {"dispositions": plain(seat.dispositions), "channels": plain(seat.channels), "lists": seat.lists}
    return {"part": "lists", **lists}


def sealed(card: Card) -> Card:
    """`card` with the etag of all it says."""
    bare = dataclasses.replace(card, etag="")
    return dataclasses.replace(bare, etag=_etag(plain(bare)))


def lists_etag(dispositions: Iterable[Disposition], channels: Iterable[Channel]) -> str:
    return _etag([plain(tuple(dispositions)), plain(tuple(channels))])


def _etag(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=ETAG_BYTES).hexdigest()


def with_unwritten(seat: Seat, cards: Iterable[Card]) -> Seat:
    """`seat` with cards of ringings that are not in the records yet."""
    more = tuple(cards)
    return dataclasses.replace(seat, cards=order([*seat.cards, *more])) if more else seat


def phone_state(phone: str, cards: Iterable[Card]) -> str:
    """The agent's phone as he sees it: the switch says in_use while it only rings."""
    states = {card.state for card in cards}
    return "ringing" if phone == "in_use" and "offered" in states and "talking" not in states else phone


def order(cards: Iterable[Card]) -> tuple[Card, ...]:
    """Newest offer first; the id settles ties, so that every look has the same order."""
    return tuple(sorted(cards, key=lambda card: (card.offered_at, card.id), reverse=True)[:CARDS_MAX])
