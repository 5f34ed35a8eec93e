"""One caller's life with us: written down, recognised, served by the flow; also a caller whom another node served until now.

Whatever breaks in here, the caller goes on to a person.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from cti import ledger, numbers
from cti.asterisk.ari_events import TAKEOVER
from cti.asterisk.ari_line import AriLine
from cti.config import Settings
from cti.db import AWAY, Database
from cti.identity import Evidence, decide
from cti.journal import CallNoted, Journal, JournalFull
from cti.line import LineFailed
from cti.metrics import Metrics
from cti.switchboard import Arrival, arrived
from ivr import conversation, proving
from ivr import store as flows
from ivr.named_areas import NamedAreas
from ivr.voice import Voice

log = structlog.get_logger(__name__)

ARRIVAL_DEADLINE_S = 1.0  # the caller hears something by then, whatever the database does
AWAY_DEADLINE_S = 0.1  # when it is known not to answer
TAKE_DEADLINE_S = 1.0  # for what another driver left behind; later than that the caller goes to the queue
FLOW = "main"


@dataclass(frozen=True)
class Means:
    """What a call needs of the house. `away`: the database is known not to answer; `renew` gives channels their time again."""

    settings: Settings
    db: Database
    voice: Voice
    journal: Journal
    metrics: Metrics
    clock: Callable[[], dt.datetime]
    away: Callable[[], bool]
    renew: Callable[[Sequence[str]], Awaitable[None]]


class Reception:
    """`open()` before the first call, then `serve` for each."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._flow: flows.Published | None = None
        self.areas = NamedAreas(means.db, means.voice, means.clock)
        self._older: dict[int, flows.Published] = {}  # versions that calls taken over are on
        self.calls = 0
        self.idle = asyncio.Event()  # set while nobody is in the flow here
        self.idle.set()

    async def open(self) -> None:
        """Read the flow that new calls get; from now on it is known without the database."""
        self._flow = await self._means.db.read(flows.published, FLOW)

    async def serve(self, line: AriLine) -> None:
        """Until the caller is in a queue, at the flow's end, or gone. Raises LineFailed when the switch must let him go."""
        self.calls += 1
        self.idle.clear()
        try:
            await self._serve(line)
        except Exception:
            self._means.metrics.failed.inc()
            raise
        finally:
            self.calls -= 1
            if self.calls == 0:
                self.idle.set()

    async def _serve(self, line: AriLine) -> None:
        kept: flows.Kept | None = None
        if line.why == TAKEOVER:
            arrival, kept = await self._taken_over(line)
        else:
            arrival = await self._arrival(line)
        means = self._means
        over = await conversation.run(
            line, arrival, db=means.db, voice=means.voice, flow=await self._flow_of(kept), settings=means.settings,
            clock=means.clock, journal=means.journal, away=means.away, areas_down=lambda: self.areas.spoken,
            resumed=kept, again=line.why == TAKEOVER,
        )  # fmt: skip
        if not over:
            raise LineFailed("the switch did not take the caller back")  # the door then lets go of the line

    async def _arrival(self, line: AriLine) -> Arrival:
        means = self._means
        try:
            async with asyncio.timeout(AWAY_DEADLINE_S if means.away() else ARRIVAL_DEADLINE_S):
                return await means.db.work(
                    arrived,
                    line.caller,
                    region=means.settings.default_region,
                    areas=means.settings.areas,
                    unseen_days=means.settings.link_unseen_days,
                    now=means.clock(),
                )
        except AWAY as error:
            log.warning("call.unwritten", call=line.caller.channel, error=f"{type(error).__name__}: {error}"[:160])
            return await self._unwritten(line)

    async def _unwritten(self, line: AriLine) -> Arrival:
        """The call goes on under an id that it keeps; who calls, the records cannot say now."""
        means, who, now = self._means, line.caller, self._means.clock()
        name = ledger.uuid7(now)
        entry = CallNoted(
            id=ledger.uuid7(now),
            at=now,
            conversation=name,
            channel=who.channel,
            did=who.did,
            raw=who.raw,
            name=who.name,
            asserted=who.asserted,
            diverted_from=who.diverted_from,
            attestation=who.attestation,
        )
        try:
            await means.journal.keep_soon(entry)
        except JournalFull as full:
            log.error("journal.full", call=who.channel, error=str(full))
        region, areas = means.settings.default_region, means.settings.areas
        number = numbers.parse(who.raw, region, numbers.area_of(who.did, region, areas), from_trunk=True)
        return Arrival(name, number, decide(number, (), Evidence(now=now)), written=False)

    async def _taken_over(self, line: AriLine) -> tuple[Arrival, flows.Kept | None]:
        """What the driver before us left behind; without the database nobody can know it, and the caller goes to the queue."""
        means = self._means
        await means.renew([line.caller.channel])
        try:
            async with asyncio.timeout(TAKE_DEADLINE_S):
                return await means.db.work(_take, line, means.settings, means.clock())
        except AWAY as error:
            raise LineFailed(f"what the node before us kept of this call cannot be read: {error!r}"[:200]) from error

    async def _flow_of(self, kept: flows.Kept | None) -> flows.Published:
        assert self._flow is not None
        if kept is None or kept.version == self._flow.version:
            return self._flow
        if kept.version not in self._older:
            try:
                self._older[kept.version] = await self._means.db.read(flows.version, FLOW, kept.version)
            except (NoResultFound, *AWAY) as error:
                raise LineFailed(f"flow version {kept.version} cannot be read: {error!r}"[:200]) from error
        return self._older[kept.version]


def _take(session: Session, line: AriLine, settings: Settings, now: dt.datetime) -> tuple[Arrival, flows.Kept | None]:
    arrival = arrived(
        session, line.caller, region=settings.default_region, areas=settings.areas,
        unseen_days=settings.link_unseen_days, now=now,
    )  # fmt: skip
    arrival = proving.standing(session, arrival)
    return arrival, flows.take(session, arrival.conversation)
