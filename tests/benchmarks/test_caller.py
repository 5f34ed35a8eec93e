"""A caller reacts to what he hears, and remembers it."""

from __future__ import annotations

import asyncio
import random
from typing import cast

import pytest

from benchmarks.chaos import caller
from benchmarks.chaos.caller import Caller
from cti.demo.callers import Callers, CallOver, NotAnswered
from cti.demo.hearing import Gap, Tone

NUMBER = "05302000001"
TICKET = "100004"
LIMIT_S = 5.0


class Exchange:
    """Answers, plays a prompt, and the next one when the key that it waits for is pressed; hangs up after the last one."""

    def __init__(self, *script: tuple[str, str]) -> None:
        self.script = list(script)
        self.tones: list[Tone] = []
        self.gaps: list[Gap] = []
        self.keys = ""
        self.ended_by: str | None = None
        self.ended_at_s: float | None = None
        self.end_reason = ""
        self.answered_at_s = self._now()

    async def dial(self, number: str) -> Exchange:
        if not self.script:
            raise NotAnswered(503)
        self.play()
        return self

    async def press(self, keys: str) -> None:
        if self.ended_by:
            raise CallOver("a key", self.ended_by)
        self.keys += keys
        if keys == self.script[0][1]:
            self.script.pop(0)
            self.play()

    def play(self) -> None:
        """Everything up to a prompt that asks for a key."""
        while self.script:
            name, key = self.script[0]
            if name.isdigit():
                for digit in name:
                    self._sound(f"digit-{digit}")
            elif name == "hang up":
                self.ended_by, self.ended_at_s, self.end_reason = "them", self._now(), "Q.850;cause=16"
            else:
                self._sound(name)
            if key:
                return
            self.script.pop(0)

    def speak(self, sound: bytes) -> None:
        """His voice is not heard here."""

    async def until_quiet(self, quiet_s: float, timeout_s: float) -> None:
        """The prompt is over at once."""

    async def hang_up(self) -> None:
        if self.ended_by is None:
            self.ended_by, self.ended_at_s = "us", self._now()

    def _sound(self, name: str) -> None:
        """It is over as soon as it has begun: nobody waits for it here."""
        self.tones.append(Tone(name, self._now(), self._now()))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "REACTS_S", (0.0, 0.0))
    monkeypatch.setattr(caller, "LISTENS_S", 0.001)
    monkeypatch.setattr(caller, "MESSAGE_S", 0.001)
    monkeypatch.setattr(caller, "WAITS_S", (0.05, 0.05))


async def lived(exchange: Exchange) -> tuple[str, list[tuple[str, str]]]:
    async with asyncio.timeout(LIMIT_S):
        one = Caller(cast(Callers, exchange), NUMBER, random.Random(1), clock=lambda loop_s: loop_s)
        life = await one.live()
    return life.ended_by, [(each.what, each.value) for each in life.moments]


async def test_he_reports_a_fault_writes_the_number_down_and_hangs_up_when_nobody_comes():
    exchange = Exchange(
        ("welcome", ""),
        ("menu", "1"),
        ("restarted", "1"),
        ("opened", ""),
        (TICKET, ""),
        ("after_ticket", "0"),
        ("hold", ""),
    )
    ended_by, moments = await lived(exchange)
    assert ended_by == "caller"
    assert exchange.keys == "110"
    assert ("number", TICKET) in moments
    assert [value for what, value in moments if what == "heard"] == [
        "welcome", "menu", "restarted", "opened", "after_ticket", "hold",
    ]  # fmt: skip


async def test_he_presses_again_when_he_is_asked_again():
    exchange = Exchange(("menu", "1"), ("resumed", ""), ("menu", "1"), ("hang up", ""))
    ended_by, moments = await lived(exchange)
    assert ended_by == "switch"
    assert exchange.keys == "11"
    assert ("was told", "Q.850;cause=16") in moments


async def test_a_number_that_was_cut_off_is_no_number():
    _, moments = await lived(Exchange(("1000", ""), ("resumed", ""), (TICKET, ""), ("hang up", "")))
    assert [each for each in moments if "number" in each[0]] == [("part of a number", "1000"), ("number", TICKET)]


async def test_asked_for_words_he_speaks_and_ends_with_hash():
    exchange = Exchange(
        ("degraded", "1"), ("message", "#"), ("message_kept", ""), ("message_menu", "0"), ("hang up", "")
    )
    await lived(exchange)
    assert exchange.keys == "1#0"


async def test_whom_nobody_answers_is_refused():
    assert await lived(Exchange()) == ("refused", [])


async def test_he_gives_up_a_flow_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(caller, "FLOW_MAX_S", 0.05)
    ended_by, moments = await lived(Exchange(("welcome", "never")))
    assert (ended_by, moments[-1][0]) == ("caller", "gave_up")
