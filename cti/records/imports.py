"""`santral import customers FILE.csv`: people, households, services and numbers from a file, as often as one likes.

The first line names the columns, in any order; `external_id` and `name` must be there, the others may be missing (a mapping file brings
other names, see docs/import.md):

    external_id, name, kind (person | organisation), customer_no, birth_date (1980-12-31), language, tags,
    household (a text that only this household has), household_role (holder | spouse | child | parent | member),
    subscription_no, subscription_kind (dsl | fibre | landline | mobile), line_number, area, address, depends_on (a subscription_no),
    phones, emails, social (items separated by |; a phone may name its role: `owner:0532 555 01 23|user:+905335550145`)

Rows with the same external_id are the same party (one row for each of his subscriptions), rows with the same household text the same
household. What is there already stays as it is, so importing a file twice adds nothing. A row with a mistake is left out as a whole
and written to FILE.rejected.csv with its line and reason; corrected rows are imported by importing that file.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy.orm import Session

from cti.db import Database
from cti.records import batches, import_loading, import_writing
from cti.records.import_ahead import Ahead, Rows, in_order, parted, together
from cti.records.import_cleaning import Cleaning
from cti.records.import_columns import COLUMNS, BadFile, Customer, Rejected
from cti.records.import_loading import Ids, Planned, counted
from cti.records.import_mapping import BadMapping, Plan
from cti.records.import_reading import BATCH_ROWS, Found, Source, Wanted, looked_through, reading
from cti.records.import_rejects import Rejects
from cti.records.import_rows import parse
from cti.records.import_turns import Turns
from cti.records.import_waiting import Waitlist
from cti.records.import_writing import New, NotNew

__all__ = [
    "COLUMNS",
    "BadFile",
    "BadMapping",
    "Customer",
    "Rejected",
    "Report",
    "Unfinished",
    "check",
    "import_customers",
    "parse",
]

PIECE_MIN, PIECE_FIRST, PIECE_MAX = 25, 100, 10000  # rows
COUNTED = (*import_loading.COUNTED, "disowned")
REJECTED_KEPT = 1000  # rejected rows that a Report holds; all of them are in the file

Say = Callable[[str], None]
T = TypeVar("T")


class Unfinished(BadFile):
    """This very file was imported before, and not to its end."""


@dataclass(frozen=True)
class Progress:
    """How far an import is. `lines` is the file's number of lines."""

    line: int  # that was looked at last; one that is in already, while a resumed import looks for what waits there
    lines: int
    rows: int  # that were looked at in this run, the rejected ones too
    rejected: int


@dataclass(frozen=True)
class Report:
    """What was new in a file, and what was left out of it."""

    parties: int = 0
    subscriptions: int = 0
    numbers: int = 0  # contact points of every kind
    links: int = 0
    disowned: int = 0  # links that were not made, because somebody ended or disputed them
    rejected: tuple[Rejected, ...] = ()  # the first REJECTED_KEPT
    left_out: int = field(default=0, compare=False)  # how many were rejected
    rows: int = field(default=0, compare=False)
    batch: int | None = field(default=None, compare=False)  # the import's number
    cleaning: Cleaning = field(default_factory=Cleaning, compare=False)

    def counts(self) -> dict[str, int]:
        named = {name: getattr(self, name) for name in COUNTED}
        return named | {"rows": self.rows, "rejected": self.left_out}

    def plus(self, counts: Mapping[str, int], rows: int, rejected: Sequence[Rejected]) -> Report:
        kept = (*self.rejected, *rejected[: max(0, REJECTED_KEPT - len(self.rejected))])
        added = {name: getattr(self, name) + counts.get(name, 0) for name in COUNTED}
        return replace(self, **added, rejected=kept, left_out=self.left_out + len(rejected), rows=self.rows + rows)


def nothing(_: object) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """A piece that is written and not yet durable."""

    planned: T
    report: Report
    last: int  # line
    began: float  # time.perf_counter() at its beginning, when the database had its lock


@dataclass
class Importer:
    """One run over one file. What is durable is in `batches.Import`; this holds how far the run is."""

    db: Database
    source: Source
    rejects: Rejects
    batch: int
    ids: Ids
    moment: dt.datetime
    line: int  # everything up to it is in
    report: Report
    progress: Callable[[Progress], None]
    waiting: Waitlist = field(default_factory=Waitlist)
    rows: Rows = field(default_factory=list)  # read and not yet in; either these or the next
    ahead: list[Ahead] = field(default_factory=list)
    trusting: bool = True  # that what is planned ahead is right: nothing of it is there
    piece_rows: int = field(default_factory=lambda: PIECE_FIRST)
    turns: Turns = field(default_factory=Turns)
    free_at: float = 0.0  # on the loop's clock: until then the writer is others'

    async def take(self, batch: Rows | Ahead) -> None:
        """What was read next; it is in now, or with what follows."""
        if isinstance(batch, Ahead) and self._trusts(batch):
            await self._careful(is_last=True)
            if self._trusts(batch):  # the rows before it may have told otherwise
                self.ahead.append(batch)
                if sum(each.rows for each in self.ahead) + BATCH_ROWS > self.piece_rows:
                    await self._unseen()
                return
        await self._unseen()
        self.rows.extend(batch.unpacked() if isinstance(batch, Ahead) else batch)
        await self._careful()

    def _trusts(self, batch: Ahead) -> bool:
        is_new = batch.first > self.line and not self.waiting.has(batch.services)
        return self.trusting and is_new and bool(batch.new)

    async def _unseen(self) -> None:
        """The batches that were planned ahead as one piece; the careful way, when something of them is there."""
        if not self.ahead:
            return
        batches, self.ahead = self.ahead, []
        new = together(batches)
        try:
            await self._piece(
                self._load_unseen, batches, new, rows=sum(each.rows for each in batches), at=batches[-1].last
            )
        except NotNew:
            self.trusting = False
            self.rows = [row for each in batches for row in each.unpacked()]
            await self._careful(is_last=True)

    async def _careful(self, *, is_last: bool = False) -> None:
        """Rows become pieces of the size that the database takes in Turns.hold_s."""
        while self.rows and (is_last or len(self.rows) >= self.piece_rows):
            piece, self.rows = self.rows[: self.piece_rows], self.rows[self.piece_rows :]
            planned = await self._piece(
                self._load, piece, max(self.line, piece[-1].line), rows=len(piece), at=piece[-1].line
            )
            self.waiting.change(planned.came, planned.waiting)
            self.trusting = not planned.met

    async def _piece(self, load: Callable[..., Loaded[T]], *of: Any, rows: int, at: int) -> T:
        """One piece of work, durable when this returns. What it rejects is in the file before: a resumed import cuts that off again."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self.free_at - clock()))
        loaded = await self.db.work(load, *of)
        held_s = time.perf_counter() - loaded.began  # with the commit
        self.free_at = clock() + self.turns.rest_s(held_s)
        self.line, self.report = loaded.last, loaded.report
        fitting = int(rows * self.turns.hold_s / held_s)
        self.piece_rows = min(max(fitting, PIECE_MIN), 2 * max(rows, self.piece_rows), PIECE_MAX)
        self.progress(Progress(at, self.source.lines, self.report.rows, self.report.left_out))
        return loaded.planned

    def _load(self, session: Session, rows: Rows, last: int) -> Loaded[Planned]:
        began = time.perf_counter()
        good, bad = parted(rows)
        waiting = self.waiting.of({row.get(column) for row in good for column in ("subscription_no", "depends_on")})
        planned = import_loading.plan(session, good, self.ids, waiting=waiting, after=self.line)
        import_writing.write(session, planned.new, planned.joins(), batch=self.batch, now=self.moment)
        left_out = in_order(bad, planned.rejected)
        report = self.report.plus(planned.counts(), sum(row.line > self.line for row in rows), left_out)
        return self._loaded(session, planned, report, last, left_out, began)

    def _load_unseen(self, session: Session, batches: Sequence[Ahead], new: New) -> Loaded[None]:
        began = time.perf_counter()
        points = import_writing.write_unseen(session, new, batch=self.batch, now=self.moment)
        left_out = in_order(*(each.rejected for each in batches))
        report = self.report.plus(counted(new) | {"numbers": points}, sum(each.rows for each in batches), left_out)
        return self._loaded(session, None, report, batches[-1].last, left_out, began)

    def _loaded(
        self, session: Session, planned: T, report: Report, last: int, left_out: Sequence[Rejected], began: float
    ) -> Loaded[T]:
        self.turns.look(session)
        batches.advance(session, self.batch, seen=self.line, line=last, counts=report.counts())
        self.rejects.write(left_out, after=self.line)
        return Loaded(planned, report, last, began)

    async def end(self, cleaning: Cleaning, by: str) -> Report:
        """The file is at its end: who still waits for a carrier is told."""
        await self._unseen()
        await self._careful(is_last=True)
        await asyncio.to_thread(self.rejects.write, (each.rejected() for each in self.waiting), after=self.line)
        first = [each.rejected() for each in itertools.islice(self.waiting, REJECTED_KEPT)]
        left_out = self.report.left_out + len(self.waiting)
        report = self.report.plus({}, 0, first)
        self.report = replace(report, left_out=left_out, batch=self.batch, cleaning=cleaning)
        await self.db.work(batches.finish, self.batch, counts=self.report.counts(), by=by, now=self.moment)
        return self.report


async def import_customers(
    db: Database,
    path: Path,
    *,
    region: str,
    now: dt.datetime,
    say: Say,
    plan: Plan | None = None,
    resume: bool = False,
    by: str = "import",
    progress: Callable[[Progress], None] = nothing,
) -> Report:
    """Import `path` in pieces, each durable by itself. BadFile when it is no file of customers, Unfinished when it was begun before and
    `resume` is not asked for, OSError when it cannot be read. `progress` hears of each piece."""
    source = await asyncio.to_thread(looked_through, path, plan)
    after, moment = await _after(db, source, plan, now=now, resume=resume)
    async with reading(Wanted(source, region, plan, after, moment)) as found:
        first = await anext(found)  # a header that is wrong begins no import
        importer = await _begin(db, source, plan, moment=moment, by=by, resume=resume, progress=progress)
        if importer.line:
            say(
                f"import {importer.batch} goes on after line {importer.line} of {source.lines}; "
                "services before it whose carrier has not come are looked for first"
            )
        with contextlib.closing(importer.rejects), contextlib.closing(importer.waiting):
            batch: Found | None = first
            while batch is not None and not isinstance(batch, Cleaning):
                await importer.take(batch)
                batch = await anext(found, None)
            report = await importer.end(batch or Cleaning(), by)
    if report.left_out:
        say(f"{report.left_out} rows were left out, see {importer.rejects.path}")
    return report


async def _after(
    db: Database, source: Source, plan: Plan | None, *, now: dt.datetime, resume: bool
) -> tuple[int, dt.datetime]:
    """The line after which an import goes on, and its moment: ids tell what an import brought (import_undo), so none may be older than
    it. Unfinished when one was begun and nobody asked to go on with it."""
    mapping = plan.source if plan else {}
    there = await db.read(batches.unfinished, source.checksum, mapping)
    if there is None:
        ended = await db.read(batches.done, source.checksum, mapping) if resume else None
        if ended:
            raise BadFile(f"expected a file whose import stopped, import {ended.id} of this one is done")
        return 0, now
    if not resume:
        raise Unfinished(
            f"import {there.id} of this file stopped after line {there.line}: --resume goes on there, "
            f"`santral import undo {there.id}` takes it back"
        )
    return there.line, max(now, there.started_at)


async def _begin(
    db: Database,
    source: Source,
    plan: Plan | None,
    *,
    moment: dt.datetime,
    by: str,
    resume: bool,
    progress: Callable[[Progress], None],
) -> Importer:
    mapping = plan.source if plan else {}
    row = await db.read(batches.unfinished, source.checksum, mapping) if resume else None
    if row is None:
        row = await db.work(
            batches.begin, file=source.path.name, checksum=source.checksum, mapping=mapping, by=by, now=moment
        )
    report = replace(Report().plus(row.counts, row.counts.get("rows", 0), ()), left_out=row.counts.get("rejected", 0))
    rejects = await asyncio.to_thread(Rejects.open, source.path, row.line)
    return Importer(db, source, rejects, row.id, Ids(moment), moment, row.line, report, progress)


# --- dry run ----------------------------------------------------------------------------------------------------------


async def check(
    db: Database,
    path: Path,
    *,
    region: str,
    now: dt.datetime,
    plan: Plan | None = None,
    progress: Callable[[Progress], None] = nothing,
) -> Report:
    """Read and check everything, also against what the database has, and write nothing but FILE.rejected.csv. The counts are of rows;
    a row that contradicts an earlier one of the same file is only found by the import itself. Unfinished when the file's import stopped."""
    source = await asyncio.to_thread(looked_through, path, plan)
    await _after(db, source, plan, now=now, resume=False)  # its FILE.rejected.csv is still needed
    report, cleaning, ids = Report(), Cleaning(), Ids(now)
    rejects = await asyncio.to_thread(Rejects.open, path, 0)
    with contextlib.closing(rejects):
        async with reading(Wanted(source, region, plan)) as found:
            async for batch in found:
                if isinstance(batch, Cleaning):
                    cleaning = batch
                    continue
                rows = batch.unpacked() if isinstance(batch, Ahead) else batch
                left_out = await db.read(_clashes, rows, ids)
                rejects.write(left_out, after=report.rows)
                report = report.plus({}, len(rows), left_out)
                progress(Progress(rows[-1].line, source.lines, report.rows, report.left_out))
    return replace(report, cleaning=cleaning)


def _clashes(session: Session, batch: Rows, ids: Ids) -> list[Rejected]:
    good, bad = parted(batch)
    return in_order(bad, import_loading.plan(session, good, ids).rejected)
