"""The whole life of a number, or of any other contact point: whose it was and is, who said so and why, and what came from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cti.ledger import EventRow
from cti.records import contact_points, links, proposals
from cti.records.contact_points import Link
from cti.records.parties import Household, Party, Subscription
from cti.records.proposals import Proposal
from cti.records.timeline import Interaction

LINKS_MAX = 200  # the newest; a number with more of them belongs to nobody


@dataclass(frozen=True, kw_only=True)
class LinkLife:
    """One link, whether it still holds or not. Exactly one of party, household and subscription is set."""

    id: str
    party: str | None
    household: str | None
    subscription: str | None
    whom: str  # the party's name, the household's label or the subscription's number
    role: str
    exclusivity: str
    source: str
    state: str
    method: str
    verified_at: dt.datetime | None
    verified_by: str
    valid_from: dt.datetime
    valid_to: dt.datetime | None
    last_seen_at: dt.datetime | None


@dataclass(frozen=True)
class Happening:
    """An event of the ledger that names a link or a proposal of the number; `body` as docs/events.md tells it."""

    at: dt.datetime
    type: str
    body: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class NumberLife:
    """Of a value that nobody ever wrote or called from everything is empty, and `since` None."""

    kind: str
    value: str  # canonical
    raw: str  # as it was written the first time
    since: dt.datetime | None
    links: tuple[LinkLife, ...] = ()  # oldest first
    proposals: tuple[Proposal, ...] = ()  # oldest first
    interactions: int = 0  # on all channels
    nobodys: int = 0  # of these, without a party
    events: tuple[Happening, ...] = ()  # oldest first


def life(session: Session, kind: str, value: str) -> NumberLife:
    """Everything about the contact point with this canonical form. Each query goes by an index, however long the ledger is."""
    point = contact_points.find(session, kind, value)
    if point is None:
        return NumberLife(kind=kind, value=value, raw="", since=None)
    its_links = _links(session, point.id)
    proposed = proposals.of_contact_point(session, point.id)
    contacts = select(func.count(Interaction.id), func.count(Interaction.party_id))
    total, somebodys = session.execute(contacts.where(Interaction.contact_point_id == point.id)).one()
    keys = [key for each in its_links for key in links.keys(each.id)]
    keys += [key for each in proposed for key in proposals.keys(each.id)]
    return NumberLife(
        kind=kind, value=value, raw=point.raw, since=point.created_at, links=its_links, proposals=tuple(proposed),
        interactions=total, nobodys=total - somebodys, events=_events(session, keys),
    )  # fmt: skip


def _links(session: Session, contact_point: str) -> tuple[LinkLife, ...]:
    query = (
        select(Link, func.coalesce(Party.name, Household.label, Subscription.number))
        .outerjoin(Party, Party.id == Link.party_id)
        .outerjoin(Household, Household.id == Link.household_id)
        .outerjoin(Subscription, Subscription.id == Link.subscription_id)
        .where(Link.contact_point_id == contact_point)
        .order_by(Link.id.desc())
        .limit(LINKS_MAX)
    )
    return tuple(reversed([_link(row, whom) for row, whom in session.execute(query)]))


def _link(row: Link, whom: str) -> LinkLife:
    return LinkLife(
        id=row.id, party=row.party_id, household=row.household_id, subscription=row.subscription_id, whom=whom,
        role=row.role, exclusivity=row.exclusivity, source=row.source, state=row.state, method=row.method,
        verified_at=row.verified_at, verified_by=row.verified_by, valid_from=row.valid_from, valid_to=row.valid_to,
        last_seen_at=row.last_seen_at,
    )  # fmt: skip


def _events(session: Session, keys: Iterable[str]) -> tuple[Happening, ...]:
    rows = session.scalars(select(EventRow).where(EventRow.key.in_(list(keys))).order_by(EventRow.seq))
    return tuple(Happening(row.at, row.type, row.body) for row in rows)
