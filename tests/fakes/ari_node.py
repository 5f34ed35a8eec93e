"""An Ari of ours, connected to the fake switch, whose calls a test drives itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from cti.asterisk.ari import Ari
from cti.asterisk.ari_line import AriLine
from cti.line import ChannelGone
from tests.fakes.asterisk_ari import FakeAri


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
