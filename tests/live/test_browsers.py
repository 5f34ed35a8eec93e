"""Agents' browsers through every fault: closed, killed, hung, moved to another node, without records, and several at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright, expect

from cti import run
from cti.app import utc_now
from cti.db import DatabaseTimeout
from cti.demo.phones import Behaviour
from cti.events import NoteWritten
from cti.records.presence import UNREACHABLE
from screenpop import pulse
from screenpop.protocol import Message
from screenpop.seat import LiveSeat
from screenpop.unwritten import UnwrittenOffer
from tests.live import site as live
from tests.live.desk import ARGUMENTS, LIMIT_MS, Desk, at_desk
from tests.live.site import ANSWERS, STORY, Site
from tests.live.test_pages import violations

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

RINGS_LONG = Behaviour(answer_s=20.0, talk_s=None)
ALARMS = """() => {
    window.alarms = [];
    const look = () => document.body.dataset.connection !== "connected" && window.alarms.push(document.body.dataset.connection);
    new MutationObserver(look).observe(document.body, { attributes: true });
}"""


class Seats:
    """What the hub says of agents' pages, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    def hear(self, agent: str, what: str) -> None:
        self.told.append((agent, what))
        self._news.set()

    async def until(self, what: str, count: int = 1) -> None:
        """1001's page has become this so often; AssertionError with what came instead."""
        try:
            async with asyncio.timeout(live.LIMIT_S):
                while self.told.count(("1001", what)) < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"expected {count} x {what}, came: {self.told}") from None


@pytest.fixture
def seats(site: Site) -> Any:
    told, before = Seats(), site.house.hub.on_seat

    def hear(agent: str, what: str) -> None:
        told.hear(agent, what)
        before(agent, what)

    site.house.hub.on_seat = hear  # beside the house itself
    yield told
    site.house.hub.on_seat = before


@contextlib.asynccontextmanager
async def own_browser(folder: Path) -> AsyncIterator[tuple[Browser, int]]:
    """A Chromium of this test's own, with the id of its process group."""
    program = await asyncio.to_thread(run.chromium, live.settings_in(folder), live.quiet)
    mark = f"--mark={folder}"  # no option of Chromium's: by it we find the process
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS, mark])
        group = leader_with(mark)
        try:
            yield browser, group
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def leader_with(argument: str) -> int:
    """The process that was started with this argument and leads its group."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            given = (folder / "cmdline").read_bytes().split(b"\0")
            if argument.encode() in given and os.getpgid(int(folder.name)) == int(folder.name):
                return int(folder.name)
    raise AssertionError(f"expected a process that was started with {argument}")


# --- who is there ---


async def test_closing_the_last_tab_is_leaving_and_a_reload_is_not_being_lost(
    site: Site, browser: Browser, seats: Seats
) -> None:
    async with at_desk(site, browser, "agent1001") as desk:
        await seats.until("attached")
        second = await desk.context.new_page()
        await second.goto(site.url + "/desk")
        await expect(second.locator("body[data-connection=connected]")).to_be_attached(timeout=LIMIT_MS)
        await second.close()
        assert seats.told == [("1001", "attached")]
        await desk.page.reload()
        await desk.connected()
        await seats.until("attached", seats.told.count(("1001", "attached")))
        assert ("1001", "lost") not in seats.told
        left = seats.told.count(("1001", "left"))
        await desk.page.close()
        await seats.until("left", left + 1)
        assert ("1001", "lost") not in seats.told


async def test_a_browser_that_is_killed_is_lost_at_once(site: Site, seats: Seats, tmp_path: Path) -> None:
    async with own_browser(tmp_path) as (browser, group):
        with contextlib.suppress(Exception):  # Playwright's own words for a browser that is no more
            async with at_desk(site, browser, "agent1001"):
                await seats.until("attached")
                os.killpg(group, signal.SIGKILL)
                await seats.until("lost")
    assert seats.told == [("1001", "attached"), ("1001", "lost")]


async def test_a_browser_that_hangs_is_lost_after_six_seconds(site: Site, seats: Seats, tmp_path: Path) -> None:
    async with own_browser(tmp_path) as (browser, group), at_desk(site, browser, "agent1001") as desk:
        await seats.until("attached")
        os.killpg(group, signal.SIGSTOP)
        since_s = asyncio.get_running_loop().time()
        await seats.until("lost")
        assert asyncio.get_running_loop().time() - since_s < 7
        os.killpg(group, signal.SIGCONT)
        await seats.until("attached", 2)
        await desk.connected()


async def test_a_page_that_hears_nothing_says_so_within_seven_seconds_and_comes_back(
    site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_desk(site, browser, "agent1001") as desk:
        with monkeypatch.context() as patch:
            patch.setattr(site.house.hub.pulse, "ask", lambda lines: None)
            patch.setattr(pulse, "SILENCE_S", 60.0)
            await desk.drop()
            since_s = asyncio.get_running_loop().time()
            await expect(desk.page.locator("body[data-connection=stale]")).to_be_attached(timeout=LIMIT_MS)
        assert 4 < asyncio.get_running_loop().time() - since_s < 7
        await expect(desk.page.locator("santral-connection")).to_contain_text("Bağlantı yok")
        await desk.connected()
        assert asyncio.get_running_loop().time() - since_s < 11


async def test_an_agent_who_was_passed_by_is_told_so_when_his_page_is_back(site: Site, browser: Browser) -> None:
    await site.house.controls.pause("PJSIP/1001", True, UNREACHABLE)
    async with at_desk(site, browser, "agent1001") as desk:
        told = desk.page.locator("[data-unreachable]")
        await expect(told).to_contain_text("çağrılar size yönlendirilmedi", timeout=LIMIT_MS)
        await site.house.controls.pause("PJSIP/1001", False, "")
        await expect(desk.page.locator("[data-agent=ready]")).to_be_attached(timeout=LIMIT_MS)
        assert await violations(desk.page) == []
        await told.locator("button").click()
        await expect(told).to_have_count(0)


# --- many tabs ---


async def test_of_two_tabs_and_another_browser_one_rings(site: Site, browser: Browser) -> None:
    await site.phones.set(RINGS_LONG, "1001")
    rings = "body[data-rings=true]"
    async with at_desk(site, browser, "agent1001") as first, at_desk(site, browser, "agent1001") as other:
        tab = Desk(site, first.context, await first.context.new_page())
        await tab.open()
        async with site.call(STORY, ["0"]) as placed:
            for desk in (first, tab, other):
                await desk.card(placed.conversation, "offered")
            shown = [await desk.page.locator(rings).count() for desk in (first, tab, other)]
            assert sum(shown) == 1
            assert shown[2] == 0  # the browser that came first rings
            await first.page.close()
            await expect(tab.page.locator(rings)).to_be_attached(timeout=LIMIT_MS)
            await tab.page.close()
            await expect(other.page.locator(rings)).to_be_attached(timeout=LIMIT_MS)
    await site.phones.set(ANSWERS, "1001")


# --- draining, and parts of ours that are away ---


async def test_a_page_that_is_asked_to_move_comes_back_without_alarm(site: Site, browser: Browser) -> None:
    async with at_desk(site, browser, "agent1001") as desk:
        await desk.page.evaluate(ALARMS)
        (before,) = site.house.hub.seats["1001"].sockets
        site.house.hub.move_all(0.2)
        while [before] == site.house.hub.seats["1001"].sockets or not site.house.hub.is_live("1001"):
            await desk.page.wait_for_timeout(20)
        assert await desk.page.evaluate("window.alarms") == []
        assert desk.troubles == []


async def test_a_node_that_never_saw_this_page_sends_only_what_differs(
    site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, snapshot = site.house.hub, LiveSeat.snapshot
    whole: list[str] = []

    def counted(seat: LiveSeat, leader: bool) -> Message:
        whole.append(seat.name)
        return snapshot(seat, leader)

    monkeypatch.setattr(LiveSeat, "snapshot", counted)
    async with at_desk(site, browser, "agent1001") as desk, site.call(STORY, ["0"]) as placed:
        before = await desk.card(placed.conversation, "talking")
        whole.clear()
        hub.seats.pop("1001").stop()  # as another node, which has no seat of this agent yet
        await desk.drop()
        assert whole == []
        assert await desk.card(placed.conversation, "talking") == before
        await desk.page.locator(f'[data-note="{placed.conversation}"]').fill("Yeni düğüm")
        await site.until(NoteWritten, placed.conversation)
        await desk.until("() => window.santral.seat().cards[0].note === 'Yeni düğüm'")


async def test_what_is_away_is_said_above_the_desk_and_takes_no_focus(site: Site, browser: Browser) -> None:
    async with at_desk(site, browser, "agent1001") as desk:
        before = await desk.page.evaluate("document.activeElement.tagName")
        site.house.hub.tell_state(frozenset({"database", "switch"}))
        states = desk.page.locator("santral-state [role=status]")
        await expect(states).to_contain_text("Kayıtlara şu anda ulaşılamıyor", timeout=LIMIT_MS)
        await expect(states).to_contain_text("Santrale şu anda ulaşılamıyor")
        assert await desk.page.evaluate("document.activeElement.tagName") == before
        site.house.hub.tell_state(frozenset())
        await expect(states).to_have_text("", timeout=LIMIT_MS)


async def test_a_page_that_comes_back_while_the_records_are_away_is_told_so_and_let_in_later(
    site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise DatabaseTimeout("10 s")

    async with at_desk(site, browser, "agent1001") as desk:
        with monkeypatch.context() as patch:
            patch.setattr(site.house.db, "read", away)
            patch.setattr(site.house.db, "work", away)
            await desk.page.evaluate("window.santral.drop()")
            states = desk.page.locator("santral-state [role=status]")
            await expect(states).to_contain_text("Kayıtlara şu anda ulaşılamıyor", timeout=LIMIT_MS)
            assert (await desk.seat())["agent"]["agent"] == "1001"  # what was shown stays
        await desk.connected()
        await expect(states).to_have_text("", timeout=LIMIT_MS)


async def test_a_ringing_that_could_not_be_written_shows_its_number(site: Site, browser: Browser) -> None:
    offer = UnwrittenOffer(
        device_channel="d1", channel="c1", agent="1001", number_raw=STORY, queue="technical", rang_at=utc_now()
    )
    async with at_desk(site, browser, "agent1001") as desk:
        site.house.hub.offer_unwritten("1001", offer)
        pop = desk.page.locator("[data-pop]")
        await expect(pop.locator(".big-number")).to_have_text("0532 555 01 23", timeout=LIMIT_MS)
        await expect(pop.locator("[data-headline]")).to_contain_text("Kayıtlara ulaşılamıyor")
        await expect(desk.page.locator("santral-timeline")).not_to_contain_text("Henüz temas yok")
        site.house.hub.unwritten_answered("d1", utc_now())
        await expect(desk.page.locator("[data-pop][data-state=talking]")).to_be_attached(timeout=LIMIT_MS)
        assert await violations(desk.page) == []
        site.house.hub.unwritten_gone("d1")
        await expect(pop).to_have_count(0, timeout=LIMIT_MS)
        assert desk.troubles == []
