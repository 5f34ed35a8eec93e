"""The rows of cti/records/recordings.py: promised before the sound, claimed by one, written once."""

from __future__ import annotations

import datetime as dt

from cti import ledger
from cti.db import Database
from cti.records import recordings
from cti.records.recordings import Result
from tests.recordings.calls import answered, arrived, ended, talked

MINUTE = dt.timedelta(minutes=1)


async def test_expecting_writes_the_row_and_the_event(db: Database, now: dt.datetime):
    conversation = await db.work(arrived, "1.1", now)
    recording = await db.work(recordings.expect, conversation=conversation, now=now)
    row = await db.read(recordings.by_id, recording)
    assert row is not None
    assert (row.state, row.conversation, row.created_at) == ("recording", conversation, now)
    events = await db.read(ledger.of_conversation, conversation)
    assert [(each.event.type, each.event.plain()["recording"]) for each in events] == [("recording.started", recording)]


async def test_expecting_twice_for_one_talk_gives_one_recording(db: Database, now: dt.datetime):
    conversation = await db.work(arrived, "1.1", now)
    first = await db.work(recordings.expect, conversation=conversation, now=now)
    assert await db.work(recordings.expect, conversation=conversation, now=now + MINUTE) == first
    assert len(await db.read(recordings.of_conversation, conversation)) == 1


async def test_a_second_talk_does_not_overwrite_the_first(db: Database, now: dt.datetime):
    conversation = await db.work(arrived, "1.1", now)
    first = await db.work(recordings.expect, conversation=conversation, now=now)
    await db.work(answered, conversation, "ayse", now)
    second = await db.work(recordings.expect, conversation=conversation, now=now + MINUTE)
    rows = await db.read(recordings.of_conversation, conversation)
    assert [row.id for row in rows] == [first, second]


async def test_a_call_that_goes_on_is_nobodys_job(db: Database, now: dt.datetime):
    conversation = await db.work(arrived, "1.1", now)
    await db.work(recordings.expect, conversation=conversation, now=now)
    assert await db.work(recordings.claim, now=now + MINUTE, settle_s=2, lease_s=60) is None
    await db.work(ended, conversation, now + MINUTE)
    assert (
        await db.work(recordings.claim, now=now + MINUTE, settle_s=2, lease_s=60) is None
    )  # the files are still closing
    settled = now + MINUTE + dt.timedelta(seconds=2)
    assert await db.work(recordings.claim, now=settled, settle_s=2, lease_s=60) is not None


async def test_a_row_has_one_owner_until_the_lease_is_over(db: Database, now: dt.datetime):
    await db.work(talked, now, seconds=10)
    first = await db.work(recordings.claim, now=now, settle_s=0, lease_s=60)
    assert await db.work(recordings.claim, now=now, settle_s=0, lease_s=60) is None
    second = await db.work(recordings.claim, now=now + MINUTE, settle_s=0, lease_s=60)
    assert first is not None
    assert second is not None
    assert (first.attempt, second.attempt) == (1, 2)


async def test_whoever_lost_the_row_writes_nothing(db: Database, now: dt.datetime):
    conversation, recording = await db.work(talked, now, seconds=10)
    late = await db.work(recordings.claim, now=now, settle_s=0, lease_s=60)
    held = await db.work(recordings.claim, now=now + MINUTE, settle_s=0, lease_s=60)
    assert late is not None
    assert held is not None
    assert not await db.work(recordings.finish, late, Result(state="missing", reason="no_file"), now=now + MINUTE)
    assert await db.work(recordings.finish, held, Result(state="stored", path="x"), now=now + MINUTE)
    assert not await db.work(recordings.finish, held, Result(state="stored", path="y"), now=now + MINUTE)
    row = await db.read(recordings.by_id, recording)
    assert row is not None
    assert (row.state, row.path) == ("stored", "x")
    events = await db.read(ledger.of_conversation, conversation)
    assert [each.event.type for each in events].count("recording.stored") == 1


async def test_only_who_answered_has_talked_to_the_caller(db: Database, now: dt.datetime):
    conversation = await db.work(arrived, "1.1", now)
    await db.work(answered, conversation, "ayse", now)
    await db.work(answered, conversation, "mehmet", now, state="withdrawn")
    assert await db.read(recordings.was_answered_by, conversation, "ayse")
    assert not await db.read(recordings.was_answered_by, conversation, "mehmet")


async def test_a_file_of_a_call_that_nobody_knows_is_not_adopted(db: Database, now: dt.datetime):
    await db.work(talked, now, seconds=10, channel="1.1", promised=False)
    assert await db.work(recordings.adopt, ["2-2", "3", "019aa0b2-0000-7000-8000-000000000001"], now=now) == []
    assert len(await db.work(recordings.adopt, ["1-1"], now=now)) == 1
    assert await db.work(recordings.adopt, ["1-1"], now=now) == []
