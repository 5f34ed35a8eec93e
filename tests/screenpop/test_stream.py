"""One browser's socket, from hello to close: what it may say, what it is told, and how it ends."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from cti import ledger
from cti.db import DatabaseTimeout, Overloaded
from cti.events import NoteWritten
from cti.records.conversations import Offer
from screenpop import pulse, seat, stream
from screenpop.protocol import MESSAGE_MAX_BYTES
from tests.fakes import company
from tests.fakes.live_desk import LiveDesk
from tests.fakes.sign_ins import FakeSignIns
from tests.fakes.visit import HELLO, HERS, browser, closed

RINGS = [
    {"flow": "arrives", "number": company.HIS},
    {"flow": "queues", "intent": "fault"},
    {"fact": "DeviceRinging", "agent": "zeynep"},
]
ANSWERS = {"fact": "DeviceAnswered", "agent": "zeynep"}


@pytest.fixture
def sign_ins() -> FakeSignIns:
    return FakeSignIns()


async def offer(desk: LiveDesk) -> Offer:
    def newest(session: Session) -> Offer:
        return session.scalars(select(Offer).order_by(Offer.offered_at.desc())).one()

    return await desk.teller.db.read(newest)


# --- hello ---


async def test_hello_is_answered_with_the_seat_and_then_with_what_changes(desk):
    async with browser(desk) as socket:
        snapshot = await socket.hear()
        assert (snapshot["type"], snapshot["seat"]["cards"]) == ("snapshot", [])
        await desk.teller.tell(RINGS)
        event = await socket.until("event")
        assert [change["part"] for change in event["changes"]] == ["card"]


async def test_who_comes_back_is_resumed(desk):
    async with browser(desk) as socket:
        snapshot = await socket.hear()
    await desk.teller.tell(RINGS)
    await desk.settle()
    async with browser(desk, hello=False) as socket:
        socket.say(**HELLO, epoch=snapshot["epoch"], seq=snapshot["seq"])
        assert (await socket.hear())["type"] == "resumed"
        assert (await socket.hear())["seq"] == snapshot["seq"] + 1


@pytest.mark.parametrize(
    ("first", "code", "why"),
    [
        ('{"type": "hello", "v": 99}', 4400, "please reload"),
        ('{"type": "pong", "seq": 1}', 4400, "please reload"),
        ('{"type": "teleport"}', 4400, "expected hello"),
        ("no JSON at all", 4400, "expected hello"),
        (" " * (MESSAGE_MAX_BYTES + 1), 1009, "at most"),
    ],
)
async def test_a_first_message_that_is_no_hello_of_our_version_is_the_last(desk, first, code, why):
    async with browser(desk, hello=False) as socket:
        socket.say_text(first)
        end = await closed(socket)
        assert end.code == code
        assert why in str(end)


async def test_bytes_are_refused(desk):
    async with browser(desk, hello=False) as socket:
        socket.say_bytes(b"\x00")
        assert (await closed(socket)).code == 4400


async def test_who_says_nothing_is_not_waited_for(desk, monkeypatch):
    monkeypatch.setattr(stream, "HELLO_WAIT_S", 0.01)
    async with browser(desk, hello=False) as socket:
        assert (await closed(socket)).code == 4400


@pytest.mark.parametrize("foreign", [{"type": "teleport"}, HELLO, {"type": "seen"}, {"type": "pong", "seq": 1, "x": 1}])
async def test_a_foreign_message_ends_the_connection(desk, foreign):
    async with browser(desk) as socket:
        socket.say(**foreign)
        assert (await closed(socket)).code == 4400


# --- commands ---


async def talks(desk: LiveDesk) -> str:
    await desk.teller.tell([*RINGS, ANSWERS])
    await desk.settle()
    return str(desk.pages["zeynep"].seat["cards"][0]["id"])


async def test_a_command_that_comes_twice_under_one_key_is_done_once_and_answered_twice(desk):
    conversation = await talks(desk)
    async with browser(desk) as socket:
        for text in ("first", "second"):
            socket.say(type="command", key="key-00000001", name="note", conversation=conversation, text=text)
            assert await socket.until("result") == {"type": "result", "key": "key-00000001", "ok": True}
    written = [
        each.event.text for each in await desk.teller.db.read(ledger.since, 0) if isinstance(each.event, NoteWritten)
    ]
    assert written == ["first"]


async def test_a_command_that_cannot_be_done_says_why(desk):
    async with browser(desk) as socket:
        socket.say(type="command", key="key-00000001", name="note", conversation="of somebody else", text="x")
        result = await socket.until("result")
        assert (result["ok"], result["error"]["code"]) == (False, "not_yours")


@pytest.mark.parametrize("trouble", [Overloaded("2000 works wait"), DatabaseTimeout("10 s")])
async def test_a_busy_database_is_told_and_the_socket_stays(desk, trouble):
    async def busy(*_: Any, **__: Any) -> None:
        raise trouble

    async with browser(desk) as socket:
        await socket.hear()
        works, desk.teller.db.work = desk.teller.db.work, busy
        socket.say(type="command", key="key-00000001", name="note", conversation="c", text="x")
        assert (await socket.until("result"))["error"]["code"] == "busy"
        socket.say(type="seen", offer="o1")
        socket.say(type="command", key="key-00000002", name="ready")
        assert (await socket.until("result"))["ok"]
        desk.teller.db.work = works


async def test_a_missed_offer_that_is_put_away_goes_from_every_page(desk):
    await desk.teller.tell([*RINGS, {"fact": "DeviceStopped", "agent": "zeynep"}])
    await desk.settle()
    (missed,) = desk.pages["zeynep"].seat["cards"]
    async with browser(desk) as socket:
        socket.say(type="command", key="key-00000001", name="dismiss", conversation=missed["id"])
        event = await socket.until("event")
        assert event["changes"] == [{"part": "card_gone", "id": missed["id"]}]
    await desk.same()


# --- painted, seen ---


async def test_painted_and_seen_are_measured_from_the_switch_s_event_the_first_time_only(desk):
    await desk.teller.tell(RINGS)
    rang = await offer(desk)
    async with browser(desk) as socket:
        for after_s in (0.25, 5):
            desk.teller.now += dt.timedelta(seconds=after_s)
            socket.say(type="painted", offer=rang.id, ms=12.5)
            socket.say(type="seen", offer=rang.id)
            socket.say(type="command", key=f"key-{after_s:08}", name="ready")
            await socket.until("result")
    kept = await offer(desk)
    assert (kept.painted_ms, kept.seen_ms) == (250.0, 250.0)
    events = [each.event for each in await desk.teller.db.read(ledger.since, 0) if each.event.type.startswith("offer.")]
    assert [(each.type, each.acked_ms) for each in events] == [("offer.painted", 250.0), ("offer.seen", 250.0)]
    assert events[0].browser_ms == 12.5


async def test_somebody_else_s_offer_is_not_acknowledged(desk):
    await desk.teller.tell([*RINGS[:2], {"fact": "DeviceRinging", "agent": "murat"}])
    async with browser(desk) as socket:
        socket.say(type="painted", offer=(await offer(desk)).id, ms=1)
        socket.say(type="painted", offer="there is no such offer", ms=1)
        socket.say(type="command", key="key-00000001", name="ready")
        await socket.until("result")
    assert (await offer(desk)).painted_ms is None


# --- ends ---


async def test_who_signed_out_sees_no_more_however_much_is_said(desk, sign_ins):
    async with browser(desk, sign_ins=sign_ins) as socket:
        await socket.until("snapshot")
        sign_ins.out.add(HERS)
        for number in range(20):
            socket.say(type="pong", seq=number)
        await sign_ins.check(0)
        assert (await closed(socket)).code == 4401


async def test_a_slow_database_signs_nobody_out(desk, sign_ins):
    async with browser(desk, sign_ins=sign_ins) as socket:
        await socket.until("snapshot")
        sign_ins.trouble = DatabaseTimeout("10 s")
        with pytest.raises(DatabaseTimeout):
            await sign_ins.check(0)
        socket.say(type="command", key="key-00000001", name="ready")
        assert (await socket.until("result"))["ok"]


async def test_coming_working_and_a_call_keep_the_sign_in_alive_and_an_idle_page_does_not(desk, sign_ins):
    async def seen_at(now_s: float) -> int:
        await sign_ins.check(now_s)
        return len(sign_ins.seen)

    async with browser(desk, sign_ins=sign_ins) as socket:
        await socket.until("snapshot")
        assert [await seen_at(now_s) for now_s in (0, 60)] == [1, 1]
        socket.say(type="command", key="key-00000001", name="ready")
        await socket.until("result")
        assert [await seen_at(now_s) for now_s in (120, 180)] == [2, 2]
        await desk.teller.tell(RINGS)
        await socket.until("event")
        assert [await seen_at(now_s) for now_s in (240, 300)] == [3, 4]


async def test_a_browser_that_has_gone_is_asked_about_no_more(desk, sign_ins):
    async with browser(desk, sign_ins=sign_ins) as socket:
        await socket.until("snapshot")
    await sign_ins.check(0)
    assert sign_ins.asked == []


async def test_a_quiet_line_is_pinged(desk, monkeypatch):
    monkeypatch.setattr(pulse, "PING_S", 0.01)
    async with browser(desk) as socket:
        ping = await socket.until("ping")
        assert ping["at_ms"] == round(desk.teller.now.timestamp() * 1000)


async def test_a_browser_that_goes_leaves_nothing_behind(desk):
    before = desk.hub.sockets
    async with browser(desk) as socket:
        await socket.hear()
        assert desk.hub.sockets == before + 1
    assert desk.hub.sockets == before


async def test_a_browser_that_does_not_read_is_closed_and_the_other_page_gets_everything(desk, monkeypatch):
    monkeypatch.setattr(pulse, "PING_S", 0.01)
    monkeypatch.setattr(pulse, "SEND_WAIT_S", 0.05)
    before = desk.hub.sockets
    async with browser(desk, room=1):
        await desk.teller.tell([*RINGS, ANSWERS])
        await desk.same()
    assert desk.hub.sockets == before


async def test_a_browser_whose_queue_ran_over_is_told_to_come_back(desk):
    async with browser(desk) as socket:
        await socket.hear()
        (mine,) = (each for each in desk.pages["zeynep"].live.sockets if each is not desk.pages["zeynep"].socket)
        for number in range(seat.QUEUE_MAX + 1):
            mine.send({"type": "ping", "at_ms": number})
        assert (await closed(socket)).code == 4408


async def test_a_bug_of_ours_ends_one_socket_with_a_word(desk):
    async with browser(desk) as socket:
        await socket.hear()
        desk.hub.agent_changed = lambda agent: 1 / 0
        await desk.teller.tell([*RINGS, {"fact": "DeviceStopped", "agent": "zeynep"}])
        conversation = (await offer(desk)).conversation_id
        socket.say(type="command", key="key-00000001", name="dismiss", conversation=conversation)
        assert (await closed(socket)).code == 1011
