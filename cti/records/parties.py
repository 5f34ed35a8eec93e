"""Who we know: parties (people and organisations), households, and the subscriptions they hold. Names follow TM Forum TMF632."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, Index, String, or_, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti import numbers
from cti.db import Base
from cti.events import PartyAdded
from cti.ledger import append, uuid7
from cti.names import fold as fold

SUBSCRIPTIONS_MAX = 500  # of one customer that are looked at; more belong to a company whose calls agents sort out
MERGED_MAX = 1000  # parties in one chain of merges; more is a circle that nobody should have been able to make


def where_known(table: str, column: str) -> Index:
    """An index over the rows that have a value in `column`, when few do: the others cost nothing, and an `=` or `IN` finds it."""
    known = text(f"{column} IS NOT NULL")
    return Index(f"ix_{table}_{column}", column, sqlite_where=known, postgresql_where=known)


class Party(Base):
    """A person or an organisation. Being a party does not make somebody a customer; a subscription does."""

    __tablename__ = "parties"
    # A word may stand anywhere in a name, so all of them are looked through: in an index that holds nothing else, and that grows at its
    # end, for one sorted by names costs an import a page of the disk for each row.
    __table_args__ = (where_known("parties", "merged_into_id"), Index("ix_parties_names", "id", "search_text"))

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), default="person")  # person | organisation
    name: Mapped[str] = mapped_column(String(200))
    search_text: Mapped[str] = mapped_column(String(400), default="")  # folded: ı,I,İ -> i, marks stripped
    language: Mapped[str] = mapped_column(String(8), default="tr")
    customer_no: Mapped[str | None] = mapped_column(String(32), unique=True)
    birth_date: Mapped[str | None] = mapped_column(String(10))
    tags: Mapped[str] = mapped_column(String(200), default="")  # words separated by spaces: vip ...
    external_id: Mapped[str | None] = mapped_column(String(100), unique=True)
    created_at: Mapped[dt.datetime]
    merged_into_id: Mapped[str | None] = mapped_column(String(36))  # see records/merges.py
    pin_hash: Mapped[str | None] = mapped_column(String(200))  # of the secret that he may key, see records/proofs.py
    batch: Mapped[int | None]  # imports.id that brought it


class Household(Base):
    """People who share a home, and so its lines."""

    __tablename__ = "households"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    label: Mapped[str] = mapped_column(String(200), index=True)
    batch: Mapped[int | None]


class HouseholdMember(Base):
    __tablename__ = "household_members"

    household_id: Mapped[str] = mapped_column(ForeignKey("households.id"), primary_key=True)
    party_id: Mapped[str] = mapped_column(ForeignKey("parties.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(32), default="member")  # member | holder | spouse | child | parent


class Subscription(Base):
    """A service that somebody pays for. `depends_on_id` names the service whose line carries this one: a landline over DSL is dead
    when the DSL is."""

    __tablename__ = "subscriptions"
    # For who keys the last four digits of his line: see lines.ending_with.
    __table_args__ = (
        Index("ix_subscriptions_last_four", text("substr(line_number, length(line_number) - 3)")),
        where_known("subscriptions", "depends_on_id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    number: Mapped[str] = mapped_column(String(32), unique=True)  # the subscription number on the bill
    kind: Mapped[str] = mapped_column(String(16))  # dsl | fibre | landline | mobile
    holder_id: Mapped[str] = mapped_column(ForeignKey("parties.id"), index=True)
    household_id: Mapped[str | None] = mapped_column(ForeignKey("households.id"), index=True)
    line_number: Mapped[str | None] = mapped_column(String(20), index=True)  # E.164
    area: Mapped[str] = mapped_column(String(100), default="", index=True)  # the exchange area that outages name
    address: Mapped[str] = mapped_column(String(300), default="")
    depends_on_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))
    status: Mapped[str] = mapped_column(String(16), default="active")  # active | suspended | ended
    batch: Mapped[int | None]


# --- writing ----------------------------------------------------------------------------------------------------------


def add_party(
    session: Session,
    *,
    name: str,
    now: dt.datetime,
    source: str,
    kind: str = "person",
    customer_no: str | None = None,
    birth_date: str | None = None,
    tags: str = "",
    language: str = "tr",
    external_id: str | None = None,
) -> Party:
    """A new person or organisation. `birth_date` is ISO 8601; ValueError when the name is empty or the date is none."""
    if not name.strip():
        raise ValueError("expected a name, got only spaces")
    if birth_date is not None:
        dt.date.fromisoformat(birth_date)
    party = Party(
        id=uuid7(now), kind=kind, name=name.strip(), search_text=fold(f"{name} {customer_no or ''}")[:400], tags=tags,
        language=language, customer_no=customer_no, birth_date=birth_date, external_id=external_id, created_at=now,
    )  # fmt: skip
    session.add(party)
    session.flush()
    append(session, PartyAdded(party=party.id, source=source), now=now)
    return party


def add_household(session: Session, *, label: str, now: dt.datetime) -> Household:
    household = Household(id=uuid7(now), label=label)
    session.add(household)
    session.flush()
    return household


def add_member(session: Session, household: Household, party: Party, role: str = "member") -> HouseholdMember:
    """Put `party` into `household`; somebody who is in it already stays there in his old role."""
    member = session.get(HouseholdMember, (household.id, party.id))
    if member is None:
        member = HouseholdMember(household_id=household.id, party_id=party.id, role=role)
        session.add(member)
        session.flush()
    return member


def add_subscription(
    session: Session,
    *,
    number: str,
    kind: str,
    holder: Party,
    now: dt.datetime,
    household: Household | None = None,
    line_number: str | None = None,
    area: str = "",
    address: str = "",
    depends_on: Subscription | None = None,
    status: str = "active",
) -> Subscription:
    """A new service. `line_number` is E.164, and is recognised only once it is linked too (links.link, line_number)."""
    if line_number is not None and not numbers.E164.fullmatch(line_number):
        raise ValueError(f"expected a line number as E.164, got {line_number!r}")
    subscription = Subscription(
        id=uuid7(now), number=number, kind=kind, holder_id=holder.id, household_id=household.id if household else None,
        line_number=line_number, area=area, address=address, depends_on_id=depends_on.id if depends_on else None,
        status=status,
    )  # fmt: skip
    session.add(subscription)
    session.flush()
    return subscription


# --- finding ----------------------------------------------------------------------------------------------------------


def current(session: Session, party_id: str) -> str:
    """Who stands for `party_id` today: itself, or whom it was merged into (see records/merges.py). Whoever writes down a party asks
    this first. An unknown id comes back as it is."""
    for _ in range(MERGED_MAX):
        into = session.scalar(select(Party.merged_into_id).where(Party.id == party_id))
        if into is None:
            return party_id
        party_id = into
    raise ValueError(f"expected at most {MERGED_MAX} merges one after another, {party_id!r} goes on")


def subscriptions_of(session: Session, party_id: str) -> list[Subscription]:
    """What `party_id` may call about: his own and his households' services, not the ended ones; carriers before what they carry."""
    homes = select(HouseholdMember.household_id).where(HouseholdMember.party_id == party_id)
    mine = or_(Subscription.holder_id == party_id, Subscription.household_id.in_(homes))
    query = select(Subscription).where(mine, Subscription.status != "ended").limit(SUBSCRIPTIONS_MAX)
    return sorted(session.scalars(query), key=lambda each: (each.depends_on_id is not None, each.number))
