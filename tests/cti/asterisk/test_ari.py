"""ARI's door: calls are claimed once, driven by one task each, and no caller stays behind in silence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cti.asterisk import ari_events
from cti.asterisk.ari import Ari
from cti.asterisk.ari_events import Garbled
from cti.asterisk.ari_line import AriLine, Conflict, Gone
from cti.asterisk.wire import Unsafe, path
from cti.line import Ask, Caller, ChannelGone, Digits, HungUp, LineFailed, Silence, ToQueue
from tests.fakes.asterisk_ari import FakeAri

ONE = Ask(keys_max=1, first_s=0.05, terminator="")
FOUR = Ask(keys_max=4, first_s=0.05, between_s=0.05)
LONG = Ask(keys_max=4, first_s=5, between_s=5)
QUEUE = ToQueue(queue="destek", conversation="0199-call", recording="rec-1", priority=3)


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


class Node:
    """An Ari with a driver that the test writes; `line()` is the next call it got."""

    def __init__(self, port: int) -> None:
        self.lines: asyncio.Queue[AriLine] = asyncio.Queue()
        self.gone: list[ChannelGone] = []
        self.replaced = 0
        self.may_claim = True
        self.life: Callable[[AriLine], Awaitable[None]] = self._wait
        self.done = asyncio.Event()  # lets `_wait` end
        self.ari = Ari(
            "127.0.0.1",
            port,
            "santral",
            "secret",
            "santral-1",
            on_call=self._call,
            may_claim=lambda: self.may_claim,
            on_channel_gone=self.gone.append,
            on_replaced=self._count_replaced,
            clock=lambda: 100.0,
        )

    async def line(self) -> AriLine:
        async with asyncio.timeout(5):
            return await self.lines.get()

    async def idle(self) -> None:
        """Until no call is driven any more."""
        calls = [task for task in asyncio.all_tasks() if task.get_name().startswith("call=")]
        if calls:
            await asyncio.wait(calls, timeout=5)
        assert self.ari.calls == 0

    async def _call(self, line: AriLine) -> None:
        self.lines.put_nowait(line)
        await self.life(line)

    async def _wait(self, line: AriLine) -> None:
        await self.done.wait()

    def _count_replaced(self) -> None:
        self.replaced += 1


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[FakeAri, Node]]:
    async with FakeAri() as switch:
        node = Node(switch.port)
        running = asyncio.create_task(node.ari.run())
        try:
            await switch.asked("eventFilter")
            await switch.asked("applications/santral-1")
            yield switch, node
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@contextlib.asynccontextmanager
async def called(*args: str) -> AsyncIterator[tuple[FakeAri, Node, AriLine]]:
    async with connected() as (switch, node):
        await switch.call("1.0", *args)
        line = await node.line()
        del switch.requests[:]
        yield switch, node, line


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


# --- the socket ---


async def test_prompt_that_ended_while_nobody_listened_is_over():
    async with called() as (switch, _, line):
        playing = asyncio.create_task(line.play(["/a"]))
        await switch.asked("play/1.0-1")
        await switch.drop()
        switch.channels["1.0"].playing = ""
        await asyncio.wait_for(playing, 5)
        assert switch.connections == 2


async def test_caller_who_hung_up_while_nobody_listened_is_gone():
    async with called() as (switch, node, line):
        await switch.drop()
        del switch.channels["1.0"]
        with pytest.raises(HungUp):
            await line.ask([], LONG)
        assert node.gone == [ChannelGone(100.0, "1.0", "")]


async def test_calls_of_a_former_life_are_taken_over_at_the_start():
    async with FakeAri() as switch:
        left = await switch.call("1.0")
        left.application, left.variables = "santral-1", {"SANTRAL_CALL": "0199-call", "SANTRAL_RAW": "+905321112233"}
        node = Node(switch.port)
        running = asyncio.create_task(node.ari.run())
        line = await node.line()
        assert (line.why, line.conversation, line.caller.raw) == ("takeover", "0199-call", "+905321112233")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_calls_of_a_dead_node_are_taken_over_when_asked():
    async with connected() as (switch, node):
        node.may_claim = False
        (await switch.call("1.0")).application = "santral-2"
        assert await node.ari.take_over("santral-2") == 1
        assert (await node.line()).why == "takeover"
        assert await node.ari.take_over("santral-9") == 0


async def test_request_without_an_answer_fails_in_time_and_is_not_repeated():
    async with called() as (switch, node, _):
        switch.silent.add("answer")
        with pytest.raises(LineFailed, match="none came"):
            await node.ari.request("POST", "channels/1.0/answer", timeout_s=0.05)
        assert switch.requests == ["POST channels/1.0/answer"]


async def test_lost_socket_fails_what_is_under_way():
    async with called() as (switch, _, line):
        switch.silent.add("answer")
        answering = asyncio.create_task(line.answer())
        await switch.asked("answer")
        await switch.drop()
        with pytest.raises(LineFailed, match="may have run"):
            await answering
        await switch.connected(2)
        assert switch.requests.count("POST channels/1.0/answer") == 1


async def test_no_socket_is_said_in_time():
    ari = Ari("127.0.0.1", 9, "a", "b", "c", on_call=None, may_claim=lambda: True)  # type: ignore[arg-type]
    with pytest.raises(LineFailed):
        await ari.request("GET", "channels", timeout_s=0.01)


async def test_errors_have_their_own_names():
    async with called() as (switch, node, _):
        with pytest.raises(Gone):
            await node.ari.request("POST", "channels/none/answer")
        switch.channels["1.0"].application = ""
        with pytest.raises(Conflict):
            await node.ari.request("POST", "channels/1.0/answer")


async def test_switch_that_is_not_ready_yet_is_tried_again():
    answers = [b"", b"HTTP/1.1 503 Asterisk not booted\r\nContent-Length: 3\r\n\r\nno!", b"what?\r\n\r\n"]
    tried = asyncio.Semaphore(0)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0) if answers else b"")
        writer.close()
        tried.release()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    node = Node(server.sockets[0].getsockname()[1])
    running = asyncio.create_task(node.ari.run())
    async with asyncio.timeout(10):
        for _ in range(4):
            await tried.acquire()
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    server.close()


async def test_second_socket_with_our_name_ends_this_node():
    async with FakeAri() as switch:
        node = Node(switch.port)
        running = asyncio.create_task(node.ari.run())
        await switch.asked("eventFilter")
        await switch.call("1.0")
        await node.line()
        await switch.say({"type": "ApplicationReplaced", "application": "santral-1"})
        async with asyncio.timeout(5):
            await running
        assert node.replaced == 1
        assert "1.0" in switch.channels  # the caller is the other one's now


async def test_nonsense_on_the_socket_harms_no_call():
    async with called() as (switch, _, line):
        for text in (
            "",
            "[]",
            "null",
            '{"type":"StasisStart"}',
            '{"type":"CallBroadcast","channel":{"id":".."}}',
            "\ud83d".encode("utf-8", "replace").decode(),
        ):
            await switch.say_raw(text)
        await line.answer()
        assert switch.channels["1.0"].up


# --- the codec ---

FIELDS = st.sampled_from(
    [
        "id",
        "channel",
        "args",
        "channelvars",
        "playback",
        "target_uri",
        "state",
        "digit",
        "recording",
        "name",
        "request_id",
        "status_code",
    ]
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(ari_events.READERS)), st.dictionaries(FIELDS, plain, max_size=5))
def test_any_json_is_an_event_or_garbled(kind, fields):
    with contextlib.suppress(Garbled):
        ari_events.read(json.dumps({"type": kind, **fields}))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_garbled(message):
    with contextlib.suppress(Garbled):
        ari_events.read(message)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_no_text_makes_two_segments_or_a_query(segments):
    with contextlib.suppress(Unsafe):
        address = path(*segments)
        assert address.count("/") == len(segments) - 1
        assert not {"?", "#", "\r", "\n", " "} & set(address)


@given(st.text(max_size=100))
def test_hostile_caller_is_only_text(name):
    channel = {"id": "1.0", "channelvars": {"SANTRAL_NAME": name}}
    said = ari_events.read(json.dumps({"type": "StasisStart", "args": [name], "channel": channel}))
    assert isinstance(said, ari_events.Entered)
    for text in (said.caller.name, said.caller.raw, said.caller.did):
        assert len(text) <= 80
        assert not any(ord(letter) < 32 for letter in text)


def rest_api() -> Path:
    tools = Path(os.environ.get("SANTRAL_TOOLS_DIR") or Path(__file__).parents[3] / "var" / "tools")
    folder = tools / "usr" / "share" / "asterisk" / "rest-api"
    if not folder.exists():
        pytest.skip("no Asterisk's own description of ARI here")
    return folder


def test_events_are_called_what_asterisk_calls_them():
    models = json.loads((rest_api() / "events.json").read_text())["models"]
    assert set(ari_events.READERS) <= set(models)
    fields = {
        "RESTResponse": {"request_id", "status_code", "message_body"},
        "StasisStart": {"args", "channel"},
        "ChannelDtmfReceived": {"digit", "channel"},
        "ChannelDestroyed": {"cause_txt", "channel"},
        "PlaybackFinished": {"playback"},
        "RecordingFinished": {"recording"},
    }
    for event, used in fields.items():
        assert used <= set(models[event]["properties"]), event


def test_requests_are_called_what_asterisk_calls_them():
    used = {
        "channels.json": {
            "answer",
            "playWithId",
            "record",
            "setChannelVars",
            "setChannelVar",
            "continueInDialplan",
            "hangup",
            "move",
            "get",
        },
        "playbacks.json": {"stop", "get"},
        "events.json": {"claimChannel"},
        "applications.json": {"filter", "get"},
    }
    for file, names in used.items():
        apis = json.loads((rest_api() / file).read_text())["apis"]
        assert names <= {operation["nickname"] for api in apis for operation in api["operations"]}, file
