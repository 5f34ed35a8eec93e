"""Seats: what each signed-in agent's browser shows, pushed as it changes, resumed after a gap.

One seat per agent (or user, for those without a phone); every tab and every reload attaches to the same one. A committed event marks
the seats it concerns as dirty; each seat looks again at the database (one look at a time, however many events came) and pushes what
changed, with a number. A browser that comes back says the last number it took and gets the rest, or, when that is not certain, a
snapshot. A browser that does not read costs only itself: its queue is bounded, and when it is full the connection is closed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from cti.events import Event, Recorded
from screenpop import board
from screenpop.protocol import Message, Seat

log = structlog.get_logger(__name__)

HISTORY_MAX = 48  # pushed messages that a returning browser can catch up on; they have to fit into its queue
SOCKETS_MAX = 5  # of one agent at once; a further one closes the oldest
QUEUE_MAX = 64  # messages that wait for one browser
SWEEP_S = 30.0  # every seat is looked at again this often, so that time alone can change it
MEANWHILE_MAX = 1000  # events heard during one look; more and the whole seat is looked at again
IDLE_S = 600.0  # a seat without browsers is forgotten after this


@dataclass
class Socket:
    """One browser's connection: messages to send, oldest first. `slow` is set when they would not fit."""

    queue: asyncio.Queue[Message] = field(default_factory=lambda: asyncio.Queue(QUEUE_MAX))
    slow: asyncio.Event = field(default_factory=asyncio.Event)
    seq_acked: int = 0
    active: bool = False  # somebody did something on the page since the sign-in was last checked

    def send(self, message: Message) -> None:
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            self.slow.set()


@dataclass(frozen=True)
class Look:
    """A seat as read at one moment, and for each card the ids whose events concern it."""

    seat: Seat
    ids: dict[str, frozenset[str]]


@dataclass(frozen=True)
class Owner:
    """Whose seat it is. `agent` is his name in the queues, "" for who takes no calls; the language is that of the page."""

    user: str
    name: str
    agent: str
    language: str

    @property
    def seat(self) -> str:
        return self.agent or f"user:{self.user}"


Only = Mapping[str, board.Parts] | None  # conversation -> parts to read again, the rest is as it was; None: everything
Read = Callable[[Owner, Look | None, Only], Awaitable[Look]]


class LiveSeat:
    """One agent's page, in all its tabs. `read` looks at the database: all of it, or only the conversations named."""

    def __init__(self, owner: Owner, read: Read) -> None:
        self.owner = owner
        self.name = owner.seat
        self.epoch = secrets.token_urlsafe(12)
        self.seq = 0
        self.look: Look | None = None
        self.sockets: list[Socket] = []
        self.idle_since: float | None = None
        self._read = read
        self._history: deque[Message] = deque(maxlen=HISTORY_MAX)
        self._dirty: dict[str, board.Parts] = {}
        self._all_dirty = False
        self._wake = asyncio.Event()
        self._reading = asyncio.Lock()
        self._meanwhile: deque[Event] = deque(maxlen=MEANWHILE_MAX)
        self._task: asyncio.Task[None] | None = None

    @property
    def has_call(self) -> bool:
        """Is there a call to take, to talk to or to write about?"""
        return self.look is not None and any(card.state != "withdrawn" for card in self.look.seat.cards)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"seat-{self.name}")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def mark(self, conversation: str | None, parts: board.Parts = board.ALL) -> None:
        """These parts of a conversation's card, or (None) the whole seat, may look different now."""
        if conversation is None:
            self._all_dirty = True
        else:
            self._dirty[conversation] = self._dirty.get(conversation, frozenset()) | parts
        self._wake.set()

    def mark_agent(self) -> None:
        """The agent's own state is another; the cards are as they were."""
        self._wake.set()

    def hear(self, event: Event) -> None:
        """Mark what `event` concerns, now and after the look that may be under way: that one may show more, and be too early."""
        if self._reading.locked():
            self._meanwhile.append(event)
        self._mark_concerned(event)

    def _mark_concerned(self, event: Event) -> None:
        conversation = getattr(event, "conversation", None)
        shown = self.look.ids if self.look else {}
        if self.name in board.agents_of(event) and conversation and conversation not in shown:
            self.mark(conversation)
        for card, ids in shown.items():
            if parts := board.changed_parts(event, card, ids):
                self.mark(card, parts)

    async def attach(self, socket: Socket, epoch: str | None, seq: int | None) -> None:
        """Bring a browser up to date and keep it so. Replays what it missed when that is certain, else sends a snapshot."""
        async with self._reading:
            if self.look is None:
                await self._read_again(None)
            elif not self.sockets:
                self.mark(None)  # time went by and nobody looked
            missed = self._since(epoch, seq)
            if missed is None:
                socket.send(self.snapshot())
            else:
                socket.send({"type": "resumed", "epoch": self.epoch, "seq": self.seq})
                for message in missed:
                    socket.send(message)
            self.sockets.append(socket)
            self.idle_since = None
        while len(self.sockets) > SOCKETS_MAX:
            self.sockets.pop(0).slow.set()

    def detach(self, socket: Socket, now_s: float) -> None:
        if socket in self.sockets:
            self.sockets.remove(socket)
        if not self.sockets:
            self.idle_since = now_s

    def snapshot(self) -> Message:
        assert self.look is not None
        return {"type": "snapshot", "v": 1, "epoch": self.epoch, "seq": self.seq, "seat": board.plain(self.look.seat)}

    def _since(self, epoch: str | None, seq: int | None) -> list[Message] | None:
        """The messages after `seq`, or None when this seat cannot prove that it has all of them."""
        if epoch != self.epoch or seq is None or seq > self.seq:
            return None
        missed = [message for message in self._history if message["seq"] > seq]
        return missed if len(missed) == self.seq - seq else None

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._look_again()
            except Exception as error:  # noqa: BLE001  the end of this look; the seat tries again with the next event or sweep
                log.error("hub.look_failed", seat=self.name, error=repr(error))
                self._all_dirty = True

    async def _look_again(self) -> None:
        async with self._reading:
            only = None if self._all_dirty or self.look is None else self._dirty
            self._dirty, self._all_dirty = {}, False
            before = self.look
            after = await self._read_again(only)
            changes = board.changes(before.seat if before else None, after.seat)
            if changes and before is not None:
                self._push(changes)

    async def _read_again(self, only: Only) -> Look:
        self._meanwhile.clear()
        self.look = look = await self._read(self.owner, self.look, only)
        if len(self._meanwhile) == MEANWHILE_MAX:
            self.mark(None)
        for event in self._meanwhile:
            self._mark_concerned(event)
        return look

    def _push(self, changes: list[Message]) -> None:
        self.seq += 1
        message = {"type": "event", "seq": self.seq, "changes": changes}
        self._history.append(message)
        for socket in list(self.sockets):
            socket.send(message)


class Hub:
    """All live seats of this node."""

    def __init__(self, read: Read, clock_s: Callable[[], float]) -> None:
        self._read = read
        self._clock_s = clock_s
        self.seats: dict[str, LiveSeat] = {}

    def seat(self, owner: Owner) -> LiveSeat:
        """The owner's live seat; made when his first browser comes, looked at anew when he chose another language."""
        seat = self.seats.get(owner.seat)
        if seat is None:
            seat = self.seats[owner.seat] = LiveSeat(owner, self._read)
            seat.start()
        elif seat.owner != owner:
            seat.owner = owner
            seat.mark(None)
        return seat

    def is_live(self, name: str) -> bool:
        """Does any browser show this seat?"""
        return name in self.seats and bool(self.seats[name].sockets)

    @property
    def sockets(self) -> int:
        """Browsers connected to this node."""
        return sum(len(seat.sockets) for seat in self.seats.values())

    def hear(self, recorded: Recorded) -> None:
        """The ledger's subscriber: quick, never raises."""
        for seat in self.seats.values():
            seat.hear(recorded.event)

    def agent_changed(self, agent: str) -> None:
        """Something that is no event changed what the seat shows."""
        if agent in self.seats:
            self.seats[agent].mark(None)

    def member_changed(self, agent: str) -> None:
        """The switch tells another state of the agent or his phone."""
        if agent in self.seats:
            self.seats[agent].mark_agent()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep()

    def sweep(self) -> None:
        now_s = self._clock_s()
        for name, seat in list(self.seats.items()):
            if seat.idle_since is not None and now_s - seat.idle_since > IDLE_S:
                seat.stop()
                del self.seats[name]
            elif seat.sockets:
                seat.mark(None)

    def close(self) -> None:
        for seat in self.seats.values():
            seat.stop()
