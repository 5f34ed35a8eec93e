"""The simulated year, small: it is the same for a seed, and its habits make the weights neither right nor wrong by themselves."""

import dataclasses

import pytest

from benchmarks.year import run
from benchmarks.year.replay import Policy, replay
from cti.calibration import SURE, brier, curve, gap_max, top1
from cti.weights import WEIGHTS


@pytest.fixture(scope="module")
def made():
    return run.simulated(7, households=150, calls=5000)


@pytest.fixture(scope="module")
def pairing(made):
    return run.both(made, 7, Policy(offers=True))


def test_a_seed_makes_the_same_year_again(made):
    again = run.simulated(7, households=150, calls=5000)
    assert again.calls == made.calls
    assert [each.at for each in made.calls] == sorted(each.at for each in made.calls)
    assert run.simulated(8, households=150, calls=5000).calls != made.calls


def test_offers_make_unknown_customers_few(pairing):
    assert pairing.off.unknown_share > 0.3
    assert pairing.ratio < 0.3
    assert pairing.ratio_last < pairing.ratio


def test_stated_probabilities_hold_and_beat_the_first_row(pairing):
    share, sure = top1(pairing.on.pairs, SURE)
    assert sure > 1000
    assert share > 0.93
    assert gap_max(curve(pairing.on.pairs), 200) < 0.1
    assert top1(pairing.on.pairs)[0] > pairing.on.naive_right / len(pairing.on.pairs)


def test_other_weights_would_state_worse(made, pairing):
    wrong = replay(made, Policy(offers=True), seed=7, weights=dataclasses.replace(WEIGHTS, somebody_else=60.0))
    assert brier(wrong.pairs) > brier(pairing.on.pairs) + 0.02


def test_figures_are_of_the_worst_year(pairing):
    names = {figure.name for figure in run.figures([pairing, pairing])}
    assert {"identity.top1_at_09", "identity.calibration_gap_max", "identity.unknown_customers_ratio"} <= names
