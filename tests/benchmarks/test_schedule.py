"""Faults come one at a time, and the same seed gives the same ones."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.chaos import schedule
from benchmarks.chaos.evidence import KILL, PAUSE
from benchmarks.chaos.schedule import LASTS_S, Planned


def overlaps(planned: list[Planned]) -> bool:
    return any(a.at_s + a.lasts_s > b.at_s for a, b in itertools.pairwise(planned))


def test_nodes_are_killed_in_turn():
    planned = schedule.steady(KILL, ["1", "2"], every_s=10, until_s=40)
    assert [(each.at_s, each.target) for each in planned] == [(6, "1"), (16, "2"), (26, "1"), (36, "2")]
    assert not overlaps(planned)


def test_faults_that_would_overlap_are_refused():
    with pytest.raises(ValueError, match="expected more than 6 s"):
        schedule.steady(PAUSE, ["1", "2"], every_s=6, until_s=40)


@given(seed=st.integers(0, 10_000))
def test_mixed_faults_never_overlap_and_leave_time_to_heal(seed):
    kinds = sorted(LASTS_S)
    planned = schedule.mixed(kinds, ["1", "2"], seed=seed, until_s=300)
    assert planned == schedule.mixed(kinds, ["1", "2"], seed=seed, until_s=300)
    healed = [b.at_s - a.at_s - a.lasts_s for a, b in itertools.pairwise(planned)]
    assert all(each >= schedule.HEAL_S for each in healed)
    assert {each.kind for each in planned[: len(kinds)]} == set(kinds)
    assert all((each.target in ("1", "2")) == (each.kind in (KILL, PAUSE)) for each in planned)


def test_without_a_kind_there_is_no_fault():
    assert schedule.mixed([], ["1"], seed=1, until_s=100) == []
