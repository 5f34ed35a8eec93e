"""Blocks as Asterisk 22.10 wrote them, and the facts they mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.asterisk.ami import parse
from cti.asterisk.ami_facts import Message, Rings, first, snapshot
from cti.line import DeviceAnswered, DeviceRinging, DeviceStopped, Fact, MemberChanged, QueueJoined

DATA = Path(__file__).parent / "data"


def blocks(name: str) -> list[Message]:
    text = (DATA / f"{name}.txt").read_bytes().replace(b"\n", b"\r\n")
    return [parse(block) for block in text.split(b"\r\n\r\n") if block.strip()]


def story(facts: list[Fact]) -> list[str]:
    """Facts in short; members' states are another story."""
    said = []
    for fact in facts:
        words = [type(fact).__name__, getattr(fact, "agent", ""), getattr(fact, "reason", ""), getattr(fact, "by", "")]
        if not isinstance(fact, MemberChanged):
            said.append(" ".join(word for word in words if word))
    return said


def told(name: str) -> list[Fact]:
    rings = Rings()
    return [fact for at, block in enumerate(blocks(name)) for fact in rings.facts(block, float(at))]


STORIES = {
    "no_answer_then_next": [
        "QueueJoined",
        "DeviceRinging ali",
        "DeviceStopped ali no_answer",
        "ChannelGone",
        "DeviceRinging bora",
        "DeviceAnswered bora",
        "TalkEnded bora caller",
        "ChannelGone",
        "ChannelGone",
    ],
    "busy_then_next": [
        "QueueJoined",
        "DeviceRinging ali",
        "DeviceStopped ali busy",
        "ChannelGone",
        "DeviceRinging bora",
        "DeviceAnswered bora",
        "TalkEnded bora caller",
        "ChannelGone",
        "ChannelGone",
    ],
    "declined_then_next": [
        "QueueJoined",
        "DeviceRinging ali",
        "DeviceStopped ali rejected",
        "ChannelGone",
        "DeviceRinging bora",
        "DeviceAnswered bora",
        "TalkEnded bora caller",
        "ChannelGone",
        "ChannelGone",
    ],
    "caller_hangs_up_while_ringing": [
        "QueueJoined",
        "DeviceRinging ali",
        "DeviceStopped ali caller_left",
        "QueueLeft",
        "ChannelGone",
        "ChannelGone",
    ],
    "answered_elsewhere": [
        "QueueJoined",
        "DeviceRinging bora",
        "DeviceRinging ali",
        "DeviceStopped ali answered_elsewhere",
        "ChannelGone",
        "DeviceAnswered bora",
        "TalkEnded bora caller",
        "ChannelGone",
        "ChannelGone",
    ],
    "caller_hangs_up_while_two_ring": [
        "QueueJoined",
        "DeviceRinging bora",
        "DeviceRinging ali",
        "DeviceStopped bora caller_left",
        "DeviceStopped ali caller_left",
        "ChannelGone",
        "ChannelGone",
        "QueueLeft",
        "ChannelGone",
    ],
    "agent_hangs_up": [
        "QueueJoined",
        "DeviceRinging ali",
        "DeviceAnswered ali",
        "TalkEnded ali agent",
        "ChannelGone",
        "ChannelGone",
    ],
}


@pytest.mark.parametrize("name", STORIES)
def test_captured_call_is_told_in_order(name):
    assert story(told(name)) == STORIES[name]


@pytest.mark.parametrize("name", STORIES)
def test_every_ringing_has_exactly_one_end_even_when_each_event_comes_twice(name):
    rings = Rings()
    facts = [fact for block in blocks(name) for _ in range(2) for fact in rings.facts(block, 0.0)]
    began = [fact.device_channel for fact in facts if isinstance(fact, DeviceRinging)]
    ended = [fact.device_channel for fact in facts if isinstance(fact, DeviceStopped)]
    answered = {fact.device_channel for fact in facts if isinstance(fact, DeviceAnswered)}
    assert len(began) == len(set(began))
    assert sorted(began) == sorted([*ended, *answered])


def test_conversation_number_and_queue_travel_with_the_caller():
    facts = told("no_answer_then_next")
    joined = next(fact for fact in facts if isinstance(fact, QueueJoined))
    ringing = next(fact for fact in facts if isinstance(fact, DeviceRinging))
    assert (joined.conversation, joined.number_raw, joined.queue) == ("0199-call", "+905321112233", "default")
    assert (ringing.conversation, ringing.device, ringing.agent) == ("0199-call", "PJSIP/ali", "ali")
    assert ringing.channel == joined.channel
    assert ringing.waited_s == ringing.read_at_s - joined.read_at_s


def test_whoever_did_not_hear_it_ring_still_hears_of_the_ringing_and_the_answer():
    rings = Rings()
    late = [block for block in blocks("agent_hangs_up") if first(block, "Event") in ("AgentConnect", "AgentComplete")]
    facts = [fact for block in late for fact in rings.facts(block, 50.0)]
    assert story(facts) == ["DeviceRinging ali", "DeviceAnswered ali", "TalkEnded ali agent"]


def test_device_that_vanishes_without_a_word_is_lost():
    rings = Rings()
    heard = [block for block in blocks("no_answer_then_next") if first(block, "Event") in ("AgentCalled", "Hangup")]
    facts = [fact for block in heard[:2] for fact in rings.facts(block, 1.0)]
    assert story(facts) == ["DeviceRinging ali", "DeviceStopped ali lost", "ChannelGone"]


def test_gap_is_closed_with_ends_first_then_the_present_state():
    rings = Rings()
    for block in blocks("caller_hangs_up_while_two_ring"):
        if first(block, "Event") in ("QueueCallerJoin", "AgentCalled"):
            rings.facts(block, 1.0)
    status = blocks("queue_status")
    now = snapshot(status, [each for each in status if first(each, "Event") == "CoreShowChannel"], 60.0)
    facts = rings.resync(now, 60.0)
    assert story(facts) == [
        "DeviceStopped bora lost",
        "DeviceStopped ali lost",
        "ChannelGone",
        "QueueJoined",
        "DeviceRinging bora",
    ]
    members = [fact for fact in facts if isinstance(fact, MemberChanged)]
    assert [(each.agent, each.device, each.state, each.paused, each.reason) for each in members] == [
        ("ali", "PJSIP/ali", "ready", True, "break"),
        ("bora", "PJSIP/bora", "ready", False, ""),
    ]
    joined = next(fact for fact in facts if isinstance(fact, QueueJoined))
    assert (joined.conversation, joined.waited_s) == ("0199-call", 1.0)


def test_switch_restarted_in_the_gap_everything_is_gone():
    rings = Rings()
    for block in blocks("agent_hangs_up"):
        if first(block, "Event") in ("QueueCallerJoin", "AgentCalled"):
            rings.facts(block, 1.0)
    facts = rings.resync(snapshot([], [], 9.0), 9.0)
    assert story(facts) == ["DeviceStopped ali lost", "ChannelGone"]


words = st.text(max_size=30)
names = st.sampled_from(
    ["AgentCalled", "AgentConnect", "DialEnd", "Hangup", "HangupRequest", "QueueCallerJoin", "QueueMemberStatus", "X"]
)
keys = st.sampled_from(
    ["Uniqueid", "DestUniqueid", "Cause", "DialStatus", "HoldTime", "ChanVariable", "Status", "Queue"]
)


@given(st.lists(st.tuples(names, st.dictionaries(keys, st.lists(words, min_size=1, max_size=3)))))
def test_no_event_makes_it_fall_over(events):
    rings = Rings()
    for name, event in events:
        for fact in rings.facts({"Event": [name], **event}, 0.0):
            assert isinstance(fact, Fact)
