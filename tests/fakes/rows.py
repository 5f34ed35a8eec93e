"""Rows of any table that refers to a party, made from the tables' own description: a table that is added later is filled, too."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Float, Integer, String, Table, insert
from sqlalchemy.orm import Session

from cti import migrations
from cti.db import UtcDateTime

AT = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)
Dump = dict[str, list[str]]


def row_of(table: Table, n: int, **given: Any) -> dict[str, Any]:
    """The `n`th row: what must have a value and was not given gets one that no other row has."""
    row = {column.name: _value(column, n) for column in table.columns if _must(column)}
    return row | given


def add_row(session: Session, table: Table, n: int, **given: Any) -> dict[str, Any]:
    """Written past the ORM. What it must refer to is made when it is not there; see `ground`."""
    row = row_of(table, n, **given)
    session.execute(insert(table).values(row))
    return row


def ground(session: Session) -> None:
    """One row with the id `ground` in each table that others must refer to."""
    tables = migrations.tables().tables
    for name in ("channels", "contact_points", "households"):
        add_row(session, tables[name], 0, id="ground")


def dump(session: Session, *, besides: Collection[str] = ()) -> Dump:
    """Every row of every table as text, in order."""
    session.flush()
    return {
        table.name: sorted(
            json.dumps(dict(row._mapping), default=str, sort_keys=True) for row in session.execute(table.select())
        )
        for table in migrations.tables().sorted_tables
        if table.name not in besides
    }


def difference(one: Dump, other: Dump) -> list[str]:
    """For the message of a failed test."""
    return list(_lines(one, other))


def _lines(one: Dump, other: Dump) -> Iterator[str]:
    for table, rows in one.items():
        yield from (f"- {table} {row}" for row in sorted(set(rows) - set(other[table])))
        yield from (f"+ {table} {row}" for row in sorted(set(other[table]) - set(rows)))


def _must(column: Column[Any]) -> bool:
    return not column.nullable


def _value(column: Column[Any], n: int) -> Any:
    if column.foreign_keys:
        return "ground"
    match column.type:
        case UtcDateTime():
            return AT + dt.timedelta(seconds=n)
        case JSON():
            return []
        case Boolean():
            return False
        case Integer() | Float():
            return n
        case String(length=length):
            return f"{n}"[: length or 200]
    raise TypeError(f"expected a type that rows are made for, got {column.type!r} of {column}")
