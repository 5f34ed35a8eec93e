"""The one place of a node where the switch's facts are taken, in the order in which they were read.

Of several nodes at one switch only the leader writes; the others keep what they heard for a few seconds, so that whoever leads next
writes what the dead one no longer could: hearing a fact twice changes nothing. While the database is away facts wait here.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cti.db import AWAY, Database
from cti.line import ChannelGone, DeviceRinging, DeviceStopped, Fact, MemberChanged, TalkEnded
from cti.numbers import NO_AREAS, Areas
from cti.records import effects
from cti.switchboard.facts import agent_state, agent_states, take

log = structlog.get_logger(__name__)

FACTS_WAITING_MAX = 10_000  # more than this and the switch is read anew instead (see Switchboard.take)
FACTS_AT_ONCE_MAX = 200
FACTS_LOCK = 0x53414E46  # "SANF": the advisory lock on PostgreSQL of whoever writes facts; asked for before any row
HELD_MAX = 5_000  # facts that the leader is to write; the oldest are forgotten first
HELD_S = 10.0  # a dead leader is followed after about a second
LATE_S = 2.0  # a fact that was read this long ago keeps that time in the ledger
CONFIRM_S = 2.0
UNNOTICED_S = 3.0  # that the database is away may be found out so late
PROBE = "switchboard"
AGAIN_S = 0.5  # between two attempts to write while the database is away


def _take_turn(session: Session) -> None:
    """Two nodes may both believe for a moment that they lead. Each has many calls in hand, in another order: without turns they would
    wait for each other's rows."""
    if session.connection().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": FACTS_LOCK})


@dataclass(frozen=True)
class Member:
    """An agent's place at the switch, as last heard."""

    device: str
    phone: str  # ready | ringing | in_use | unavailable
    paused: bool
    reason: str


Confirm = Callable[[DeviceRinging], Awaitable[bool]]


class Switchboard:
    """`run()` writes facts until it is cancelled. `leads`: this node speaks for the switch."""

    def __init__(
        self, db: Database, *, clock: Callable[[], dt.datetime], region: str, confirm: Confirm, areas: Areas = NO_AREAS
    ) -> None:
        self._db = db
        self._clock = clock
        self._region = region
        self._areas = areas
        self._confirm = confirm
        self._facts: asyncio.Queue[Fact] = asyncio.Queue(FACTS_WAITING_MAX)
        self._held: deque[Fact] = deque(maxlen=HELD_MAX)
        self._confirming: dict[str, asyncio.Future[bool]] = {}  # by the ringing device's channel
        self._told: dict[str, tuple[str, str]] | None = None  # what the ledger says of each agent; None: not read yet
        self.leads = True
        self.away = False  # the database is: facts wait, and `unwritten` hears of them
        self.members: dict[str, Member] = {}
        self.overflowed = asyncio.Event()  # set: facts were dropped, read the switch anew
        self.changed: Callable[[str], None] = lambda agent: None  # an agent's member state is another
        self.unwritten: Callable[[Fact], None] = lambda fact: None

    def take(self, fact: Fact) -> None:
        """Never waits and never raises: a full queue means that the switch is read anew (reconciling) instead of losing order."""
        if isinstance(fact, MemberChanged):
            self._member(fact)
        if isinstance(fact, DeviceRinging):
            self._ask(fact)
        if self.away or isinstance(fact, DeviceStopped | TalkEnded | ChannelGone):
            self.unwritten(fact)  # ends always: what rang while the database was away may stop when it is back
        if self.leads:
            self._put(fact)
        else:
            self._held.append(fact)

    def database_away(self, away: bool) -> None:
        """What this node found out by itself. Who does not write learns it only so; what he heard just before is not written either."""
        if away and not self.away and not self.leads:
            since_s = self._clock().timestamp() - UNNOTICED_S
            for fact in [each for each in self._held if each.read_at_s >= since_s]:
                self.unwritten(fact)
        self.away = away

    def _put(self, fact: Fact) -> None:
        try:
            self._facts.put_nowait(fact)
        except asyncio.QueueFull:
            self.overflowed.set()

    @property
    def crowded(self) -> bool:
        """So much waits to be written that no further call should be taken."""
        return self._facts.qsize() > FACTS_WAITING_MAX * 0.8

    def lead(self, leads: bool) -> None:
        """From now on we write, beginning with what the leader before us may have left; or somebody else does."""
        if leads and not self.leads:
            self._told = None
            since_s = self._clock().timestamp() - HELD_S
            held = [fact for fact in self._held if fact.read_at_s >= since_s]
            self._held.clear()
            self.leads = True
            for fact in held:
                self._put(fact)
        self.leads = leads

    async def run(self) -> None:
        while True:
            facts = [await self._facts.get()]
            while not self._facts.empty() and len(facts) < FACTS_AT_ONCE_MAX:
                facts.append(self._facts.get_nowait())
            if facts := await self._real(facts):
                await self._write(facts)

    async def _write(self, facts: list[Fact]) -> None:
        """Until they are durable. A fact that cannot be written although the database is there must not take others along."""
        while True:
            try:
                news = await self._news(facts)
                await self._db.work(self._take_all, news)
            except AWAY as error:
                if not await self._is_away(facts, error):
                    break
            except Exception as error:  # noqa: BLE001  one bad fact must not take its neighbours along
                log.warning("switchboard.group_failed", error=repr(error), facts=len(facts))
                break
            else:
                self._remember(news)
                self.away = False
                return
        for fact in facts:
            await self._write_alone(fact)

    async def _is_away(self, facts: Sequence[Fact], error: BaseException) -> bool:
        """Waits a moment; False when the database answers and it is these facts that it does not take."""
        if not self.away:
            self.away = True
            log.warning("switchboard.database_away", error=repr(error)[:200], facts=len(facts))
            for fact in facts:
                self.unwritten(fact)
        await asyncio.sleep(AGAIN_S)
        try:
            await self._db.work(effects.probe, PROBE, self._clock())
        except AWAY:
            return True
        self.away = False
        return False

    async def _write_alone(self, fact: Fact) -> None:
        try:
            await self._db.work(self._take_all, await self._news([fact]))
            self._remember([fact])
        except AWAY as error:
            log.warning("switchboard.fact_not_kept", fact=type(fact).__name__, error=repr(error)[:200])
            self.overflowed.set()  # what happened meanwhile is read from the switch
        except (SQLAlchemyError, ValueError, LookupError, AssertionError) as error:
            log.error(
                "switchboard.fact_failed",
                fact=type(fact).__name__,
                call=getattr(fact, "channel", ""),
                error=repr(error),
            )

    def _take_all(self, session: Session, facts: Sequence[Fact]) -> None:
        _take_turn(session)
        for fact in facts:
            take(fact, session, self._when(fact), self._region, self._areas)
            session.flush()

    def _when(self, fact: Fact) -> dt.datetime:
        """Now, or when it was read if that is a while ago."""
        now = self._clock()
        return now if now.timestamp() - fact.read_at_s < LATE_S else dt.datetime.fromtimestamp(fact.read_at_s, dt.UTC)

    # --- what counts ---

    async def _real(self, facts: list[Fact]) -> list[Fact]:
        """A ringing device counts only when the switch confirms it: AMI's text is but a trigger."""
        real = await asyncio.gather(*(self._is_real(fact, facts) for fact in facts), return_exceptions=True)
        for broken in (each for each in real if isinstance(each, Exception)):
            log.error("switchboard.confirm_failed", error=repr(broken))
        return [fact for fact, is_real in zip(facts, real, strict=True) if is_real is True]

    async def _is_real(self, fact: Fact, among: Sequence[Fact]) -> bool:
        if not isinstance(fact, DeviceRinging):
            return True
        asked = self._confirming.pop(fact.device_channel, None)
        confirmed = await (asked or self._is_confirmed(fact))
        if not confirmed and not (confirmed := self._is_over(fact, among)):
            log.warning("switchboard.ringing_not_confirmed", call=fact.channel, agent=fact.agent)
        return confirmed

    def _ask(self, ringing: DeviceRinging) -> None:
        """The switch is asked now, however much later the fact is written, and whether or not it is we who write it."""
        self._confirming[ringing.device_channel] = asyncio.ensure_future(self._is_confirmed(ringing))
        if len(self._confirming) > HELD_MAX:
            del self._confirming[next(iter(self._confirming))]

    async def _is_confirmed(self, ringing: DeviceRinging) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONFIRM_S):
                return await self._confirm(ringing)
        return False

    def _is_over(self, ringing: DeviceRinging, among: Sequence[Fact]) -> bool:
        """It rang while we were stopped, and what became of it came with it: nobody will be shown anything because of it."""
        if self._clock().timestamp() - ringing.read_at_s < LATE_S:
            return False
        gone = any(isinstance(each, ChannelGone) and each.channel == ringing.device_channel for each in among)
        stopped = (DeviceStopped, TalkEnded)
        return gone or any(isinstance(e, stopped) and e.device_channel == ringing.device_channel for e in among)

    async def _news(self, facts: Sequence[Fact]) -> list[Fact]:
        """Without what the ledger says already of an agent."""
        if self._told is None:
            self._told = await self._db.read(agent_states)
        told = dict(self._told)
        news: list[Fact] = []
        for fact in facts:
            if isinstance(fact, MemberChanged):
                if told.get(fact.agent) == agent_state(fact):
                    continue
                told[fact.agent] = agent_state(fact)
            news.append(fact)
        return news

    def _remember(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            if isinstance(fact, MemberChanged) and self._told is not None:
                self._told[fact.agent] = agent_state(fact)

    def _member(self, fact: MemberChanged) -> None:
        before = self.members.get(fact.agent)
        member = Member(fact.device, fact.state, fact.paused, fact.reason)
        self.members[fact.agent] = member
        if before != member:
            self.changed(fact.agent)
