"""A message is written once, taken by one sender at a time, tried again at most so often, and forgets its code when it is settled."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace

import pytest
import pytest_asyncio
from sqlalchemy.exc import IntegrityError

from cti import ledger
from cti.db import Database
from cti.events import MessageSettled
from cti.records import contact_points, outbox, timeline
from cti.records.outbox import LEASE_S, PAUSE_S, TRIES_MAX, Held, OutMessage

MOBILE = "+905321234567"
SECOND = dt.timedelta(seconds=1)


@pytest_asyncio.fixture
async def point(any_db, now):
    def prepare(session):
        timeline.seed_channels(session)
        return contact_points.ensure(session, "phone", MOBILE, now=now).id

    return await any_db.work(prepare)


async def put(db: Database, point: str, now: dt.datetime, key: str = "k", **changes: str) -> str:
    values = {"channel": "sms", "purpose": "ticket", "text": "Arıza kaydınız açıldı: 1234", **changes}
    return await db.work(outbox.put, key=key, contact_point=point, now=now, **values)


async def claim(db: Database, now: dt.datetime, **changes: int) -> list[Held]:
    return await db.work(outbox.claim, channel="sms", now=now, **changes)


async def row(db: Database, message: str) -> OutMessage:
    return await db.read(lambda session: session.get_one(OutMessage, message))


async def settled(db: Database) -> list[tuple[str, str]]:
    events = [each.event for each in await db.read(ledger.since, 0)]
    return [(each.message, each.state) for each in events if isinstance(each, MessageSettled)]


async def test_the_same_key_is_one_message(any_db, point, now):
    first = await put(any_db, point, now)
    assert await put(any_db, point, now + SECOND, text="another text") == first
    assert await put(any_db, point, now, key="other") != first
    assert await any_db.read(outbox.count_waiting) == 2


async def test_two_nodes_that_put_the_same_key_at_once_put_one_message(any_db, point, now):
    ids = await asyncio.gather(*(put(any_db, point, now) for _ in range(8)))
    assert len(set(ids)) == 1
    assert await any_db.read(outbox.count_waiting) == 1


@pytest.mark.parametrize(
    "changes", [{"text": ""}, {"text": "x" * (outbox.TEXT_MAX + 1)}, {"key": ""}, {"key": "k" * 161}]
)
async def test_a_message_without_text_or_key_or_with_too_much_of_it_is_refused(any_db, point, now, changes):
    with pytest.raises(ValueError, match="expected a"):
        await put(any_db, point, now, **changes)


async def test_a_channel_that_is_none_is_not_taken_for_a_known_key(any_db, point, now):
    with pytest.raises(IntegrityError):
        await put(any_db, point, now, channel="pigeon")


async def test_what_is_due_is_taken_with_number_and_text(any_db, point, now):
    message = await put(any_db, point, now)
    assert await any_db.read(outbox.look, now) == (1, True)
    assert await claim(any_db, now) == [Held(message, MOBILE, "Arıza kaydınız açıldı: 1234", 1)]
    assert await any_db.read(outbox.look, now) == (1, False)


async def test_two_senders_never_hold_the_same_message(any_db, point, now):
    messages = {await put(any_db, point, now, key=f"k{number}") for number in range(30)}
    taken = await asyncio.gather(*(claim(any_db, now, limit=4) for _ in range(10)))
    ids = [held.id for each in taken for held in each]
    while more := await claim(any_db, now, limit=4):
        ids += [held.id for held in more]
    assert len(ids) == len(set(ids)) == 30
    assert set(ids) == messages


async def test_a_message_whose_sender_died_is_free_again_after_a_minute(any_db, point, now):
    message = await put(any_db, point, now)
    await claim(any_db, now)
    assert await claim(any_db, now + SECOND * (LEASE_S - 1)) == []
    assert [(each.id, each.attempt) for each in await claim(any_db, now + SECOND * LEASE_S)] == [(message, 2)]


async def test_sent_is_written_once_and_told_once(any_db, point, now):
    message = await put(any_db, point, now)
    (held,) = await claim(any_db, now)
    assert await any_db.work(outbox.sent, held, external_id="gw-7", now=now + SECOND)
    assert not await any_db.work(outbox.sent, held, external_id="gw-8", now=now + SECOND)
    stored = await row(any_db, message)
    assert (stored.state, stored.external_id, stored.sent_at) == ("sent", "gw-7", now + SECOND)
    assert await settled(any_db) == [(message, "sent")]
    assert await claim(any_db, now + SECOND * 1000) == []


async def test_a_sender_that_comes_late_with_a_yes_is_believed_and_with_a_no_is_not(any_db, point, now):
    await put(any_db, point, now)
    (first,) = await claim(any_db, now)
    (second,) = await claim(any_db, now + SECOND * LEASE_S)
    assert not await any_db.work(outbox.failed, first, error="HTTP 400", final=True, now=now)
    assert await any_db.work(outbox.sent, first, external_id="", now=now)
    assert not await any_db.work(outbox.failed, second, error="HTTP 409", final=False, now=now)


async def test_it_is_tried_eight_times_with_growing_pauses_and_then_given_up(any_db, point, now):
    message = await put(any_db, point, now)
    at, pauses = now, []
    for attempt in range(1, TRIES_MAX + 1):
        (held,) = await claim(any_db, at)
        assert held.attempt == attempt
        await any_db.work(outbox.failed, held, error="HTTP 503", final=False, now=at)
        pauses.append((await row(any_db, message)).next_at - at)
        at = (await row(any_db, message)).next_at
    assert pauses[:-1] == [SECOND * each for each in PAUSE_S]
    stored = await row(any_db, message)
    assert (stored.state, stored.error, stored.tries) == ("failed", "HTTP 503", TRIES_MAX)
    assert await settled(any_db) == [(message, "failed")]


async def test_a_message_that_kills_each_of_its_senders_is_given_up_too(any_db, point, now):
    message = await put(any_db, point, now)
    for attempt in range(TRIES_MAX):
        assert len(await claim(any_db, now + SECOND * LEASE_S * attempt)) == 1
    assert await any_db.work(outbox.drop_worthless, now + SECOND * LEASE_S * (TRIES_MAX - 1)) == 0
    assert await any_db.work(outbox.drop_worthless, now + SECOND * LEASE_S * TRIES_MAX) == 1
    assert await settled(any_db) == [(message, "failed")]


async def test_a_code_older_than_ten_minutes_is_not_sent_any_more(any_db, point, now):
    code = await put(any_db, point, now, key="code", purpose="code", text="123456")
    await put(any_db, point, now, key="ticket")
    assert await any_db.work(outbox.drop_worthless, now + SECOND * (outbox.CODE_WORTH_S - 1)) == 0
    assert await any_db.work(outbox.drop_worthless, now + SECOND * outbox.CODE_WORTH_S) == 1
    assert await settled(any_db) == [(code, "failed")]
    assert (await row(any_db, code)).error == "too late"


async def test_without_a_gateway_nothing_waits_for_longer_than_a_week(any_db, point, now):
    await put(any_db, point, now)
    assert await any_db.work(outbox.drop_worthless, now + SECOND * outbox.WORTH_S) == 1


@pytest.mark.parametrize(("purpose", "left"), [("code", ""), ("link", ""), ("ticket", "sizin kodunuz 42")])
async def test_a_settled_message_keeps_no_code(any_db, point, now, purpose, left):
    message = await put(any_db, point, now, purpose=purpose, text="sizin kodunuz 42")
    (held,) = await claim(any_db, now)
    assert held.text == "sizin kodunuz 42"
    await any_db.work(outbox.sent, replace(held, attempt=1), external_id="", now=now)
    assert (await row(any_db, message)).text == left


async def test_other_channels_wait_for_a_sender_of_their_own(any_db, point, now):
    await put(any_db, point, now, channel="email")
    assert await claim(any_db, now) == []
