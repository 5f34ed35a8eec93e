"""Is anybody there? One clock asks all browsers of a node, some at each tick, and ends the connections that do not answer or do not take.

Judged is what the browser says, not the socket: a machine that sleeps, a process that hangs and a network that swallows leave sockets
open for hours. A timer for each browser, and a timeout for each message, cost more than what is said: 2,000 browsers are asked 1,000
times a second.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from screenpop.protocol import CLOSE_TOO_SLOW, Closed
from screenpop.seat import Socket

PING_S = 2.0  # also while much is said: the answer is the proof
SILENCE_S = 6.0  # a browser not heard of for so long is gone
SEND_WAIT_S = 5.0  # for one message to be taken
PARTS = 40  # of a round of pings: with 2,000 browsers, 50 are asked every 50 ms
JUDGED_EVERY = 8  # ticks: 0.4 s
STOPPED_S = 1.0  # a tick so late says that this process stood still, and not the browsers


@dataclass(eq=False)
class Line:
    """One connection as the clock sees it; times are the loop's, in seconds. Whoever serves it waits for `over`."""

    socket: Socket
    over: asyncio.Event = field(default_factory=asyncio.Event)
    why: Closed | None = None
    heard_s: float = 0.0
    sending_since_s: float | None = None  # None: no message waits to be taken

    def heard(self) -> None:
        self.heard_s = asyncio.get_running_loop().time()

    def end(self, why: Closed) -> None:
        """The first reason counts."""
        self.why = self.why or why
        self.over.set()


class Pulse:
    """The lines of a node. `clock_s` is what the browsers are told."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._parts: list[set[Line]] = [set() for _ in range(PARTS)]

    def watch(self, line: Line) -> None:
        """Its browser has just been heard. Until `forget`."""
        line.heard()
        min(self._parts, key=len).add(line)

    def forget(self, line: Line) -> None:
        for part in self._parts:
            part.discard(line)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        for turn in itertools.count():
            await asyncio.sleep(PING_S / PARTS)
            now_s = loop.time()
            late_s, before_s = now_s - before_s - PING_S / PARTS, now_s
            if late_s > STOPPED_S:
                self.stood_still(late_s)
            self.ask(self._parts[turn % PARTS])
            for part in self._parts[turn % JUDGED_EVERY :: JUDGED_EVERY]:
                judge(part, now_s)

    def ask(self, lines: Iterable[Line]) -> None:
        ping = f'{{"type":"ping","at_ms":{round(self._clock_s() * 1000)}}}'
        for line in lines:
            line.socket.send(ping)

    def stood_still(self, late_s: float) -> None:
        """This process did, for so long: what the browsers said meanwhile has not been read yet."""
        for line in itertools.chain(*self._parts):
            line.heard_s += late_s
            if line.sending_since_s is not None:
                line.sending_since_s += late_s


def judge(lines: Iterable[Line], now_s: float) -> None:
    """End those whose browser is gone, or does not take what it is sent."""
    for line in lines:
        if now_s - line.heard_s > SILENCE_S:
            line.end(Closed(CLOSE_TOO_SLOW, f"not heard of for {SILENCE_S:g} s"))
        elif line.sending_since_s is not None and now_s - line.sending_since_s > SEND_WAIT_S:
            line.end(Closed(CLOSE_TOO_SLOW, "a message was not taken in time"))
        elif line.socket.slow.is_set():
            line.end(Closed(CLOSE_TOO_SLOW, "this browser does not keep up: come back for a snapshot"))
