"""A very small company: one household with a landline over DSL, two people who share a number, and the shipped rows."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from cti.records import contact_points, links, parties, standing

HIS, LANDLINE, SHARED = "+905325550123", "+902125550101", "+905339990000"


@dataclass(frozen=True)
class Company:
    ali: str
    ayse: str
    household: str
    dsl: str
    landline: str
    strangers: tuple[str, str]  # who share a number and nothing else
    his_point: str


def load(session: Session, now: dt.datetime) -> Company:
    standing.load(session)
    ali = parties.add_party(session, name="Ali Yılmaz", customer_no="1000123", now=now, source="test")
    ayse = parties.add_party(session, name="Ayşe Yılmaz", now=now, source="test")
    home = parties.add_household(session, label="Yılmaz", now=now)
    parties.add_member(session, home, ali, "holder")
    parties.add_member(session, home, ayse, "spouse")
    at_home: dict[str, Any] = {"holder": ali, "household": home, "area": "Kadıköy-3", "now": now}
    dsl = parties.add_subscription(session, number="8001", kind="dsl", **at_home)
    phone = parties.add_subscription(
        session, number="8002", kind="landline", line_number=LANDLINE, depends_on=dsl, **at_home
    )
    his = _link(session, HIS, now, party=ali.id, role="owner", state="verified", method="key")
    _link(session, LANDLINE, now, subscription=phone.id, role="line_number")
    strangers = (_stranger(session, "Can Öz", "user", now), _stranger(session, "Deniz Işık", "work", now))
    return Company(ali.id, ayse.id, home.id, dsl.id, phone.id, strangers, his)


def _stranger(session: Session, name: str, role: str, now: dt.datetime) -> str:
    party = parties.add_party(session, name=name, now=now, source="test")
    parties.add_subscription(session, number=f"9-{name}", kind="dsl", holder=party, now=now)
    _link(session, SHARED, now, party=party.id, role=role)
    return party.id


def _link(session: Session, number: str, now: dt.datetime, **whose: Any) -> str:
    """Returns the contact point's id."""
    point = contact_points.ensure(session, "phone", number, now=now)
    links.link(session, point, source="test", by="test", now=now, **whose)
    return point.id
