"""Sockets that cost next to nothing speak with a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.bare_sockets import connect, frame

HOST = "127.0.0.1"
STATE = json.dumps({"type": "state", "degraded": ["database"]})
LIMIT_S = 5.0


@contextlib.asynccontextmanager
async def node(said: list[str], heard: asyncio.Queue[str]) -> AsyncIterator[int]:
    """A server that greets, says what is in `said`, and passes on what it hears."""

    async def talk(connection: ServerConnection) -> None:
        heard.put_nowait(str(await connection.recv()))
        await connection.send(json.dumps({"type": "snapshot", "seat": "x" * 70_000}))
        for each in said:
            await connection.send(each)
        async for text in connection:
            heard.put_nowait(str(text))

    async with serve(talk, HOST, 0, compression=None, max_size=None) as server, asyncio.timeout(LIMIT_S):
        yield next(iter(server.sockets)).getsockname()[1]


async def test_it_says_hello_answers_pings_and_notes_when_a_state_came():
    heard: asyncio.Queue[str] = asyncio.Queue()
    ping = json.dumps({"type": "ping", "at_ms": 1})
    said = [STATE, json.dumps({"type": "event", "changes": ["state" * 100]}), ping, STATE, ping]
    async with node(said, heard) as port:
        seat = await connect(HOST, port, "a=b", {"type": "hello"})
        came = [json.loads(await heard.get())["type"] for _ in range(3)]
        assert came == ["hello", "pong", "pong"]
        assert len(seat.got) == 2
        seat.close()
        await seat.closed.wait()


async def test_whoever_is_no_web_socket_is_an_error():
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, HOST, 0)
    with pytest.raises(ConnectionError, match="expected a message"):
        await connect(HOST, server.sockets[0].getsockname()[1], "a=b", None)
    server.close()
    await server.wait_closed()


def test_frames_of_more_than_125_bytes_say_their_length_in_two():
    assert frame(b"x" * 125)[1] == 0x80 | 125
    assert frame(b"x" * 126)[1:4] == bytes([0xFE, 0, 126])
