"""A file of customers, read beside the writing: a small one in a thread, a large one in a process of its own, so that reading and
checking a row costs the writer nothing, and planning it neither (import_ahead). What was read and not yet written is bounded, so memory
does not grow with the file."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import datetime as dt
import gc
import hashlib
import multiprocessing
import pickle
import queue
import signal
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from cti.records.import_ahead import Ahead, Rows, ahead, cut
from cti.records.import_cleaning import Cleaning
from cti.records.import_columns import BadFile
from cti.records.import_loading import Ids
from cti.records.import_mapping import Plan
from cti.records.import_rows import Parser

BATCH_ROWS = 100
AHEAD_MAX = 150  # batches that were read and not yet taken, on each side of the pipe
LARGE_BYTES = 1 << 20  # from here on a process of its own is worth the second that it takes to start
BLOCK_BYTES = 1 << 20
CHILD_END_S = 5.0
GARBAGE_LOOKS = 50_000  # new objects between two searches for circles; Python's 700 are for programs that make some

Found = Rows | Ahead | Cleaning


@dataclass(frozen=True)
class Source:
    """A file that was looked through once."""

    path: Path
    encoding: str
    checksum: str  # SHA-256
    lines: int
    size_bytes: int


@dataclass(frozen=True)
class Wanted:
    """What is to be read of it."""

    source: Source
    region: str
    plan: Plan | None = None
    after: int = 0  # the rows up to this line are in already
    moment: dt.datetime | None = None  # of the ids of what is planned ahead; None: nothing is to be


def looked_through(path: Path, plan: Plan | None = None) -> Source:
    """Checksum, number of lines, and the encoding: UTF-8 when the whole file is, else the code page of a Turkish Windows, in which a
    spreadsheet saves; unless the mapping names one. OSError when the file cannot be read."""
    summed, lines, size, decoder = hashlib.sha256(), 0, 0, codecs.getincrementaldecoder("utf-8")()
    is_utf8 = True
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            summed.update(block)
            lines += block.count(b"\n")
            size += len(block)
            is_utf8 = is_utf8 and _decodes(decoder, block)
    is_utf8 = is_utf8 and _decodes(decoder, b"", final=True)
    encoding = (plan.encoding if plan else None) or ("utf-8-sig" if is_utf8 else "cp1254")
    return Source(path, encoding, summed.hexdigest(), lines, size)


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


@contextlib.asynccontextmanager
async def reading(wanted: Wanted) -> AsyncIterator[AsyncIterator[Found]]:
    """Batches of rows, planned ahead by a process, and at the end what became of the telephone numbers. BadFile and OSError come out of
    the first batch that they concern; the header is checked with the first."""
    batches = _from_process(wanted) if wanted.source.size_bytes >= LARGE_BYTES else _from_thread(wanted)
    async with contextlib.aclosing(batches):
        yield batches


async def _from_thread(wanted: Wanted) -> AsyncGenerator[Found]:
    batches = _batches(wanted)
    while (batch := await asyncio.to_thread(next, batches, None)) is not None:
        yield batch


def _batches(wanted: Wanted) -> Iterator[Rows | Cleaning]:
    parser = Parser(wanted.region, wanted.plan)
    yield from cut(parser.rows(_lines(wanted.source), wanted.after), BATCH_ROWS)
    yield parser.cleaning


def _lines(source: Source) -> Iterator[str]:
    with source.path.open(encoding=source.encoding, errors="replace", newline="") as file:
        yield from file


# --- the process ------------------------------------------------------------------------------------------------------


async def _from_process(wanted: Wanted) -> AsyncGenerator[Found]:
    start = multiprocessing.get_context("spawn")  # a fork would copy threads that hold locks
    inward, outward = start.Pipe(duplex=False)
    child = start.Process(target=_send_all, args=(outward, wanted), name="import-read", daemon=True)
    await asyncio.to_thread(child.start)
    outward.close()  # the child's end is the only one now: when it dies, reading says so
    ready: asyncio.Queue[bytes | None] = asyncio.Queue(AHEAD_MAX)
    taking = asyncio.create_task(_take(inward, ready))
    try:
        while (packed := await ready.get()) is not None:
            batch = pickle.loads(packed)
            if isinstance(batch, BadFile | OSError):
                raise batch
            yield batch
        await taking
    finally:
        taking.cancel()
        child.terminate()
        await asyncio.to_thread(child.join, CHILD_END_S)
        await asyncio.wait([taking])
        inward.close()


async def _take(inward: Connection, ready: asyncio.Queue[bytes | None]) -> None:
    """Crossing: from the pipe to the loop. RuntimeError when the child died."""
    try:
        while packed := await asyncio.to_thread(inward.recv_bytes):
            await ready.put(packed)
    except EOFError:
        await ready.put(None)
        raise RuntimeError("expected the reading process to read the file to its end, it died") from None
    await ready.put(None)


def _send_all(outward: Connection, wanted: Wanted) -> None:
    """In the child: read, and let a thread wait for the pipe. It ends with its parent, for then nobody reads the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to both; the parent ends us
    packed: queue.Queue[bytes] = queue.Queue(AHEAD_MAX)
    sender = threading.Thread(target=_drain, args=(packed, outward), daemon=True)
    sender.start()

    def put(found: object) -> None:
        data = pickle.dumps(found, pickle.HIGHEST_PROTOCOL) if found is not None else b""
        while sender.is_alive():
            with contextlib.suppress(queue.Full):
                packed.put(data, timeout=1)
                return

    gc.freeze()  # what is loaded by now stays, and rows come and go without circles
    gc.set_threshold(GARBAGE_LOOKS)
    ids = Ids(wanted.moment) if wanted.moment else None
    try:
        for batch in _batches(wanted):
            put(ahead(batch, ids) if ids and not isinstance(batch, Cleaning) else batch)
            if not sender.is_alive():
                return
    except (BadFile, OSError) as error:
        put(error)
    put(None)
    sender.join()


def _drain(packed: queue.Queue[bytes], outward: Connection) -> None:
    with contextlib.suppress(OSError):  # nobody reads any more
        while data := packed.get():
            outward.send_bytes(data)
        outward.send_bytes(b"")
