"""A fault ticket opened with the telephone's keys: few of them, its number spoken as it is stored, and only once."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest

from cti.demo.carrier import Caller
from cti.events import CallEnded, FlowEntered, FlowHeard, FlowSpoke, TicketAppended, TicketOpened
from cti.records import tickets
from cti.records.tickets import TicketRow
from tests.live.site import LIMIT_S, STORY, Site
from tests.live.wire import Request

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

DIGIT = re.compile(r"(?:tr|en)-digit-(\d)-")


def digits_of(request: Request, site: Site) -> str:
    """What a prompt spells, by the texts of the very files that are played."""
    texts = json.loads((site.settings.prompts / "index.json").read_text(encoding="utf-8"))
    spelled = [texts[f"{name}.wav"] for name in request.media if DIGIT.match(name)]
    named = [found[1] for name in request.media if (found := DIGIT.match(name))]
    assert len(spelled) == len(named)
    return "".join(named)


class Witness:
    """Reads the database file with a connection of its own when a number is on its way to the switch, and not there yet."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.spoken: list[str] = []
        self.stood: list[list[str]] = []  # the open tickets at that moment

    def __call__(self, request: Request) -> None:
        if "/play/" in request.uri and (digits := digits_of(request, self.site)):
            self.spoken.append(digits)
            self.stood.append(open_tickets(self.site.database))


def open_tickets(database: Path) -> list[str]:
    reading = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return [number for (number,) in reading.execute("SELECT number FROM tickets WHERE state = 'open'")]
    finally:
        reading.close()


async def the_open_ticket(site: Site) -> TicketRow:
    (row,) = await site.house.db.read(tickets.open_for, [await site.subscription()])
    return row


async def test_two_keys_open_a_ticket_whose_number_is_spoken_as_it_is_stored(site: Site) -> None:
    witness = site.ari.before = Witness(site)
    async with site.call(STORY, ["1", "1"]) as placed:
        opened = await site.until(TicketOpened, placed.conversation)
        spoke = await site.until(FlowSpoke, placed.conversation)
    await site.until(CallEnded, placed.conversation)
    stored = await the_open_ticket(site)
    assert stored.number == opened.number
    assert [each.digits for each in site.found(FlowHeard, placed.conversation)[:2]] == ["1", "1"]
    assert witness.spoken == [stored.number * 2], "said, and said again"
    assert witness.stood == [[stored.number]], "the row was durable before the request to play it left us"
    assert stored.number in spoke.text
    assert tickets.check_digit_ok(stored.number)
    assert stored.subscription == await site.subscription()


async def test_who_calls_twice_is_told_the_number_that_he_has(site: Site) -> None:
    async with site.call(STORY, ["1", "1"]) as first:
        opened = await site.until(TicketOpened, first.conversation)
    witness = site.ari.before = Witness(site)
    async with site.call("05335550145", ["1"]) as second:  # his wife, about the same line
        appended = await site.until(TicketAppended, second.conversation)
        spoke = await site.until(FlowSpoke, second.conversation)
    stored = await the_open_ticket(site)
    assert (stored.number, stored.contacts) == (opened.number, 2)
    assert appended.number == opened.number
    assert witness.spoken == [opened.number * 2]
    assert opened.number in spoke.text
    assert [each.node for each in site.found(FlowEntered, second.conversation)][-3:] == [
        "append",
        "existing",
        "after_ticket",
    ]
    assert site.found(TicketOpened, second.conversation) == []


async def test_dead_landline_opens_the_ticket_of_the_line_that_carries_it_in_english(site: Site) -> None:
    witness = site.ari.before = Witness(site)
    async with site.call(Caller("02125550101"), ["9", "1", "2"], within_s=2.0) as placed:
        await site.until(TicketOpened, placed.conversation)
        spoke = await site.until(FlowSpoke, placed.conversation, timeout_s=LIMIT_S)
    stored = await the_open_ticket(site)
    assert witness.spoken == [stored.number * 2]
    assert spoke.text.startswith("Your fault ticket is open.")
    assert "yeniden başlattı" in stored.text or "Modem restarted: no" in stored.text
