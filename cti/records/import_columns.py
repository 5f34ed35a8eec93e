"""What a row of customers may hold: our columns, their limits, and the values that a good, a bad and an unreadable one become; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

COLUMNS = (
    "external_id", "name", "kind", "customer_no", "birth_date", "language", "tags", "household", "household_role",
    "subscription_no", "subscription_kind", "line_number", "area", "address", "depends_on", "phones", "emails", "social",
)  # fmt: skip
REQUIRED = ("external_id", "name")
ADDED = ("line", "reason")  # what FILE.rejected.csv has before the columns; ignored when that file is imported
LENGTHS = {
    "external_id": 100, "name": 200, "customer_no": 32, "language": 8, "tags": 200, "household": 200, "household_role": 32,
    "subscription_no": 32, "area": 100, "address": 300, "depends_on": 32,
}  # fmt: skip
REASON_MAX = 500  # characters; a cell that is wrong may have 131,072, and stands beside it anyway
KINDS = ("person", "organisation")
SUBSCRIPTION_KINDS = ("dsl", "fibre", "landline", "mobile")
DELIMITERS = (",", ";", "\t", "|")


class BadFile(ValueError):
    """The file as a whole cannot be read: no header, or columns that we do not know."""


class Contact(NamedTuple):
    kind: str
    value: str  # canonical
    raw: str
    role: str


class Customer(NamedTuple):
    """One good row: `values` are trimmed, `contacts` and `line_number` canonical."""

    line: int
    values: Mapping[str, str]
    contacts: tuple[Contact, ...]
    line_number: str | None
    search_text: str  # the party's
    original: Mapping[str, str] | None  # the row as it came, when a mapping made `values` of it

    def get(self, column: str) -> str:
        return self.values.get(column, "")

    def rejected(self, reason: str) -> Rejected:
        return Rejected(self.line, reason[:REASON_MAX], self.original or self.values)


@dataclass(frozen=True)
class Rejected:
    """A row that is left out: `row` is as it came, so that it can be corrected."""

    line: int
    reason: str
    row: Mapping[str, str]
