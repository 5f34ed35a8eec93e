"""Many calls at a steady rate from one SIPp process: for benchmarks, where a process and an ear for each call would cost
more than what is measured. Nothing is heard here, and keys go at fixed times.
"""

from __future__ import annotations

import csv
import re
import secrets
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cti.demo.carrier import DID, Carrier
from cti.demo.sipp import Sipp, free_port, scenario

NUMBER = re.compile(r"[0-9A-Za-z+*#._~-]{0,64}")
KEY = re.compile(r"[0-9*#A-Da-d]+")
SIPP_LEAD_IN_S = 0.8  # from its order to play a key until the key is on the line
MEDIA_PORTS = 2000
END_MAX_S = 60.0
ALL_ENDED_WELL, SOME_FAILED = 0, 1  # SIPp's exit codes


@dataclass(frozen=True)
class Row:
    """One call of the load: who calls, and the keys he presses, each after `key_s` from the one before."""

    number: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """`answer_ms`: from INVITE to 200, one for each answered call, in the order of the answers. `failed`: ended otherwise
    than by a BYE of either side."""

    placed: int
    answered: int
    failed: int
    answer_ms: tuple[float, ...]
    log: Path

    def percentile(self, percent: int) -> float:
        """Of `answer_ms`; ValueError when nothing was answered."""
        if not self.answer_ms:
            raise ValueError(f"expected answered calls, there was none of {self.placed}: see {self.log}")
        ordered = sorted(self.answer_ms)
        if len(ordered) == 1:
            return ordered[0]
        return statistics.quantiles(ordered, n=100, method="inclusive")[percent - 1]


async def calls(
    carrier: Carrier, rows: Sequence[Row], *, rate: float, to: str = DID, key_s: float = 1.0, hold_s: float = 5.0
) -> LoadResult:
    """Place one call for each row, `rate` in a second; each presses its keys, then stays `hold_s` or until the switch
    hangs up. All rows have the same number of keys. Returns when all have ended."""
    keys = _same_many_keys(rows)
    folder = carrier.out_dir / f"load-{secrets.token_hex(6)}"
    folder.mkdir(parents=True)
    steps = "\n".join(_key_step(each, key_s) for each in range(1, keys + 1))
    path = scenario("load", folder, keys=steps, hold_ms=round(hold_s * 1000))
    _write_rows(folder / "calls.csv", rows)
    media = free_port(carrier.host, carrier.media_port)
    sipp = await Sipp.start(
        carrier.sipp,
        carrier.target,
        [
            *(
                "-sf",
                str(path),
                "-inf",
                str(folder / "calls.csv"),
                "-s",
                to,
                "-m",
                str(len(rows)),
                "-l",
                str(len(rows)),
            ),
            *(
                "-r",
                str(round(rate * 1000)),
                "-rp",
                "1000000",
            ),  # a rate of thousandths: SIPp counts whole calls a period
            *("-i", carrier.host, "-p", str(free_port(carrier.host, carrier.port)), "-mi", carrier.host),
            *("-min_rtp_port", str(media), "-max_rtp_port", str(media + MEDIA_PORTS)),
            *("-trace_rtt", "-rtt_freq", "1", "-timeout", f"{_most_s(rows, rate, key_s, hold_s):.0f}s"),
        ],
        log=folder / "sipp.log",
        hear=lambda word, value: None,
    )
    try:
        code = await sipp.wait()
    finally:
        await sipp.stop()
    answer_ms = _answers(folder)
    failed = sipp.complaints.count("Aborting call") if code != ALL_ENDED_WELL else 0
    return LoadResult(
        placed=len(rows), answered=len(answer_ms), failed=max(failed, len(rows) - len(answer_ms)),
        answer_ms=answer_ms, log=folder / "sipp.log",
    )  # fmt: skip


def _same_many_keys(rows: Sequence[Row]) -> int:
    counts = {len(row.keys) for row in rows}
    if len(counts) != 1:
        raise ValueError(f"expected calls with the same number of keys each, got {sorted(counts)} of {len(rows)} calls")
    return counts.pop()


def _key_step(number: int, key_s: float) -> str:
    """Wait, then press; a BYE in between ends the call as it should."""
    wait_ms = max(1, round((key_s - SIPP_LEAD_IN_S) * 1000)) if number == 1 else round(key_s * 1000)
    return (
        f'  <recv request="BYE" timeout="{wait_ms}" ontimeout="key{number}" next="their_bye"/>\n  <label id="key{number}"/>\n'
        f'  <nop><action><exec play_dtmf="[field{number}]"/></action></nop>'
    )


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    """SIPp's CSV knows no quoting: only harmless characters get in."""
    for row in rows:
        if not NUMBER.fullmatch(row.number) or not all(KEY.fullmatch(key) for key in row.keys):
            raise ValueError(f"expected a plain number and keys of 0-9, *, # and A-D, got {row}")
    with path.open("w", encoding="ascii", newline="") as file:
        file.write("SEQUENTIAL\n")
        csv.writer(file, delimiter=";", lineterminator="\n").writerows([row.number, *row.keys] for row in rows)


def _most_s(rows: Sequence[Row], rate: float, key_s: float, hold_s: float) -> float:
    return len(rows) / rate + len(rows[0].keys) * key_s + hold_s + END_MAX_S


def _answers(folder: Path) -> tuple[float, ...]:
    """SIPp's table of response times: `date_ms;response_time_ms;rtd_no` under a heading."""
    tables = (path.read_text(encoding="ascii", errors="replace") for path in folder.glob("*_rtt.csv"))
    return tuple(float(line.split(";")[1]) for table in tables for line in table.splitlines()[1:])
