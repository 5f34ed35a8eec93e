"""A caller who proved who he is on a number that nobody knows: what happened, and what was sent."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cti import ledger, numbers
from cti.db import Database
from cti.events import Candidate, Event, plain_of
from cti.identity import Level, Outcome
from cti.records import contact_points, link_notices, proposals
from cti.records.contact_points import ContactPoint, Link
from cti.records.conversations import Conversation
from cti.records.outbox import OutMessage
from cti.records.parties import Household, HouseholdMember, Subscription
from cti.records.proposals import CALLER, Proposal
from tests.fakes import company
from tests.fakes.company import Company

NOW = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
NEW = "+905445550199"
HOUR = dt.timedelta(hours=1)


async def called(
    db: Database,
    conversation: str = "c1",
    *,
    level: int = Level.KEYED,
    number: str | None = NEW,
    at: dt.datetime = NOW,
    proved: bool = True,
    attestation: str = "",
) -> None:
    """A call of somebody who proved to be one of the Yılmaz household, up to `level`; or (`proved`) whose number only led there."""

    def add(session: Session) -> None:
        home = session.scalars(select(Household).where(Household.label == "Yılmaz")).one()
        session.add(Conversation(
            id=conversation, channel=conversation, did="850", number=number, number_kind="e164", level=int(level),
            arrived_at=at, proof=["customer_number", "birth_date"] if proved and level >= Level.KEYED else None,
            candidates=_members(session, home.id), evidence={"attestation": attestation} if attestation else None,
        ))  # fmt: skip

    await db.work(add)


def _members(session: Session, home: str) -> list[dict[str, Any]]:
    people = session.scalars(select(HouseholdMember.party_id).where(HouseholdMember.household_id == home))
    lines = tuple(session.scalars(select(Subscription.id).where(Subscription.household_id == home)))
    plain: list[dict[str, Any]] = plain_of(tuple(
        Candidate(
            party=each, party_name="", household=home, subscriptions=lines, link=None, role="user", probability=0.5,
            reasons=(),
        )
        for each in people
    ))  # fmt: skip
    return plain


async def proposed(db: Database, now: dt.datetime = NOW, *, number: str = NEW, **changes: Any) -> Proposal | None:
    def make(session: Session) -> Proposal | None:
        point = contact_points.ensure(session, "phone", number, now=now)
        asked: dict[str, Any] = {"role": "user", "reason": "keyed", "conversation": "c1", **changes}
        return proposals.propose(session, contact_point=point.id, now=now, **asked)

    return await db.work(make)


async def accepted(db: Database, proposal: str, by: str = CALLER, now: dt.datetime = NOW, method: str = "") -> str:
    def accept(session: Session) -> str:
        return proposals.accept(session, proposal, by=by, now=now, method=method).id

    return await db.work(accept)


async def link_of(db: Database, link: str) -> Link:
    return await db.read(lambda session: session.get_one(Link, link))


async def sent(db: Database) -> list[tuple[str, str]]:
    """To whom, and what."""

    def read(session: Session) -> list[tuple[str, str]]:
        query = select(ContactPoint.value, OutMessage.text).join(
            OutMessage, OutMessage.contact_point_id == ContactPoint.id
        )
        return [(to, text) for to, text in session.execute(query.order_by(OutMessage.id))]

    return await db.read(read)


async def replied(db: Database, text: str, *, number: str = company.HIS, now: dt.datetime = NOW + HOUR) -> bool:
    def reply(session: Session) -> bool:
        point = contact_points.ensure(session, "phone", number, now=now)
        return link_notices.reply(session, contact_point=point.id, text=text, now=now)

    return await db.work(reply)


async def told(db: Database, *kinds: type[Event]) -> list[Any]:
    return [each.event for each in await db.read(ledger.since, 0) if isinstance(each.event, kinds)]


async def outcome(db: Database, number: str = NEW) -> Outcome:
    return (await db.read(contact_points.identify, numbers.parse(number, "TR"), NOW + HOUR)).outcome


async def offered(db: Database, home: Company) -> Proposal:
    await called(db)
    found = await proposed(db, party=home.ayse)
    assert found is not None
    return found
