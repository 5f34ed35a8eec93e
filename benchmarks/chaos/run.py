"""`python -m benchmarks chaos`: the rounds that were asked for, a report, and figures. Exit code 1 when an invariant was broken."""

from __future__ import annotations

import argparse
import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from benchmarks.broadcast_node import open_files_as_many_as_allowed
from benchmarks.chaos.evidence import KILL, PAUSE
from benchmarks.chaos.place import say
from benchmarks.chaos.report import Round, figures, lines
from benchmarks.chaos.rounds import FAULTS, MIXED, Asked, play
from benchmarks.report import keep
from cti.config import Settings

SHARES = {
    KILL: 1.0,
    PAUSE: 0.6,
    MIXED: 0.7,
}  # of the calls, where every fault is asked for: all together a quarter of an hour
QUICK_CALLS = 90
AGENTS = 14


def main(arguments: Sequence[str]) -> int:
    asked = _parser().parse_args(arguments)
    settings = Settings()
    at = dt.datetime.now(dt.UTC)
    kept = settings.data_dir / "chaos" / at.strftime("%Y%m%d-%H%M%S")
    open_files_as_many_as_allowed()
    judged = [_played(each, settings, kept) for each in rounds(asked)]
    keep(figures(judged), settings.data_dir / "bench.jsonl", at)
    print(f"the lives of all calls in question, and the logs: {kept}")
    return 1 if any(each.violations for each in judged) else 0


def rounds(asked: argparse.Namespace) -> list[Asked]:
    """The rounds to play, in order."""
    kinds = {KILL: 1.0} if asked.quick else SHARES
    if asked.fault:
        kinds = {asked.fault: 1.0}
    calls = min(asked.calls, QUICK_CALLS) if asked.quick else asked.calls
    nodes = 1 if asked.single else 2
    return [
        Asked(
            fault=kind, calls=max(1, round(calls * share)), rate=asked.rate, every_s=asked.every, seed=asked.seed,
            nodes=nodes, agents=asked.agents,
        )
        for kind, share in kinds.items()
    ]  # fmt: skip


def _played(asked: Asked, settings: Settings, kept: Path) -> Round:
    """Each round has a loop of its own: what one leaves behind is not the next one's."""
    began = time.monotonic()
    judged = uvloop.run(play(asked, settings.tools, kept))
    print("\n".join(lines(judged)), flush=True)
    say(f"{asked.fault} took {time.monotonic() - began:.0f} s")
    return judged


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks chaos", description=__doc__)
    parser.add_argument("--calls", type=int, default=500, help="of the round with kills; the others have fewer")
    parser.add_argument("--rate", type=float, default=1.5, help="calls in a second")
    parser.add_argument("--fault", choices=FAULTS, help="one round only")
    parser.add_argument("--every", type=float, default=10.0, help="seconds from one kill (pause) to the next")
    parser.add_argument("--seed", type=int, default=1, help="of the order of faults and the callers' patience")
    parser.add_argument("--agents", type=int, default=AGENTS, help="phones and pages")
    parser.add_argument("--single", action="store_true", help="one node, which is killed and started again")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_CALLS} calls and kills only: some 90 s")
    return parser
