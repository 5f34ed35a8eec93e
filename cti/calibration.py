"""How well stated probabilities held, and which weights would have stated better ones. Pure.

A pair is what was stated of the likeliest candidate, and whether it was he. The curve puts pairs of about the same stated probability
together: well calibrated means that of the calls of which 0.8 was stated, 80 % were right.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cti import weights as table
from cti.events import Candidate, Reason
from cti.weights import FACTS, HOW, NO_OTHERS, WEIGHTS, Facts, Others, Weights, allowed, changed

DECILES = 10
PAIRS_MIN = 50  # of a decile that counts: among fewer, chance alone makes gaps of over 5 points
SURE = 0.9
TRIALS_MIN = 30  # in which a weight must have had a part, to be fitted at all
STEPS = (0.4, 0.2, 0.1, 0.05)  # of a weight's logarithm, coarse to fine
ROUNDS_MAX = 6  # at each step
PROBABILITY_MIN = 1e-9  # what was stated as impossible and happened costs much, not everything
HOLD = 2.0  # how strongly the present values hold, in trials for a weight that doubles: few calls must not move much


@dataclass(frozen=True)
class Pair:
    stated: float
    right: bool


@dataclass(frozen=True)
class Bin:
    """The pairs of one decile."""

    low: float
    count: int
    stated: float  # their mean
    right: float  # share

    @property
    def gap(self) -> float:
        return abs(self.right - self.stated)


@dataclass(frozen=True)
class Trial:
    """One call with everybody who might have called, and who it was: a place in `options`, None for somebody whom no link names."""

    options: tuple[Facts, ...]
    right: int | None
    others: Others = NO_OTHERS


# --- how well it held -------------------------------------------------------------------------------------------------


def curve(pairs: Iterable[Pair]) -> tuple[Bin, ...]:
    """By deciles of what was stated; those without any pair are left out."""
    deciles: dict[int, list[Pair]] = {}
    for pair in pairs:
        deciles.setdefault(min(int(pair.stated * DECILES), DECILES - 1), []).append(pair)
    return tuple(_bin(decile / DECILES, deciles[decile]) for decile in sorted(deciles))


def brier(pairs: Sequence[Pair]) -> float:
    """Mean squared distance between what was stated and what was true: 0 is perfect, 0.25 says nothing. ValueError without pairs."""
    return sum((pair.stated - pair.right) ** 2 for pair in _some(pairs)) / len(pairs)


def ece(pairs: Sequence[Pair]) -> float:
    """Expected calibration error: the mean gap of the deciles, each by its number of pairs."""
    return sum(each.gap * each.count for each in curve(_some(pairs))) / len(pairs)


def gap_max(bins: Iterable[Bin], pairs_min: int = PAIRS_MIN) -> float:
    """The largest gap of a decile with at least so many pairs; 0 when there is none."""
    return max((each.gap for each in bins if each.count >= pairs_min), default=0.0)


def top1(pairs: Iterable[Pair], stated: float = 0.0) -> tuple[float, int]:
    """The share that was right among the pairs of at least this stated probability, and how many these are; (0, 0) without any."""
    counted = [pair.right for pair in pairs if pair.stated >= stated]
    return (sum(counted) / len(counted), len(counted)) if counted else (0.0, 0)


def _bin(low: float, pairs: Sequence[Pair]) -> Bin:
    count = len(pairs)
    return Bin(low, count, sum(each.stated for each in pairs) / count, sum(each.right for each in pairs) / count)


def _some(pairs: Sequence[Pair]) -> Sequence[Pair]:
    if not pairs:
        raise ValueError("expected at least one pair, there is none")
    return pairs


# --- from what was said of a call to a trial --------------------------------------------------------------------------


def trial(candidates: Sequence[Candidate], is_right: Callable[[Candidate], bool]) -> Trial:
    """The call as it stands in the ledger: a candidate's reasons hold everything that its weight was made of."""
    right = next((place for place, each in enumerate(candidates) if is_right(each)), None)
    others = [reason for each in candidates[:1] for reason in each.reasons if reason.key == "others_confirmed"]
    return Trial(tuple(map(facts_of, candidates)), right, _others(others[0].values) if others else NO_OTHERS)


def facts_of(candidate: Candidate) -> Facts:
    """What the candidate's weight was made of. Of several ways to him the heaviest stands first, and that one counted."""
    reasons = {reason.key: reason for reason in _first_way(candidate.reasons)}
    how = next((key for key in reasons if key in HOW), HOW[0])
    behind = reasons[how].values if how in reasons else {}
    talks = reasons["confirmed"].values if "confirmed" in reasons else {}
    return Facts(
        how=how, people=_count(behind, "people") or 1, holders=_count(behind, "holders"),
        holds=frozenset(reasons) & FACTS, confirmed=_count(talks, "count"), same_hours=_count(talks, "same_hours"),
    )  # fmt: skip


def _first_way(reasons: Iterable[Reason]) -> Iterable[Reason]:
    ways = 0
    for reason in reasons:
        ways += reason.key in HOW
        if ways > 1:
            return
        yield reason


def _others(values: Mapping[str, str]) -> Others:
    return Others(_count(values, "count"), _count(values, "same_hours"), last=bool(values.get("last")))


def _count(values: Mapping[str, str], name: str) -> int:
    """Ledgers are read for years: what an older version did not write counts as 0."""
    text = values.get(name, "")
    return int(text) if text.isdecimal() else 0


# --- better weights ---------------------------------------------------------------------------------------------------


def fit(trials: Iterable[Trial], weights: Weights = WEIGHTS) -> Weights:
    """The weights under which what happened would have been likeliest (least log loss), by coordinate search on their logarithms.
    A weight stays when fewer than TRIALS_MIN trials know it, and few trials move it little. Always the same for the same trials."""
    search = _Search(Counter(trials), weights)
    for step in STEPS:
        rounds = 0
        while rounds < ROUNDS_MAX and search.round(step):
            rounds += 1
    return search.best


class _Search:
    """The best weights so far. A trial's loss is only told again when one of its weights is tried."""

    def __init__(self, trials: Mapping[Trial, int], present: Weights) -> None:
        self.best = present
        self._present = present
        self._losses = {trial: _loss(trial, present) * count for trial, count in trials.items()}
        self._trials = trials
        self._knowing: dict[str, list[Trial]] = {name: [] for name in table.names() if name != "own_number"}
        for trial in trials:
            for name in _parts(trial) & self._knowing.keys():
                self._knowing[name].append(trial)

    def round(self, step: float) -> bool:
        """Each weight once, up or down by `step`; whether any of them got better by it."""
        better = False
        for name, knowing in self._knowing.items():
            if sum(self._trials[trial] for trial in knowing) >= TRIALS_MIN:
                better |= self._try(name, math.exp(step)) or self._try(name, math.exp(-step))
        return better

    def _try(self, name: str, factor: float) -> bool:
        value = getattr(self.best, name)
        if not allowed(name, value * factor):
            return False
        tried = changed(self.best, {name: value * factor})
        losses = {trial: _loss(trial, tried) * self._trials[trial] for trial in self._knowing[name]}
        gain = sum(self._losses[trial] for trial in losses) - sum(losses.values())
        gain += self._hold(name, value) - self._hold(name, value * factor)
        if gain <= 0:
            return False
        self.best = tried
        self._losses.update(losses)
        return True

    def _hold(self, name: str, value: float) -> float:
        return HOLD * math.log2(value / getattr(self._present, name)) ** 2


def log_loss(trials: Iterable[Trial], weights: Weights = WEIGHTS) -> float:
    """Mean of -log(the probability of what was true); ValueError without trials."""
    counted = Counter(trials)
    if not counted:
        raise ValueError("expected at least one trial, there is none")
    return sum(_loss(trial, weights) * count for trial, count in counted.items()) / counted.total()


def probabilities(trial: Trial, weights: Weights = WEIGHTS) -> tuple[float, ...]:
    """What `weights` state of each option; what is missing to 1 is somebody else."""
    each = [table.weight(facts, weights) for facts in trial.options]
    total = sum(each) + table.somebody_else(trial.others, weights)
    return tuple(one / total for one in each)


def _loss(trial: Trial, weights: Weights) -> float:
    stated = probabilities(trial, weights)
    return -math.log(max(1 - sum(stated) if trial.right is None else stated[trial.right], PROBABILITY_MIN))


def _parts(trial: Trial) -> set[str]:
    """The weights that had a part in it."""
    parts = {"somebody_else"}
    for facts in trial.options:
        parts |= {facts.how, *(facts.holds - {"holder"})}
        parts |= {"holder"} if 0 < facts.holders < facts.people else set()
        parts |= {facts.learns} if facts.confirmed else set()
        parts |= {"same_hours"} if facts.same_hours else set()
    if trial.others.confirmed:
        parts |= {"confirmed", "same_hours"} | ({"talked_before"} if trial.others.last else set())
    return parts
