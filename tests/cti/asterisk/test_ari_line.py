"""A caller's leg over ARI: prompts, keys, messages, and the way to the queue."""

from __future__ import annotations

import asyncio

import pytest

from cti.asterisk.wire import path
from cti.line import Ask, Digits, LineFailed, Silence, ToQueue
from tests.fakes.ari_node import called

ONE = Ask(keys_max=1, first_s=0.05, terminator="")
FOUR = Ask(keys_max=4, first_s=0.05, between_s=0.05)
QUEUE = ToQueue(queue="destek", conversation="0199-call", recording="rec-1", priority=3)


# --- prompts and keys ---


async def test_play_returns_when_the_last_file_was_heard():
    async with called() as (switch, _, line):
        playing = asyncio.create_task(line.play(["/a", "/b"]))
        await switch.asked("play/1.0-1")
        assert not playing.done()
        await switch.finish()
        await asyncio.wait_for(playing, 5)
        assert switch.requests == ["POST channels/1.0/play/1.0-1"]


async def test_prompt_that_cannot_be_played_is_said_so():
    async with called() as (switch, _, line):
        playing = asyncio.create_task(line.play(["/a"]))
        await switch.asked("play/1.0-1")
        await switch.finish(state="failed")
        with pytest.raises(LineFailed, match="is the file there"):
            await playing


async def test_first_key_ends_the_prompt():
    async with called() as (switch, _, line):
        asking = asyncio.create_task(line.ask(["/menu"], FOUR))
        await switch.asked("play/1.0-1")
        await switch.press("2")
        await switch.asked("DELETE playbacks/1.0-1")
        await switch.press("34#")
        assert await asking == Digits("234")


async def test_keys_do_not_end_a_prompt_that_must_be_heard():
    async with called() as (switch, node, line):
        asking = asyncio.create_task(line.ask(["/law"], Ask(keys_max=1, first_s=5, barge_in=False)))
        await switch.asked("play/1.0-1")
        await switch.press("1")
        await node.ari.request("GET", path("channels", "1.0"))
        assert not asking.done()
        await switch.finish()
        assert await asking == Digits("1")
        assert not any(request.startswith("DELETE") for request in switch.requests)


async def test_keys_pressed_ahead_answer_without_the_prompt():
    async with called() as (switch, _, line):
        await switch.press("12")
        await line.answer()
        assert await line.ask(["/menu"], ONE) == Digits("1")
        assert await line.ask(["/menu"], ONE) == Digits("2")
        assert not any("play" in request for request in switch.requests)


async def test_keys_that_another_driver_kept_come_before_those_that_are_pressed_now():
    async with called() as (switch, _, line):
        await switch.press("34")
        await line.answer()
        line.key_ahead("12")
        assert line.keyed == "1234"
        assert await line.ask([], FOUR) == Digits("1234")


async def test_nothing_pressed_is_silence_and_too_few_are_kept():
    async with called() as (switch, _, line):
        assert await line.ask([], FOUR) == Silence()
        await switch.press("12")
        await line.answer()
        assert await line.ask([], FOUR) == Digits("12")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_hash_after_the_last_wanted_digit_does_not_answer_the_next_question(when):
    async with called() as (switch, _, line):
        await switch.press("1234#5" if when == "before" else "1234")
        await line.answer()
        assert await line.ask([], FOUR) == Digits("1234")
        if when == "after":
            await switch.press("#5")
            await line.answer()
        assert await line.ask([], ONE) == Digits("5")


async def test_stuck_key_does_not_fill_the_memory():
    async with called() as (switch, _, line):
        await switch.press("7" * 100)
        await line.answer()
        assert await line.ask([], Ask(keys_max=200, first_s=0.05, between_s=0.05)) == Digits("7" * 64)


async def test_prompt_is_stopped_before_the_caller_goes_to_the_queue():
    async with called() as (switch, _, line):
        playing = asyncio.create_task(line.play(["/long"]))
        await switch.asked("play/1.0-1")
        await line.to_queue(QUEUE)
        assert [request.split(" ")[0] for request in switch.requests] == ["POST", "DELETE", "POST", "POST"]
        playing.cancel()


async def test_message_is_recorded_and_measured():
    async with called() as (switch, _, line):
        recording = asyncio.create_task(line.record("msg-1", 30, 3.2))
        await switch.asked("record")
        await switch.recorded(duration_s=7)
        assert await recording == 7.0
        wanted = {"name": "msg-1", "format": "wav", "maxDurationSeconds": 30, "maxSilenceSeconds": 4}
        assert wanted.items() <= switch.bodies[-1].items()


async def test_prompt_with_an_unknown_scheme_is_refused():
    async with called() as (_, _, line):
        with pytest.raises(LineFailed, match="absolute path"):
            await line.play(["hello-world"])


async def test_a_question_is_asked_again_when_its_keys_may_have_been_lost():
    async with called() as (switch, _, line):
        asking = asyncio.create_task(line.ask(["/menu"], Ask(keys_max=1, first_s=60)))
        await switch.asked("play/1.0-1")
        line.unheard()
        await switch.finish()
        assert await asyncio.wait_for(asking, 5) == Silence()
        again = asyncio.create_task(line.ask(["/menu"], ONE))
        await switch.asked("play/1.0-2")
        await switch.press("1")
        assert await asyncio.wait_for(again, 5) == Digits("1")


async def test_keys_of_a_half_given_answer_are_told_as_they_come_and_can_be_put_back():
    async with called() as (switch, _, line):
        told: list[str] = []
        line.on_keyed = told.append
        asking = asyncio.create_task(line.ask([], Ask(keys_max=4, first_s=60, between_s=60)))
        await switch.press("12")
        while len(told) < 2:
            await asyncio.wait([asking], timeout=0.01)
        assert told[-1] == "12"
        assert line.keyed == "12"
        line.key_ahead("34")
        assert await asyncio.wait_for(asking, 5) == Digits("1234")
        assert line.keyed == ""
