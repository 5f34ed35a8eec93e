"""From a file's text to rows that are good, or rejected with the reason. Pure: lines in, rows out."""

from __future__ import annotations

import csv
import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cti import number_fast, numbers
from cti.identity import MATCHING_ROLES
from cti.records import import_mapping
from cti.records.contact_points import canonical
from cti.records.import_cleaning import Cleaning
from cti.records.import_columns import (
    ADDED,
    COLUMNS,
    KINDS,
    LENGTHS,
    REASON_MAX,
    REQUIRED,
    SUBSCRIPTION_KINDS,
    BadFile,
    Contact,
    Customer,
    Rejected,
)
from cti.records.import_mapping import Plan
from cti.records.parties import fold

FIELD_MAX = 4000  # characters; csv's own limit is 131,072
CONTACT_COLUMNS = (("phones", "phone"), ("emails", "email"), ("social", "social"))
NO_ROLE = frozenset({"tel", "sip", "sips"})  # what stands before the colon of a URI


def parse(
    lines: Iterable[str], region: str, plan: Plan | None = None, *, after: int = 0
) -> Iterator[Customer | Rejected]:
    """Rows of the text, one by one; BadFile before the first when the header is not one of ours. Of the rows up to line `after`,
    which are in already, only those come that name a carrier."""
    return Parser(region, plan).rows(lines, after)


@dataclass
class Parser:
    """Reads one file. `cleaning` counts its telephone numbers on the way."""

    region: str
    plan: Plan | None = None
    cleaning: Cleaning = field(default_factory=Cleaning)

    def __post_init__(self) -> None:
        self._quick = number_fast.reader(self.region.upper())

    def rows(self, lines: Iterable[str], after: int = 0) -> Iterator[Customer | Rejected]:
        lines = iter(lines)
        header = next(lines, "")
        reader = csv.reader(itertools.chain([header], lines), delimiter=_delimiter(header, self.plan))
        columns = next(reader, [])
        names, convert = _header(columns, self.plan)
        try:
            for cells in reader:
                if reader.line_num > after or "depends_on" in names:
                    row = self._row(cells, names, convert, reader.line_num)
                    if row is not None and (row.line > after or (isinstance(row, Customer) and row.get("depends_on"))):
                        yield row
        except csv.Error as error:  # a quotation mark that nobody closes swallows the rest of the file
            raise BadFile(f"expected rows of comma separated values, line {reader.line_num}: {error}") from error

    def _row(
        self, cells: list[str], names: Sequence[str], convert: import_mapping.Convert | None, line: int
    ) -> Customer | Rejected | None:
        """None for a line without any value."""
        row = {name: cell.replace("\0", "").strip() for name, cell in zip(names, cells, strict=False) if name}
        if not any(row.values()):
            return None
        try:
            if len(cells) != len(names):
                raise ValueError(f"expected {len(names)} columns, got {len(cells)}")
            values = convert(cells) if convert else row
            check(values)
            return self._good(line, values, row if convert else None)
        except ValueError as error:
            return Rejected(line, str(error)[:REASON_MAX], row)

    def _good(self, line: int, values: Mapping[str, str], original: Mapping[str, str] | None) -> Customer:
        contacts = tuple(self._contacts(values, line))
        number = self._phone(values["line_number"], line) if values.get("line_number") else None
        customer_no = values.get("customer_no", "")
        search_text = fold(f"{values['name']} {customer_no}")[:400]
        return Customer(line, values, contacts, number, search_text, original)

    def _contacts(self, row: Mapping[str, str], line: int) -> Iterator[Contact]:
        for column, kind in CONTACT_COLUMNS:
            for item in filter(None, map(str.strip, row.get(column, "").split("|"))):
                role, colon, value = item.partition(":")
                role, value = role.strip(), value.strip()
                if kind != "phone" or not colon or role.lower() in NO_ROLE:
                    role, value = "owner", item
                _one_of("the role of a phone", role, MATCHING_ROLES)
                form = self._phone(value, line) if kind == "phone" else canonical(kind, value, self.region)
                yield Contact(kind, form, value, role)

    def _phone(self, text: str, line: int) -> str:
        form = self._quick(text)
        if form is not None:
            self.cleaning.good()
            return form
        number = numbers.parse(text, self.region)
        self.cleaning.add(number, line)
        return number.e164 or canonical("phone", text, self.region)  # which raises, and says why


def _delimiter(header: str, plan: Plan | None) -> str:
    if plan is not None and plan.delimiter:
        return plan.delimiter
    return ";" if header.count(";") > header.count(",") else ","


def _header(columns: list[str], plan: Plan | None) -> tuple[list[str], import_mapping.Convert | None]:
    """The names under which a row is kept (empty: to be ignored), and how our columns are made of its cells."""
    if plan is None:
        names = [name.strip().lower() for name in columns]
        _check_header(names)
        return ["" if name in ADDED else name for name in names], None
    names = [name.strip() for name in columns]
    return ["" if name.lower() in ADDED else name for name in names], import_mapping.bind(plan, names)


def _check_header(columns: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    unknown = [name for name in columns if name not in COLUMNS + ADDED]
    if missing or unknown or len(set(columns)) != len(columns):
        raise BadFile(
            f"expected a first line with the columns {', '.join(COLUMNS)}; missing: {', '.join(missing) or '-'}, "
            f"not known: {', '.join(unknown) or '-'}, came: {', '.join(columns)[:FIELD_MAX]}"
        )


def check(row: Mapping[str, str]) -> None:
    """ValueError says what is wrong with the row's own values."""
    for name in REQUIRED:
        if not row[name]:
            raise ValueError(f"expected a value for {name}")
    for name, value in row.items():
        if len(value) > LENGTHS.get(name, len(value)):
            raise ValueError(f"expected at most {LENGTHS[name]} characters for {name}, got {len(value)}")
    _one_of("kind", row.get("kind") or KINDS[0], KINDS)
    if row.get("subscription_no"):
        _one_of("subscription_kind", row.get("subscription_kind", ""), SUBSCRIPTION_KINDS)
    elif row.get("line_number") or row.get("depends_on"):
        raise ValueError("expected a subscription_no with line_number and depends_on")
    if row.get("depends_on") and row["depends_on"] == row["subscription_no"]:
        raise ValueError(f"expected depends_on to name another subscription than {row['depends_on']!r} itself")
    if row.get("birth_date"):
        _day(row["birth_date"])


def _day(text: str) -> None:
    """`fromisoformat` alone would also take 19801231 and 2020-W01-1, which are other texts for a day that somebody else has."""
    try:
        if dt.date.fromisoformat(text).isoformat() == text:
            return
    except ValueError:
        pass
    raise ValueError(f"expected a day as YYYY-MM-DD for birth_date, got {text!r}")


def _one_of(name: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise ValueError(f"expected one of {', '.join(allowed)} for {name}, got {value!r}")
