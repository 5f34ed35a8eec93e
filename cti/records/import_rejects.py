"""FILE.rejected.csv: the rows that were left out, with line and reason, in a form that can be corrected and imported."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from cti.records.import_columns import ADDED, COLUMNS, Rejected


class Rejects:
    """The file; it is made with its first row."""

    def __init__(self, path: Path, header: tuple[str, ...] = ()) -> None:
        self.path = path
        self._header = header
        self._file: io.TextIOWrapper | None = None
        self._after, self._place = -1, 0

    @classmethod
    def open(cls, imported: Path, up_to: int) -> Rejects:
        """Beside the imported file. Of an earlier run the rows up to line `up_to` stay; what came after them is read again."""
        path = imported.with_name(imported.name + ".rejected.csv")
        kept = _kept(path, up_to) if up_to and path.exists() else []
        if not kept:
            return cls(path)
        header, *rows = kept
        rejects = cls(path, tuple(header))
        csv.writer(rejects._opened()).writerows(rows)
        return rejects

    def write(self, rejected: Iterable[Rejected], *, after: int) -> None:
        """Add the rows of the piece that begins after line `after`, in place of those that were written for it before: a database
        may run a piece of work again."""
        rows = list(rejected)
        if not self._header and rows:
            names = tuple(rows[0].row)
            self._header = (*ADDED, *(COLUMNS if set(names) <= set(COLUMNS) else names))
        if self._file is None and not rows:
            return
        file = self._opened()
        self._return_to(after, file)
        csv.writer(file).writerows(
            [each.line, each.reason, *(each.row.get(name, "") for name in self._header[2:])] for each in rows
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
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8-sig", newline="")
            csv.writer(self._file).writerow(self._header)
        return self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _kept(path: Path, up_to: int) -> list[list[str]]:
    """The header and the rows up to a line."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    return [header, *(row for row in rows if row and row[0].isdigit() and int(row[0]) <= up_to)] if header else []
