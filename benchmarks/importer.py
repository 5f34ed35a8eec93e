"""The product's import, as a process of its own: `python -m benchmarks.importer URL FILE`; prints a line of JSON at its end."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
import time
from pathlib import Path

import uvloop

from cti.db import Database
from cti.import_commands import stand_back
from cti.records import imports


async def load(url: str, path: Path) -> None:
    stand_back()
    db = Database(url, bulk=True)
    began = time.perf_counter()
    try:
        report = await imports.import_customers(db, path, region="TR", now=dt.datetime.now(dt.UTC), say=imports.nothing)
    finally:
        await db.close()
    print(
        json.dumps({"rows": report.rows, "passed_s": time.perf_counter() - began, "cpu_s": time.process_time()}),
        flush=True,
    )


def write(path: Path, rows: int, first: int) -> None:
    """New customers, each with one or two numbers that nobody has yet, in the order in which a billing system numbers them."""
    with path.open("w", encoding="utf-8") as file:
        file.write("external_id,name,customer_no,phones\n")
        for each in range(first, first + rows):
            scattered = each * 2_654_435_761 % 9_000_000
            second = f"|user:0312 {2_000_000 + each * 7_919 % 7_999_993:07}" if each % 2 else ""
            mobile = f"0599 {scattered % 1000:03} {scattered // 1000 % 100:02} {scattered // 100_000:02}"
            mobile = mobile.replace("0599", ("0551", "0552", "0553", "0554", "0555", "0541", "0542")[each % 7])
            file.write(f"n{each},Müşteri {each * 7_919 % 100_003} Yeni,N{each},{mobile}{second}\n")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(load(sys.argv[1], Path(sys.argv[2])))
