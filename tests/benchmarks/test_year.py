"""The simulated year, small: it is the same for a seed, and its habits make the weights neither right nor wrong by themselves."""

import dataclasses
import math

import pytest

from benchmarks.year import run
from benchmarks.year.replay import Policy, replay
from cti.calibration import SURE, brier, curve, top1
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


# The limits are of years of 200,000 calls, which `python -m benchmarks year` holds against them and prints. In a small year chance
# has its say: of the seeds 7 to 14 the unknown were 0.17 to 0.23 of those without offers, and the gaps of small deciles up to 0.1.
RATIO_OF_SMALL_YEARS = 0.25
COUNTED = 200  # calls of a decile


def test_offers_make_unknown_customers_few(pairing):
    assert pairing.off.unknown_share > 0.3
    assert pairing.ratio < RATIO_OF_SMALL_YEARS
    assert pairing.ratio_last < pairing.ratio


def test_somebody_of_another_household_makes_a_caller_no_less_unknown(pairing):
    for outcome in (pairing.on, pairing.off):
        assert outcome.nameless < outcome.unknown < outcome.customers


def test_stated_probabilities_hold_and_beat_the_first_row(pairing):
    share, sure = top1(pairing.on.pairs, SURE)
    assert sure > 1000
    assert share >= run.RIGHT_MIN  # of 2,400 calls, where chance makes less than a point
    for each in curve(pairing.on.pairs):
        by_chance = 2 * math.sqrt(each.right * (1 - each.right) / each.count)
        assert each.count < COUNTED or each.gap <= run.GAP_LIMIT + by_chance, each
    assert top1(pairing.on.pairs)[0] > pairing.on.naive_right / len(pairing.on.pairs)


def test_the_run_says_of_each_limit_whether_it_is_met(pairing):
    said = list(run.verdicts([pairing]))
    assert [each.split(":")[1].strip() for each in said] == [
        "likeliest right where 0.9 or more was stated",
        "largest gap of a decile",
        "unknown customers with offers against without",
    ]
    unmet = dataclasses.replace(pairing, on=pairing.off)  # the same with and without offers: a ratio of 1
    assert list(run.verdicts([pairing, unmet]))[2] == (
        "  NOT MET: unknown customers with offers against without: 1.0000, wanted at most 0.2"
    )


def test_other_weights_would_state_worse(made, pairing):
    wrong = replay(made, Policy(offers=True), seed=7, weights=dataclasses.replace(WEIGHTS, somebody_else=60.0))
    assert brier(wrong.pairs) > brier(pairing.on.pairs) + 0.02


def test_figures_are_of_the_worst_year(pairing):
    names = {figure.name for figure in run.figures([pairing, pairing])}
    assert {"identity.top1_at_09", "identity.calibration_gap_max", "identity.unknown_customers_ratio"} <= names
