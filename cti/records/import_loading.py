"""A piece of a file into the tables: what is there already is looked up, what is new is decided on, and written in a few statements.

Written past the ORM: at twenty thousand rows a second an object for each row would be most of the work. No event for each party and
link either: the whole import is one event, and what it brought carries its id as `batch` (docs/import.md).
"""

from __future__ import annotations

import datetime as dt
import itertools
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

from sqlalchemy import Connection, Select, Table, bindparam, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from cti.ledger import uuid7
from cti.records.contact_points import VALUE_MAX, ContactPoint, Link
from cti.records.import_columns import KINDS, Contact, Customer, Rejected
from cti.records.parties import Household, HouseholdMember, Party, Subscription

SOURCE = "import"
ASKED_MAX = 5000  # values in one IN (...): SQLite takes 32,766 of them, PostgreSQL 65,535
CACHE_KIB = 65_536  # SQLite's own 2 MB do not hold the pages of the indexes that a piece touches
MERGED_MAX = 20  # times that a party may have been merged into another
COUNTED = ("parties", "subscriptions", "numbers", "links")
WRITTEN = {
    Household: ("id", "label", "batch"),
    Party: ("id", "kind", "name", "search_text", "language", "customer_no", "birth_date", "tags", "external_id", "created_at", "batch"),
    HouseholdMember: ("household_id", "party_id", "role"),
    Subscription: (
        "id", "number", "kind", "holder_id", "household_id", "line_number", "area", "address", "depends_on_id", "status", "batch",
    ),
    ContactPoint: ("id", "kind", "value", "raw", "created_at", "batch"),
    Link: (
        "id", "contact_point_id", "party_id", "subscription_id", "role", "exclusivity", "source", "state", "method", "verified_by",
        "valid_from", "batch",
    ),
}  # fmt: skip
NOW = object()  # stands in a row for the moment of the import, which the engine wants in its own form


class Ids:
    """Ids of version 7 (RFC 9562, section 6.2, method 1: a counter) that rise through a whole import, so that its rows lie together
    in every index."""

    def __init__(self, now: dt.datetime) -> None:
        self._head = uuid7(now)[:24]
        self._next = itertools.count(secrets.randbits(47))

    def __call__(self) -> str:
        return f"{self._head}{next(self._next):012x}"


@dataclass(frozen=True)
class Service:
    id: str
    holder: str
    joined: bool  # it is known what carries it


@dataclass(frozen=True)
class Waiting:
    """A service whose carrier has not come yet."""

    service: str
    carrier: str  # its number
    row: Customer


@dataclass
class Known:
    """What the rows of one piece name and the database has, and what the piece itself adds."""

    parties: dict[str, str]  # by external_id; of a merged one the party that it became
    customer_nos: dict[str, str | None]  # customer number -> external_id
    households: dict[str, str]  # by label
    members: set[tuple[str, str]]  # household, party
    services: dict[str, Service]  # by number
    points: dict[tuple[str, str], str]  # by kind and value
    links: set[tuple[str, str, str]]  # the open ones: contact point, party or subscription, role


@dataclass
class Planned:
    """What a piece will write, in the order of the tables of WRITTEN."""

    new: dict[type[Any], list[tuple[Any, ...]]] = field(default_factory=lambda: {table: [] for table in WRITTEN})
    joins: list[tuple[str, str]] = field(default_factory=list)  # service and carrier, both there already
    waiting: list[Waiting] = field(default_factory=list)
    came: list[str] = field(default_factory=list)  # carriers that earlier pieces waited for
    rejected: list[Rejected] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        return dict(
            zip(COUNTED, (len(self.new[each]) for each in (Party, Subscription, ContactPoint, Link)), strict=True)
        )


def plan(
    session: Session,
    rows: Sequence[Customer],
    ids: Callable[[], str],
    batch: int,
    *,
    waiting: Mapping[str, Sequence[Waiting]] = MappingProxyType({}),
    after: int = 0,
) -> Planned:
    """What `rows` add to what is there; only reads. `waiting`: services of earlier pieces by the number of the carrier they wait for.
    Rows up to line `after` are in already, and only asked what carries their services."""
    known = known_of(session.connection(), rows)
    planned = Planned()
    planner = _Planner(known, planned, ids, batch)
    for row in rows:
        if row.line <= after:
            planner.ask_again(row)
        elif clash := _clash(row, known):
            planned.rejected.append(row.rejected(clash))
        else:
            planner.add(row)
    planned.waiting = [each for each in planned.waiting if not planner.join(each)]
    planned.came = [number for number in known.services if number in waiting]
    for each in itertools.chain.from_iterable(waiting[number] for number in planned.came):
        planner.join(each)
    return planned


def write(session: Session, planned: Planned, now: dt.datetime) -> None:
    """Everything that was planned, at the moment `now`."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA cache_size = -{CACHE_KIB}")
    for table, rows in planned.new.items():
        if rows:
            _insert(connection, cast(Table, table.__table__), WRITTEN[table], rows, now)
    if planned.joins:
        parameters = [{"service": service, "carrier": carrier} for service, carrier in planned.joins]
        connection.execute(JOIN, parameters)


SERVICES = cast(Table, Subscription.__table__)
JOIN = (
    update(SERVICES)
    .where(SERVICES.c.id == bindparam("service"), SERVICES.c.depends_on_id.is_(None))
    .values(depends_on_id=bindparam("carrier"))
)


def _insert(
    connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[tuple[Any, ...]], now: dt.datetime
) -> None:
    """Many rows by one statement, as the driver takes them: what SQLAlchemy does to each row would cost more than writing it."""
    dialect = connection.dialect
    mark = "?" if dialect.paramstyle == "qmark" else "%s"
    statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"
    moments = [place for place, name in enumerate(columns) if name in ("created_at", "valid_from")]
    if moments:
        process = table.c[columns[moments[0]]].type.dialect_impl(dialect).bind_processor(dialect)
        moment = process(now) if process else now
        [place] = moments
        rows = [(*row[:place], moment, *row[place + 1 :]) for row in rows]
    connection.exec_driver_sql(statement, list(rows))


# --- what is there ----------------------------------------------------------------------------------------------------


def known_of(connection: Connection, rows: Iterable[Customer]) -> Known:
    """By an index each, and only for what the rows name."""

    def of(*columns: str) -> set[str]:
        return {value for row in rows for column in columns if (value := row.values.get(column))}

    parties, merged = {}, {}
    for id_, external_id, into in _found(connection, PEOPLE, Party.external_id, of("external_id")):
        parties[external_id] = id_
        if into:
            merged[id_] = into
    parties = {external_id: _became(connection, id_, merged) for external_id, id_ in parties.items()}
    households = {label: id_ for id_, label in _found(connection, HOMES, Household.label, of("household"))}
    points = _points(connection, rows)
    services = _found(connection, OF_NUMBER, Subscription.number, of("subscription_no", "depends_on"))
    return Known(
        parties=parties,
        customer_nos=dict(_found(connection, TAKEN, Party.customer_no, of("customer_no"))),
        households=households,
        members=set(_found(connection, MEMBERS, HouseholdMember.household_id, set(households.values())))
        if parties
        else set(),
        services={number: Service(id_, holder, bool(joined)) for id_, number, holder, joined in services},
        points=points,
        links={
            (point, party or service or "", role)
            for point, party, service, role in _found(
                connection, OPEN_LINKS, Link.contact_point_id, set(points.values())
            )
        },
    )


PEOPLE = select(Party.id, Party.external_id, Party.merged_into_id)
TAKEN = select(Party.customer_no, Party.external_id)
HOMES = select(Household.id, Household.label).order_by(Household.id.desc())  # of two with one label the first stays
MEMBERS = select(HouseholdMember.household_id, HouseholdMember.party_id)
OF_NUMBER = select(Subscription.id, Subscription.number, Subscription.holder_id, Subscription.depends_on_id)
POINTS = select(ContactPoint.kind, ContactPoint.value, ContactPoint.id)
OPEN_LINKS = select(Link.contact_point_id, Link.party_id, Link.subscription_id, Link.role).where(
    Link.valid_to.is_(None)
)


def _found(
    connection: Connection, query: Select[*tuple[Any, ...]], column: InstrumentedAttribute[Any], values: Collection[str]
) -> Iterator[Any]:
    """The rows of `query` whose `column` is one of `values`. Sorted, so that neighbours are read together."""
    ordered = sorted(values)
    for start in range(0, len(ordered), ASKED_MAX):
        yield from connection.execute(query.where(column.in_(ordered[start : start + ASKED_MAX])))


def _became(connection: Connection, party: str, merged: Mapping[str, str]) -> str:
    """The party itself, or the one that it was merged into at last."""
    into = merged.get(party)
    for _ in range(MERGED_MAX):
        if not into:
            break
        party = into
        into = connection.scalar(select(Party.merged_into_id).where(Party.id == party))
    return party


def _points(connection: Connection, rows: Iterable[Customer]) -> dict[tuple[str, str], str]:
    wanted: dict[str, set[str]] = {}
    for row in rows:
        for each in row.contacts:
            wanted.setdefault(each.kind, set()).add(each.value)
        if row.line_number:
            wanted.setdefault("phone", set()).add(row.line_number)
    return {
        (kind, value): id_
        for of_kind, values in wanted.items()
        for kind, value, id_ in _found(
            connection, POINTS.where(ContactPoint.kind == of_kind), ContactPoint.value, values
        )
    }


# --- what is new ------------------------------------------------------------------------------------------------------


def _clash(row: Customer, known: Known) -> str:
    """Why the row contradicts what is there; empty when it does not."""
    external_id, customer_no, number = row.get("external_id"), row.get("customer_no"), row.get("subscription_no")
    owner = known.customer_nos.get(customer_no, external_id) if customer_no else external_id
    if owner != external_id:
        return f"expected a customer_no of its own, got {customer_no!r} of the party {owner!r}"
    service = known.services.get(number)
    if service and service.holder != known.parties.get(external_id):
        return f"expected a subscription_no of its own, got {number!r} that another party holds"
    return ""


@dataclass(frozen=True)
class _Planner:
    """Adds rows to what is planned, and to what is known."""

    known: Known
    planned: Planned
    ids: Callable[[], str]
    batch: int

    def add(self, row: Customer) -> None:
        party = self.known.parties.get(row.values["external_id"]) or self._party(row)
        household = self._household(row, party) if row.get("household") else None
        for contact in row.contacts:
            self._link(contact, party, None)
        if row.get("subscription_no"):
            self._service(row, party, household)

    def join(self, each: Waiting) -> bool:
        """Say what carries a service, when the carrier is there by now."""
        carrier = self.known.services.get(each.carrier)
        if carrier:
            self.planned.joins.append((each.service, carrier.id))
        return carrier is not None

    def ask_again(self, row: Customer) -> None:
        service = self.known.services.get(row.get("subscription_no"))
        if service and not service.joined and service.holder == self.known.parties.get(row.get("external_id")):
            self.planned.waiting.append(Waiting(service.id, row.get("depends_on"), row))

    def _party(self, row: Customer) -> str:
        get, party = row.get, self.ids()
        external_id, customer_no = row.values["external_id"], get("customer_no") or None
        self.planned.new[Party].append((
            party, get("kind") or KINDS[0], row.values["name"], row.search_text, get("language") or "tr", customer_no,
            get("birth_date") or None, get("tags"), external_id, NOW, self.batch,
        ))  # fmt: skip
        self.known.parties[external_id] = party
        if customer_no:
            self.known.customer_nos[customer_no] = external_id
        return party

    def _household(self, row: Customer, party: str) -> str:
        """The household that the row names, made when it is new, with the party in it."""
        label = row.values["household"]
        household = self.known.households.get(label)
        if household is None:
            household = self.known.households[label] = self.ids()
            self.planned.new[Household].append((household, label, self.batch))
        if (household, party) not in self.known.members:
            self.known.members.add((household, party))
            self.planned.new[HouseholdMember].append((household, party, row.get("household_role") or "member"))
        return household

    def _service(self, row: Customer, party: str, household: str | None) -> None:
        get, number = row.get, row.values["subscription_no"]
        service = self.known.services.get(number)
        if service is None:
            carrier = self.known.services.get(get("depends_on"))
            service = self.known.services[number] = Service(self.ids(), party, carrier is not None)
            self.planned.new[Subscription].append((
                service.id, number, get("subscription_kind"), party, household, row.line_number, get("area"), get("address"),
                carrier.id if carrier else None, "active", self.batch,
            ))  # fmt: skip
        if get("depends_on") and not service.joined:
            self.planned.waiting.append(Waiting(service.id, get("depends_on"), row))
        if row.line_number:
            self._link(Contact("phone", row.line_number, get("line_number"), "line_number"), None, service.id)

    def _link(self, contact: Contact, party: str | None, service: str | None) -> None:
        point = self.known.points.get((contact.kind, contact.value))
        if point is None:
            point = self.known.points[contact.kind, contact.value] = self.ids()
            self.planned.new[ContactPoint].append(
                (point, contact.kind, contact.value, contact.raw[:VALUE_MAX], NOW, self.batch)
            )
        key = (point, party or service or "", contact.role)
        if key not in self.known.links:
            self.known.links.add(key)
            self.planned.new[Link].append((
                self.ids(), point, party, service, contact.role, "unknown", SOURCE, "unverified", "", "", NOW, self.batch,
            ))  # fmt: skip
