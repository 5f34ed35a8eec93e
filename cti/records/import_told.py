"""What `santral import … --json` says to programs: one JSON object a line, a progress or, at last, the outcome in each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cti.records.import_cleaning import Cleaning
from cti.records.imports import Progress, Report

LAST_BYTES = 64 * 1024  # of a file that are looked at; an outcome with all its examples has some 10 KB


@dataclass(frozen=True)
class Outcome:
    """How an import ended. `batch` is its number, None of a dry run."""

    counts: dict[str, int]
    cleaning: Cleaning
    batch: int | None = None

    @classmethod
    def of(cls, report: Report) -> Outcome:
        return cls(report.counts(), report.cleaning, report.batch)


@dataclass(frozen=True, kw_only=True)
class Told:
    """One line."""

    progress: Progress | None = None
    outcome: Outcome | None = None

    def line(self) -> str:
        return TOLD.dump_json(self, exclude_none=True).decode()


TOLD = TypeAdapter(Told)


def last(path: Path) -> Told:
    """The last whole line of a file of such lines; an empty one while there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
            lines = file.read().split(b"\n")[:-1]  # what comes after the last end of a line is not whole
        return TOLD.validate_json(lines[-1]) if lines else Told()
    except (FileNotFoundError, ValidationError):
        return Told()
