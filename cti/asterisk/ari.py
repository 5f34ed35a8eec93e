"""A node's calls: which ones it claims, takes over, drives with a task each, and lets go of again.

A call's order is kept because one line hears its events one after the other; calls do not wait for one another. The switch alone knows
whose a call is. A node that was stopped for a while (SIGSTOP, a machine that swaps) may have lost its calls to another one in the
meantime without having heard of it, so after every gap it asks before it commands (`_sure`): two nodes never drive one call.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, assert_never

import structlog

from cti.asterisk.ari_events import READERS as USED
from cti.asterisk.ari_events import (
    TAKEOVER,
    Answered,
    Entered,
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
    started_at,
)
from cti.asterisk.ari_line import AriLine, Conflict, Gone, Refused, playbacks
from cti.asterisk.ari_socket import AriSocket
from cti.asterisk.wire import Unsafe, path
from cti.line import ChannelGone, HungUp, LineFailed

log = structlog.get_logger(__name__)

PULSE_S = 0.1
PING_PULSES = 10  # while we drive calls, the switch is asked for a sign of life this often
DEAF_S = 0.7  # it owes us an answer for so long: our calls are given up, and their dead-man's switches act
STALLED_S = 0.5  # our loop did not run for this long: another node may have our calls (it waits at least 1 s before it takes them)
MOVES_AT_ONCE = 16
CLAIMED_S = 1.0


async def _at_once() -> None:
    """Nothing has to be waited for."""


class Ari:
    """One node at one switch. `run()` keeps the socket open and drives the calls until it is cancelled or replaced."""

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
        before_release: Callable[[], Awaitable[None]] = _at_once,
        on_taken_away: Callable[[str], None] = lambda channel: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`on_call` is the life of one call: it may raise what it likes, the caller then goes to the dialplan's fallback.

        `may_claim` is asked for each new call and must not wait. `before_release` is awaited before a call is given back to the
        dialplan; `on_taken_away` hears of one that went without us. `clock` gives Unix seconds for facts.
        """
        self._application = application
        self._on_call, self._may_claim = on_call, may_claim
        self._claims: set[str] = set()  # calls that we claim, until they are here or somebody else's
        self._on_channel_gone, self._on_replaced = on_channel_gone, on_replaced
        self._before_release, self._on_taken_away = before_release, on_taken_away
        self._clock = clock
        self._socket = AriSocket(host, port, user, password, application, opened=self._opened, heard=self._hand_on)
        self.connected = self._socket.connected
        self.request = self._socket.request
        self._lines: dict[str, AriLine] = {}
        self._tasks: dict[AriLine, asyncio.Task[None]] = {}
        self._small_tasks: set[asyncio.Task[None]] = set()
        self._replaced = False
        self._awake_at = 0.0  # the loop's clock, when our loop last ran for certain
        self._asking: asyncio.Task[None] | None = (
            None  # whose are my calls? Set from the gap until the switch has answered
        )

    @property
    def calls(self) -> int:
        """How many calls this node drives at the moment."""
        return len(self._lines)

    @property
    def claiming(self) -> int:
        """Calls that we have asked for and that are not here yet."""
        return len(self._claims)

    @property
    def driven(self) -> list[str]:
        """The channels that wait for us to do something, and may not be given up by the switch. Empty while it is not sure whose
        they are, or whether the switch still hears us."""
        if self._stalled() or self._socket.unanswered_s > DEAF_S:
            return []
        lines = self._lines.values()
        return [
            each.caller.channel for each in lines if not each.released and not each.leaving and each.hung_up is None
        ]

    async def run(self) -> None:
        """Returns when another socket replaced ours."""
        self._awake_at = _now()
        pulse = asyncio.create_task(self._pulse(), name="ari-pulse")
        try:
            await self._socket.run()
        finally:
            pulse.cancel()
            await self._stop_tasks()

    async def take_over(self, application: str) -> int:
        """Move the calls of a dead node's application to this one; returns how many. Each comes as a line, why=takeover.

        Raises LineFailed.
        """
        try:
            listed = await self.request("GET", path("applications", application))
        except Gone:
            return 0
        room = asyncio.Semaphore(MOVES_AT_ONCE)

        async def move(channel: str) -> int:
            async with room:
                return await self._move_here(channel)

        moves = [move(channel) for channel in channel_ids(listed.body) if channel not in self._lines]
        return sum(await asyncio.gather(*moves))

    async def let_all_go(self) -> None:
        """Every caller to the dialplan, which has a queue for him; ends when all are there."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*(self._let_go(line) for line in list(self._lines.values())))

    async def name_of(self, channel: str) -> str:
        """The channel's name, `PJSIP/1001-0000002a`; "" when there is no such channel. Raises LineFailed."""
        try:
            answer = await self.request("GET", path("channels", channel))
        except Gone:
            return ""
        return channel_name(answer.body)

    async def switch_started_at(self) -> dt.datetime:
        """When the switch itself was started: what it carried before is no more. Raises LineFailed."""
        return started_at((await self.request("GET", "asterisk/info", query={"only": "status"})).body)

    async def hang_up(self, channel: str) -> None:
        """End a channel, ours or not; one that is gone is fine. Raises LineFailed."""
        with contextlib.suppress(Gone):
            await self.request("DELETE", path("channels", channel))

    # --- what is heard ---

    def _hand_on(self, said: Said) -> None:
        match said:
            case Answered():
                raise AssertionError("answers end in the socket")
            case Offered(channel=channel):
                if channel not in self._lines and self._may_claim():
                    self._claims.add(channel)
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
        self._claims.discard(said.channel)
        line = AriLine(said, self._command, self._before_release)
        self._lines[said.channel] = line
        task = asyncio.create_task(self._serve(line), name=f"call={said.channel}")
        self._tasks[line] = task
        task.add_done_callback(lambda _: self._tasks.pop(line, None))

    def _left(self, channel: str) -> None:
        line = self._lines.pop(channel, None)
        if line and line.hung_up is None and not line.released:
            log.warning("ari.taken_away", call=channel, by="another node, or the dialplan")
            self._on_taken_away(channel)
            self._tasks[line].cancel()

    def _gone(self, channel: str, cause: str, said: HangupSeen) -> None:
        line = self._lines.get(channel)
        if line and line.hung_up is None:
            line.heard(said)
            self._on_channel_gone(ChannelGone(self._clock(), channel, cause))

    def _be_replaced(self) -> None:
        log.error("ari.replaced", application=self._application, hint="is a second node running under this name?")
        self._replaced = True
        self._socket.stop()
        for task in self._tasks.values():
            task.cancel()
        self._on_replaced()

    # --- calls ---

    async def _claim(self, channel: str) -> None:
        claim = {"channelId": channel, "application": self._application}
        try:
            await self.request("POST", "events/claim", query=claim)  # 204: StasisStart follows, or came already
            await asyncio.sleep(CLAIMED_S)  # a caller who hung up in between never comes
        except (Gone, Conflict) as other:
            log.debug("ari.not_ours", call=channel, problem=str(other))
        except LineFailed as failed:
            log.warning("ari.claim_failed", call=channel, problem=str(failed))
        finally:
            self._claims.discard(channel)

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

    async def _let_go(self, line: AriLine) -> None:
        """Give a caller whom nobody drives any more to the dialplan; ends when he is there or gone, sockets may come and go."""
        while line.hung_up is None and not line.released:
            try:
                await line.let_go()
            except (Refused, HungUp) as refused:
                log.info("ari.not_let_go", call=line.caller.channel, problem=str(refused))
                break
            except LineFailed:
                await self.connected.wait()
        if self._lines.get(line.caller.channel) is line:
            del self._lines[line.caller.channel]

    # --- whose are my calls? ---

    async def _pulse(self) -> None:
        for pulse in itertools.count(1):
            await asyncio.sleep(PULSE_S)
            if self._lines and pulse % PING_PULSES == 0:
                self._soon(self._ping())
            if self._lines and self._stalled():
                log.warning("ari.stalled", stalled_s=round(_now() - self._awake_at, 2), calls=self.calls)
                self._doubt()
            self._awake_at = _now()

    async def _ping(self) -> None:
        with contextlib.suppress(LineFailed):
            await self.request("GET", "asterisk/ping")

    def _stalled(self) -> bool:
        """Did our loop not run for a while, or do we still ask what became of our calls?"""
        return self._asking is not None or _now() - self._awake_at > STALLED_S

    def _doubt(self) -> None:
        self._awake_at = _now()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_whose(), name="ari-whose")

    async def _ask_whose(self) -> None:
        """Ends when the switch has said which calls are in our application; the others are no longer ours."""
        while True:
            try:
                listed = await self.request("GET", path("applications", self._application))
                break
            except Gone:
                listed = None
                break
            except LineFailed as failed:
                log.warning("ari.not_sure", problem=str(failed))
                await self.connected.wait()
        ours = set(channel_ids(listed.body)) if listed else set()
        for channel, line in list(self._lines.items()):
            if channel not in ours and line.hung_up is None:
                await self._lost(line)
        self._asking = None

    async def _lost(self, line: AriLine) -> None:
        """A call that is not in our application any more: gone from the switch, or with somebody else."""
        channel = line.caller.channel
        try:
            await self.request("GET", path("channels", channel))
            self._left(channel)
        except Gone:
            self._gone(channel, "", HangupSeen(channel, ""))
        except LineFailed:
            self._left(channel)

    async def _command(
        self,
        method: str,
        uri: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout_s: float = 2.0,
    ) -> Answered:
        """A line's request: sent only when it is certain that the call is still ours."""
        if self._stalled():
            self._doubt()
        if self._asking is not None:
            await asyncio.shield(self._asking)
        return await self.request(method, uri, query=query, body=body, timeout_s=timeout_s)

    # --- after connecting ---

    def _opened(self) -> None:
        self._soon(self._catch_up())

    async def _catch_up(self) -> None:
        """After connecting: ask for only what we use, then find out what was missed without a socket."""
        try:
            await self._ask_for_less()
            if self._lines:
                self._doubt()
            if self._asking is not None:
                await asyncio.shield(self._asking)
            for line in list(self._lines.values()):
                await self._look_after_playback(line)
                line.unheard()
            if taken := await self.take_over(self._application):
                log.warning("ari.adopted", calls=taken, application=self._application)
        except LineFailed as failed:
            log.warning("ari.not_caught_up", application=self._application, problem=str(failed))

    async def _ask_for_less(self) -> None:
        """A filter in the switch: a third of the events. It filters answers to requests too, unless they are named (22.10)."""
        names = [{"type": name} for name in USED]
        await self.request("PUT", path("applications", self._application, "eventFilter"), body={"allowed": names})

    async def _look_after_playback(self, line: AriLine) -> None:
        playback = line.playing
        if not playback:
            return
        try:
            await self.request("GET", path("playbacks", playback))
        except Gone:
            line.played_unheard(playback)

    async def _move_here(self, channel: str) -> int:
        query = {"app": self._application, "appArgs": TAKEOVER}
        try:
            # What plays would hold the move up until its end, and the caller's keys would be lost meanwhile.
            await asyncio.gather(*(self._silence(playback) for playback in playbacks(channel)))
            await self.request("POST", path("channels", channel, "move"), query=query)
        except (Gone, Conflict, Unsafe) as lost:
            log.info("ari.not_taken_over", call=channel, problem=str(lost))
            return 0
        return 1

    async def _silence(self, playback: str) -> None:
        with contextlib.suppress(Gone):
            await self.request("DELETE", path("playbacks", playback))

    # --- tasks ---

    def _soon(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._small_tasks.add(task)
        task.add_done_callback(self._small_tasks.discard)

    async def _stop_tasks(self) -> None:
        """Calls stay where they are in the switch: another node, or this one after a restart, takes them over."""
        tasks = [*self._tasks.values(), *self._small_tasks, *([self._asking] if self._asking else [])]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _now() -> float:
    return asyncio.get_running_loop().time()
