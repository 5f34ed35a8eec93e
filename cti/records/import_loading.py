"""A piece of a file: what is there already is looked up, and what is new is decided on. import_writing writes it."""

from __future__ import annotations

import datetime as dt
import itertools
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from cti.ledger import uuid7
from cti.records import links
from cti.records.contact_points import VALUE_MAX, Link
from cti.records.import_columns import KINDS, Contact, Customer, Rejected
from cti.records.import_waiting import Waiting
from cti.records.import_writing import HOMES, WRITTEN, New, found, points
from cti.records.parties import Household, HouseholdMember, Party, Subscription

MERGED_MAX = 20  # times that a party may have been merged into another
COUNTED = {"parties": "parties", "subscriptions": "subscriptions", "numbers": "contact_points", "links": "links"}


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


@dataclass
class Known:
    """What the rows of one piece name and the database has, and what the piece itself adds."""

    parties: dict[str, str] = field(default_factory=dict)  # by external_id; of a merged one the party that it became
    customer_nos: dict[str, str | None] = field(default_factory=dict)  # customer number -> external_id
    households: dict[str, str] = field(default_factory=dict)  # by label
    members: set[tuple[str, str]] = field(default_factory=set)  # household, party
    services: dict[str, Service] = field(default_factory=dict)  # by number
    points: dict[tuple[str, str], str] = field(default_factory=dict)  # by kind and value
    links: set[tuple[str, str, str]] = field(
        default_factory=set
    )  # the open ones: contact point, party or subscription, role
    disowned: set[tuple[str, str]] = field(
        default_factory=set
    )  # contact point, party or subscription: not to be linked again

    def has_any(self) -> bool:
        """Contact points apart, which may well be shared."""
        return bool(self.parties or self.customer_nos or self.households or self.services)


@dataclass
class Planned:
    """What a piece will write: rows by table, in the order of import_writing.WRITTEN."""

    new: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: {table: [] for table in WRITTEN})
    joined: list[tuple[Waiting, str]] = field(
        default_factory=list
    )  # with the carrier's id; the service is there already
    waiting: list[Waiting] = field(default_factory=list)
    came: list[str] = field(default_factory=list)  # carriers that earlier pieces waited for
    rejected: list[Rejected] = field(default_factory=list)
    met: bool = False  # the database had a party, service or household of it
    disowned: int = 0  # links that are not made, because somebody disowned them

    def counts(self) -> dict[str, int]:
        return counted(self.new) | {"disowned": self.disowned}

    def joins(self) -> list[tuple[str, str]]:
        """Service and carrier."""
        return [(each.service, carrier) for each, carrier in self.joined]


def counted(new: New) -> dict[str, int]:
    """How many rows of each kind, as a Report names them."""
    return {name: len(new[table]) for name, table in COUNTED.items()}


def plan(
    session: Session,
    rows: Sequence[Customer],
    ids: Callable[[], str],
    *,
    waiting: Mapping[str, Sequence[Waiting]] = MappingProxyType({}),
    after: int = 0,
) -> Planned:
    """What `rows` add to what is there; only reads. `waiting`: services of earlier pieces by the number of the carrier they wait for.
    Rows up to line `after` are in already, and only asked what carries their services."""
    known = known_of(session.connection(), rows)
    known.disowned = links.disowned(session, _would_link(known, [row for row in rows if row.line > after]))
    met = known.has_any()
    planned = planned_beside(known, rows, ids, waiting=waiting, after=after)
    planned.met = met
    _refuse_circles(session.connection(), planned)
    return planned


def planned_beside(
    known: Known,
    rows: Iterable[Customer],
    ids: Callable[[], str],
    *,
    waiting: Mapping[str, Sequence[Waiting]] = MappingProxyType({}),
    after: int = 0,
) -> Planned:
    """What `rows` add to what is `known`, which learns of it; pure."""
    planned = Planned()
    planner = _Planner(known, planned, ids)
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


# --- what is there ----------------------------------------------------------------------------------------------------


def known_of(connection: Connection, rows: Iterable[Customer]) -> Known:
    """By an index each, and only for what the rows name."""

    def of(*columns: str) -> set[str]:
        return {value for row in rows for column in columns if (value := row.values.get(column))}

    parties, merged = {}, {}
    for id_, external_id, into in found(connection, PEOPLE, Party.external_id, of("external_id")):
        parties[external_id] = id_
        if into:
            merged[id_] = into
    parties = {external_id: _became(connection, id_, merged) for external_id, id_ in parties.items()}
    households = {label: id_ for id_, label in found(connection, HOMES, Household.label, of("household"))}
    reached = points(connection, _reached(rows))
    services = found(connection, OF_NUMBER, Subscription.number, of("subscription_no", "depends_on"))
    return Known(
        parties=parties,
        customer_nos=dict(found(connection, TAKEN, Party.customer_no, of("customer_no"))),
        households=households,
        members=set(found(connection, MEMBERS, HouseholdMember.household_id, set(households.values())))
        if parties
        else set(),
        services={number: Service(id_, holder, bool(joined)) for id_, number, holder, joined in services},
        points=reached,
        links={
            (point, party or service or "", role)
            for point, party, service, role in found(
                connection, OPEN_LINKS, Link.contact_point_id, set(reached.values())
            )
        },
    )


PEOPLE = select(Party.id, Party.external_id, Party.merged_into_id)
TAKEN = select(Party.customer_no, Party.external_id)
MEMBERS = select(HouseholdMember.household_id, HouseholdMember.party_id)
OF_NUMBER = select(Subscription.id, Subscription.number, Subscription.holder_id, Subscription.depends_on_id)
OPEN_LINKS = select(Link.contact_point_id, Link.party_id, Link.subscription_id, Link.role).where(
    Link.valid_to.is_(None)
)


def _became(connection: Connection, party: str, merged: Mapping[str, str]) -> str:
    """The party itself, or the one that it was merged into at last."""
    into = merged.get(party)
    for _ in range(MERGED_MAX):
        if not into:
            break
        party = into
        into = connection.scalar(select(Party.merged_into_id).where(Party.id == party))
    return party


def _reached(rows: Iterable[Customer]) -> set[tuple[str, str]]:
    """Kind and value of every contact point that the rows name."""
    named = {(each.kind, each.value) for row in rows for each in row.contacts}
    return named | {("phone", row.line_number) for row in rows if row.line_number}


def _would_link(known: Known, rows: Iterable[Customer]) -> set[tuple[str, str]]:
    """Contact points with parties and services, which are there and that the rows would link: somebody may have said no."""
    pairs = set()
    for row in rows:
        party, service = known.parties.get(row.get("external_id")), known.services.get(row.get("subscription_no"))
        whose = [(each.kind, each.value, each.role, party) for each in row.contacts]
        if row.line_number and service:
            whose.append(("phone", row.line_number, "line_number", service.id))
        for kind, value, role, target in whose:
            point = known.points.get((kind, value))
            if point and target and (point, target, role) not in known.links:
                pairs.add((point, target))
    return pairs


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
            self.planned.joined.append((each, carrier.id))
        return carrier is not None

    def ask_again(self, row: Customer) -> None:
        service = self.known.services.get(row.get("subscription_no"))
        if service and not service.joined and service.holder == self.known.parties.get(row.get("external_id")):
            self.planned.waiting.append(_waiting(service, row))

    def _party(self, row: Customer) -> str:
        get, party = row.get, self.ids()
        external_id, customer_no = row.values["external_id"], get("customer_no") or None
        self.planned.new["parties"].append((
            party, get("kind") or KINDS[0], row.values["name"], row.search_text, get("language") or "tr", customer_no,
            get("birth_date") or None, get("tags"), external_id,
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
            self.planned.new["households"].append((household, label))
        if (household, party) not in self.known.members:
            self.known.members.add((household, party))
            self.planned.new["household_members"].append((household, party, row.get("household_role") or "member"))
        return household

    def _service(self, row: Customer, party: str, household: str | None) -> None:
        get, number = row.get, row.values["subscription_no"]
        service = self.known.services.get(number)
        if service is None:
            carrier = self.known.services.get(get("depends_on"))
            service = self.known.services[number] = Service(self.ids(), party, carrier is not None)
            self.planned.new["subscriptions"].append((
                service.id, number, get("subscription_kind"), party, household, row.line_number, get("area"), get("address"),
                carrier.id if carrier else None,
            ))  # fmt: skip
        if get("depends_on") and not service.joined:
            self.planned.waiting.append(_waiting(service, row))
        if row.line_number:
            self._link(Contact("phone", row.line_number, get("line_number"), "line_number"), None, service.id)

    def _link(self, contact: Contact, party: str | None, service: str | None) -> None:
        point = self.known.points.get((contact.kind, contact.value))
        if point is None:
            point = self.known.points[contact.kind, contact.value] = self.ids()
            self.planned.new["contact_points"].append((point, contact.kind, contact.value, contact.raw[:VALUE_MAX]))
        key = (point, party or service or "", contact.role)
        if key in self.known.links:
            return
        self.known.links.add(key)
        if key[:2] in self.known.disowned:
            self.planned.disowned += 1
        else:
            self.planned.new["links"].append((self.ids(), point, party, service, contact.role))


def _waiting(service: Service, row: Customer) -> Waiting:
    return Waiting(service.id, row.get("depends_on"), row.line, row.original or row.values)


# --- circles ----------------------------------------------------------------------------------------------------------

CARRIED = select(Subscription.id, Subscription.depends_on_id).where(Subscription.depends_on_id.is_not(None))


def _refuse_circles(connection: Connection, planned: Planned) -> None:
    """A service whose carrier hangs on the service itself goes on waiting. Only what waited can close a circle."""
    if not planned.joined:
        return
    carriers = _carriers(connection, planned)
    kept = []
    for each, carrier in planned.joined:
        if _hangs_on(each.service, carrier, carriers):
            planned.waiting.append(replace(each, circle=True))
        else:
            carriers.setdefault(each.service, carrier)
            kept.append((each, carrier))
    planned.joined = kept


def _carriers(connection: Connection, planned: Planned) -> dict[str, str]:
    """What carries the carriers of the piece, and what carries those, and so on; by id."""
    new = {id_: carrier for id_, *_, carrier in planned.new["subscriptions"] if carrier}
    carriers, asked = dict(new), set[str]()
    wanted = {carrier for _, carrier in planned.joined} | set(new.values())
    while wanted:
        found_ones = dict(found(connection, CARRIED, Subscription.id, wanted))
        carriers.update(found_ones)
        asked |= wanted
        wanted = set(found_ones.values()) - asked
    return carriers


def _hangs_on(service: str, carrier: str, carriers: Mapping[str, str]) -> bool:
    seen: set[str] = set()
    at: str | None = carrier
    while at is not None and at not in seen:
        if at == service:
            return True
        seen.add(at)
        at = carriers.get(at)
    return False
