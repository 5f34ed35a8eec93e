"""A line that works without a switch: it plays into a list and presses the keys it was given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cti.line import Ask, Caller, Digits, HungUp, Silence, ToQueue

HANG_UP = "hang up"
OnPlay = Callable[[list[str]], Awaitable[None]]


async def nothing(names: list[str]) -> None:
    pass


class FakeLine:
    """`keys`: what is pressed at each ask; "" is silence, HANG_UP ends the call, and after the last one the caller is silent.

    `hang_up_at`: the caller hangs up as soon as a file whose name contains this is played. `on_play` is awaited with the names.
    """

    def __init__(self, *keys: str, hang_up_at: str = "", on_play: OnPlay = nothing) -> None:
        self.caller = Caller(channel="1795311706.4", did="+908501234567", raw="05325550123", name="")
        self.keys = list(keys)
        self.hang_up_at = hang_up_at
        self.on_play = on_play
        self.played: list[str] = []  # file names, in order
        self.asks: list[Ask] = []
        self.queued: ToQueue | None = None
        self.answered = False
        self.hung_up = False

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
        return Digits(keys) if keys else Silence()

    async def record(self, name: str, max_s: float, silence_s: float) -> float:
        return 0.0

    async def to_queue(self, to: ToQueue) -> None:
        self.queued = to

    async def hang_up(self) -> None:
        self.hung_up = True

    def heard(self, key: str) -> bool:
        """Whether a file whose name contains `key` was played."""
        return any(key in name for name in self.played)
