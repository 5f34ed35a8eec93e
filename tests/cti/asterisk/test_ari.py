"""ARI's door: calls are claimed once, driven by one task each, and no caller stays behind in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from cti.asterisk.ari_line import AriLine
from cti.asterisk.wire import path
from cti.line import Ask, Caller, ChannelGone, HungUp, LineFailed, ToQueue
from tests.fakes.ari_node import called, connected

LONG = Ask(keys_max=4, first_s=5, between_s=5)
QUEUE = ToQueue(queue="destek", conversation="0199-call", recording="rec-1", priority=3)


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


# --- calls come and go ---


async def test_call_is_claimed_and_its_caller_is_known():
    async with called() as (_, node, line):
        assert line.caller == Caller("1.0", did="+908501112233", raw="+905321112233", name="Şule")
        assert (line.why, line.conversation, node.ari.calls) == ("new", "", 1)


async def test_call_that_may_not_be_claimed_is_left_to_others():
    async with connected() as (switch, node):
        node.may_claim = False
        await switch.call("1.0")
        await node.ari.request("GET", path("applications", "santral-1"))  # what came before it has been read
        node.may_claim = True
        await switch.call("2.0")
        assert (await node.line()).caller.channel == "2.0"
        assert sum("claim" in request for request in switch.requests) == 1


async def test_call_that_somebody_else_claimed_is_not_ours():
    async with connected() as (switch, node):
        switch.winner = "santral-2"
        await switch.call("1.0")
        await switch.asked("claim")
        assert node.ari.calls == 0


async def test_a_call_counts_from_its_claim_until_it_is_here():
    async with connected() as (switch, node):
        switch.silent.add("claim")
        for channel in ("1.0", "2.0"):
            await switch.call(channel)
        await switch.asked("claim")
        await node.ari.request("GET", path("channels", "2.0"))  # what came before it has been read
        assert (node.ari.claiming, node.ari.calls) == (2, 0)
        await switch.say({"type": "StasisStart", "args": [], "channel": switch.channels["1.0"].plain()})
        await node.line()
        assert (node.ari.claiming, node.ari.calls) == (1, 1)


async def test_a_claim_that_somebody_else_won_counts_no_more():
    async with connected() as (switch, node):
        switch.winner = "santral-2"
        await switch.call("1.0")
        await switch.asked("claim")
        await node.ari.request("GET", path("applications", "santral-1"))
        assert node.ari.claiming == 0


async def test_a_claim_that_was_lost_with_the_socket_counts_no_more():
    async with connected() as (switch, node):
        switch.silent.add("claim")
        await switch.call("1.0")
        await switch.asked("claim")
        await switch.drop()
        await switch.connected(2)
        await node.ari.request("GET", path("applications", "santral-1"))
        assert node.ari.claiming == 0


async def test_start_of_a_call_told_twice_is_one_call():
    async with called() as (switch, node, line):
        channel = switch.channels["1.0"].plain()
        await switch.say({"type": "StasisStart", "args": [], "channel": channel})
        await switch.say({"type": "CallBroadcast", "channel": channel})
        await line.answer()
        assert node.ari.calls == 1
        assert node.lines.empty()


async def test_plain_stasis_needs_no_claim():
    async with connected() as (switch, node):
        new = await switch.call("1.0")
        node.may_claim = False
        new.application = "santral-1"
        await switch.say({"type": "StasisStart", "args": new.args, "channel": new.plain()})
        assert (await node.line()).caller.raw == "+905321112233"


async def test_caller_who_comes_back_after_the_talk_says_so():
    async with called("after=1") as (_, _, line):
        assert line.why == "after"


async def test_whole_call_takes_five_requests():
    async with connected() as (switch, node):

        async def life(line: AriLine) -> None:
            await line.answer()
            await line.play(["/prompts/hello", "/prompts/menu"])
            await line.to_queue(QUEUE)

        node.life = life
        del switch.requests[:]
        await switch.call("1.0")
        await switch.asked("play/1.0-1")
        await switch.finish()
        await switch.asked("continue")
        assert switch.requests == [
            "POST events/claim",
            "POST channels/1.0/answer",
            "POST channels/1.0/play/1.0-1",
            "POST channels/1.0/variables",
            "POST channels/1.0/continue",
        ]
        assert {"media": ["sound:/prompts/hello", "sound:/prompts/menu"]} in switch.bodies
        assert switch.in_dialplan[0].variables == {
            "SANTRAL_CALL": "0199-call",
            "SANTRAL_QUEUE": "destek",
            "SANTRAL_PRIORITY": "3",
            "SANTRAL_RECORDING": "rec-1",
            "SANTRAL_LANGUAGE": "",
            "SANTRAL_NEXT": "queue",
        }
        await node.idle()


async def test_switch_that_knows_no_variables_request_gets_them_one_by_one():
    async with called() as (switch, _, line):
        switch.knows_variables = False
        await line.to_queue(QUEUE)
        assert switch.in_dialplan[0].variables["SANTRAL_NEXT"] == "queue"


async def test_driver_that_breaks_gives_the_caller_to_the_dialplan(logs):
    async with connected() as (switch, node):

        async def life(line: AriLine) -> None:
            raise RuntimeError("ours")

        node.life = life
        await switch.call("1.0")
        await switch.asked("continue")
        assert switch.in_dialplan[0].variables == {}
        assert [each["call"] for each in logs if each["event"] == "ari.call_failed"] == ["1.0"]
        await node.idle()


async def test_driver_that_breaks_without_a_socket_gives_the_caller_back_when_it_is_there_again():
    async with called() as (switch, node, _):
        await switch.drop()
        node.done.set()
        await switch.asked("continue")
        assert [each.id for each in switch.in_dialplan] == ["1.0"]


# --- whose time is renewed ---


async def test_a_call_on_its_way_to_the_dialplan_is_not_driven_and_stays_so_without_an_answer():
    """The switch may have done it: a renewal would pull the caller out of the queue, or out of his talk."""
    async with called() as (switch, node, line):
        await switch.call("2.0")
        await node.line()
        assert node.ari.driven == ["1.0", "2.0"]
        switch.silent.add("continue")
        leaving = asyncio.create_task(line.let_go())
        await switch.asked("continue")
        assert node.ari.driven == ["2.0"]
        await switch.drop()
        with pytest.raises(LineFailed, match="may have run"):
            await leaving
        await switch.connected(2)
        async with asyncio.timeout(5):
            while not node.ari.driven:
                await node.ari.request("GET", path("channels", "2.0"))
        assert (line.released, node.ari.driven) == (False, ["2.0"])


async def test_a_call_that_the_switch_does_not_take_back_is_driven_again():
    async with called() as (switch, node, line):
        switch.channels["1.0"].application = ""
        with pytest.raises(LineFailed, match="409"):
            await line.let_go()
        assert node.ari.driven == ["1.0"]


# --- hanging up ---

WAITS: dict[str, Callable[[AriLine], Awaitable[object]]] = {
    "play": lambda line: line.play(["/p"]),
    "ask, during the prompt": lambda line: line.ask(["/p"], LONG),
    "record": lambda line: line.record("msg", 30, 3),
}


@pytest.mark.parametrize("what", WAITS)
async def test_hanging_up_ends_every_wait(what):
    async with called() as (switch, node, line):
        waiting = asyncio.create_task(asyncio.wait_for(WAITS[what](line), 5))
        await switch.asked("record" if what == "record" else "play/1.0-1")
        await switch.hang_up()
        with pytest.raises(HungUp, match="16"):
            await waiting
        assert node.gone == [ChannelGone(100.0, "1.0", "16")]


async def test_hanging_up_ends_the_wait_for_keys():
    async with called() as (switch, _, line):
        waiting = asyncio.create_task(asyncio.wait_for(line.ask([], LONG), 5))
        await switch.hang_up()
        with pytest.raises(HungUp):
            await waiting


COMMANDS: dict[str, Callable[[AriLine], Awaitable[object]]] = {
    "answer": lambda line: line.answer(),
    "to_queue": lambda line: line.to_queue(QUEUE),
    "play": lambda line: line.play(["/p"]),
}


@pytest.mark.parametrize("what", COMMANDS)
async def test_channel_that_is_not_there_any_more_is_a_caller_who_hung_up(what):
    async with called() as (switch, _, line):
        del switch.channels["1.0"]  # and no event says so
        with pytest.raises(HungUp):
            await COMMANDS[what](line)


async def test_hanging_up_twice_is_told_once():
    async with called() as (switch, node, line):
        plain = switch.channels["1.0"].plain()
        await switch.hang_up()
        await switch.say({"type": "ChannelDestroyed", "cause": 16, "cause_txt": "Normal Clearing", "channel": plain})
        with pytest.raises(HungUp):
            await line.ask([], LONG)
        await node.ari.request("GET", path("applications", "santral-1"))
        assert len(node.gone) == 1


async def test_we_hang_up():
    async with called() as (switch, _, line):
        await line.hang_up()
        assert switch.requests == ["DELETE channels/1.0"]
        await line.hang_up()
        with pytest.raises(HungUp):
            await line.answer()


async def test_call_that_another_node_takes_is_no_longer_driven_here():
    async with called() as (switch, node, line):
        await switch.say({"type": "StasisEnd", "channel": switch.channels["1.0"].plain()})
        await node.idle()
        assert line.hung_up is None
        assert switch.requests == []
        assert node.gone == []
