"""Customers from a file, by REST: sending one, how far it is, what was left out, going on, taking back. For supervisors and administrators.

The work is done by `cti.import_runs`, in a process of its own. An import that was not sent to this node (at the console, to another
node) is known by its number; its file is not here.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect

from cti import ledger
from cti.auth import User, require
from cti.import_runs import Begun, Busy, Doing, Run, Runs, SenderGone, Sent
from cti.records import batches
from cti.records.batches import Import
from cti.records.import_cleaning import Cleaning, words
from cti.records.import_told import Told
from cti.web import Problem, TheHouse, log_read, refusals

router = APIRouter(prefix="/api/v1/imports", tags=["imports"])

Chief = Annotated[User, Depends(require("supervisor", "admin"))]
Id = Annotated[str, Path(max_length=36)]
Limit = Annotated[int, Query(ge=1, le=200)]
Name = Annotated[str, Query(max_length=300)]
NUMBER = re.compile(r"[1-9][0-9]{0,8}")
TEXT_BODY = {"schema": {"type": "string"}}
NOT_NOW: dict[int | str, dict[str, Any]] = {
    409: {"description": "It is not at that point, or this node has one under way (`running`)."}
}


@contextlib.asynccontextmanager
async def runs_of(app: FastAPI) -> AsyncIterator[Runs]:
    """The node's imports, as long as the application lives; whoever wires it puts this around that life."""
    house = app.state.house
    home = (house.settings.data_dir / "imports" / house.settings.node).resolve()
    runs = app.state.import_runs = Runs(house.db, home, house.clock, house.settings.default_region)
    await runs.open()
    try:
        yield runs
    finally:
        await runs.close()


def _runs(request: Request) -> Runs:
    return cast(Runs, request.app.state.import_runs)


TheRuns = Annotated[Runs, Depends(_runs)]


@dataclass(frozen=True, kw_only=True)
class ImportAnswer:
    """`state`: running, stopped (resume or undo it), done, failed (nothing was imported), checked (a dry run), undoing, undone. Of an
    import that was not sent to this node `running` may also mean that it stopped."""

    id: str
    number: (
        int | None
    )  # in the database, as `santral import list` shows it; none of a dry run, and before the first piece
    state: str
    file: str
    dry_run: bool
    line: int  # everything up to it is in, or was looked at
    lines: int | None  # in the file; none when it was not sent to this node
    counts: dict[str, int]
    by: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    mapping: Mapping[str, Any]  # as it was sent


@dataclass(frozen=True)
class CleanedAnswer:
    """What became of one sort of telephone numbers."""

    sort: str
    count: int
    text: str  # in the asker's language
    examples: tuple[str, ...]  # masked, with their lines


@dataclass(frozen=True, kw_only=True)
class ImportDetail(ImportAnswer):
    """`cleaning` is of the last run, at its end. `errors`: the end of what a process said that did not come to its end."""

    cleaning: tuple[CleanedAnswer, ...]
    rejected: str | None  # where the rows are that were left out
    errors: str


@dataclass(frozen=True)
class MappingAnswer:
    mapping: str


# --- sending ---


@router.post(
    "", status_code=202,
    openapi_extra={"requestBody": {"required": True, "content": {"text/csv": TEXT_BODY}}},
    responses={409: {"description": "This node has one under way (`running`), or this very file's import stopped (`number`)."}},
)  # fmt: skip
async def post_import(
    request: Request, response: Response, chief: Chief, house: TheHouse, runs: TheRuns, name: Name = "customers.csv",
    dry_run: bool = False, mapping: Annotated[str, Query(max_length=80)] = "",
) -> ImportAnswer:  # fmt: skip
    """The body is the CSV itself, of at most 1 GB. `mapping` is what POST /api/v1/imports/mappings answered."""
    now = house.clock()
    sent = Sent(id=ledger.uuid7(now), name=name, by=chief.name, at=now, dry_run=dry_run, mapping=mapping)
    with _refused():
        run = await runs.receive(request.stream(), sent)
    return await _accepted(run, response, house, runs)


@router.post(
    "/mappings", status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": {"application/toml": TEXT_BODY, "application/json": TEXT_BODY}}},
)  # fmt: skip
async def post_mapping(request: Request, chief: Chief, runs: TheRuns) -> MappingAnswer:
    """A mapping file, as TOML or (`Content-Type: application/json`) JSON. It is kept on this node; the same one has the same name."""
    suffix = ".json" if "json" in request.headers.get("content-type", "") else ".toml"
    with _refused():
        return MappingAnswer(await runs.keep_mapping((await request.body()).decode("utf-8-sig"), suffix))


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """As `refusals`; and what hinders an import now is 409, whoever stops sending 400."""
    try:
        with refusals():
            yield
    except Busy as error:
        raise Problem("conflict", str(error), running=error.running) from error
    except Begun as error:
        raise Problem("conflict", str(error), number=error.number) from error
    except SenderGone as error:
        raise Problem("bad-request", str(error)) from error
    except ClientDisconnect as error:
        raise Problem("bad-request", "expected the whole file, its sender left") from error


# --- looking ---


@router.get("")
async def get_imports(chief: Chief, house: TheHouse, runs: TheRuns, limit: Limit = 50) -> list[ImportAnswer]:
    """Newest first: those that this node was sent, dry runs too, and all that the database knows."""
    elsewhere = {row.id: row for row in await house.db.read(batches.newest, limit)}
    answers = []
    for run in (await runs.all())[:limit]:
        answers.append(await _answer(run, house, runs))
        elsewhere.pop(answers[-1].number or 0, None)
    answers += map(_elsewhere, elsewhere.values())
    return sorted(answers, key=lambda each: (each.started_at, each.id), reverse=True)[:limit]


@router.get("/{which}")
async def get_import(which: Id, chief: Chief, house: TheHouse, runs: TheRuns) -> ImportDetail:
    """By its id, or by its number."""
    run, answer = await _found(which, house, runs)
    if run is None:
        return ImportDetail(**vars(answer), cleaning=(), rejected=None, errors="")
    outcome = (await runs.told(run)).outcome
    has_rejected = await asyncio.to_thread(runs.rejected(run).is_file)
    return ImportDetail(
        **vars(answer), cleaning=_cleaned(outcome.cleaning if outcome else Cleaning(), chief.language),
        rejected=f"{router.prefix}/{answer.id}/rejected" if has_rejected else None,
        errors=await runs.errors(run) if answer.state in ("failed", "stopped", "undoing") else "",
    )  # fmt: skip


@router.get("/{which}/rejected", response_class=FileResponse)
async def get_rejected(which: Id, chief: Chief, house: TheHouse, runs: TheRuns) -> FileResponse:
    """The rows that were left out, with line and reason, to be corrected and sent again. Each look is noted."""
    run, _ = await _found(which, house, runs)
    path = runs.rejected(run) if run else None
    if path is None or not await asyncio.to_thread(path.is_file):
        raise Problem("not-found", f"expected an import with rejected rows on this node, {which} has none")
    await log_read(house, user=chief.name, what="imports", subject=which)
    return FileResponse(path, media_type="text/csv", filename=path.name)


# --- going on and taking back ---


@router.post("/{which}/resume", status_code=202, responses=NOT_NOW)
async def post_resume(which: Id, response: Response, chief: Chief, house: TheHouse, runs: TheRuns) -> ImportAnswer:
    """Go on with an import that stopped: nothing twice, nothing missing."""
    run, answer = await _found(which, house, runs)
    if run is None or answer.state != "stopped":
        raise Problem("conflict", f"expected an import of this node that stopped, {which} is {answer.state}")
    with _refused():
        return await _accepted(await runs.resume(run, chief.name), response, house, runs)


@router.post("/{which}/undo", status_code=202, responses=NOT_NOW)
async def post_undo(which: Id, response: Response, chief: Chief, house: TheHouse, runs: TheRuns) -> ImportAnswer:
    """Take an import back; one that runs here is ended first. What somebody has used since stays and is counted."""
    run, answer = await _found(which, house, runs)
    if answer.dry_run or answer.state in ("undone", "failed"):
        raise Problem("conflict", f"expected an import that brought something, {which} is {answer.state}")
    run = run or Run(id=answer.id, by=chief.name, at=house.clock(), number=answer.number)
    with _refused():
        return await _accepted(await runs.undo(run, chief.name), response, house, runs)


async def _accepted(run: Run, response: Response, house: TheHouse, runs: Runs) -> ImportAnswer:
    response.headers["location"] = f"{router.prefix}/{run.id}"
    return await _answer(run, house, runs)


# --- what is known ---


async def _found(which: str, house: TheHouse, runs: Runs) -> tuple[Run | None, ImportAnswer]:
    """No Run of what was not sent to this node. Problem 404 when the database does not have it either."""
    for run in await runs.all():
        if which == run.id or which.isdecimal():
            answer = await _answer(run, house, runs)
            if which in (run.id, str(answer.number)):
                return run, answer
    if not NUMBER.fullmatch(which):
        raise Problem("not-found", f"expected the id of an import of this node or the number of any, got {which!r}")
    with refusals():
        return None, _elsewhere(await house.db.read(batches.the, int(which)))


async def _answer(run: Run, house: TheHouse, runs: Runs) -> ImportAnswer:
    row, told = await house.db.read(_row, run), await runs.told(run)
    state = _state(run, row, told, runs.doing)
    lines = run.lines if run.name else None
    if row is not None:
        return replace(_elsewhere(row), id=run.id, state=state, lines=lines)
    line, counts = _far(told, run.lines)
    return ImportAnswer(
        id=run.id, number=None, state=state, file=run.name, dry_run=run.dry_run, line=line, lines=lines, counts=counts,
        by=run.by, started_at=run.at, ended_at=run.ended_at, mapping=dict(run.mapping),
    )  # fmt: skip


def _row(session: Session, run: Run) -> Import | None:
    """While an import runs, its process alone knows the number: it is the one of this file that has not ended."""
    if run.number is not None:
        return batches.the(session, run.number)
    is_open = run.checksum and not run.dry_run and run.ended_at is None
    return batches.unfinished(session, run.checksum, run.mapping) if is_open else None


def _state(run: Run, row: Import | None, told: Told, doing: Doing | None) -> str:
    if doing is not None and doing.id == run.id:
        return "undoing" if doing.deed == "undo" else "running"
    if row is not None:
        return "stopped" if row.state == "running" else row.state
    return "checked" if told.outcome else "failed"


def _far(told: Told, lines: int) -> tuple[int, dict[str, int]]:
    """The line that was looked at last, and the counts so far, of what the database does not know."""
    if told.outcome is not None:
        return lines, told.outcome.counts
    if told.progress is not None:
        return told.progress.line, {"rows": told.progress.rows, "rejected": told.progress.rejected}
    return 0, {}


def _elsewhere(row: Import) -> ImportAnswer:
    """As the database knows it."""
    return ImportAnswer(
        id=str(row.id), number=row.id, state=row.state, file=row.file, dry_run=False, line=row.line, lines=None,
        counts=row.counts, by=row.by, started_at=row.started_at, ended_at=row.ended_at, mapping=row.mapping,
    )  # fmt: skip


def _cleaned(cleaning: Cleaning, language: str) -> tuple[CleanedAnswer, ...]:
    """The commonest sort first."""
    counted = sorted(cleaning.counts.items(), key=lambda each: (-each[1], each[0]))
    return tuple(
        CleanedAnswer(sort, count, words(sort, language), tuple(cleaning.examples.get(sort, ())))
        for sort, count in counted
    )
