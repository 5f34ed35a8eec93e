"""What the auditor found, for people: a line for each invariant, and the life of each call that contradicts one. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.chaos.auditor import Finding
from benchmarks.chaos.evidence import Case, Evidence
from benchmarks.chaos.resumes import Resume, median_and_worst_s
from benchmarks.report import Figure

LIVES_MAX = 3  # of each invariant; the whole report is in the file
BODY_MAX = 160
MORE_MAX = 20
NOTICED = (
    "deadlock detected",
    "duplicate key value",
    "flow.failed",
    "task.died",
    "call.unwritten",
    "journal.not_replayed",
)


@dataclass(frozen=True)
class Round:
    """One run of calls under one kind of fault, judged. `left_out`: faults that this machine does not allow, and why. `late_s`: by
    how much the callers themselves were late at most; above a few tenths the machine was too slow for them."""

    fault: str
    evidence: Evidence
    findings: tuple[Finding, ...]
    resumed: tuple[Resume, ...]
    left_out: tuple[str, ...] = ()
    late_s: float = 0.0
    noticed: tuple[str, ...] = ()  # in the logs of the engines

    @property
    def violations(self) -> int:
        return sum(len(finding.violations) for finding in self.findings)


def lines(judged: Round, *, lives_max: int = LIVES_MAX) -> Iterator[str]:
    """The whole report of a round."""
    evidence = judged.evidence
    counts = {kind: sum(each.kind == kind for each in evidence.faults) for kind in {f.kind for f in evidence.faults}}
    broken = ", ".join(f"{many} x {kind}" for kind, many in sorted(counts.items())) or "nothing"
    answered = sum(life.answered_at is not None for life in evidence.calls)
    yield f"--- {judged.fault}: {len(evidence.calls)} calls, {answered} answered; broken: {broken}"
    yield f"    the callers' own clock was at most {judged.late_s:.2f} s late"
    yield from (f"    noticed: {each}" for each in judged.noticed)
    yield from (f"    left out: {each}" for each in judged.left_out)
    for finding in judged.findings:
        many = len(finding.violations)
        yield f"{finding.name:<4} {many:>4} violations of {finding.looked_at:>5}   {finding.sentence}"
    if found := median_and_worst_s(judged.resumed):
        yield f"     menu heard again after {found[0]:.2f} s (median), {found[1]:.2f} s (worst) of {len(judged.resumed)}"
    for finding in judged.findings:
        yield from _explained(finding, evidence, lives_max)


def noticed(logs: Mapping[str, str]) -> Iterator[str]:
    """What a log (by its name) should not say, and how often it does."""
    for name, text in logs.items():
        for words in NOTICED:
            if many := text.count(words):
                yield f"{name} says {many} x {words!r}"


def figures(rounds: Sequence[Round]) -> list[Figure]:
    """For the table of all benches: over all rounds, and for each kind of fault."""
    calls = sum(len(each.evidence.calls) for each in rounds)
    resumed = [resume for each in rounds for resume in each.resumed]
    made = [
        _figure("chaos.violations", sum(each.violations for each in rounds), "", calls),
        _figure("chaos.calls", calls, "", calls),
        *_takeover("takeover.resume", resumed),
    ]
    for each in rounds:
        many = len(each.evidence.calls)
        made.append(_figure(f"chaos.violations.{each.fault}", each.violations, "", many))
        made.append(_figure(f"chaos.calls.{each.fault}", many, "", many))
        made += _takeover(f"takeover.resume.{each.fault}", each.resumed)
    return made


def _takeover(name: str, resumed: Sequence[Resume]) -> list[Figure]:
    found = median_and_worst_s(resumed)
    if found is None:
        return []
    return [
        _figure(f"{name}_{word}_ms", round(seconds * 1000, 1), "ms", len(resumed))
        for word, seconds in zip(("p50", "max"), found, strict=True)
    ]


def _figure(name: str, value: float, unit: str, samples: int) -> Figure:
    return Figure(name=name, value=value, unit=unit, samples=samples)


def _explained(finding: Finding, evidence: Evidence, lives_max: int) -> Iterator[str]:
    cases = {case.life.caller: case for case in evidence.cases}
    for each in finding.violations[:lives_max]:
        yield f"\n{finding.name} {each.caller or '-'}: {each.text}"
        if each.caller in cases:
            yield from life(cases[each.caller], evidence)
    if len(finding.violations) > lives_max:
        rest = [f"{each.caller or '-'} {each.text}" for each in finding.violations[lives_max:]]
        yield f"\n{finding.name}: and {len(rest)} more: {'; '.join(rest[:MORE_MAX])}"


def life(case: Case, evidence: Evidence) -> Iterator[str]:
    """One call as it went: what its caller did and heard, what the ledger says, and what was broken meanwhile; in seconds from
    its first INVITE."""
    begun_at, ended_at = case.life.placed_at, case.life.ended_at
    told = [(begun_at, "caller", "called")]
    if case.life.answered_at is not None:
        told.append((case.life.answered_at, "caller", "was answered"))
    told += [(each.at, "caller", f"{each.what} {each.value}") for each in case.life.moments]
    told += [(each.began_at, "caller", f"silence of {each.lasted_s:.2f} s") for each in case.life.silences]
    told.append((ended_at, "caller", f"ended by the {case.life.ended_by}"))
    told += [(each.at.timestamp(), "ledger", _event(each.event)) for each in case.events]
    for fault in evidence.faults:
        if fault.began_at < ended_at and fault.ended_at > begun_at - 2:
            told.append((fault.began_at, "FAULT", f"{fault.kind} {fault.target}"))
            told.append((fault.ended_at, "FAULT", f"end of {fault.kind} {fault.target}"))
    return (f"  {at - begun_at:>7.2f}  {who:<6} {what}" for at, who, what in sorted(told, key=lambda each: each[0]))


def _event(event: Any) -> str:
    body = {name: value for name, value in event.plain().items() if name not in ("conversation", "candidates", "label")}
    return f"{event.type} {json.dumps(body, ensure_ascii=False)}"[:BODY_MAX]
