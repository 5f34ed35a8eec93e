"""Zeynep's browser at the server's end of a socket: said to, and heard, message by message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from screenpop import stream
from screenpop.commands import By
from screenpop.protocol import VERSION
from screenpop.sign_ins import SignIns
from screenpop.stream import Desk, Place
from tests.fakes.live_desk import ZEYNEP, LiveDesk
from tests.fakes.sign_ins import FakeSignIns
from tests.fakes.socket import BrowserSocket, Closed

HERS = "Zeynep's sign-in"
HELLO = {"type": "hello", "v": VERSION}


def zeynep(desk: LiveDesk) -> Place:
    return Place(desk.hub.seat(ZEYNEP), lambda: By("user-zeynep", "zeynep", "PJSIP/zeynep"))


@asynccontextmanager
async def browser(
    desk: LiveDesk, *, sign_ins: SignIns | None = None, sign_in: Any = None, hello: bool = True, room: int = 0
) -> AsyncIterator[BrowserSocket]:
    """Zeynep's browser, served until the end of the block; the pulse of its node beats."""

    async def hers() -> Place:
        return zeynep(desk)

    here = Desk(
        desk.teller.db, desk.hub, desk.teller.controls, lambda: desk.teller.now, sign_in or hers, HERS,
        sign_ins or FakeSignIns(),
    )  # fmt: skip
    socket = BrowserSocket(room)
    await socket.connect()
    serving = asyncio.create_task(stream.serve(socket.server, here))
    beating = asyncio.create_task(desk.hub.pulse.run())
    if hello:
        socket.say(**HELLO)
    try:
        yield socket
    finally:
        socket.go()
        await asyncio.wait_for(serving, 5)
        beating.cancel()


async def closed(socket: BrowserSocket) -> Closed:
    with pytest.raises(Closed) as closed:
        await socket.until("the end")
    return closed.value
