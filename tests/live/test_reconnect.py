"""A page whose socket was cut shows what a freshly loaded one shows, at every point of a call."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from cti.demo.phones import Behaviour
from cti.events import NoteWritten, TicketAppended, TicketOpened
from screenpop import board
from screenpop.seat import Owner
from tests.live.desk import Desk, Json, at_desk, true_on
from tests.live.site import ANSWERS, STORY, Site

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

OWNER = Owner("agent1001", "Ayşe Demir", "1001", "tr")
SLOWLY = Behaviour(answer_s=4.0, talk_s=None)
SAME = """wanted => {
    const sorted = it => Array.isArray(it) ? it.map(sorted) : it && typeof it === "object"
        ? Object.fromEntries(Object.keys(it).sort().map(key => [key, sorted(it[key])])) : it;
    return JSON.stringify(sorted(window.santral.seat())) === JSON.stringify(sorted(wanted));
}"""


async def the_seat(site: Site) -> Json:
    """What the records say now: the page's whole content, read anew."""
    seat: Json = board.plain((await site.house._look(OWNER, None, None)).seat)
    return seat


async def same(site: Site, browser: Browser, desk: Desk, point: str) -> None:
    """Page, freshly loaded page and records come to agree; facts that are still on their way may take their time."""
    async with at_desk(site, browser, "agent1001") as fresh:
        for _ in range(5):
            wanted = await the_seat(site)
            try:
                for page in (fresh.page, desk.page):
                    await true_on(page, SAME, wanted, 2.0)
                return
            except TimeoutError:
                continue
        wanted = await the_seat(site)
        assert await fresh.seat() == wanted, f"{point}: a fresh page and the records"
        assert await desk.seat() == wanted, f"{point}: the page that came back, and the records"


async def test_page_that_lost_its_socket_equals_a_fresh_one_at_each_point_of_the_call(
    site: Site, browser: Browser
) -> None:
    await site.phones.set(SLOWLY, "1001")
    async with site.call("05335550145", ["1", "1"]) as opening:
        opened = await site.until(TicketOpened, opening.conversation)
    async with at_desk(site, browser, "agent1001") as desk:
        async with site.call(STORY, ["0"]) as placed:
            conversation = placed.conversation
            await desk.card(conversation, "offered")
            await desk.drop()
            await same(site, browser, desk, "offered")
            await desk.card(conversation, "talking")
            await desk.drop()
            await same(site, browser, desk, "answered")
            await desk.page.locator(f'[data-note="{conversation}"]').fill("Kablo takılı, ışık yanmıyor.")
            await desk.drop()  # before the note was saved: it must not be lost
            await desk.page.locator(f'[data-note="{conversation}"]').blur()
            await site.until(NoteWritten, conversation)
            await same(site, browser, desk, "note typed")
            await desk.page.evaluate("window.santral.drop()")  # what happens now is heard of after coming back
            await append(site, conversation)
            await desk.connected()
            await desk.until(
                "([id, number]) => window.santral.seat().cards.find(it => it.id === id).tickets"
                ".some(it => it.number === number && it.contacts === 2)",
                [conversation, opened.number],
            )
            await same(site, browser, desk, "ticket appended")
            await desk.page.evaluate("window.santral.drop()")
        await desk.connected()
        card = await desk.card(conversation, "wrap_up")
        assert card["note"] == "Kablo takılı, ışık yanmıyor."
        await desk.drop()
        await same(site, browser, desk, "cleared")
        await desk.wrap_up(conversation, "information")
        await desk.drop()
        await same(site, browser, desk, "wrapped up")
        assert desk.troubles == []
    await site.phones.set(ANSWERS, "1001")


async def append(site: Site, conversation: str) -> None:
    """The agent asks for a ticket about the matter that has one."""
    async with site.signed_in("agent1001") as client:
        asked = {
            "subscription": await site.subscription(),
            "matter": "fault",
            "conversation": conversation,
            "text": "Işık yok.",
        }
        answer = await client.post("/api/v1/tickets", json=asked)
    assert answer.status_code == 200, answer.text
    await site.until(TicketAppended, conversation)
