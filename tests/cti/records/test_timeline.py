"""Every contact in one order: whose it is, and whose it may be."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy.orm import Session

from cti import ledger
from cti.db import Database
from cti.records import contact_points, parties, tickets, timeline
from cti.records.conversations import Conversation
from cti.records.timeline import ChannelRow, Interaction

MINUTE = dt.timedelta(minutes=1)
MOBILE = "+905321234567"


@pytest_asyncio.fixture
async def people(db, now):
    """Two people who share a number; ids by name, and the number's contact point under `mobile`."""

    def prepare(session):
        timeline.seed_channels(session)
        ids = {name: parties.add_party(session, name=name, source="test", now=now).id for name in ("Ali", "Veli")}
        return ids | {"mobile": contact_points.ensure(session, "phone", MOBILE, now=now).id}

    return await db.work(prepare)


async def wrote(
    db: Database,
    at: dt.datetime,
    channel: str = "sms",
    *,
    party: str | None = None,
    point: str | None = None,
    text: str = "",
) -> str:
    def add(session: Session) -> str:
        row = Interaction(
            id=ledger.uuid7(at), channel_id=channel, direction="in", party_id=party, contact_point_id=point,
            external_id=ledger.uuid7(at), text=text, at=at,
        )  # fmt: skip
        session.add(row)
        return row.id

    return await db.work(add)


async def call(db: Database, now: dt.datetime, number: str | None = MOBILE, **changes: Any) -> str:
    def add(session: Session) -> str:
        row = Conversation(
            id="call", channel="1.1", did="444", number=number, number_kind="e164", arrived_at=now, **changes
        )
        session.add(row)
        session.flush()
        return timeline.record_call(session, row, now)

    return await db.work(add)


async def shown(db: Database, **asked: Any) -> list[timeline.Entry]:
    return await db.read(timeline.entries, **asked)


async def test_all_channels_come_in_one_order_newest_first(db, people, now):
    tweet = await wrote(db, now, "social", party=people["Ali"], text="modem öldü")
    mail = await wrote(db, now + MINUTE, "email", party=people["Ali"])
    phoned = await call(db, now + 2 * MINUTE, party_id=people["Ali"])
    opened = await db.work(
        tickets.open_once, subscription=None, party=people["Ali"], matter="fault", channel="sms", conversation=None,
        now=now + 3 * MINUTE,
    )  # fmt: skip
    found = await shown(db, parties=[people["Ali"]])
    assert [each.id for each in found] == [opened.ticket, phoned, mail, tweet]
    assert [(each.kind, each.channel) for each in found] == [
        ("ticket", "sms"), ("call", "phone"), ("interaction", "email"), ("interaction", "social"),
    ]  # fmt: skip
    assert (found[0].ticket, found[0].subject) == (opened.number, "fault")
    assert (found[1].contact, found[1].party_name) == (MOBILE, "Ali")
    assert found[3].text == "modem öldü"
    assert [each.id for each in await shown(db, parties=[people["Ali"]], limit=2)] == [opened.ticket, phoned]
    json.dumps([each.__dict__ for each in found])


async def test_what_is_confirmed_as_one_persons_is_not_shown_on_another_of_the_same_number(db, people, now):
    await wrote(db, now, party=people["Veli"], point=people["mobile"])
    nobodys = await wrote(db, now, point=people["mobile"])
    found = await shown(db, parties=[people["Ali"]], contact_points=[people["mobile"]])
    assert [each.id for each in found] == [nobodys]
    assert await shown(db, parties=[people["Ali"]]) == []


async def test_a_call_brings_itself_and_what_its_number_wrote(db, people, now):
    nobodys = await wrote(db, now, point=people["mobile"])
    await wrote(db, now)  # of a stranger without any contact point
    phoned = await call(db, now + MINUTE)
    found = await shown(db, parties=[], conversation="call")
    assert [each.id for each in found] == [phoned, nobodys]
    assert found[0].party is None


async def test_a_withheld_call_brings_only_itself(db, people, now):
    await wrote(db, now)
    phoned = await call(db, now, number=None)
    assert [(each.id, each.contact) for each in await shown(db, parties=[], conversation="call")] == [(phoned, "")]


async def test_tickets_on_a_persons_subscription_are_his_whoever_opened_them(db, people, now):
    def line(session):
        holder = session.get_one(parties.Party, people["Ali"])
        return parties.add_subscription(session, number="1", kind="dsl", holder=holder, now=now).id

    opened = await db.work(
        tickets.open_once, subscription=await db.work(line), party=None, matter="fault", channel="phone",
        conversation="x", now=now,
    )  # fmt: skip
    assert [each.ticket for each in await shown(db, parties=[people["Ali"]])] == [opened.number]
    assert [each.ticket for each in await shown(db, parties=[], conversation="x")] == [opened.number]
    assert await shown(db, parties=[people["Veli"]]) == []


async def test_a_call_is_one_interaction_that_is_brought_up_to_date(db, people, now):
    first = await call(db, now)

    def ended(session):
        row = session.get_one(Conversation, "call")
        row.party_id, row.intent, row.note, row.agent = people["Veli"], "fault", "restarted, still red", "veysel"
        return timeline.record_call(session, row, now + MINUTE)

    assert await db.work(ended) == first
    (entry,) = await shown(db, parties=[people["Veli"]])
    assert (entry.at, entry.subject, entry.text, entry.author) == (
        now.isoformat(), "fault", "restarted, still red", "veysel",
    )  # fmt: skip


async def test_a_call_is_recorded_even_where_nobody_loaded_the_channels(db, now):
    await call(db, now, number=None)
    assert "phone" in [each.id for each in await db.read(timeline.channels)]


async def test_interactions_are_listed_by_party_and_channel(db, people, now):
    mine = await wrote(db, now, "email", party=people["Ali"])
    await wrote(db, now, "sms", party=people["Ali"])
    await wrote(db, now, "email", party=people["Veli"])
    found = await db.read(timeline.interactions, party=people["Ali"], channel="email")
    assert [each.id for each in found] == [mine]
    assert len(await db.read(timeline.interactions)) == 3


async def test_seven_channels_are_shipped_and_loading_them_twice_is_harmless(db):
    for _ in range(2):
        await db.work(timeline.seed_channels)
    found = await db.read(timeline.channels)
    assert {each.id for each in found} == {"phone", "sms", "email", "chat", "whatsapp", "social", "branch"}
    assert all(each.name_tr and each.name_en for each in found)


async def test_a_channel_nobody_thought_of_is_a_row(db, people, now):
    telex = ChannelRow("telex", "Teleks", "Telex", "postal")
    await db.work(timeline.add_channel, telex)
    assert telex in await db.read(timeline.channels)
    await wrote(db, now, "telex", party=people["Ali"])
    assert [each.channel for each in await shown(db, parties=[people["Ali"]])] == ["telex"]
    with pytest.raises(timeline.ChannelTaken, match="'telex' is there already"):
        await db.work(timeline.add_channel, telex)
