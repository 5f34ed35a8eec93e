"""Figures: what was measured, printed for people and kept for comparison, a line of `var/bench.jsonl` each."""

from __future__ import annotations

import datetime as dt
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One result. `rival` is what the same was measured on in the same run; `ratio` is ours divided by the rival's."""

    name: str
    value: float
    unit: str
    samples: int
    rival: str | None = None
    rival_value: float | None = None
    ratio: float | None = None


def against(name: str, value: float, unit: str, rival: str, rival_value: float, samples: int) -> Figure:
    """A figure with its rival. `rival_value` of 0 has no ratio."""
    ratio = round(value / rival_value, 2) if rival_value else None
    return Figure(
        name=name, value=round(value, 2), unit=unit, rival=rival, rival_value=round(rival_value, 2), ratio=ratio,
        samples=samples,
    )  # fmt: skip


def percentile(values: Sequence[float], percent: int) -> float:
    """ValueError when there are no values."""
    if not values:
        raise ValueError("expected at least one value, there is none")
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def keep(figures: Sequence[Figure], path: Path, at: dt.datetime) -> None:
    """Append the figures to `path` and print them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for figure in figures:
            file.write(json.dumps(asdict(figure) | {"at": at.isoformat()}, ensure_ascii=False) + "\n")
            print(_line(figure), flush=True)


def _line(figure: Figure) -> str:
    text = f"{figure.name:<34} {figure.value:>9.2f} {figure.unit:<4}"
    if figure.rival is not None and figure.rival_value is not None:
        text += f"  {figure.rival}: {figure.rival_value:.2f}"
    if figure.ratio is not None:
        text += f"  ratio {figure.ratio:.2f}"
    return f"{text}  ({figure.samples} samples)"
