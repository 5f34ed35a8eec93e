"""The year's calls one after the other through `cti.identity.decide`, with the records learning from each as Santral's would."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.year.calls import Call, Year
from benchmarks.year.people import Person
from benchmarks.year.records import Records
from cti.calibration import Pair, Trial, trial
from cti.identity import Identification, LinkFact, decide, matches
from cti.numbers import Kind, Number
from cti.weights import WEIGHTS, Weights

LAST_MONTH = 335 * 86_400.0  # seconds after the year's beginning


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the company does with a caller whom it has come to know. Shares of 0 to 1."""

    offers: bool
    accept_by_voice: float = 0.6  # of those who are asked at the end of the menu; once a call
    accept_by_agent: float = 0.8
    refuse: float = 0.03  # say no, and are not asked again that year; the others do not answer
    keyed: float = 0.5  # of calls from unlinked numbers: prove their subscription by keys
    agent_if_known: float = (
        0.4  # of calls from linked numbers, and of those proved by keys: they reach an agent, who says who it was
    )
    agent_if_unknown: float = 0.85  # of the others, whom no menu can serve
    mistaken: float = 0.01  # agents confirm whoever stood first


@dataclass
class Outcome:
    pairs: list[Pair] = field(default_factory=list)  # of the likeliest
    every: list[Pair] = field(default_factory=list)  # of every candidate
    trials: list[Trial] = field(default_factory=list)
    naive_right: int = 0
    customers: int = 0  # their calls that show a number
    unknown: int = 0  # those of them for which nobody of the caller's household is a candidate
    nameless: int = 0  # those of these that no link matches at all; the others show only people of another household
    customers_last: int = 0  # the first two in the last month
    unknown_last: int = 0
    withheld: int = 0  # customers' calls without a number

    @property
    def unknown_share(self) -> float:
        return self.unknown / self.customers

    @property
    def nameless_share(self) -> float:
        return self.nameless / self.customers

    @property
    def unknown_share_last(self) -> float:
        return self.unknown_last / self.customers_last


def replay(year: Year, policy: Policy, *, seed: int, weights: Weights = WEIGHTS, keep_trials: bool = False) -> Outcome:
    records = Records(year.town, year.troubles, random.Random(seed))
    outcome = Outcome()
    begin = year.calls[0].at
    for call in year.calls:
        if call.number is None:
            outcome.withheld += call.caller is not None
            continue
        number = Number(call.number, Kind.E164, call.number, None)
        links = records.links.get(call.number, ())
        evidence = records.evidence(call.number, call.at, call.attestation, diverted=call.diverted)
        found = decide(number, links, evidence, weights)
        _count(outcome, call, found, late=(call.at - begin).total_seconds() > LAST_MONTH)
        if found.candidates:
            _judge(outcome, call, found, keep_trials=keep_trials)
            outcome.naive_right += call.caller is not None and _naive(links) == call.caller.id
        _happen(records, policy, call, found)
    return outcome


def _count(outcome: Outcome, call: Call, found: Identification, *, late: bool) -> None:
    if call.caller is None:
        return
    home = f"h-{call.caller.home}"
    unknown = all(each.household != home for each in found.candidates)
    outcome.customers += 1
    outcome.unknown += unknown
    outcome.nameless += not found.candidates
    outcome.customers_last += late
    outcome.unknown_last += late and unknown


def _judge(outcome: Outcome, call: Call, found: Identification, *, keep_trials: bool) -> None:
    caller = call.caller.id if call.caller else ""
    judged = [Pair(each.probability, each.party == caller) for each in found.candidates]
    outcome.pairs.append(judged[0])
    outcome.every.extend(judged)
    if keep_trials:
        outcome.trials.append(trial(found.candidates, lambda each: each.party == caller))


def _naive(links: Sequence[LinkFact]) -> str:
    """What common connectors do: the number is a field, the first row wins; a line is its holder."""
    return links[0].people[0].id


# --- what happens in the call ---


def _happen(records: Records, policy: Policy, call: Call, found: Identification) -> None:
    agent, mistake, keyed, *_ = call.coins
    mistaken = mistake < policy.mistaken and bool(found.candidates)
    if mistaken:
        _confirm_first(records, call, found)
    if call.caller is None or mistaken:
        return
    if call.fault:
        records.open_ticket(records.town.home(call.caller), call.at)
    if _is_linked(records, call, call.caller):
        if agent < policy.agent_if_known:
            records.confirm(str(call.number), call.caller, call.at)
    elif keyed < policy.keyed:
        # Who proved himself is as well known as who is linked, so as many go on to an agent, who sees the same proposal.
        _come_to_know(records, policy, call, call.caller, by_agent=agent < policy.agent_if_known)
    elif agent < policy.agent_if_unknown:
        _come_to_know(records, policy, call, call.caller, by_agent=True)


def _is_linked(records: Records, call: Call, caller: Person) -> bool:
    links = records.links.get(str(call.number), ())
    return any(each.household == f"h-{caller.home}" and matches(each, call.at) for each in links)


def _come_to_know(records: Records, policy: Policy, call: Call, caller: Person, *, by_agent: bool) -> None:
    """An unlinked caller was proved or confirmed. By keys a household is known, and for two in five also who it is."""
    *_, whom, verify, dispute, _ = call.coins
    number = str(call.number)
    if by_agent:
        records.confirm(number, caller, call.at)
        if dispute < 0.3:
            records.dispute(number, f"h-{caller.home}")
    if policy.offers and number not in records.refused:
        accept = policy.accept_by_agent if by_agent else policy.accept_by_voice
        if _accepts(records, policy, call, caller, accept):
            verified = {"state": "verified", "method": "sms", "verified_at": call.at} if verify < 0.3 else {}
            person = caller if by_agent or whom < 0.4 else None
            records.add(number, home=records.town.home(caller), person=person, role="user", begin=call.at, **verified)


def _confirm_first(records: Records, call: Call, found: Identification) -> None:
    """The agent takes the page's word for it."""
    _, place, seat = (found.candidates[0].party or "").split("-")
    assert call.number is not None
    records.confirm(call.number, records.town.households[int(place)].people[int(seat)], call.at)


def _accepts(records: Records, policy: Policy, call: Call, caller: Person, accept: float) -> bool:
    """On a telephone that is not of their household, people decline but for one in ten."""
    number, answer = str(call.number), call.coins[3]
    if answer > 1 - policy.refuse:
        records.refused.add(number)
        return False
    theirs = any(number in each.telephones() for each in records.town.home(caller).people)
    return answer < accept * (1.0 if theirs else 0.1)
