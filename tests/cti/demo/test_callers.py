"""Callers against a far end that is a few lines long: real UDP on loopback, no exchange."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cti.demo import callers as them
from cti.demo import rtp, tones
from cti.demo.callers import Callers, CallOver, LiveCall, NotAnswered, spoken_digits
from cti.demo.handset import Handset
from cti.demo.sip import Media
from tests.fakes.far_end import HOST, FarEnd, sequence

NUMBER = "05325550123"
PATIENCE_S = 5.0
BUSY_S = 0.05


@pytest_asyncio.fixture
async def far() -> AsyncIterator[FarEnd]:
    async with FarEnd() as end:
        yield end


@pytest_asyncio.fixture
async def crowd(far: FarEnd) -> AsyncIterator[Callers]:
    async with Callers(far.address, HOST) as callers:
        yield callers


@pytest_asyncio.fixture
async def call(crowd: Callers) -> LiveCall:
    return await crowd.dial(NUMBER)


async def test_a_caller_hears_a_prompt_presses_a_key_and_hears_the_number(far: FarEnd, call: LiveCall) -> None:
    far.mouth.play(tones.recording("menu 0.2"))
    menu = await call.until_tone("menu", call.answered_at_s, PATIENCE_S)
    await call.press("1#")
    assert far.mouth.keys == "1#"
    far.mouth.play(sequence(tones.recording("opened 0.2"), *(tones.recording(f"digit-{each}") for each in "100731")))
    opened = await call.until_tone("opened", menu.begin_s, PATIENCE_S)
    await call.until_any(("opened",), opened.end_s + 0.5, PATIENCE_S)  # it is played round and round
    assert spoken_digits(call, opened.begin_s) == "100731"
    assert call.gaps == []
    assert "pressing 1#" in call.story()
    assert "hears opened" in call.story()


async def test_invite_is_repeated_until_somebody_hears_it(far: FarEnd, crowd: Callers) -> None:
    far.deaf_to = 1
    call = await crowd.dial(NUMBER)
    assert call.answered_at_s - call.invite_at_s >= them.T1_S
    await far.until("ACK")


async def test_a_refused_call_says_with_what_and_why(far: FarEnd, crowd: Callers) -> None:
    far.answers, far.more = ("503 Service Unavailable",), ("Reason: Q.850;cause=34",)
    with pytest.raises(NotAnswered, match="503 Service Unavailable") as refused:
        await crowd.dial(NUMBER)
    assert (refused.value.status, refused.value.cause) == (503, "Q.850;cause=34")
    await far.until("ACK")
    assert crowd.live == ()


async def test_who_gives_up_while_it_rings_cancels(far: FarEnd, crowd: Callers) -> None:
    far.answers = ("100 Trying", "180 Ringing")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await crowd.dial(NUMBER)
    await far.until("CANCEL")
    assert crowd.live == ()


async def test_they_hang_up_and_whoever_waits_for_a_prompt_hears_of_it(far: FarEnd, call: LiveCall) -> None:
    waiting = asyncio.create_task(call.until_tone("menu", 0.0, PATIENCE_S))
    await far.until("ACK")
    far.ask("BYE", "", "Reason: Q.850;cause=16")
    await far.until("BYE", 200)
    await call.until_ended(PATIENCE_S)
    with pytest.raises(CallOver, match="the tone menu, the call was ended by them"):
        await waiting
    with pytest.raises(CallOver):
        await call.press("1")
    await call.hang_up()
    assert (call.ended_by, call.end_reason) == ("them", "Q.850;cause=16")
    assert call.ended_at_s is not None


async def test_we_hang_up_once_and_their_answer_is_awaited(far: FarEnd, call: LiveCall, crowd: Callers) -> None:
    pressing = asyncio.create_task(call.press("123456789"))
    await far.until("ACK")
    await call.hang_up()
    await call.hang_up()
    assert call.ended_by == "us"
    with pytest.raises(CallOver):
        await pressing
    assert [each.method for each in far.got].count("BYE") == 1


async def test_a_repeated_goodbye_gets_its_answer_after_the_end_too(far: FarEnd, call: LiveCall) -> None:
    for count in (1, 2):
        far.ask("BYE")
        await far.until("BYE", 200, count=count)


async def test_the_switch_may_hold_the_call_and_ask_whether_we_live(far: FarEnd, call: LiveCall) -> None:
    far.ask("INVITE", far.description("a=sendonly"))
    assert "a=recvonly" in (await far.until("INVITE", 200)).body
    far.ask("OPTIONS")
    await far.until("OPTIONS", 200)
    far.mouth.play(tones.recording("hold 0.5"))
    since_s = asyncio.get_running_loop().time()
    await call.until_tone("hold", since_s, PATIENCE_S)
    assert call.queue_heard(since_s)
    assert call.is_held(asyncio.get_running_loop().time())
    assert not call.is_held(asyncio.get_running_loop().time() + 10)


async def test_voice_and_quiet_can_be_waited_for(far: FarEnd, call: LiveCall) -> None:
    loop = asyncio.get_running_loop()
    far.mouth.play(tones.recording("menu 0.5"))
    await call.until_voice(call.answered_at_s, PATIENCE_S)
    await call.until_tone("menu", call.answered_at_s, PATIENCE_S)
    far.mouth.speak(b"")
    await call.until_quiet(0.3)
    assert 0.3 <= call.silence_s(loop.time()) < PATIENCE_S
    with pytest.raises(TimeoutError, match=r"expected voice within 0.05 s, heard \['menu'\], nothing for"):
        await call.until_voice(loop.time(), 0.05)


async def test_a_tone_that_nobody_knows_cannot_be_waited_for(call: LiveCall) -> None:
    with pytest.raises(ValueError, match="got whistle"):
        await call.until_tone("whistle", 0.0, 1.0)


async def test_strangers_on_our_port_are_answered_and_not_taken_for_a_call(far: FarEnd, crowd: Callers) -> None:
    crowd.datagram_received(b"\r\n\r\n", (HOST, 1))
    ack = b"ACK sip:x SIP/2.0\r\nCall-ID: nobody\r\n\r\n"
    crowd.datagram_received(ack, (HOST, 1))
    crowd.datagram_received(ack.replace(b"ACK", b"BYE") + b"", (HOST, 1))
    await far.until("", 481)
    assert crowd.live == ()


async def test_the_kernel_says_when_a_packet_came_however_busy_we_were() -> None:
    handset = Handset(HOST)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind((HOST, 0))
        handset.connect(Media(HOST, far.getsockname()[1], None))
        sent_s = time.monotonic()
        far.sendto(rtp.Packet(rtp.ULAW, 1, 160, 7, rtp.SILENCE).to_bytes(), (HOST, handset.port))
        while time.monotonic() < sent_s + BUSY_S:
            continue
    ((at_s, packet),) = handset.heard()
    handset.close()
    assert sent_s <= at_s + 0.001 < sent_s + BUSY_S
    assert packet.sequence == 1


async def test_who_still_rings_when_all_go_home_gives_up(far: FarEnd) -> None:
    far.answers = ("100 Trying",)
    async with Callers(far.address, HOST) as callers:
        ringing = asyncio.create_task(callers.dial(NUMBER))
        await far.until("INVITE")
    with pytest.raises(NotAnswered) as given_up:
        await ringing
    assert given_up.value.status == 408
    await far.until("CANCEL")


async def test_everybody_hangs_up_in_the_end(far: FarEnd) -> None:
    async with Callers(far.address, HOST) as callers:
        calls = await asyncio.gather(*(callers.dial(f"0532555{each:04d}") for each in range(5)))
    assert {call.ended_by for call in calls} == {"us"}
    assert callers.busy_s > 0
