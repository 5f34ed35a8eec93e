"""Resident memory of the bridge after 1,000 calls, and how much of it came with the second half of them."""

from __future__ import annotations

import asyncio

from benchmarks import processes
from benchmarks.report import Figure, against
from benchmarks.stand import Stand
from cti.demo.carrier import DID

HALF, RATE = 500, 10.0
KEYS = ("1", "1")
KEY_S, HOLD_S = 1.5, 5.0
SETTLE_S = 3.0


async def measure(stand: Stand) -> list[Figure]:
    async with stand.bridge() as bridge:
        first = await _after_calls(stand, bridge)
        second = await _after_calls(stand, bridge)
    return [
        against("bridge.rss_mb", second, "MB", "itself after 500 calls", first, 2 * HALF),
        Figure(name="bridge.rss_growth_mb", value=round(second - first, 2), unit="MB", samples=HALF),
    ]


async def _after_calls(stand: Stand, bridge: int) -> float:
    result = await stand.calls(stand.fresh_callers(HALF), KEYS, rate=RATE, to=DID, key_s=KEY_S, hold_s=HOLD_S)
    if result.failed:
        raise RuntimeError(f"expected every call to be served, {result.failed} were not: see {result.log}")
    await asyncio.sleep(SETTLE_S)
    return processes.rss_mb(bridge)
