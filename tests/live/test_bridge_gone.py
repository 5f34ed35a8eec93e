"""The last line of service: the bridge is paused or not there, and callers reach the queue all the same."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from cti import ledger
from cti.asterisk import pbx
from cti.asterisk.ami import Ami
from cti.asterisk.plan import Pbx
from cti.config import Settings
from cti.db import Database
from cti.demo.carrier import Call, Carrier
from cti.events import CallArrived, CallEnded, CallQueued, Event, FlowHeard, FlowStarted, TicketOpened
from cti.line import Fact, QueueJoined
from tests.live import site as live
from tests.live.site import LIMIT_S, STRANGER

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

REACHED_S = 1.0  # after the claim time-out
HEARD_S = 2.0  # of the announcement, to be sure that it is the announcement
RATE_HZ = 8000


@dataclass
class Alone:
    """The switch with its carrier, and somebody who reads along who joins a queue. No phones: callers wait."""

    settings: Settings
    plan: Pbx
    carrier: Carrier
    joined: dict[str, float] = field(default_factory=dict)  # the caller's number -> when, on the loop's clock
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, fact: Fact) -> None:
        if isinstance(fact, QueueJoined):
            self.joined.setdefault(fact.number_raw, asyncio.get_running_loop().time())
            self._news.set()

    async def until_joined(self, number: str) -> float:
        async with asyncio.timeout(LIMIT_S):
            while number not in self.joined:
                self._news.clear()
                await self._news.wait()
        return self.joined[number]

    @property
    def claim_s(self) -> float:
        return self.plan.claim_timeout_ms / 1000

    async def answered_by_fallback(self, number: str, folder: Path) -> None:
        """A call from `number`: in the queue soon enough, and what he hears is the announcement."""
        async with await self.carrier.dial(number) as call:
            await self.reaches_the_queue(call, number)
            await self.hears_the_announcement(call, folder)

    async def reaches_the_queue(self, call: Call, number: str) -> None:
        begun = asyncio.get_running_loop().time()
        assert await call.answered()
        answered = asyncio.get_running_loop().time()
        joined = await self.until_joined(number)
        assert answered - begun < self.claim_s + REACHED_S
        assert joined - answered < REACHED_S

    async def hears_the_announcement(self, call: Call, folder: Path) -> None:
        await call.ear.until_voice(since_s=0.0)
        assert await call.stays(HEARD_S + 1.0)
        heard = call.ear.wav(folder / "heard.wav")
        likeness = alike(heard, self.settings.prompts / "fallback_tr.wav")
        assert likeness > 0.8, f"expected the announcement, its likeness to what was heard is {likeness:.2f}"


def samples(path: Path) -> np.ndarray:
    with wave.open(str(path), "rb") as file:
        assert file.getframerate() == RATE_HZ
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(float)


def alike(heard: Path, prompt: Path) -> float:
    """How much the beginning of `prompt` is in `heard`, wherever it begins: 0 not at all, 1 sample by sample."""
    wanted = samples(prompt)[: int(HEARD_S * RATE_HZ)]
    sound = samples(heard)
    found = np.correlate(sound, wanted, mode="valid")
    energy = np.convolve(sound**2, np.ones(len(wanted)), mode="valid")
    return float(np.max(found / np.sqrt(np.maximum(energy, 1.0) * np.sum(wanted**2))))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory, company: Path) -> AsyncIterator[Alone]:
    # A bridge takes seconds to start on a busy machine: the dead-man's switch (test_takeover.py) waits for it here.
    settings = live.settings_in(tmp_path_factory.mktemp("alone"), dead_man_s=20.0)
    async with live.switch(settings, company, tapped=False) as plan:
        made = Alone(settings, plan, live.carrier_of(settings))
        known = pbx.keep_secrets(plan)
        ami = Ami("127.0.0.1", plan.ami_port, known.user, known.ami, on_fact=made.note)
        reading = asyncio.create_task(ami.run())
        async with asyncio.timeout(LIMIT_S):
            await ami.connected.wait()
        yield made
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


@contextlib.asynccontextmanager
async def bridge(alone: Alone) -> AsyncIterator[asyncio.subprocess.Process]:
    """`santral serve` in a process of its own, ready for calls."""
    known, settings = pbx.keep_secrets(alone.plan), alone.settings
    chosen = {
        "data_dir": settings.data_dir, "tools_dir": settings.tools, "http_port": settings.http_port,
        "ari_port": alone.plan.http_port, "ami_port": alone.plan.ami_port, "agi_port": settings.agi_port,
        "ari_password": known.ari, "ami_password": known.ami, "dead_man_s": settings.dead_man_s,
    }  # fmt: skip
    environment = os.environ | {f"SANTRAL_{name.upper()}": str(value) for name, value in chosen.items()}
    log = settings.data_dir / "bridge.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cti", "serve"), cwd=live.ROOT, env=environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=errors,
        )  # fmt: skip
    try:
        reading = asyncio.create_task(_until_ready(process))
        await asyncio.wait_for(asyncio.shield(reading), LIMIT_S)
        assert process.returncode is None, log.read_text()
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        await asyncio.wait_for(process.communicate(), LIMIT_S)


async def _until_ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if line.startswith(b"santral: ready"):
            return


async def told(database: Database, call: Call, number: str, kind: type[Event]) -> Event:
    """The first event of this kind about a conversation with `number`, while the caller stays on the line."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            recorded = await database.read(ledger.since, 0, 10_000)
            ids = {
                each.conversation
                for each in recorded
                if isinstance(each.event, CallArrived) and each.event.number == number
            }
            for each in recorded:
                if each.conversation in ids and isinstance(each.event, kind):
                    return each.event
            await call.stays(0.1)


async def pressed_until_told(database: Database, call: Call, key: str, kind: type[Event]) -> Event:
    """Press `key` whenever the line is quiet, until this kind of event is there."""
    hearing = asyncio.create_task(told(database, call, "+905325550123", kind))
    while not hearing.done():
        await call.press_each([key])
        await asyncio.wait([hearing], timeout=1.0)
    return await hearing


async def test_no_bridge_is_running_and_the_caller_hears_the_announcement_in_the_queue(
    alone: Alone, tmp_path: Path
) -> None:
    await alone.answered_by_fallback("+905421110001", tmp_path)


async def test_bridge_is_paused_and_knows_afterwards_who_waited_meanwhile(alone: Alone, tmp_path: Path) -> None:
    database = Database(alone.settings.database)
    async with bridge(alone) as process:
        process.send_signal(signal.SIGSTOP)
        await alone.answered_by_fallback("+905421110002", tmp_path)
        async with await alone.carrier.dial("+905421110003") as waiting:
            await alone.reaches_the_queue(waiting, "+905421110003")
            process.send_signal(signal.SIGCONT)
            arrived = await told(database, waiting, "+905421110003", CallArrived)
            queued = await told(database, waiting, "+905421110003", CallQueued)
        assert isinstance(arrived, CallArrived)
        assert isinstance(queued, CallQueued)
        assert (arrived.claimed, queued.by, queued.queue) == (False, "fallback", alone.plan.default_queue)
        async with await alone.carrier.dial(STRANGER) as next_one:
            assert await next_one.answered()
            await next_one.press_each(["0"], within_s=0.3)
            claimed = await told(database, next_one, "+905425559999", CallArrived)
            by_keys = await told(database, next_one, "+905425559999", CallQueued)
            assert isinstance(claimed, CallArrived)
            assert isinstance(by_keys, CallQueued)
            assert (claimed.claimed, by_keys.by) == (True, "flow")
            await told(database, next_one, "+905421110003", CallEnded)
    await database.close()


async def test_caller_goes_on_where_he_was_when_the_killed_bridge_is_back(alone: Alone) -> None:
    database = Database(alone.settings.database)
    async with contextlib.AsyncExitStack() as stack:
        async with bridge(alone) as process:
            caller = await stack.enter_async_context(await alone.carrier.dial("05325550123"))
            assert await caller.answered()
            await caller.press_each(["1"], within_s=0.3)
            await told(database, caller, "+905325550123", FlowHeard)
            process.kill()
            await process.wait()
        async with bridge(alone):
            opened = await pressed_until_told(database, caller, "1", TicketOpened)  # keys of the gap itself are lost
            assert isinstance(opened, TicketOpened)
            told_now = [each.event for each in await database.read(ledger.of_conversation, opened.conversation or "")]
            answered = [each.node for each in told_now if isinstance(each, FlowHeard) and each.digits]
            assert answered[:2] == ["menu", "restarted"], "he was not asked again what he had answered"
            assert sum(isinstance(each, FlowStarted) for each in told_now) == 1
    await database.close()


async def test_bridge_that_was_ended_leaves_the_switch_to_serve_alone(alone: Alone, tmp_path: Path) -> None:
    async with bridge(alone) as process:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), LIMIT_S) == 0
        await alone.answered_by_fallback("+905421110004", tmp_path)
