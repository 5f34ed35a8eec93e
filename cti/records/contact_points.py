"""Ways to reach somebody, and the links that say whose they are. A number is not a person: only a link joins the two."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ForeignKey, String, UniqueConstraint, bindparam, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti import numbers
from cti.db import Base
from cti.identity import Evidence, Identification, LinkFact, Person, decide
from cti.ledger import uuid7
from cti.numbers import Kind, Number
from cti.prepared import Prepared
from cti.records.evidence import evidence
from cti.records.parties import where_known
from cti.records.reach import Reach, Service, fact, reached

VALUE_MAX = 200
KIND = re.compile(r"[a-z][a-z_]{0,15}")
EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")
# How much a state is worth: a link is only replaced by one that is worth more, and a disputed one only by proof.
STATES = ("proposed", "unverified", "disputed", "verified")


class ContactPoint(Base):
    """One phone number, e-mail address, handle ... in its canonical form, once; what people wrote is kept in `raw`."""

    __tablename__ = "contact_points"
    __table_args__ = (UniqueConstraint("kind", "value"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # phone | email | social | chat | postal
    value: Mapped[str] = mapped_column(String(200))  # phone: E.164; email: lower case; others: as given, trimmed
    raw: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[dt.datetime]
    batch: Mapped[int | None]  # imports.id that brought it


class Link(Base):
    """A contact point belongs to a party, a household or a subscription: in which role, says who, proven how, and for how long. A
    link is a row that ends (`valid_to`), never a row that is deleted."""

    __tablename__ = "links"
    __table_args__ = (where_known("links", "household_id"), where_known("links", "subscription_id"))

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    contact_point_id: Mapped[str] = mapped_column(ForeignKey("contact_points.id"), index=True)
    party_id: Mapped[str | None] = mapped_column(ForeignKey("parties.id"), index=True)
    household_id: Mapped[str | None] = mapped_column(ForeignKey("households.id"))
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))
    role: Mapped[str] = mapped_column(String(16))  # owner | user | line_number | work | neighbour | former
    exclusivity: Mapped[str] = mapped_column(String(8), default="unknown")  # sole | shared | unknown
    source: Mapped[str] = mapped_column(String(32))  # import | agent | ivr | api | intake
    state: Mapped[str] = mapped_column(String(16), default="unverified")  # proposed | unverified | verified | disputed
    method: Mapped[str] = mapped_column(String(32), default="")
    verified_at: Mapped[dt.datetime | None]
    verified_by: Mapped[str] = mapped_column(String(64), default="")
    valid_from: Mapped[dt.datetime]
    valid_to: Mapped[dt.datetime | None]
    last_seen_at: Mapped[dt.datetime | None]
    batch: Mapped[int | None]


@dataclass(frozen=True)
class Contact:
    """A contact point as a party's card shows it, with the link that says whose it is."""

    kind: str
    value: str
    role: str
    state: str
    link: str


class Leading(NamedTuple):
    """A row of `links`, as far as it says who may be meant."""

    id: str
    party_id: str | None
    household_id: str | None
    subscription_id: str | None
    role: str
    exclusivity: str
    source: str
    state: str
    method: str
    verified_at: dt.datetime | None
    valid_from: dt.datetime
    valid_to: dt.datetime | None
    last_seen_at: dt.datetime | None


TO_POINT = (ContactPoint.kind == bindparam("kind"), ContactPoint.value == bindparam("value"))
POINT = select(ContactPoint).where(*TO_POINT)
LINKS_TO = select(Link).join(ContactPoint, ContactPoint.id == Link.contact_point_id).where(*TO_POINT).order_by(Link.id)
LINKS_MAX = 500  # of one contact point that are looked at, the oldest; a number with more was made up for a list, and is nobody's
LEADING = Prepared(
    LINKS_TO.with_only_columns(*(getattr(Link, each) for each in Leading._fields)).limit(LINKS_MAX), Leading
)

# --- writing ----------------------------------------------------------------------------------------------------------


def canonical(kind: str, value: str, region: str = "TR") -> str:
    """The one form under which `value` is stored and looked up; ValueError says what was expected."""
    if not KIND.fullmatch(kind):
        raise ValueError(f"expected a kind of contact point such as phone or email, got {kind!r}")
    value = value.replace("\0", "").strip()
    if kind == "phone":
        number = numbers.parse(value, region)
        if number.e164 is None:
            why = numbers.explain(number) or f"got a number that is {number.kind}"
            raise ValueError(f"expected a telephone number of {region} or with its country code, {why}: {number.raw!r}")
        return number.e164
    if not value or len(value) > VALUE_MAX:
        raise ValueError(f"expected 1 to {VALUE_MAX} characters for {kind}, got {len(value)}")
    if kind == "email" and not EMAIL.fullmatch(value):
        raise ValueError(f"expected an e-mail address such as name@example.com, got {value!r}")
    return value.lower() if kind == "email" else value


def ensure(
    session: Session, kind: str, value: str, *, now: dt.datetime, raw: str = "", region: str = "TR"
) -> ContactPoint:
    """The contact point of `value`, made when it is new; ValueError when `value` cannot be one of its kind."""
    return ensure_form(session, kind, canonical(kind, value, region), raw=raw or value, now=now)


def ensure_form(session: Session, kind: str, form: str, *, raw: str, now: dt.datetime) -> ContactPoint:
    """The same for a value that is in its canonical form already."""
    found = find(session, kind, form)
    if found is not None:
        return found
    new = ContactPoint(id=uuid7(now), kind=kind, value=form, raw=raw[:VALUE_MAX], created_at=now)
    try:
        with session.begin_nested():
            session.add(new)
    except IntegrityError:  # another node made it in between
        return session.scalars(POINT, {"kind": kind, "value": form}).one()
    return new


def find(session: Session, kind: str, form: str) -> ContactPoint | None:
    """The contact point with this canonical form."""
    return session.scalars(POINT, {"kind": kind, "value": form}).first()


# --- reading ----------------------------------------------------------------------------------------------------------


def identify(session: Session, number: Number, now: dt.datetime, given: Evidence | None = None) -> Identification:
    """Who may be calling from `number`. At most five queries, each by an index; none for a number that cannot match. `given`: what is
    known besides the tables, such as what the trunk said and what the caller proved."""
    given = Evidence(now=now) if given is None else given
    if number.kind is not Kind.E164 or number.e164 is None:
        return decide(number, (), given)
    links = links_of(session, number.e164, now=now)
    return decide(number, links, evidence(session, number.e164, links, given) if links else given)


def links_of(session: Session, value: str, kind: str = "phone", *, now: dt.datetime) -> list[LinkFact]:
    """What the contact point with the canonical form `value` leads to now, oldest link first; four queries at most."""
    all_ = LEADING.rows(session, kind=kind, value=value)
    links = [each for each in all_ if each.valid_to is None or now < each.valid_to]
    if not links:
        return []
    reach = reached(
        session,
        parties={each.party_id for each in links if each.party_id},
        households={each.household_id for each in links if each.household_id},
        lines={each.subscription_id for each in links if each.subscription_id},
    )
    return [
        _fact(each, value, reach)
        for each in links
        if not each.subscription_id or each.subscription_id in reach.subscriptions
    ]


def links_to(session: Session, value: str, kind: str = "phone") -> Sequence[Link]:
    """All links of a canonical form, also those that ended, oldest first."""
    return session.scalars(LINKS_TO, {"kind": kind, "value": value}).all()


def of_party(session: Session, party_id: str) -> tuple[Contact, ...]:
    """The contact points that are `party_id`'s own now."""
    query = select(ContactPoint, Link).join(Link, Link.contact_point_id == ContactPoint.id)
    query = query.where(Link.party_id == party_id, Link.valid_to.is_(None)).order_by(ContactPoint.kind, Link.id)
    return tuple(Contact(point.kind, point.value, row.role, row.state, row.id) for point, row in session.execute(query))


def _fact(link: Leading, value: str, reach: Reach) -> LinkFact:
    subscriptions = [fact(each) for each in _subscriptions(link, reach)]
    holders = {each.holder for each in subscriptions}
    household = _household(link, reach)
    return LinkFact(
        link=link.id,
        value=value,
        party=link.party_id,
        party_name=reach.names.get(link.party_id or "", ""),
        household=household,
        household_label=reach.labels.get(household or "", ""),
        line=link.subscription_id,
        people=tuple(Person(each, reach.names[each], each in holders) for each in _people(link, household, reach)),
        subscriptions=tuple(subscriptions),
        role=link.role,
        exclusivity=link.exclusivity,
        source=link.source,
        state=link.state,
        method=link.method,
        verified_at=link.verified_at,
        valid_from=link.valid_from,
        valid_to=link.valid_to,
        last_seen_at=link.last_seen_at,
    )


def _household(link: Leading, reach: Reach) -> str | None:
    """The household that the link names, or the only one that its line or party belongs to."""
    if link.subscription_id:
        return reach.subscriptions[link.subscription_id].household_id
    homes = reach.homes.get(link.party_id or "", [])
    return link.household_id or (homes[0] if len(homes) == 1 else None)


def _people(link: Leading, household: str | None, reach: Reach) -> list[str]:
    """The party, or a line's holder, or nobody; and for lines and households everybody at home."""
    if link.party_id:
        return [link.party_id]
    holder = [reach.subscriptions[link.subscription_id].holder_id] if link.subscription_id else []
    return list(dict.fromkeys(holder + reach.members.get(household or "", [])))


def _subscriptions(link: Leading, reach: Reach) -> list[Service]:
    """Of a line: all that hangs on the same carrier. Of a household or a party: all that is theirs."""
    known = reach.subscriptions.values()
    if link.subscription_id:
        carrier = reach.carrier(reach.subscriptions[link.subscription_id])
        return [each for each in known if reach.carrier(each) == carrier]
    homes = {link.household_id} if link.household_id else {*reach.homes.get(link.party_id or "", [])}
    return [each for each in known if each.household_id in homes or (link.party_id and each.holder_id == link.party_id)]
