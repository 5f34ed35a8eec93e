"""What one caller does: reports a fault by keys, writes the number down, goes to the queue, talks, hangs up.

He is no clock: he presses a key when he hears the prompt that asks for it, again when it is said again, and remembers everything.
Prompts are tones (cti/demo/tones.py), so that he knows which one he hears.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.chaos.evidence import CallLife, Moment, Silence
from cti.demo import rtp, tones
from cti.demo.callers import Callers, CallOver, LiveCall, NotAnswered
from cti.demo.hearing import Tone, digit_runs

FLOW_MAX_S = 60.0  # then he gives up
WAITS_S = (8.0, 14.0)  # in the queue, for an agent; then he hangs up
TALK_MAX_S = 20.0
REACTS_S = (0.15, 0.45)
LISTENS_S = 0.05  # how often he asks himself what he has heard
MESSAGE_S = 1.2  # shorter than the silence that would count as dead air
NUMBER_DIGITS = 6  # of a whole ticket number; a shorter run was cut off
RUN_OVER_S = 1.0
HIS_VOICE = rtp.tone(450, 3000, 1.0)

# Tone of a prompt -> the key that he presses when he hears it; `message` asks for words instead.
KEYS: Mapping[str, str] = {
    "menu": "1", "restarted": "1", "degraded": "1", "after_ticket": "0", "anything_else": "0", "message_menu": "0",
}  # fmt: skip


class Clock(Protocol):
    """The loop's clock in seconds, as seconds since the epoch."""

    def __call__(self, loop_s: float) -> float: ...


def wall_clock() -> Clock:
    """Made once, so that one step of the machine's clock moves nothing."""
    ahead_s = time.time() - asyncio.get_running_loop().time()
    return lambda loop_s: loop_s + ahead_s


@dataclass
class _Memory:
    """What he has noticed until now."""

    moments: list[Moment] = field(default_factory=list)
    noticed: int = 0  # tones that he has thought about
    numbers: int = 0  # runs of digits that he has written down
    queued_at_s: float | None = None
    talking_at_s: float | None = None


class Caller:
    """One call of one number. `chance` is his own, so that the same seed gives the same patience."""

    def __init__(self, callers: Callers, number: str, chance: random.Random, clock: Clock) -> None:
        self._callers = callers
        self._number = number
        self._chance = chance
        self._clock = clock
        self._memory = _Memory()
        self._waits_s = chance.uniform(*WAITS_S)

    async def live(self) -> CallLife:
        """Call, and tell afterwards. Whatever happens to the call is an outcome, not an error."""
        loop = asyncio.get_running_loop()
        placed_s = loop.time()
        try:
            call = await self._callers.dial(self._number)
        except NotAnswered:
            return self._life(placed_s, loop.time(), "refused")
        try:
            await self._listen(call)
        except CallOver:
            pass
        finally:
            await call.hang_up()
        self._write_down(call, all_of_it=True)
        self._remember_tones(call)
        return self._told(call, placed_s)

    async def _listen(self, call: LiveCall) -> None:
        """Until he or the other side has had enough."""
        loop = asyncio.get_running_loop()
        while call.ended_by is None and not self._has_enough(call, loop.time()):
            for tone in self._remember_tones(call):
                await self._react(call, tone)
            self._write_down(call)
            await asyncio.sleep(LISTENS_S)

    def _has_enough(self, call: LiveCall, now_s: float) -> bool:
        memory = self._memory
        if memory.talking_at_s is not None:
            return now_s - memory.talking_at_s > TALK_MAX_S
        if memory.queued_at_s is not None:
            return now_s - memory.queued_at_s > self._waits_s
        if now_s - call.answered_at_s <= FLOW_MAX_S:
            return False
        self._note(now_s, "gave_up", f"not in the queue after {FLOW_MAX_S:g} s")
        return True

    def _remember_tones(self, call: LiveCall) -> list[Tone]:
        """Prompts that began since he last thought about it; digits are written down elsewhere."""
        fresh = [each for each in call.tones[self._memory.noticed :] if not each.name.startswith(tones.DIGIT)]
        self._memory.noticed = len(call.tones)
        for each in fresh:
            self._note(each.begin_s, "heard", each.name)
            self._understand(each)
        return fresh

    def _understand(self, tone: Tone) -> None:
        memory = self._memory
        if tone.name in tones.QUEUE_TONES and memory.queued_at_s is None:
            memory.queued_at_s = tone.begin_s
        if tone.name == tones.AGENT and memory.queued_at_s is not None and memory.talking_at_s is None:
            memory.talking_at_s = tone.begin_s

    async def _react(self, call: LiveCall, tone: Tone) -> None:
        if tone.name == "message":
            await self._leave_message(call)
        elif key := KEYS.get(tone.name):
            await asyncio.sleep(self._chance.uniform(*REACTS_S))
            await self._press(call, key)

    async def _press(self, call: LiveCall, key: str) -> None:
        self._note(asyncio.get_running_loop().time(), "pressed", key)
        await call.press(key)

    async def _leave_message(self, call: LiveCall) -> None:
        await call.until_quiet(0.2, timeout_s=FLOW_MAX_S)
        call.speak(HIS_VOICE)
        await asyncio.sleep(MESSAGE_S)
        call.speak(b"")
        await self._press(call, "#")

    def _write_down(self, call: LiveCall, *, all_of_it: bool = False) -> None:
        """Whole numbers that were read out to their end."""
        runs = digit_runs(call.tones)
        last = call.tones[-1] if call.tones else None
        over = all_of_it or last is None or not last.name.startswith(tones.DIGIT)
        now_s = asyncio.get_running_loop().time()
        done = runs if over or (last and now_s - last.end_s > RUN_OVER_S) else runs[:-1]
        for run in done[self._memory.numbers :]:
            self._note(now_s, "number" if len(run) >= NUMBER_DIGITS else "part of a number", run)
        self._memory.numbers = max(self._memory.numbers, len(done))

    def _note(self, at_s: float, what: str, value: str) -> None:
        self._memory.moments.append(Moment(at=self._clock(at_s), what=what, value=value))

    def _told(self, call: LiveCall, placed_s: float) -> CallLife:
        ended_s = call.ended_at_s or asyncio.get_running_loop().time()
        if call.end_reason:
            self._note(ended_s, "was told", call.end_reason)
        by = "caller" if call.ended_by == "us" else "switch"
        silences = tuple(Silence(began_at=self._clock(gap.begin_s), lasted_s=gap.long_s) for gap in call.gaps)
        return self._life(placed_s, ended_s, by, answered_s=call.answered_at_s, silences=silences)

    def _life(
        self,
        placed_s: float,
        ended_s: float,
        by: str,
        *,
        answered_s: float | None = None,
        silences: tuple[Silence, ...] = (),
    ) -> CallLife:
        return CallLife(
            caller=self._number, placed_at=self._clock(placed_s), ended_at=self._clock(ended_s), ended_by=by,
            answered_at=None if answered_s is None else self._clock(answered_s), silences=silences,
            moments=tuple(sorted(self._memory.moments, key=lambda each: each.at)),
        )  # fmt: skip


async def crowd(callers: Callers, numbers: list[str], *, rate: float, seed: int, clock: Clock) -> list[CallLife]:
    """All of them, `rate` in a second, each whatever happens to the others."""
    chance = random.Random(seed)
    loop, began_s = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    tasks: list[asyncio.Task[CallLife]] = []
    for place, number in enumerate(numbers):
        await asyncio.sleep(max(0.0, began_s + place / rate - loop.time()))
        one = Caller(callers, number, random.Random(chance.random()), clock)
        tasks.append(asyncio.create_task(one.live(), name=f"caller-{number}"))
    return list(await asyncio.gather(*tasks))
