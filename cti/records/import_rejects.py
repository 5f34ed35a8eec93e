"""FILE.rejected.csv: the rows that were left out, with line and reason, in a form that can be corrected and imported."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from cti.records.import_columns import ADDED, COLUMNS, Rejected

DANGLING = "imported, but depends_on "  # how the reason begins of a row that is in, and waits for its carrier in vain


class Rejects:
    """The file; it is made with its first row."""

    def __init__(self, path: Path, header: tuple[str, ...] = (), size_bytes: int = 0) -> None:
        self.path = path
        self._header = header
        self._size_bytes = size_bytes  # of what an earlier run wrote and stays
        self._file: io.TextIOWrapper | None = None
        self._after, self._place = -1, 0

    @classmethod
    def open(cls, imported: Path, up_to: int) -> Rejects:
        """Beside the imported file. Of an earlier run of this import the rows up to line `up_to` stay; what came after them is read
        again. Of another import (`up_to` 0) nothing stays."""
        path = imported.with_name(imported.name + ".rejected.csv")
        header, size_bytes = _kept(path, up_to) if up_to and path.exists() else ((), 0)
        if not size_bytes:
            path.unlink(missing_ok=True)
            return cls(path)
        os.truncate(path, size_bytes)
        return cls(path, header, size_bytes)

    def write(self, rejected: Iterable[Rejected], *, after: int) -> None:
        """Add the rows of the piece that begins after line `after`, in place of those that were written for it before: a database
        may run a piece of work again."""
        rows = iter(rejected)
        first = next(rows, None)
        if first is None and self._file is None:
            return
        if first is not None and not self._header:
            names = tuple(first.row)
            self._header = (*ADDED, *(COLUMNS if set(names) <= set(COLUMNS) else names))
        file = self._opened()
        self._return_to(after, file)
        csv.writer(file).writerows(
            [each.line, each.reason, *(each.row.get(name, "") for name in self._header[2:])]
            for each in itertools.chain([first] if first is not None else [], rows)
        )
        file.flush()

    def _return_to(self, after: int, file: io.TextIOWrapper) -> None:
        if self._after == after:
            file.seek(self._place)
            file.truncate()
        else:
            file.flush()
            self._after, self._place = after, file.tell()

    def _opened(self) -> io.TextIOWrapper:
        if self._file is None and self._size_bytes:
            self._file = self.path.open("r+", encoding="utf-8", newline="")
            self._file.seek(0, io.SEEK_END)
        elif self._file is None:
            self._file = self.path.open("w", encoding="utf-8-sig", newline="")
            csv.writer(self._file).writerow(self._header)
        return self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _kept(path: Path, up_to: int) -> tuple[tuple[str, ...], int]:
    """The header, and how many bytes from the beginning of the file on are whole rows up to a line: none when there is no such row.
    A process that is killed leaves half a row; and the rows that waited in vain are told again at the end."""
    header: tuple[str, ...] = ()
    kept = 0
    with path.open("rb") as file, contextlib.suppress(csv.Error):
        read = _Counted(file)
        for row in csv.reader(read):
            if not header:
                header = tuple(row)
            elif not read.is_whole or len(row) != len(header) or not _stays(row, up_to):
                break
            else:
                kept = read.size_bytes
    return header, kept


def _stays(row: list[str], up_to: int) -> bool:
    line, reason, *_ = row
    return line.isdecimal() and int(line) <= up_to and not reason.startswith(DANGLING)


class _Counted:
    """The lines of a file, and how many bytes were read of it."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self.size_bytes = 0
        self.is_whole = False  # the last line ended

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.size_bytes += len(line)
        self.is_whole = line.endswith(b"\n")
        return line.decode("utf-8-sig", errors="replace")
