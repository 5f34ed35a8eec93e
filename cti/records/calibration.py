"""What the ledger says of how well callers were told by their numbers: what was stated on arrival against who it turned out to be.

Who it was is known of a call in which an agent confirmed somebody, or in which somebody showed a secret of his own. What stands on a bill
only tells whose customer calls: everybody at home knows it, so calls in which no more was shown are left out.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cti.calibration import (
    DECILES,
    PAIRS_MIN,
    SURE,
    Pair,
    Trial,
    brier,
    curve,
    ece,
    fit,
    gap_max,
    log_loss,
    probabilities,
    top1,
    trial,
)
from cti.db import Database
from cti.events import CallIdentified, Candidate, Event, PartyConfirmed, read
from cti.ledger import EventRow
from cti.proof import SECRETS
from cti.records.parties import Party
from cti.weights import WEIGHTS, names

TRIALS_MAX = 200_000  # of the newest calls
CHUNK = 5000  # events read at a time: a read must end within seconds
KINDS = (CallIdentified.type, PartyConfirmed.type)
OF_A_PERSON = frozenset(f"proved_{each}" for each in SECRETS)  # reasons of a candidate who showed what only he can know
GAP_GOOD = 0.05

Say = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """A call that was identified by its number and in which it came out later who it was."""

    pair: Pair
    trial: Trial


def known(events: Iterable[Event], kept: Mapping[str, str]) -> list[Known]:
    """Those of the calls whose number was identified in these events, in the order in which they came. `kept`: of merged parties, the
    one into which each went; they count as that one."""
    stated: dict[str, tuple[Candidate, ...]] = {}
    confirmed: dict[str, str] = {}
    proved: dict[str, str | None] = {}
    for each in events:
        match each:
            case CallIdentified(method="caller_id") if each.candidates:
                stated.setdefault(each.conversation, each.candidates)
            case CallIdentified(method="keys" | "narrowing" | "agent"):
                proved[each.conversation] = person(each.candidates)
            case PartyConfirmed():
                confirmed[each.conversation] = each.party
    who = {call: party for call in stated if (party := confirmed.get(call) or proved.get(call))}
    return [_known(stated[call], party, kept) for call, party in list(who.items())[-TRIALS_MAX:]]


def person(candidates: Iterable[Candidate]) -> str | None:
    """The party who showed a secret of his own, of the candidates after a proof; None when nothing tells one of them from the others."""
    shown = [each.party for each in candidates if any(reason.key in OF_A_PERSON for reason in each.reasons)]
    return shown[0] if len(shown) == 1 else None


def _events(session: Session, seen: int, since: dt.datetime | None) -> list[tuple[int, Event]]:
    """The next ones that matter, with their numbers, at most CHUNK."""
    query = select(EventRow.seq, EventRow.type, EventRow.body).where(EventRow.type.in_(KINDS), EventRow.seq > seen)
    if since is not None:
        query = query.where(EventRow.at >= since)
    rows = session.execute(query.order_by(EventRow.seq).limit(CHUNK))
    return [(row.seq, read(row.type, row.body)) for row in rows]


def _kept(session: Session) -> dict[str, str]:
    rows = session.execute(select(Party.id, Party.merged_into_id).where(Party.merged_into_id.is_not(None)))
    return {party: into for party, into in rows if into}


def _known(candidates: tuple[Candidate, ...], truth: str, kept: Mapping[str, str]) -> Known:
    def is_right(candidate: Candidate) -> bool:
        return _now(candidate.party, kept) == _now(truth, kept)

    return Known(Pair(candidates[0].probability, is_right(candidates[0])), trial(candidates, is_right))


def _now(party: str | None, kept: Mapping[str, str]) -> str | None:
    """The party as whom this one is kept."""
    met: set[str] = set()
    while party and party not in met and (into := kept.get(party)):
        met.add(party)
        party = into
    return party


# --- for the one who asks ---------------------------------------------------------------------------------------------


async def run(db: Database, since: dt.datetime | None, say: Say, *, propose: bool = False) -> int:
    """`santral identity calibrate`: the curve, the scores, advice; with `propose` also weights that would have stated better. 0: well
    calibrated, or too few calls to say; 1: not."""
    events: list[Event] = []
    seen = 0
    while found := await db.read(_events, seen, since):
        seen = found[-1][0]
        events += [event for _, event in found]
    calls = known(events, await db.read(_kept))
    for line in report([each.pair for each in calls]):
        say(line)
    if propose and calls:
        for line in proposal([each.trial for each in calls]):
            say(line)
    return 1 if gap_max(curve(each.pair for each in calls)) > GAP_GOOD else 0


def report(pairs: list[Pair]) -> Iterator[str]:
    if not pairs:
        yield "No call yet that a number told and somebody confirmed: nothing to compare."
        return
    yield f"{'stated':<10} {'calls':>7} {'mean':>6} {'right':>6} {'gap':>7}"
    for each in curve(pairs):
        few = "" if each.count >= PAIRS_MIN else "  too few to count"
        yield (
            f"{each.low:.1f}-{each.low + 1 / DECILES:.1f}    {each.count:>7} {each.stated:>6.3f} {each.right:>6.3f}"
            f" {each.right - each.stated:>+7.3f}{few}"
        )
    share, sure = top1(pairs, SURE)
    yield f"{len(pairs)} calls, Brier score {brier(pairs):.4f}, calibration error {ece(pairs):.4f}"
    yield f"likeliest candidate right: {top1(pairs)[0]:.1%}; where {SURE} or more was stated: {share:.1%} of {sure}"
    yield _advice(pairs)


def _advice(pairs: list[Pair]) -> str:
    bins = [each for each in curve(pairs) if each.count >= PAIRS_MIN]
    if not bins:
        return f"Too few calls: a decile counts from {PAIRS_MIN} on. Come back later."
    worst = max(bins, key=lambda each: each.gap)
    if worst.gap <= GAP_GOOD:
        return f"Well calibrated: no decile is off by more than {GAP_GOOD:.0%}. Nothing to do."
    side = "too sure of itself" if worst.stated > worst.right else "too modest"
    return f"Around {worst.stated:.2f} it is {side} by {worst.gap:.1%}. See what --fit proposes for cti/weights.py."


def proposal(trials: list[Trial]) -> Iterator[str]:
    """Fitted on the older four fifths, tested on the newest fifth: a proposal that is no better there is said to be none."""
    cut = len(trials) * 4 // 5
    older, newest = trials[:cut], trials[cut:]
    if len(newest) < PAIRS_MIN:
        yield f"Too few calls to fit weights: expected at least {PAIRS_MIN * 5}, there are {len(trials)}."
        return
    found = fit(older)
    before, after = log_loss(newest), log_loss(newest, found)
    yield f"Log loss on the newest fifth: {before:.4f} with the present weights, {after:.4f} with fitted ones."
    if after >= before:
        yield "The fitted weights are no better there: keep the present ones."
        return
    yield from _differences(dataclasses.asdict(found))
    then = gap_max(curve(_pairs(newest, lambda each: probabilities(each, found))))
    yield f"Largest gap there: {gap_max(curve(_pairs(newest, probabilities))):.3f} now, {then:.3f} then."


def _differences(found: Mapping[str, float]) -> Iterator[str]:
    for name in names():
        present = getattr(WEIGHTS, name)
        if abs(found[name] / present - 1) > 0.05:
            yield f"  {name}: {present:g} -> {found[name]:.2g}"


def _pairs(trials: Iterable[Trial], state: Callable[[Trial], tuple[float, ...]]) -> Iterator[Pair]:
    for each in trials:
        stated = state(each)
        first = max(range(len(stated)), key=stated.__getitem__)
        yield Pair(stated[first], first == each.right)
