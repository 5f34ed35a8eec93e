"""`make bench`, or `python -m benchmarks [ivr_cost] [pop_delay] [memory]`: all of them on one Asterisk, in this order."""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import ivr_cost, memory, pop_delay
from benchmarks.report import keep
from benchmarks.stand import standing
from cti.config import Settings

SUBJECTS = {"ivr_cost": ivr_cost, "pop_delay": pop_delay, "memory": memory}
ALL_MAX_S = 12 * 60.0


async def measure(names: list[str]) -> None:
    settings = Settings()  # only for the tools' folder, and where results are kept
    with tempfile.TemporaryDirectory(prefix="santral-bench-") as folder:
        async with asyncio.timeout(ALL_MAX_S), standing(Path(folder), settings.tools) as stand:
            for name in names:
                began = time.monotonic()
                figures = await SUBJECTS[name].measure(stand)
                keep(figures, settings.data_dir / "bench.jsonl", dt.datetime.now(dt.UTC))
                print(f"  {name} took {time.monotonic() - began:.0f} s", file=sys.stderr)


def main() -> int:
    names = sys.argv[1:] or list(SUBJECTS)
    if unknown := set(names) - set(SUBJECTS):
        print(f"expected subjects out of {', '.join(SUBJECTS)}, got {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    asyncio.run(measure(names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
