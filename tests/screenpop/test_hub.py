"""Pushed state equals reloaded state, after every step of every story; and whoever was away gets what he missed, once."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest

from cti import ledger
from cti.channels import intake
from cti.events import NoteWritten
from cti.records import contact_points, outages, tickets
from screenpop import board, hub, seat
from screenpop.hub import Hub
from screenpop.protocol import HAVE_MAX, Message
from screenpop.seat import Owner, Socket
from tests.fakes import company, story
from tests.fakes.live_desk import ZEYNEP, LiveDesk
from tests.fakes.page import Page
from tests.fakes.story import row_of

RINGS = [
    {"flow": "arrives", "number": company.HIS},
    {"flow": "queues", "intent": "fault"},
    {"fact": "DeviceRinging", "agent": "zeynep"},
]
ANSWERS = [{"fact": "DeviceAnswered", "agent": "zeynep"}]


@pytest.mark.parametrize("path", story.stories(), ids=lambda path: path.stem)
async def test_pushed_equals_reloaded_after_every_step(path, desk):
    for step in story.read(path)["steps"]:
        await desk.live(desk.teller.step(step))


async def talking(desk: LiveDesk) -> str:
    """Zeynep talks to Ali; returns the conversation."""
    await desk.teller.tell([*RINGS, *ANSWERS])
    await desk.settle()
    (card,) = desk.pages["zeynep"].seat["cards"]
    return str(card["id"])


async def test_an_outage_that_opens_during_the_talk_comes_to_the_card(desk, now):
    await talking(desk)
    await desk.live(desk.teller.db.work(
        outages.open_outage, area="Kadıköy-3", kind="dsl", started_at=now, estimate_at=None, now=now
    ))  # fmt: skip
    assert [each["kind"] for each in desk.pages["zeynep"].seat["cards"][0]["outages"]] == ["dsl"]


async def test_a_message_of_five_seconds_ago_comes_to_the_timeline(desk, now):
    await talking(desk)

    def tweets(session):
        ali = contact_points.links_to(session, company.HIS)[0].party_id
        said = intake.Message(
            channel="social", direction="in", contact_point=None, at=desk.teller.now, text="Hâlâ yok!", party=ali
        )
        intake.receive(session, said, now)

    await desk.live(desk.teller.db.work(tweets))
    assert desk.pages["zeynep"].seat["cards"][0]["timeline"][0]["text"] == "Hâlâ yok!"


async def test_a_contact_by_sms_about_the_ticket_on_the_card_is_counted_there(desk, now):
    await desk.teller.tell([RINGS[0], {"flow": "opens_ticket"}, *RINGS[1:], *ANSWERS])
    await desk.settle()

    def again(session):
        dsl = row_of(session, "c1").subscription_id
        tickets.open_once(
            session, subscription=dsl, party=None, matter="fault", channel="sms", conversation=None, text="?", now=now
        )  # fmt: skip

    await desk.live(desk.teller.db.work(again))
    assert desk.pages["zeynep"].seat["cards"][0]["tickets"][0]["contacts"] == 2


async def test_a_second_call_from_the_same_number_comes_to_the_first_one_s_timeline(desk):
    await talking(desk)
    for step in (
        {"flow": "arrives", "number": company.HIS, "channel": "c2"},
        {"flow": "queues", "intent": "billing", "channel": "c2"},
        {"fact": "ChannelGone", "channel": "c2"},
    ):
        await desk.live(desk.teller.step(step))
    assert [each["subject"] for each in desk.pages["zeynep"].seat["cards"][0]["timeline"]] == ["billing", ""]


async def test_what_happens_while_a_seat_is_being_read_is_not_lost(desk, now):
    """The look has seen the database, the event comes, the look is shown: the card was not there yet to be marked."""
    desk.gate.clear()
    desk.seen.clear()
    await desk.teller.tell([*RINGS])
    await desk.seen.wait()
    await desk.teller.db.work(
        outages.open_outage, area="Kadıköy-3", kind="dsl", started_at=now, estimate_at=None, now=now
    )
    desk.gate.set()
    await desk.same()
    assert desk.pages["zeynep"].seat["cards"][0]["outages"]


async def test_an_agent_without_an_offer_gets_no_message(desk):
    before = len(desk.pages["murat"].taken)
    await desk.teller.tell([*RINGS, *ANSWERS])
    await desk.pages["zeynep"].until("0")
    assert desk.reads.count({}) == 0
    desk.pages["murat"].take_all()
    assert len(desk.pages["murat"].taken) == before


async def test_an_offer_that_was_withdrawn_and_made_again_is_one_card(desk):
    again = {"fact": "DeviceRinging", "agent": "zeynep", "device_channel": "zeynep-2", "after_s": 5}
    await desk.teller.tell([*RINGS, {"fact": "DeviceStopped", "agent": "zeynep"}])
    await desk.settle()
    (missed,) = desk.pages["zeynep"].seat["cards"]
    await desk.live(desk.teller.step(again))
    (card,) = desk.pages["zeynep"].seat["cards"]
    assert (missed["state"], card["state"]) == ("withdrawn", "offered")
    assert card["id"] == missed["id"]
    assert card["offer"] != missed["offer"]


async def test_a_missed_offer_goes_by_itself_after_half_an_hour(desk):
    await desk.teller.tell([*RINGS, {"fact": "DeviceStopped", "agent": "zeynep"}])
    await desk.settle()
    assert desk.pages["zeynep"].seat["cards"]
    desk.teller.now += dt.timedelta(seconds=board.WITHDRAWN_KEPT_S + 1)
    desk.hub.sweep()
    await desk.same()
    assert desk.pages["zeynep"].seat["cards"] == []


# --- coming back ---


async def test_who_comes_back_gets_exactly_what_he_missed(desk):
    stays, leaves = desk.pages["zeynep"], await Page(desk.pages["zeynep"].live).open()
    await talking(desk)
    leaves.take_all()
    leaves.leave()
    known = len(leaves.taken)
    missed_from = leaves.seq or 0
    await desk.live(desk.teller.command("note", by="zeynep", text="Modem"))
    await desk.live(desk.teller.step({"fact": "TalkEnded", "agent": "zeynep"}))
    await leaves.open()
    resumed, *events = leaves.taken[known:]
    expected = {"type": "resumed", "epoch": stays.epoch, "seq": stays.seq, "leader": False, "changes": []}
    assert resumed == expected
    assert [each["seq"] for each in events] == list(range(missed_from + 1, (stays.seq or 0) + 1))
    assert leaves.seat == stays.seat


async def test_who_was_away_too_long_gets_the_difference(desk):
    page = desk.pages["murat"]
    del desk.pages["murat"]
    page.take_all()
    page.leave()
    other = await Page(page.live).open()
    for number in range(seat.HISTORY_MAX + 1):
        desk.looks = 1000 + number
        page.live.mark("nothing of this name")
        await other.until(str(desk.looks))
    await page.open()
    assert page.taken[-1]["type"] == "resumed"
    assert [change["part"] for change in page.taken[-1]["changes"]] == ["agent"]
    assert page.seat == other.seat
    assert page.seq == other.seq


async def test_everything_that_can_be_replayed_fits_into_one_browser_s_queue(desk):
    page = desk.pages["murat"]
    del desk.pages["murat"]
    page.leave()
    other = await Page(page.live).open()
    for number in range(seat.HISTORY_MAX):
        desk.looks = 1000 + number
        page.live.mark("nothing of this name")
        await other.until(str(desk.looks))
    await page.open()
    assert not page.socket.slow.is_set()
    assert page.taken[-1]["seq"] == other.seq


async def test_on_another_node_a_page_gets_only_what_differs_and_goes_on_from_there(desk):
    await desk.teller.tell([*RINGS, {"fact": "DeviceStopped", "agent": "zeynep"}])
    await desk.settle()
    page = desk.pages["zeynep"]
    page.leave()
    page.live = Hub(desk.read, lambda: desk.teller.now.timestamp()).seat(ZEYNEP)
    known = len(page.taken)
    await page.open()
    (resumed,) = page.taken[known:]
    assert resumed["epoch"] == page.epoch == page.live.epoch
    assert [change["part"] for change in resumed["changes"]] == ["agent"]
    await desk.same()
    page.live.stop()


def first_message(socket: Socket) -> Message:
    message = socket.queue.get_nowait()
    assert isinstance(message, dict)
    return message


TOO_MANY = {str(number): "" for number in range(HAVE_MAX)}


@pytest.mark.parametrize(("have", "epoch"), [(None, "another"), ({}, None), (TOO_MANY, "another")])
async def test_what_is_doubtful_ends_in_a_snapshot(desk, have, epoch):
    socket = Socket()
    await desk.pages["zeynep"].live.attach(socket, epoch, 3, have)
    assert first_message(socket)["type"] == "snapshot"


@pytest.mark.parametrize(("epoch", "seq"), [("another life of this seat", 0), (None, None), ("same", 999)])
async def test_who_cannot_be_right_about_what_he_saw_gets_a_snapshot(desk, epoch, seq):
    live = desk.pages["zeynep"].live
    socket = Socket()
    await live.attach(socket, live.epoch if epoch == "same" else epoch, seq)
    assert first_message(socket)["type"] == "snapshot"


async def test_a_seat_that_nobody_watched_looks_again_when_somebody_comes(desk):
    await desk.teller.tell([*RINGS, {"fact": "DeviceStopped", "agent": "zeynep"}])
    await desk.settle()
    page = desk.pages["zeynep"]
    page.leave()
    desk.teller.now += dt.timedelta(seconds=board.WITHDRAWN_KEPT_S + 1)
    await page.open()
    await desk.same()
    assert page.seat["cards"] == []


# --- slow and many ---


async def test_a_slow_browser_is_given_up_and_the_others_get_everything(desk):
    slow = Socket()
    live = desk.pages["zeynep"].live
    await live.attach(slow, None, None)
    for number in range(seat.QUEUE_MAX):
        desk.looks = 1000 + number
        live.mark("nothing of this name")
        await desk.pages["zeynep"].until(str(desk.looks))
    assert slow.slow.is_set()
    assert not desk.pages["zeynep"].socket.slow.is_set()


async def test_a_sixth_tab_closes_the_oldest(desk):
    live = desk.pages["murat"].live
    oldest = desk.pages["murat"].socket
    for _ in range(seat.SOCKETS_MAX):
        await live.attach(Socket(), None, None)
    assert oldest.slow.is_set()
    assert len(live.sockets) == seat.SOCKETS_MAX


async def test_a_seat_is_forgotten_when_its_last_page_is_long_gone(desk):
    desk.pages["murat"].live.detach(desk.pages["murat"].socket, desk.teller.now.timestamp())
    desk.teller.now += dt.timedelta(seconds=hub.IDLE_S + 1)
    desk.hub.sweep()
    assert list(desk.hub.seats) == ["zeynep"]
    assert not desk.hub.is_live("murat")


async def test_another_language_changes_every_tab_of_the_seat(desk):
    desk.hub.seat(Owner(ZEYNEP.user, ZEYNEP.name, ZEYNEP.agent, "tr"))
    await desk.same()
    assert "Bilgi verildi" in [each["name"] for each in desk.pages["zeynep"].seat["dispositions"]]


async def test_the_first_browser_leads_and_when_it_goes_the_next_one_is_told(desk):
    first = desk.pages["zeynep"]
    second, third = await Page(first.live).open(), await Page(first.live).open()
    assert [page.leader for page in (first, second, third)] == [True, False, False]
    first.leave()
    for page in (second, third):
        page.take_all()
    assert [page.leader for page in (second, third)] == [True, False]
    await first.open()
    assert not first.leader


async def test_a_browser_that_comes_back_before_its_dead_socket_was_noticed_still_leads(desk):
    page = desk.pages["zeynep"]
    page.leave()
    page.browser = "laptop"
    await page.open()
    dead = page.socket
    other = await Page(page.live).open()
    await page.open()
    assert dead.slow.is_set()
    assert dead not in page.live.sockets
    other.take_all()
    assert (page.leader, other.leader) == (False, True), "the other browser rang meanwhile, and goes on"
    other.leave()
    await page.open()
    assert (page.leader, len(page.live.sockets)) == (True, 1)


async def test_the_house_hears_of_the_first_page_and_of_the_end_of_the_last(desk):
    told: list[tuple[str, str]] = []
    desk.hub.on_seat = lambda agent, what: told.append((agent, what))
    page = desk.pages["zeynep"]
    other = await Page(page.live).open()
    page.leave()
    other.live.detach(other.socket, 0.0, left=True)
    other.live.detach(other.socket, 0.0)
    await page.open()
    page.leave()
    assert told == [("zeynep", "left"), ("zeynep", "attached"), ("zeynep", "lost")]


# --- faults, said aloud ---


async def test_every_browser_hears_once_what_is_away_and_who_comes_hears_it_too(desk):
    page = desk.pages["zeynep"]
    for _ in range(2):
        desk.hub.tell_state(frozenset({"switch", "database"}))
    ready = page.socket.queue.get_nowait()
    assert isinstance(ready, str), "expected text that was written once for all"
    page.take(ready)
    assert (page.degraded, page.leader, page.socket.queue.empty()) == (["database", "switch"], True, True)
    other = await Page(page.live).open()
    assert (other.degraded, other.leader) == (["database", "switch"], False)
    desk.hub.tell_state(frozenset())
    other.take_all()
    assert other.degraded == []
    assert (await Page(page.live).open()).taken[-1]["type"] == "snapshot"


async def test_without_records_time_alone_makes_nobody_look(desk):
    desk.hub.tell_state(frozenset({"database"}))
    desk.reads.clear()
    desk.hub.sweep()
    await asyncio.sleep(0)
    assert desk.reads == []


async def test_every_browser_is_asked_to_move_at_a_moment_of_its_own(desk):
    others = [await Page(desk.pages["zeynep"].live).open() for _ in range(3)]
    desk.hub.move_all(5)
    asked = [page.socket.queue.get_nowait() for page in (*desk.pages.values(), *others)]
    assert {each["type"] for each in asked} == {"move"}
    assert all(0 <= each["after_ms"] <= 5000 for each in asked)
    assert len({each["after_ms"] for each in asked}) > 1


async def test_a_look_that_fails_is_tried_again_by_itself(desk, monkeypatch):
    monkeypatch.setattr(seat, "RETRY_S", 0.01)
    await talking(desk)
    works, calls = desk.teller.db.read, []

    async def fails_once(*args: Any, **given: Any) -> Any:
        calls.append(1)
        if len(calls) < 3:  # the look, and the one at the agent alone
            raise OSError("connection refused")
        return await works(*args, **given)

    desk.teller.db.read = fails_once
    await desk.teller.db.work(_note, desk.teller.now)
    page = desk.pages["zeynep"]
    while page.seat["cards"][0]["note"] != "kept":
        page.take(await asyncio.wait_for(page.socket.queue.get(), 5))
    desk.teller.db.read = works


async def test_a_look_that_fails_is_made_up_for_by_the_next_one(desk):
    await talking(desk)
    works = desk.teller.db.read

    failed = asyncio.Event()

    async def fails(*_: Any, **__: Any) -> Any:
        failed.set()
        raise TimeoutError("the database is away")

    desk.teller.db.read = fails
    await desk.teller.db.work(_note, desk.teller.now)
    await failed.wait()
    desk.teller.db.read = works
    await desk.same()
    assert desk.pages["zeynep"].seat["cards"][0]["note"] == "kept"


def _note(session: Any, now: dt.datetime) -> None:
    row = row_of(session, "c1")
    row.note = "kept"
    event = NoteWritten(conversation=row.id, agent="zeynep", text="kept")
    ledger.append(session, event, now=now)
