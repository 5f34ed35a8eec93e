"""What links lead to: the people at home and the services that some parties, households and lines have between them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam, literal, select, union_all
from sqlalchemy.orm import Session

from cti.identity import SubscriptionFact
from cti.prepared import Prepared
from cti.records.parties import SUBSCRIPTIONS_MAX, Household, HouseholdMember, Party, Subscription


class Service(NamedTuple):
    """A row of `subscriptions`, as far as it says who may be meant."""

    id: str
    number: str
    kind: str
    holder_id: str
    household_id: str | None
    line_number: str | None
    area: str
    depends_on_id: str | None


@dataclass(frozen=True)
class Reach:
    """The people and services behind some parties, households and lines. `names` holds everybody who is met on the way."""

    names: dict[str, str]  # party id -> name
    labels: dict[str, str]  # household id -> label
    members: dict[str, list[str]]  # household id -> party ids, in order of their ids
    homes: dict[str, list[str]]  # party id -> household ids
    subscriptions: dict[str, Service]  # not ended; carriers before what they carry

    def carrier(self, subscription: Service) -> str:
        """The id of the service at the bottom of `subscription`'s dependencies, as far as they are known here."""
        met = {subscription.id}
        while (below := self.subscriptions.get(subscription.depends_on_id or "")) and below.id not in met:
            subscription = below
            met.add(below.id)
        return subscription.id


NOBODY = "-"  # whose id this is, and the area of no place
SERVICE = select(*(getattr(Subscription, each) for each in Service._fields)).where(Subscription.status != "ended")
NAMED = Prepared(SERVICE.where(Subscription.id.in_(bindparam("ids", expanding=True))), Service)
# As one list: PostgreSQL would read all households for an OR of two.
THEIR_HOMES = union_all(
    select(HouseholdMember.household_id).where(HouseholdMember.party_id.in_(bindparam("parties", expanding=True))),
    select(Household.id).where(Household.id.in_(bindparam("homes", expanding=True))),
)
AT_HOME = Prepared(
    select(Household.id, Household.label, Party.id, Party.name)
    .outerjoin(HouseholdMember, HouseholdMember.household_id == Household.id)
    .outerjoin(Party, Party.id == HouseholdMember.party_id)
    .where(Household.id.in_(THEIR_HOMES))
    .union_all(
        select(literal(""), literal(""), Party.id, Party.name).where(Party.id.in_(bindparam("holders", expanding=True)))
    ),
    lambda household, label, party, name: (household, label, party, name),
)
SERVICES = Prepared(
    SERVICE.where(
        Subscription.holder_id.in_(bindparam("holders", expanding=True))
        | Subscription.household_id.in_(bindparam("homes", expanding=True))
    )
    .order_by(Subscription.number)
    .limit(SUBSCRIPTIONS_MAX),
    Service,
)


def reached(
    session: Session, *, parties: Collection[str], households: Collection[str], lines: Collection[str]
) -> Reach:
    """Three queries at most, each by an index."""
    named = NAMED.rows(session, ids=list(lines)) if lines else []
    holders = {*parties, *(each.holder_id for each in named)}
    known = {*households, *(each.household_id for each in named if each.household_id)}
    labels: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for home, label, party, name in AT_HOME.rows(
        session, homes=some(known), parties=some(parties), holders=some(holders)
    ):
        if home:
            labels[home] = label
            members.setdefault(home, [])
        if party:
            names[party] = name
        if home and party:
            members[home].append(party)
    members = {home: sorted(all_) for home, all_ in sorted(members.items())}
    homes = {party: [home for home, all_ in members.items() if party in all_] for party in parties}
    return Reach(names, labels, members, homes, _services(session, named, holders, labels))


def _services(
    session: Session, named: Iterable[Service], holders: Collection[str], home_ids: Collection[str]
) -> dict[str, Service]:
    theirs = SERVICES.rows(session, holders=some(holders), homes=some(home_ids))
    found = {each.id: each for each in [*named, *theirs]}
    ordered = sorted(found.values(), key=lambda each: (each.depends_on_id is not None, each.number))
    return {each.id: each for each in ordered}


def some(ids: Collection[str]) -> list[str]:
    """For an IN, which must not be empty."""
    return list(ids) or [NOBODY]


def fact(subscription: Service) -> SubscriptionFact:
    """The row as the value that identity works with."""
    return SubscriptionFact(
        id=subscription.id, number=subscription.number, kind=subscription.kind, area=subscription.area,
        holder=subscription.holder_id, line_number=subscription.line_number, depends_on=subscription.depends_on_id,
    )  # fmt: skip
