"""Very many WebSocket clients in one process, without a library: one that takes part in a measure of 2,000 must cost next to nothing.

Only what a seat's page needs of RFC 6455: a handshake, small masked frames out, unfragmented unmasked frames in.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import socket
import time
from collections.abc import Iterator
from typing import Any, cast

PATH = "/api/v1/stream"
TEXT_FRAME, CLOSE_FRAME = 0x81, 0x88
RECEIVE_BUFFER_MIN_BYTES = 2304  # Linux takes no less
SHORT_BYTES = 300  # a ping, or the message that is waited for; a change of the seat is longer
PONG = {"type": "pong", "seq": 0}


class BareSocket(asyncio.Protocol):
    """One seat. `got` gets the monotonic time of each short message with `mark` in it; pings are answered; `greeted` is done with
    the first message."""

    def __init__(self, address: str, cookie: str, hello: dict[str, Any] | None, mark: bytes) -> None:
        self.got: list[float] = []
        self.closed = asyncio.Event()
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head = _handshake(address, cookie)
        self._hello = hello
        self._mark = mark
        self._open = False
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def say(self, message: dict[str, Any]) -> None:
        if self._transport is not None:
            self._transport.write(frame(json.dumps(message).encode()))

    def stop_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the methods, not the name
        self._transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        at_s = time.monotonic()
        self._rest += data
        if not self._open and not self._opened():
            return
        for text in self._frames():
            if not self.greeted.done():
                self.greeted.set_result(None)
            elif len(text) < SHORT_BYTES and b'"ping"' in text:
                self.say(PONG)
            elif len(text) < SHORT_BYTES and self._mark in text:
                self.got.append(at_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionError(f"expected a message, the connection ended: {exc}"))

    def _opened(self) -> bool:
        head, found, rest = self._rest.partition(b"\r\n\r\n")
        if not found:
            return False
        if not head.startswith(b"HTTP/1.1 101"):
            self.close()
            return False
        self._open, self._rest = True, rest
        if self._hello is None:
            self.greeted.set_result(None)
        else:
            self.say(self._hello)
        return True

    def _frames(self) -> Iterator[bytes]:
        """Whole text messages that have come; what is incomplete waits."""
        while (bounds := _bounds(self._rest)) is not None:
            begin, end = bounds
            kind, payload, self._rest = self._rest[0], self._rest[begin:end], self._rest[end:]
            if kind == TEXT_FRAME:
                yield payload


def _bounds(data: bytes) -> tuple[int, int] | None:
    """Where the first frame's payload begins and ends; None until it is there."""
    if len(data) < 2:
        return None
    size, begin = data[1], 2
    if size >= 126:
        begin = 4 if size == 126 else 10
        if len(data) < begin:
            return None
        size = int.from_bytes(data[2:begin])
    return (begin, begin + size) if len(data) >= begin + size else None


def frame(payload: bytes) -> bytes:
    """A masked text frame of less than 64 KiB; the mask is all zeroes, which leaves the bytes as they are."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else bytes([0xFE]) + len(payload).to_bytes(2)
    return bytes([TEXT_FRAME]) + size + bytes(4) + payload


def _handshake(host: str, cookie: str) -> bytes:
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    lines = (
        f"GET {PATH} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13", f"Origin: http://{host}", f"Cookie: {cookie}", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode()


async def connect(
    host: str,
    port: int,
    cookie: str,
    hello: dict[str, Any] | None,
    *,
    mark: str = '"state"',
    narrow: bool = False,
    within_s: float = 30.0,
) -> BareSocket:
    """A seat that has had its first message; without `hello`, one that is connected. `narrow`: it takes next to nothing in while it
    does not read. ConnectionError or TimeoutError."""
    loop = asyncio.get_running_loop()
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.setblocking(False)
    if narrow:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_MIN_BYTES)
    async with asyncio.timeout(within_s):
        await loop.sock_connect(door, (host, port))
        _, made = await loop.create_connection(
            lambda: BareSocket(f"{host}:{port}", cookie, hello, mark.encode()), sock=door
        )
        await made.greeted
    return made
