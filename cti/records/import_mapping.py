"""A mapping file says which of our columns is made of which of theirs; pure. docs/import.md describes the form.

It is TOML or JSON. What is wrong with it is told before the first row is read, with what was expected.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from cti.records.import_columns import COLUMNS, DELIMITERS, REQUIRED, BadFile

KEYS = ("columns", "empty", "delimiter", "encoding")
PART_KEYS = ("from", "constant", "values", "otherwise", "date", "prefix")
JOIN_KEYS = ("join", "with")

Convert = Callable[
    [Sequence[str]], dict[str, str]
]  # cells of one row -> our columns; ValueError says what is wrong with a cell


class BadMapping(BadFile):
    """The mapping file is none, or does not fit the file of customers."""


@dataclass(frozen=True)
class Part:
    """One of their columns, or a text that is the same for every row."""

    column: str = ""
    constant: str = ""
    values: Mapping[str, str] = field(default_factory=dict)  # theirs -> ours; empty: as it is
    otherwise: str | None = None  # for what is not in `values`; None: such a row is rejected
    date: str = ""  # how they write a date, in strptime's letters
    prefix: str = ""  # put before what is not empty: `owner:` before a phone


@dataclass(frozen=True)
class Plan:
    """A mapping file that was read: for each of our columns the parts that it is joined of."""

    columns: Mapping[str, tuple[Part, ...]]
    separators: Mapping[str, str]
    empty: frozenset[str] = frozenset()  # texts that mean that nothing is there, in lower case
    delimiter: str | None = None
    encoding: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)  # as it was written, to be kept with the import


def read(name: str, text: str) -> Plan:
    """The mapping of a file called `name` (.toml, else JSON). BadMapping says what was expected."""
    try:
        found = tomllib.loads(text) if PurePath(name).suffix.lower() == ".toml" else json.loads(text)
    except ValueError as error:
        raise BadMapping(f"{name}: expected a mapping as TOML (.toml) or JSON, {error}") from error
    try:
        return _plan(found)
    except ValueError as error:
        raise BadMapping(f"{name}: {error}") from error


def bind(plan: Plan, header: Sequence[str]) -> Convert:
    """The function that makes our columns of the cells of a row under `header`. BadMapping when a column is missing there."""
    places = {name.strip().lower(): place for place, name in enumerate(header)}
    wanted = {part.column for parts in plan.columns.values() for part in parts if part.column}
    if missing := sorted(name for name in wanted if name.strip().lower() not in places):
        raise BadMapping(
            f"expected the columns {', '.join(missing)} that the mapping names; the file has {', '.join(header)[:2000]}"
        )
    readers = {
        ours: [_reader(ours, part, places.get(part.column.strip().lower(), 0), plan.empty) for part in parts]
        for ours, parts in plan.columns.items()
    }

    def convert(cells: Sequence[str]) -> dict[str, str]:
        return {
            ours: each[0](cells)
            if len(each) == 1
            else plan.separators[ours].join(filter(None, (one(cells) for one in each)))
            for ours, each in readers.items()
        }

    return convert


def _reader(ours: str, part: Part, place: int, empty: frozenset[str]) -> Callable[[Sequence[str]], str]:
    if not part.column:
        return lambda cells: part.constant

    def read(cells: Sequence[str]) -> str:
        text = cells[place].replace("\0", "").strip()
        if text.lower() in empty:
            text = ""
        if part.values:
            text = _looked_up(ours, part, text)
        if part.date and text:
            text = _date(ours, part.date, text)
        return part.prefix + text if text else text

    return read


def _looked_up(ours: str, part: Part, text: str) -> str:
    if text in part.values:
        return part.values[text]
    if part.otherwise is None and text:
        raise ValueError(f"expected one of {', '.join(part.values)} in {part.column} for {ours}, got {text!r}")
    return part.otherwise or ""


def _date(ours: str, form: str, text: str) -> str:
    try:
        return dt.datetime.strptime(text, form).date().isoformat()  # noqa: DTZ007  a day, not a moment
    except ValueError:
        raise ValueError(f"expected a date written as {form} for {ours}, got {text!r}") from None


# --- from the file's own words ---


def _plan(found: Any) -> Plan:
    table = _table("the file", found, KEYS)
    columns = _table("columns", table.get("columns", {}), COLUMNS)
    if missing := [name for name in REQUIRED if name not in columns]:
        raise ValueError(f"expected [columns] with {' and '.join(REQUIRED)}, missing: {', '.join(missing)}")
    sources = {ours: _source(ours, source) for ours, source in columns.items()}
    if table.get("delimiter") not in (None, *DELIMITERS):
        raise ValueError(f"expected a delimiter of {' '.join(map(repr, DELIMITERS))}, got {table['delimiter']!r}")
    return Plan(
        columns={ours: parts for ours, (parts, _) in sources.items()},
        separators={ours: separator for ours, (_, separator) in sources.items()},
        empty=frozenset(_text("empty", each).lower() for each in _list("empty", table.get("empty", []))),
        delimiter=table.get("delimiter"),
        encoding=_encoding(table.get("encoding")),
        source=dict(table),
    )


def _source(ours: str, source: Any) -> tuple[tuple[Part, ...], str]:
    if isinstance(source, dict) and "join" in source:
        table = _table(ours, source, JOIN_KEYS)
        return tuple(_part(ours, each) for each in _list(ours, table["join"])), _text(ours, table.get("with", " "))
    return (_part(ours, source),), ""


def _part(ours: str, source: Any) -> Part:
    if isinstance(source, str):
        return Part(column=source)
    table = _table(ours, source, PART_KEYS)
    if ("from" in table) == ("constant" in table):
        raise ValueError(
            f"expected for {ours} the name of a column, or a table with either from or constant, got {source!r}"
        )
    values = {str(theirs): _text(ours, value) for theirs, value in _table(ours, table.get("values", {})).items()}
    otherwise = table.get("otherwise")
    return Part(
        column=_text(ours, table.get("from", "")), constant=_text(ours, table.get("constant", "")), values=values,
        otherwise=None if otherwise is None else _text(ours, otherwise), date=_text(ours, table.get("date", "")),
        prefix=_text(ours, table.get("prefix", "")),
    )  # fmt: skip


def _table(where: str, found: Any, keys: Iterable[str] | None = None) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError(f"expected a table for {where}, got {found!r}")
    if keys is not None and (unknown := [name for name in found if name not in keys]):
        raise ValueError(f"expected in {where} only {', '.join(keys)}; not known: {', '.join(unknown)}")
    return found


def _list(where: str, found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise ValueError(f"expected a list for {where}, got {found!r}")
    return found


def _text(where: str, found: Any) -> str:
    if not isinstance(found, str):
        raise ValueError(f"expected a text for {where}, got {found!r}")
    return found


def _encoding(name: Any) -> str | None:
    if name is None:
        return None
    try:
        "".encode(_text("encoding", name))
    except LookupError:
        raise ValueError(f"expected the name of an encoding such as utf-8 or cp1254, got {name!r}") from None
    return str(name)
