"""Which seats an event concerns, found by what they show instead of by asking every seat; and the events of the last moments."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from cti.events import Event, OutageClosed, OutageOpened
from screenpop import board

RECENT_MAX = 4096  # events kept for looks that are under way


class Index:
    """What each seat shows, turned round: id -> names of seats. Ids are those whose events concern a card (snapshot.look)."""

    def __init__(self) -> None:
        self._seats: dict[str, set[str]] = {}
        self._shown: dict[str, frozenset[str]] = {}

    def show(self, seat: str, cards: Mapping[str, frozenset[str]]) -> None:
        """From now on this seat shows these cards, each with its ids."""
        before, after = self._shown.get(seat, frozenset()), frozenset().union(*cards.values())
        if before == after:
            return
        for each in before - after:
            self._seats[each].discard(seat)
            if not self._seats[each]:
                del self._seats[each]
        for each in after - before:
            self._seats.setdefault(each, set()).add(seat)
        self._shown[seat] = after
        if not after:
            del self._shown[seat]

    def forget(self, seat: str) -> None:
        self.show(seat, {})

    def concerned(self, event: Event) -> set[str]:
        """Names of every seat on which `event` may change something: those it names, and those that show what it names."""
        found = set(board.agents_of(event))
        if isinstance(event, board.QUIET):
            return found
        if isinstance(event, OutageOpened | OutageClosed):
            return found | self._shown.keys()
        for value in board.values(event):
            if isinstance(value, str):
                found |= self._seats.get(value, set())
        return found


class Recent:
    """The newest events, so that a look which saw the database before they came can be made up for."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=RECENT_MAX)
        self.total = 0  # events ever heard: the place where a look begins

    def add(self, event: Event) -> None:
        self._events.append(event)
        self.total += 1

    def since(self, place: int) -> Iterable[Event] | None:
        """The events after `place`; None when some of them are no longer kept."""
        missed = self.total - place
        if missed > len(self._events):
            return None
        return [self._events[at] for at in range(len(self._events) - missed, len(self._events))]
