"""A party as an agent sees it, on one card, and finding one by whatever somebody says: a name, a number, a customer number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from cti import numbers
from cti.records.contact_points import Contact, links_to, of_party
from cti.records.parties import Household, HouseholdMember, Party, Subscription, current, fold, subscriptions_of


@dataclass(frozen=True)
class Member:
    party: str
    name: str
    role: str


@dataclass(frozen=True)
class Service:
    id: str
    number: str
    kind: str
    line_number: str | None
    area: str
    status: str
    depends_on: str | None
    is_holder: bool  # the card's party, rather than somebody of his household


@dataclass(frozen=True)
class PartyCard:
    id: str
    kind: str
    name: str
    customer_no: str | None
    language: str
    tags: tuple[str, ...]
    household: str | None  # label of the first one by id; few people have two
    members: tuple[Member, ...] = ()  # of that household, without the card's party
    services: tuple[Service, ...] = ()
    contacts: tuple[Contact, ...] = ()


def card(session: Session, party_id: str) -> PartyCard:
    """Everything that stands on one party's card, or on the card of whom it was merged into; LookupError when there is no such party."""
    party_id = current(session, party_id)
    party = session.get(Party, party_id)
    if party is None:
        raise LookupError(f"expected the id of a party, got {party_id!r}")
    label, members = _household_of(session, party_id)
    return PartyCard(
        id=party.id,
        kind=party.kind,
        name=party.name,
        customer_no=party.customer_no,
        language=party.language,
        tags=tuple(party.tags.split()),
        household=label,
        members=members,
        services=tuple(_service(each, party_id) for each in subscriptions_of(session, party_id)),
        contacts=of_party(session, party_id),
    )


@dataclass(frozen=True)
class Badge:
    """What a pop says of each candidate."""

    customer_no: str
    household: str  # label of the first one by id
    tags: tuple[str, ...]


def badge(session: Session, party_id: str) -> Badge:
    """LookupError when there is no such party."""
    found = session.execute(BADGE, {"party": party_id}).first()
    if found is None:
        raise LookupError(f"expected the id of a party, got {party_id!r}")
    return Badge(found.customer_no or "", found.label or "", tuple(found.tags.split()))


# What every pop asks is made once: making it costs more than running it.
BADGE = (
    select(Party.customer_no, Party.tags, Household.label)
    .outerjoin(HouseholdMember, HouseholdMember.party_id == Party.id)
    .outerjoin(Household, Household.id == HouseholdMember.household_id)
    .where(Party.id == bindparam("party"))
    .order_by(Household.id)
    .limit(1)
)
SERVICES = (
    select(Subscription).where(Subscription.id.in_(bindparam("ids", expanding=True))).order_by(Subscription.number)
)


def services(session: Session, ids: Sequence[str]) -> tuple[Service, ...]:
    """These subscriptions, in the order of their numbers."""
    rows = session.scalars(SERVICES, {"ids": list(ids)})
    return tuple(_service(row, row.holder_id) for row in rows)


def _household_of(session: Session, party_id: str) -> tuple[str | None, tuple[Member, ...]]:
    mine = select(HouseholdMember.household_id).where(HouseholdMember.party_id == party_id)
    household = session.scalar(select(Household).where(Household.id.in_(mine)).order_by(Household.id).limit(1))
    if household is None:
        return None, ()
    query = (
        select(Party.id, Party.name, HouseholdMember.role)
        .join(HouseholdMember, HouseholdMember.party_id == Party.id)
        .where(HouseholdMember.household_id == household.id, Party.id != party_id)
        .order_by(Party.name, Party.id)
    )
    return household.label, tuple(Member(*row) for row in session.execute(query))


def _service(row: Subscription, party_id: str) -> Service:
    return Service(
        row.id,
        row.number,
        row.kind,
        row.line_number,
        row.area,
        row.status,
        row.depends_on_id,
        row.holder_id == party_id,
    )


# --- finding one ---


def search(session: Session, text: str, limit: int = 20, *, region: str = "TR") -> list[Party]:
    """Parties by customer, subscription or telephone number (exact), then by the beginnings of all words of a name. What was merged is
    found by its old name and number, as the party that was kept."""
    found = [*_by_number(session, text.strip(), region, limit)]
    words = fold(text).split()
    if words:
        haystack = " " + Party.search_text
        named = select(Party.id).where(*(haystack.contains(" " + word, autoescape=True) for word in words))
        ids = session.scalars(
            named.order_by(Party.id).limit(limit)
        ).all()  # the index alone tells, and many are found soon
        found += session.scalars(select(Party).where(Party.id.in_(ids)).order_by(Party.search_text, Party.id))
    return _kept(session, found)[:limit]


def _kept(session: Session, parties: Iterable[Party]) -> list[Party]:
    """Each of them once, and for a merged one whom it was merged into."""
    ids = dict.fromkeys(current(session, each.id) if each.merged_into_id else each.id for each in parties)
    return [party for each in ids if (party := session.get(Party, each)) is not None]


def _by_number(session: Session, text: str, region: str, limit: int) -> Sequence[Party]:
    e164 = numbers.parse(text, region).e164
    links = links_to(session, e164) if e164 else []
    lines = [each.subscription_id for each in links]
    held = or_(Subscription.number == text, Subscription.id.in_(lines))
    at_home = HouseholdMember.household_id.in_(each.household_id for each in links)
    ways = (
        Party.customer_no == text,
        Party.id.in_([each.party_id for each in links]),
        Party.id.in_(select(Subscription.holder_id).where(held)),
        Party.id.in_(select(HouseholdMember.party_id).where(at_home)),
    )
    return session.scalars(select(Party).where(or_(*ways)).order_by(Party.search_text, Party.id).limit(limit)).all()
