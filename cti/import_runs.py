"""Imports over HTTP: every file that is sent gets a folder below the data folder, and importing it is a process of its own.

`Runs` takes files in, starts `santral import`, at most one at a time on a node, and reads what it said. The process ends with this
one, however that ends; what is in by then is in the database, and resuming goes on there. What an import brought and how it stands is
not known here: that is `cti.records.batches`.

    imports/NODE/ID/run.json  said.jsonl  errors.txt  file/NAME  file/NAME.rejected.csv        imports/NODE/mappings/CHECKSUM.toml
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import datetime as dt
import hashlib
import io
import os
import re
import shutil
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

import structlog
from pydantic import TypeAdapter, ValidationError

from cti.db import AWAY, Database
from cti.records import batches, import_mapping, import_told
from cti.records.batches import Import
from cti.records.import_columns import BadFile
from cti.records.import_mapping import Plan
from cti.records.import_rows import Parser
from cti.records.import_told import Told

log = structlog.get_logger(__name__)

PIECE_MAX_S = 60.0  # a sender who is silent for longer has gone; nobody else could import meanwhile
STOP_MAX_S = 5.0
KEPT = dt.timedelta(days=30)  # what is left of a run that ended longer ago is removed: names and numbers of customers
BLOCK_BYTES = 1 << 20
HEADER_BYTES = 64 * 1024  # the line of column names and the first row
NAME_MAX = 60  # characters; with our ending in UTF-8 at most 253 bytes, and a file system takes 255
ERRORS_SHOWN_BYTES = 4000
MAPPING = re.compile(r"[0-9a-f]{64}\.(toml|json)")
# First in the import's place: asks the kernel to end it with the thread that started it, then becomes the import.
LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the starting process is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Busy(RuntimeError):
    """This node imports or undoes already."""

    def __init__(self, running: str) -> None:
        super().__init__(f"expected that this node imports nothing now, {running} is under way")
        self.running = running


class Begun(RuntimeError):
    """This very file was imported before, and not to its end."""

    def __init__(self, row: Import) -> None:
        super().__init__(
            f"expected a file whose import did not stop; import {row.id} of it stopped after line {row.line}: resume or undo that"
        )
        self.number = row.id


class SenderGone(RuntimeError):
    """Nothing came for PIECE_MAX_S."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What somebody asks with a file."""

    id: str
    name: str  # as he calls it
    by: str
    at: dt.datetime
    dry_run: bool = False
    mapping: str = ""  # a name that `keep_mapping` gave


@dataclass(frozen=True, kw_only=True)
class Run:
    """A file that was sent and what became of it, or (`name` empty) an import from elsewhere that is undone here."""

    id: str
    by: str
    at: dt.datetime
    name: str = ""  # of the file, without anything that a path could be made of
    dry_run: bool = False
    mapping_file: str = ""
    mapping: Mapping[str, Any] = field(default_factory=dict)
    checksum: str = ""  # SHA-256
    lines: int = 0
    number: int | None = None  # of the import in the database; a dry run has none
    ended_at: dt.datetime | None = None  # the process


RUN = TypeAdapter(Run)


@dataclass(frozen=True)
class Doing:
    """What is under way: the id of a run, and import | undo."""

    id: str
    deed: str


class Runs:
    """Those of one node. `doing` is None when nothing is under way."""

    def __init__(self, db: Database, home: Path, clock: Callable[[], dt.datetime], region: str) -> None:
        self._db, self._home, self._clock, self._region = db, home, clock, region
        self.doing: Doing | None = None
        self.process: Process | None = None
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """What a life of this node before left: half a file goes, and an import that was cut off is one that stopped. Whatever fails
        here, calls come first: the node opens without it."""
        with contextlib.suppress(*AWAY):
            await asyncio.to_thread(self._sweep)
            for run in await self.all():
                if run.ended_at is None:
                    await self._settle(run)

    async def ended(self) -> None:
        """Returns when no process is under way any more."""
        if self._watching is not None:
            await asyncio.wait([self._watching])

    async def close(self) -> None:
        """End what runs, politely, and after STOP_MAX_S by force."""
        for end in (Process.terminate, Process.kill):
            if self.process is not None and self.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    end(self.process)
            if self._watching is not None:
                await asyncio.wait([self._watching], timeout=STOP_MAX_S)

    # --- what is asked ---

    async def receive(self, pieces: AsyncIterator[bytes], sent: Sent) -> Run:
        """Take a file in and import it. Busy; BadFile when it is no file of customers, Begun when its import stopped, SenderGone,
        LookupError for a mapping that nobody sent. Of a file that is refused nothing stays."""
        self._take(Doing(sent.id, "import"))
        try:
            await asyncio.to_thread(self._sweep)
            run = await self._received(pieces, sent)
            if (begun := await self._begun(run)) is not None:
                raise Begun(begun)
            await self._start(run, *self._import(run, run.by))
        except BaseException:
            self._free()
            await asyncio.to_thread(shutil.rmtree, self._home / sent.id, ignore_errors=True)
            raise
        return run

    async def resume(self, run: Run, by: str) -> Run:
        """Go on where it stopped. Busy, or LookupError when its file is not here."""
        if not await asyncio.to_thread(self._file(run).is_file):
            raise LookupError(f"expected an import whose file is on this node, the one of {run.id} is not")
        return await self._again(run, "import", *self._import(run, by), "--resume")

    async def undo(self, run: Run, by: str) -> Run:
        """Take it back; one that is under way is ended first. Busy when anything else is, LookupError when it wrote nothing."""
        if self.doing == Doing(run.id, "import"):
            await self.close()
            (run,) = [each for each in await self.all() if each.id == run.id]  # its number is known by now
        if run.number is None:
            raise LookupError(f"expected an import that wrote something, {run.id} did not")
        return await self._again(run, "undo", "undo", str(run.number), f"--by={by}")

    async def keep_mapping(self, text: str, suffix: str) -> str:
        """The name by which a mapping is asked for. import_mapping.BadMapping when it is none."""
        import_mapping.read(f"mapping{suffix}", text)
        name = hashlib.sha256(text.encode()).hexdigest() + suffix
        await asyncio.to_thread(_write, self._home / "mappings" / name, text)
        return name

    async def all(self) -> list[Run]:
        """Newest first."""
        return await asyncio.to_thread(self._all)

    async def told(self, run: Run) -> Told:
        """What the process said last."""
        return await asyncio.to_thread(import_told.last, self._home / run.id / "said.jsonl")

    async def errors(self, run: Run) -> str:
        """The end of what it complained about."""
        return await asyncio.to_thread(_end_of, self._home / run.id / "errors.txt")

    def rejected(self, run: Run) -> Path:
        """Where the rows are that were left out; no file when there are none."""
        return self._file(run).with_name(f"{run.name}.rejected.csv")

    # --- taking a file in ---

    async def _received(self, pieces: AsyncIterator[bytes], sent: Sent) -> Run:
        plan = await asyncio.to_thread(self._plan, sent.mapping) if sent.mapping else None
        name = safe_name(sent.name)
        path = self._home / sent.id / "file" / name
        checksum, lines = await _streamed(pieces, path)
        await asyncio.to_thread(_check_header, path, self._region, plan)
        return Run(
            id=sent.id, by=sent.by, at=sent.at, name=name, dry_run=sent.dry_run, mapping_file=sent.mapping,
            mapping=plan.source if plan else {}, checksum=checksum, lines=lines,
        )  # fmt: skip

    def _plan(self, mapping: str) -> Plan:
        path = self._home / "mappings" / mapping
        if not MAPPING.fullmatch(mapping) or not path.is_file():
            raise LookupError(f"expected the name of a mapping that was sent to this node, got {mapping!r}")
        return import_mapping.read(mapping, path.read_text(encoding="utf-8"))

    async def _begun(self, run: Run) -> Import | None:
        if not run.checksum:
            return None
        return await self._db.read(batches.unfinished, run.checksum, run.mapping)

    # --- the process ---

    def _import(self, run: Run, by: str) -> list[str]:
        words = ["customers", str(self._file(run)), "--json", f"--by={by}"]
        if run.mapping_file:
            words += ["--mapping", str(self._home / "mappings" / run.mapping_file)]
        return [*words, "--dry-run"] if run.dry_run else words

    async def _again(self, run: Run, deed: str, *words: str) -> Run:
        self._take(Doing(run.id, deed))
        try:
            run = replace(run, ended_at=None)
            await self._start(run, *words)
        except BaseException:
            self._free()
            raise
        return run

    def _take(self, doing: Doing) -> None:
        if self.doing is not None:
            raise Busy(self.doing.id)
        self.doing = doing

    def _free(self) -> None:
        self.doing = self.process = None

    async def _start(self, run: Run, *words: str) -> None:
        """It has our environment, and so our settings."""
        folder = self._home / run.id
        await asyncio.to_thread(_write, folder / "run.json", RUN.dump_json(run).decode())
        said = "said.jsonl" if words[0] == "customers" else "undone.txt"
        launcher = (sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid()))
        command = (sys.executable, "-m", "cti", "import", *words)
        with contextlib.ExitStack() as files:
            out, errors = [
                files.enter_context(await asyncio.to_thread(_opened, folder / name)) for name in (said, "errors.txt")
            ]
            self.process = await asyncio.create_subprocess_exec(
                *launcher, *command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=errors
            )
        log.info("import.started", id=run.id, pid=self.process.pid, deed=words[0])
        self._watching = asyncio.create_task(self._watch(run, self.process), name=f"import-{run.id}")

    async def _watch(self, run: Run, process: Process) -> None:
        try:
            code = await process.wait()
            log.info("import.process_ended", id=run.id, code=code)
            await self._settle(run)
        except AWAY as error:  # the node's next life settles it
            log.warning("import.not_settled", id=run.id, error=f"{type(error).__name__}: {error}"[:160])
        finally:
            self._free()

    async def _settle(self, run: Run) -> None:
        """Nothing of it is under way any more: which import was it, and who still needs its file?"""
        outcome = (await self.told(run)).outcome
        number = run.number or (outcome.batch if outcome else None)
        if number is None and not run.dry_run and (begun := await self._begun(run)) is not None:
            number = begun.id
        is_undone = number is not None and (await self._db.read(batches.the, number)).state == "undone"
        if is_undone:
            await asyncio.to_thread(shutil.rmtree, self._home / run.id / "file", ignore_errors=True)
        elif outcome is not None and not outcome.counts.get("rejected") and run.name:
            await asyncio.to_thread(self._file(run).unlink, missing_ok=True)
        run = replace(run, number=number, ended_at=self._clock())
        await asyncio.to_thread(_write, self._home / run.id / "run.json", RUN.dump_json(run).decode())

    # --- the folder ---

    def _file(self, run: Run) -> Path:
        return self._home / run.id / "file" / run.name

    def _all(self) -> list[Run]:
        found = (_run(path) for path in self._home.glob("*/run.json"))
        return sorted((run for run in found if run), key=lambda run: (run.at, run.id), reverse=True)

    def _sweep(self) -> None:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        old = {run.id for run in self._all() if run.ended_at and self._clock() - run.ended_at > KEPT}
        for folder in self._home.iterdir():
            is_half = folder.name != "mappings" and not (folder / "run.json").exists()
            if is_half or folder.name in old:
                shutil.rmtree(folder, ignore_errors=True)


def _run(path: Path) -> Run | None:
    """None of a file that a power cut, or somebody, made unreadable."""
    try:
        return RUN.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        log.warning("import.run_unreadable", file=str(path), error=type(error).__name__)
        return None


def safe_name(name: str) -> str:
    """What a file may be called here: the end of its name, without anything that a path could be made of."""
    kept = re.sub(r"[^\w.-]+", "_", PurePosixPath(name.replace("\\", "/")).name)[-NAME_MAX:].lstrip(".-")
    return kept or "customers.csv"


async def _streamed(pieces: AsyncIterator[bytes], path: Path) -> tuple[str, int]:
    """SHA-256 and number of lines of what comes, which is in the file now; the disk and the sum have a thread."""
    summed, lines, block = hashlib.sha256(), 0, bytearray()
    file = await asyncio.to_thread(_opened, path)
    try:
        while (piece := await _next(pieces)) is not None:
            block += piece
            if len(block) >= BLOCK_BYTES:
                lines += await asyncio.to_thread(_put, file, summed, bytes(block))
                block.clear()
        lines += await asyncio.to_thread(_put, file, summed, bytes(block))
    finally:
        await asyncio.to_thread(file.close)
    return summed.hexdigest(), lines


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(PIECE_MAX_S):
            return await anext(pieces, None)
    except TimeoutError:
        raise SenderGone(f"expected the next piece of the file within {PIECE_MAX_S:.0f} s, nothing came") from None


def _put(file: IO[bytes], summed: Any, block: bytes) -> int:
    file.write(block)
    summed.update(block)
    return block.count(b"\n")


def _check_header(path: Path, region: str, plan: Plan | None) -> None:
    """BadFile when the first lines are not those of a file of customers: said at once, and not by a process that fails."""
    with path.open("rb") as file:
        first = file.read(HEADER_BYTES)
    if not first.strip():
        raise BadFile("expected a CSV file with a line of column names, got nothing")
    try:
        text = codecs.getincrementaldecoder((plan.encoding if plan else None) or "utf-8-sig")().decode(first)
    except UnicodeDecodeError:
        text = first.decode("cp1254", errors="replace")
    next(Parser(region, plan).rows(io.StringIO(text, newline="")), None)


def _opened(path: Path) -> IO[bytes]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path.open("wb")


def _write(path: Path, text: str) -> None:
    """All of it or nothing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.half")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - ERRORS_SHOWN_BYTES))
            return file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
