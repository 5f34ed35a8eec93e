"""A line that works without a switch: it plays into a list and presses the keys it was given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cti.line import Ask, Caller, Digits, HungUp, LineFailed, Silence, ToQueue

HANG_UP = "hang up"
UNRECORDED = "unrecorded"
OnPlay = Callable[[list[str]], Awaitable[None]]


async def nothing(names: list[str]) -> None:
    pass


class FakeLine:
    """`keys`: what is pressed at each ask; "" is silence, HANG_UP ends the call, and after the last one the caller is silent.

    `messages`: what he says at each recording, in seconds; 0.0 is nothing, HANG_UP ends the call while he speaks, UNRECORDED is a
    switch that could not, and after the last one he says nothing. `keys_ahead`: what was keyed before the next ask; it counts there.
    `hang_up_at`: the caller hangs up as soon as a file whose name contains this is played. `on_play` is awaited with the names.
    """

    def __init__(
        self, *keys: str, messages: Sequence[float | str] = (), hang_up_at: str = "", on_play: OnPlay = nothing
    ) -> None:
        self.caller = Caller(channel="1795311706.4", did="+908501234567", raw="05325550123", name="")
        self.keys = list(keys)
        self.keys_ahead = ""
        self.on_keyed: Callable[[str], None] = lambda keys: None  # hears `keyed` after each key
        self.messages = list(messages)
        self.hang_up_at = hang_up_at
        self.on_play = on_play
        self.played: list[str] = []  # file names, in order
        self.asks: list[Ask] = []
        self.recorded: list[str] = []  # names of the messages that the caller spoke, in order
        self.queued: ToQueue | None = None
        self.answered = False
        self.hung_up = False
        self.abandoned = False

    @property
    def keyed(self) -> str:
        return self.keys_ahead

    def key_ahead(self, keys: str) -> None:
        self.keys_ahead = keys + self.keys_ahead

    async def answer(self) -> None:
        self.answered = True

    async def play(self, media: Sequence[str]) -> None:
        names = [Path(each).name for each in media]
        self.played += names
        await self.on_play(names)
        if self.hang_up_at and any(self.hang_up_at in name for name in names):
            raise HungUp("hung up while a prompt was played")

    async def ask(self, media: Sequence[str], ask: Ask) -> Digits | Silence:
        await self.play(media)
        self.asks.append(ask)
        keys = self.keys.pop(0) if self.keys else ""
        if keys == HANG_UP:
            raise HungUp("hung up at a question")
        for key in keys:
            self.keys_ahead += key
            self.on_keyed(self.keys_ahead)
        keys, self.keys_ahead = self.keys_ahead, ""
        return Digits(keys) if keys else Silence()

    async def record(self, name: str, max_s: float, silence_s: float) -> float:
        said = self.messages.pop(0) if self.messages else 0.0
        if said == UNRECORDED:
            raise LineFailed(f"expected a recording {name}, the switch says: no such disk")
        if said:
            self.recorded.append(name)
        if said == HANG_UP:
            raise HungUp("hung up while a message was recorded")
        return min(float(said), max_s)

    async def to_queue(self, to: ToQueue) -> None:
        self.queued = to

    def abandon(self) -> None:
        self.abandoned = True

    async def hang_up(self) -> None:
        self.hung_up = True

    def heard(self, key: str) -> bool:
        """Whether a file whose name contains `key` was played."""
        return any(key in name for name in self.played)
