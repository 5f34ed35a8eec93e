"""Signing in as a person does, in both languages; and pages that everybody can use, by axe-core's rules."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from cti.demo.phones import NEVER
from tests.live.desk import LIMIT_MS, at_desk
from tests.live.site import ANSWERS, PASSWORD, ROOT, STORY, Site

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
WORDS = {"tr": ("Oturum aç", "Parola"), "en": ("Sign in", "Password")}


async def violations(page: Page) -> list[str]:
    """What axe-core finds on the page, in light and in dark. The script goes round the page's own policy, as a tester's may."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[str] = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        result: dict[str, Any] = await page.evaluate("axe.run()")
        assert len(result["passes"]) > 5
        for each in result["violations"]:
            found += [f"{scheme} {each['id']}: {node['target']} {node['failureSummary']}" for node in each["nodes"]]
    return found


@pytest.mark.parametrize("language", WORDS)
async def test_somebody_signs_in_in_his_language(site: Site, browser: Browser, language: str) -> None:
    context = await browser.new_context(locale="de-DE")
    page = await context.new_page()
    troubles: list[str] = []
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    await page.goto(f"{site.url}/sign-in?language={language}")
    assert await page.locator("html").get_attribute("lang") == language
    submit, password = WORDS[language]
    await expect(page.locator("label[for=password]")).to_contain_text(password)
    await page.locator("#user").fill("agent1002")
    await page.locator("#password").fill("not his password")
    await page.locator("button[type=submit]").click()
    await expect(page.locator('[data-error="password"]')).to_be_visible(timeout=LIMIT_MS)
    assert [each for each in troubles if "401" not in each] == []
    await page.locator("#password").fill(PASSWORD)
    await page.get_by_role("button", name=submit).click()
    await page.wait_for_url(f"{site.url}/desk", timeout=LIMIT_MS)
    await expect(page.locator("body[data-connection=connected]")).to_be_attached(timeout=LIMIT_MS)
    assert await page.locator("html").get_attribute("lang") == language
    assert len((await page.evaluate("window.santral.seat()"))["dispositions"]) > 0
    await context.close()


@pytest.mark.parametrize("language", WORDS)
async def test_sign_in_page_can_be_used_by_everybody(site: Site, browser: Browser, language: str) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{site.url}/sign-in?language={language}")
    assert await violations(page) == []
    await context.close()


async def test_desk_with_an_open_pop_and_the_list_of_calls_can_be_used_by_everybody(
    site: Site, browser: Browser
) -> None:
    await site.phones.set(NEVER, "1001")
    async with at_desk(site, browser, "agent1001") as desk:
        async with site.call(STORY, ["0"]) as placed:
            await desk.card(placed.conversation, "offered")
            await expect(desk.page.locator("[data-pop]")).to_be_visible(timeout=LIMIT_MS)
            found = await violations(desk.page)
            assert found == []
        await desk.card(placed.conversation, "withdrawn")
        assert await violations(desk.page) == [], "a missed call"
    await site.phones.set(ANSWERS, "1001")
    async with at_desk(site, browser, "supervisor", "/calls") as desk:
        await expect(desk.page.locator("[data-call]").first).to_be_visible(timeout=LIMIT_MS)
        assert await violations(desk.page) == []


async def test_desk_during_wrap_up_can_be_used_by_everybody(site: Site, browser: Browser) -> None:
    async with at_desk(site, browser, "agent1001") as desk:
        async with site.call(STORY, ["0"]) as placed:
            await desk.card(placed.conversation, "talking")
            assert await violations(desk.page) == [], "a talk"
        await desk.card(placed.conversation, "wrap_up")
        assert await violations(desk.page) == []
