"""The auditor bites: for each invariant a small piece of evidence that contradicts it, and one that does not."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence

import pytest

from benchmarks.chaos.auditor import INVARIANTS, UNWRITTEN, audit
from benchmarks.chaos.evidence import ASTERISK, KILL, CallLife, Evidence, Fault, Moment, SeatLife, SeatMoment, Silence
from benchmarks.chaos.report import Round, figures, lines, noticed
from benchmarks.chaos.resumes import median_and_worst_s, resumes
from cti.events import (
    CallAnswered,
    CallArrived,
    CallCleared,
    CallDelivered,
    CallDiverted,
    CallEnded,
    CallQueued,
    Event,
    FlowFailed,
    FlowHeard,
    FlowSpoke,
    OfferPainted,
    Recorded,
    TicketOpened,
)
from cti.records.tickets import TicketRow

T0 = 1_800_000_000.0
CALLER = "05302000001"
PAGE = {"agent": {"agent": "1001", "paused": False}, "cards": []}


def said(*events: tuple[float, Event]) -> tuple[Recorded, ...]:
    return tuple(
        Recorded(seq=seq, id=f"e{seq}", at=dt.datetime.fromtimestamp(T0 + at_s, dt.UTC), event=event)
        for seq, (at_s, event) in enumerate(events, 1)
    )


ARRIVED = CallArrived(
    conversation="c1", channel="chan-1", did="02125550100", raw=CALLER, number="+905302000001", number_kind="e164"
)
OPENED = TicketOpened(
    ticket="t1", number="100004", subscription="s1", party=None, matter="fault", channel="phone", conversation="c1"
)
DELIVERED = CallDelivered(
    conversation="c1", offer="o1", agent="1001", queue="technical", device="PJSIP/1001", device_channel="d1", waited_s=1,
    read_at="2027-01-15T08:00:00+00:00",
)  # fmt: skip
PAINTED = OfferPainted(conversation="c1", offer="o1", agent="1001", acked_ms=30, browser_ms=10)
ANSWERED = CallAnswered(conversation="c1", offer="o1", agent="1001", waited_s=2, rang_s=1)
CLEARED = CallCleared(conversation="c1", offer="o1", agent="1001", talked_s=3, by="agent")
ENDED = CallEnded(conversation="c1", reason="answered")
WHOLE = said(
    (0, ARRIVED), (8, OPENED), (14, CallQueued(conversation="c1", queue="technical", intent="fault")), (15, DELIVERED),
    (15.1, PAINTED), (16, ANSWERED), (19, CLEARED), (19.1, ENDED),
)  # fmt: skip
TICKET = TicketRow(
    id="t1", number="100004", subscription="s1", party=None, matter="fault", state="open", channel="phone", text="",
    conversation="c1", contacts=1, opened_at=dt.datetime.fromtimestamp(T0 + 8, dt.UTC), closed_at=None,
)  # fmt: skip
LIFE = CallLife(
    caller=CALLER, placed_at=T0, answered_at=T0 + 0.1, ended_at=T0 + 19, ended_by="switch",
    moments=(
        Moment(at=T0 + 2, what="heard", value="menu"),
        Moment(at=T0 + 2.3, what="pressed", value="1"),
        Moment(at=T0 + 8.2, what="heard", value="opened"),
        Moment(at=T0 + 10, what="number", value="100004"),
    ),
    silences=(Silence(began_at=T0 + 3, lasted_s=1.2),),
)  # fmt: skip
SEAT = SeatLife(
    agent="1001", shown=PAGE, fresh=PAGE,
    moments=(SeatMoment(at=T0, what="connected"), SeatMoment(at=T0 + 15.1, what="painted", offer="o1")),
)  # fmt: skip
GOOD = Evidence(calls=(LIFE,), seats=(SEAT,), events=WHOLE, tickets=(TICKET,))


def with_life(**changes: object) -> Evidence:
    return dataclasses.replace(GOOD, calls=(dataclasses.replace(LIFE, **changes),))  # type: ignore[arg-type]


def with_moment(at_s: float, what: str, value: str) -> Evidence:
    return with_life(moments=(*LIFE.moments, Moment(at=T0 + at_s, what=what, value=value)))


def without(*kinds: type[Event]) -> tuple[Recorded, ...]:
    return tuple(each for each in WHOLE if not isinstance(each.event, kinds))


def with_events(*more: tuple[float, Event], but: Sequence[type[Event]] = ()) -> Evidence:
    kept = [(each.at.timestamp() - T0, each.event) for each in without(*but)]
    return dataclasses.replace(GOOD, events=said(*sorted([*kept, *more], key=lambda each: each[0])))


def with_seat(**changes: object) -> Evidence:
    return dataclasses.replace(GOOD, seats=(dataclasses.replace(SEAT, **changes),))  # type: ignore[arg-type]


def contradicted(evidence: Evidence) -> dict[str, int]:
    return {finding.name: len(finding.violations) for finding in audit(evidence) if finding.violations}


def test_a_good_run_contradicts_nothing():
    assert contradicted(GOOD) == {}
    assert {finding.name for finding in audit(GOOD)} == {name for name, *_ in INVARIANTS}


PAINTED_TWICE = (*SEAT.moments, SeatMoment(at=T0 + 17, what="painted", offer="o1"))
STRANGE_OFFER = (*SEAT.moments, SeatMoment(at=T0 + 17, what="painted", offer="o9"))
KEYED = FlowHeard(conversation="c1", node="menu", kind="digits", digits="1")
SPOKEN = FlowSpoke(conversation="c1", node="opened", text="100004")
LEFT_TO_THE_DIALPLAN = CallQueued(conversation="c1", queue="customer_care", intent="unknown", by="fallback")
OTHER_TICKET = dataclasses.replace(TICKET, id="t2", number="100015", conversation="c2")
KILLED_ELSEWHERE = Fault(kind=KILL, target="2", began_at=T0 + 1, ended_at=T0 + 5)
KILLED = Fault(kind=KILL, target="1", began_at=T0 + 1, ended_at=T0 + 5, held=frozenset({"chan-1"}))


@pytest.mark.parametrize(
    ("evidence", "name"),
    [
        (with_life(silences=(Silence(began_at=T0 + 3, lasted_s=3.1),)), "I1"),
        (with_events(but=(CallAnswered, CallCleared)), "I2"),
        (dataclasses.replace(with_moment(16.1, "heard", "agent"), events=without(CallAnswered, CallCleared)), "I17"),
        (with_life(answered_at=None, ended_by="refused"), "I2"),
        (with_moment(18, "gave_up", "no menu for 60 s"), "I4"),
        (dataclasses.replace(GOOD, faults=(KILLED,)), "T1"),
        (with_events((9, LEFT_TO_THE_DIALPLAN), but=(CallQueued,)), "F1"),
        (with_events((9, FlowFailed(conversation="c1", node="menu", error="KeyError: 'x'"))), "F2"),
        (with_life(moments=(Moment(at=T0 + 10, what="number", value="999999"),)), "I5"),
        (with_moment(12, "number", "100015"), "I5"),
        (dataclasses.replace(GOOD, tickets=(TICKET, OTHER_TICKET)), "I6"),
        (
            dataclasses.replace(
                with_events(but=(TicketOpened,)), tickets=(dataclasses.replace(TICKET, conversation="c7"),)
            ),
            "I21",
        ),
        (with_seat(moments=STRANGE_OFFER), "I9"),
        (with_seat(agent="1002"), "I9"),
        (dataclasses.replace(with_events(but=(OfferPainted,)), seats=()), "I10"),
        (with_seat(moments=PAINTED_TWICE), "I10"),
        (with_seat(shown={**PAGE, "cards": [{"id": "c1"}]}), "I13"),
        (with_seat(fresh=None), "I13"),
        (with_life(caller="05302000002"), "I17"),
        (with_events((15.5, DELIVERED)), "I17"),
        (with_events((0.5, CallDiverted(conversation="c1", offer="o1", agent="1001", reason="busy"))), "I17"),
        (with_events((3, KEYED), (4, KEYED)), "I17"),
        (with_events((11, SPOKEN), (12, SPOKEN)), "I17"),
        (with_events(but=(CallEnded,)), "I18"),
        (with_events((90, ENDED), but=(CallEnded,)), "I18"),
        (with_events((20, ENDED)), "I18"),
    ],
)
def test_each_invariant_notices_what_contradicts_it(evidence, name):
    assert name in contradicted(evidence)


def test_an_offer_that_was_withdrawn_with_a_reason_need_not_be_painted():
    diverted = CallDiverted(conversation="c1", offer="o1", agent="1001", reason="no_answer")
    assert "I10" not in contradicted(with_events((15.6, diverted), but=(OfferPainted, CallAnswered, CallCleared)))


def test_the_fallback_is_fine_while_something_is_broken():
    evidence = with_events((9, LEFT_TO_THE_DIALPLAN), but=(CallQueued,))
    assert "F1" not in contradicted(dataclasses.replace(evidence, faults=(KILLED_ELSEWHERE,)))


def test_a_page_may_paint_what_the_records_do_not_know_yet():
    unwritten = SeatMoment(at=T0 + 15.1, what="painted", offer=f"{UNWRITTEN}d1")
    evidence = dataclasses.replace(with_events(but=(OfferPainted,)), seats=with_seat(moments=(unwritten,)).seats)
    assert contradicted(evidence) == {}
    wrong = dataclasses.replace(evidence, seats=with_seat(agent="1002", moments=(unwritten,)).seats)
    assert "I9" in contradicted(wrong)


def test_what_a_restarted_asterisk_drops_is_excused():
    restart = Fault(kind=ASTERISK, target="", began_at=T0 + 3.5, ended_at=T0 + 8)
    dropped = with_life(silences=(Silence(began_at=T0 + 3, lasted_s=9),), ended_by="lost")
    events = without(CallAnswered, CallCleared, CallDelivered, OfferPainted)
    assert {"I1", "I2"} <= contradicted(dataclasses.replace(dropped, events=events)).keys()
    excused = contradicted(dataclasses.replace(dropped, events=events, faults=(restart,)))
    assert not {"I1", "I2"} & excused.keys()


def test_a_caller_of_a_killed_node_is_timed_until_he_hears_that_it_goes_on():
    heard = with_moment(2.4, "heard", "resumed")
    found = resumes(dataclasses.replace(heard, faults=(KILLED,)))
    assert [each.heard for each in found] == ["resumed"]
    assert median_and_worst_s(found) == pytest.approx((1.4, 1.4))
    assert contradicted(dataclasses.replace(heard, faults=(KILLED,))) == {}


def test_a_call_of_which_nothing_was_kept_begins_anew_and_is_timed_by_its_new_welcome():
    moments = (Moment(at=T0 + 1.2, what="heard", value="welcome"), Moment(at=T0 + 3.5, what="heard", value="welcome"))
    found = resumes(dataclasses.replace(with_life(moments=moments), faults=(KILLED,)))
    assert [(each.heard, each.after_s) for each in found] == [("welcome", 2.5)]
    under_way = resumes(dataclasses.replace(with_life(moments=moments[:1]), faults=(KILLED,)))
    assert [(each.heard, each.after_s) for each in under_way] == [("", None)]


def test_the_dead_mans_switch_may_take_a_second_longer_than_a_node():
    saved, slow = with_moment(4.9, "heard", "fallback"), with_moment(4.9, "heard", "resumed")
    assert contradicted(dataclasses.replace(saved, faults=(KILLED,), nodes=1)) == {}
    assert contradicted(dataclasses.replace(slow, faults=(KILLED,), nodes=1)) == {"T1": 1}


def test_with_another_node_the_queue_is_no_menu_and_half_of_them_must_not_wait_long():
    saved, slow = with_moment(3.0, "heard", "fallback"), with_moment(2.9, "heard", "resumed")
    assert contradicted(dataclasses.replace(saved, faults=(KILLED,))) == {"T1": 2}
    assert contradicted(dataclasses.replace(slow, faults=(KILLED,))) == {"T1": 1}


def test_callers_of_another_node_or_already_in_the_queue_are_not_timed():
    elsewhere = dataclasses.replace(KILLED, held=frozenset({"chan-2"}))
    later = dataclasses.replace(KILLED, began_at=T0 + 14.5, ended_at=T0 + 18)
    assert resumes(dataclasses.replace(GOOD, faults=(elsewhere, later))) == []


def test_the_report_tells_the_life_of_a_call_that_contradicts_something():
    evidence = dataclasses.replace(with_events(but=(CallEnded,)), faults=(KILLED,))
    judged = Round("kill", evidence, audit(evidence), tuple(resumes(evidence)), ("disk: no tmpfs here",))
    told = "\n".join(lines(judged))
    assert "1 answered; broken: 1 x kill" in told
    assert "left out: disk" in told
    assert "FAULT  kill 1" in told
    assert "caller pressed 1" in told
    assert "ledger ticket.opened" in told
    by_name = {figure.name: figure for figure in figures([judged])}
    assert by_name["chaos.violations"].value == judged.violations == 2
    assert by_name["chaos.calls.kill"].value == 1


def test_what_the_engines_logs_should_not_say_is_counted():
    logs = {"postgresql.log": "ERROR:  deadlock detected\nERROR:  deadlock detected\n", "haproxy.log": "all well"}
    assert list(noticed(logs)) == ["postgresql.log says 2 x 'deadlock detected'"]
