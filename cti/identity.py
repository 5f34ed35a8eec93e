"""Links and evidence -> who may be calling, how sure we are and why; and what each level may hear and do.

Match, identify, verify and authorise are four steps: a caller ID only ever *matches* (level 1), because it can be forged.
A number is not a person: a link says that a person, a household or a line can be reached under it, and the candidates are
the people behind the links, ranked by the weights below. The same links and evidence always give the same order.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from cti.events import Candidate, Reason
from cti.numbers import Kind, Number


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

# How likely the person behind a link is the one who calls, before other evidence. Only the proportions matter.
ROLE_WEIGHT: dict[str, float] = {"owner": 8.0, "user": 8.0, "line_number": 4.0, "work": 2.0, "neighbour": 0.5}
# `former` is not here: it says whose number this no longer is, so it matches nobody.

# Telephones are lent: somebody whom no link names always has a share, so no candidate is ever certain.
SOMEBODY_ELSE = 0.8

# What each further fact multiplies that by.
FACTOR: dict[str, float] = {
    "verified": 2.0,  # somebody proved that the number is his
    "sole": 1.5,  # nobody else uses it
    "shared": 0.5,
    "holder": 2.0,  # of a line's people, the one whose name is on the bill
    "open_ticket": 2.0,  # has something to ask about
    "open_outage": 2.0,
    "talked_before": 4.0,  # an agent confirmed this person on this number the last time
    "long_unseen": 0.5,  # numbers are given out again
}
LONG_UNSEEN = dt.timedelta(days=730)

MATCHING_STATES = frozenset({"unverified", "verified"})  # proposed and disputed links never match


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


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What else is known at the moment of the call. The sets hold subscription ids."""

    now: dt.datetime
    open_tickets: frozenset[str] = frozenset()
    open_outages: frozenset[str] = frozenset()
    talked_before: str | None = None  # party that was confirmed for this number the last time


@dataclass(frozen=True)
class Identification:
    """Who may be calling, the likeliest first. Probabilities are among the candidates and sum to 1."""

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


def decide(number: Number, links: Sequence[LinkFact], evidence: Evidence) -> Identification:
    """Who may be calling from `number`, given the links of that number."""
    match number.kind:
        case Kind.WITHHELD:
            return Identification(Outcome.WITHHELD, Level.NONE)
        case Kind.MALFORMED:
            return Identification(Outcome.MALFORMED, Level.NONE)
        case Kind.SHORT:
            return Identification(Outcome.NONE, Level.NONE)
    matching = [link for link in links if matches(link, evidence.now)]
    candidates = _ranked([trace for link in matching for trace in _traces(link, evidence)])
    if not candidates:
        return Identification(Outcome.NONE, Level.NONE)
    if _one_customer(candidates):
        return Identification(Outcome.UNIQUE, Level.MATCHED, candidates, _carriers(matching))
    return Identification(Outcome.AMBIGUOUS, Level.MATCHED, _told_shared(candidates))


def matches(link: LinkFact, now: dt.datetime) -> bool:
    """Whether a link counts at all: of a role that means somebody, neither proposed nor disputed, begun and not ended."""
    begun = link.valid_from <= now and (link.valid_to is None or now < link.valid_to)
    return begun and link.state in MATCHING_STATES and link.role in ROLE_WEIGHT


# --- from links to weighed traces of people ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Trace:
    """One way from the number to one somebody, and what it weighs."""

    candidate: Candidate
    weight: float


def _traces(link: LinkFact, evidence: Evidence) -> Iterator[_Trace]:
    nobody = Person("", link.household_label)
    for person in link.people or (nobody,):
        facts = dict(_facts(link, person, evidence))
        weight = ROLE_WEIGHT[link.role]
        for name in facts:
            weight *= FACTOR[name]
        reasons = [_how(link), *(reason for reason in facts.values() if reason)]
        yield _Trace(
            Candidate(
                party=person.id or None,
                party_name=person.name,
                household=link.household,
                subscriptions=tuple(each.id for each in link.subscriptions),
                link=link.link,
                role=link.role,
                probability=0.0,
                reasons=tuple(reasons),
            ),
            weight,
        )


def _how(link: LinkFact) -> Reason:
    """The reason that every trace has: how the link leads to the candidate."""
    if link.line is not None:
        line = next((each for each in link.subscriptions if each.id == link.line), None)
        return Reason(key="line_number", values={"kind": line.kind, "subscription": line.number} if line else {})
    if link.party is None:
        return Reason(key="household_number", values={"household": link.household_label})
    return Reason(key={"work": "work_number", "neighbour": "neighbour_number"}.get(link.role, "own_number"))


def _facts(link: LinkFact, person: Person, evidence: Evidence) -> Iterator[tuple[str, Reason | None]]:
    """The names in FACTOR that hold, each with its reason where it deserves one."""
    if link.state == "verified":
        on = link.verified_at.date().isoformat() if link.verified_at else ""
        yield "verified", Reason(key="verified", values={"method": link.method, "on": on})
    if link.exclusivity in {"sole", "shared"}:
        yield link.exclusivity, None
    if person.is_holder and link.party is None:
        yield "holder", Reason(key="holder")
    for key, subscriptions in (("open_ticket", evidence.open_tickets), ("open_outage", evidence.open_outages)):
        hit = next((each for each in link.subscriptions if each.id in subscriptions), None)
        if hit:
            yield key, Reason(key=key, values={"kind": hit.kind, "subscription": hit.number, "area": hit.area})
    if person.id and person.id == evidence.talked_before:
        yield "talked_before", Reason(key="talked_before")
    seen = max(filter(None, (link.valid_from, link.verified_at, link.last_seen_at)))
    if evidence.now - seen > LONG_UNSEEN:
        yield "long_unseen", Reason(key="long_unseen", values={"on": seen.date().isoformat()})


# --- from traces to candidates ----------------------------------------------------------------------------------------


def _ranked(traces: Sequence[_Trace]) -> tuple[Candidate, ...]:
    """One candidate for each somebody, the heaviest first; equal ones by their ids, so that the order never changes."""
    groups: dict[str, list[_Trace]] = {}
    for trace in sorted(traces, key=lambda each: (-each.weight, each.candidate.link or "")):
        groups.setdefault(_somebody(trace.candidate), []).append(trace)
    heaviest = {somebody: group[0].weight for somebody, group in groups.items()}
    total = sum(heaviest.values()) + SOMEBODY_ELSE
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


def _told_shared(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    shared = Reason(key="shared_number", values={"count": str(len(candidates))})
    return tuple(dataclasses.replace(each, reasons=(*each.reasons, shared)) for each in candidates)


def _carriers(links: Sequence[LinkFact]) -> tuple[str, ...]:
    facts = {each.id: each for link in links for each in link.subscriptions}
    return tuple(sorted(each.id for each in facts.values() if each.depends_on not in facts))
