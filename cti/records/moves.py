"""Everything that refers to a party goes to another one, and back: the log of it is exact, and short for a party with a long history.

Which columns those are is asked of the tables themselves, so that a table which is added later is not forgotten. A log is a list of
plain values: `changed` says which rows had one value and got another, `dissolved` keeps a row that the other party had already.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Column, Connection, Table, delete, insert, select, update
from sqlalchemy.orm import Session

import cti.records
from cti.db import Base
from cti.records.parties import Party

PARTIES = cast(Table, Party.__table__)
KEYS_MAX = 500  # in one statement
# These tell of merging itself: whom a merge or a proposal was about does not change by it.
STAYS = frozenset({"merges.kept_id", "merges.gone_id", "merge_proposals.a_id", "merge_proposals.b_id"})

Log = list[dict[str, Any]]


@dataclass(frozen=True)
class Reference:
    """A column that holds a party's id."""

    column: Column[Any]

    @property
    def table(self) -> Table:
        return self.column.table

    @property
    def key(self) -> Column[Any]:
        """What names a row beside this column. ValueError when that is more than one column: such a log cannot be written yet."""
        others = [column for column in self.table.primary_key if column is not self.column]
        if len(others) != 1:
            raise ValueError(f"expected one column beside {self.column} to name a row of {self.table}, got {others}")
        return others[0]

    @property
    def once_only(self) -> bool:
        """A row of the one party may stand in the way of the other's."""
        return self.column.primary_key


@dataclass(frozen=True, kw_only=True)
class Left:
    """A value that could not go back, because somebody changed it after the move."""

    table: str
    column: str
    key: str
    now: str | None  # what it holds today
    why: str  # changed: it has another value today | gone: the row is no more | taken: such a row is there already


@functools.cache
def references() -> tuple[Reference, ...]:
    """Every column that refers to a party, but for those that STAY."""
    for module in pkgutil.iter_modules(cti.records.__path__):
        importlib.import_module(f"cti.records.{module.name}")  # a table counts once its file has been imported
    found = (
        Reference(column)
        for table in Base.metadata.tables.values()
        for column in table.columns
        if any(key.column.table is PARTIES for key in column.foreign_keys) and str(column) not in STAYS
    )
    return tuple(sorted(found, key=lambda each: str(each.column)))


# --- there ------------------------------------------------------------------------------------------------------------


def move(session: Session, *, gone: str, kept: str) -> Log:
    """All that refers to `gone` refers to `kept`. Returns what `move_back` needs."""
    session.flush()
    connection = session.connection()
    log: Log = []
    for reference in references():
        if reference.once_only:
            log += _dissolved(connection, reference, gone=gone, kept=kept)
        column, key = reference.column, reference.key
        statement = update(reference.table).where(column == gone).values({column: kept}).returning(key)
        if keys := connection.scalars(statement).all():
            log.append(changed(reference.table.name, column.name, keys, was=gone, became=kept))
    session.expire_all()  # the statements went past the ORM
    return log


def changed(table: str, column: str, keys: Iterable[Any], *, was: Any, became: Any) -> dict[str, Any]:
    """The line of a log for rows whose `column` got a new value."""
    return {"table": table, "column": column, "keys": sorted(keys), "was": was, "became": became}


def _dissolved(connection: Connection, reference: Reference, *, gone: str, kept: str) -> Iterator[dict[str, Any]]:
    """Rows of `gone` in whose way one of `kept` stands: they are taken out and kept in the log."""
    mirror = reference.table.alias()
    there = select(mirror.c[reference.key.name]).where(mirror.c[reference.column.name] == kept)
    doubled = reference.table.select().where(reference.column == gone, reference.key.in_(there)).order_by(reference.key)
    rows = [dict(row._mapping) for row in connection.execute(doubled)]
    for row in rows:
        connection.execute(
            delete(reference.table).where(reference.column == gone, reference.key == row[reference.key.name])
        )
        yield {"table": reference.table.name, "column": reference.column.name, "dissolved": row}


# --- and back ---------------------------------------------------------------------------------------------------------


def move_back(session: Session, log: Log) -> list[Left]:
    """Every value that is still what the log made of it becomes again what it was. Returns those that are not."""
    session.flush()
    connection = session.connection()
    left = list(itertools.chain.from_iterable(_undone(connection, line) for line in reversed(log)))
    session.expire_all()
    return left


def values_in(log: Log) -> int:
    """How many values a log moved."""
    return sum(len(line["keys"]) if "keys" in line else 1 for line in log)


def _undone(connection: Connection, line: dict[str, Any]) -> Iterator[Left]:
    table = Base.metadata.tables[line["table"]]
    if "dissolved" in line:
        yield from _restored(connection, table, line)
        return
    reference = Reference(table.c[line["column"]])
    for start in range(0, len(line["keys"]), KEYS_MAX):
        yield from _turned(connection, reference, line["keys"][start : start + KEYS_MAX], line["was"], line["became"])


def _turned(connection: Connection, reference: Reference, keys: Sequence[Any], was: Any, became: Any) -> Iterator[Left]:
    column, key = reference.column, reference.key
    taken = _holding(connection, reference, keys, was) if reference.once_only else set()
    statement = (
        update(reference.table)
        .where(key.in_([each for each in keys if each not in taken]), column == became)
        .values({column: was})
        .returning(key)
    )
    done = set(connection.scalars(statement).all())
    missing = [each for each in keys if each not in done]
    today = {} if reference.once_only else _today(connection, reference, missing)
    for each in missing:
        why = "taken" if each in taken else "changed" if each in today else "gone"
        now = was if each in taken else today.get(each)
        yield Left(table=reference.table.name, column=column.name, key=str(each), now=now, why=why)


def _holding(connection: Connection, reference: Reference, keys: Sequence[Any], party: Any) -> set[Any]:
    query = select(reference.key).where(reference.key.in_(keys), reference.column == party)
    return set(connection.scalars(query).all())


def _today(connection: Connection, reference: Reference, keys: Sequence[Any]) -> dict[Any, Any]:
    if not keys:
        return {}
    query = select(reference.key, reference.column).where(reference.key.in_(keys))
    return dict(connection.execute(query).all())


def _restored(connection: Connection, table: Table, line: dict[str, Any]) -> Iterator[Left]:
    """The row that was taken out stands there again, unless somebody made it anew or what it belongs to is no more."""
    row = line["dissolved"]
    same = [column == row[column.name] for column in table.primary_key]
    why = "taken" if connection.execute(table.select().where(*same)).first() else ""
    if not why and not _complete(connection, table, row):
        why = "gone"
    if why:
        named = " ".join(str(row[column.name]) for column in table.primary_key)
        yield Left(table=table.name, column=line["column"], key=named, now=None, why=why)
    else:
        connection.execute(insert(table).values(row))


def _complete(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Everything that the row refers to is there."""
    return all(
        connection.execute(select(key.column).where(key.column == row[key.parent.name])).first()
        for key in table.foreign_keys
        if row[key.parent.name] is not None
    )
