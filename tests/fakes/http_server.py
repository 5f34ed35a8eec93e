"""A small real HTTP server on loopback, for what we ask of others: each test says how it answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: Any


@dataclass(frozen=True)
class Reply:
    """`body` is sent as it is; `length` only differs from its length when the connection is to break in the middle."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None

    def plain(self) -> bytes:
        length = len(self.body) if self.length is None else self.length
        headers = {"Content-Type": "application/json", "Content-Length": str(length), **self.headers}
        lines = [f"HTTP/1.1 {self.status} -", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + self.body


def as_json(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode())


# A Reply, or None to hang up without a word.
Answering = Callable[[Asked], Awaitable[Reply | None]]


class HttpServer:
    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.asked: list[Asked] = []
        self.url = ""
        self._came = asyncio.Condition()
        self._open: set[asyncio.Task[None]] = set()

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: len(self.asked) >= times)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = Asked(method, path, headers, json.loads(body) if body else None)
        async with self._came:
            self.asked.append(asked)
            self._came.notify_all()
        reply = await self.answering(asked)
        if reply is None:
            return False
        writer.write(reply.plain())
        await writer.drain()
        return reply.length is None

    def hang_up(self) -> None:
        for task in self._open:
            task.cancel()


@contextlib.asynccontextmanager
async def http_server(answering: Answering) -> AsyncIterator[HttpServer]:
    server = HttpServer(answering)
    listening = await asyncio.start_server(server.serve, HOST, 0)
    server.url = f"http://{HOST}:{listening.sockets[0].getsockname()[1]}/hook"
    try:
        yield server
    finally:
        listening.close()
        server.hang_up()
        await listening.wait_closed()
