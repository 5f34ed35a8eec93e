"""Agents' pages as bare sockets that behave as browsers do: they come back by themselves, resume, and paint an offer once.

Each keeps what its page shows, from snapshots and changes, and a log of what it painted; at the end it opens a page anew and looks
whether that shows the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from benchmarks.chaos.evidence import SeatLife, SeatMoment
from cti import auth
from screenpop.protocol import SUBPROTOCOL, VERSION, Message

DISPOSITION = "information"
FRAME_BYTES_MAX = 4 << 20
DEAD_S = 8.0  # without any message: the line is dead
BACK_S = (0.05, 0.4)  # a browser comes back after so long, and after twice as long each time until BACK_MAX_S
BACK_MAX_S = 2.0
OPEN_MAX_S = 4.0
FRESH_MAX_S = 15.0
RINGS = frozenset({"offered", "talking"})  # states in which a page says that it has painted an offer


class Page:
    """What one browser shows: the messages of screenpop/protocol.py, folded."""

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.seq: int | None = None
        self.cards: dict[str, dict[str, Any]] = {}
        self.rest: dict[str, Any] = {}

    def take(self, message: Message) -> None:
        match message["type"]:
            case "snapshot":
                self.epoch = message["epoch"]
                self._seat(message["seat"])
            case "resumed":
                self.epoch = message["epoch"]
                self._changes(message.get("changes", ()))
            case "event":
                self._changes(message["changes"])
        self.seq = message.get("seq", self.seq)

    def hello(self) -> Message:
        have = {name: card["etag"] for name, card in self.cards.items() if card.get("etag")}
        more = {"have": have, "lists": self.rest.get("lists", "")} if have or self.rest.get("lists") else {}
        return {"type": "hello", "v": VERSION, "epoch": self.epoch, "seq": self.seq, "language": "tr", **more}

    def plain(self) -> dict[str, Any]:
        return {**self.rest, "cards": [self.cards[name] for name in sorted(self.cards)]}

    def _seat(self, seat: Mapping[str, Any]) -> None:
        self.cards = {card["id"]: card for card in seat["cards"]}
        self.rest = {name: value for name, value in seat.items() if name != "cards"}

    def _changes(self, changes: Any) -> None:
        for change in changes:
            match change["part"]:
                case "seat":
                    self._seat(change["seat"])
                case "card":
                    self.cards[change["card"]["id"]] = change["card"]
                case "card_gone":
                    self.cards.pop(change["id"], None)
                case "agent" | "lists":
                    self.rest.update({name: value for name, value in change.items() if name != "part"})


class _Line:
    """One connection. What it says once is said again on the next one: the word may have been lost with this one."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._said: set[str] = set()

    async def say(self, message: Message) -> None:
        await self._socket.send(json.dumps(message))

    async def say_once(self, message: Message) -> None:
        text = json.dumps(message)
        if text not in self._said:
            self._said.add(text)
            await self._socket.send(text)


class Desk:
    """One agent at his page. `run` until cancelled, then `told`."""

    def __init__(self, agent: str, host: str, cookie: str, seed: int) -> None:
        self.agent = agent
        self._host = host
        self._cookie = cookie
        self._chance = random.Random(seed)
        self._page = Page()
        self._painted: set[str] = set()
        self._withdrawn: set[str] = set()
        self._moments: list[SeatMoment] = []
        self._connected = False

    async def run(self) -> None:
        """Connected, again and again."""
        tries = 0
        while True:
            began = time.monotonic()
            with contextlib.suppress(OSError, TimeoutError, WebSocketException):
                async with self._connection() as socket:
                    await self._live(socket)
            if self._connected:
                self._note("lost")
            self._connected = False
            tries = 0 if time.monotonic() - began > DEAD_S else tries + 1
            await asyncio.sleep(min(BACK_MAX_S, self._chance.uniform(*BACK_S) * 2 ** min(tries, 4)))

    async def told(self) -> SeatLife:
        """After the run: his log, what his page shows and what a fresh one shows."""
        return SeatLife(
            agent=self.agent, moments=tuple(self._moments), shown=self._page.plain() if self._page.epoch else None,
            fresh=await self._fresh(),
        )  # fmt: skip

    def _connection(self) -> connect:
        headers = {"Cookie": f"{auth.cookie_name('http')}={self._cookie}", "Origin": f"http://{self._host}"}
        return connect(
            f"ws://{self._host}/api/v1/stream", additional_headers=headers, subprotocols=[Subprotocol(SUBPROTOCOL)],
            proxy=None, compression=None, max_size=FRAME_BYTES_MAX, open_timeout=OPEN_MAX_S, ping_interval=None,
            close_timeout=1,
        )  # fmt: skip

    async def _live(self, socket: ClientConnection) -> None:
        line = _Line(socket)
        await line.say(self._page.hello())
        while True:
            async with asyncio.timeout(DEAD_S):
                message = json.loads(await socket.recv())
            self._page.take(message)
            match message["type"]:
                case "ping":
                    await line.say({"type": "pong", "seq": self._page.seq or 0})
                case "snapshot" | "resumed":
                    self._connected = True
                    self._note("connected")
                case "move":
                    self._note("moved")
                    await asyncio.sleep(message.get("after_ms", 0) / 1000)
                    return
            await self._act(line)

    async def _act(self, line: _Line) -> None:
        """Paint what is new, see what was withdrawn, and wrap up what is over."""
        for card in list(self._page.cards.values()):
            offer, state = card["offer"], card["state"]
            if state in RINGS:
                if offer not in self._painted:
                    self._painted.add(offer)
                    self._note("painted", offer)
                await line.say_once({"type": "painted", "offer": offer, "ms": 0})
            if state == "withdrawn" and offer not in self._withdrawn:
                self._withdrawn.add(offer)
                self._note("withdrawn", offer)
            if state == "wrap_up" and self._page.rest["agent"]["paused"]:
                await line.say_once({
                    "type": "command", "name": "wrap_up", "conversation": card["id"], "value": DISPOSITION,
                    "key": f"wrap-up-{card['id']}",
                })  # fmt: skip

    async def _fresh(self) -> dict[str, Any] | None:
        """What a page opened now shows; None when none can be opened."""
        page = Page()
        with contextlib.suppress(OSError, TimeoutError, WebSocketException):
            async with asyncio.timeout(FRESH_MAX_S), self._connection() as socket:
                await _Line(socket).say(page.hello())
                while page.epoch is None:
                    page.take(json.loads(await socket.recv()))
                return page.plain()
        return None

    def _note(self, what: str, offer: str = "") -> None:
        self._moments.append(SeatMoment(at=time.time(), what=what, offer=offer))
