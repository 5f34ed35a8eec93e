from __future__ import annotations

import datetime as dt

import pytest

from cti.events import CallAnswered, CallCleared, CallEnded, Event, Recorded, RecordingStarted
from recordings.verdict import REASONS, Sound, Talk, Verdict, judge, talk_of

START = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def ledger(*events: tuple[float, Event]) -> list[Recorded]:
    return [Recorded(seq=seq, id=str(seq), at=at(second), event=event) for seq, (second, event) in enumerate(events)]


def started(recording: str) -> Event:
    return RecordingStarted(conversation="c", recording=recording)


def answered(offer: str) -> Event:
    return CallAnswered(conversation="c", offer=offer, agent="ayse", waited_s=1.0, rang_s=1.0)


def cleared(offer: str, talked_s: float) -> Event:
    return CallCleared(conversation="c", offer=offer, agent="ayse", talked_s=talked_s, by="agent")


def ended() -> Event:
    return CallEnded(conversation="c", reason="answered")


@pytest.mark.parametrize(
    ("sound", "talked_s", "verdict"),
    [
        (Sound("both", 10.0), 10.0, Verdict("stored")),
        (Sound("both", 9.0), 10.0, Verdict("stored")),  # one second is counting
        (Sound("both", 8.9), 10.0, Verdict("partial", "shorter")),
        (Sound("both", 11.1), 10.0, Verdict("partial", "longer")),
        (Sound("both", 589.0), 600.0, Verdict("stored")),  # two per cent of a long talk
        (Sound("both", 587.9), 600.0, Verdict("partial", "shorter")),
        (Sound("one_side", 10.0), 10.0, Verdict("partial", "one_side")),
        (Sound("mix_only", 10.0), 10.0, Verdict("partial", "mix_only")),
        (Sound("no_file"), 10.0, Verdict("missing", "no_file")),
        (Sound("empty"), 10.0, Verdict("missing", "empty")),
        (Sound("no_file"), None, Verdict("none")),
        (Sound("empty"), None, Verdict("none")),
        (Sound("both", 5.0), None, Verdict("partial", "talk_unknown")),
    ],
)
def test_every_recording_gets_a_state_and_a_reason(sound: Sound, talked_s: float | None, verdict: Verdict):
    talk = None if talked_s is None else Talk(START, at(talked_s), talked_s)
    assert judge(sound, talk) == verdict
    assert verdict.reason in {"", *REASONS}


def test_every_reason_is_told_in_both_languages():
    assert all(set(texts) == {"tr", "en"} and all(texts.values()) for texts in REASONS.values())


def test_a_talk_over_a_transfer_is_the_sum_of_its_parts():
    events = ledger(
        (0, started("r")), (5, answered("o1")), (65, cleared("o1", 60.0)), (80, answered("o2")), (110, cleared("o2", 30.0)),
        (111, ended()),
    )  # fmt: skip
    assert talk_of(events, "r") == Talk(at(5), at(110), 90.0)


def test_nobody_answered_means_no_talk():
    assert talk_of(ledger((0, started("r")), (30, ended())), "r") is None


def test_an_end_that_nobody_reported_is_uncertain():
    talk = talk_of(ledger((0, started("r")), (5, answered("o")), (45, ended())), "r")
    assert talk == Talk(at(5), at(45), 40.0, certain=False)
    assert judge(Sound("both", 20.0), talk) == Verdict("partial", "end_unknown")


def test_facts_that_come_after_the_end_still_count():
    talk = talk_of(ledger((0, started("r")), (5, answered("o")), (45, ended()), (46, cleared("o", 39.0))), "r")
    assert talk == Talk(at(5), at(46), 39.0)


def test_the_second_recording_of_a_call_holds_the_second_talk():
    events = ledger(
        (0, started("r1")), (5, answered("o1")), (15, cleared("o1", 10.0)), (20, started("r2")), (25, answered("o2")),
        (45, cleared("o2", 20.0)), (46, ended()),
    )  # fmt: skip
    assert talk_of(events, "r1") == Talk(at(5), at(15), 10.0)
    assert talk_of(events, "r2") == Talk(at(25), at(45), 20.0)


def test_a_recording_adopted_after_the_call_holds_what_was_talked_before():
    events = ledger((5, answered("o")), (15, cleared("o", 10.0)), (16, ended()), (60, started("r")))
    assert talk_of(events, "r") == Talk(at(5), at(15), 10.0)
