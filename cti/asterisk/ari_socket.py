"""The socket itself: one per node to Asterisk's ARI, kept open; requests out, and whatever the switch says handed on.

The reader only parses and hands on, and never waits: Asterisk cuts off a reader that stops for 0.1 s. What is said means something in
ari.py.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from cti.asterisk.ari_events import Answered, Garbled, Said, read, rest_request
from cti.asterisk.ari_line import Conflict, Gone, Refused
from cti.asterisk.wire import path
from cti.line import LineFailed

log = structlog.get_logger(__name__)

RETRY_MIN_S, RETRY_MAX_S = 0.2, 1.0  # short: a restarted switch has to be whole again within 5 s of its boot
FRAME_BYTES_MAX = 4 * 2**20
OPEN_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 2.0
# A request that waits in the switch holds up the answer to a ping, and the slowest allowed request takes 2 s.
PING_EVERY_S, PING_TIMEOUT_S = 2.0, 5.0
# Beside what one expects of a socket: RuntimeError, uvloop's word for writing to one that the other side has closed a moment ago.
GONE_STATUS, CONFLICT_STATUS, ERROR_STATUS = 404, 409, 400


class AriSocket:
    """`run()` keeps it open until it is cancelled or `stop` was called. `opened` and `heard` must not wait."""

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: str,
        application: str,
        *,
        opened: Callable[[], None],
        heard: Callable[[Said], None],
    ) -> None:
        """`application` is this node's own name: a second socket with it silences this one for good."""
        self._address = f"ws://{host}:{port}/ari/events?app={path(application)}"
        self._credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._application = application
        self._opened, self._heard = opened, heard
        self.connected = asyncio.Event()  # set while the socket is open and listened to
        self._socket: ClientConnection | None = None
        self._requests = 0
        self._pending: dict[str, asyncio.Future[Answered]] = {}  # in the order in which they were asked
        self._asked_at: dict[str, float] = {}
        self._stopped = False

    @property
    def unanswered_s(self) -> float:
        """How long the oldest request waits for its answer."""
        return asyncio.get_running_loop().time() - min(self._asked_at.values()) if self._asked_at else 0.0

    def stop(self) -> None:
        """Do not connect again."""
        self._stopped = True

    async def run(self) -> None:
        """Keep the socket open; refused, 503 and nonsense all mean "not yet"."""
        failures = 0
        while not self._stopped:
            try:
                async with self._connect() as socket:
                    failures = 0
                    await self._session(socket)
            except (OSError, TimeoutError, EOFError, WebSocketException, RuntimeError) as problem:
                log.warning("ari.down", application=self._application, problem=_in_short(problem))
            if not self._stopped:
                await asyncio.sleep(_delay_s(failures))
                failures += 1

    async def request(
        self,
        method: str,
        uri: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Answered:
        """Ask the switch. `uri` comes from `wire.path`, without `/ari`.

        Raises Gone (404), Conflict (409), Refused (any other error), or LineFailed when no answer came within `timeout_s`
        or there is no socket: then the switch may have done it or not. It is never sent a second time.
        """
        self._requests += 1
        number = str(self._requests)
        frame = rest_request(number, method, uri, query, body)
        answered: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._pending[number] = answered
        self._asked_at[number] = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(frame)
                answer = await answered
        except TimeoutError as late:
            raise LineFailed(f"expected an answer to {method} {uri} within {timeout_s} s, none came") from late
        finally:
            del self._pending[number], self._asked_at[number]
            if answered.done() and not answered.cancelled():
                answered.exception()  # it may have failed with the socket while we were still sending
        if answer.status >= ERROR_STATUS:
            raise _refusal(
                answer.status, f"{method} {uri}: expected it to be done, got {answer.status} {answer.body:.200}"
            )
        return answer

    def _connect(self) -> connect:
        return connect(
            self._address,
            additional_headers={"Authorization": f"Basic {self._credentials}"},
            proxy=None,
            compression=None,
            max_size=FRAME_BYTES_MAX,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_TIMEOUT_S,
        )

    async def _session(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._opened()
        self.connected.set()
        log.info("ari.up", application=self._application)
        try:
            async for message in socket:
                self._read(message)
                if self._stopped:
                    break
        finally:
            self.connected.clear()
            self._socket = None
            self._fail_pending()

    def _read(self, message: str | bytes) -> None:
        try:
            said = read(message)
        except Garbled as garbled:
            log.warning("ari.garbled", problem=str(garbled))
            return
        if isinstance(said, Answered):
            if (pending := self._pending.get(said.request)) and not pending.done():
                pending.set_result(said)
        elif said is not None:
            self._heard(said)

    async def _send(self, frame: str) -> None:
        await self.connected.wait()
        if (socket := self._socket) is None:
            raise LineFailed("expected a socket to the switch, it was just lost")
        try:
            await socket.send(frame)
        except (ConnectionClosed, RuntimeError) as lost:
            if self._socket is socket:
                self.connected.clear()  # whoever asks again waits for the next one; the reader may not have had its turn yet
            raise LineFailed("the socket to the switch was lost; the request may have run") from lost

    def _fail_pending(self) -> None:
        for answered in self._pending.values():
            if not answered.done():
                answered.set_exception(LineFailed("the socket to the switch was lost; the request may have run"))


def _refusal(status: int, what: str) -> Refused:
    kind = {GONE_STATUS: Gone, CONFLICT_STATUS: Conflict}.get(status, Refused)
    return kind(status, what)


def _delay_s(failures: int) -> float:
    """Full jitter, so that nodes which lost the switch together do not come back together."""
    return random.uniform(RETRY_MIN_S / 2, min(RETRY_MAX_S, RETRY_MIN_S * 2 ** min(failures, 10)))


def _in_short(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}"[:200]
