"""A conversation's possible lives, as a table, and its segments, folded from the ledger's events.

Pure. A conversation is in one state; an event moves it or, when it comes late or twice, leaves it where it is: any order of facts
gives a legal state. Segments are what the caller lived through: ivr, queue, ring, talk, wrap-up.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cti.events import (
    CallAnswered,
    CallArrived,
    CallCleared,
    CallDelivered,
    CallDiverted,
    CallEnded,
    CallQueued,
    CallWrappedUp,
    Event,
    Recorded,
)


class State(StrEnum):
    IVR = "ivr"
    QUEUED = "queued"
    TALKING = "talking"
    CLEARED = "cleared"  # the agent's leg is gone, the caller's not yet
    ENDED = "ended"


TABLE: dict[State, dict[type[Event], State]] = {
    State.IVR: {CallQueued: State.QUEUED, CallAnswered: State.TALKING, CallEnded: State.ENDED},
    State.QUEUED: {CallAnswered: State.TALKING, CallEnded: State.ENDED},
    State.TALKING: {CallCleared: State.CLEARED, CallEnded: State.ENDED},
    State.CLEARED: {CallQueued: State.QUEUED, CallAnswered: State.TALKING, CallEnded: State.ENDED},
    State.ENDED: {},
}


def after(state: State, event: Event) -> State:
    """The state that follows; the same one where the table has no word for the event."""
    return TABLE[state].get(type(event), state)


def end_reason(state: State, *, served: bool) -> str:
    """Why a conversation that ends in `state` ended; `served` when the flow came to its own end or gave a ticket number."""
    if state in (State.TALKING, State.CLEARED):
        return "answered"
    if state is State.QUEUED:
        return "abandoned_in_queue"
    return "served_in_ivr" if served else "abandoned_in_ivr"


@dataclass(frozen=True)
class Segment:
    """A stretch of a conversation; open (`ended_at` None) while it lasts. `who` is the queue, or the agent."""

    kind: str  # ivr | queue | ring | talk | wrap_up
    who: str
    started_at: dt.datetime
    ended_at: dt.datetime | None = None

    def duration_s(self, now: dt.datetime) -> float:
        return ((self.ended_at or now) - self.started_at).total_seconds()


OPENS: dict[type[Event], tuple[str, tuple[str, ...]]] = {
    CallArrived: ("ivr", ()),
    CallQueued: ("queue", ("ivr", "talk")),
    CallDelivered: ("ring", ()),
    CallAnswered: ("talk", ("ivr", "queue", "ring")),
    CallCleared: ("wrap_up", ("talk",)),
}
CLOSES: dict[type[Event], tuple[str, ...]] = {
    CallDiverted: ("ring",),
    CallWrappedUp: ("wrap_up",),
    CallEnded: ("ivr", "queue", "ring", "talk"),
}


def segments(events: Iterable[Recorded]) -> tuple[Segment, ...]:
    """The conversation's stretches in the order in which they began."""
    done: list[Segment] = []
    for recorded in events:
        kind = type(recorded.event)
        opens, closes = OPENS.get(kind, ("", CLOSES.get(kind, ())))
        who = getattr(recorded.event, "agent", "") or getattr(recorded.event, "queue", "")
        only = who if kind in (CallDiverted, CallWrappedUp, CallCleared) else ""
        done = [_closed(segment, closes, only, recorded.at) for segment in done]
        if opens:
            done.append(Segment(opens, who, recorded.at))
    return tuple(done)


def _closed(segment: Segment, kinds: tuple[str, ...], only: str, at: dt.datetime) -> Segment:
    if segment.ended_at is not None or segment.kind not in kinds or (only and segment.who != only):
        return segment
    return Segment(segment.kind, segment.who, segment.started_at, at)
