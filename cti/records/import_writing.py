"""What was planned, into the tables: many rows by one statement each, past the ORM.

At twenty thousand rows a second an object for each row would be most of the work. No event for each party and link either: the whole
import is one event, and what it brought carries its id as `batch` (docs/import.md).
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Dialect, Select, Table, bindparam, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from cti.records.contact_points import ContactPoint, Link
from cti.records.parties import Household, HouseholdMember, Party, Subscription

New = Mapping[str, list[tuple[Any, ...]]]  # rows by the name of their table, each in the order of WRITTEN

ASKED_MAX = 5000  # values in one IN (...): SQLite takes 32,766 of them, PostgreSQL 65,535
# In the order in which they refer to one another.
TABLES = {
    each.name: each
    for each in (
        cast(Table, table.__table__) for table in (Household, Party, HouseholdMember, Subscription, ContactPoint, Link)
    )
}
WRITTEN = {
    "households": ("id", "label"),
    "parties": ("id", "kind", "name", "search_text", "language", "customer_no", "birth_date", "tags", "external_id"),
    "household_members": ("household_id", "party_id", "role"),
    "subscriptions": (
        "id", "number", "kind", "holder_id", "household_id", "line_number", "area", "address", "depends_on_id",
    ),
    "contact_points": ("id", "kind", "value", "raw"),
    "links": ("id", "contact_point_id", "party_id", "subscription_id", "role"),
}  # fmt: skip
SAME: dict[str, dict[str, str]] = {
    "subscriptions": {"status": "active"},
    "links": {
        "exclusivity": "unknown", "source": "import", "state": "unverified", "method": "", "verified_by": "",
    },
}  # fmt: skip
MOMENTS = ("created_at", "valid_from")
POINTS = select(ContactPoint.kind, ContactPoint.value, ContactPoint.id)
HOMES = select(Household.id, Household.label).order_by(Household.id.desc())  # of two with one label the first stays


class NotNew(ValueError):
    """Something of what was planned without looking is there already: the piece is undone, and planned with looking."""


def write(session: Session, new: New, joins: Sequence[tuple[str, str]], *, batch: int, now: dt.datetime) -> None:
    """What was planned with looking, at the moment `now`. `joins`: services and what carries them."""
    connection = session.connection()
    for name in TABLES:
        if rows := new.get(name):
            _insert(connection, name, rows, batch, now)
    if joins:
        connection.execute(JOIN, [{"service": service, "carrier": carrier} for service, carrier in joins])


def write_unseen(session: Session, new: New, *, batch: int, now: dt.datetime) -> int:
    """What was planned as if nothing were there; returns how many contact points are new. One that is there already is shared. NotNew
    when a party, a service or a household is: the transaction must be undone."""
    connection = session.connection()
    labels = [label for _, label in new.get("households", ())]
    if len(set(labels)) < len(labels) or next(found(connection, HOMES, Household.label, set(labels)), None) is not None:
        raise NotNew("expected households that are new")
    fresh = 0
    try:
        for name in TABLES:
            rows = new.get(name)
            if rows and name == "links":
                _insert(connection, name, _shared(connection, new, rows, fresh), batch, now)
            elif rows:
                count = _insert(connection, name, rows, batch, now, unless_there=name == "contact_points")
                fresh = count if name == "contact_points" else 0
    except IntegrityError as error:
        raise NotNew("expected customers and services that are new") from error
    return fresh


def _shared(connection: Connection, new: New, links: list[tuple[Any, ...]], fresh: int) -> list[tuple[Any, ...]]:
    """The links, to the contact points that stand in the table: of those that were there already it has others than were planned."""
    planned = new["contact_points"]
    if fresh == len(planned):
        return links
    there = points(connection, {(kind, value) for _, kind, value, _ in planned})
    stands = {id_: there[kind, value] for id_, kind, value, _ in planned}
    return [(link, stands[point], *rest) for link, point, *rest in links]


def _insert(
    connection: Connection,
    name: str,
    rows: list[tuple[Any, ...]],
    batch: int,
    now: dt.datetime,
    *,
    unless_there: bool = False,
) -> int:
    """As the driver takes them: what SQLAlchemy does to each row would cost more than writing it. Returns how many were written."""
    statement = _statement(connection.dialect, name, batch, now)
    if unless_there:
        statement += " ON CONFLICT (kind, value) DO NOTHING"
    return connection.exec_driver_sql(statement, rows).rowcount


@functools.lru_cache(maxsize=64)
def _statement(dialect: Dialect, name: str, batch: int, now: dt.datetime) -> str:
    """What is the same in all rows stands in the statement itself, which spares the driver half of the values."""
    table, mark = TABLES[name], "?" if dialect.paramstyle == "qmark" else "%s"
    same: dict[str, Any] = {**SAME.get(name, {}), **{each: now for each in MOMENTS if each in table.c}}
    if "batch" in table.c:
        same["batch"] = batch
    fixed = [
        str(literal(value, table.c[column].type).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        for column, value in same.items()
    ]
    values = [mark] * len(WRITTEN[name]) + fixed
    return f"INSERT INTO {name} ({', '.join((*WRITTEN[name], *same))}) VALUES ({', '.join(values)})"


SERVICES = TABLES["subscriptions"]
JOIN = (
    update(SERVICES)
    .where(SERVICES.c.id == bindparam("service"), SERVICES.c.depends_on_id.is_(None))
    .values(depends_on_id=bindparam("carrier"))
)

# --- looking ----------------------------------------------------------------------------------------------------------


def found(
    connection: Connection, query: Select[*tuple[Any, ...]], column: InstrumentedAttribute[Any], values: Collection[str]
) -> Iterator[Any]:
    """The rows of `query` whose `column` is one of `values`. Sorted, so that neighbours are read together."""
    ordered = sorted(values)
    for start in range(0, len(ordered), ASKED_MAX):
        yield from connection.execute(query.where(column.in_(ordered[start : start + ASKED_MAX])))


def points(connection: Connection, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The ids of the contact points that are there, by kind and value."""
    by_kind: dict[str, set[str]] = {}
    for kind, value in wanted:
        by_kind.setdefault(kind, set()).add(value)
    return {
        (kind, value): id_
        for of_kind, values in by_kind.items()
        for kind, value, id_ in found(
            connection, POINTS.where(ContactPoint.kind == of_kind), ContactPoint.value, values
        )
    }
