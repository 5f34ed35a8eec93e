"""One socket per node to Asterisk's ARI: events in, requests out, and a task for every call that this node claimed.

The reader only parses and hands on, and never waits: Asterisk cuts off a reader that stops for 0.1 s. A call's order is
kept because one line hears its events one after the other; calls do not wait for one another.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, assert_never

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from cti.asterisk.ari_events import READERS as USED
from cti.asterisk.ari_events import (
    TAKEOVER,
    Answered,
    Entered,
    Garbled,
    HangupSeen,
    Key,
    Left,
    Offered,
    Played,
    Recorded,
    Replaced,
    Said,
    channel_ids,
    channel_name,
    read,
    rest_request,
)
from cti.asterisk.ari_line import AriLine, Conflict, Gone, Refused
from cti.asterisk.wire import Unsafe, path
from cti.line import ChannelGone, HungUp, LineFailed

log = structlog.get_logger(__name__)

RETRY_MIN_S, RETRY_MAX_S = 0.2, 5.0
FRAME_BYTES_MAX = 4 * 2**20
OPEN_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 2.0
# A request that waits in the switch holds up the answer to a ping, and the slowest allowed request takes 2 s.
PING_EVERY_S, PING_TIMEOUT_S = 2.0, 5.0
GONE_STATUS, CONFLICT_STATUS, ERROR_STATUS = 404, 409, 400


class Ari:
    """The socket of one node. `run()` keeps it open and drives the calls until it is cancelled or replaced."""

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: str,
        application: str,
        *,
        on_call: Callable[[AriLine], Awaitable[None]],
        may_claim: Callable[[], bool],
        on_channel_gone: Callable[[ChannelGone], None] = lambda gone: None,
        on_replaced: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`on_call` is the life of one call: it may raise what it likes, the caller then goes to the dialplan's fallback.

        `may_claim` is asked for each new call and must not wait. `application` is this node's own name: a second
        socket with it silences this one for good. `clock` gives Unix seconds for facts.
        """
        self._address = f"ws://{host}:{port}/ari/events?app={path(application)}"
        self._credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._application = application
        self._on_call, self._may_claim = on_call, may_claim
        self._on_channel_gone, self._on_replaced = on_channel_gone, on_replaced
        self._clock = clock
        self.connected = asyncio.Event()  # set while the socket is open and listened to
        self._socket: ClientConnection | None = None
        self._requests = 0
        self._pending: dict[str, asyncio.Future[Answered]] = {}
        self._lines: dict[str, AriLine] = {}
        self._tasks: dict[AriLine, asyncio.Task[None]] = {}
        self._small_tasks: set[asyncio.Task[None]] = set()
        self._replaced = False

    @property
    def calls(self) -> int:
        """How many calls this node drives at the moment."""
        return len(self._lines)

    async def run(self) -> None:
        """Keep the socket open; refused, 503 and nonsense all mean "not yet". Returns when another socket replaced ours."""
        failures = 0
        try:
            while not self._replaced:
                try:
                    async with self._connect() as socket:
                        failures = 0
                        await self._session(socket)
                except (OSError, TimeoutError, EOFError, WebSocketException) as problem:
                    log.warning("ari.down", application=self._application, problem=_in_short(problem))
                if not self._replaced:
                    await asyncio.sleep(_delay_s(failures))
                    failures += 1
        finally:
            await self._stop_tasks()

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
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(frame)
                answer = await answered
        except TimeoutError as late:
            raise LineFailed(f"expected an answer to {method} {uri} within {timeout_s} s, none came") from late
        finally:
            del self._pending[number]
            if answered.done() and not answered.cancelled():
                answered.exception()  # it may have failed with the socket while we were still sending
        if answer.status >= ERROR_STATUS:
            raise _refusal(
                answer.status, f"{method} {uri}: expected it to be done, got {answer.status} {answer.body:.200}"
            )
        return answer

    async def take_over(self, application: str) -> int:
        """Move the calls of a dead node's application to this one; returns how many. Each comes as a line, why=takeover.

        Raises LineFailed.
        """
        try:
            listed = await self.request("GET", path("applications", application))
        except Gone:
            return 0
        taken = 0
        for channel in channel_ids(listed.body):
            if channel not in self._lines:
                taken += await self._move_here(channel)
        return taken

    async def name_of(self, channel: str) -> str:
        """The channel's name, `PJSIP/1001-0000002a`; "" when there is no such channel. Raises LineFailed."""
        try:
            answer = await self.request("GET", path("channels", channel))
        except Gone:
            return ""
        return channel_name(answer.body)

    async def hang_up(self, channel: str) -> None:
        """End a channel, ours or not; one that is gone is fine. Raises LineFailed."""
        with contextlib.suppress(Gone):
            await self.request("DELETE", path("channels", channel))

    # --- the socket ---

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
        self._soon(self._catch_up())
        self.connected.set()
        log.info("ari.up", application=self._application)
        try:
            async for message in socket:
                self._heard(message)
                if self._replaced:
                    break
        finally:
            self.connected.clear()
            self._socket = None
            self._fail_pending()

    async def _send(self, frame: str) -> None:
        await self.connected.wait()
        if self._socket is None:
            raise LineFailed("expected a socket to the switch, it was just lost")
        try:
            await self._socket.send(frame)
        except ConnectionClosed as lost:
            raise LineFailed("the socket to the switch was lost; the request may have run") from lost

    def _fail_pending(self) -> None:
        for answered in self._pending.values():
            if not answered.done():
                answered.set_exception(LineFailed("the socket to the switch was lost; the request may have run"))

    # --- what is heard ---

    def _heard(self, message: str | bytes) -> None:
        try:
            said = read(message)
        except Garbled as garbled:
            log.warning("ari.garbled", problem=str(garbled))
            return
        if said is not None:
            self._hand_on(said)

    def _hand_on(self, said: Said) -> None:
        match said:
            case Answered(request=number):
                if (pending := self._pending.get(number)) and not pending.done():
                    pending.set_result(said)
            case Offered(channel=channel):
                if channel not in self._lines and self._may_claim():
                    self._soon(self._claim(channel))
            case Entered():
                self._entered(said)
            case Left(channel=channel):
                self._left(channel)
            case HangupSeen(channel=channel, cause=cause):
                self._gone(channel, cause, said)
            case Key() | Played() | Recorded():
                if line := self._lines.get(said.channel):
                    line.heard(said)
            case Replaced():
                self._be_replaced()
            case _:
                assert_never(said)

    def _entered(self, said: Entered) -> None:
        if said.channel in self._lines:
            return  # the same event twice
        line = AriLine(said, self.request)
        self._lines[said.channel] = line
        task = asyncio.create_task(self._serve(line), name=f"call={said.channel}")
        self._tasks[line] = task
        task.add_done_callback(lambda _: self._tasks.pop(line, None))

    def _left(self, channel: str) -> None:
        line = self._lines.pop(channel, None)
        if line and line.hung_up is None and not line.released:
            log.warning("ari.taken_away", call=channel, by="another node, or the dialplan")
            self._tasks[line].cancel()

    def _gone(self, channel: str, cause: str, said: HangupSeen) -> None:
        line = self._lines.get(channel)
        if line and line.hung_up is None:
            line.heard(said)
            self._on_channel_gone(ChannelGone(self._clock(), channel, cause))

    def _be_replaced(self) -> None:
        log.error("ari.replaced", application=self._application, hint="is a second node running under this name?")
        self._replaced = True
        for task in self._tasks.values():
            task.cancel()
        self._on_replaced()

    # --- calls ---

    async def _claim(self, channel: str) -> None:
        claim = {"channelId": channel, "application": self._application}
        try:
            await self.request("POST", "events/claim", query=claim)  # 204: StasisStart follows, or came already
        except (Gone, Conflict) as other:
            log.debug("ari.not_ours", call=channel, problem=str(other))
        except LineFailed as failed:
            log.warning("ari.claim_failed", call=channel, problem=str(failed))

    async def _serve(self, line: AriLine) -> None:
        """The life of one call. However it ends, the caller does not stay here in silence."""
        channel = line.caller.channel
        try:
            await self._on_call(line)
        except HungUp:
            log.debug("ari.hung_up", call=channel)
        except Exception:  # the end of a call: whatever broke, the caller goes on to the dialplan's fallback
            log.exception("ari.call_failed", call=channel)
        await self._let_go(line)
        if self._lines.get(channel) is line:
            del self._lines[channel]

    async def _let_go(self, line: AriLine) -> None:
        """Give a caller whom nobody drives any more to the dialplan; ends when he is there or gone, sockets may come and go."""
        while line.hung_up is None and not line.released:
            try:
                await line.let_go()
            except (Refused, HungUp) as refused:
                log.info("ari.not_let_go", call=line.caller.channel, problem=str(refused))
                return
            except LineFailed:
                await self.connected.wait()

    async def _catch_up(self) -> None:
        """After connecting: ask for only what we use, then find out what was missed without a socket."""
        try:
            await self._ask_for_less()
            for line in list(self._lines.values()):
                await self._look_after(line)
            if taken := await self.take_over(self._application):
                log.warning("ari.adopted", calls=taken, application=self._application)
        except LineFailed as failed:
            log.warning("ari.not_caught_up", application=self._application, problem=str(failed))

    async def _ask_for_less(self) -> None:
        """A filter in the switch: a third of the events. It filters answers to requests too, unless they are named (22.10)."""
        names = [{"type": name} for name in USED]
        await self.request("PUT", path("applications", self._application, "eventFilter"), body={"allowed": names})

    async def _look_after(self, line: AriLine) -> None:
        channel = line.caller.channel
        try:
            await self.request("GET", path("channels", channel))
            if playback := line.playing:
                await self._look_after_playback(line, playback)
        except Gone:
            self._gone(channel, "", HangupSeen(channel, ""))

    async def _look_after_playback(self, line: AriLine, playback: str) -> None:
        try:
            await self.request("GET", path("playbacks", playback))
        except Gone:
            line.played_unheard(playback)

    async def _move_here(self, channel: str) -> int:
        query = {"app": self._application, "appArgs": TAKEOVER}
        try:
            await self.request("POST", path("channels", channel, "move"), query=query)
        except (Gone, Conflict, Unsafe) as lost:
            log.info("ari.not_taken_over", call=channel, problem=str(lost))
            return 0
        return 1

    # --- tasks ---

    def _soon(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._small_tasks.add(task)
        task.add_done_callback(self._small_tasks.discard)

    async def _stop_tasks(self) -> None:
        """Calls stay where they are in the switch: another node, or this one after a restart, takes them over."""
        tasks = [*self._tasks.values(), *self._small_tasks]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _refusal(status: int, what: str) -> Refused:
    kind = {GONE_STATUS: Gone, CONFLICT_STATUS: Conflict}.get(status, Refused)
    return kind(status, what)


def _delay_s(failures: int) -> float:
    """Full jitter, so that nodes which lost the switch together do not come back together."""
    return random.uniform(RETRY_MIN_S / 2, min(RETRY_MAX_S, RETRY_MIN_S * 2 ** min(failures, 10)))


def _in_short(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}"[:200]
