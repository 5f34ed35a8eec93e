"""One browser's socket when something is wrong: silence, a database that is away or slow, pages that break instead of being closed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from cti import ledger
from cti.db import DatabaseTimeout
from cti.events import NoteWritten
from screenpop import pulse, stream
from screenpop.hub import ENTER_AT_ONCE
from screenpop.seat import SOCKETS_MAX
from screenpop.stream import Place
from tests.fakes import company
from tests.fakes.visit import browser, closed, zeynep

TALKS = [
    {"flow": "arrives", "number": company.HIS},
    {"flow": "queues", "intent": "fault"},
    {"fact": "DeviceRinging", "agent": "zeynep"},
    {"fact": "DeviceAnswered", "agent": "zeynep"},
]


# --- who is there ---


async def test_a_busy_line_is_pinged_too(desk, monkeypatch):
    monkeypatch.setattr(pulse, "PING_S", 0.01)
    async with browser(desk) as socket:
        await socket.until("snapshot")
        for number in range(3):
            socket.say(type="command", key=f"key-{number:08}", name="ready")
            await socket.until("ping")


async def test_who_is_not_heard_of_is_closed_and_no_longer_counts(desk, monkeypatch):
    monkeypatch.setattr(pulse, "PING_S", 0.01)
    monkeypatch.setattr(pulse, "SILENCE_S", 0.05)
    before = desk.hub.sockets
    async with browser(desk) as socket:
        await socket.hear()
        end = await closed(socket)
        assert (end.code, "not heard of" in str(end)) == (4408, True)
        assert desk.hub.sockets == before


async def test_who_answers_the_pings_stays(desk, monkeypatch):
    monkeypatch.setattr(pulse, "PING_S", 0.01)
    monkeypatch.setattr(pulse, "SILENCE_S", 0.2)
    async with browser(desk) as socket:
        for _ in range(30):
            await socket.until("ping")
            socket.say(type="pong", seq=0)


@pytest.mark.parametrize(
    ("says_bye", "code", "what"), [(True, 1006, "left"), (False, 1001, "left"), (False, 1005, "lost")]
)
async def test_the_house_knows_whether_a_page_was_closed_or_broke(desk, says_bye, code, what):
    told: list[str] = []
    desk.pages["zeynep"].leave()
    desk.hub.on_seat = lambda agent, became: told.append(became)
    async with browser(desk) as socket:
        await socket.until("snapshot")
        if says_bye:
            socket.say(type="bye")
            assert (await closed(socket)).code == 1000
        socket.go(code)
    assert told == ["attached", what]


async def test_a_note_that_came_just_before_the_end_is_kept(desk):
    await desk.teller.tell(TALKS)
    await desk.settle()
    conversation = desk.pages["zeynep"].seat["cards"][0]["id"]
    async with browser(desk) as socket:
        await socket.until("snapshot")
        for number in range(3):
            key = f"key-{number:08}"
            socket.say(type="command", key=key, name="note", conversation=conversation, text=f"note {number}")
        socket.say(type="bye")
        assert (await closed(socket)).code == 1000
    notes = [
        each.event.text for each in await desk.teller.db.read(ledger.since, 0) if isinstance(each.event, NoteWritten)
    ]
    assert notes == ["note 0", "note 1", "note 2"]


# --- the records are away ---


async def test_a_page_that_comes_while_the_records_are_away_is_told_and_let_in_when_they_are_back(desk, monkeypatch):
    monkeypatch.setattr(stream, "ENTER_AGAIN_S", 0.01)
    away = True

    async def sign_in() -> Place:
        if away:
            raise ConnectionRefusedError("port 5432")
        return zeynep(desk)

    async with browser(desk, sign_in=sign_in) as socket:
        assert await socket.hear() == {"type": "state", "degraded": ["database"], "leader": False}
        away = False
        assert (await socket.until("snapshot"))["seat"]["cards"] == []
        assert (await socket.until("state"))["degraded"] == []


async def test_a_page_whose_seat_takes_long_is_told_why(desk, monkeypatch):
    monkeypatch.setattr(stream, "LATE_S", 0.02)
    hangs = asyncio.Event()

    async def sign_in() -> Place:
        await hangs.wait()
        return zeynep(desk)

    async with browser(desk, sign_in=sign_in) as socket:
        assert (await socket.hear())["degraded"] == ["database"]
        hangs.set()
        await socket.until("snapshot")


async def test_of_many_browsers_that_come_at_once_only_some_ask_the_records_at_the_same_time(desk):
    asking, most = 0, 0

    async def sign_in() -> Place:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await desk.teller.db.read(lambda session: None)
        asking -= 1
        return zeynep(desk)

    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(browser(desk, sign_in=sign_in)) for _ in range(4 * ENTER_AT_ONCE)]
        for socket in sockets[-SOCKETS_MAX:]:
            await socket.until("snapshot")
    assert most == ENTER_AT_ONCE


async def test_strangers_are_sent_away_before_they_have_said_a_word(desk):
    async def nobody() -> None:
        return None

    async with browser(desk, sign_in=nobody, hello=False) as socket:
        assert (await closed(socket)).code == 4401


async def test_a_command_that_the_records_hold_up_does_not_stop_the_answers_to_pings(desk, monkeypatch):
    monkeypatch.setattr(pulse, "PING_S", 0.01)
    monkeypatch.setattr(pulse, "SILENCE_S", 0.2)
    held = asyncio.Event()

    async def hangs(*_: Any, **__: Any) -> None:
        await held.wait()
        raise DatabaseTimeout("10 s")

    async with browser(desk) as socket:
        await socket.until("snapshot")
        works, desk.teller.db.work = desk.teller.db.work, hangs
        socket.say(type="command", key="key-00000001", name="note", conversation="c", text="x")
        for _ in range(30):
            await socket.until("ping")
            socket.say(type="pong", seq=0)
        held.set()
        assert (await socket.until("result"))["error"]["code"] == "busy"
        desk.teller.db.work = works
