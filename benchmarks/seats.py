"""Agents at their desks: real pages in a headless Chromium, and sockets without a page, which do all the wrapping up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, async_playwright
from sqlalchemy import select
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from benchmarks.stand import Stand
from cti import auth, run
from cti.app import utc_now
from cti.db import Database
from screenpop.protocol import SUBPROTOCOL, VERSION, Message

DISPOSITION = "information"
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
PAGE_MAX_S = 30.0
FRAME_BYTES_MAX = 4 << 20


async def sign_in(stand: Stand, agents: tuple[str, ...]) -> dict[str, str]:
    """A cookie for each agent, without the 200 ms of a password."""

    def cookies(session: Any) -> dict[str, str]:
        rows = session.scalars(select(auth.UserRow).where(auth.UserRow.agent.in_(agents))).all()
        return {row.agent: auth.open_session(session, row.id, idle_s=3600, max_s=3600, now=utc_now()) for row in rows}

    db = Database(stand.settings.database)
    try:
        return await db.work(cookies)
    finally:
        await db.close()


@dataclass
class BareSeat:
    """One agent's socket without a page. With `acks` it says "painted" as soon as an offer comes; without, a page does.
    What has to be written after a talk it saves at once, so that the agent is free again."""

    host: str  # with its port
    cookie: str = field(repr=False)
    acks: bool
    _paused: bool = False
    _done: set[str] = field(default_factory=set)
    _cards: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def run(self) -> None:
        """Until it is cancelled, or the bridge goes."""
        headers = {"Cookie": f"{auth.cookie_name('http')}={self.cookie}", "Origin": f"http://{self.host}"}
        address = f"ws://{self.host}/api/v1/stream"
        with contextlib.suppress(ConnectionClosed):
            async with connect(
                address, additional_headers=headers, subprotocols=[Subprotocol(SUBPROTOCOL)], proxy=None, compression=None,
                max_size=FRAME_BYTES_MAX,
            ) as socket:  # fmt: skip
                await _send(socket, {"type": "hello", "v": VERSION, "epoch": None, "seq": None, "language": "tr"})
                async for text in socket:
                    await self._hear(socket, json.loads(text))

    async def _hear(self, socket: ClientConnection, message: Message) -> None:
        match message["type"]:
            case "snapshot":
                self._seat(message["seat"])
            case "event":
                for change in message["changes"]:
                    self._change(change)
            case "ping":
                await _send(socket, {"type": "pong", "seq": 0})
        for answer in self._answers():
            await _send(socket, answer)

    def _seat(self, seat: Mapping[str, Any]) -> None:
        self._cards = {card["id"]: card for card in seat["cards"]}
        self._paused = seat["agent"]["paused"]

    def _change(self, change: Mapping[str, Any]) -> None:
        match change["part"]:
            case "seat":
                self._seat(change["seat"])
            case "card":
                self._cards[change["card"]["id"]] = change["card"]
            case "card_gone":
                self._cards.pop(change["id"], None)
            case "agent":
                self._paused = change["agent"]["paused"]

    def _answers(self) -> list[Message]:
        """What is due now: each offer painted once, each talk wrapped up once, when the pause for it has begun."""
        due: list[Message] = []
        for card in self._cards.values():
            offer, state = card["offer"], card["state"]
            if self.acks and state in ("offered", "talking") and self._once(f"painted {offer}"):
                due.append({"type": "painted", "offer": offer, "ms": 0})
            if state == "wrap_up" and self._paused and self._once(f"wrapped up {offer}"):
                due.append({
                    "type": "command", "key": secrets.token_hex(8), "name": "wrap_up", "conversation": card["id"],
                    "value": DISPOSITION,
                })  # fmt: skip
        return due

    def _once(self, what: str) -> bool:
        new = what not in self._done
        self._done.add(what)
        return new


async def _send(socket: ClientConnection, message: Message) -> None:
    await socket.send(json.dumps(message))


@contextlib.asynccontextmanager
async def chromium(stand: Stand) -> AsyncIterator[Browser]:
    program = await asyncio.to_thread(run.chromium, stand.settings, lambda text: None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(CHROMIUM))
        try:
            yield browser
        finally:
            await browser.close()


async def open_desk(browser: Browser, host: str, cookie: str) -> None:
    """The agent's real page, in a browser profile of its own; returns when its socket is up."""
    context = await browser.new_context(viewport={"width": 1400, "height": 900}, locale="tr-TR")
    await context.add_cookies([{"name": auth.cookie_name("http"), "value": cookie, "url": f"http://{host}"}])
    page = await context.new_page()
    await page.goto(f"http://{host}/desk")
    await page.wait_for_selector("body[data-connection=connected]", timeout=PAGE_MAX_S * 1000)
