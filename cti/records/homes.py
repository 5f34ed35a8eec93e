"""Who belongs together: the people and the household to whom a link leads, and whether a number is somebody else's."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import select
from sqlalchemy.orm import Session

from cti.identity import matches
from cti.records import contact_points
from cti.records.contact_points import ContactPoint
from cti.records.parties import HouseholdMember, Subscription

HOMES = select(HouseholdMember.household_id).distinct()
MEMBERS = select(HouseholdMember.party_id)


def around(
    session: Session, party: str | None, household: str | None, subscription: str | None
) -> tuple[set[str], str | None]:
    """The people to whom a link to one of the three leads, and the household: the one that it names, or the only one that its party
    or line has. Of somebody with two homes it leads to himself alone."""
    line = session.get(Subscription, subscription) if subscription else None
    people = {each for each in (party, line.holder_id if line else None) if each}
    home = household or (line.household_id if line else None)
    if home is None and people:
        homes = session.scalars(HOMES.where(HouseholdMember.party_id.in_(people)).limit(2)).all()
        home = homes[0] if len(homes) == 1 else None
    if home is not None:
        people |= set(session.scalars(MEMBERS.where(HouseholdMember.household_id == home)))
    return people, home


def is_anothers(
    session: Session,
    contact_point: ContactPoint,
    *,
    party: str | None,
    household: str | None,
    subscription: str | None,
    now: dt.datetime,
) -> bool:
    """Whether it was verified to be another customer's, and still matches him."""
    people, home = around(session, party, household, subscription)
    found = contact_points.links_of(session, contact_point.value, contact_point.kind, now=now)
    held = [each for each in found if each.state == "verified" and matches(each, now)]
    return any(people.isdisjoint(one.id for one in each.people) and each.household != (home or "") for each in held)
