"""Facts from the line -> events and rows, idempotently: hearing the same fact twice changes nothing the second time.

Every function here is one piece of work (cti.db): it appends to the ledger and keeps the conversation's row in step. The class at the end
takes the switch's facts in order, confirms that a ringing device is real, and writes what waits as one piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import singledispatch

import structlog
from sqlalchemy import bindparam, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from cti import calls, ledger, numbers
from cti.db import Database, DatabaseTimeout, Overloaded
from cti.events import (
    AgentStateChanged,
    CallAnswered,
    CallArrived,
    CallCleared,
    CallDelivered,
    CallDiverted,
    CallEnded,
    CallEvent,
    CallIdentified,
    CallQueued,
    plain_of,
)
from cti.identity import Identification
from cti.line import (
    Caller,
    ChannelGone,
    DeviceAnswered,
    DeviceRinging,
    DeviceStopped,
    Fact,
    MemberChanged,
    QueueJoined,
    QueueLeft,
    TalkEnded,
)
from cti.records import contact_points, recordings, timeline
from cti.records.conversations import Conversation, Offer

log = structlog.get_logger(__name__)

UNHEARD = "gone while nobody listened"  # the cause of an end that was only found out afterwards
FACTS_WAITING_MAX = 10_000  # more than this and the switch is read anew instead (see Switchboard.take)
FACTS_AT_ONCE_MAX = 200


# Asked for every fact, so they are made once: making one costs more than running it.
OF_CHANNEL = select(Conversation).where(Conversation.channel == bindparam("channel"))
CONVERSATION_OF = select(Conversation.id).where(Conversation.channel == bindparam("channel"))
OF_DEVICE_CHANNEL = select(Offer).where(Offer.device_channel == bindparam("device_channel"))
OPEN_OFFERS = select(Offer).where(Offer.conversation_id == bindparam("conversation"), Offer.state == "offered")


@dataclass(frozen=True)
class Arrival:
    """A call that reached us, and what its number says."""

    conversation: str
    number: numbers.Number
    identification: Identification


def arrived(session: Session, caller: Caller, *, region: str, now: dt.datetime, claimed: bool = True) -> Arrival:
    """Write down a new call and who it may be. The same channel again gives the same conversation."""
    number = numbers.parse(caller.raw, region)
    identification = contact_points.identify(session, number, now)
    known = session.connection().scalar(CONVERSATION_OF, {"channel": caller.channel})
    if known is not None:
        return Arrival(known, number, identification)
    row = _new_row(caller, number, identification, now)
    point = contact_points.ensure_form(session, "phone", number.e164, raw=number.raw, now=now) if number.e164 else None
    session.add(row)
    ledger.append_all(session, _arrival_events(row, caller, number, identification, claimed), now=now)
    timeline.begin_call(session, row, point.id if point else None, now)
    return Arrival(row.id, number, identification)


def _arrival_events(
    row: Conversation, caller: Caller, number: numbers.Number, who: Identification, claimed: bool
) -> list[CallEvent]:
    return [
        CallArrived(
            conversation=row.id, channel=caller.channel, did=caller.did, raw=number.raw, number=number.e164,
            number_kind=number.kind.value, caller_name=row.caller_name, claimed=claimed,
        ),
        CallIdentified(
            conversation=row.id, outcome=who.outcome.value, level=int(who.level), method="caller_id",
            candidates=who.candidates,
        ),
    ]  # fmt: skip


def _new_row(caller: Caller, number: numbers.Number, who: Identification, now: dt.datetime) -> Conversation:
    return Conversation(
        id=ledger.uuid7(now), channel=caller.channel, did=caller.did[:40], raw=number.raw, number=number.e164,
        number_kind=number.kind.value, caller_name=caller.name.replace("\0", "")[:500], outcome=who.outcome.value, level=int(who.level),
        candidates=plain_of(who.candidates),
        subscription_id=who.carriers[0] if len(who.carriers) == 1 else None, state=calls.State.IVR.value, arrived_at=now,
    )  # fmt: skip


def queued(
    session: Session,
    *,
    conversation: str,
    queue: str,
    intent: str,
    now: dt.datetime,
    by: str = "flow",
    language: str = "",
) -> str:
    """The caller goes to a queue. Returns the id of the recording that the switch is to make, whose row stands from now on;
    empty when the caller is gone already."""
    row = session.get_one(Conversation, conversation)
    if row.state == calls.State.ENDED or (row.state == calls.State.QUEUED and row.recording):
        return row.recording or ""  # hung up meanwhile, or asked twice
    row.queue, row.intent, row.queued_at, row.language = queue, intent, now, language or row.language
    row.recording = recordings.expect(session, conversation=conversation, now=now)
    _happened(session, row, CallQueued(conversation=conversation, queue=queue, intent=intent, by=by), now)
    return row.recording


def of_channel(session: Session, channel: str) -> Conversation | None:
    """The conversation whose caller's leg this is."""
    return session.scalar(OF_CHANNEL, {"channel": channel})


def open_channels(session: Session, before: dt.datetime) -> list[str]:
    """The callers' legs of all conversations that came before this moment and have no end yet."""
    still_open = select(Conversation.channel).where(Conversation.state != calls.State.ENDED)
    return list(session.scalars(still_open.where(Conversation.arrived_at < before)))


def _offer(session: Session, device_channel: str) -> Offer | None:
    return session.scalar(OF_DEVICE_CHANNEL, {"device_channel": device_channel})


def _happened(session: Session, row: Conversation, event: CallEvent, now: dt.datetime, key: str | None = None) -> None:
    row.state = calls.after(calls.State(row.state), event).value
    _append(session, event, now, key)


def _append(session: Session, event: CallEvent, now: dt.datetime, key: str | None = None) -> None:
    ledger.append(session, event, now=now, key=key)


# --- facts of the switch ---


@singledispatch
def take(fact: Fact, session: Session, now: dt.datetime, region: str) -> None:
    """Write one fact. Facts about calls that are not ours (no conversation, no queue) leave no trace."""


@take.register
def _(fact: QueueJoined, session: Session, now: dt.datetime, region: str) -> None:
    row = of_channel(session, fact.channel)
    if row is None:
        caller = Caller(fact.channel, fact.did, fact.number_raw, "")
        arrival = arrived(session, caller, region=region, now=now, claimed=False)
        row = session.get_one(Conversation, arrival.conversation)
    if row.state in (calls.State.IVR, calls.State.CLEARED):
        by = "flow" if fact.conversation else "fallback"
        queued(session, conversation=row.id, queue=fact.queue, intent=row.intent or "unknown", now=now, by=by)


@take.register
def _(fact: DeviceRinging, session: Session, now: dt.datetime, region: str) -> None:
    row = of_channel(session, fact.channel)
    if row is None or row.state == calls.State.ENDED or _offer(session, fact.device_channel) is not None:
        return
    waited_s = fact.waited_s or (now - (row.queued_at or row.arrived_at)).total_seconds()
    offer = Offer(
        id=ledger.uuid7(now), conversation_id=row.id, agent=fact.agent, device=fact.device,
        device_channel=fact.device_channel, offered_at=now,
    )  # fmt: skip
    session.add(offer)
    read_at = dt.datetime.fromtimestamp(fact.read_at_s, dt.UTC).isoformat()
    _happened(session, row, CallDelivered(
        conversation=row.id, offer=offer.id, agent=fact.agent, queue=fact.queue or row.queue, device=fact.device,
        device_channel=fact.device_channel, waited_s=round(waited_s, 1), read_at=read_at,
    ), now, f"delivered:{fact.device_channel}")  # fmt: skip


@take.register
def _(fact: DeviceStopped, session: Session, now: dt.datetime, region: str) -> None:
    offer = _offer(session, fact.device_channel)
    if offer is not None:
        withdraw(session, offer, fact.reason, now)


@take.register
def _(fact: DeviceAnswered, session: Session, now: dt.datetime, region: str) -> None:
    offer = _offer(session, fact.device_channel)
    if offer is None or offer.state != "offered":
        return
    row = session.get_one(Conversation, offer.conversation_id)
    for other in _open_offers(session, row.id):
        if other.id != offer.id:
            withdraw(session, other, "answered_elsewhere", now)
    offer.state, row.agent, row.answered_at, row.cleared_at = "answered", fact.agent, now, None
    _happened(session, row, CallAnswered(
        conversation=row.id, offer=offer.id, agent=fact.agent, waited_s=fact.waited_s, rang_s=fact.rang_s
    ), now, f"answered:{offer.id}")  # fmt: skip


@take.register
def _(fact: TalkEnded, session: Session, now: dt.datetime, region: str) -> None:
    offer = _offer(session, fact.device_channel)
    if offer is not None:
        _cleared(session, offer, fact.talked_s, fact.by, now)


@take.register
def _(fact: QueueLeft, session: Session, now: dt.datetime, region: str) -> None:
    row = of_channel(session, fact.channel)
    if row is not None:
        _withdraw_all(session, row.id, now)


@take.register
def _(fact: ChannelGone, session: Session, now: dt.datetime, region: str) -> None:
    row = of_channel(session, fact.channel)
    if row is not None:
        if row.state != calls.State.ENDED:
            _ended(session, row, fact.cause, now)
        return
    offer = _offer(session, fact.channel)
    if offer is not None and offer.state == "offered":
        withdraw(session, offer, "lost", now)
    elif offer is not None:
        _cleared(session, offer, None, "unknown", now)


@take.register
def _(fact: MemberChanged, session: Session, now: dt.datetime, region: str) -> None:
    state = "paused" if fact.paused else "unavailable" if fact.state == "unavailable" else "ready"
    ledger.append(session, AgentStateChanged(agent=fact.agent, state=state, reason=fact.reason), now=now)


def withdraw(session: Session, offer: Offer, reason: str, now: dt.datetime) -> None:
    """The offer ends without this agent; done once, whatever else is heard about it."""
    if offer.state != "offered":
        return
    offer.state, offer.reason, offer.ended_at = "withdrawn", reason, now
    _append(session, CallDiverted(
        conversation=offer.conversation_id, offer=offer.id, agent=offer.agent, reason=reason
    ), now, f"diverted:{offer.id}")  # fmt: skip


def _open_offers(session: Session, conversation: str) -> list[Offer]:
    return list(session.scalars(OPEN_OFFERS, {"conversation": conversation}))


def _open_talks(session: Session, conversation: str) -> list[Offer]:
    answered = select(Offer).where(Offer.conversation_id == conversation, Offer.state == "answered")
    return list(session.scalars(answered.where(Offer.ended_at.is_(None))))


def _withdraw_all(session: Session, conversation: str, now: dt.datetime) -> None:
    for offer in _open_offers(session, conversation):
        withdraw(session, offer, "caller_left", now)


def _cleared(session: Session, offer: Offer, talked_s: float | None, by: str, now: dt.datetime) -> None:
    if offer.state != "answered" or offer.ended_at is not None:
        return
    row = session.get_one(Conversation, offer.conversation_id)
    offer.ended_at, row.cleared_at = now, now
    talked = talked_s if talked_s is not None else (now - (row.answered_at or now)).total_seconds()
    _happened(session, row, CallCleared(
        conversation=row.id, offer=offer.id, agent=offer.agent, talked_s=round(talked, 1), by=by
    ), now, f"cleared:{offer.id}")  # fmt: skip


def _ended(session: Session, row: Conversation, cause: str, now: dt.datetime) -> None:
    _withdraw_all(session, row.id, now)
    for talk in _open_talks(session, row.id):  # the agent's leg may end unheard: by a crash, or while nobody listened
        _cleared(session, talk, None, "unknown", now)
    reason = "lost" if cause == UNHEARD else calls.end_reason(calls.State(row.state), served=row.ticket_id is not None)
    row.ended_at, row.end_reason = now, reason
    _happened(session, row, CallEnded(conversation=row.id, reason=reason, cause=cause), now, f"ended:{row.id}")
    timeline.record_call(session, row, now)


# --- taking them in order ---


@dataclass(frozen=True)
class Member:
    """An agent's place at the switch, as last heard."""

    device: str
    phone: str  # ready | ringing | in_use | unavailable
    paused: bool
    reason: str


Confirm = Callable[[DeviceRinging], Awaitable[bool]]
AfterFact = Callable[[Fact], Awaitable[None]]


class Switchboard:
    """The one place where the switch's facts are taken, in the order in which they were read."""

    def __init__(self, db: Database, *, clock: Callable[[], dt.datetime], region: str, confirm: Confirm) -> None:
        self._db = db
        self._clock = clock
        self._region = region
        self._confirm = confirm
        self._facts: asyncio.Queue[Fact] = asyncio.Queue(FACTS_WAITING_MAX)
        self.members: dict[str, Member] = {}
        self.overflowed = asyncio.Event()  # set: facts were dropped, read the switch anew
        self.changed: Callable[[str], None] = lambda agent: None  # an agent's member state is another

    def take(self, fact: Fact) -> None:
        """Never waits and never raises: a full queue means that the switch is read anew (reconciling) instead of losing order."""
        try:
            self._facts.put_nowait(fact)
        except asyncio.QueueFull:
            self.overflowed.set()

    async def run(self) -> None:
        while True:
            facts = [await self._facts.get()]
            while not self._facts.empty() and len(facts) < FACTS_AT_ONCE_MAX:
                facts.append(self._facts.get_nowait())
            await self._write(facts)

    async def _write(self, facts: list[Fact]) -> None:
        kept = await asyncio.gather(*(self._real(fact) for fact in facts), return_exceptions=True)
        for broken in (each for each in kept if isinstance(each, Exception)):
            log.error("switchboard.confirm_failed", error=repr(broken))
        facts = [fact for fact, real in zip(facts, kept, strict=True) if real is True]
        if not facts:
            return
        try:
            await self._db.work(self._take_all, facts, self._clock())
        except Exception as error:  # noqa: BLE001  one bad fact must not take its neighbours along
            log.warning("switchboard.group_failed", error=repr(error), facts=len(facts))
            for fact in facts:
                await self._write_alone(fact)

    async def _write_alone(self, fact: Fact) -> None:
        try:
            await self._db.work(self._take_all, [fact], self._clock())
        except (DatabaseTimeout, Overloaded, OperationalError) as error:
            log.warning("switchboard.fact_not_kept", fact=type(fact).__name__, error=repr(error))
            self.overflowed.set()  # the database is away: what happened meanwhile is read from the switch
        except Exception as error:  # noqa: BLE001  the end of this fact; the switchboard goes on
            log.error(
                "switchboard.fact_failed",
                fact=type(fact).__name__,
                call=getattr(fact, "channel", ""),
                error=repr(error),
            )

    def _take_all(self, session: Session, facts: list[Fact], now: dt.datetime) -> None:
        for fact in facts:
            take(fact, session, now, self._region)
            session.flush()

    async def _real(self, fact: Fact) -> bool:
        """A fact of a member only counts when it says something new; a ringing device only when the switch confirms it."""
        if isinstance(fact, MemberChanged):
            return self._member(fact)
        if isinstance(fact, DeviceRinging):
            confirmed = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    confirmed = await self._confirm(fact)
            if not confirmed:
                log.warning("switchboard.ringing_not_confirmed", call=fact.channel, agent=fact.agent)
            return confirmed
        return True

    def _member(self, fact: MemberChanged) -> bool:
        before = self.members.get(fact.agent)
        member = Member(fact.device, fact.state, fact.paused, fact.reason)
        self.members[fact.agent] = member
        if before != member:
            self.changed(fact.agent)
        summary = (fact.paused, fact.state == "unavailable", fact.reason)
        return before is None or summary != (before.paused, before.phone == "unavailable", before.reason)
