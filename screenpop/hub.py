"""All live seats of this node: who hears of what, and what every browser is told at once.

A committed event reaches the seats it concerns, found by what they show (heard.py); what a seat does with it is in seat.py. The hub also
says aloud what of ours is away, asks browsers to move to another node, and shows ringings that could not be written yet.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import random
from collections.abc import Callable, Iterable

from cti.events import Recorded
from screenpop import board, unwritten
from screenpop.heard import Index, Recent
from screenpop.protocol import Card
from screenpop.pulse import Pulse
from screenpop.seat import LiveSeat, Owner, Read, state, text_of
from screenpop.unwritten import UnwrittenOffer

SWEEP_S = 30.0  # every seat is looked at again this often, so that time alone can change it
SWEEP_PARTS = 30  # not all seats at once: thousands of looks in one moment would hold up a pop
EMPTY_SWEEP = 10  # a seat without cards is looked at so many times more rarely: time alone changes nothing on it
IDLE_S = 600.0  # a seat without browsers is forgotten after this

# Browsers that are let in at the same time. When all come at once because another node has died, calls and the balancer's question find
# the database free: a node that answers it late is taken for dead, and its browsers all go to the next one.
ENTER_AT_ONCE = 4

OnSeat = Callable[[str, str], None]  # agent, and what became of his page on this node: attached | lost | left


class Hub:
    """All live seats of this node. `on_seat` hears what becomes of agents' pages here; it is quick and never raises."""

    def __init__(self, read: Read, clock_s: Callable[[], float], region: str = "TR") -> None:
        self.read = read
        self.seats: dict[str, LiveSeat] = {}
        self.recent = Recent()
        self.degraded: frozenset[str] = frozenset()
        self.on_seat: OnSeat = lambda agent, what: None
        self.pulse = Pulse(clock_s)
        self.entrance = asyncio.Semaphore(
            ENTER_AT_ONCE
        )  # for what a browser asks of the records before it sees its seat
        self._clock_s = clock_s
        self._region = region
        self._index = Index()
        self._unwritten: dict[str, dict[str, Card]] = {}  # agent -> device's channel -> card

    def seat(self, owner: Owner) -> LiveSeat:
        """The owner's live seat; made when his first browser comes, looked at anew when he chose another language."""
        seat = self.seats.get(owner.seat)
        if seat is None:
            seat = self.seats[owner.seat] = LiveSeat(owner, self)
            seat.start()
        elif seat.owner != owner:
            seat.owner = owner
            seat.mark(None)
        if not seat.sockets:
            seat.idle_since = self._clock_s()  # until the browser is attached
        return seat

    def is_live(self, name: str) -> bool:
        """Does any browser show this seat?"""
        return name in self.seats and bool(self.seats[name].sockets)

    @property
    def agents(self) -> frozenset[str]:
        """Agents whose page is on this node now."""
        return frozenset(seat.owner.agent for seat in self.seats.values() if seat.sockets and seat.owner.agent)

    @property
    def sockets(self) -> int:
        """Browsers connected to this node."""
        return sum(len(seat.sockets) for seat in self.seats.values())

    def hear(self, recorded: Recorded) -> None:
        """The ledger's subscriber: quick, never raises. Costs what the seats cost that the event concerns, however many there are."""
        self.recent.add(recorded.event)
        for name in self._index.concerned(recorded.event) & self.seats.keys():
            self.seats[name].hear(recorded.event)

    def looked(self, seat: LiveSeat) -> None:
        """A seat has been read anew: what it shows, and what of it is written by now."""
        assert seat.look is not None
        self._index.show(seat.name, seat.look.ids)
        for device_channel in seat.look.devices & self._unwritten.get(seat.name, {}).keys():
            self._forget_unwritten(seat.name, device_channel)

    def tell_seat(self, seat: LiveSeat, what: str) -> None:
        if seat.owner.agent:
            self.on_seat(seat.owner.agent, what)

    def agent_changed(self, agent: str) -> None:
        """Something that is no event changed what the seat shows."""
        if agent in self.seats:
            self.seats[agent].mark(None)

    def member_changed(self, agent: str) -> None:
        """The switch tells another state of the agent or his phone."""
        if agent in self.seats:
            self.seats[agent].mark_agent()

    # --- faults, said aloud ---

    def tell_state(self, degraded: frozenset[str]) -> None:
        """These parts of ours are away now (database, switch, bus). Every browser hears of it when it is another set than before."""
        if degraded == self.degraded:
            return
        self.degraded = degraded
        ready = {leader: text_of(state(degraded, leader)) for leader in (True, False)}  # written once for all browsers
        for seat in self.seats.values():
            for socket in seat.sockets:
                socket.told = degraded
                socket.send(ready[seat.is_leader(socket)])

    def move_all(self, within_s: float) -> None:
        """This node ends soon: each browser is asked to come back, at a moment of its own within this time."""
        for seat in self.seats.values():
            for socket in seat.sockets:
                after_ms = round(random.uniform(0, within_s) * 1000)
                socket.send({"type": "move", "after_ms": after_ms})

    def offer_unwritten(self, agent: str, offer: UnwrittenOffer) -> None:
        """It rings at this agent's and the records are away: his seat shows the number until the real card comes."""
        seat = self.seats.get(agent)
        if seat and seat.look and offer.device_channel in seat.look.devices:
            return
        waiting = self._unwritten.setdefault(agent, {})
        waiting[offer.device_channel] = unwritten.card(offer, self._region)
        if len(waiting) > board.CARDS_MAX:
            del waiting[next(iter(waiting))]
        if seat:
            seat.show()

    def unwritten_answered(self, device_channel: str, at: dt.datetime) -> None:
        """The agent took that call; it rings no longer."""
        for agent, waiting in self._unwritten.items():
            if device_channel in waiting:
                waiting[device_channel] = unwritten.answered(waiting[device_channel], at)
                if agent in self.seats:
                    self.seats[agent].show()

    def unwritten_gone(self, device_channel: str) -> None:
        """That ringing, or the talk that came of it, is over."""
        for agent in [agent for agent, waiting in self._unwritten.items() if device_channel in waiting]:
            self._forget_unwritten(agent, device_channel)
            if agent in self.seats:
                self.seats[agent].show()

    def unwritten_of(self, agent: str) -> Iterable[Card]:
        return self._unwritten.get(agent, {}).values()

    def _forget_unwritten(self, agent: str, device_channel: str) -> None:
        self._unwritten[agent].pop(device_channel, None)
        if not self._unwritten[agent]:
            del self._unwritten[agent]

    # --- time ---

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.pulse.run())
            tasks.create_task(self._sweep_for_ever())

    async def _sweep_for_ever(self) -> None:
        for turn in itertools.count():
            await asyncio.sleep(SWEEP_S / SWEEP_PARTS)
            self.sweep([name for name, seat in self.seats.items() if is_due(seat, turn)])

    def sweep(self, names: Iterable[str] | None = None) -> None:
        """Look again at these seats, or at all; forget those without a browser for IDLE_S."""
        now_s = self._clock_s()
        for name in list(self.seats if names is None else names):
            seat = self.seats[name]
            if seat.idle_since is not None and now_s - seat.idle_since > IDLE_S:
                seat.stop()
                self._index.forget(name)
                del self.seats[name]
            elif seat.sockets and "database" not in self.degraded:
                seat.mark(None)

    def close(self) -> None:
        for seat in self.seats.values():
            seat.stop()


def is_due(seat: LiveSeat, turn: int) -> bool:
    """Shall this seat be looked at in this turn? There are SWEEP_PARTS of them in SWEEP_S."""
    is_empty = seat.sockets and seat.shown is not None and not seat.shown.cards
    parts = SWEEP_PARTS * EMPTY_SWEEP if is_empty else SWEEP_PARTS
    return hash(seat.name) % parts == turn % parts
