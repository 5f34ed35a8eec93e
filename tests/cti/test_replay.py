"""What the journal kept becomes a call, a ticket and a callback: once, whatever was replayed how often."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from collections import Counter
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from cti import ledger, switchboard
from cti.db import Database
from cti.journal import CallNoted, Entry, Journal, ReportNoted
from cti.line import Caller
from cti.records import callbacks, tickets
from cti.records.conversations import Conversation
from cti.replay import Replayed, replay
from tests.fakes import company

CHANNEL, DID = "1795323088.7", "+902125550100"


@pytest_asyncio.fixture
async def known(any_db, now):
    return await any_db.work(company.load, now - dt.timedelta(days=1))


def call(now: dt.datetime, **changes: Any) -> CallNoted:
    usual: dict[str, Any] = {
        "id": "1", "at": now, "conversation": "local-1", "channel": CHANNEL, "did": DID, "raw": company.HIS, "name": "Ali",
    }  # fmt: skip
    return CallNoted(**(usual | changes))


def report(now: dt.datetime, **changes: Any) -> ReportNoted:
    usual: dict[str, Any] = {
        "id": "2", "at": now + dt.timedelta(minutes=1), "conversation": "local-1", "channel": CHANNEL, "raw": company.HIS, "did": DID,
        "subscription": None, "party": None, "matter": "fault", "text": "", "visit": "local-1:open:1", "message": "", "message_s": 0.0,
    }  # fmt: skip
    return ReportNoted(**(usual | changes))


async def replayed(db: Database, now: dt.datetime, *entries: Entry, later_s: float = 600) -> list[Replayed]:
    back = now + dt.timedelta(seconds=later_s)
    return [await db.work(replay, each, region="TR", now=back) for each in entries]


async def happened(db: Database) -> Counter[str]:
    kinds = ("call.", "ticket.", "callback.")
    return Counter(each.event.type for each in await db.read(ledger.since, 0) if each.event.type.startswith(kinds))


async def test_a_call_and_its_report_become_rows_of_the_moment_when_they_happened(any_db, known, now):
    _, done = await replayed(any_db, now, call(now), report(now, message="m-1", message_s=4.2, text="ses yok"))
    assert done.conversation == "local-1"
    row = await any_db.read(lambda session: session.get_one(Conversation, done.conversation))
    assert (row.channel, row.caller_name, row.arrived_at, row.outcome) == (CHANNEL, "Ali", now, "unique")
    assert done.opened is not None
    (ticket,) = await any_db.read(tickets.by_ids, [done.opened.ticket])
    assert (ticket.subscription, ticket.opened_at) == (known.dsl, now + dt.timedelta(minutes=1))
    assert (ticket.channel, ticket.text, ticket.conversation) == ("phone", "ses yok", done.conversation)
    (wanted,) = await any_db.read(callbacks.open_ones)
    assert (wanted.id, wanted.reason, wanted.message, wanted.number) == (done.callback, "message", "m-1", company.HIS)
    assert (wanted.ticket_number, wanted.text) == (done.opened.number, "ses yok")


async def test_the_same_entries_twice_are_the_same_as_once(any_db, known, now):
    entries = (call(now), report(now), report(now, id="3", matter="billing", visit="local-1:bill:1"))
    first = await replayed(any_db, now, *entries)
    before = await happened(any_db)
    assert await replayed(any_db, now, *entries, later_s=9000) == first
    assert await happened(any_db) == before
    assert before == {
        "call.arrived": 1, "call.identified": 1, "ticket.opened": 2, "callback.wanted": 1,
    }  # fmt: skip


async def test_a_report_alone_makes_its_call(any_db, known, now):
    (done,) = await replayed(any_db, now, report(now))
    row = await any_db.read(lambda session: session.get_one(Conversation, done.conversation))
    assert (row.did, row.number, row.ticket_id) == (DID, company.HIS, done.opened and done.opened.ticket)


async def test_a_call_that_was_written_down_meanwhile_stays_one(any_db, known, now):
    caller = Caller(CHANNEL, DID, company.HIS, "")
    there = await any_db.work(switchboard.arrived, caller, region="TR", now=now)
    _, done = await replayed(any_db, now, call(now), report(now))
    assert done.conversation == there.conversation
    assert (await happened(any_db))["call.arrived"] == 1


async def test_a_ticket_that_was_opened_before_the_answer_got_lost_is_the_one(any_db, known, now):
    """The work became durable, but the node heard nothing within its time and kept a report of the same visit."""
    there = await any_db.work(
        tickets.open_for_visit, visit="local-1:open:1", subscription=known.dsl, party=None, matter="fault", channel="phone",
        conversation=None, now=now,
    )  # fmt: skip
    (done,) = await replayed(any_db, now, report(now))
    assert done.opened == there


async def test_what_the_node_knew_of_the_line_is_believed(any_db, known, now):
    (done,) = await replayed(any_db, now, report(now, raw="anonymous", subscription=known.landline, party=known.ayse))
    assert done.opened is not None
    (ticket,) = await any_db.read(tickets.by_ids, [done.opened.ticket])
    assert (ticket.subscription, ticket.party) == (known.landline, known.ayse)
    (wanted,) = await any_db.read(callbacks.open_ones)
    assert (wanted.reason, wanted.number, wanted.party) == ("noted", None, known.ayse)


async def test_a_line_or_party_that_is_gone_does_not_keep_the_report_away(any_db, known, now):
    (done,) = await replayed(any_db, now, report(now, subscription="gone", party="gone"))
    assert done.opened is not None
    (ticket,) = await any_db.read(tickets.by_ids, [done.opened.ticket])
    assert (ticket.subscription, ticket.party) == (known.dsl, None)


@pytest.mark.parametrize("raw", [company.SHARED, "0544 555 99 88", "anonymous", "+90 (((5"])
async def test_a_number_that_leads_to_no_single_line_still_gets_its_ticket(any_db, known, now, raw):
    (done,) = await replayed(any_db, now, report(now, raw=raw))
    assert done.opened is not None
    (ticket,) = await any_db.read(tickets.by_ids, [done.opened.ticket])
    assert (ticket.subscription, ticket.conversation) == (None, done.conversation)


async def test_two_callers_about_one_line_share_its_ticket_and_are_both_called_back(any_db, known, now):
    other = {"conversation": "local-2", "channel": "1795323088.9", "visit": "local-2:open:1", "raw": company.LANDLINE}
    first, second = await replayed(any_db, now, report(now), report(now, id="3", **other))
    assert first.opened is not None
    assert second.opened == dataclasses.replace(first.opened, new=False)
    assert len(await any_db.read(callbacks.open_ones)) == 2


async def test_two_nodes_that_replay_the_same_at_once_write_it_once(any_db, known, now):
    await replayed(any_db, now, call(now))
    done = await asyncio.gather(*(replayed(any_db, now, report(now)) for _ in range(10)))
    assert all(each == done[0] for each in done)
    assert (await happened(any_db))["ticket.opened"] == 1


async def test_a_clock_that_went_back_puts_nothing_into_the_future(any_db, known, now):
    (done,) = await replayed(any_db, now, call(now), later_s=-3600)
    row = await any_db.read(lambda session: session.get_one(Conversation, done.conversation))
    assert row.arrived_at == now - dt.timedelta(hours=1)


async def test_a_crash_between_the_commit_and_forgetting_costs_nothing(any_db, known, now, tmp_path):
    kept = Journal(tmp_path / "journal.jsonl")
    kept.keep(call(now))
    kept.keep(report(now))
    first = await replayed(any_db, now, *kept.waiting())
    after_the_crash = Journal(tmp_path / "journal.jsonl")
    assert await replayed(any_db, now, *after_the_crash.waiting()) == first
    after_the_crash.forget([each.id for each in after_the_crash.waiting()])
    assert after_the_crash.waiting() == ()
    assert await any_db.read(lambda session: len(session.scalars(select(tickets.Ticket)).all())) == 1
