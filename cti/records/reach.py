"""What links lead to: the people at home and the services that some parties, households and lines have between them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import BindParameter, bindparam, select
from sqlalchemy.orm import Session

from cti.identity import SubscriptionFact
from cti.records.parties import SUBSCRIPTIONS_MAX, Household, HouseholdMember, Party, Subscription


@dataclass(frozen=True)
class Reach:
    """The people and services behind some parties, households and lines. `names` holds everybody who is met on the way."""

    names: dict[str, str]  # party id -> name
    labels: dict[str, str]  # household id -> label
    members: dict[str, list[str]]  # household id -> party ids, in order of their ids
    homes: dict[str, list[str]]  # party id -> household ids
    subscriptions: dict[str, Subscription]  # not ended; carriers before what they carry

    def carrier(self, subscription: Subscription) -> str:
        """The id of the service at the bottom of `subscription`'s dependencies, as far as they are known here."""
        met = {subscription.id}
        while (below := self.subscriptions.get(subscription.depends_on_id or "")) and below.id not in met:
            subscription = below
            met.add(below.id)
        return subscription.id


# Asked for every call, so they are made once: making one costs more than running it.
IDS: BindParameter[Any] = bindparam("ids", expanding=True)
NAMED = select(Subscription).where(Subscription.id.in_(IDS), Subscription.status != "ended")
NAMES = select(Party.id, Party.name).where(Party.id.in_(IDS))
HOMES = (
    select(HouseholdMember.party_id, HouseholdMember.household_id)
    .where(HouseholdMember.party_id.in_(IDS))
    .order_by(HouseholdMember.household_id)
)
AT_HOME = (
    select(Household.id, Household.label, Party.id, Party.name)
    .outerjoin(HouseholdMember, HouseholdMember.household_id == Household.id)
    .outerjoin(Party, Party.id == HouseholdMember.party_id)
    .where(Household.id.in_(IDS))
    .order_by(Household.id, Party.id)
)
SERVICES = (
    select(Subscription)
    .where(
        Subscription.holder_id.in_(bindparam("holders", expanding=True))
        | Subscription.household_id.in_(bindparam("homes", expanding=True)),
        Subscription.status != "ended",
    )
    .order_by(Subscription.number)
    .limit(SUBSCRIPTIONS_MAX)
)


def reached(
    session: Session, *, parties: Collection[str], households: Collection[str], lines: Collection[str]
) -> Reach:
    """Five queries at most, each by an index; one that could find nothing is not asked."""
    named = _named(session, lines)
    holders = {*parties, *(each.holder_id for each in named)}
    homes = _homes(session, parties)
    home_ids = {
        *households,
        *(each.household_id for each in named if each.household_id),
        *chain(*homes.values()),
    }
    labels, members, names = _at_home(session, home_ids)
    if elsewhere := holders - names.keys():
        names |= dict(session.execute(NAMES, {"ids": list(elsewhere)}).all())
    return Reach(names, labels, members, homes, _services(session, named, holders, home_ids))


def _named(session: Session, lines: Collection[str]) -> Sequence[Subscription]:
    if not lines:
        return ()
    return session.scalars(NAMED, {"ids": list(lines)}).all()


def _homes(session: Session, parties: Collection[str]) -> dict[str, list[str]]:
    """The households of each of `parties`."""
    homes: dict[str, list[str]] = {}
    if parties:
        for party, household in session.execute(HOMES, {"ids": list(parties)}):
            homes.setdefault(party, []).append(household)
    return homes


def _at_home(
    session: Session, home_ids: Collection[str]
) -> tuple[dict[str, str], dict[str, list[str]], dict[str, str]]:
    """Labels and members of households, and the members' names."""
    if not home_ids:
        return {}, {}, {}
    labels: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for household, label, party, name in session.execute(AT_HOME, {"ids": list(home_ids)}):
        labels[household] = label
        if party:
            members.setdefault(household, []).append(party)
            names[party] = name
    return labels, members, names


def _services(
    session: Session, named: Iterable[Subscription], holders: Collection[str], home_ids: Collection[str]
) -> dict[str, Subscription]:
    theirs = session.scalars(SERVICES, {"holders": list(holders), "homes": list(home_ids)})
    found = {each.id: each for each in [*named, *theirs]}
    ordered = sorted(found.values(), key=lambda each: (each.depends_on_id is not None, each.number))
    return {each.id: each for each in ordered}


def fact(subscription: Subscription) -> SubscriptionFact:
    """The row as the value that identity works with."""
    return SubscriptionFact(
        id=subscription.id, number=subscription.number, kind=subscription.kind, area=subscription.area,
        holder=subscription.holder_id, line_number=subscription.line_number, depends_on=subscription.depends_on_id,
    )  # fmt: skip
