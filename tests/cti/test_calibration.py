"""What was stated is held against what was true; and a fit finds the habits that made the truth."""

import dataclasses
import datetime as dt
import random

import pytest

from cti.calibration import Pair, Trial, brier, curve, ece, facts_of, fit, gap_max, log_loss, probabilities, top1, trial
from cti.events import Candidate, Reason
from cti.identity import Confirmed, Evidence, LinkFact, Person, decide
from cti.numbers import parse
from cti.weights import WEIGHTS, Facts, Others

NOW = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)
PAIRS = [Pair(0.95, right=True)] * 95 + [Pair(0.95, right=False)] * 5 + [Pair(0.55, right=True)] * 30
PAIRS += [Pair(0.55, right=False)] * 30 + [Pair(1.0, right=False)] * 2


def test_the_curve_says_by_deciles_what_was_stated_and_what_was_right():
    low, high = curve(PAIRS)
    assert (low.low, low.count, low.right) == (0.5, 60, 0.5)
    assert (high.low, high.count) == (0.9, 102)
    assert high.stated == pytest.approx((100 * 0.95 + 2) / 102)
    assert low.gap == pytest.approx(0.05)


def test_scores_of_known_pairs():
    assert brier([Pair(1.0, right=True), Pair(0.5, right=False)]) == pytest.approx(0.125)
    assert ece([Pair(0.75, right=True)] * 3 + [Pair(0.75, right=False)]) == pytest.approx(0.0)
    share, sure = top1(PAIRS, 0.9)
    assert (share, sure) == (95 / 102, 102)
    assert top1([]) == (0.0, 0)
    for score in (brier, ece):
        with pytest.raises(ValueError, match="at least one pair"):
            score([])


def test_a_decile_of_few_pairs_makes_no_gap():
    few = [Pair(0.15, right=True)] * 49
    assert gap_max(curve(few)) == 0
    assert gap_max(curve([*few, few[0]])) == pytest.approx(0.85)


HOME = tuple(Person(f"p-{name}", name, is_holder=name == "ali") for name in ("ali", "ayse", "can"))
LINE = LinkFact(
    link="l", value="+902125550101", household="h", line="s", people=HOME, role="line_number", valid_from=NOW,
)  # fmt: skip
MOBILE = LinkFact(
    link="m", value="+905325550123", household="h", party="p-ali", people=HOME[:1], role="owner", valid_from=NOW,
    exclusivity="sole", state="verified",
)  # fmt: skip


@pytest.mark.parametrize("link", [LINE, MOBILE, dataclasses.replace(LINE, role="owner", line=None)])
@pytest.mark.parametrize("talks", [(), ("p-ayse",), ("p-new", "p-ali"), ("p-ali", "p-new", "p-can")])
def test_the_ledger_keeps_everything_that_a_probability_was_made_of(link, talks):
    evidence = Evidence(
        now=NOW, confirmed=tuple(Confirmed(party, NOW - dt.timedelta(hours=2 * at)) for at, party in enumerate(talks)),
        attestation="C", diverted_from="+902125550100", proved=frozenset({"p-can"}),
    )  # fmt: skip
    found = decide(parse(link.value, "TR"), [link], evidence)
    made = trial(found.candidates, lambda each: each.party == "p-ali")
    assert probabilities(made) == pytest.approx([each.probability for each in found.candidates])
    assert found.candidates[made.right or 0].party == "p-ali"


def test_what_an_older_version_wrote_is_read_as_far_as_it_goes():
    old = Candidate(
        party="p", party_name="", household=None, subscriptions=(), link="l", role="owner", probability=0.9,
        reasons=(Reason(key="line_number", values={"people": "many"}), Reason(key="read_tea_leaves")),
    )  # fmt: skip
    assert facts_of(old) == Facts(how="line_number")
    assert trial([old], lambda each: False) == Trial((Facts(how="line_number"),), None)


def trials(chance: random.Random, count: int, others: float) -> list[Trial]:
    """People on numbers of their own, of which somebody else calls so often; verified ones half as often."""
    found = []
    for _ in range(count):
        verified = chance.random() < 0.5
        facts = Facts(how="own_number", holds=frozenset({"verified"} if verified else ()))
        right = None if chance.random() < others / (1 + verified) else 0
        found.append(Trial((facts,), right))
    return found


def test_a_fit_finds_the_habits_behind_the_calls_and_does_so_again():
    made = trials(random.Random(4), 8000, 0.4)
    found = fit(made)
    assert found == fit(made)
    assert log_loss(made, found) < log_loss(made)
    stated = {trial.options[0].holds: probabilities(trial, found)[0] for trial in made}
    assert stated[frozenset()] == pytest.approx(0.6, abs=0.03)
    assert stated[frozenset({"verified"})] == pytest.approx(0.8, abs=0.03)


def test_what_the_calls_do_not_show_stays_as_it_is():
    found = fit(trials(random.Random(4), 500, 0.3))
    free = {"somebody_else", "verified"}
    assert {**dataclasses.asdict(found), **dict.fromkeys(free)} == {
        **dataclasses.asdict(WEIGHTS),
        **dict.fromkeys(free),
    }
    assert fit(trials(random.Random(4), 20, 0.3)) == WEIGHTS


def test_calls_that_say_the_opposite_do_not_make_proof_count_against_somebody():
    facts = Facts(how="own_number", holds=frozenset({"verified"}))
    made = [Trial((facts,), None)] * 100 + [Trial((Facts(how="own_number"),), 0)] * 100
    assert fit(made).verified >= 1


def test_log_loss_needs_trials_and_others_take_their_part():
    with pytest.raises(ValueError, match="at least one trial"):
        log_loss([])
    alone, shared = Trial((Facts(how="own_number"),), 0), Trial((Facts(how="own_number"),), 0, Others(3, 1, last=True))
    assert probabilities(shared)[0] < probabilities(alone)[0]
