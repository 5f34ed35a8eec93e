"""An agent at his page: in a headless Chromium, or as a bare socket that keeps every message."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
from playwright.async_api import Browser, BrowserContext, Page, expect
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from screenpop.protocol import SUBPROTOCOL
from tests.live.site import LIMIT_S, PASSWORD, Site

LIMIT_MS = LIMIT_S * 1000
LOOK_AGAIN_MS = 20
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

Json = dict[str, Any]


@dataclass
class Desk:
    """A signed-in page, and all that it did which nobody asked for."""

    site: Site
    context: BrowserContext
    page: Page
    troubles: list[str] = field(default_factory=list)  # dialogs, errors, and requests to other places
    loads: list[str] = field(default_factory=list)  # addresses of documents that were loaded

    def watch(self) -> None:
        page = self.page
        page.on("dialog", lambda dialog: self.troubles.append(f"dialog: {dialog.message}"))
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on(
            "console", lambda said: self.troubles.append(f"{said.type}: {said.text}") if said.type == "error" else None
        )
        page.on("request", self._requested)
        page.on("framenavigated", lambda frame: self.loads.append(frame.url))

    def _requested(self, request: Any) -> None:
        if not request.url.startswith((self.site.url, "data:", "blob:")):
            self.troubles.append(f"request: {request.url}")

    async def open(self, path: str = "/desk") -> Desk:
        await self.page.goto(self.site.url + path)
        if path == "/desk":
            await self.connected()
        return self

    async def connected(self) -> None:
        await expect(self.page.locator("body[data-connection=connected]")).to_be_attached(timeout=LIMIT_MS)

    async def seat(self) -> Json:
        seat: Json = await self.page.evaluate("window.santral.seat()")
        return seat

    async def until(self, expression: str, argument: object = None) -> None:
        """Wait until JavaScript says true."""
        await true_on(self.page, expression, argument, LIMIT_MS / 1000)

    async def card(self, conversation: str, *states: str) -> Json:
        """The conversation's card, once it is there and in one of these states."""
        await self.until(
            "([id, states]) => window.santral?.seat()?.cards.some(it => it.id === id && states.includes(it.state))",
            [conversation, list(states or ("offered", "talking", "wrap_up"))],
        )
        cards = (await self.seat())["cards"]
        return next(card for card in cards if card["id"] == conversation)

    async def no_card(self, conversation: str) -> None:
        await self.until("id => !window.santral.seat().cards.some(it => it.id === id)", conversation)

    async def drop(self) -> None:
        """The bridge's socket is cut; return when the page is connected again."""
        await self.page.evaluate("window.santral.drop()")
        await self.until("() => document.body.dataset.connection !== 'connected'")
        await self.connected()

    async def wrap_up(self, conversation: str, disposition: str, note: str = "") -> None:
        form = self.page.locator(f'[data-wrap-up="{conversation}"]')
        await form.locator(f'input[value="{disposition}"]').check()
        if note:
            await self.page.locator(f'[data-note="{conversation}"]').fill(note)
        await form.locator("button[type=submit]").click()
        await self.no_card(conversation)


async def true_on(page: Page, expression: str, argument: object, timeout_s: float) -> None:
    """Ask the page until JavaScript says true; TimeoutError. Playwright's own waiting evaluates text inside the page, which our
    policy forbids."""
    async with asyncio.timeout(timeout_s):
        while not await page.evaluate(expression, argument):
            await page.wait_for_timeout(LOOK_AGAIN_MS)


@contextlib.asynccontextmanager
async def at_desk(site: Site, browser: Browser, user: str, path: str = "/desk") -> AsyncIterator[Desk]:
    """This user's page in a browser of its own: own cookies, own worker, own socket."""
    context = await browser.new_context(locale="tr-TR", viewport={"width": 1440, "height": 900})
    context.set_default_timeout(LIMIT_MS)
    try:
        answer = await context.request.post(
            f"{site.url}/api/v1/session", data={"user": user, "password": PASSWORD}, headers={"origin": site.url}
        )
        assert answer.status == 200, await answer.text()
        desk = Desk(site, context, await context.new_page())
        desk.watch()
        yield await desk.open(path)
    finally:
        await context.close()


@dataclass
class BareSeat:
    """A socket as a page has it, and everything that came over it."""

    socket: ClientConnection
    messages: list[Json] = field(default_factory=list)

    async def listen(self) -> None:
        """Keep what comes, and say that we are there: who is silent is closed."""
        async for text in self.socket:
            self.messages.append(_json(text))
            if self.messages[-1]["type"] == "ping":
                await self.socket.send('{"type":"pong","seq":0}')

    @property
    def after_snapshot(self) -> list[Json]:
        return self.messages[1:]

    def beyond_own_state(self) -> list[Json]:
        """Messages that are neither about the connection nor only about the agent himself."""
        return [each for each in self.after_snapshot if each["type"] not in ("ping", "state") and not _own_state(each)]


def _own_state(message: Json) -> bool:
    return message["type"] == "event" and all(change["part"] == "agent" for change in message["changes"])


def _json(text: str | bytes) -> Json:
    message: Json = httpx2.Response(200, content=text).json()
    return message


@contextlib.asynccontextmanager
async def bare_seat(site: Site, user: str) -> AsyncIterator[BareSeat]:
    """Signed in without a browser; the snapshot has come."""
    async with site.signed_in(user) as client:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    address = f"ws://127.0.0.1:{site.settings.http_port}/api/v1/stream"
    headers = {"cookie": cookie}
    async with connect(
        address,
        additional_headers=headers,
        origin=Origin(site.url),
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        max_size=None,
        proxy=None,
    ) as socket:
        await socket.send('{"type":"hello","v":1,"epoch":null,"seq":null,"language":"tr"}')
        seat = BareSeat(socket, [_json(await socket.recv())])
        listening = asyncio.create_task(seat.listen())
        try:
            yield seat
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
