"""ARI's socket: gaps, lost answers, a switch that is not ready, another node with our name."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, MutableMapping
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from cti.asterisk.ari import Ari
from cti.asterisk.ari_line import Conflict, Gone
from cti.line import Ask, ChannelGone, HungUp, LineFailed
from tests.fakes.ari_node import Node, called, connected
from tests.fakes.asterisk_ari import FakeAri

LONG = Ask(keys_max=4, first_s=5, between_s=5)


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


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


async def test_socket_that_the_switch_closed_a_moment_ago_is_a_lost_one_to_uvloop_too():
    class Closed:
        async def send(self, frame: str) -> None:
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    async with connected() as (_, node):
        socket = node.ari._socket
        kept, closed = socket._socket, cast(Any, Closed())
        socket._socket = closed
        with pytest.raises(LineFailed, match="may have run"):
            await node.ari.request("GET", "asterisk/ping")
        socket._socket = kept


async def test_a_lost_socket_is_not_written_to_again_and_again_while_its_reader_gets_no_turn():
    """Writing to it fails at once: whoever lets go of a caller, and asks until he is answered, would stop the loop for good."""

    class Closed:
        written = 0

        async def send(self, frame: str) -> None:
            Closed.written += 1
            assert Closed.written == 1, "the loop would stand still"
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    async with called() as (switch, node, _):
        node.ari._socket._socket = cast(Any, Closed())
        node.done.set()  # the caller is let go of
        with pytest.raises(LineFailed, match="may have run"):
            await node.ari.request("GET", "asterisk/ping")
        with pytest.raises(LineFailed, match="none came"):
            await node.ari.request("GET", "asterisk/ping", timeout_s=0.01)
        await switch.drop()
        await switch.asked("continue")
        assert [each.id for each in switch.in_dialplan] == ["1.0"]
