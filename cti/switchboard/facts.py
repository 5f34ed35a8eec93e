"""Facts from the line -> events and rows, idempotently: hearing the same fact twice changes nothing the second time.

Every function here is one piece of work (cti.db): it appends to the ledger and keeps the conversation's row in step. Who calls them, in
which order and after which doubts, is in desk.py.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass
from functools import singledispatch

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from cti import calls, ledger, numbers
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
from cti.identity import UNSEEN_DAYS, Evidence, Identification
from cti.ledger import EventRow
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
from cti.numbers import NO_AREAS, Areas
from cti.records import callbacks, contact_points, recordings, timeline
from cti.records.conversations import Conversation, Offer

UNHEARD = "gone while nobody listened"  # the cause of an end that was only found out afterwards
INTERRUPTED = "the switch was restarted"  # and the caller with it: somebody calls him back
AGENT_STATES_READ = 5000  # of the ledger's newest, to find each agent's last one


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
    written: bool = True  # False: the database was away, and nothing of this stands there yet


def arrived(
    session: Session,
    caller: Caller,
    *,
    region: str,
    now: dt.datetime,
    areas: Areas = NO_AREAS,
    unseen_days: int = UNSEEN_DAYS,
    claimed: bool = True,
    conversation: str = "",
) -> Arrival:
    """Write down a new call and who it may be. The same channel again gives the same conversation.

    `areas`: of our own numbers, for callers who come without an area code (see numbers.area_of). `conversation`: the id under which
    it goes on already, because the database was away when the call came. `unseen_days`: see identity.expired.
    """
    number = numbers.parse(caller.raw, region, numbers.area_of(caller.did, region, areas), from_trunk=True)
    vouched = _vouched(caller, number, region)
    given = Evidence(
        now=now, attestation=vouched.attestation, diverted_from=vouched.diverted_from, unseen_days=unseen_days
    )
    identification = contact_points.identify(session, number, now, given)
    known = session.connection().scalar(CONVERSATION_OF, {"channel": caller.channel})
    if known is not None:
        return Arrival(known, number, identification)
    row = _new_row(conversation or ledger.uuid7(now), caller, number, identification, vouched, now)
    point = contact_points.ensure_form(session, "phone", number.e164, raw=number.raw, now=now) if number.e164 else None
    session.add(row)
    ledger.append_all(session, _arrival_events(row, caller, number, identification, vouched, claimed), now=now)
    timeline.begin_call(session, row, point.id if point else None, now)
    return Arrival(row.id, number, identification)


@dataclass(frozen=True)
class _Vouched:
    """What the trunk says of the caller beside his number. Evidence only: nobody is matched by it (docs/decisions/0012)."""

    asserted: str
    diverted_from: str
    attestation: str

    def shown(self, number: numbers.Number) -> dict[str, str] | None:
        """What people may see: never the number of somebody who withheld it."""
        told = {name: value for name, value in dataclasses.asdict(self).items() if value}
        if number.kind is numbers.Kind.WITHHELD:
            told.pop("asserted", None)
        return told or None


def _vouched(caller: Caller, number: numbers.Number, region: str) -> _Vouched:
    asserted = numbers.parse(caller.asserted, region, from_trunk=True).e164 or ""
    diverter = numbers.parse(caller.diverted_from, region, from_trunk=True)
    return _Vouched("" if asserted == number.e164 else asserted, diverter.e164 or diverter.raw, caller.attestation)


def _arrival_events(
    row: Conversation, caller: Caller, number: numbers.Number, who: Identification, vouched: _Vouched, claimed: bool
) -> list[CallEvent]:
    return [
        CallArrived(
            conversation=row.id, channel=caller.channel, did=caller.did, raw=number.raw, number=number.e164,
            number_kind=number.kind.value, caller_name=row.caller_name, claimed=claimed,
            **dataclasses.asdict(vouched),
        ),
        CallIdentified(
            conversation=row.id, outcome=who.outcome.value, level=int(who.level), method="caller_id",
            candidates=who.candidates,
        ),
    ]  # fmt: skip


def _new_row(
    conversation: str, caller: Caller, number: numbers.Number, who: Identification, vouched: _Vouched, now: dt.datetime
) -> Conversation:
    return Conversation(
        id=conversation, channel=caller.channel, did=caller.did[:40], raw=number.raw, number=number.e164,
        number_kind=number.kind.value, caller_name=caller.name.replace("\0", "")[:500], outcome=who.outcome.value, level=int(who.level),
        candidates=plain_of(who.candidates),
        subscription_id=who.carriers[0] if len(who.carriers) == 1 else None, state=calls.State.IVR.value, arrived_at=now,
        evidence=vouched.shown(number),
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
    reconstructed: bool = False,
) -> str:
    """The caller goes to a queue. Returns the id of the recording that the switch is to make, whose row stands from now on;
    empty when the caller is gone already."""
    row = session.get_one(Conversation, conversation)
    if row.state == calls.State.ENDED or (row.state == calls.State.QUEUED and row.recording):
        return row.recording or ""  # hung up meanwhile, or asked twice
    row.queue, row.intent, row.queued_at, row.language = queue, intent, now, language or row.language
    row.recording = recordings.expect(session, conversation=conversation, now=now)
    _happened(session, row, CallQueued(
        conversation=conversation, queue=queue, intent=intent, by=by, reconstructed=reconstructed
    ), now)  # fmt: skip
    return row.recording


def of_channel(session: Session, channel: str) -> Conversation | None:
    """The conversation whose caller's leg this is."""
    return session.scalar(OF_CHANNEL, {"channel": channel})


def open_channels(session: Session) -> list[tuple[str, dt.datetime]]:
    """The callers' legs of all conversations that have no end yet, and when they came."""
    still_open = select(Conversation.channel, Conversation.arrived_at).where(Conversation.state != calls.State.ENDED)
    return [(row.channel, row.arrived_at) for row in session.execute(still_open)]


def open_devices(session: Session, before: dt.datetime) -> list[str]:
    """Agents' legs that ring or talk, as far as we know, and did so already before this moment."""
    busy = Offer.state.in_(("offered", "answered")), Offer.ended_at.is_(None), Offer.offered_at < before
    return list(session.scalars(select(Offer.device_channel).where(*busy)))


def agent_states(session: Session) -> dict[str, tuple[str, str]]:
    """What the ledger said last of each agent: state and reason."""
    newest = select(EventRow).where(EventRow.type == AgentStateChanged.type).order_by(EventRow.seq.desc())
    states: dict[str, tuple[str, str]] = {}
    for row in session.scalars(newest.limit(AGENT_STATES_READ)):
        event = AgentStateChanged.of(row.body)
        states.setdefault(event.agent, (event.state, event.reason))
    return states


def _offer(session: Session, device_channel: str) -> Offer | None:
    return session.scalar(OF_DEVICE_CHANNEL, {"device_channel": device_channel})


def _happened(session: Session, row: Conversation, event: CallEvent, now: dt.datetime, key: str | None = None) -> None:
    row.state = calls.after(calls.State(row.state), event).value
    _append(session, event, now, key)


def _append(session: Session, event: CallEvent, now: dt.datetime, key: str | None = None) -> None:
    ledger.append(session, event, now=now, key=key)


# --- facts of the switch ---


@singledispatch
def take(fact: Fact, session: Session, now: dt.datetime, region: str, areas: Areas = NO_AREAS) -> None:
    """Write one fact. Facts about calls that are not ours (no conversation, no queue) leave no trace."""


@take.register
def _(fact: QueueJoined, session: Session, now: dt.datetime, region: str, areas: Areas = NO_AREAS) -> None:
    row = of_channel(session, fact.channel)
    if row is None:
        caller = Caller(fact.channel, fact.did, fact.number_raw, "")
        arrival = arrived(session, caller, region=region, areas=areas, now=now, claimed=False)
        row = session.get_one(Conversation, arrival.conversation)
    if row.state in (calls.State.IVR, calls.State.CLEARED):
        by = "flow" if fact.conversation else "fallback"
        queued(
            session, conversation=row.id, queue=fact.queue, intent=row.intent or "unknown", now=now, by=by,
            reconstructed=fact.reconstructed,
        )  # fmt: skip


@take.register
def _(fact: DeviceRinging, session: Session, now: dt.datetime, region: str, areas: Areas = NO_AREAS) -> None:
    row = of_channel(session, fact.channel)
    if row is None or row.state == calls.State.ENDED or _offer(session, fact.device_channel) is not None:
        return
    waited_s = fact.waited_s or _since_s(row.queued_at or row.arrived_at, now)
    offer = Offer(
        id=ledger.uuid7(now), conversation_id=row.id, agent=fact.agent, device=fact.device,
        device_channel=fact.device_channel, offered_at=now,
    )  # fmt: skip
    session.add(offer)
    read_at = dt.datetime.fromtimestamp(fact.read_at_s, dt.UTC).isoformat()
    _happened(session, row, CallDelivered(
        conversation=row.id, offer=offer.id, agent=fact.agent, queue=fact.queue or row.queue, device=fact.device,
        device_channel=fact.device_channel, waited_s=round(waited_s, 1), read_at=read_at, reconstructed=fact.reconstructed,
    ), now, f"delivered:{fact.device_channel}")  # fmt: skip


@take.register
def _(fact: DeviceStopped, session: Session, now: dt.datetime, region: str, areas: Areas = NO_AREAS) -> None:
    offer = _offer(session, fact.device_channel)
    if offer is not None:
        withdraw(session, offer, fact.reason, now, reconstructed=fact.reconstructed)


@take.register
def _(fact: DeviceAnswered, session: Session, now: dt.datetime, region: str, areas: Areas = NO_AREAS) -> None:
    offer = _offer(session, fact.device_channel)
    if offer is None or offer.state != "offered":
        return
    row = session.get_one(Conversation, offer.conversation_id)
    for other in _open_offers(session, row.id):
        if other.id != offer.id:
            withdraw(session, other, "answered_elsewhere", now)
    offer.state, row.agent, row.answered_at, row.cleared_at = "answered", fact.agent, now, None
    _happened(session, row, CallAnswered(
        conversation=row.id, offer=offer.id, agent=fact.agent, waited_s=fact.waited_s, rang_s=fact.rang_s,
        reconstructed=fact.reconstructed,
    ), now, f"answered:{offer.id}")  # fmt: skip


@take.register
def _(fact: TalkEnded, session: Session, now: dt.datetime, region: str, areas: Areas = NO_AREAS) -> None:
    offer = _offer(session, fact.device_channel)
    if offer is not None:
        _cleared(session, offer, fact.talked_s, fact.by, now)


@take.register
def _(fact: QueueLeft, session: Session, now: dt.datetime, region: str, areas: Areas = NO_AREAS) -> None:
    row = of_channel(session, fact.channel)
    if row is not None:
        _withdraw_all(session, row.id, now)


@take.register
def _(fact: ChannelGone, session: Session, now: dt.datetime, region: str, areas: Areas = NO_AREAS) -> None:
    row = of_channel(session, fact.channel)
    if row is not None:
        if row.state != calls.State.ENDED:
            _ended(session, row, fact, now)
        return
    offer = _offer(session, fact.channel)
    if offer is not None and offer.state == "offered":
        withdraw(session, offer, "lost", now, reconstructed=fact.reconstructed)
    elif offer is not None:
        _cleared(session, offer, None, "unknown", now, reconstructed=fact.reconstructed)


@take.register
def _(fact: MemberChanged, session: Session, now: dt.datetime, region: str, areas: Areas = NO_AREAS) -> None:
    state, reason = agent_state(fact)
    ledger.append(session, AgentStateChanged(agent=fact.agent, state=state, reason=reason), now=now)


def agent_state(fact: MemberChanged) -> tuple[str, str]:
    """An agent's state and its reason, as the ledger says it."""
    state = "paused" if fact.paused else "unavailable" if fact.state == "unavailable" else "ready"
    return state, fact.reason


def withdraw(session: Session, offer: Offer, reason: str, now: dt.datetime, *, reconstructed: bool = False) -> None:
    """The offer ends without this agent; done once, whatever else is heard about it."""
    if offer.state != "offered":
        return
    offer.state, offer.reason, offer.ended_at = "withdrawn", reason, now
    _append(session, CallDiverted(
        conversation=offer.conversation_id, offer=offer.id, agent=offer.agent, reason=reason, reconstructed=reconstructed
    ), now, f"diverted:{offer.id}")  # fmt: skip


def _open_offers(session: Session, conversation: str) -> list[Offer]:
    return list(session.scalars(OPEN_OFFERS, {"conversation": conversation}))


def _open_talks(session: Session, conversation: str) -> list[Offer]:
    answered = select(Offer).where(Offer.conversation_id == conversation, Offer.state == "answered")
    return list(session.scalars(answered.where(Offer.ended_at.is_(None))))


def _withdraw_all(session: Session, conversation: str, now: dt.datetime) -> None:
    for offer in _open_offers(session, conversation):
        withdraw(session, offer, "caller_left", now)


def _cleared(
    session: Session, offer: Offer, talked_s: float | None, by: str, now: dt.datetime, *, reconstructed: bool = False
) -> None:
    if offer.state != "answered" or offer.ended_at is not None:
        return
    row = session.get_one(Conversation, offer.conversation_id)
    offer.ended_at, row.cleared_at = now, now
    talked = talked_s if talked_s is not None else _since_s(row.answered_at or now, now)
    _happened(session, row, CallCleared(
        conversation=row.id, offer=offer.id, agent=offer.agent, talked_s=round(talked, 1), by=by, reconstructed=reconstructed
    ), now, f"cleared:{offer.id}")  # fmt: skip


def _since_s(then: dt.datetime, now: dt.datetime) -> float:
    """Where the switch did not count itself. A clock that was set back in between makes it nothing, never less."""
    return max(0.0, (now - then).total_seconds())


def _ended(session: Session, row: Conversation, fact: ChannelGone, now: dt.datetime) -> None:
    cause = fact.cause
    _withdraw_all(session, row.id, now)
    for talk in _open_talks(session, row.id):  # the agent's leg may end unheard: by a crash, or while nobody listened
        _cleared(session, talk, None, "unknown", now, reconstructed=fact.reconstructed)
    reason = (
        "lost"
        if cause in (UNHEARD, INTERRUPTED)
        else calls.end_reason(calls.State(row.state), served=row.ticket_id is not None)
    )
    row.ended_at, row.end_reason = now, reason
    _happened(session, row, CallEnded(
        conversation=row.id, reason=reason, cause=cause, reconstructed=fact.reconstructed
    ), now, f"ended:{row.id}")  # fmt: skip
    if cause == INTERRUPTED:
        callbacks.want_once(
            session, conversation=row.id, reason="interrupted", number=row.number, party=row.party_id,
            subscription=row.subscription_id, ticket=row.ticket_id, now=now,
        )  # fmt: skip
    timeline.record_call(session, row, now)
