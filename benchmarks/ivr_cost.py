"""CPU and answer time of a whole fault call, against the same menu in the native dialplan and as an AGI process for each call.

The caller is recognised, keys 1 and 1, hears the ticket's number and hangs up: 11 seconds, of which Asterisk's part is mostly
sound. The rivals play the same files and keep nothing. Rounds are interleaved, so that a noisy machine is noisy for all of them.
The bridge does not run while a rival is measured: a switch without Santral writes no events for it.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass, field

from benchmarks import menus, processes
from benchmarks.report import Figure, against, percentile
from benchmarks.stand import Stand
from cti.demo.carrier import DID
from cti.demo.load import LoadResult

ROUNDS, CALLS, RATE, WARM_UP = 3, 40, 5.0, 10
KEYS = ("1", "1")
KEY_S, HOLD_S = 1.5, 8.0  # the number is heard once, with half of its repetition
WARM_UP_HOLD_S = 1.5
SETTLE_S = 1.0  # what a call leaves to do after its end


@dataclass
class Cost:
    """Of one way to serve the call: a value for each round, an answer time for each call."""

    cpu_ms: list[float] = field(default_factory=list)
    asterisk_ms: list[float] = field(default_factory=list)
    answer_ms: list[float] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpu_ms)

    @property
    def samples(self) -> int:
        return len(self.answer_ms)


async def measure(stand: Stand) -> list[Figure]:
    heard = menus.menu(stand.voice, stand.settings.language)
    await asyncio.to_thread(stand.dialplan, menus.dialplan(heard, stand.plan.home / "agi"))
    ours, native, agi = Cost(), Cost(), Cost()
    for _ in range(ROUNDS):
        async with stand.bridge() as bridge:
            await _calls(stand, stand.fresh_callers(WARM_UP), DID, hold_s=WARM_UP_HOLD_S)
            await _round(stand, ours, stand.fresh_callers(CALLS), DID, bridge)
        for rival, to in ((native, menus.NATIVE), (agi, menus.AGI)):
            await _round(stand, rival, ["05301112233"] * CALLS, to)
    return _figures(ours, native, agi)


async def _round(stand: Stand, cost: Cost, callers: list[str], to: str, *more: int) -> None:
    pids = (stand.asterisk.pid, *more)
    before = [processes.cpu_s(pid) for pid in pids]
    result = await _calls(stand, callers, to)
    used_ms = [1000 * (processes.cpu_s(pid) - then) / CALLS for pid, then in zip(pids, before, strict=True)]
    cost.cpu_ms.append(sum(used_ms))
    cost.asterisk_ms.append(used_ms[0])
    cost.answer_ms += result.answer_ms


async def _calls(stand: Stand, callers: list[str], to: str, *, hold_s: float = HOLD_S) -> LoadResult:
    result = await stand.calls(callers, KEYS, rate=RATE, to=to, key_s=KEY_S, hold_s=hold_s)
    if result.failed:
        raise RuntimeError(f"expected every call to {to} to be served, {result.failed} were not: see {result.log}")
    await asyncio.sleep(SETTLE_S)
    return result


def _figures(ours: Cost, native: Cost, agi: Cost) -> list[Figure]:
    part = statistics.median(each - asterisk for each, asterisk in zip(ours.cpu_ms, ours.asterisk_ms, strict=True))
    dialplan, process = "native dialplan", "AGI process for each call"
    return [
        against("ivr.cpu_ratio_native", ours.cpu, "ms", dialplan, native.cpu, ours.samples),
        against("ivr.cpu_ratio_agi_process", ours.cpu, "ms", process, agi.cpu, ours.samples),
        Figure(name="ivr.cpu_over_native_ms", value=round(ours.cpu - native.cpu, 2), unit="ms", samples=ours.samples),
        Figure(name="ivr.cpu_bridge_ms", value=round(part, 2), unit="ms", samples=ours.samples),
        *(
            against(
                f"ivr.answer_p{percent}_ms", percentile(ours.answer_ms, percent), "ms",
                dialplan, percentile(native.answer_ms, percent), ours.samples,
            )
            for percent in (50, 95)
        ),
        against(
            "ivr.answer_p95_ms_agi_process", percentile(ours.answer_ms, 95), "ms",
            process, percentile(agi.answer_ms, 95), ours.samples,
        ),
    ]  # fmt: skip
