"""Compares what callers heard and keyed, what agents saw and what the ledger says. Pure: evidence in, violations out.

Each invariant is a sentence and a function that finds whatever contradicts it; their numbers are those of docs/reliability.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.chaos.evidence import ASTERISK, SOCKETS, STALL, Case, Evidence
from benchmarks.chaos.resumes import median_and_worst_s, resumes
from cti.demo import tones
from cti.events import (
    CallAnswered,
    CallArrived,
    CallCleared,
    CallDelivered,
    CallDiverted,
    CallEnded,
    CallQueued,
    FlowFailed,
    FlowHeard,
    FlowLeft,
    FlowSpoke,
    FlowStarted,
    OfferPainted,
    TicketAppended,
    TicketOpened,
)

SILENCE_MAX_S = 3.0
MEDIAN_MAX_S = 1.5  # until a dead node's callers hear somebody again
END_MAX_S = 60.0
HEALED_S = 5.0  # after a fault its effects may still be felt for so long
PROMISES = ("opened", "existing", "noted", "message_kept")  # prompts after which the caller counts on a ticket
UNWRITTEN = "unwritten:"
# Facts that a conversation has once for each offer.
ONCE_A_CALL = (CallArrived, FlowStarted, FlowLeft)
ONCE_AN_OFFER = (CallDelivered, CallAnswered, CallCleared, CallDiverted, OfferPainted)


@dataclass(frozen=True)
class Violation:
    """What contradicts an invariant. `caller` is "" where it is no caller's."""

    caller: str
    text: str


@dataclass(frozen=True)
class Finding:
    """One invariant and what contradicts it. `looked_at` says how much there was that could have."""

    name: str
    sentence: str
    looked_at: int
    violations: tuple[Violation, ...]


def audit(evidence: Evidence) -> tuple[Finding, ...]:
    """Every invariant, the contradicted and the others."""
    return tuple(
        Finding(name, sentence, looked_at(evidence), tuple(check(evidence)))
        for name, sentence, looked_at, check in INVARIANTS
    )


# --- what callers heard ---


def silences(evidence: Evidence) -> Iterator[Violation]:
    for life in evidence.calls:
        for each in life.silences:
            if each.lasted_s > SILENCE_MAX_S and not evidence.switch_failed(
                each.began_at, each.began_at + each.lasted_s
            ):
                since_s = each.began_at - life.placed_at
                yield Violation(life.caller, f"{each.lasted_s:.1f} s of silence from {since_s:.1f} s on")


def drops(evidence: Evidence) -> Iterator[Violation]:
    """Ended by us without a reason. An agent's hang-up, and the flow's own goodbye, are reasons."""
    for case in evidence.cases:
        life = case.life
        excused = evidence.switch_failed(life.placed_at, life.ended_at)
        if excused or (life.ended_by == "caller" and life.answered_at is not None):
            continue
        if life.answered_at is None:
            yield Violation(life.caller, f"was not answered: {life.ended_by}")
        elif not (_talked(case) or _said_goodbye(case)):
            yield Violation(
                life.caller, f"was cut off by the {life.ended_by} after {life.ended_at - life.placed_at:.1f} s"
            )


def _talked(case: Case) -> bool:
    """He heard an agent, or the ledger says so."""
    return case.life.first("heard", tones.AGENT) is not None or bool(case.of(CallAnswered))


def _said_goodbye(case: Case) -> bool:
    return any(each.to == "end" for each in case.of(FlowLeft))


def stuck(evidence: Evidence) -> Iterator[Violation]:
    for life in evidence.calls:
        gave_up = life.first("gave_up")
        if gave_up and not evidence.switch_failed(life.placed_at, life.ended_at):
            yield Violation(life.caller, f"gave up: {gave_up.value}")


def late_menus(evidence: Evidence) -> Iterator[Violation]:
    for each in resumes(evidence):
        if each.after_s is None:
            yield Violation(each.caller, f"heard nothing new after the {each.fault.kind} of node {each.fault.target}")
        elif each.after_s > each.max_s:
            yield Violation(each.caller, f"heard {each.heard} only {each.after_s:.2f} s after the {each.fault.kind}")
    waits = median_and_worst_s(resumes(evidence))
    if evidence.nodes > 1 and waits is not None and waits[0] > MEDIAN_MAX_S:
        yield Violation(
            "", f"half of the callers of a dead node waited longer than {MEDIAN_MAX_S:g} s: {waits[0]:.2f} s"
        )


def fallen_back(evidence: Evidence) -> Iterator[Violation]:
    """The dialplan served the caller without us, though nothing was broken."""
    for case in evidence.cases:
        for each in case.events:
            at = each.at.timestamp()
            fallback = isinstance(each.event, CallQueued) and each.event.by == "fallback"
            if fallback and not evidence.broken_between(case.life.placed_at - HEALED_S, at):
                yield Violation(case.life.caller, "was left to the dialplan's fallback while nothing was broken")


def broken_flows(evidence: Evidence) -> Iterator[Violation]:
    """A switch that does not answer is not ours: whoever was on the line then goes to a person, and that is right."""
    deaf = [fault for fault in evidence.faults if fault.kind in (SOCKETS, STALL, ASTERISK)]
    for case in evidence.cases:
        for each in case.events:
            at = each.at.timestamp()
            excused = any(fault.began_at <= at <= fault.ended_at + HEALED_S for fault in deaf)
            if isinstance(each.event, FlowFailed) and not excused:
                yield Violation(case.life.caller, f"flow.failed at {each.event.node}: {each.event.error}")


# --- tickets ---


def spoken_unknown(evidence: Evidence) -> Iterator[Violation]:
    known = {ticket.number for ticket in evidence.tickets}
    for life in evidence.calls:
        for each in life.moments:
            if each.what == "number" and each.value not in known:
                yield Violation(life.caller, f"heard number {each.value}, which no ticket has")


def doubled(evidence: Evidence) -> Iterator[Violation]:
    """Two open tickets for one matter, or two numbers in one call."""
    matters = Counter(
        (ticket.subscription or ticket.conversation, ticket.matter)
        for ticket in evidence.tickets
        if ticket.state == "open" and (ticket.subscription or ticket.conversation)
    )
    for (whose, matter), many in matters.items():
        if many > 1:
            yield Violation("", f"{many} open tickets of {whose} for {matter}")
    for life in evidence.calls:
        heard = {each.value for each in life.moments if each.what == "number"}
        if len(heard) > 1:
            yield Violation(life.caller, f"heard {len(heard)} numbers for one matter: {', '.join(sorted(heard))}")


def lost(evidence: Evidence) -> Iterator[Violation]:
    """The caller was told that his report is kept, and it is not."""
    of_ticket = {ticket.conversation for ticket in evidence.tickets}
    for case in evidence.cases:
        promised = case.life.first("number") or case.life.first("heard", *PROMISES)
        kept = bool(case.of(TicketAppended)) or bool(case.of(TicketOpened)) or bool(of_ticket & set(case.conversations))
        if promised and not kept:
            yield Violation(case.life.caller, f"was promised a ticket ({promised.value}), and there is none")


# --- agents' pages ---


def wrong_seats(evidence: Evidence) -> Iterator[Violation]:
    whose = {name: event.agent for _, event in _offers(evidence) for name in _names(event)}
    for seat in evidence.seats:
        for each in seat.moments:
            unknown = each.offer.startswith(UNWRITTEN) and each.offer not in whose
            if each.what == "painted" and not unknown and whose.get(each.offer) != seat.agent:
                yield Violation("", f"{seat.agent} painted offer {each.offer} of {whose.get(each.offer, 'nobody')}")


def unpainted(evidence: Evidence) -> Iterator[Violation]:
    """Each offer is painted, or withdrawn with a reason; and no page paints one twice."""
    painted = {each.event.offer for each in evidence.events if isinstance(each.event, OfferPainted)}
    painted |= {each.offer for seat in evidence.seats for each in seat.moments if each.what == "painted"}
    withdrawn = {each.event.offer for each in evidence.events if isinstance(each.event, CallDiverted)}
    raw = _callers(evidence)
    for conversation, event in _offers(evidence):
        if not _names(event) & (painted | withdrawn):
            yield Violation(
                raw.get(conversation, ""), f"offer {event.offer} to {event.agent}: neither painted nor withdrawn"
            )
    for seat in evidence.seats:
        drawn = Counter(each.offer for each in seat.moments if each.what == "painted")
        for offer, many in drawn.items():
            if many > 1:
                yield Violation("", f"{seat.agent} painted offer {offer} {many} times")


def _names(event: CallDelivered) -> set[str]:
    """An offer's id, and the one it has on a page while the records are away (screenpop/unwritten.py)."""
    return {event.offer, f"{UNWRITTEN}{event.device_channel}"}


def stale_pages(evidence: Evidence) -> Iterator[Violation]:
    for seat in evidence.seats:
        if seat.shown is None or seat.fresh is None:
            yield Violation(
                "", f"{seat.agent}: {'the page' if seat.shown is None else 'a fresh page'} could not be loaded"
            )
        elif differences := _differences(seat.shown, seat.fresh):
            yield Violation("", f"{seat.agent}: the page and a fresh one differ in {', '.join(differences)}")


def _differences(shown: Any, fresh: Any, at: str = "") -> list[str]:
    """Where two plain values differ, as paths."""
    if isinstance(shown, dict) and isinstance(fresh, dict):
        keys = sorted(shown.keys() | fresh.keys(), key=str)
        return [
            each for key in keys for each in _differences(shown.get(key), fresh.get(key), f"{at}.{key}".lstrip("."))
        ]
    if isinstance(shown, list) and isinstance(fresh, list) and len(shown) == len(fresh):
        return [
            d
            for place, (s, f) in enumerate(zip(shown, fresh, strict=True))
            for d in _differences(s, f, f"{at}[{place}]")
        ]
    return [] if shown == fresh else [at]


def _offers(evidence: Evidence) -> Iterator[tuple[str, CallDelivered]]:
    return ((e.event.conversation, e.event) for e in evidence.events if isinstance(e.event, CallDelivered))


def _callers(evidence: Evidence) -> dict[str, str]:
    return {name: case.life.caller for case in evidence.cases for name in case.conversations}


# --- the ledger ---


def torn_histories(evidence: Evidence) -> Iterator[Violation]:
    """Each answered call is one conversation, which begins with its arrival and tells each fact once."""
    for case in evidence.cases:
        if case.life.answered_at is not None and len(case.conversations) != 1:
            yield Violation(case.life.caller, f"expected one conversation, the ledger has {len(case.conversations)}")
        for name in dict.fromkeys(case.conversations):
            for text in _faults_in([each.event for each in evidence.by_conversation[name]]):
                yield Violation(case.life.caller, text)
        if said := _otherwise_than_heard(case):
            yield Violation(case.life.caller, said)


def _faults_in(events: list[Any]) -> Iterator[str]:
    if not isinstance(events[0], CallArrived):
        yield f"the conversation begins with {events[0].type}"
    facts = Counter((each.type, each.offer) for each in events if isinstance(each, ONCE_AN_OFFER))
    facts.update((each.type, "") for each in events if isinstance(each, ONCE_A_CALL))
    yield from (f"{kind} {offer} is told {many} times" for (kind, offer), many in facts.items() if many > 1)
    offered: set[str] = set()
    for each in events:
        if isinstance(each, CallDelivered):
            offered.add(each.offer)
        elif isinstance(each, ONCE_AN_OFFER) and each.offer not in offered:
            yield f"{each.type} of offer {each.offer} comes before the offer itself"


def _otherwise_than_heard(case: Case) -> str:
    """Keys that the caller did not press, or numbers that he did not hear, but which the ledger tells; or too little."""
    if case.life.first("heard", tones.AGENT) and case.conversations and not case.of(CallAnswered):
        return "the caller talked with an agent, the ledger has no call.answered"
    keys = sum(each.kind == "digits" for each in case.of(FlowHeard))
    pressed = sum(each.what == "pressed" for each in case.life.moments)
    if keys > pressed:
        return f"the ledger has {keys} keys, the caller pressed {pressed}"
    reports = sum(each.node in PROMISES for each in case.of(FlowSpoke))
    heard = sum(each.what == "heard" and each.value in PROMISES for each in case.life.moments)
    return f"the ledger has {reports} reports spoken, the caller heard {heard}" if reports > heard else ""


def endless(evidence: Evidence) -> Iterator[Violation]:
    """call.ended exactly once, and soon after the caller has gone."""
    for case in evidence.cases:
        if not case.conversations:
            continue  # said by torn_histories, where it is a fault
        ends = [each.at.timestamp() for each in case.events if isinstance(each.event, CallEnded)]
        if len(ends) != len(set(case.conversations)):
            yield Violation(
                case.life.caller, f"call.ended {len(ends)} times in {len(set(case.conversations))} conversation(s)"
            )
        elif (late_s := max(ends) - case.life.ended_at) > END_MAX_S:
            yield Violation(case.life.caller, f"call.ended {late_s:.0f} s after the caller had gone")


# --- the table ---

Check = Callable[[Evidence], Iterator[Violation]]
Count = Callable[[Evidence], int]


def _calls(evidence: Evidence) -> int:
    return len(evidence.calls)


def _numbers(evidence: Evidence) -> int:
    return sum(each.what == "number" for life in evidence.calls for each in life.moments)


def _promises(evidence: Evidence) -> int:
    return sum(bool(life.first("number") or life.first("heard", *PROMISES)) for life in evidence.calls)


def _deliveries(evidence: Evidence) -> int:
    return sum(1 for _ in _offers(evidence))


def _painted(evidence: Evidence) -> int:
    return sum(each.what == "painted" for seat in evidence.seats for each in seat.moments)


def _pages(evidence: Evidence) -> int:
    return len(evidence.seats)


def _taken_over(evidence: Evidence) -> int:
    return len(resumes(evidence))


INVARIANTS: tuple[tuple[str, str, Count, Check], ...] = (
    ("I1", f"no silence above {SILENCE_MAX_S:g} s in an answered call", _calls, silences),
    ("I2", "no call is dropped that Asterisk did not drop", _calls, drops),
    ("I4", "no caller gives up", _calls, stuck),
    ("T1", "after a node's death its callers hear the menu (or the queue) in time", _taken_over, late_menus),
    ("F1", "nobody is left to the dialplan's fallback while nothing is broken", _calls, fallen_back),
    ("F2", "nothing of ours breaks inside a call", _calls, broken_flows),
    ("I5", "every ticket number that was heard exists", _numbers, spoken_unknown),
    ("I6", "one open ticket per matter, one number per call", _calls, doubled),
    ("I21", "what was promised is a ticket", _promises, lost),
    ("I9", "an offer is painted by the seat of its agent only", _painted, wrong_seats),
    ("I10", "an offer is painted once, or withdrawn with a reason", _deliveries, unpainted),
    ("I13", "at the end each page shows what a fresh one shows", _pages, stale_pages),
    ("I17", "an answered call is one conversation, each fact told once", _calls, torn_histories),
    ("I18", f"call.ended once, at most {END_MAX_S:g} s after the caller has gone", _calls, endless),
)
