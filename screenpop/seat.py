"""One agent's seat: what his browsers show, pushed as it changes, resumed after a gap.

Every tab, browser and reload of an agent attaches to the same seat, and the first of them leads: it alone rings. What an event concerns
is dirty until the seat has looked again at the database (one look at a time, however many events came); what changed is pushed with a
number. A browser that comes back says the last number it took and gets the rest; on another node it says what it has and gets the
difference; when neither is certain, a snapshot. A browser that does not read costs only itself: its queue is bounded, and when it is
full the connection is closed. All seats of a node are in hub.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from cti.db import AWAY
from cti.events import Event
from screenpop import board
from screenpop.heard import Recent
from screenpop.protocol import HAVE_MAX, Card, Message, Seat

log = structlog.get_logger(__name__)

HISTORY_MAX = 48  # pushed messages that a returning browser can catch up on; they have to fit into its queue
SOCKETS_MAX = 5  # of one agent at once; a further one closes the oldest
QUEUE_MAX = 64  # messages that wait for one browser
RETRY_S = 1.0  # after a look that failed, and up to as long again, so that not all seats look at once


def text_of(message: Message) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def state(degraded: Iterable[str], leader: bool) -> Message:
    """What of ours is away, and whether the browser that gets this one is the agent's leader."""
    return {"type": "state", "degraded": sorted(degraded), "leader": leader}


@dataclass
class Socket:
    """One browser's connection: messages to send, oldest first, some of them ready text. `slow` is set when they would not fit."""

    browser: str = ""  # whose socket it is, "" when it does not say
    queue: asyncio.Queue[Message | str] = field(default_factory=lambda: asyncio.Queue(QUEUE_MAX))
    slow: asyncio.Event = field(default_factory=asyncio.Event)
    seq_acked: int = 0
    active: bool = False  # somebody did something on the page since the sign-in was last checked
    told: frozenset[str] = frozenset()  # what is away, as this browser knows it

    def send(self, message: Message | str) -> None:
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            self.slow.set()


@dataclass(frozen=True)
class Look:
    """A seat as read at one moment; for each card the ids whose events concern it; and the devices' channels of its offers."""

    seat: Seat
    ids: dict[str, frozenset[str]]
    devices: frozenset[str] = frozenset()


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


class Floor(Protocol):
    """What a seat needs of the node it is on."""

    read: Read
    recent: Recent
    degraded: frozenset[str]

    def looked(self, seat: LiveSeat) -> None: ...
    def tell_seat(self, seat: LiveSeat, what: str) -> None: ...
    def unwritten_of(self, agent: str) -> Iterable[Card]: ...


class LiveSeat:
    """One agent's page, in all its tabs, on this node."""

    def __init__(self, owner: Owner, floor: Floor) -> None:
        self.owner = owner
        self.name = owner.seat
        self.epoch = secrets.token_urlsafe(12)
        self.seq = 0
        self.look: Look | None = None
        self.shown: Seat | None = None  # the look's, with what is not written yet: what the browsers have
        self.sockets: list[Socket] = []
        self.idle_since: float | None = None
        self._floor = floor
        self._history: deque[Message] = deque(maxlen=HISTORY_MAX)
        self._dirty: dict[str, board.Parts] = {}
        self._all_dirty = False
        self._failing = False
        self._wake = asyncio.Event()
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def has_call(self) -> bool:
        """Is there a call to take, to talk to or to write about?"""
        return self.shown is not None and any(card.state != "withdrawn" for card in self.shown.cards)

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
        """Mark what `event` concerns."""
        conversation = getattr(event, "conversation", None)
        shown = self.look.ids if self.look else {}
        if self.name in board.agents_of(event) and conversation and conversation not in shown:
            self.mark(conversation)
        for card, ids in shown.items():
            if parts := board.changed_parts(event, card, ids):
                self.mark(card, parts)

    async def attach(
        self,
        socket: Socket,
        epoch: str | None,
        seq: int | None,
        have: Mapping[str, str] | None = None,
        lists: str = "",
    ) -> None:
        """Bring a browser up to date and keep it so. `epoch` and `seq` are its last message, `have` and `lists` the etags of what it
        shows. Raises what the look raises (AWAY); the browser is not attached then."""
        if self.look is None:
            async with self._reading:
                if self.look is None:
                    await self._read_again(None)
        elif not self.sockets:
            self.mark(None)  # time went by and nobody looked
        # From here on nothing waits: what the browser is sent now, and what is pushed to it later, follow each other without a gap.
        self._replace([each for each in self.sockets if each.browser and each.browser == socket.browser])
        self._welcome(socket, epoch, seq, have, lists)
        self.sockets.append(socket)
        self.idle_since = None
        self._replace(self.sockets[:-SOCKETS_MAX])
        if len(self.sockets) == 1:
            self._floor.tell_seat(self, "attached")

    def _welcome(
        self, socket: Socket, epoch: str | None, seq: int | None, have: Mapping[str, str] | None, lists: str
    ) -> None:
        assert self.shown is not None
        missed = self._since(epoch, seq)
        leader = not self.sockets
        resumed = {"type": "resumed", "epoch": self.epoch, "seq": self.seq, "leader": leader, "changes": []}
        if missed is not None:
            socket.send(resumed)
            for message in missed:
                socket.send(message)
        elif epoch is not None and have is not None and len(have) < HAVE_MAX:
            socket.send(resumed | {"changes": board.difference(have, lists, self.shown)})
        else:
            socket.send(self.snapshot(leader))
        if self._floor.degraded or socket.told:
            self.tell(socket)

    def tell(self, socket: Socket) -> None:
        """Say to one browser what is away, and whether it leads."""
        socket.told = self._floor.degraded
        socket.send(state(socket.told, self.is_leader(socket)))

    def is_leader(self, socket: Socket) -> bool:
        return not self.sockets or self.sockets[0] is socket

    def detach(self, socket: Socket, now_s: float, *, left: bool = False) -> None:
        """A browser is gone; `left`: because somebody closed it."""
        if socket not in self.sockets:
            return
        self._remove(socket)
        if not self.sockets:
            self.idle_since = now_s
            self._floor.tell_seat(self, "left" if left else "lost")

    def _replace(self, sockets: list[Socket]) -> None:
        """These are over: their browser has another one now, or has too many."""
        for socket in sockets:
            self._remove(socket)
            socket.slow.set()

    def _remove(self, socket: Socket) -> None:
        led = self.is_leader(socket)
        self.sockets.remove(socket)
        if led and self.sockets:
            self.tell(self.sockets[0])

    def snapshot(self, leader: bool) -> Message:
        assert self.shown is not None
        return {
            "type": "snapshot", "v": 1, "epoch": self.epoch, "seq": self.seq, "leader": leader, "seat": board.plain(self.shown)
        }  # fmt: skip

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
                self._failing = False
            except Exception as error:  # noqa: BLE001  the end of this look; the seat tries again soon
                self._failed(error)
                with contextlib.suppress(*AWAY):
                    await self._look_at_agent()

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            log.error("hub.look_failed", seat=self.name, error=repr(error))
        self._failing = self._all_dirty = True
        pause_s = RETRY_S * (1 + random.random())
        asyncio.get_running_loop().call_later(pause_s, self._wake.set)

    async def _look_again(self) -> None:
        async with self._reading:
            only = None if self._all_dirty or self.look is None else self._dirty
            self._dirty, self._all_dirty = {}, False
            await self._read_again(only)

    async def _look_at_agent(self) -> None:
        """The switch still says how the agent's phone is, whatever became of the records."""
        async with self._reading:
            if self.look is not None:
                await self._read_again({})

    async def _read_again(self, only: Only) -> None:
        place = self._floor.recent.total
        self.look = await self._floor.read(self.owner, self.look, only)
        self._floor.looked(self)
        missed = self._floor.recent.since(place)
        if missed is None:
            self.mark(None)
        for event in missed or ():  # the look may have been too early for them
            self.hear(event)
        self.show()

    def show(self) -> None:
        """Push what the browsers do not have yet."""
        if self.look is None:
            return
        before, self.shown = self.shown, board.with_unwritten(self.look.seat, self._floor.unwritten_of(self.name))
        changes = board.changes(before, self.shown)
        if before is not None and changes:
            self._push(changes)

    def _push(self, changes: list[Message]) -> None:
        self.seq += 1
        message = {"type": "event", "seq": self.seq, "changes": changes}
        self._history.append(message)
        for socket in list(self.sockets):
            socket.send(message)
