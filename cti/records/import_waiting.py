"""Services whose carrier has not come yet, on disk: a file may name one in every row, and memory must not grow with the file."""

from __future__ import annotations

import json
import marshal
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from cti.records.import_columns import REASON_MAX, Rejected
from cti.records.import_rejects import DANGLING

NAMED = "carrier IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True)
class Waiting:
    """A service whose carrier has not come yet."""

    service: str
    carrier: str  # its number
    line: int
    row: Mapping[str, str]  # as it came
    circle: bool = False  # the carrier is there, and hangs on this very service

    def rejected(self) -> Rejected:
        """What is told of it at the end: the row is in, and waited in vain."""
        what = "a subscription that itself hangs on this one" if self.circle else "no subscription"
        return Rejected(self.line, f"{DANGLING}names {what}: {self.carrier!r}"[:REASON_MAX], self.row)


class Waitlist:
    """Those of one run; a temporary file that SQLite makes when its pages grow beyond two megabytes, and that goes with the process.
    Used from one thread at a time."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute("CREATE TABLE waiting (carrier TEXT, service TEXT, line INTEGER, row BLOB, circle INTEGER)")
        self._rows.execute("CREATE INDEX of_carrier ON waiting (carrier)")
        self._many = 0

    def __len__(self) -> int:
        return self._many

    def has(self, carriers: Collection[str]) -> bool:
        """Whether anything waits for one of them."""
        if not self._many or not carriers:
            return False
        return self._rows.execute(f"SELECT 1 FROM waiting WHERE {NAMED}", [_json(carriers)]).fetchone() is not None

    def of(self, carriers: Collection[str]) -> dict[str, list[Waiting]]:
        """What waits for them, by the carrier's number."""
        there: dict[str, list[Waiting]] = {}
        if self._many and carriers:
            query = f"SELECT service, carrier, line, row, circle FROM waiting WHERE {NAMED} ORDER BY line"
            for each in self._rows.execute(query, [_json(carriers)]):
                there.setdefault(each[1], []).append(_read(each))
        return there

    def change(self, came: Collection[str], waiting: Iterable[Waiting]) -> None:
        """These carriers came; these services wait now."""
        self._rows.execute("BEGIN")
        if came:
            self._many -= self._rows.execute(f"DELETE FROM waiting WHERE {NAMED}", [_json(came)]).rowcount
        rows = [(each.carrier, each.service, each.line, marshal.dumps(dict(each.row)), each.circle) for each in waiting]
        self._rows.executemany("INSERT INTO waiting VALUES (?, ?, ?, ?, ?)", rows)
        self._many += len(rows)
        self._rows.execute("COMMIT")

    def __iter__(self) -> Iterator[Waiting]:
        """All that still wait, in the order of the file."""
        query = "SELECT service, carrier, line, row, circle FROM waiting ORDER BY line"
        return map(_read, self._rows.execute(query))

    def close(self) -> None:
        self._rows.close()


def _json(carriers: Collection[str]) -> str:
    return json.dumps(list(carriers))


def _read(found: tuple[str, str, int, bytes, int]) -> Waiting:
    service, carrier, line, row, circle = found
    return Waiting(service, carrier, line, marshal.loads(row), bool(circle))
