"""A TCP port that leads to another one and can be cut or stalled: the network between two parts, as a fault."""

from __future__ import annotations

import asyncio
import contextlib

HOST = "127.0.0.1"
READ_BYTES = 64 * 1024


class Pipe:
    """Open it with `await pipe.open()`; then whoever connects to `port` is led to the target."""

    def __init__(self, target: int, port: int) -> None:
        self.port = port
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._flows = asyncio.Event()
        self._flows.set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, HOST, self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._flows.set()
            await self.cut()
            await self._server.wait_closed()

    async def cut(self) -> int:
        """Every connection breaks now, and new ones are let through; not while it is stalled. Returns how many broke."""
        broken = dict(self._open)
        for ends in broken.values():
            for end in ends:
                end.transport.abort()
        if broken:
            await asyncio.wait(broken)
        return len(broken)

    def stall(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self._flows.clear()

    def flow(self) -> None:
        self._flows.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = [writer]
        try:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
                self._open[task].append(far_writer)
                await self._join((reader, far_writer), (far_reader, writer))
        finally:
            for end in self._open.pop(task):
                end.transport.abort()

    async def _join(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Both ways, until one of them ends."""
        pumps = [asyncio.create_task(self._pump(*way)) for way in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(READ_BYTES):
                await self._flows.wait()
                writer.write(chunk)
                await writer.drain()
