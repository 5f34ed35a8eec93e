"""One open ticket per matter, whoever asks and however many at once."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from cti import ledger
from cti.db import Database
from cti.events import TicketAppended, TicketOpened
from cti.records import parties, tickets
from cti.records.conversations import Conversation


@pytest_asyncio.fixture
async def line(db, now):
    """A subscription to have a fault on."""

    def prepare(session):
        holder = parties.add_party(session, name="Şule Öz", source="test", now=now)
        return parties.add_subscription(session, number="100200", kind="dsl", holder=holder, now=now).id

    return await db.work(prepare)


def asking(now: dt.datetime, **changes: Any) -> dict[str, Any]:
    asked = {
        "subscription": None,
        "party": None,
        "matter": "fault",
        "channel": "phone",
        "conversation": None,
        "text": "",
    }
    return {**asked, "now": now, **changes}


async def told(db: Database) -> list[Any]:
    return [each.event for each in await db.read(ledger.since, 0) if each.event.type.startswith("ticket.")]


async def test_fifty_callers_at_once_open_one_ticket(db, line, now):
    opened = await asyncio.gather(
        *(db.work(tickets.open_once, **asking(now, subscription=line, conversation=f"c{each}")) for each in range(50))
    )
    assert len({each.number for each in opened}) == 1
    assert [each.new for each in opened].count(True) == 1
    (row,) = await db.read(tickets.open_for, [line])
    assert row.contacts == 50
    kinds = [type(each) for each in await told(db)]
    assert (kinds.count(TicketOpened), kinds.count(TicketAppended)) == (1, 49)


async def test_asking_twice_in_one_call_is_one_contact(db, line, now):
    first = await db.work(tickets.open_once, **asking(now, subscription=line, conversation="a"))
    again = await db.work(tickets.open_once, **asking(now, subscription=line, conversation="a"))
    assert (again.ticket, again.number, again.new) == (first.ticket, first.number, False)
    assert [type(each) for each in await told(db)] == [TicketOpened]


async def test_another_call_about_the_same_matter_is_appended_once(db, line, now):
    first = await db.work(tickets.open_once, **asking(now, subscription=line, conversation="a"))
    for _ in range(2):
        later = await db.work(tickets.open_once, **asking(now, subscription=line, conversation="b", text="still dead"))
        assert (later.ticket, later.new) == (first.ticket, False)
    (row,) = await db.read(tickets.open_for, [line])
    assert row.contacts == 2
    assert [(type(each), each.conversation, each.text) for each in await told(db)] == [
        (TicketOpened, "a", ""),
        (TicketAppended, "b", "still dead"),
    ]


async def test_another_matter_is_another_ticket(db, line, now):
    fault = await db.work(tickets.open_once, **asking(now, subscription=line, conversation="a"))
    bill = await db.work(tickets.open_once, **asking(now, subscription=line, conversation="a", matter="billing"))
    assert bill.new
    assert bill.number != fault.number


async def test_without_a_subscription_a_conversation_has_one_ticket_for_a_matter(db, now):
    first = await db.work(tickets.open_once, **asking(now, conversation="a"))
    again = await db.work(tickets.open_once, **asking(now, conversation="a"))
    other = await db.work(tickets.open_once, **asking(now, conversation="b"))
    assert (again.ticket, again.new) == (first.ticket, False)
    assert other.new


async def test_a_ticket_for_nobody_is_refused(db, now):
    with pytest.raises(ValueError, match="expected a subscription, a conversation or a party"):
        await db.work(tickets.open_once, **asking(now))


async def test_a_closed_ticket_is_not_appended_to(db, line, now):
    first = await db.work(tickets.open_once, **asking(now, subscription=line, conversation="a"))

    def close(session):
        session.get_one(tickets.Ticket, first.ticket).state = "closed"

    await db.work(close)
    assert (await db.work(tickets.open_once, **asking(now, subscription=line, conversation="b"))).new


async def test_the_call_remembers_its_ticket(db, line, now):
    def call(session):
        session.add(Conversation(id="a", channel="1.1", did="444", number_kind="withheld", arrived_at=now))

    await db.work(call)
    opened = await db.work(tickets.open_once, **asking(now, subscription=line, conversation="a"))
    assert await db.read(lambda session: session.scalar(select(Conversation.ticket_id))) == opened.ticket


async def test_tickets_are_read_by_their_ids_newest_first(db, now):
    older = await db.work(tickets.open_once, **asking(now, conversation="a"))
    newer = await db.work(tickets.open_once, **asking(now + dt.timedelta(1), conversation="b"))
    await db.work(tickets.open_once, **asking(now, conversation="c"))
    found = await db.read(tickets.by_ids, [older.ticket, newer.ticket, "no-such"])
    assert [row.id for row in found] == [newer.ticket, older.ticket]


async def test_numbers_are_short_to_read_and_found_again(db, now):
    opened = [await db.work(tickets.open_once, **asking(now, conversation=str(each))) for each in range(20)]
    assert all(6 <= len(each.number) <= 8 and tickets.check_digit_ok(each.number) for each in opened)
    assert len({each.number for each in opened}) == 20
    found = await db.read(tickets.by_number, opened[7].number)
    assert found is not None
    assert found.id == opened[7].ticket
    assert await db.read(tickets.by_number, "000000") is None


async def test_recent_tickets_come_newest_first(db, line, now):
    await db.work(tickets.open_once, **asking(now, subscription=line))
    newest = await db.work(tickets.open_once, **asking(now + dt.timedelta(1), conversation="a"))
    assert [row.id for row in await db.read(tickets.recent, limit=1)] == [newest.ticket]
    assert [row.subscription for row in await db.read(tickets.recent, subscription=line, state="open")] == [line]


def test_damm_check_digit_of_the_literature():
    assert tickets.check_digit("572") == 4
    assert tickets.check_digit_ok("5724")


@pytest.mark.parametrize("number", ["", "0", "٥٧٢٤", "57 24", "5724a"])
def test_what_is_no_number_has_no_right_check_digit(number):
    assert not tickets.check_digit_ok(number)


@given(st.integers(10_000, 9_999_999), st.integers(0, 7), st.integers(1, 9))
def test_one_misheard_digit_is_noticed(count, place, change):
    number = f"{count}{tickets.check_digit(str(count))}"
    place %= len(number)
    wrong = number[:place] + str((int(number[place]) + change) % 10) + number[place + 1 :]
    assert tickets.check_digit_ok(number)
    assert not tickets.check_digit_ok(wrong)


@given(st.integers(10_000, 9_999_999), st.integers(0, 6))
def test_two_neighbours_that_change_places_are_noticed(count, place):
    number = f"{count}{tickets.check_digit(str(count))}"
    place %= len(number) - 1
    swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    assert swapped == number or not tickets.check_digit_ok(swapped)


# --- visits of a flow's node ---


async def visited(db: Database, now: dt.datetime, visit: str, **changes: Any) -> tickets.Opened:
    return await db.work(tickets.open_for_visit, visit=visit, **asking(now, **changes))


async def test_the_same_visit_is_told_the_same_ticket_and_that_it_is_new(any_db, now):
    first = await visited(any_db, now, "a:open:1", conversation="a")
    assert first.new
    assert await visited(any_db, now, "a:open:1", conversation="a") == first
    assert [type(each) for each in await told(any_db)] == [TicketOpened]


async def test_two_nodes_that_ask_for_one_visit_at_once_open_one_ticket(any_db, now):
    opened = await asyncio.gather(*(visited(any_db, now, "a:open:1", conversation="a") for _ in range(20)))
    assert set(opened) == {opened[0]}
    assert [type(each) for each in await told(any_db)] == [TicketOpened]


async def test_a_visit_keeps_its_ticket_when_that_was_closed_meanwhile(db, line, now):
    first = await visited(db, now, "a:open:1", subscription=line, conversation="a")

    def close(session):
        session.get_one(tickets.Ticket, first.ticket).state = "closed"

    await db.work(close)
    assert await visited(db, now, "a:open:1", subscription=line, conversation="a") == first
    assert (await visited(db, now, "a:open:2", subscription=line, conversation="a")).new


async def test_another_visit_of_the_same_call_finds_the_open_ticket(db, line, now):
    first = await visited(db, now, "a:open:1", subscription=line, conversation="a")
    again = await visited(db, now, "a:open:2", subscription=line, conversation="a")
    assert (again.ticket, again.new) == (first.ticket, False)
