"""Parties as duplicates.score compares them, and which of them to compare: those that meet on a contact point, a name or a home."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from cti.duplicates import PROPOSE_AT, Profile, Score, score
from cti.identity import MATCHING_STATES
from cti.names import fold
from cti.records.contact_points import ContactPoint, Link
from cti.records.parties import HouseholdMember, Party, Subscription, current

PAGE = 5000  # parties in one read
MET_MAX = 200  # parties that are looked at for one; a number with more belongs to a company or a switchboard
NAMED_AT_ONCE = 5000  # namesakes whose birth dates are looked at together
USED_BY_MORE_THAN = 2  # parties: then a contact point tells nobody apart
OWN_ROLES = ("owner", "user", "work")

Contacts = defaultdict[str, set[tuple[str, str]]]  # by party


@dataclass(frozen=True)
class Candidate:
    party: str
    score: Score


def candidates_for(session: Session, party_id: str, *, limit: int = 10) -> list[Candidate]:
    """Who may be the same as `party_id`, the likeliest first, from PROPOSE_AT on."""
    party_id = current(session, party_id)
    met = list(dict.fromkeys(_met(session, party_id)))[:MET_MAX]
    known = profiles(session, [party_id, *met])
    if party_id not in known:
        raise LookupError(f"expected the id of a party, got {party_id!r}")
    scored = [Candidate(each, score(known[party_id], known[each])) for each in met if each in known]
    likely = [each for each in scored if each.score.value >= PROPOSE_AT]
    return sorted(likely, key=lambda each: (-each.score.value, each.party))[:limit]


def learned_after(session: Session, mark: str, *, limit: int) -> list[tuple[str, str]]:
    """What was learned since `mark` that may show that we know a party already, each with its own mark, the oldest first: the party is
    new, or has a new contact point. Marks are ids, which begin with their time. What an import brought is compared in bulk
    (cti/dedup.py)."""
    made = select(Party.id.label("mark"), Party.id.label("party")).where(
        Party.id > mark, Party.batch.is_(None), Party.merged_into_id.is_(None)
    )
    linked = select(Link.id, Link.party_id).where(
        Link.id > mark, Link.batch.is_(None), Link.party_id.is_not(None), _counts()
    )
    query = made.union_all(linked).order_by("mark").limit(limit)
    return [(row.mark, row.party) for row in session.execute(query)]


def profiles(session: Session, ids: Collection[str]) -> dict[str, Profile]:
    """Of those that stand for themselves; what was merged into another party is no party to be compared."""
    query = select(Party).where(Party.id.in_(ids), Party.merged_into_id.is_(None))
    contacts, shared = _contacts(session, ids)
    homes, addresses = _homes(session, ids), _addresses(session, ids)
    return {
        row.id: Profile(
            id=row.id, name=row.name, kind=row.kind, birth_date=row.birth_date, customer_no=row.customer_no,
            external_id=row.external_id, contacts=frozenset(contacts[row.id]), shared=frozenset(shared[row.id]),
            households=frozenset(homes[row.id]), addresses=frozenset(addresses[row.id]),
        )
        for row in session.scalars(query)
    }  # fmt: skip


def page(session: Session, after: str, size: int = PAGE) -> list[Profile]:
    """The next profiles in order of their ids; empty at the end."""
    query = select(Party.id).where(Party.id > after, Party.merged_into_id.is_(None)).order_by(Party.id).limit(size)
    return sorted(profiles(session, session.scalars(query).all()).values(), key=lambda each: each.id)


# --- who meets --------------------------------------------------------------------------------------------------------


def _met(session: Session, party_id: str) -> Iterator[str]:
    points = select(Link.contact_point_id).where(Link.party_id == party_id, _counts())
    homes = select(HouseholdMember.household_id).where(HouseholdMember.party_id == party_id)
    for query in (
        select(Link.party_id).where(Link.contact_point_id.in_(points), Link.party_id != party_id, _counts()),
        select(HouseholdMember.party_id).where(
            HouseholdMember.household_id.in_(homes), HouseholdMember.party_id != party_id
        ),
    ):
        yield from filter(None, session.scalars(query.limit(MET_MAX)))
    yield from _namesakes(session, party_id)


def _namesakes(session: Session, party_id: str) -> Iterator[str]:
    """The same folded name and no other birth date. The name begins the search text, of which an index is looked through."""
    own = session.get(Party, party_id)
    name = fold(own.name) if own is not None else ""
    if own is None or not name:
        return
    begins = (Party.search_text == name) | Party.search_text.startswith(f"{name} ", autoescape=True)
    after, found = "", 0
    while found < MET_MAX:
        page = (
            select(Party.id)
            .where(begins, Party.id > after, Party.id != party_id)
            .order_by(Party.id)
            .limit(NAMED_AT_ONCE)
        )
        ids = session.scalars(page).all()
        query = select(Party.id, Party.name).where(Party.id.in_(ids)).order_by(Party.id)
        if own.birth_date:
            query = query.where((Party.birth_date == own.birth_date) | Party.birth_date.is_(None))
        for each, written in session.execute(query):
            if fold(written) == name:
                found += 1
                yield each
        if len(ids) < NAMED_AT_ONCE:
            return
        after = ids[-1]


def _counts() -> ColumnElement[bool]:
    """Links that say whose a contact point is now."""
    return Link.valid_to.is_(None) & Link.state.in_(MATCHING_STATES) & Link.role.in_(OWN_ROLES)


# --- what they have ---------------------------------------------------------------------------------------------------


def _contacts(session: Session, ids: Collection[str]) -> tuple[Contacts, Contacts]:
    """By party: the contact points, and those of them that are known to be several people's."""
    query = (
        select(Link.party_id, ContactPoint.id, ContactPoint.kind, ContactPoint.value, Link.exclusivity)
        .join(ContactPoint, ContactPoint.id == Link.contact_point_id)
        .where(Link.party_id.in_(ids), _counts())
    )
    rows = session.execute(query).all()
    crowded = _crowded(session, {row.id for row in rows})
    lines = _lines(session, ids)  # a line's number is everybody's at home
    several = [(row.party_id, row.kind, row.value) for row in rows if row.exclusivity == "shared" or row.id in crowded]
    every = [(row.party_id, row.kind, row.value) for row in rows]
    return _by_party([*every, *lines]), _by_party([*several, *lines])


def _by_party(contacts: Iterable[tuple[Any, str, str]]) -> Contacts:
    return _grouped((party, (kind, value)) for party, kind, value in contacts)


def _lines(session: Session, ids: Collection[str]) -> list[tuple[str, str, str]]:
    query = select(Subscription.holder_id, Subscription.line_number).where(
        Subscription.holder_id.in_(ids), Subscription.line_number.is_not(None)
    )
    return [(holder, "phone", number or "") for holder, number in session.execute(query)]


def _crowded(session: Session, points: Iterable[str]) -> set[str]:
    """Contact points that a household, a line or more than two parties use."""
    query = (
        select(Link.contact_point_id)
        .where(Link.contact_point_id.in_(points), Link.valid_to.is_(None), Link.state.in_(MATCHING_STATES))
        .group_by(Link.contact_point_id)
        .having(
            (func.count(Link.party_id.distinct()) > USED_BY_MORE_THAN)
            | (func.count(Link.household_id) + func.count(Link.subscription_id) > 0)
        )
    )
    return set(session.scalars(query))


def _homes(session: Session, ids: Collection[str]) -> defaultdict[str, set[str]]:
    query = select(HouseholdMember.party_id, HouseholdMember.household_id).where(HouseholdMember.party_id.in_(ids))
    return _grouped(session.execute(query))


def _addresses(session: Session, ids: Collection[str]) -> defaultdict[str, set[str]]:
    query = select(Subscription.holder_id, Subscription.address).where(
        Subscription.holder_id.in_(ids), Subscription.address != ""
    )
    return _grouped((holder, fold(address)) for holder, address in session.execute(query))


def _grouped(pairs: Iterable[Any]) -> defaultdict[str, set[Any]]:
    groups: defaultdict[str, set[Any]] = defaultdict(set)
    for key, value in pairs:
        groups[key].add(value)
    return groups
