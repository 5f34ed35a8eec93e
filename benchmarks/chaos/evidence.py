"""What everybody lived through, as plain values: all that the auditor may look at.

Times are seconds since the epoch, of the one clock of the machine on which everything ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from cti.events import CallArrived, Event, Recorded
from cti.records.tickets import TicketRow

E = TypeVar("E", bound=Event)

# Kinds of faults.
KILL, PAUSE, SOCKETS, STALL = "kill", "pause", "sockets", "stall"
DATABASE, BUS_KILL, BUS_PAUSE, ASTERISK, DISK = "database", "bus_kill", "bus_pause", "asterisk", "disk"
NODE_FAULTS = frozenset({KILL, PAUSE})


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One thing that a caller heard or did. `what`: heard (a prompt's key) | number (digits) | pressed (a key) | gave_up (why)."""

    at: float
    what: str
    value: str = ""


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A stretch of an answered call in which the caller heard nothing."""

    began_at: float
    lasted_s: float


@dataclass(frozen=True, kw_only=True)
class CallLife:
    """One caller's call as he lived it. `answered_at` None: never answered. `ended_by`: caller | switch | refused | lost."""

    caller: str  # the number as the carrier sent it; nobody else in the run has it
    placed_at: float
    answered_at: float | None
    ended_at: float
    ended_by: str
    moments: tuple[Moment, ...] = ()
    silences: tuple[Silence, ...] = ()

    def first(self, what: str, *values: str, since: float = 0.0) -> Moment | None:
        """The first moment of this kind after `since`; of these values, where some are given."""
        fit = (each for each in self.moments if each.what == what and each.at >= since)
        return next((each for each in fit if not values or each.value in values), None)


@dataclass(frozen=True, kw_only=True)
class SeatMoment:
    """What an agent's page did. `what`: connected | moved (told to leave its node) | lost | painted | withdrawn; the last two
    about an offer."""

    at: float
    what: str
    offer: str = ""


@dataclass(frozen=True, kw_only=True)
class SeatLife:
    """One agent's page over the run: at the end `shown` is what it shows, `fresh` what a page opened anew shows. None: it was never
    connected, or could not be opened."""

    agent: str
    moments: tuple[SeatMoment, ...] = ()
    shown: Mapping[str, Any] | None = None
    fresh: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that was broken on purpose. `held`: the channels that the node drove at that moment, of a node's fault."""

    kind: str
    target: str
    began_at: float
    ended_at: float
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Case:
    """A caller's call beside the conversations that the ledger has of it: one, when all is well."""

    life: CallLife
    conversations: tuple[str, ...]
    events: tuple[Recorded, ...]

    def of(self, kind: type[E]) -> list[E]:
        return [each.event for each in self.events if isinstance(each.event, kind)]

    def at(self, kind: type[Event]) -> float | None:
        """When the first event of this kind was written."""
        return next((each.at.timestamp() for each in self.events if isinstance(each.event, kind)), None)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything about one run. `menu_max_s`: how long after a node's death its callers may wait for the menu."""

    calls: tuple[CallLife, ...]
    seats: tuple[SeatLife, ...] = ()
    faults: tuple[Fault, ...] = ()
    events: tuple[Recorded, ...] = ()
    tickets: tuple[TicketRow, ...] = ()
    menu_max_s: float = field(default=3.0)
    nodes: int = field(default=2)

    @cached_property
    def by_conversation(self) -> Mapping[str, tuple[Recorded, ...]]:
        found: dict[str, list[Recorded]] = {}
        for each in self.events:
            if each.conversation:
                found.setdefault(each.conversation, []).append(each)
        return {conversation: tuple(events) for conversation, events in found.items()}

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """Each caller's call with its events; the number is what joins them."""
        arrived: dict[str, list[str]] = {}
        for each in self.events:
            if isinstance(each.event, CallArrived):
                arrived.setdefault(each.event.raw, []).append(each.event.conversation)
        return tuple(self._case(life, tuple(arrived.get(life.caller, ()))) for life in self.calls)

    def _case(self, life: CallLife, conversations: tuple[str, ...]) -> Case:
        events = [each for name in dict.fromkeys(conversations) for each in self.by_conversation[name]]
        return Case(life=life, conversations=conversations, events=tuple(sorted(events, key=lambda each: each.seq)))

    def broken_between(self, since: float, until: float) -> bool:
        return any(each.began_at <= until and each.ended_at >= since for each in self.faults)

    def switch_failed(self, since: float, until: float) -> bool:
        """Was Asterisk itself restarted in between? What it drops then is nobody's fault."""
        return any(each.kind == ASTERISK and each.began_at <= until and each.ended_at >= since for each in self.faults)
