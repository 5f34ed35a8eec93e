"""`santral import …`: customers from a file, what was imported, and taking it back."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cti.app import utc_now
from cti.console import database, finish, say, settings
from cti.records import batches, import_cleaning, import_mapping, import_undo, imports
from cti.records.batches import Import, Overtaken
from cti.records.import_mapping import Plan
from cti.records.import_told import Outcome, Told
from cti.records.imports import BadFile, Progress, Report

app = typer.Typer(no_args_is_help=True, help="Data from elsewhere.")
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: progress and report as JSON, one object a line.")]
By = Annotated[str, typer.Option(help="In whose name, for the records.")]
EXPECTED = (BadFile, Overtaken, LookupError, import_undo.NotUndone)
NICE = 19  # the lowest
GARBAGE_LOOKS = 50_000  # new objects between two searches for circles; Python's 700 are for programs that make some
TOLD_EVERY_S = 0.5  # on a terminal, where the line is painted over, and to programs
LOGGED_EVERY_S = 10.0  # elsewhere


@app.command("customers")
def customers(
    file: File,
    mapping: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Which of our columns is made of which of theirs (TOML or JSON)."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option(help="Read and check everything, write nothing but FILE.rejected.csv.")
    ] = False,
    resume: Annotated[bool, typer.Option(help="Go on with an import of this file that was stopped.")] = False,
    as_json: AsJson = False,
    by: By = "import",
) -> None:
    """Parties with their subscriptions and numbers, from CSV. Rows that cannot be used go to FILE.rejected.csv."""
    chosen = settings()

    async def load() -> int:
        plan = await asyncio.to_thread(_plan, mapping) if mapping else None
        bar, region = Spoken() if as_json else Bar(), chosen.default_region
        stand_back()
        async with database(chosen, bulk=True) as db:
            if dry_run:
                report = await imports.check(db, file, region=region, now=utc_now(), plan=plan, progress=bar)
            else:
                report = await imports.import_customers(
                    db, file, region=region, now=utc_now(), say=say, plan=plan, resume=resume, by=by, progress=bar
                )
        bar.end()
        for line in [Told(outcome=Outcome.of(report)).line()] if as_json else _told(report, file, dry_run=dry_run):
            typer.echo(line)
        return 1 if report.left_out else 0

    finish(load(), *EXPECTED)


def stand_back() -> None:
    """Calls on the same machine go first; the reading process inherits it. Not SCHED_IDLE: a piece that never gets the processor would
    keep the writer from the calls."""
    os.nice(NICE)
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    gc.freeze()  # what is loaded by now stays: looking through it again would hold the writer for a tenth of a second
    gc.set_threshold(GARBAGE_LOOKS)


@app.command("list")
def listed() -> None:
    """The imports, newest first: number, state, when, file, what it brought."""

    async def show() -> None:
        async with database(settings()) as db:
            for row in await db.read(batches.newest):
                typer.echo(_line(row))

    finish(show(), *EXPECTED)


@app.command("undo")
def undo(
    number: Annotated[int, typer.Argument(help="The import's number, see `santral import list`.")],
    by: By = "console",
) -> None:
    """Take an import back: what nobody has used since is removed, its links end, the rest stays and is counted."""
    line = Line()

    async def take_back() -> None:
        async with database(settings()) as db:
            undone = await import_undo.undo(db, number, by=by, now=utc_now(), progress=line)
        line.end()
        for name in undone.kept:
            typer.echo(f"{name}: {undone.removed.get(name, 0)} removed, {undone.kept[name]} stay")

    finish(take_back(), *EXPECTED)


def _plan(path: Path) -> Plan:
    return import_mapping.read(path.name, path.read_text(encoding="utf-8-sig"))


# --- what people see --------------------------------------------------------------------------------------------------


class Line:
    """One line that is painted over on a terminal; elsewhere a line now and then."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._told_at = 0.0
        self._painted = False

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if now - self._told_at < (TOLD_EVERY_S if self._is_terminal else LOGGED_EVERY_S):
            return
        self._told_at = now
        self._painted = self._is_terminal
        typer.echo(f"\r\x1b[K  {text}" if self._is_terminal else f"  {text}", err=True, nl=not self._is_terminal)

    def end(self) -> None:
        if self._painted:
            typer.echo("", err=True)


class Spoken:
    """For programs: a line of JSON on standard output now and then."""

    def __init__(self) -> None:
        self._told_at = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._told_at >= TOLD_EVERY_S:
            self._told_at = now
            typer.echo(Told(progress=progress).line())

    def end(self) -> None:
        """The report comes next, on a line of its own as everything here."""


class Bar(Line):
    """How far an import is, how fast, and how long it will still take."""

    def __init__(self) -> None:
        super().__init__()
        self._began, self._first_line = time.monotonic(), -1

    def __call__(self, progress: str | Progress) -> None:
        super().__call__(progress if isinstance(progress, str) else self._text(progress))

    def _text(self, progress: Progress) -> str:
        return bar(progress, time.monotonic() - self._began)


def bar(progress: Progress, passed_s: float, width: int = 30) -> str:
    """`[#####.....]  52 %  20,100 rows/s, 1:05 left, 12 rejected`"""
    share = min(progress.line / progress.lines, 1.0) if progress.lines else 1.0
    rate = progress.rows / passed_s if passed_s else 0.0
    left_s = int((progress.lines - progress.line) / rate) if rate else 0
    painted = ("#" * round(share * width)).ljust(width, ".")
    return (
        f"[{painted}] {share:4.0%}  {progress.rows:,} rows, {rate:,.0f} rows/s, "
        f"{left_s // 60}:{left_s % 60:02} left, {progress.rejected:,} rejected"
    )


def _told(report: Report, file: Path, *, dry_run: bool) -> Iterator[str]:
    yield "telephone numbers:"
    yield from import_cleaning.lines(report.cleaning)
    rejected = f"{report.left_out:,} rows rejected" + (f", see {file}.rejected.csv" if report.left_out else "")
    if dry_run:
        yield f"{report.rows:,} rows read, nothing was imported; {rejected}"
        return
    disowned = f" ({report.disowned} not made: disowned)" if report.disowned else ""
    yield (
        f"import {report.batch}: {report.parties} parties, {report.subscriptions} subscriptions, {report.numbers} numbers, "
        f"{report.links} links{disowned}; {rejected}"
    )


def _line(row: Import) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in row.counts.items() if count)
    at = row.started_at.strftime("%Y-%m-%d %H:%M")
    stopped = f" (stopped after line {row.line})" if row.state == "running" else ""
    return f"{row.id:>5}  {row.state}{stopped}  {at}  {row.file}  {counts or 'nothing'}"
