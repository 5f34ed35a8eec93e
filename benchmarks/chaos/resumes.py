"""How long the callers of a node that died or hung waited until somebody talked to them again. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.chaos.evidence import NODE_FAULTS, Case, Evidence, Fault, Moment
from cti.events import CallArrived, CallQueued, FlowResumed

RESUMED = "resumed"  # the prompt with which another node goes on
BEGINNING = "welcome"  # another node began (anew), because nothing of the call had been kept
SAVED = "fallback"  # the dialplan's own announcement: the dead-man switch brought the caller to the queue
UNDER_WAY_S = 0.5  # a welcome so soon after the fault was ordered before it
LEAVING_S = 0.3  # whoever left the flow so soon after the fault was on his way out
GONE_S = 1.0  # whoever hung up so soon did not wait for anything
SAVED_MAX_S = 4.0  # the dead-man switch's time, and what the dialplan takes


@dataclass(frozen=True)
class Resume:
    """One caller of one fault. `heard`: resumed | welcome | fallback, and "" with `after_s` None: nothing until his call ended."""

    caller: str
    fault: Fault
    heard: str
    after_s: float | None
    max_s: float


def resumes(evidence: Evidence) -> list[Resume]:
    """Every caller who was in the flow on the node when it failed, and still on the line."""
    return [
        _resume(case, fault, evidence.menu_max_s, alone=evidence.nodes == 1)
        for fault in evidence.faults
        if fault.kind in NODE_FAULTS
        for case in _held(evidence, fault)
    ]


def _held(evidence: Evidence, fault: Fault) -> Iterator[Case]:
    for case in evidence.cases:
        channels = {each.channel for each in case.of(CallArrived)}
        queued_at = case.at(CallQueued)
        left = queued_at is not None and queued_at < fault.began_at + LEAVING_S
        if channels & fault.held and not left and case.life.ended_at > fault.began_at + GONE_S:
            yield case


def _resume(case: Case, fault: Fault, menu_max_s: float, *, alone: bool) -> Resume:
    began = case.life.first("heard", BEGINNING, since=fault.began_at + UNDER_WAY_S)
    words = [case.life.first("heard", RESUMED, SAVED, since=fault.began_at), began, _answered(case, fault)]
    heard = min((each for each in words if each is not None), key=lambda each: each.at, default=None)
    if heard is None:
        return Resume(case.life.caller, fault, "", None, menu_max_s)
    saved_max_s = max(menu_max_s, SAVED_MAX_S) if alone else 0.0  # with another node the queue is no menu
    max_s = saved_max_s if heard.value == SAVED else menu_max_s
    return Resume(case.life.caller, fault, heard.value, heard.at - fault.began_at, max_s)


def _answered(case: Case, fault: Fault) -> Moment | None:
    """Who pressed a key before the apology began heard the answer to it instead: that is somebody who talks to him again."""
    resumed = (each.at.timestamp() for each in case.events if isinstance(each.event, FlowResumed))
    since = next((at for at in resumed if at >= fault.began_at), None)
    return None if since is None else case.life.first("heard", since=since)


def median_and_worst_s(found: Sequence[Resume]) -> tuple[float, float] | None:
    """Of those who heard something again; None when nobody did."""
    waits = [each.after_s for each in found if each.after_s is not None]
    return (statistics.median(waits), max(waits)) if waits else None
