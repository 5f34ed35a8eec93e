"""What callers told us while the database was away: a file of this node, a JSON line for each entry, on disk when `keep` returns.

It is written by one process (its node's) and replayed when the database is back (`cti.replay`). What the file holds is the truth; what
is remembered here is thrown away as soon as the file is another one. It is not a log: an entry that is in the database is forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import json
import os
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

JOURNAL_MAX = 10_000  # entries; about 5 MB. More calls than that without a database are not ours to remember
VERSION = 1


class JournalFull(OSError):
    """The entry could not be made safe (disk full, failing or read-only, or JOURNAL_MAX entries wait): nobody may be told that it was."""


@dataclass(frozen=True, kw_only=True)
class CallNoted:
    """A call that came while the database was away. `conversation` is the id under which it went on."""

    id: str
    at: dt.datetime  # aware, UTC
    conversation: str
    channel: str
    did: str
    raw: str
    name: str
    asserted: str = ""
    diverted_from: str = ""
    attestation: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportNoted:
    """A matter that a caller reported while no ticket could be opened."""

    id: str
    at: dt.datetime  # aware, UTC
    conversation: str  # the id under which the call went on
    channel: str
    raw: str
    did: str
    subscription: str | None  # None: it was not known; the replay asks the caller's number again
    party: str | None
    matter: str
    text: str
    visit: str  # to the flow's node, as in tickets.open_for_visit
    message: str  # name of the recorded message; "" without one
    message_s: float


Entry = CallNoted | ReportNoted
KINDS: dict[str, type[CallNoted] | type[ReportNoted]] = {"call_noted": CallNoted, "report_noted": ReportNoted}
NAMES = {kind: name for name, kind in KINDS.items()}


class _Line(NamedTuple):
    """`entry` is None for a line that is damaged, or of a newer version of the code: it stays in the file for whoever can read it."""

    written: bytes  # with its newline
    entry: Entry | None


class _Seen(NamedTuple):
    """The file as we last saw it: with another one, or another length, somebody else wrote or a write of ours was torn."""

    inode: int
    size_bytes: int


class Journal:
    """The file at `path`; its folder is made when it is needed. Safe to use from several threads of one process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._seen: _Seen | None = None
        self._lines: list[_Line] = []
        self._whole_bytes = 0  # of these lines; what stands after them is torn

    def keep(self, entry: Entry) -> None:
        """The entry is on disk when this returns (one fsync: 0.3 ms, now and then 7). JournalFull when it could not be put there."""
        with self._turn:
            try:
                self._keep(_Line(written(entry), entry))
            except JournalFull:
                raise
            except OSError as error:
                raise JournalFull(error.errno, f"{self._path.name} could not be written: {error.strerror}") from error

    async def keep_soon(self, entry: Entry) -> None:
        """`keep`, while the loop goes on with other calls."""
        await asyncio.to_thread(self.keep, entry)

    def waiting(self) -> tuple[Entry, ...]:
        """What is still to be replayed, oldest first. OSError when the file cannot be read."""
        with self._turn:
            self._look()
            return tuple({each.entry.id: each.entry for each in self._lines if each.entry}.values())

    def size(self) -> int:
        """How much waits, as far as we last saw."""
        with self._turn:
            return sum(each.entry is not None for each in self._lines)

    @property
    def unreadable(self) -> int:
        """Lines that are no entries for this version of the code, as last looked at. They are never forgotten."""
        return sum(each.entry is None for each in self._lines)

    def forget(self, ids: Collection[str]) -> None:
        """These are in the database now; what was kept meanwhile stays. OSError: nothing was forgotten; replay and ask again."""
        with self._turn:
            self._look()
            rest = [each for each in self._lines if each.entry is None or each.entry.id not in ids]
            if len(rest) < len(self._lines):
                self._replace(rest)

    # --- the file ---

    def _keep(self, line: _Line) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _opened(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as file:
            first = self._seen is None
            self._take_in(file)
            if len(self._lines) >= JOURNAL_MAX:
                raise JournalFull(f"expected room in {self._path.name}, it has its {JOURNAL_MAX} lines")
            _append(file, line.written, at=self._whole_bytes)
            if first:
                _sync_folder(self._path.parent)
            self._lines.append(line)
            self._whole_bytes += len(line.written)
            self._seen = _seen(file)

    def _look(self) -> None:
        try:
            with _opened(self._path, os.O_RDONLY) as file:
                self._take_in(file)
        except FileNotFoundError:
            self._seen, self._lines, self._whole_bytes = None, [], 0

    def _take_in(self, file: int) -> None:
        """Read the file, unless it is as we left it. What stands after the last newline is torn: nobody was told that it is safe."""
        if _seen(file) == self._seen:
            return
        found = os.pread(file, os.fstat(file).st_size, 0)
        whole = found[: found.rfind(b"\n") + 1]
        self._lines = [_Line(each, read(each)) for each in whole.splitlines(keepends=True)]
        self._whole_bytes = len(whole)
        self._seen = _seen(file)

    def _replace(self, rest: list[_Line]) -> None:
        """The file with only these lines. A crash in between leaves the old one. Without lines it is emptied where it is, which needs
        no room on a full disk."""
        self._seen = None
        data = b"".join(each.written for each in rest)
        fresh = self._path.with_name(f"{self._path.name}.new") if rest else self._path
        with _opened(fresh, os.O_RDWR | os.O_APPEND | os.O_CREAT) as file:
            _append(file, data, at=0)
            seen = _seen(file)
        if rest:
            fresh.replace(self._path)
            _sync_folder(self._path.parent)
        self._seen, self._lines, self._whole_bytes = seen, rest, len(data)


def written(entry: Entry) -> bytes:
    """The entry as one line."""
    values = dataclasses.asdict(entry) | {"at": entry.at.astimezone(dt.UTC).isoformat()}
    return json.dumps({"v": VERSION, "kind": NAMES[type(entry)], **values}, ensure_ascii=True).encode() + b"\n"


def read(line: bytes) -> Entry | None:
    """The entry that `written` wrote; None for a line that is none of this version's."""
    try:
        values: dict[str, Any] = json.loads(line)
        if values.pop("v") != VERSION:
            return None
        values["at"] = dt.datetime.fromisoformat(values["at"])
        return KINDS[values.pop("kind")](**values)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """Anew each time: the name leads to the file that is there now. Nobody else may read what callers said."""
    file = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def _append(file: int, data: bytes, *, at: int) -> None:
    """All of `data` from byte `at` on, synced, and nothing after it; or OSError, and the file ends at `at`."""
    if os.fstat(file).st_size > at:
        os.ftruncate(file, at)
    try:
        rest = memoryview(data)
        while rest:  # a disk that is nearly full takes a part first, and says no to the rest
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    except OSError:
        with contextlib.suppress(OSError):  # else the torn end is cut off before the next entry
            os.ftruncate(file, at)
        raise


def _seen(file: int) -> _Seen:
    state = os.fstat(file)
    return _Seen(state.st_ino, state.st_size)


def _sync_folder(folder: Path) -> None:
    """So that a new name survives a power cut."""
    with _opened(folder, os.O_RDONLY | os.O_DIRECTORY) as handle:
        os.fsync(handle)
