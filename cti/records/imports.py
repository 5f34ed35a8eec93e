"""`santral import customers FILE.csv`: people, households, services and numbers from a file, as often as one likes.

The first line names the columns, in any order; `external_id` and `name` must be there, the others may be missing:

    external_id, name, kind (person | organisation), customer_no, birth_date (1980-12-31), language, tags,
    household (a text that only this household has), household_role (holder | spouse | child | parent | member),
    subscription_no, subscription_kind (dsl | fibre | landline | mobile), line_number, area, address, depends_on (a subscription_no),
    phones, emails, social (items separated by |; a phone may name its role: `owner:0532 555 01 23|user:+905335550145`)

Rows with the same external_id are the same party (one row for each of his subscriptions), rows with the same household text the same
household. What is there already stays as it is, so importing a file twice adds nothing. A row with a mistake is left out as a whole
and written to FILE.rejected.csv with its line and reason; corrected rows are imported by importing that file.
"""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from cti.db import Database
from cti.identity import ROLE_WEIGHT
from cti.records import parties
from cti.records.contact_points import ContactPoint, Link, canonical, ensure, link
from cti.records.parties import Household, Party, Subscription

PIECE_ROWS = 50  # they hold SQLite's one writer, for which calls wait too, for about a third of a second
FIELD_MAX = 4000  # characters; csv's own limit is 131,072
SOURCE = "import"
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
KINDS = ("person", "organisation")
SUBSCRIPTION_KINDS = ("dsl", "fibre", "landline", "mobile")


class BadFile(ValueError):
    """The file as a whole cannot be read: no header, or columns that we do not know."""


@dataclass(frozen=True)
class Contact:
    kind: str
    value: str  # canonical
    raw: str
    role: str


@dataclass(frozen=True)
class Customer:
    """One good row: `values` are trimmed, `contacts` and `line_number` canonical."""

    line: int
    values: Mapping[str, str]
    contacts: tuple[Contact, ...]
    line_number: str | None

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")


@dataclass(frozen=True)
class Rejected:
    line: int
    reason: str
    row: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """What was new in a file, and what was left out of it."""

    parties: int = 0
    subscriptions: int = 0
    numbers: int = 0  # contact points of every kind
    links: int = 0
    rejected: tuple[Rejected, ...] = ()

    def __add__(self, other: Report) -> Report:
        return Report(
            self.parties + other.parties,
            self.subscriptions + other.subscriptions,
            self.numbers + other.numbers,
            self.links + other.links,
            self.rejected + other.rejected,
        )


async def import_customers(
    db: Database, path: Path, *, region: str, now: dt.datetime, say: Callable[[str], None]
) -> Report:
    """Import `path` in pieces of PIECE_ROWS rows, each durable by itself. BadFile when it is no file of customers, OSError when it
    cannot be read. `say` hears of the progress after each piece."""
    rows = await asyncio.to_thread(_opened, path, region)
    report, later = Report(), dict[str, Customer]()
    while piece := await asyncio.to_thread(lambda: list(itertools.islice(rows, PIECE_ROWS))):
        report += await db.work(load, piece, later, now)
        say(f"line {piece[-1].line}: {report.parties} parties, {report.links} links, {len(report.rejected)} rejected")
    report += await db.work(join_carriers, later)
    if report.rejected:
        target = path.with_name(path.name + ".rejected.csv")
        await asyncio.to_thread(write_rejected, target, report.rejected)
        say(f"{len(report.rejected)} rows were left out, see {target}")
    return report


# --- from text to rows (pure but for the file) ------------------------------------------------------------------------


def _opened(path: Path, region: str) -> Iterator[Customer | Rejected]:
    """The rows of a file, read as they are asked for. The header is checked at once."""
    rows = parse(_lines(path, _encoding(path)), region)
    first = next(rows, None)
    return iter(()) if first is None else itertools.chain([first], rows)


def _encoding(path: Path) -> str:
    """UTF-8 when the whole file is, else the code page of a Turkish Windows, in which a spreadsheet saves."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "cp1254"
    return "utf-8-sig"


def _lines(path: Path, encoding: str) -> Iterator[str]:
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        yield from file


def parse(lines: Iterable[str], region: str) -> Iterator[Customer | Rejected]:
    """Rows of the text, one by one; BadFile before the first when the header is not one of ours."""
    lines = iter(lines)
    header = next(lines, "")
    reader = csv.reader(
        itertools.chain([header], lines), delimiter=";" if header.count(";") > header.count(",") else ","
    )
    columns = [name.strip().lower() for name in next(reader, [])]
    _check_header(columns)
    try:
        for cells in reader:
            row = {name: cell.replace("\0", "").strip() for name, cell in zip(columns, cells, strict=False)}
            row = {name: cell for name, cell in row.items() if name not in ADDED}
            if any(row.values()):
                yield _read(row, cells, columns, reader.line_num, region)
    except csv.Error as error:  # a quotation mark that nobody closes swallows the rest of the file
        raise BadFile(f"expected rows of comma separated values, line {reader.line_num}: {error}") from error


def _check_header(columns: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    unknown = [name for name in columns if name not in COLUMNS + ADDED]
    if missing or unknown or len(set(columns)) != len(columns):
        raise BadFile(
            f"expected a first line with the columns {', '.join(COLUMNS)}; missing: {', '.join(missing) or '-'}, "
            f"not known: {', '.join(unknown) or '-'}, came: {', '.join(columns)[:FIELD_MAX]}"
        )


def _read(row: dict[str, str], cells: list[str], columns: list[str], line: int, region: str) -> Customer | Rejected:
    try:
        if len(cells) != len(columns):
            raise ValueError(f"expected {len(columns)} columns, got {len(cells)}")
        _check(row)
        contacts = tuple(_contacts(row, region))
        number = canonical("phone", row["line_number"], region) if row.get("line_number") else None
    except ValueError as error:
        return Rejected(line, str(error), row)
    return Customer(line, row, contacts, number)


def _check(row: Mapping[str, str]) -> None:
    """ValueError says what is wrong with the row's own values."""
    for name in REQUIRED:
        if not row[name]:
            raise ValueError(f"expected a value for {name}")
    for name, length_max in LENGTHS.items():
        if len(row.get(name, "")) > length_max:
            raise ValueError(f"expected at most {length_max} characters for {name}, got {len(row[name])}")
    _one_of("kind", row.get("kind") or KINDS[0], KINDS)
    if row.get("subscription_no"):
        _one_of("subscription_kind", row.get("subscription_kind", ""), SUBSCRIPTION_KINDS)
    elif row.get("line_number") or row.get("depends_on"):
        raise ValueError("expected a subscription_no with line_number and depends_on")
    if row.get("depends_on") and row["depends_on"] == row["subscription_no"]:
        raise ValueError(f"expected depends_on to name another subscription than {row['depends_on']!r} itself")
    if row.get("birth_date"):
        dt.date.fromisoformat(row["birth_date"])


def _one_of(name: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise ValueError(f"expected one of {', '.join(allowed)} for {name}, got {value!r}")


def _contacts(row: Mapping[str, str], region: str) -> Iterator[Contact]:
    for column, kind in (("phones", "phone"), ("emails", "email"), ("social", "social")):
        for item in filter(None, map(str.strip, row.get(column, "").split("|"))):
            role, colon, value = item.partition(":")
            if kind != "phone" or not colon or role.strip().lower() in {"tel", "sip", "sips"}:
                role, value = "owner", item
            _one_of("the role of a phone", role.strip(), ROLE_WEIGHT)
            yield Contact(kind, canonical(kind, value, region), value.strip(), role.strip())


def write_rejected(path: Path, rejected: Iterable[Rejected]) -> None:
    """The rows that were left out, with line and reason, in a form that can be corrected and imported."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, [*ADDED, *COLUMNS], restval="")
        writer.writeheader()
        writer.writerows({"line": each.line, "reason": each.reason, **each.row} for each in rejected)


# --- from rows to records ---------------------------------------------------------------------------------------------


@dataclass
class _Known:
    """What the rows of one piece name and the database has, and what the piece itself adds."""

    parties: dict[str, Party]  # by external_id
    customer_nos: dict[str, str | None]  # customer number -> external_id
    households: dict[str, Household]  # by label
    subscriptions: dict[str, Subscription]  # by number
    points: dict[tuple[str, str], ContactPoint]  # by kind and value
    links: set[tuple[str, str, str]]  # the open ones: contact point, party or subscription, role
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("parties", "subscriptions", "numbers", "links"), 0)
    )


def load(
    session: Session, piece: Iterable[Customer | Rejected], later: dict[str, Customer], now: dt.datetime
) -> Report:
    """One piece of work: the good rows into the tables. `later` gets the rows whose carrier (depends_on) has not come yet."""
    rejected = [row for row in piece if isinstance(row, Rejected)]
    rows = [row for row in piece if isinstance(row, Customer)]
    known = _known(session, rows)
    for row in rows:
        clash = _clash(row, known)
        if clash:
            rejected.append(Rejected(row.line, clash, row.values))
        else:
            _load_row(session, row, known, later, now)
    return Report(**known.counts, rejected=tuple(sorted(rejected, key=lambda each: each.line)))


def join_carriers(session: Session, later: Mapping[str, Customer]) -> Report:
    """Say of the services in `later` what carries them, now that every row has been seen."""
    rejected = []
    for number, row in later.items():
        carrier = session.scalar(select(Subscription).where(Subscription.number == row["depends_on"]))
        subscription = session.scalar(select(Subscription).where(Subscription.number == number))
        if carrier is None or subscription is None:
            reason = f"imported, but depends_on names no subscription: {row['depends_on']!r}"
            rejected.append(Rejected(row.line, reason, row.values))
        else:
            subscription.depends_on_id = carrier.id
    return Report(rejected=tuple(rejected))


def _known(session: Session, rows: Iterable[Customer]) -> _Known:
    def of(column: str) -> set[str]:
        return {row[column] for row in rows if row[column]}

    people = session.scalars(select(Party).where(Party.external_id.in_(of("external_id")))).all()
    taken = select(Party.customer_no, Party.external_id).where(Party.customer_no.in_(of("customer_no")))
    homes = session.scalars(select(Household).where(Household.label.in_(of("household"))).order_by(Household.id.desc()))
    services = select(Subscription).where(Subscription.number.in_(of("subscription_no") | of("depends_on")))
    points = _points(session, rows)
    links = select(Link).where(Link.contact_point_id.in_(each.id for each in points.values()), Link.valid_to.is_(None))
    return _Known(
        points=points,
        links={
            (each.contact_point_id, each.party_id or each.subscription_id or "", each.role)
            for each in session.scalars(links)
        },
        parties={each.external_id: each for each in people if each.external_id},
        customer_nos={number: owner for number, owner in session.execute(taken) if number},
        households={each.label: each for each in homes},
        subscriptions={each.number: each for each in session.scalars(services)},
    )


def _points(session: Session, rows: Iterable[Customer]) -> dict[tuple[str, str], ContactPoint]:
    wanted = {(each.kind, each.value) for row in rows for each in row.contacts}
    wanted |= {("phone", row.line_number) for row in rows if row.line_number}
    values = select(ContactPoint).where(ContactPoint.value.in_({value for _, value in wanted}))
    kinds = ContactPoint.kind.in_({kind for kind, _ in wanted})
    return {(each.kind, each.value): each for each in session.scalars(values.where(kinds))}


def _clash(row: Customer, known: _Known) -> str:
    """Why the row contradicts what is there; empty when it does not."""
    owner = known.customer_nos.get(row["customer_no"], row["external_id"])
    if owner != row["external_id"]:
        return f"expected a customer_no of its own, got {row['customer_no']!r} of the party {owner!r}"
    service, party = known.subscriptions.get(row["subscription_no"]), known.parties.get(row["external_id"])
    if service and (party is None or service.holder_id != party.id):
        return f"expected a subscription_no of its own, got {row['subscription_no']!r} that another party holds"
    return ""


def _load_row(session: Session, row: Customer, known: _Known, later: dict[str, Customer], now: dt.datetime) -> None:
    party = _party(session, row, known, now)
    household = _household(session, row, known, now)
    if household:
        parties.add_member(session, household, party, row["household_role"] or "member")
    for contact in row.contacts:
        _link(session, contact, known, now, party=party.id)
    if row["subscription_no"]:
        service = _subscription(session, row, known, party, household, now)
        if row["depends_on"] and service.depends_on_id is None:
            later[service.number] = row
        if row.line_number:
            contact = Contact("phone", row.line_number, row["line_number"], "line_number")
            _link(session, contact, known, now, subscription=service.id)


def _party(session: Session, row: Customer, known: _Known, now: dt.datetime) -> Party:
    there = known.parties.get(row["external_id"])
    if there:
        return there
    party = parties.add_party(
        session, name=row["name"], now=now, source=SOURCE, kind=row["kind"] or KINDS[0], customer_no=row["customer_no"] or None,
        birth_date=row["birth_date"] or None, tags=row["tags"], language=row["language"] or "tr", external_id=row["external_id"],
    )  # fmt: skip
    known.parties[row["external_id"]] = party
    if row["customer_no"]:
        known.customer_nos[row["customer_no"]] = row["external_id"]
    known.counts["parties"] += 1
    return party


def _household(session: Session, row: Customer, known: _Known, now: dt.datetime) -> Household | None:
    label = row["household"]
    if label and label not in known.households:
        known.households[label] = parties.add_household(session, label=label, now=now)
    return known.households.get(label)


def _subscription(
    session: Session, row: Customer, known: _Known, holder: Party, household: Household | None, now: dt.datetime
) -> Subscription:
    there = known.subscriptions.get(row["subscription_no"])
    if there:
        return there
    service = parties.add_subscription(
        session, number=row["subscription_no"], kind=row["subscription_kind"], holder=holder, household=household, now=now,
        line_number=row.line_number, area=row["area"], address=row["address"],
        depends_on=known.subscriptions.get(row["depends_on"]),
    )  # fmt: skip
    known.subscriptions[service.number] = service
    known.counts["subscriptions"] += 1
    return service


def _link(
    session: Session,
    contact: Contact,
    known: _Known,
    now: dt.datetime,
    *,
    party: str | None = None,
    subscription: str | None = None,
) -> None:
    point = known.points.get((contact.kind, contact.value))
    if point is None:
        point = ensure(session, contact.kind, contact.value, raw=contact.raw, now=now)
        known.points[contact.kind, contact.value] = point
        known.counts["numbers"] += 1
    key = (point.id, party or subscription or "", contact.role)
    if key not in known.links:
        link(
            session, point, party=party, subscription=subscription, role=contact.role, source=SOURCE, by=SOURCE, now=now
        )
        known.links.add(key)
        known.counts["links"] += 1
