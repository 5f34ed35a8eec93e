"""A browser's end of a WebSocket, without a network: the server's end is Starlette's own."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.websockets import WebSocket

Said = dict[str, Any]


class Closed(Exception):
    """The server closed: with which code, and what it said."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code


class BrowserSocket:
    """`room`: so many messages fit on the way to a browser that does not read; 0 means any number."""

    def __init__(self, room: int = 0) -> None:
        self._up: asyncio.Queue[Said] = asyncio.Queue()
        self._down: asyncio.Queue[Any] = asyncio.Queue(room)
        self.server = WebSocket({"type": "websocket"}, self._up.get, self._down.put)

    async def connect(self) -> None:
        self._up.put_nowait({"type": "websocket.connect"})
        await self.server.accept()
        await self._down.get()

    def say(self, **message: Any) -> None:
        self.say_text(json.dumps(message))

    def say_text(self, text: str) -> None:
        self._up.put_nowait({"type": "websocket.receive", "text": text})

    def say_bytes(self, data: bytes) -> None:
        self._up.put_nowait({"type": "websocket.receive", "bytes": data})

    def go(self, code: int = 1001) -> None:
        self._up.put_nowait({"type": "websocket.disconnect", "code": code})

    async def hear(self) -> Said:
        """The next message. Raises Closed."""
        message = await asyncio.wait_for(self._down.get(), 5)
        if message["type"] == "websocket.close":
            raise Closed(message["code"], message["reason"])
        heard: Said = json.loads(message["text"])
        return heard

    async def until(self, kind: str) -> Said:
        while (message := await self.hear())["type"] != kind:
            pass
        return message
