"""Asterisk's manager events -> facts of queues, agents and channels. Pure: messages and times in, facts out.

`Rings` remembers which devices ring for whom, because no single event says why a device stopped. Orders as seen on
Asterisk 22.10 (tests/cti/asterisk/data holds them as captured):

    rang out            AgentRingNoAnswer, DialEnd NOANSWER, DialEnd CANCEL, Hangup(device)
    refused             HangupRequest(device, cause 17 or 21), DialEnd NOANSWER, AgentRingNoAnswer, Hangup(device)
    answered elsewhere  DialEnd ANSWER(winner), DialEnd CANCEL(loser), Hangup(loser), AgentConnect(winner)
    caller hung up      HangupRequest(caller), DialEnd CANCEL, QueueCallerAbandon and both Hangups in any order
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from cti.asterisk.wire import shown
from cti.line import (
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

Message = Mapping[str, list[str]]

TEXT_CHARS_MAX = 160
RINGS_MAX = 10_000  # far above any switch; memory stays bounded even if Hangup events were to get lost
TRUNK = "PJSIP/trunk"
CONVERSATION, DID = "SANTRAL_CALL", "SANTRAL_DID"
REASON_BY_CAUSE = {"17": "busy", "18": "no_answer", "19": "no_answer", "21": "rejected"}  # Q.850, of the device's leg
STATE = {"0": "ready", "1": "ready", "6": "ringing", "4": "unavailable", "5": "unavailable"}  # the rest: in_use
COMPLETED_BY = {"agent": "agent", "caller": "caller", "transfer": "transfer"}


def first(message: Message, key: str) -> str:
    """The first value of a key: a later one may be a stranger's. Empty when there is none, or Asterisk's `<unknown>`."""
    values = message.get(key)
    text = shown(values[0], TEXT_CHARS_MAX) if values else ""
    return "" if text == "<unknown>" else text


def variable(message: Message, name: str) -> str:
    """A channel variable that travels with the event (manager.conf, channelvars)."""
    for value in message.get("ChanVariable", ()):
        if value.startswith(f"{name}="):
            return shown(value.partition("=")[2], TEXT_CHARS_MAX)
    return ""


@dataclass(frozen=True)
class Channel:
    """A channel of the switch, as CoreShowChannels lists it; `linked` is the caller's leg that it belongs to."""

    id: str
    linked: str
    device: str
    state: str
    conversation: str
    number_raw: str = ""
    did: str = ""
    queue: str = ""  # whose application it runs; for a caller who waits or talks


@dataclass(frozen=True)
class Snapshot:
    """How the switch stood when we asked: what a gap is closed with."""

    members: tuple[MemberChanged, ...]
    waiting: tuple[QueueJoined, ...]
    channels: Mapping[str, Channel]


def snapshot(queue_status: list[Message], channels: list[Message], read_at_s: float) -> Snapshot:
    """The answers to QueueStatus and CoreShowChannels, as one value."""
    live = {each.id: each for each in map(_channel, channels) if each.id}
    members = [_member(event, read_at_s) for event in queue_status if first(event, "Event") == "QueueMember"]
    entries = [_entry(event, live, read_at_s) for event in queue_status if first(event, "Event") == "QueueEntry"]
    return Snapshot(tuple(members), tuple(entries), live)


class Rings:
    """Who rings for whom, folded over the events; it gives every ringing exactly one end."""

    def __init__(self) -> None:
        self._ringing: dict[str, DeviceRinging] = {}  # by the device's channel
        self._answered: dict[str, DeviceRinging] = {}  # picked up, until its channel is gone
        self._joined: dict[str, float] = {}  # when a caller came into his queue, by channel, our clock

    def facts(self, event: Message, read_at_s: float) -> list[Fact]:
        """What one event says. The same event twice says nothing new about a ringing."""
        teller = TELLERS.get(first(event, "Event"))
        return list(teller(self, event, read_at_s)) if teller else []

    def resync(self, now: Snapshot, read_at_s: float, asked_at_s: float | None = None) -> list[Fact]:
        """What must have happened while nobody listened, then how things stand: ends first, beginnings last. What began after the
        switch was asked (`asked_at_s`) may be newer than its answer, so nothing is said about that."""
        compared = self._compare(now, read_at_s, read_at_s if asked_at_s is None else asked_at_s)
        return [each if isinstance(each, MemberChanged) else replace(each, reconstructed=True) for each in compared]

    def _compare(self, now: Snapshot, read_at_s: float, asked_at_s: float) -> list[Fact]:
        facts: list[Fact] = []
        older = {each: ring for each, ring in self._ringing.items() if ring.read_at_s < asked_at_s}
        for device_channel in [each for each in older if each not in now.channels]:
            facts += self._stop(device_channel, "lost", read_at_s)
        for device_channel in [each for each in older if each in now.channels and now.channels[each].state == "Up"]:
            facts += self._picked_up(self._ringing[device_channel], read_at_s, waited_s=None)
        for channel in [each for each, at in self._joined.items() if each not in now.channels and at < asked_at_s]:
            del self._joined[channel]
            facts.append(ChannelGone(read_at_s, channel, ""))
        self._answered = {
            each: ring for each, ring in self._answered.items() if each in now.channels or ring.read_at_s >= asked_at_s
        }
        facts += now.members
        for entry in now.waiting:
            self._joined.setdefault(entry.channel, read_at_s - entry.waited_s)
            facts.append(entry)
        return [*facts, *self._missed(now, read_at_s)]

    def _missed(self, now: Snapshot, read_at_s: float) -> Iterator[Fact]:
        """Devices that ring for a waiting caller or talk to one, and nobody told us."""
        agents = {member.device: member.agent for member in now.members}
        waiting = {entry.channel: entry for entry in now.waiting}
        for leg in now.channels.values():
            caller, entry = now.channels.get(leg.linked), waiting.get(leg.linked)
            if leg.device not in agents or caller is None or caller.id == leg.id or (entry and leg.state == "Up"):
                continue
            ring = DeviceRinging(
                read_at_s,
                channel=caller.id,
                conversation=caller.conversation,
                queue=entry.queue if entry else caller.queue,
                agent=agents[leg.device],
                device=leg.device,
                device_channel=leg.id,
                waited_s=entry.waited_s if entry else 0.0,
            )
            if entry:
                yield from self._began(ring)
            elif leg.state == "Up" and leg.id not in self._answered and len(self._answered) < RINGS_MAX:
                if caller.device.startswith(
                    TRUNK
                ):  # a call nobody wrote down is known from here on; colleagues' talks are not ours
                    yield QueueJoined(
                        read_at_s, caller.id, caller.conversation, caller.queue, caller.number_raw, caller.did
                    )
                yield ring
                yield from self._picked_up(ring, read_at_s, waited_s=0.0)

    # --- one event each ---

    def caller_joined(self, event: Message, read_at_s: float) -> Iterator[Fact]:
        channel = first(event, "Uniqueid")
        self._remember_joined(channel, read_at_s)
        yield QueueJoined(
            read_at_s,
            channel=channel,
            conversation=variable(event, CONVERSATION),
            queue=first(event, "Queue"),
            number_raw=first(event, "CallerIDNum"),
            did=variable(event, DID),
        )

    def caller_left(self, event: Message, read_at_s: float) -> Iterator[Fact]:
        """Abandoned, or (QueueCallerLeave) out of the queue for any reason: nobody can go on ringing for him."""
        channel = first(event, "Uniqueid")
        yield from self._stop_all(channel, read_at_s)
        if first(event, "Event") == "QueueCallerAbandon":
            yield QueueLeft(read_at_s, channel, first(event, "Queue"))

    def device_called(self, event: Message, read_at_s: float) -> Iterator[Fact]:
        channel = first(event, "Uniqueid")
        ring = DeviceRinging(
            read_at_s,
            channel=channel,
            conversation=variable(event, CONVERSATION),
            queue=first(event, "Queue"),
            agent=first(event, "MemberName"),
            device=first(event, "Interface"),
            device_channel=first(event, "DestUniqueid"),
            waited_s=max(0.0, read_at_s - self._joined.get(channel, read_at_s)),
            number_raw=_number(event),
        )
        yield from self._began(ring)

    def rang_out(self, event: Message, read_at_s: float) -> Iterator[Fact]:
        yield from self._stop(first(event, "DestUniqueid"), "no_answer", read_at_s)

    def dial_ended(self, event: Message, read_at_s: float) -> Iterator[Fact]:
        device_channel = first(event, "DestUniqueid")
        match first(event, "DialStatus"):
            case "ANSWER" if ring := self._ringing.pop(device_channel, None):
                self._answered[device_channel] = ring
            case "CANCEL" if ring := self._ringing.get(device_channel):
                yield from self._stop(device_channel, self._why_cancelled(ring.channel), read_at_s)
            case "BUSY":
                yield from self._stop(device_channel, "busy", read_at_s)
            case "CONGESTION" | "CHANUNAVAIL":
                yield from self._stop(device_channel, "lost", read_at_s)
            case _:  # NOANSWER: AgentRingNoAnswer or the device's HangupRequest says it better
                return

    def hangup_requested(self, event: Message, read_at_s: float) -> Iterator[Fact]:
        """By a device that refuses, or by the caller while devices ring for him."""
        channel = first(event, "Uniqueid")
        yield from self._stop(channel, REASON_BY_CAUSE.get(first(event, "Cause"), "lost"), read_at_s)
        yield from self._stop_all(channel, read_at_s)

    def connected(self, event: Message, read_at_s: float) -> Iterator[Fact]:
        device_channel = first(event, "DestUniqueid")
        ring = self._ringing.get(device_channel) or self._answered.get(device_channel)
        if ring is None:  # we came too late to hear it ring
            seen = list(self.device_called(event, read_at_s - _seconds(event, "RingTime")))
            yield from seen
            ring = self._ringing.get(device_channel)
        if ring is not None:
            yield from self._picked_up(ring, read_at_s, waited_s=_seconds(event, "HoldTime"))

    def completed(self, event: Message, read_at_s: float) -> Iterator[Fact]:
        yield TalkEnded(
            read_at_s,
            channel=first(event, "Uniqueid"),
            agent=first(event, "MemberName"),
            device_channel=first(event, "DestUniqueid"),
            talked_s=_seconds(event, "TalkTime"),
            by=COMPLETED_BY.get(first(event, "Reason"), "unknown"),
        )

    def hung_up(self, event: Message, read_at_s: float) -> Iterator[Fact]:
        channel = first(event, "Uniqueid")
        yield from self._stop(channel, "lost", read_at_s)
        yield from self._stop_all(channel, read_at_s)
        self._answered.pop(channel, None)
        self._joined.pop(channel, None)
        yield ChannelGone(read_at_s, channel, first(event, "Cause-txt"))

    def member_changed(self, event: Message, read_at_s: float) -> Iterator[Fact]:
        member = _member(event, read_at_s)
        yield replace(member, state="unavailable") if first(event, "Event") == "QueueMemberRemoved" else member

    # --- the memory ---

    def _began(self, ring: DeviceRinging) -> Iterator[Fact]:
        known = ring.device_channel in self._ringing or ring.device_channel in self._answered
        if ring.device_channel and not known and len(self._ringing) < RINGS_MAX:
            self._ringing[ring.device_channel] = ring
            yield ring

    def _stop(self, device_channel: str, reason: str, read_at_s: float) -> Iterator[Fact]:
        if ring := self._ringing.pop(device_channel, None):
            yield DeviceStopped(read_at_s, ring.channel, ring.agent, device_channel, reason)

    def _stop_all(self, channel: str, read_at_s: float) -> Iterator[Fact]:
        """Every device that still rings for this caller."""
        for device_channel in [each for each, ring in self._ringing.items() if ring.channel == channel]:
            yield from self._stop(device_channel, self._why_cancelled(channel), read_at_s)

    def _why_cancelled(self, channel: str) -> str:
        answered = any(ring.channel == channel for ring in self._answered.values())
        return "answered_elsewhere" if answered else "caller_left"

    def _picked_up(self, ring: DeviceRinging, read_at_s: float, waited_s: float | None) -> Iterator[Fact]:
        self._ringing.pop(ring.device_channel, None)
        self._answered[ring.device_channel] = ring
        joined = self._joined.get(ring.channel)
        waited = read_at_s - joined if joined is not None else waited_s or ring.waited_s
        rang_s = max(0.0, read_at_s - ring.read_at_s)
        yield DeviceAnswered(read_at_s, ring.channel, ring.agent, ring.device_channel, max(0.0, waited), rang_s)
        yield from self._stop_all(ring.channel, read_at_s)

    def _remember_joined(self, channel: str, read_at_s: float) -> None:
        if len(self._joined) < RINGS_MAX:
            self._joined[channel] = read_at_s


Teller = Callable[[Rings, Message, float], Iterator[Fact]]

TELLERS: Mapping[str, Teller] = {
    "QueueCallerJoin": Rings.caller_joined,
    "QueueCallerLeave": Rings.caller_left,
    "QueueCallerAbandon": Rings.caller_left,
    "AgentCalled": Rings.device_called,
    "AgentRingNoAnswer": Rings.rang_out,
    "AgentConnect": Rings.connected,
    "AgentComplete": Rings.completed,
    "DialEnd": Rings.dial_ended,
    "HangupRequest": Rings.hangup_requested,
    "Hangup": Rings.hung_up,
    "QueueMemberStatus": Rings.member_changed,
    "QueueMemberPause": Rings.member_changed,
    "QueueMemberAdded": Rings.member_changed,
    "QueueMemberRemoved": Rings.member_changed,
}
LISTED = ("QueueMember", "QueueEntry", "QueueStatusComplete", "CoreShowChannel", "CoreShowChannelsComplete")


def _member(event: Message, read_at_s: float) -> MemberChanged:
    """QueueMember calls the same things by other names than its sisters."""
    return MemberChanged(
        read_at_s,
        agent=first(event, "MemberName") or first(event, "Name"),
        device=first(event, "Interface") or first(event, "Location"),
        queue=first(event, "Queue"),
        state="in_use" if first(event, "InCall") == "1" else STATE.get(first(event, "Status"), "in_use"),
        paused=first(event, "Paused") == "1",
        reason=first(event, "PausedReason"),
    )


def _entry(event: Message, live: Mapping[str, Channel], read_at_s: float) -> QueueJoined:
    channel = first(event, "Uniqueid")
    return QueueJoined(
        read_at_s,
        channel=channel,
        conversation=live[channel].conversation if channel in live else "",
        queue=first(event, "Queue"),
        number_raw=_number(event),
        waited_s=_seconds(event, "Wait"),
    )


def _channel(event: Message) -> Channel:
    return Channel(
        id=first(event, "Uniqueid"),
        linked=first(event, "Linkedid"),
        device=first(event, "Channel").rpartition("-")[0],  # PJSIP/ali-0000001f is a call of the device PJSIP/ali
        state=first(event, "ChannelStateDesc"),
        conversation=variable(event, CONVERSATION),
        number_raw=_number(event),
        did=variable(event, DID),
        queue=first(event, "ApplicationData").partition(",")[0] if first(event, "Application") == "Queue" else "",
    )


def _number(event: Message) -> str:
    """The caller's, as the dialplan cleaned it."""
    number = first(event, "CallerIDNum")
    return "" if number == "unknown" else number


def _seconds(event: Message, key: str) -> float:
    """Whole seconds, as Asterisk counts them; 0 when there is no such number."""
    text = first(event, key)
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0
