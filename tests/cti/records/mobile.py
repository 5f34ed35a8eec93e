"""A mobile of which nobody is sure whose it is, and what links make of the contacts from there."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cti import ledger, numbers
from cti.db import Database
from cti.events import Event
from cti.identity import Outcome
from cti.records import contact_points, links, parties, timeline
from cti.records.conversations import Conversation
from cti.records.timeline import Interaction

NOW = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)
DAY, YEAR = dt.timedelta(days=1), dt.timedelta(days=365)
MOBILE = "+905445550199"


def prepare(session: Session) -> dict[str, str]:
    """Ali and Veli and a household, and a mobile from which somebody wrote twice and called once; ids by name."""
    timeline.seed_channels(session)
    ids = {
        name: parties.add_party(session, name=name, source="test", now=NOW - 9 * YEAR).id for name in ("Ali", "Veli")
    }
    ids["home"] = parties.add_household(session, label="Öz", now=NOW).id
    ids["mobile"] = contact_points.ensure(session, "phone", MOBILE, now=NOW - 9 * YEAR).id
    for ago in (2 * YEAR, 2 * DAY):
        wrote(session, ids["mobile"], NOW - ago)
    called(session, "call", NOW - DAY)
    return ids


def wrote(session: Session, point: str, at: dt.datetime, **more: Any) -> str:
    id_ = ledger.uuid7(at)
    session.add(Interaction(
        id=id_, channel_id="sms", direction="in", contact_point_id=point, external_id=id_, at=at, **more
    ))  # fmt: skip
    return id_


def called(session: Session, id_: str, at: dt.datetime, **more: Any) -> str:
    row = Conversation(id=id_, channel=id_, did="850", number=MOBILE, number_kind="e164", arrived_at=at, **more)
    session.add(row)
    session.flush()
    return timeline.record_call(session, row, at)


async def linked(db: Database, point: str, now: dt.datetime = NOW, **whose: Any) -> str:
    def make(session: Session) -> str:
        row = session.get_one(contact_points.ContactPoint, point)
        asked = {"role": "owner", "source": "test", "by": "agent1", **whose}
        return links.link(session, row, now=now, **asked).id

    return await db.work(make)


async def contacts(db: Database) -> list[tuple[str, str | None, str | None, str | None]]:
    """All of every contact that a link may change, and more."""

    def read(session: Session) -> list[Any]:
        rows = session.scalars(select(Interaction).order_by(Interaction.id))
        return [(row.id, row.party_id, row.party_by, row.subscription_id) for row in rows]

    return await db.read(read)


async def whose(db: Database) -> list[str | None]:
    return [party for _, party, _, _ in await contacts(db)]


async def told(db: Database, *kinds: type[Event]) -> list[Event]:
    return [each.event for each in await db.read(ledger.since, 0) if isinstance(each.event, kinds)]


async def matches(db: Database, now: dt.datetime = NOW) -> bool:
    found = await db.read(contact_points.identify, numbers.parse(MOBILE, "TR"), now)
    return found.outcome is not Outcome.NONE
