"""The bus of several nodes that share one ledger: hints through an engine, the ledger for whatever they did not bring.

Own news is told at once, others' as soon as their hint comes; a number is never told twice. Hints of one node come in its commit order;
between nodes a smaller number may come a moment after a larger one. A hole among the numbers, a new connection, and POLL_S at the latest
make us read the ledger, so the engine may die, hang, forget or talk nonsense: it costs others' news a delay and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

import structlog

from cti.bus import Newest, Since, hints
from cti.bus.audience import Audience, Subscriber
from cti.bus.stream import EngineAway, Fields, Stream, heed_cancellation
from cti.bus.told import Told
from cti.events import Recorded

log = structlog.get_logger(__name__)

POLL_S = 1.0  # the guarantee: others' news is told this much after its commit, whatever the engine does
HOLE_S = 0.03  # a hole younger than this is two nodes that commit at once: the hint is on its way
REST_S = 0.005  # between two questions to the engine, so that a busy second costs 200 of them and not one per event
PAGE = 200  # events read from the ledger at once; between two pages the loop serves others
SEND_MAX = 2000  # hints that wait for the engine; more are dropped, and the other nodes read the ledger
BATCH_MAX = 100
RETRY_MIN_S = 0.2
RETRY_MAX_S = 5.0


class ClusterBus:
    """One node's place among several. `run` must run; without it own news is told, and nobody else's."""

    def __init__(self, stream: Stream, *, node: str, since: Since, newest: Newest) -> None:
        self.connected = asyncio.Event()
        self.told = self.healed = self.dropped = 0
        self._stream = stream
        self._node = node
        self._since = since
        self._newest = newest
        self._everyone = Audience()
        self._local = Audience()
        self._numbers = Told()
        self._begun = False  # the ledger has said where it stood when we came
        self._reading_fails = False
        self._away_said = False
        self._nonsense_heard = False
        self._waiting: deque[Recorded] = deque()
        self._something_waits = asyncio.Event()
        self._read_now = asyncio.Event()
        self._hole_timer: asyncio.TimerHandle | None = None

    def subscribe(self, subscriber: Subscriber, *, local_only: bool = False) -> Callable[[], None]:
        return (self._local if local_only else self._everyone).add(subscriber)

    def publish(self, news: Iterable[Recorded]) -> None:
        for recorded in news:
            self._tell(recorded)
            self._local.tell(recorded)  # even if we read it from the ledger before its commit had returned
            self._send_later(recorded)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._follow_ledger())
            parts.create_task(self._follow_stream())

    def _tell(self, recorded: Recorded) -> bool:
        """Was it new?"""
        if not self._numbers.take(recorded.seq):
            return False
        self.told += 1
        self._everyone.tell(recorded)
        if self._numbers.hole and self._hole_timer is None:
            self._watch_hole()
        return True

    # --- the ledger: the guarantee ---

    async def _follow_ledger(self) -> None:
        while True:
            self._read_now.clear()
            if await self._read_ledger():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._read_now.wait()
            else:
                await asyncio.sleep(POLL_S)

    async def _read_ledger(self) -> bool:
        """Did the ledger answer? What it says that nobody has told yet is told."""
        try:
            if not self._begun:
                self._numbers.pass_to(await self._newest())
                self._begun = True
            await self._tell_missed()
        except Exception as error:  # noqa: BLE001  the end of this look: a database is away in many ways, and is asked again
            if not self._reading_fails:
                log.warning("bus.ledger_away", error=repr(error), again_s=POLL_S)
            self._reading_fails = True
            return False
        if self._reading_fails:
            log.info("bus.ledger_back", seq=self._numbers.low)
        self._reading_fails = False
        return True

    async def _tell_missed(self) -> None:
        page: list[Recorded] | None = None
        while page is None or len(page) == PAGE:
            page = await self._since(self._numbers.low or 0, PAGE)
            for recorded in page:
                self.healed += self._tell_read(recorded)

    def _tell_read(self, recorded: Recorded) -> bool:
        """No later number is visible before an earlier one (cti/ledger.py), so what is missing before this one was never committed."""
        self._numbers.pass_to(recorded.seq - 1)
        return self._tell(recorded)

    def _watch_hole(self) -> None:
        self._hole_timer = asyncio.get_running_loop().call_later(HOLE_S, self._look_at_hole, self._numbers.low)

    def _look_at_hole(self, low: int | None) -> None:
        self._hole_timer = None
        if self._numbers.low == low:
            self._read_now.set()
        elif self._numbers.hole:
            self._watch_hole()  # another one, younger

    # --- the engine: hints ---

    async def _follow_stream(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = RETRY_MIN_S
        while True:
            began = loop.time()
            try:
                await self._connection()
            except EngineAway as away:
                self._lost(away)
            finally:
                self.connected.clear()
                await self._stream.close()
            heed_cancellation()
            pause_s = RETRY_MIN_S if loop.time() - began > RETRY_MAX_S else min(2 * pause_s, RETRY_MAX_S)
            await asyncio.sleep(random.uniform(RETRY_MIN_S, pause_s))

    async def _connection(self) -> None:
        """One connection's life: ends by raising."""
        await self._stream.open()
        log.info("bus.connected", engine=self._stream.place)
        self._away_said = False
        self.connected.set()
        self._read_now.set()  # what came while we were away
        pair = [asyncio.create_task(self._hear()), asyncio.create_task(self._send())]
        try:  # no TaskGroup: in 3.11 it leaves a task that it cancelled itself looking cancelled from outside
            await asyncio.wait(pair, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in pair:
                task.cancel()
            ends = await asyncio.gather(*pair, return_exceptions=True)
        raise next(
            end for end in ends if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError)
        )

    async def _hear(self) -> None:
        while True:
            for fields in await self._stream.hear():
                self._take(fields)
            await asyncio.sleep(REST_S)

    def _take(self, fields: Fields) -> None:
        try:
            if self._begun and not self._numbers.has(hints.number(fields)):
                self._tell(hints.recorded(fields))
        except hints.Garbled as error:
            if not self._nonsense_heard:  # once: it may come by the thousand, and what it hides is in the ledger
                log.warning("bus.garbled", engine=self._stream.place, error=str(error))
            self._nonsense_heard = True

    def _send_later(self, recorded: Recorded) -> None:
        if len(self._waiting) >= SEND_MAX:
            self.dropped += 1
            return
        self._waiting.append(recorded)
        self._something_waits.set()

    async def _send(self) -> None:
        while True:
            await self._something_waits.wait()
            while self._waiting:
                batch = list(islice(self._waiting, BATCH_MAX))
                await self._stream.send([hints.entry(recorded, self._node) for recorded in batch])
                for _ in batch:
                    self._waiting.popleft()  # only now: what an ending connection took or not is sent again
                await asyncio.sleep(REST_S)
            self._something_waits.clear()

    def _lost(self, away: EngineAway) -> None:
        if not self._away_said:
            log.warning("bus.engine_away", engine=self._stream.place, error=str(away), poll_s=POLL_S)
        self._away_said = True
