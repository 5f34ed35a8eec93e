"""A network that can be cut and stalled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from benchmarks.chaos.pipes import HOST, Pipe
from benchmarks.stand import free_port

LIMIT_S = 5.0
MOMENT_S = 0.05  # long enough for an echo on loopback


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[Pipe]:
    """A pipe that leads to somebody who says everything again."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(100):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    pipe = Pipe(server.sockets[0].getsockname()[1], free_port())
    await pipe.open()
    try:
        async with asyncio.timeout(LIMIT_S):
            yield pipe
    finally:
        await pipe.close()
        server.close()
        await server.wait_closed()


async def test_a_stalled_pipe_loses_nothing_and_tells_nobody():
    async with echoing() as pipe:
        reader, writer = await asyncio.open_connection(HOST, pipe.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        pipe.stall()
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(3), MOMENT_S)
        pipe.flow()
        assert await reader.readexactly(3) == b"two"
        writer.close()


async def test_a_cut_breaks_what_is_connected_and_lets_new_ones_through():
    async with echoing() as pipe:
        reader, writer = await asyncio.open_connection(HOST, pipe.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        assert await pipe.cut() == 1
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection(HOST, pipe.port)
        writer.write(b"two")
        assert await reader.readexactly(3) == b"two"
        writer.close()


async def test_a_pipe_to_a_closed_port_lets_go():
    pipe = Pipe(free_port(), free_port())
    await pipe.open()
    reader, writer = await asyncio.open_connection(HOST, pipe.port)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    await pipe.close()
