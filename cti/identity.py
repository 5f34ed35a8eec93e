"""Links and evidence -> who may be calling, how sure we are and why; and what each level may hear and do.

Match, identify, verify and authorise are four steps: a caller ID only ever *matches* (level 1), because it can be forged.
A number is not a person: a link says that a person, a household or a line can be reached under it, and the candidates are
the people behind the links, ranked by the weights of weights.py. The same links and evidence always give the same order.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from cti.events import Candidate, Reason
from cti.numbers import Kind, Number
from cti.weights import NO_OTHERS, WEIGHTS, Facts, Others, Weights, somebody_else, weight


class Outcome(StrEnum):
    """What the number says. `unique` means one customer (all candidates lead to the same subscriptions), not one person."""

    UNIQUE = "unique"
    AMBIGUOUS = "ambiguous"
    NONE = "none"
    WITHHELD = "withheld"
    MALFORMED = "malformed"


class Level(IntEnum):
    NONE = 0
    MATCHED = 1
    KEYED = 2
    VERIFIED = 3
    STRONG = 4


# What a caller must have reached to hear or do a thing. A matched number may report a fault; it never hears a bill.
MAY: dict[str, Level] = {
    "speak_to_person": Level.NONE,
    "hear_general_news": Level.NONE,
    "ask_for_callback": Level.NONE,
    "greet_by_role": Level.MATCHED,
    "open_fault_ticket": Level.MATCHED,
    "hear_ticket_number": Level.MATCHED,
    "hear_outage": Level.MATCHED,
    "ask_for_notice": Level.MATCHED,
    "hear_quota": Level.KEYED,
    "link_number": Level.KEYED,
    "hear_bill": Level.VERIFIED,
    "pay_bill": Level.VERIFIED,
    "hear_address": Level.VERIFIED,
    "change_data": Level.VERIFIED,
    "export_data": Level.STRONG,
    "erase_data": Level.STRONG,
}

MATCHING_STATES = frozenset({"unverified", "verified"})  # proposed and disputed links never match
MATCHING_ROLES = ("owner", "user", "line_number", "work", "neighbour")  # `former` says whose it no longer is

UNSEEN_DAYS = 730  # a link that nobody was seen on for so long matches no more: numbers are given out again
VERIFIED_LIVES = 1.5  # times as long does a verified one live
SAME_HOURS = dt.timedelta(hours=3)  # earlier or later on the clock is still the same time of day
DAY = dt.timedelta(days=1)


def may(level: int, what: str) -> bool:
    """Whether a caller of `level` may hear or do `what`; ValueError when `what` is not in MAY."""
    if what not in MAY:
        raise ValueError(f"expected one of {', '.join(MAY)}, got {what!r}")
    return level >= MAY[what]


@dataclass(frozen=True)
class Person:
    """Somebody behind a link: a person or an organisation."""

    id: str
    name: str
    is_holder: bool = False  # of the line or of a subscription of the household that the link names


@dataclass(frozen=True, kw_only=True)
class SubscriptionFact:
    id: str
    number: str  # the subscription number on the bill
    kind: str
    area: str
    holder: str  # party id
    line_number: str | None = None  # E.164
    depends_on: str | None = None  # subscription id


@dataclass(frozen=True, kw_only=True)
class LinkFact:
    """One link and what it leads to. Exactly one of `party`, `line` and (neither) `household` is what the link itself names; the
    household is also told for the other two when there is exactly one."""

    link: str
    value: str  # of the contact point
    party: str | None = None
    party_name: str = ""
    household: str | None = None
    household_label: str = ""
    line: str | None = None  # subscription id
    people: tuple[Person, ...] = ()  # the party; the household's members; the line's holder and his household
    subscriptions: tuple[SubscriptionFact, ...] = ()
    role: str
    exclusivity: str = "unknown"
    source: str = ""
    state: str = "unverified"
    method: str = ""
    verified_at: dt.datetime | None = None
    valid_from: dt.datetime
    valid_to: dt.datetime | None = None
    last_seen_at: dt.datetime | None = None


@dataclass(frozen=True)
class Confirmed:
    """An earlier call on the same number in which somebody said for certain who was calling."""

    party: str
    at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What else is known at the moment of the call. The open ones are subscription ids."""

    now: dt.datetime
    open_tickets: frozenset[str] = frozenset()
    open_outages: frozenset[str] = frozenset()  # and those whose own line is down, and what these carry
    confirmed: tuple[Confirmed, ...] = ()  # on this number, the newest first
    proved: frozenset[str] = (
        frozenset()
    )  # ids of parties, households and subscriptions that the caller proved to belong to
    attestation: str = ""  # STIR/SHAKEN: A | B | C | failed; "": the trunk says nothing
    diverted_from: str = ""  # who sent the call on to us
    unseen_days: int = UNSEEN_DAYS


@dataclass(frozen=True)
class Identification:
    """Who may be calling, the likeliest first. What their probabilities leave to 1 is somebody whom no link names."""

    outcome: Outcome
    level: Level
    candidates: tuple[Candidate, ...] = ()
    carriers: tuple[
        str, ...
    ] = ()  # of `subscriptions`, those that depend on no other of them: where a fault is reported

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """Of the one customer: what any candidate leads to, the first candidate's first. Empty unless the outcome is unique."""
        if self.outcome is not Outcome.UNIQUE:
            return ()
        return tuple(dict.fromkeys(each for candidate in self.candidates for each in candidate.subscriptions))

    @property
    def role(self) -> str:
        """Of the likeliest candidate, for a greeting that names nobody; empty unless the outcome is unique."""
        return self.candidates[0].role if self.outcome is Outcome.UNIQUE else ""


def decide(number: Number, links: Sequence[LinkFact], evidence: Evidence, weights: Weights = WEIGHTS) -> Identification:
    """Who may be calling from `number`, given the links of that number."""
    match number.kind:
        case Kind.WITHHELD:
            return Identification(Outcome.WITHHELD, Level.NONE)
        case Kind.MALFORMED:
            return Identification(Outcome.MALFORMED, Level.NONE)
        case Kind.SHORT:
            return Identification(Outcome.NONE, Level.NONE)
    matching = [link for link in links if matches(link, evidence.now, evidence.unseen_days)]
    others = _others(matching, evidence)
    traces = [trace for link in matching for trace in _traces(link, evidence, weights)]
    candidates = _ranked(traces, somebody_else(others, weights))
    if not candidates:
        return Identification(Outcome.NONE, Level.NONE)
    if others.confirmed:
        candidates = _told(candidates, _others_reason(others))
    if _one_customer(candidates):
        return Identification(Outcome.UNIQUE, Level.MATCHED, candidates, _carriers(matching))
    shared = Reason(key="shared_number", values={"count": str(len(candidates))})
    return Identification(Outcome.AMBIGUOUS, Level.MATCHED, _told(candidates, shared))


def matches(link: LinkFact, now: dt.datetime, unseen_days: int = UNSEEN_DAYS) -> bool:
    """Whether a link counts at all: of a role that means somebody, neither proposed nor disputed, begun, not ended, not expired."""
    begun = link.valid_from <= now and (link.valid_to is None or now < link.valid_to)
    return (
        begun and link.state in MATCHING_STATES and link.role in MATCHING_ROLES and not expired(link, now, unseen_days)
    )


def expired(link: LinkFact, now: dt.datetime, unseen_days: int = UNSEEN_DAYS) -> bool:
    """Nobody was seen on the number for longer than the policy allows, so it may be somebody else's by now. A line's number lives as
    long as its subscription."""
    return link.role != "line_number" and now - seen(link) > _lives(link, unseen_days)


def seen(link: LinkFact) -> dt.datetime:
    """When the link was last known to hold."""
    return max(filter(None, (link.valid_from, link.verified_at, link.last_seen_at)))


def _lives(link: LinkFact, unseen_days: int) -> dt.timedelta:
    return dt.timedelta(days=unseen_days) * (VERIFIED_LIVES if link.state == "verified" else 1)


# --- from links to weighed traces of people ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Trace:
    """One way from the number to one somebody, and what it weighs."""

    candidate: Candidate
    weight: float


def _traces(link: LinkFact, evidence: Evidence, weights: Weights) -> Iterator[_Trace]:
    nobody = Person("", link.household_label)
    people = link.people or (nobody,)
    holders = sum(person.is_holder for person in people) if link.line else 0
    how = _how(link)
    of_link = [*_facts_of_link(link, evidence), *_facts_of_call(evidence)]
    subscriptions = tuple(each.id for each in link.subscriptions)
    for person in people:
        reasons = [*_facts_of_person(link, person, evidence), *of_link]
        talks = _talks({person.id}, evidence) if person.id else ()
        facts = Facts(
            how=how.key, people=len(people), holders=holders, holds=frozenset(each.key for each in reasons), confirmed=len(talks),
            same_hours=sum(map(_same_hours(evidence), talks)),
        )  # fmt: skip
        candidate = Candidate(
            party=person.id or None, party_name=person.name, household=link.household, subscriptions=subscriptions,
            link=link.link, role=link.role, probability=0.0, reasons=(how, *reasons, *_told_talks(facts)),
        )  # fmt: skip
        yield _Trace(candidate, weight(facts, weights))


def _how(link: LinkFact) -> Reason:
    """The reason that every trace has: how the link leads to the candidate. Its key is one of weights.HOW."""
    behind = {"people": str(len(link.people) or 1)}
    if link.line is not None:
        line = next((each for each in link.subscriptions if each.id == link.line), None)
        of_line = {"kind": line.kind, "subscription": line.number} if line else {}
        holders = str(sum(person.is_holder for person in link.people))
        return Reason(key="line_number", values={**of_line, **behind, "holders": holders})
    if link.party is None:
        return Reason(key="household_number", values={"household": link.household_label} | behind)
    return Reason(key={"work": "work_number", "neighbour": "neighbour_number"}.get(link.role, "own_number"))


def _facts_of_person(link: LinkFact, person: Person, evidence: Evidence) -> Iterator[Reason]:
    """Keys of weights.FACTS."""
    if person.is_holder and link.line:
        yield Reason(key="holder")
    if evidence.confirmed and person.id == evidence.confirmed[0].party:
        yield Reason(key="talked_before")
    theirs = {person.id, link.household, *(each.id for each in link.subscriptions)}
    if not evidence.proved.isdisjoint(theirs):
        yield Reason(key="proved")


def _facts_of_link(link: LinkFact, evidence: Evidence) -> Iterator[Reason]:
    """Keys of weights.FACTS. When the very line is down, its trouble does not speak for a call from it."""
    if link.state == "verified":
        on = link.verified_at.date().isoformat() if link.verified_at else ""
        yield Reason(key="verified", values={"method": link.method, "on": on})
    if link.exclusivity in {"sole", "shared"}:
        yield Reason(key=link.exclusivity)
    if hit := _first(link, evidence.open_tickets):
        yield _of_subscription("open_ticket", hit)
    if dead := _first(link, {link.line} & evidence.open_outages):
        yield _of_subscription("line_is_down", dead)
    elif hit := _first(link, evidence.open_outages):
        yield _of_subscription("open_outage", hit)
    last = seen(link)
    if link.role != "line_number" and evidence.now - last > _lives(link, evidence.unseen_days) / 2:
        yield Reason(key="long_unseen", values={"on": last.date().isoformat()})


def _facts_of_call(evidence: Evidence) -> Iterator[Reason]:
    """Keys of weights.FACTS."""
    said = {"A": "attested", "C": "gateway", "failed": "attestation_failed"}.get(evidence.attestation)
    if said:
        yield Reason(key=said)
    if evidence.diverted_from:
        yield Reason(key="diverted", values={"number": evidence.diverted_from})


def _first(link: LinkFact, subscriptions: Collection[str | None]) -> SubscriptionFact | None:
    return next((each for each in link.subscriptions if each.id in subscriptions), None) if subscriptions else None


def _of_subscription(key: str, hit: SubscriptionFact) -> Reason:
    return Reason(key=key, values={"kind": hit.kind, "subscription": hit.number, "area": hit.area})


# --- what earlier calls taught ----------------------------------------------------------------------------------------


def _talks(parties: Collection[str], evidence: Evidence) -> tuple[Confirmed, ...]:
    return tuple(each for each in evidence.confirmed if each.party in parties)


def _same_hours(evidence: Evidence) -> Callable[[Confirmed], bool]:
    """Whether a call came at this time of day: no zone is needed to compare two clocks that are set alike."""

    def same(talk: Confirmed) -> bool:
        apart = (evidence.now - talk.at) % DAY
        return min(apart, DAY - apart) <= SAME_HOURS

    return same


def _told_talks(facts: Facts) -> Iterator[Reason]:
    if facts.confirmed:
        yield Reason(key="confirmed", values={"count": str(facts.confirmed), "same_hours": str(facts.same_hours)})


def _others(links: Sequence[LinkFact], evidence: Evidence) -> Others:
    """The confirmed calls of people to whom none of `links` leads."""
    if not evidence.confirmed:
        return NO_OTHERS
    named = {person.id for link in links for person in link.people}
    talks = tuple(each for each in evidence.confirmed if each.party not in named)
    same_hours = sum(map(_same_hours(evidence), talks))
    return Others(len(talks), same_hours, last=evidence.confirmed[0].party not in named)


def _others_reason(others: Others) -> Reason:
    values = {
        "count": str(others.confirmed),
        "same_hours": str(others.same_hours),
        "last": "yes" if others.last else "",
    }
    return Reason(key="others_confirmed", values=values)


# --- from traces to candidates ----------------------------------------------------------------------------------------


def _ranked(traces: Sequence[_Trace], somebody_else_weighs: float) -> tuple[Candidate, ...]:
    """One candidate for each somebody, the heaviest first; equal ones by their ids, so that the order never changes."""
    groups: dict[str, list[_Trace]] = {}
    for trace in sorted(traces, key=lambda each: (-each.weight, each.candidate.link or "")):
        groups.setdefault(_somebody(trace.candidate), []).append(trace)
    heaviest = {somebody: group[0].weight for somebody, group in groups.items()}
    total = sum(heaviest.values()) + somebody_else_weighs
    order = sorted(groups, key=lambda somebody: (-heaviest[somebody], somebody))
    return tuple(_joined(groups[somebody], heaviest[somebody] / total) for somebody in order)


def _somebody(candidate: Candidate) -> str:
    return candidate.party or candidate.household or candidate.link or ""


def _joined(group: Sequence[_Trace], probability: float) -> Candidate:
    """One somebody's traces as one candidate: the best link speaks, the others add reasons and subscriptions."""
    reasons: dict[str, Reason] = {}
    for trace in group:
        for reason in trace.candidate.reasons:
            reasons.setdefault(reason.key, reason)
    subscriptions = dict.fromkeys(each for trace in group for each in trace.candidate.subscriptions)
    household = next((trace.candidate.household for trace in group if trace.candidate.household), None)
    return dataclasses.replace(
        group[0].candidate,
        household=household,
        subscriptions=tuple(subscriptions),
        probability=probability,
        reasons=tuple(reasons.values()),
    )


def _one_customer(candidates: Sequence[Candidate]) -> bool:
    """All lead to the same matter: a single party, one household, or the very same subscriptions."""
    households = {each.household for each in candidates}
    reached = {frozenset(each.subscriptions) for each in candidates}
    one_household = len(households) == 1 and None not in households
    return len(candidates) == 1 or one_household or (len(reached) == 1 and frozenset() not in reached)


def _told(candidates: Sequence[Candidate], reason: Reason) -> tuple[Candidate, ...]:
    return tuple(dataclasses.replace(each, reasons=(*each.reasons, reason)) for each in candidates)


def _carriers(links: Sequence[LinkFact]) -> tuple[str, ...]:
    facts = {each.id: each for link in links for each in link.subscriptions}
    return tuple(sorted(each.id for each in facts.values() if each.depends_on not in facts))
