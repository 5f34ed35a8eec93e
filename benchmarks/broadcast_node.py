"""The sending side of broadcast.py, a process of its own: `python -m benchmarks.broadcast_node ours|naive|websockets PORT`.

Prints "ready"; for each line on standard input it tells all connected seats one thing and prints the monotonic clock (of the whole
machine, in seconds) at which it began to. `ours` is a whole node with its web server, without a switch; its settings come from the
environment. The rivals know no seats, only sockets, and send the same text.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable

import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.server import ServerConnection, broadcast, serve

from cti import logs, run
from cti.app import House
from cti.config import Settings

HOST = "127.0.0.1"
MARK = "bench"  # by which a seat knows the message that is measured
TEXT = json.dumps({"type": "state", "degraded": [f"{MARK} 0"], "leader": True})
BEGIN_MAX_S = 20.0

Tell = Callable[[], Awaitable[None]]


class WithoutSwitch(House):
    """A node that does not wait for doors that nobody will open."""

    def doors(self) -> dict[str, bool]:
        return {}

    def _tell_state(self) -> None:
        """What is told here is the bench's affair."""


async def ours(port: int) -> None:
    settings = Settings().model_copy(update={"http_port": port})
    logs.set_up(settings.log_format)
    house = WithoutSwitch(settings, run.voice(settings), ari_password="nobody", ami_password="nobody")
    told = itertools.count()

    async def tell() -> None:
        house.hub.tell_state(frozenset({f"{MARK} {next(told)}"}))  # never the same: that would not be told again

    async with run.serving(house):
        await _obey(tell)


async def naive(port: int) -> None:
    """What is written first: a loop that awaits each browser in turn."""
    app, sockets = FastAPI(), set[WebSocket]()

    @app.websocket("/api/v1/stream")
    async def stream(websocket: WebSocket) -> None:
        await websocket.accept()
        sockets.add(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            sockets.discard(websocket)

    async def tell() -> None:
        for websocket in list(sockets):
            await websocket.send_text(TEXT)

    await _with_web(app, port, tell)


async def plain(port: int) -> None:
    """websockets' own broadcast: no queue, no wait, a buffer that grows."""
    sockets: set[ServerConnection] = set()

    async def stream(connection: ServerConnection) -> None:
        sockets.add(connection)
        try:
            await connection.wait_closed()
        finally:
            sockets.discard(connection)

    async def tell() -> None:
        broadcast(sockets, TEXT)

    async with serve(stream, HOST, port, compression=None, ping_interval=None):
        await _obey(tell)


async def _with_web(app: FastAPI, port: int, tell: Tell) -> None:
    """Served as cti.run serves a node."""
    server = uvicorn.Server(
        uvicorn.Config(
            app, host=HOST, port=port, log_level="warning", access_log=False, ws="websockets-sansio",
            ws_ping_interval=None, ws_per_message_deflate=False, server_header=False, timeout_graceful_shutdown=1,
        )
    )  # fmt: skip
    serving = asyncio.create_task(server._serve(None))
    async with asyncio.timeout(BEGIN_MAX_S):
        while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.05)
    await _obey(tell)
    server.should_exit = True
    await serving


async def _obey(tell: Tell) -> None:
    """Until standard input ends."""
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print("ready", flush=True)
    while await orders.readline():
        print(f"{time.monotonic():.6f}", flush=True)
        await tell()


KINDS = {"ours": ours, "naive": naive, "websockets": plain}


def open_files_as_many_as_allowed() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    open_files_as_many_as_allowed()
    uvloop.run(KINDS[sys.argv[1]](int(sys.argv[2])))
