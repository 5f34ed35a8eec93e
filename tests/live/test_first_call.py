"""The story's call: a number that we know, a ticket opened by keys, and the pop on the right screen."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from cti.events import CallArrived, CallDelivered, InteractionReceived, OfferPainted, TicketOpened
from tests.live.desk import LIMIT_MS, at_desk
from tests.live.site import LIMIT_S, ROOT, STORY, Site

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@contextlib.asynccontextmanager
async def command(site: Site, *arguments: str) -> AsyncIterator[None]:
    """The `santral` command beside the running site, ended with the block."""
    chosen = {"DATA_DIR": site.settings.data_dir, "TOOLS_DIR": site.settings.tools, "SIP_PORT": site.settings.sip_port}
    environment = os.environ | {f"SANTRAL_{name}": str(value) for name, value in chosen.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cti", *arguments), cwd=ROOT, env=environment, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), LIMIT_S)


async def test_demo_call_pops_on_the_agents_screen_with_everything_he_needs(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    """`santral demo call --from 05325550123` and nothing else: he keys what the command keys by itself, and stays on the line."""
    since = len(site.heard)
    async with at_desk(site, browser, "agent1001") as desk, command(site, "demo", "call", "--from", STORY):
        conversation = (await site.until(CallArrived, since=since)).conversation
        opened = await site.until(TicketOpened, conversation)
        await site.until(CallDelivered, conversation, timeout_s=2 * LIMIT_S)
        card = await desk.card(conversation)
        pop = desk.page.locator(f'[data-pop][data-conversation="{conversation}"]')
        await expect(pop.locator("[data-headline] .who")).to_contain_text("Mehmet Yılmaz", timeout=LIMIT_MS)
        await desk.page.screenshot(path=tmp_path / "pop.png")
        shown = await pop.inner_text()
        painted = await site.until(OfferPainted, conversation)
        timeline = await desk.page.locator("santral-timeline .entry").count()
        assert desk.troubles == []
    first = card["identity"]["candidates"][0]
    assert (first["name"], card["identity"]["outcome"]) == ("Mehmet Yılmaz", "unique")
    assert f"%{first['percent']}" in shown, "how sure we are"
    assert first["reasons"], "and why"
    assert all(reason in shown for reason in first["reasons"])
    spoken = re.sub(r"(\d{3})(?=\d)", r"\1 ", opened.number)
    assert spoken in shown, "the ticket that was just opened"
    assert card["tickets"][0]["this_call"]
    assert [step["digits"] for step in card["path"] if step["digits"]] == ["1", "1"]
    assert all(step["label"] in shown for step in card["path"])
    assert re.search(r"\d:\d\d", shown), "the waiting time"
    assert timeline == len(card["timeline"]) > 10
    assert len({entry["channel"] for entry in card["timeline"]}) > 2, "of every channel"
    assert painted.acked_ms < 2000


async def test_interaction_for_his_mail_address_appears_in_the_open_pop_without_a_reload(
    site: Site, browser: Browser
) -> None:
    async with at_desk(site, browser, "agent1001") as desk, site.call(STORY, ["0"]) as placed:
        await desk.card(placed.conversation)
        loads = list(desk.loads)
        text = "Modemin ışığı hâlâ kırmızı yanıyor, fotoğrafını gönderdim."
        message = {
            "channel": "email", "direction": "in", "text": text, "subject": "Arıza", "external_id": "mail-1",
            "contact_point": {"kind": "email", "value": "Mehmet.Yilmaz@example.com"},
        }  # fmt: skip
        async with site.signed_in("supervisor") as client:
            first = await client.post("/api/v1/interactions", json=message)
            again = await client.post("/api/v1/interactions", json=message)
        await expect(desk.page.locator("santral-timeline .entry", has_text=text)).to_have_count(1, timeout=LIMIT_MS)
        assert (first.status_code, again.status_code) == (201, 200)
        assert len(site.found(InteractionReceived)) == 1
        assert desk.loads == loads
        assert desk.troubles == []
