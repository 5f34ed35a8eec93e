"""Who calls, on the agent's real page: chosen, proved, linked and disputed, by keys alone and by clicks; and whoever decides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from cti.app import utc_now
from cti.events import LinkDisputed, LinkMade, LinkProposalSettled, PartyConfirmed, ProofGiven, ProofRefused
from cti.records.parties import Party
from screenpop.commands import By, perform
from screenpop.protocol import Command
from tests.live.desk import LIMIT_MS, Desk, at_desk
from tests.live.site import STRANGER, Site
from tests.live.test_pages import violations

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

CARETAKER = "02165550200"  # the site office from which three unrelated customers call
CUSTOMER_NO, BIRTH_DATE = "M100101", "23.04.1980"  # Mehmet Yılmaz's
SECOND_STRANGER = "05425558888"
SHOTS = os.environ.get("SANTRAL_SHOTS", "")  # a folder for pictures of the screens, for whoever wants to look


async def picture(page: Page, name: str, *, whole: bool = False, narrow: bool = False) -> None:
    """In light and dark; of all of the page, and also as on a telephone, where it is asked for."""
    if not SHOTS:
        return
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        await page.screenshot(path=Path(SHOTS) / f"{name}-{scheme}.png", full_page=whole)
    await page.emulate_media(color_scheme="light")
    if narrow:
        size = page.viewport_size
        for width in (1100, 390):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.screenshot(path=Path(SHOTS) / f"{name}-{width}.png", full_page=True)
        if size:
            await page.set_viewport_size(size)


async def speak(desk: Desk, language: str) -> None:
    await desk.page.evaluate(
        "language => fetch('/api/v1/session/language', {method: 'PUT', headers: {'content-type': 'application/json'},"
        " body: JSON.stringify({language})})",
        language,
    )
    await desk.page.reload()
    await desk.connected()


async def focused(desk: Desk) -> str:
    name: str = await desk.page.evaluate("document.activeElement.id || document.activeElement.tagName")
    return name


async def shifts(desk: Desk) -> float:
    """How much of the page moved by itself since the last time, as browsers count it (CLS; what follows a click within half a second
    does not count)."""
    moved: float = await desk.page.evaluate(
        "() => { const moved = (window.moved ?? 0); window.moved = 0; window.watching ??= (() => { const o = new PerformanceObserver("
        "list => { for (const e of list.getEntries()) if (!e.hadRecentInput) window.moved += e.value; });"
        " o.observe({type: 'layout-shift'}); return o; })(); return moved; }"
    )
    return moved


async def test_a_stranger_proves_himself_is_linked_and_is_known_by_keys_alone(site: Site, browser: Browser) -> None:
    async with at_desk(site, browser, "agent1001") as desk:
        keyboard, page = desk.page.keyboard, desk.page
        async with site.call(STRANGER, ["0"]) as placed:
            conversation = placed.conversation
            card = await desk.card(conversation, "talking")
            assert [each["factor"] for each in card["identity"]["questions"]] == [
                "customer_number", "subscription_number", "landline",
            ]  # fmt: skip
            await picture(page, "stranger-tr")
            await shifts(desk)
            await keyboard.press("Shift+F4")
            assert await focused(desk) == "answer"
            await keyboard.type("M999999")
            await keyboard.press("Enter")
            await site.until(ProofRefused, conversation)
            await expect(page.locator("[data-answer=wrong]")).to_be_visible(timeout=LIMIT_MS)
            await picture(page, "wrong-tr")
            await keyboard.type(CUSTOMER_NO)
            await keyboard.press("Enter")
            await expect(page.locator(".sure-box[data-level='1'] [data-answer=right]")).to_be_visible(timeout=LIMIT_MS)
            assert await focused(desk) == "answer"
            await keyboard.type(BIRTH_DATE)
            await keyboard.press("Enter")
            await site.until(ProofGiven, conversation, where=lambda event: event.level == 2)
            await expect(page.locator(".sure-box[data-level='2']")).to_be_visible(timeout=LIMIT_MS)
            assert BIRTH_DATE not in await page.content()
            assert "1980" not in await page.locator("[data-pop]").inner_text()
            assert await focused(desk) == "answer", "the caret stays where the agent types"
            await expect(page.locator("[data-proposal=open] [data-link]")).to_be_enabled(timeout=LIMIT_MS)
            await picture(page, "proposal-tr", narrow=True)
            await keyboard.press("7")
            assert not site.found(LinkProposalSettled, conversation), "who types into a field decides nothing"
            await page.evaluate("document.activeElement.blur()")
            await keyboard.press("7")
            settled = await site.until(LinkProposalSettled, conversation)
            await expect(page.locator("[data-proposal=accepted]")).to_be_visible(timeout=LIMIT_MS)
            await picture(page, "linked-tr")
        await desk.wrap_up(conversation, "information")
        async with site.call(STRANGER, ["0"]) as placed:
            card = await desk.card(placed.conversation, "talking")
            await picture(page, "known-tr")
        await desk.wrap_up(placed.conversation, "information")
        assert settled.by == "1001"
        assert [each["name"] for each in card["identity"]["candidates"]][:1] == ["Mehmet Yılmaz"]
        assert desk.troubles == []


async def test_one_of_three_is_chosen_by_a_key_and_another_is_disputed_by_clicks(site: Site, browser: Browser) -> None:
    async with at_desk(site, browser, "agent1001") as desk, site.call(CARETAKER, ["0"]) as placed:
        page, conversation = desk.page, placed.conversation
        card = await desk.card(conversation, "talking")
        first, second = card["identity"]["candidates"][:2]
        await picture(page, "three-tr")
        await desk.page.keyboard.press("2")
        confirmed = await site.until(PartyConfirmed, conversation)
        await expect(page.locator(f'[data-candidate="{second["party"]}"].is-confirmed')).to_be_visible(timeout=LIMIT_MS)
        row = page.locator(f'[data-candidate="{first["party"]}"]')
        note = page.locator(f'[data-note="{conversation}"]')
        await row.locator("[data-dispute]").click()
        assert await row.locator("[data-dispute-sure]").count() == 1
        await picture(page, "dispute-tr", narrow=True)
        await page.keyboard.press("Escape")
        await expect(row.locator("[data-dispute]")).to_be_focused(timeout=LIMIT_MS)
        await row.locator("[data-dispute]").click()
        await row.locator("[data-dispute-sure]").click()
        disputed = await site.until(LinkDisputed, where=lambda event: event.link == first["link"])
        await expect(row).to_have_count(0, timeout=LIMIT_MS)
        await note.fill("Numara yönetimin.")
        assert await violations(page) == []
        await picture(page, "two-tr")
        assert (confirmed.party, disputed.by) == (second["party"], "1001")
        assert desk.troubles == []


async def test_a_card_that_changes_by_itself_moves_nothing_and_takes_no_focus(site: Site, browser: Browser) -> None:
    async with at_desk(site, browser, "agent1001") as desk, site.call(SECOND_STRANGER, ["0"]) as placed:
        card = await desk.card(placed.conversation, "talking")
        await speak(desk, "en")
        await desk.card(placed.conversation, "talking")
        await picture(desk.page, "stranger-en")
        note = desk.page.locator(f'[data-note="{placed.conversation}"]')
        await note.fill("half a sen")
        box = desk.page.locator(".sure-box")
        before = await box.bounding_box()
        await shifts(desk)
        await answers(site, placed.conversation, ("customer_number", CUSTOMER_NO), ("birth_date", BIRTH_DATE))
        await expect(desk.page.locator("[data-proposal=open] [data-link]")).to_be_enabled(timeout=LIMIT_MS)
        after = await box.bounding_box()
        await picture(desk.page, "proposal-en")
        assert (before and before["height"]) == (after and after["height"])
        assert await shifts(desk) < 0.02
        await expect(note).to_be_focused()
        await expect(note).to_have_value("half a sen")
        await desk.page.locator("[data-refuse-link]").click()
        refused = await site.until(LinkProposalSettled, placed.conversation)
        await expect(desk.page.locator("[data-proposal=refused]")).to_be_visible(timeout=LIMIT_MS)
        await picture(desk.page, "refused-en")
        await speak(desk, "tr")
        assert refused.state == "refused"
        assert card["identity"]["proposal"] is None
        assert desk.troubles == []


async def answers(site: Site, conversation: str, *given: tuple[str, str]) -> None:
    """What the agent types at another screen of his."""
    for number, (factor, answer) in enumerate(given):
        asked = Command(
            type="command",
            key=f"{conversation}-{number}",
            name="prove",
            conversation=conversation,
            value=factor,
            text=answer,
        )
        by = By("agent1001", "1001", "")
        await perform(asked, by, db=site.house.db, controls=site.house.controls, clock=utc_now)


async def test_whoever_decides_sees_what_waits_and_a_number_s_whole_life(site: Site, browser: Browser) -> None:
    async with at_desk(site, browser, "agent1001") as desk:
        async with site.call("05425557777", ["0"]) as placed:
            await desk.card(placed.conversation, "talking")
            await answers(site, placed.conversation, ("customer_number", CUSTOMER_NO), ("birth_date", BIRTH_DATE))
        await desk.wrap_up(placed.conversation, "information")
        await desk.page.goto(f"{site.url}/identity")
        await expect(desk.page.locator(".error-code")).to_have_text("403", timeout=LIMIT_MS)
    async with at_desk(site, browser, "supervisor", "/identity") as desk:
        row = desk.page.locator("[data-proposal]").first
        await expect(row).to_contain_text("0542 555 77 77", timeout=LIMIT_MS)
        await expect(desk.page.locator("[data-days='7'] .figure-number")).not_to_have_text("0")
        assert await violations(desk.page) == []
        await picture(desk.page, "identity-tr", whole=True, narrow=True)
        made = len(site.found(LinkMade))
        await row.locator("button").first.click()
        await expect(desk.page.locator(".said")).to_be_visible(timeout=LIMIT_MS)
        await site.until(LinkMade, count=made + 1)
        await desk.page.goto(f"{site.url}/identity/number?value=0542%20555%2077%2077")
        await expect(desk.page.locator("[data-link]")).to_contain_text("Mehmet Yılmaz", timeout=LIMIT_MS)
        assert await violations(desk.page) == []
        await picture(desk.page, "number-tr")
        await desk.page.locator("[data-link] .danger").click()
        await site.until(LinkDisputed, where=lambda event: event.by == "supervisor")
        await picture(desk.page, "number-disputed-tr")
        await customer(site, desk)
        assert [each for each in desk.troubles if "favicon" not in each] == []


async def customer(site: Site, desk: Desk) -> None:
    """A postal address is added, nonsense is not, and his second record is found to be merged."""
    candidate = await site.house.db.read(_mehmet)
    await desk.page.goto(f"{site.url}/customers/{candidate}")
    form = desk.page.locator(".add-contact")
    await form.locator("[name=kind]").select_option("postal")
    await form.locator("[name=value]").fill("Moda Caddesi 12/4")
    await form.locator("button").click()
    await expect(desk.page.locator("[data-contact]", has_text="Moda Caddesi 12/4")).to_be_visible(timeout=LIMIT_MS)
    await picture(desk.page, "customer-top-tr")
    await form.locator("[name=value]").fill("beş yüz")
    await form.locator("button").click()
    await expect(desk.page.locator("#contact-invalid")).to_be_visible(timeout=LIMIT_MS)
    await desk.page.locator("#merge [name=q]").fill("Elif")
    await desk.page.keyboard.press("Enter")
    await expect(desk.page.locator("[data-other]").first).to_be_visible(timeout=LIMIT_MS)
    assert await violations(desk.page) == []
    await picture(desk.page, "customer-tr")


def _mehmet(session: Session) -> str:
    return session.scalars(select(Party.id).where(Party.customer_no == CUSTOMER_NO)).one()
