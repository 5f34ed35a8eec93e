"""Who has to be called back: once for each call and reason, longest waiting first, settled by the first who says so."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from cti import ledger
from cti.db import Database
from cti.events import CallbackSettled, CallbackWanted
from cti.records import callbacks, tickets
from cti.records.callbacks import CallbackRow
from tests.fakes import company


def wanting(now: dt.datetime, **changes: Any) -> dict[str, Any]:
    asked = {
        "conversation": "a", "reason": "message", "number": company.HIS, "party": None, "subscription": None, "ticket": None,
        "message": "m-1",
    }  # fmt: skip
    return {**asked, "now": now, **changes}


async def told(db: Database) -> list[Any]:
    return [each.event for each in await db.read(ledger.since, 0) if each.event.type.startswith("callback.")]


async def test_a_call_and_a_reason_are_one_callback_however_often_it_is_wanted(any_db, now):
    ids = await asyncio.gather(*(any_db.work(callbacks.want_once, **wanting(now)) for _ in range(20)))
    other = await any_db.work(callbacks.want_once, **wanting(now, reason="interrupted", message=""))
    assert set(ids) == {ids[0]}
    assert [(type(each), each.callback, each.reason) for each in await told(any_db)] == [
        (CallbackWanted, ids[0], "message"),
        (CallbackWanted, other, "interrupted"),
    ]


async def test_whoever_calls_back_can_read_out_the_ticket_that_was_never_spoken(any_db, now):
    known = await any_db.work(company.load, now)
    asked = {"subscription": known.dsl, "party": known.ali, "matter": "fault", "channel": "phone", "conversation": "a"}
    opened = await any_db.work(tickets.open_once, **asked, now=now)
    await any_db.work(
        callbacks.want_once, **wanting(now, party=known.ali, subscription=known.dsl, ticket=opened.ticket, text="ölü")
    )
    (row,) = await any_db.read(callbacks.open_ones)
    assert (row.ticket, row.ticket_number, row.party_name) == (opened.ticket, opened.number, "Ali Yılmaz")
    assert (row.number, row.message, row.text, row.state, row.wanted_at) == (company.HIS, "m-1", "ölü", "open", now)


async def test_a_second_report_of_the_same_call_is_added_once(any_db, now):
    def report(session, number):
        opened = tickets.open_once(
            session, subscription=None, party=None, matter=f"m{number}", channel="phone", conversation="a", now=now
        )
        callbacks.want_once(
            session, **wanting(now, ticket=opened.ticket, message=f"m-{number}", text=f"matter {number}")
        )
        return opened.number

    numbers = [await any_db.work(report, each) for each in (1, 2, 3, 2, 1)]
    (row,) = await any_db.read(callbacks.open_ones)
    assert (row.ticket_number, row.message) == (numbers[0], "m-1")
    assert row.text.split("\n") == [
        "matter 1", f"{numbers[1]} · m-2 · matter 2", f"{numbers[2]} · m-3 · matter 3",
    ]  # fmt: skip
    assert [type(each) for each in await told(any_db)] == [CallbackWanted]


async def test_the_longest_waiting_comes_first(db, now):
    for minutes, conversation in ((2, "a"), (1, "b"), (3, "c")):
        at = now + dt.timedelta(minutes=minutes)
        await db.work(callbacks.want_once, **wanting(at, conversation=conversation))
    assert [row.conversation for row in await db.read(callbacks.open_ones, 2)] == ["b", "a"]


@pytest.mark.parametrize("state", callbacks.SETTLED)
async def test_the_first_who_settles_it_counts(any_db, now, state):
    callback = await any_db.work(callbacks.want_once, **wanting(now))
    settled = await any_db.work(callbacks.settle, callback, state=state, by="zeynep", now=now)
    again = await any_db.work(callbacks.settle, callback, state="done", by="murat", now=now + dt.timedelta(1))
    assert again == settled
    assert (settled.state, settled.done_by, settled.done_at) == (state, "zeynep", now)
    assert (await told(any_db))[1:] == [CallbackSettled(callback=callback, conversation="a", state=state, by="zeynep")]
    assert await any_db.read(callbacks.open_ones) == []
    assert await any_db.read(callbacks.settled_ones, state) == [settled]


async def test_a_settled_callback_is_not_wanted_again(db, now):
    callback = await db.work(callbacks.want_once, **wanting(now))
    await db.work(callbacks.settle, callback, state="done", by="zeynep", now=now)
    assert await db.work(callbacks.want_once, **wanting(now)) == callback
    assert await db.read(callbacks.open_ones) == []


async def test_what_cannot_be_is_refused(db, now):
    with pytest.raises(ValueError, match="expected a reason of interrupted, message, noted, got 'bored'"):
        await db.work(callbacks.want_once, **wanting(now, reason="bored"))
    with pytest.raises(ValueError, match="expected a message's name"):
        await db.work(callbacks.want_once, **wanting(now, message="../secrets"))
    with pytest.raises(ValueError, match="expected a state of done, dropped, got 'open'"):
        await db.work(callbacks.settle, "x", state="open", by="zeynep", now=now)
    with pytest.raises(LookupError, match="expected the id of a callback, got 'x'"):
        await db.work(callbacks.settle, "x", state="done", by="zeynep", now=now)


def row(message: str) -> CallbackRow:
    return CallbackRow(
        id="1", conversation="a", reason="message", number=None, party=None, party_name="", subscription=None, ticket=None,
        ticket_number="", message=message, text="", state="open", done_at=None, done_by="",
        wanted_at=dt.datetime(2026, 11, 20, tzinfo=dt.UTC),
    )  # fmt: skip


def test_the_sound_is_a_file_of_that_name(tmp_path: Path):
    (tmp_path / "m-1.wav").write_bytes(b"RIFF")
    assert callbacks.sound(row("m-1"), tmp_path) == tmp_path / "m-1.wav"


def test_a_sound_that_is_not_there_or_leads_elsewhere_is_not_found(tmp_path: Path):
    with pytest.raises(LookupError, match="among what this machine's switch recorded"):
        callbacks.sound(row("m-1"), tmp_path)
    (tmp_path / "secret").touch()
    (tmp_path / "m-1.wav").symlink_to(tmp_path / "secret")
    with pytest.raises(LookupError):
        callbacks.sound(row("m-1"), tmp_path)


@pytest.mark.parametrize("name", ["", "../m-1", "/m-1", "m/1"])
def test_a_name_that_none_of_our_messages_has_is_no_sound(tmp_path: Path, name: str):
    (tmp_path / ".wav").touch()
    with pytest.raises(LookupError, match="has no message"):
        callbacks.sound(row(name), tmp_path)
