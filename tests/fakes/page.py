"""A browser's page without a browser: it takes a seat's messages and applies them as the page's own code (_seat.ts) does."""

from __future__ import annotations

import json
from typing import Any

from screenpop.protocol import Message
from screenpop.seat import LiveSeat, Socket


class Page:
    def __init__(self, seat: LiveSeat) -> None:
        self.live = seat
        self.socket = Socket()
        self.seat: dict[str, Any] = {}
        self.epoch: str | None = None
        self.seq: int | None = None
        self.degraded: list[str] = []
        self.leader = False
        self.browser = ""
        self.taken: list[Message] = []

    async def open(self) -> Page:
        """Connect, or come back with the number of the last message that was taken, and with what is shown."""
        self.socket = Socket(self.browser)
        have = {card["id"]: card["etag"] for card in self.seat["cards"]} if self.seat else None
        await self.live.attach(self.socket, self.epoch, self.seq, have, self.seat.get("lists", ""))
        self.take_all()
        return self

    def leave(self) -> None:
        self.live.detach(self.socket, 0.0)

    def take_all(self) -> None:
        """Take what waits."""
        while not self.socket.queue.empty():
            self.take(self.socket.queue.get_nowait())

    async def until(self, pause_reason: str) -> None:
        """Take messages until the seat's agent is paused for this reason."""
        while self.seat["agent"]["pause_reason"] != pause_reason:
            self.take(await self.socket.queue.get())

    def take(self, said: Message | str) -> None:
        message: Message = json.loads(said) if isinstance(said, str) else said
        self.taken.append(message)
        self.leader = message.get("leader", self.leader)
        match message["type"]:
            case "snapshot":
                self.seat, self.epoch, self.seq = message["seat"], message["epoch"], message["seq"]
            case "resumed":
                self.epoch, self.seq = message["epoch"], message["seq"] if message["changes"] else self.seq
                self.seat = applied(self.seat, message["changes"])
            case "state":
                self.degraded = message["degraded"]
            case "event":
                assert self.seq is not None
                assert message["seq"] == self.seq + 1, f"expected message {self.seq + 1}, got {message['seq']}"
                self.seq = message["seq"]
                self.seat = applied(self.seat, message["changes"])


def applied(seat: dict[str, Any], changes: list[Message]) -> dict[str, Any]:
    """What `seat` is after these changes."""
    for change in changes:
        seat = _one(seat, change)
    return seat


def _one(seat: dict[str, Any], change: Message) -> dict[str, Any]:
    match change["part"]:
        case "seat":
            new: dict[str, Any] = change["seat"]
            return new
        case "card":
            rest = [card for card in seat["cards"] if card["id"] != change["card"]["id"]]
            return {**seat, "cards": sorted([*rest, change["card"]], key=_newest, reverse=True)}
        case "card_gone":
            return {**seat, "cards": [card for card in seat["cards"] if card["id"] != change["id"]]}
        case "agent":
            return {**seat, "agent": change["agent"]}
        case "lists":
            return {**seat, **{name: value for name, value in change.items() if name != "part"}}
    raise AssertionError(f"expected a part that the page knows, got {change['part']!r}")


def _newest(card: dict[str, Any]) -> tuple[str, str]:
    return card["offered_at"], card["id"]
