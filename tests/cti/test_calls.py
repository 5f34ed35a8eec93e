"""Whatever is heard, in whatever order, a conversation is in a state that exists, and its segments add up."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.calls import TABLE, Segment, State, after, end_reason, segments
from cti.events import (
    CallAnswered,
    CallArrived,
    CallCleared,
    CallDelivered,
    CallDiverted,
    CallEnded,
    CallEvent,
    CallIdentified,
    CallQueued,
    CallWrappedUp,
    NoteWritten,
    Recorded,
)

START = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)
ARRIVED = CallArrived(conversation="c", channel="1.1", did="", raw="", number=None, number_kind="withheld")
QUEUED = CallQueued(conversation="c", queue="fault", intent="fault")
ENDED = CallEnded(conversation="c", reason="answered")


def delivered(agent: str) -> CallDelivered:
    return CallDelivered(
        conversation="c", offer=agent, agent=agent, queue="fault", device="", device_channel="", waited_s=0, read_at=""
    )


def diverted(agent: str) -> CallDiverted:
    return CallDiverted(conversation="c", offer=agent, agent=agent, reason="no_answer")


def answered(agent: str) -> CallAnswered:
    return CallAnswered(conversation="c", offer=agent, agent=agent, waited_s=0, rang_s=0)


def cleared(agent: str) -> CallCleared:
    return CallCleared(conversation="c", offer=agent, agent=agent, talked_s=0, by="agent")


def wrapped_up(agent: str) -> CallWrappedUp:
    return CallWrappedUp(conversation="c", agent=agent, disposition="", note="")


ANY = st.sampled_from([
    ARRIVED, QUEUED, ENDED, NoteWritten(conversation="c", agent="a", text=""),
    CallIdentified(conversation="c", outcome="none", level=0, method="caller_id", candidates=()),
    *(make(agent) for make in (delivered, diverted, answered, cleared, wrapped_up) for agent in ("a", "b")),
])  # fmt: skip


def one_a_second(*events: CallEvent) -> list[Recorded]:
    return [
        Recorded(seq=second, id=str(second), at=START + dt.timedelta(seconds=second), event=event)
        for second, event in enumerate(events)
    ]


def told(*events: CallEvent) -> list[tuple[str, str, float | None]]:
    """Segments as (kind, who, seconds); None while it lasts."""
    return [
        (each.kind, each.who, each.duration_s(START) if each.ended_at else None)
        for each in segments(one_a_second(*events))
    ]


@given(st.lists(ANY))
def test_any_order_of_events_gives_a_state_that_exists_and_an_end_is_the_end(events):
    state, ended = State.IVR, False
    for event in events:
        state = after(state, event)
        ended = ended or isinstance(event, CallEnded)
        assert state in TABLE
        assert (state is State.ENDED) == ended


@given(st.lists(ANY))
def test_the_same_event_again_changes_nothing_at_once(events):
    state = State.IVR
    for event in events:
        state = after(state, event)
        assert after(state, event) is state


@given(st.lists(ANY))
def test_segments_begin_in_order_and_do_not_end_before_they_began(events):
    found = segments(one_a_second(*events))
    assert [each.started_at for each in found] == sorted(each.started_at for each in found)
    assert all(each.ended_at is None or each.ended_at >= each.started_at for each in found)


@given(st.lists(ANY))
def test_when_the_caller_is_gone_only_wrap_up_goes_on(events):
    found = segments(one_a_second(*events, ENDED))
    assert {each.kind for each in found if each.ended_at is None} <= {"wrap_up"}


def test_every_state_can_end():
    assert all(after(state, ENDED) is State.ENDED for state in State)


def test_a_call_from_ivr_to_wrap_up():
    events = [ARRIVED, QUEUED, delivered("a"), answered("a"), cleared("a"), ENDED, wrapped_up("a")]
    assert told(*events) == [
        ("ivr", "", 1), ("queue", "fault", 2), ("ring", "a", 1), ("talk", "a", 1), ("wrap_up", "a", 2)
    ]  # fmt: skip


def test_a_device_that_rang_out_ends_only_its_own_ringing():
    events = [ARRIVED, QUEUED, delivered("a"), delivered("b"), diverted("a")]
    assert told(*events)[2:] == [("ring", "a", 2), ("ring", "b", None)]


def test_an_answer_ends_all_ringing():
    events = [ARRIVED, QUEUED, delivered("a"), delivered("b"), answered("b")]
    assert told(*events) == [
        ("ivr", "", 1), ("queue", "fault", 3), ("ring", "a", 2), ("ring", "b", 1), ("talk", "b", None)
    ]  # fmt: skip


def test_back_in_the_queue_after_a_talk():
    events = [ARRIVED, QUEUED, answered("a"), cleared("a"), QUEUED, answered("b")]
    assert [each[0] for each in told(*events)] == ["ivr", "queue", "talk", "wrap_up", "queue", "talk"]


def test_an_open_segment_lasts_until_now():
    segment = Segment("queue", "fault", START)
    assert segment.duration_s(START + dt.timedelta(seconds=90)) == 90


@pytest.mark.parametrize(
    ("state", "served", "reason"),
    [
        (State.IVR, False, "abandoned_in_ivr"),
        (State.IVR, True, "served_in_ivr"),
        (State.QUEUED, True, "abandoned_in_queue"),
        (State.TALKING, False, "answered"),
        (State.CLEARED, True, "answered"),
    ],
)
def test_why_a_conversation_ended(state, served, reason):
    assert end_reason(state, served=served) == reason
