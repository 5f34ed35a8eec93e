"""People who call in tests: rows in the database, and the arrival that their number makes."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from cti import switchboard
from cti.line import Caller
from cti.records import contact_points, links, parties
from cti.records.parties import Subscription
from cti.switchboard import Arrival

MOBILE = "05325550123"
AREA = "Kadıköy-7"


def customer(session: Session, *kinds: str, now: dt.datetime) -> list[Subscription]:
    """Somebody with these services, known by his mobile; a landline is carried by the first service."""
    ayse = parties.add_party(session, name="Ayşe Yılmaz", now=now, source="import")
    point = contact_points.ensure(session, "phone", MOBILE, raw=MOBILE, region="TR", now=now)
    links.link(session, point, party=ayse.id, role="owner", source="import", by="test", now=now)
    held: list[Subscription] = []
    for at, kind in enumerate(kinds, 1):
        carrier = held[0] if kind == "landline" and held else None
        held.append(
            parties.add_subscription(
                session, number=f"30000{at}4{at}", kind=kind, holder=ayse, area=AREA, now=now, depends_on=carrier
            )
        )
    return held


def arrive(session: Session, raw: str, now: dt.datetime) -> Arrival:
    return switchboard.arrived(session, Caller("1795311706.4", "+908501234567", raw, ""), region="TR", now=now)
