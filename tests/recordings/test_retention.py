from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from recordings.retention import Kept, Policy, due


@pytest.fixture
def row(now: dt.datetime) -> Kept:
    return Kept("r1", "c1", "stored", now - dt.timedelta(days=90))


def test_a_recording_is_due_on_the_day_its_time_is_over(row: Kept, now: dt.datetime):
    assert due([row], now, Policy(keep_days=90)) == ["r1"]
    assert due([row], now - dt.timedelta(seconds=1), Policy(keep_days=90)) == []


@pytest.mark.parametrize(
    ("state", "erased"),
    [("stored", True), ("partial", True), ("missing", True), ("recording", False), ("none", False), ("erased", False)],
)
def test_only_what_may_have_sound_is_erased(row: Kept, now: dt.datetime, state: str, erased: bool):
    assert bool(due([dataclasses.replace(row, state=state)], now, Policy(keep_days=1))) is erased


def test_a_held_conversation_is_kept(row: Kept, now: dt.datetime):
    other = dataclasses.replace(row, id="r2", conversation="c2")
    assert due([row, other], now, Policy(keep_days=1, held=frozenset({"c1"}))) == ["r2"]


def test_without_a_limit_everything_is_kept(row: Kept, now: dt.datetime):
    assert due([row], now, Policy(keep_days=None)) == []
