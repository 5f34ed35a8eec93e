"""Planning ahead: the reading process plans each batch as if the database had nothing of it, so that the writer only writes.

That is how it is in a first import. What is there all the same is found by a unique key when it is written (import_writing.NotNew), and
then the rows themselves go the careful way (import_loading.plan).
"""

from __future__ import annotations

import marshal
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from cti.records.import_columns import Customer, Rejected
from cti.records.import_loading import Known, planned_beside
from cti.records.import_writing import WRITTEN, New

Rows = list[Customer | Rejected]


@dataclass(frozen=True)
class Ahead:
    """A batch that was planned where it was read."""

    first: int  # its lines
    last: int
    rows: int
    packed: bytes  # the rows themselves (pickle)
    new: bytes  # what they add (marshal, which is twice as fast and enough for texts); empty: has to be planned with looking
    services: frozenset[str]  # the numbers of the services among it
    rejected: tuple[Rejected, ...]

    def unpacked(self) -> Rows:
        rows: Rows = pickle.loads(self.packed)
        return rows


def ahead(rows: Rows, ids: Callable[[], str]) -> Ahead:
    """`rows`, planned as if nothing were there. Those with a carrier that comes after them cannot be."""
    good, bad = parted(rows)
    planned = planned_beside(Known(), good, ids)
    return Ahead(
        first=rows[0].line,
        last=rows[-1].line,
        rows=len(rows),
        packed=pickle.dumps(rows, pickle.HIGHEST_PROTOCOL),
        new=b"" if planned.waiting or planned.joined else marshal.dumps([planned.new[table] for table in WRITTEN]),
        services=frozenset(number for _, number, *_ in planned.new["subscriptions"]),
        rejected=tuple(in_order(bad, planned.rejected)),
    )


def together(batches: Iterable[Ahead]) -> New:
    """What the batches add, by table."""
    new: dict[str, list[tuple[object, ...]]] = {table: [] for table in WRITTEN}
    for each in batches:
        for known, more in zip(new.values(), marshal.loads(each.new), strict=True):
            known.extend(more)
    return new


def cut(rows: Iterable[Customer | Rejected], size: int) -> Iterator[Rows]:
    """Batches of about `size` rows; the rows of one customer or household that stand together stay together."""
    batch: Rows = []
    for row in rows:
        if len(batch) >= size and (len(batch) >= 2 * size or not _belongs(batch[-1], row)):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _belongs(one: Customer | Rejected, other: Customer | Rejected) -> bool:
    if isinstance(one, Rejected) or isinstance(other, Rejected):
        return False
    same_home = bool(one.get("household")) and one.get("household") == other.get("household")
    return same_home or one.get("external_id") == other.get("external_id")


def parted(rows: Iterable[Customer | Rejected]) -> tuple[list[Customer], list[Rejected]]:
    """The good rows and the bad ones."""
    good: list[Customer] = []
    bad: list[Rejected] = []
    for row in rows:
        if isinstance(row, Rejected):
            bad.append(row)
        else:
            good.append(row)
    return good, bad


def in_order(*rejected: Sequence[Rejected]) -> list[Rejected]:
    return sorted((each for some in rejected for each in some), key=lambda each: each.line)
