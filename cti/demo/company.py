"""Anadolu Telekom, an invented company: its queues, agents, customers and users, put into an empty database once.

Who the customers are is in people.py, what they wrote and said during the last year in history.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from cti import auth
from cti.demo import history
from cti.demo.people import IN_OUTAGE, Home, Person, homes
from cti.records import contact_points, links, outages, parties, standing
from cti.records.contact_points import ContactPoint
from cti.records.parties import Party, Subscription

NAME = "Anadolu Telekom"
DID = "+902125550100"
SOURCE = "import"
BY = "demo"
CUSTOMER_FOR = dt.timedelta(days=400)  # longer than the history
OUTAGE_BEGAN = dt.timedelta(minutes=40)
OUTAGE_ENDS = dt.timedelta(hours=2)


@dataclass(frozen=True)
class Agent:
    """Somebody with a phone and a seat. `phone` is also the name of the queue member; the user is `agent<phone>`."""

    phone: str
    name: str

    @property
    def user(self) -> str:
        return f"agent{self.phone}"


AGENTS = (
    Agent("1001", "Ayşe Demir"),
    Agent("1002", "Burak Öztürk"),
    Agent("1003", "Çiğdem Şahin"),
    Agent("1004", "Deniz Aydın"),
)
# Queue -> its members as (phone, penalty), in the order in which they ring. The first queue is the default one.
QUEUES: Mapping[str, tuple[tuple[str, int], ...]] = {
    "customer_care": (("1003", 0), ("1004", 0), ("1001", 1), ("1002", 1)),
    "technical": (("1001", 0), ("1002", 0), ("1003", 1), ("1004", 1)),
}
OTHERS: tuple[tuple[str, str, Literal["supervisor", "admin"]], ...] = (
    ("supervisor", "Selma Yıldız", "supervisor"),
    ("admin", "Sistem Yöneticisi", "admin"),
)


@dataclass(frozen=True, kw_only=True)
class DemoCaller:
    """A number to try with `santral demo call --from`, and what should happen."""

    number: str
    label: Mapping[str, str]  # language -> text
    expect: Mapping[str, str]


def demo_callers() -> tuple[DemoCaller, ...]:
    return tuple(
        DemoCaller(number=number, label={"tr": label_tr, "en": label_en}, expect={"tr": expect_tr, "en": expect_en})
        for number, label_tr, label_en, expect_tr, expect_en in (
            ("05325550123", "Mehmet Yılmaz, abone", "Mehmet Yılmaz, the subscriber",
             "Tanınır; 1,1 tuşlarıyla arıza kaydı açılır", "Recognised; keys 1,1 open a fault ticket"),
            ("05335550145", "Elif Yılmaz, eşi", "Elif Yılmaz, his wife",
             "Aynı abonelik bulunur", "The same subscription is found"),
            ("02125550101", "Evlerinin (arızalı) sabit hattı", "Their (dead) landline",
             "Aynı abonelik bulunur, kimin aradığı kesin değildir", "The same subscription; who calls is not sure"),
            ("05365550161", "Zeynep Kaya, kesinti bölgesinde", "Zeynep Kaya, in an area with an outage",
             "Ümraniye-1 kesintisi ve tahmini bitiş saati duyurulur", "Hears of the outage in Ümraniye-1 and its estimate"),
            ("02125550300", "Boğaz Örnek Lojistik, VIP kurum", "Boğaz Örnek Lojistik, a VIP organisation",
             "Kurum tanınır, iki aboneliği vardır", "The organisation is recognised, with two subscriptions"),
            ("02165550200", "Site ofisi: üç ayrı abonenin numarası", "A site office: the number of three customers",
             "Belirsiz: adaylar temsilciye gösterilir", "Ambiguous: the agent sees the candidates"),
            ("+493023125014", "Almanya'dan arayan abone", "A customer calling from Germany",
             "Yabancı numarayla tanınır", "Recognised by a foreign number"),
            ("05425559999", "Tanınmayan numara", "An unknown number",
             "Menüye girer, müşteri kaydı oluşmaz", "Goes through the menu; no customer is created"),
            ("anonymous", "Gizli numara", "A withheld number",
             "Kimseyle eşleştirilmez", "Is not matched to anyone"),
        )
    )  # fmt: skip


def load(session: Session, *, now: dt.datetime, password_hash: str) -> bool:
    """Put the whole company into the database, with a year of history before `now`. False: there are parties already, and
    nothing was written. `password_hash` (auth.hash_password, which is slow) is every demo user's."""
    if session.scalar(select(Party.id).limit(1)) is not None:
        return False
    standing.load(session)
    _add_users(session, password_hash, now)
    customers = [_add_home(session, home, now - CUSTOMER_FOR) for home in homes()]
    outages.open_outage(
        session, area=IN_OUTAGE.area, cause="Fiber kablo kopması", started_at=now - OUTAGE_BEGAN,
        estimate_at=now + OUTAGE_ENDS, now=now,
    )  # fmt: skip
    history.write(session, customers, now)
    return True


def set_password(session: Session, password_hash: str) -> bool:
    """Every demo user's password from now on. False: the demo users are not in this database."""
    names = [*(agent.user for agent in AGENTS), *(user for user, _, _ in OTHERS)]
    rows = list(session.scalars(select(auth.UserRow).where(auth.UserRow.name.in_(names))))
    for row in rows:
        row.password_hash = password_hash
    return len(rows) == len(names)


def _add_users(session: Session, password_hash: str, now: dt.datetime) -> None:
    there = set(session.scalars(select(auth.UserRow.name)))
    for agent in AGENTS:
        if agent.user not in there:
            auth.add_user(
                session, name=agent.user, display_name=agent.name, role="agent", agent=agent.phone,
                password_hash=password_hash, now=now,
            )  # fmt: skip
    for user, name, role in OTHERS:
        if user not in there:
            auth.add_user(session, name=user, display_name=name, role=role, password_hash=password_hash, now=now)


def _add_home(session: Session, home: Home, since: dt.datetime) -> history.Customer:
    """The people, their household, their lines, and the links from every number and address to whom it is of."""
    household = None if home.organisation else parties.add_household(session, label=home.label, now=since)
    members = []
    for place, person in enumerate(home.people):
        party = parties.add_party(
            session, name=person.name, now=since, source=SOURCE, kind="organisation" if home.organisation else "person",
            customer_no=f"M{home.number[4:]}" if place == 0 else None, birth_date=person.birth_date, tags=home.tags,
            language=person.language,
        )  # fmt: skip
        if household is not None:
            parties.add_member(session, household, party, person.role)
        members.append(_contacts(session, person, party, since))
    holder = session.get_one(Party, members[0].party)
    internet = parties.add_subscription(
        session, number=home.number, kind=home.kind, holder=holder, household=household, area=home.area,
        address=home.address, now=since,
    )  # fmt: skip
    line = _add_line(session, home, internet, holder, since) if home.line else None
    for number in home.shared:
        point = contact_points.ensure(session, "phone", number, now=since)
        _link(session, point, since, party=holder.id, role="user", exclusivity="shared")
    return history.Customer(
        home=home, members=tuple(members), subscription=internet.id, line=line.id if line is not None else None
    )


def _contacts(session: Session, person: Person, party: Party, since: dt.datetime) -> history.Member:
    """One person's own contact points, linked."""
    found: dict[str, str] = {}
    ways = {"phone": person.mobile, "email": person.email, "social": person.handle, "chat": person.chat}
    for kind, value in ways.items():
        if value:
            point = contact_points.ensure(session, kind, value, now=since)
            role = "user" if kind == "phone" and person.uses else "owner"
            _link(session, point, since, party=party.id, role=role, exclusivity="sole")
            found[kind] = point.id
    return history.Member(party=party.id, person=person, points=found)


def _add_line(session: Session, home: Home, internet: Subscription, holder: Party, since: dt.datetime) -> Subscription:
    """The landline, which is dead whenever the internet line that carries it is."""
    household = session.get(parties.Household, internet.household_id) if internet.household_id else None
    line = parties.add_subscription(
        session, number=f"TEL{home.number[3:]}", kind="landline", holder=holder, household=household, line_number=home.line,
        area=home.area, address=home.address, depends_on=internet, now=since,
    )  # fmt: skip
    point = contact_points.ensure(session, "phone", home.line, now=since)
    links.link(
        session, point, subscription=line.id, role="line_number", source=SOURCE, by=BY, now=since, exclusivity="shared"
    )
    return line


def _link(
    session: Session, point: ContactPoint, since: dt.datetime, *, party: str, role: str, exclusivity: str
) -> None:
    links.link(session, point, party=party, role=role, exclusivity=exclusivity, source=SOURCE, by=BY, now=since)
