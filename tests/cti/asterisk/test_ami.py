"""The manager's door: what goes out is one action, what comes in cannot fool it, and a gap is closed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.asterisk.ami import BLOCK_BYTES_MAX, Ami, AmiDown, AmiRefused, Blocks, Suspicious, encode, parse
from cti.asterisk.wire import Unsafe
from cti.line import DeviceRinging, Fact, MemberChanged, QueueJoined
from tests.fakes.asterisk_ami import FakeAmi

DATA = Path(__file__).parent / "data"


def captured(name: str) -> list[str]:
    text = (DATA / f"{name}.txt").read_text(encoding="utf-8")
    return [block.replace("\n", "\r\n") for block in text.split("\n\n") if block.strip()]


class Told:
    """What the door tells; `await until(kind, count)` waits for it."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.resyncs: list[frozenset[str]] = []
        self.suspicious: list[str] = []
        self._news = asyncio.Event()

    def fact(self, fact: Fact) -> None:
        self.facts.append(fact)
        self._news.set()

    def resync(self, channels: frozenset[str]) -> None:
        self.resyncs.append(channels)
        self._news.set()

    async def until(self, kind: type[Fact], count: int = 1) -> list[Fact]:
        async with asyncio.timeout(5):
            while len(found := [fact for fact in self.facts if isinstance(fact, kind)]) < count:
                self._news.clear()
                await self._news.wait()
        return found


@contextlib.asynccontextmanager
async def door(switch: FakeAmi) -> AsyncIterator[tuple[Ami, Told]]:
    told = Told()
    ami = Ami(
        "127.0.0.1",
        switch.port,
        "santral",
        "secret",
        on_fact=told.fact,
        on_resync=told.resync,
        on_suspicious=told.suspicious.append,
        clock=lambda: 100.0,
    )
    running = asyncio.create_task(ami.run())
    try:
        async with asyncio.timeout(5):
            await ami.connected.wait()
        yield ami, told
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_captured_call_arrives_as_facts():
    async with FakeAmi() as switch, door(switch) as (_, told):
        for block in captured("answered_elsewhere"):
            switch.say(block + "\r\n\r\n")
        ringing = await told.until(DeviceRinging, 2)
        assert [fact.read_at_s for fact in ringing] == [100.0, 100.0]


async def test_block_may_come_byte_by_byte_even_inside_a_letter():
    async with FakeAmi() as switch, door(switch) as (_, told):
        for byte in "Event: QueueCallerJoin\r\nUniqueid: 7.1\r\nQueue: destek\r\nCallerIDNum: Şule\r\n\r\n".encode():
            switch.say(bytes([byte]))
        joined = (await told.until(QueueJoined))[0]
        assert isinstance(joined, QueueJoined)
        assert (joined.channel, joined.queue, joined.number_raw) == ("7.1", "destek", "Şule")


async def test_event_named_twice_in_a_block_is_dropped_and_counted():
    async with FakeAmi() as switch, door(switch) as (ami, told):
        switch.say("Event: Hangup\r\nUniqueid: 7.1\r\nEvent: AgentCalled\r\nDestUniqueid: 7.2\r\n\r\n")
        switch.say("Event: Newexten\r\nAppData: x\r\nEvent: AgentCalled\r\nDestUniqueid: 7.2\r\n\r\n")
        switch.say("Event: QueueCallerJoin\r\nUniqueid: 7.3\r\n\r\n")
        await told.until(QueueJoined)
        assert len(told.facts) == 1
        assert ami.suspicious == len(told.suspicious) == 2


async def test_first_value_of_a_key_counts():
    async with FakeAmi() as switch, door(switch) as (_, told):
        switch.say("Event: QueueCallerJoin\r\nUniqueid: 7.1\r\nUniqueid: 9.9\r\nQueue: a\r\nQueue: b\r\n\r\n")
        joined = (await told.until(QueueJoined))[0]
        assert isinstance(joined, QueueJoined)
        assert (joined.channel, joined.queue) == ("7.1", "a")


async def test_answers_find_their_actions_whatever_the_order():
    async with FakeAmi() as switch, door(switch) as (ami, _):
        answers = await asyncio.gather(
            *(ami.action("Ping") for _ in range(50)), ami.queue_pause("PJSIP/ali", True, "mola")
        )
        assert len(answers) == 51
        await switch.asked("QueuePause")
        pause = next(each for each in switch.actions if each["Action"] == ["QueuePause"])
        assert (pause["Interface"], pause["Paused"], pause["Reason"]) == (["PJSIP/ali"], ["true"], ["mola"])


async def test_refusal_is_told_with_the_switchs_words():
    async with FakeAmi() as switch, door(switch) as (ami, _):
        switch.refused.add("QueuePause")
        with pytest.raises(AmiRefused, match="Not today"):
            await ami.queue_pause("PJSIP/ali", True, "mola")


async def test_lost_connection_fails_what_is_under_way_and_sends_nothing_twice():
    async with FakeAmi() as switch, door(switch) as (ami, _):
        switch.silent.add("QueuePause")
        pausing = asyncio.create_task(ami.queue_pause("PJSIP/ali", True, "mola"))
        await switch.asked("QueuePause")
        switch.drop()
        with pytest.raises(AmiDown, match="may have run"):
            await pausing
        await switch.asked("CoreShowChannels", times=2)
        assert sum(each["Action"] == ["QueuePause"] for each in switch.actions) == 1
        assert switch.logins == 2


async def test_gap_is_closed_with_the_present_state_after_each_connect():
    async with FakeAmi() as switch:
        status = captured("queue_status")
        switch.lists["QueueStatus"] = [block for block in status if "CoreShow" not in block and "Complete" not in block]
        switch.lists["CoreShowChannels"] = [block for block in status if block.startswith("Event: CoreShowChannel\r\n")]
        async with door(switch) as (ami, told):
            assert told.resyncs == [frozenset({"1795321144.16", "1795321145.17"})]
            members = [fact for fact in told.facts if isinstance(fact, MemberChanged)]
            assert [(each.agent, each.paused) for each in members] == [("ali", True), ("bora", False)]
            joined = [replace(fact, reconstructed=False) for fact in told.facts if isinstance(fact, QueueJoined)]
            assert await ami.queue_status() == (members, joined)
            switch.drop()
            await told.until(MemberChanged, 4)
            ringing = await told.until(DeviceRinging)
            assert len(ringing) == 1  # it rang before the gap and still does: nothing new


async def test_not_connected_means_not_sent():
    ami = Ami("127.0.0.1", 9, "santral", "secret", on_fact=lambda fact: None)
    with pytest.raises(AmiDown, match="nothing was sent"):
        await ami.action("Ping")


def test_block_that_is_too_long_is_dropped_and_the_next_one_is_read():
    blocks = Blocks()
    assert blocks.feed(b"x" * (BLOCK_BYTES_MAX + 5)) == []
    assert blocks.feed(b"y" * BLOCK_BYTES_MAX) == []
    assert blocks.feed(b"z\r\n\r\nEvent: A\r\n\r\nEv") == [b"Event: A"]
    assert blocks.feed(b"ent: B\r\n\r\n") == [b"Event: B"]
    assert blocks.dropped == 1


def test_block_that_is_too_long_in_one_piece_is_dropped_too():
    blocks = Blocks()
    assert blocks.feed(b"x" * (BLOCK_BYTES_MAX + 5) + b"\r\n\r\nEvent: A\r\n\r\n") == [b"Event: A"]
    assert blocks.dropped == 1


@given(st.lists(st.binary(max_size=40)), st.data())
def test_blocks_do_not_depend_on_how_the_bytes_were_cut(parts, data):
    stream = b"\r\n\r\n".join(parts) + b"\r\n\r\n"
    blocks, cut = Blocks(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        cut += blocks.feed(stream[:size])
        stream = stream[size:]
    assert cut == Blocks().feed(b"\r\n\r\n".join(parts) + b"\r\n\r\n")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_suspicious(block):
    with contextlib.suppress(Suspicious):
        assert all(isinstance(value, str) for values in parse(block).values() for value in values)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_exactly_one_action_or_refused(name, key, value):
    try:
        frame = encode(name, "1", {key: value})
    except Unsafe:
        return
    assert frame.count(b"\r\n\r\n") == 1
    assert frame.endswith(b"\r\n\r\n")
    lines = frame[:-4].split(b"\r\n")
    assert len(lines) == 3
    assert lines[2] == f"{key}: {value}".encode()
    assert not any(breaker in frame[:-4].replace(b"\r\n", b"") for breaker in (b"\r", b"\n", b"\0"))


@pytest.mark.parametrize("value", ["a\r\n\r\nAction: Command", "a\nAction: Command", "a\0b"])
def test_second_action_cannot_hide_in_a_value(value):
    with pytest.raises(Unsafe):
        encode("QueuePause", "1", {"Reason": value})
