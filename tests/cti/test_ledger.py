"""The ledger only grows: a fact is written once, and read back as it was."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid

from sqlalchemy import update

from cti import ledger
from cti.events import FlowFailed, Recorded, TicketOpened
from cti.records import tickets


def failed(conversation: str, error: str = "") -> FlowFailed:
    return FlowFailed(conversation=conversation, node="main", error=error)


async def test_the_same_key_twice_is_written_once(any_db, now):
    first = await any_db.work(ledger.append, failed("c1"), now=now, key="fact-1")
    again = await any_db.work(ledger.append, failed("c1"), now=now, key="fact-1")
    assert (first, again) == (True, False)
    assert len(await any_db.read(ledger.since, 0)) == 1


async def test_the_same_key_at_the_same_time_is_written_once(any_db, now):
    written = await asyncio.gather(
        *(any_db.work(ledger.append, failed("c1"), now=now, key="fact-1") for _ in range(20))
    )
    assert sum(written) == 1


async def test_the_same_key_twice_in_one_piece_of_work_is_written_once(any_db, now):
    def twice(session):
        return [ledger.append(session, failed("c1"), now=now, key="fact-1") for _ in range(2)]

    first, again = await any_db.work(twice)
    assert (first, again) == (True, False)


async def test_without_a_key_everything_is_written(any_db, now):
    for _ in range(2):
        await any_db.work(ledger.append, failed("c1"), now=now)
    assert await any_db.read(ledger.last_seq) == 2


async def test_several_events_at_once_keep_their_order(any_db, now):
    heard: list[Recorded] = []
    any_db.on_commit = heard.extend
    await any_db.work(ledger.append_all, [failed("c1", str(number)) for number in range(3)], now=now)
    assert [each.event for each in heard] == [failed("c1", str(number)) for number in range(3)]
    assert heard == await any_db.read(ledger.since, 0)


async def test_what_subscribers_hear_is_what_the_ledger_reads_later(any_db, now):
    heard: list[Recorded] = []
    any_db.on_commit = heard.extend
    await any_db.work(ledger.append, failed("c1", "şöyle oldu 💥"), now=now)
    assert heard == await any_db.read(ledger.since, 0)


async def test_a_conversation_is_read_in_the_order_in_which_it_happened(any_db, now):
    for number in range(6):
        await any_db.work(ledger.append, failed(f"c{number % 2}", str(number)), now=now)
    assert [each.event.error for each in await any_db.read(ledger.of_conversation, "c1")] == ["1", "3", "5"]


async def test_events_without_a_conversation_belong_to_none(any_db, now):
    opened = TicketOpened(ticket="t1", number="17", subscription=None, party=None, matter="fault", channel="sms")
    await any_db.work(ledger.append, opened, now=now)
    (recorded,) = await any_db.read(ledger.since, 0)
    assert recorded.conversation is None
    assert recorded.event == opened


async def test_reading_goes_on_where_it_stopped(any_db, now):
    for number in range(5):
        await any_db.work(ledger.append, failed("c1", str(number)), now=now)
    first = await any_db.read(ledger.since, 0, 3)
    rest = await any_db.read(ledger.since, first[-1].seq, 3)
    assert [each.event.error for each in [*first, *rest]] == ["0", "1", "2", "3", "4"]
    assert await any_db.read(ledger.since, 5) == []


async def test_an_empty_ledger_ends_at_nought(any_db):
    assert await any_db.read(ledger.last_seq) == 0


def test_ids_are_uuids_of_version_7_and_sort_by_time(now):
    ids = [ledger.uuid7(now + dt.timedelta(milliseconds=number)) for number in range(100)]
    assert ids == sorted(ids)
    assert {(uuid.UUID(each).version, uuid.UUID(each).variant) for each in ids} == {(7, uuid.RFC_4122)}
    assert int(uuid.UUID(ids[0])) >> 80 == int(now.timestamp() * 1000)


async def test_many_at_once_keep_their_order(any_db, now):
    many = [failed("c1", str(number)) for number in range(200)]
    heard: list[Recorded] = []
    any_db.on_commit = heard.extend
    await any_db.work(ledger.append_all, many, now=now)
    assert [each.event for each in heard] == many
    assert heard == await any_db.read(ledger.since, 0)
    await any_db.work(ledger.append_all, [], now=now)
    assert await any_db.read(ledger.last_seq) == 200


async def test_whoever_waits_for_a_row_does_not_hold_up_the_ledger(pg, now):
    """The turn at the ledger is taken last: two works that append and touch the same rows in different orders do not block each other."""

    def one(session):
        ledger.append(session, failed("c1"), now=now)
        return tickets.open_once(
            session, subscription=None, party=None, matter="fault", channel="phone", conversation="c1", now=now
        )

    def other(session):
        opened = tickets.open_once(
            session, subscription=None, party=None, matter="fault", channel="phone", conversation="c2", now=now
        )
        ledger.append(session, failed("c2"), now=now)
        return opened

    opened = await asyncio.gather(*(pg.work(work) for _ in range(15) for work in (one, other)))
    assert len({each.number for each in opened}) == 2
    assert sum(each.new for each in opened) == 2


async def test_kinds_of_a_newer_version_are_stepped_over(any_db, now):
    for number in range(6):
        await any_db.work(ledger.append, failed("c1", str(number)), now=now)
    newer = update(ledger.EventRow).where(ledger.EventRow.seq.between(2, 5)).values(type="call.teleported")
    await any_db.work(lambda session: session.execute(newer) and None)
    assert [each.seq for each in await any_db.read(ledger.since, 0, 2)] == [1]
    assert [each.seq for each in await any_db.read(ledger.since, 1, 2)] == [6]
