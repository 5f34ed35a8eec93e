"""A small manager interface: it greets, lets anybody in, answers actions, and says what the test gives it."""

from __future__ import annotations

import asyncio

from cti.asterisk.ami import parse
from cti.asterisk.ami_facts import first


class FakeAmi:
    """`async with FakeAmi() as switch:` listens on `switch.port`. `lists` holds the blocks that answer a list action."""

    def __init__(self) -> None:
        self.actions: list[dict[str, list[str]]] = []
        self.lists: dict[str, list[str]] = {}
        self.refused: set[str] = set()
        self.silent: set[str] = set()
        self.logins = 0
        self._writer: asyncio.StreamWriter | None = None
        self._news = asyncio.Condition()

    async def __aenter__(self) -> FakeAmi:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop()
        await self._server.wait_closed()

    def say(self, text: str | bytes) -> None:
        """One or more blocks, as they go over the wire."""
        assert self._writer is not None
        self._writer.write(text if isinstance(text, bytes) else text.encode())

    def drop(self) -> None:
        if self._writer:
            self._writer.transport.abort()

    async def asked(self, action: str, times: int = 1) -> None:
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: sum(first(each, "Action") == action for each in self.actions) >= times)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        try:
            while True:
                await self._answer(parse(await reader.readuntil(b"\r\n\r\n")), writer)
        except (EOFError, OSError):
            writer.close()

    async def _answer(self, action: dict[str, list[str]], writer: asyncio.StreamWriter) -> None:
        name, number = first(action, "Action"), first(action, "ActionID")
        self.actions.append(action)
        self.logins += name == "Login"
        if name in self.refused:
            writer.write(f"Response: Error\r\nActionID: {number}\r\nMessage: Not today\r\n\r\n".encode())
        elif name not in self.silent:
            writer.write(f"Response: Success\r\nActionID: {number}\r\nMessage: done\r\n\r\n".encode())
            self._list(name, number, writer)
        async with self._news:
            self._news.notify_all()

    def _list(self, name: str, number: str, writer: asyncio.StreamWriter) -> None:
        if name in ("QueueStatus", "CoreShowChannels"):
            for block in self.lists.get(name, []):
                writer.write(f"{block.rstrip()}\r\nActionID: {number}\r\n\r\n".encode())
            end = f"Event: {name}Complete\r\nActionID: {number}\r\nEventList: Complete\r\n\r\n"
            writer.write(end.encode())
