"""`make bench`, or `python -m benchmarks [ivr_cost] [pop_delay] [memory] [broadcast] [year]`: all of them in this order; the first three on
one Asterisk, the others without any. `python -m benchmarks chaos …` is the fault bench (`make chaos`), and `python -m benchmarks
identify [--points N]` looks callers up among ten million contact points (half an hour, 20 GB in the temporary folder)."""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from benchmarks import broadcast, identify, ivr_cost, memory, pop_delay
from benchmarks.chaos import run as chaos
from benchmarks.report import keep
from benchmarks.stand import standing
from benchmarks.year import run as year
from cti.config import Settings

SUBJECTS = {"ivr_cost": ivr_cost, "pop_delay": pop_delay, "memory": memory}
ALONE = ("broadcast", "year")  # need no Asterisk
ALL_MAX_S = 12 * 60.0


async def measure(names: list[str], settings: Settings) -> None:
    """`settings`: only for the tools' folder, and where results are kept."""
    with tempfile.TemporaryDirectory(prefix="santral-bench-") as folder:
        async with asyncio.timeout(ALL_MAX_S), standing(Path(folder), settings.tools) as stand:
            for name in names:
                began = time.monotonic()
                figures = await SUBJECTS[name].measure(stand)
                keep(figures, settings.data_dir / "bench.jsonl", dt.datetime.now(dt.UTC))
                print(f"  {name} took {time.monotonic() - began:.0f} s", file=sys.stderr)


async def measure_broadcast(settings: Settings) -> None:
    async with asyncio.timeout(ALL_MAX_S):
        keep(await broadcast.measure(settings), settings.data_dir / "bench.jsonl", dt.datetime.now(dt.UTC))


def main() -> int:
    if sys.argv[1:2] == ["chaos"]:
        return chaos.main(sys.argv[2:])
    if sys.argv[1:2] == ["identify"]:
        return identify.main(sys.argv[2:])
    known = (*SUBJECTS, *ALONE)
    names = sys.argv[1:] or list(known)
    if unknown := set(names) - set(known):
        print(
            f"expected chaos, identify or subjects out of {', '.join(known)}, got {', '.join(sorted(unknown))}",
            file=sys.stderr,
        )
        return 2
    settings = Settings()
    if on_stand := [name for name in names if name in SUBJECTS]:
        asyncio.run(measure(on_stand, settings))
    if "broadcast" in names:
        uvloop.run(measure_broadcast(settings))
    if "year" in names:
        keep(year.measure(), settings.data_dir / "bench.jsonl", dt.datetime.now(dt.UTC))
    return 0


if __name__ == "__main__":
    sys.exit(main())
