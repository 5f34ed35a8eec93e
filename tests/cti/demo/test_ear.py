"""Two ears that talk to one another over loopback: no telephone, no exchange."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cti.demo import rtp
from cti.demo.ear import Ear


@pytest_asyncio.fixture
async def ears() -> AsyncIterator[tuple[Ear, Ear]]:
    async with Ear("127.0.0.1") as one, Ear("127.0.0.1") as other:
        one.connect("127.0.0.1", other.port)
        other.connect("127.0.0.1", one.port)
        yield one, other


async def test_a_prompt_has_ended_when_it_has_been_quiet_for_a_while(ears: tuple[Ear, Ear], tmp_path: Path) -> None:
    one, other = ears
    one.speak()
    await other.until_voice()
    one.speak(b"")
    await other.until_silent(quiet_s=0.2, timeout_s=5)
    assert other.quiet_s >= 0.2
    assert 0 < other.voice_s < 3
    assert other.gaps()[0] >= 0.2
    await other.close()
    with wave.open(str(other.wav(tmp_path / "heard.wav"))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        assert max(file.readframes(file.getnframes())) > 0


async def test_silence_alone_is_not_the_end_of_a_prompt(ears: tuple[Ear, Ear]) -> None:
    _, other = ears
    with pytest.raises(TimeoutError):
        await other.until_silent(quiet_s=0.05, timeout_s=0.3)


async def test_keys_arrive_as_events_with_one_time_stamp_each() -> None:
    """What a switch sees: payload type 101, and each key's packets under the stamp of its beginning (RFC 4733)."""
    seen: list[rtp.Packet] = []

    class Switch(Ear):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            seen.append(rtp.read(data))
            super().datagram_received(data, addr)

    async with Switch("127.0.0.1") as switch, Ear("127.0.0.1") as ear:
        ear.connect("127.0.0.1", switch.port)
        await ear.press("1#")
        ear.speak()
        await switch.until_voice()
    keys = [packet for packet in seen if packet.payload_type == 101]
    by_stamp = {stamp: {p.payload[0] for p in keys if p.timestamp == stamp} for stamp in {p.timestamp for p in keys}}
    assert [by_stamp[stamp] for stamp in sorted(by_stamp)] == [{1}, {11}]
    assert [packet.sequence for packet in seen] == list(range(len(seen)))


async def test_without_a_call_there_are_no_keys() -> None:
    async with Ear("127.0.0.1") as ear:
        with pytest.raises(ConnectionError, match="expected an answered call"):
            await ear.press("1")


async def test_garbage_on_the_port_is_not_heard(ears: tuple[Ear, Ear]) -> None:
    one, other = ears
    other.datagram_received(b"GET / HTTP/1.1", ("127.0.0.1", 1))
    assert other.voices == []
    one.speak()
    await other.until_voice()
