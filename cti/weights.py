"""What each fact is worth when callers are ranked: the one place where these numbers stand, and how they are put together.

A candidate's weight is what the links say of him (`base`), plus what earlier confirmed calls on this number have taught, times what
speaks for or against him today. His probability is his share among all candidates and somebody whom no link names. Only proportions
matter. The values were fitted (`cti.calibration.fit`) on seed 1 of the simulated year (benchmarks/year) and tested on other seeds, but
for those marked "assumed", of which that year has too few calls; `santral identity calibrate` says how well they hold on the company's
own ledger and proposes better ones. See docs/identity.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Positive numbers. A factor above 1 speaks for a candidate, one below 1 against him."""

    # How the number leads to somebody. Those of a line or a household are shared out among the people behind it.
    own_number: float = 8.0  # by convention: all others are relative to it
    line_number: float = 56.0
    household_number: float = 49.0
    work_number: float = 1.8
    neighbour_number: float = 0.5  # assumed
    # Whose name is on the bill calls so many times as often as all the others behind that line together.
    holder: float = 1.2
    # Telephones are lent, numbers are given out again and forged: somebody whom no link names is always possible.
    somebody_else: float = 3.0

    # What multiplies that.
    verified: float = 1.15  # somebody proved that the number is his
    sole: float = 1.4  # nobody else uses it
    shared: float = 1.0  # by itself it says nothing; it decides what earlier calls teach, see below
    long_unseen: float = 0.95  # for more than half of the time after which the link expires

    # What is added for each earlier call on this number in which somebody was confirmed; for others, to `somebody_else`.
    confirmed: float = 5.7  # on a telephone that is in one pocket
    confirmed_household: float = 57.0  # on a household's: mostly it is in one pocket, and this says in whose
    confirmed_shared: float = 13.0  # on one that many use: a line's, one at work, one that is known to be shared
    same_hours: float = 1.5  # so many times that once more, when it was at this time of day

    # What multiplies all of it today.
    talked_before: float = 1.4  # the last one who was confirmed
    open_ticket: float = 1.05  # has something to ask about
    open_outage: float = 2.0  # of his services or his area, but not of the line that he seems to call on
    line_is_down: float = 0.1  # the telephone that shows as the caller cannot call at the moment; assumed
    proved: float = 20.0  # keyed or answered in this call what only he, or his household, should know; assumed
    attested: float = 1.1  # the caller's carrier vouches for the number (STIR/SHAKEN A); assumed
    gateway: float = 0.32  # it came from abroad or through a gateway that vouches for nothing (C)
    attestation_failed: float = 0.1  # the signature does not hold; assumed
    diverted: float = 0.9  # another telephone sent the call on to us; assumed


WEIGHTS = Weights()

HOW = ("own_number", "line_number", "household_number", "work_number", "neighbour_number")
OF_THE_LINK = ("verified", "sole", "shared", "long_unseen")
OF_TODAY = (
    "talked_before", "open_ticket", "open_outage", "line_is_down", "proved", "attested", "gateway", "attestation_failed",
    "diverted",
)  # fmt: skip
FOR = frozenset(
    {"verified", "sole", "talked_before", "open_ticket", "open_outage", "proved", "attested"}
)  # never below 1
AGAINST = frozenset(
    {"shared", "long_unseen", "line_is_down", "gateway", "attestation_failed", "diverted"}
)  # never above 1
FACTS = frozenset((*OF_THE_LINK, *OF_TODAY, "holder"))


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of one way from a number to one somebody; what a weight is made of, and nothing else."""

    how: str  # of HOW
    people: int = 1  # behind the line or household
    holders: int = 0  # of them
    holds: frozenset[str] = frozenset()  # of FACTS
    confirmed: int = 0  # earlier calls in which he was confirmed
    same_hours: int = 0  # those of them at this time of day

    @property
    def learns(self) -> str:
        """The weight of an earlier confirmed call."""
        if self.how in {"line_number", "work_number"} or "shared" in self.holds:
            return "confirmed_shared"
        return "confirmed_household" if self.how == "household_number" else "confirmed"


@dataclass(frozen=True)
class Others:
    """Earlier confirmed calls of people whom no link of this number names."""

    confirmed: int = 0
    same_hours: int = 0
    last: bool = False  # the last call was one of them

    @property
    def learns(self) -> str:
        return "confirmed"


NO_OTHERS = Others()


def weight(facts: Facts, weights: Weights = WEIGHTS) -> float:
    base = _value(weights, facts.how) * _share(facts, weights)
    base *= prod(_value(weights, name) for name in OF_THE_LINK if name in facts.holds)
    return (base + _learned(facts, weights)) * prod(_value(weights, name) for name in OF_TODAY if name in facts.holds)


def somebody_else(others: Others, weights: Weights = WEIGHTS) -> float:
    return (weights.somebody_else + _learned(others, weights)) * (weights.talked_before if others.last else 1.0)


def _share(facts: Facts, weights: Weights) -> float:
    """Of the calls from a line or household that are this one's: the holders have theirs, the rest is shared out."""
    others = facts.people - facts.holders
    if facts.holders <= 0 or others <= 0:
        return 1 / facts.people
    of_holders = weights.holder / (1 + weights.holder)
    return of_holders / facts.holders if "holder" in facts.holds else (1 - of_holders) / others


def _learned(talks: Facts | Others, weights: Weights) -> float:
    if not talks.confirmed:
        return 0.0
    return _value(weights, talks.learns) * (talks.confirmed + weights.same_hours * talks.same_hours)


def names() -> tuple[str, ...]:
    return tuple(each.name for each in dataclasses.fields(Weights))


def allowed(name: str, value: float) -> bool:
    """Whether `value` is one for this weight: what speaks for a candidate is never made to speak against him."""
    return value > 0 and not (name in FOR and value < 1) and not (name in AGAINST and value > 1)


def changed(weights: Weights, values: Mapping[str, float]) -> Weights:
    """ValueError when a name is no weight or a value is not allowed."""
    for name, value in values.items():
        if name not in names() or not allowed(name, value):
            raise ValueError(f"expected a weight out of {', '.join(names())} on its side of 1, got {name}={value}")
    return dataclasses.replace(weights, **values)


def _value(weights: Weights, name: str) -> float:
    value: float = getattr(weights, name)
    return value
