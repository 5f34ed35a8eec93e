"""Live seats over a real database, each with one page."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable

from cti.bus import MemoryBus
from cti.db import Database
from screenpop import board, snapshot
from screenpop.hub import Hub
from screenpop.seat import Look, Only, Owner
from tests.fakes import story
from tests.fakes.page import Page
from tests.fakes.story import Teller

ZEYNEP, MURAT = (Owner(f"user-{agent}", agent.title(), agent, "en") for agent in ("zeynep", "murat"))


async def opened(db: Database, now: dt.datetime) -> LiveDesk:
    bus = MemoryBus()
    db.on_commit = bus.publish
    desk = LiveDesk(await story.begin(db, now))
    bus.subscribe(desk.hub.hear)
    await desk.open(ZEYNEP, MURAT)
    return desk


class LiveDesk:
    """`live` is the proof: what was pushed is what a reload shows."""

    def __init__(self, teller: Teller) -> None:
        self.teller = teller
        self.hub = Hub(self.read, lambda: teller.now.timestamp())
        self.pages: dict[str, Page] = {}
        self.looks = 0
        self.reads: list[Only] = []
        self.gate = asyncio.Event()  # reads that have seen the database wait for it before they return
        self.gate.set()
        self.seen = asyncio.Event()

    async def read(self, owner: Owner, before: Look | None, only: Only) -> Look:
        agent = story.seated(owner, str(self.looks))
        self.reads.append(only)
        look = await self.teller.db.read(
            snapshot.look, agent, owner.language, before=before, only=only, now=self.teller.now
        )
        self.seen.set()
        await self.gate.wait()
        return look

    async def open(self, *owners: Owner) -> None:
        for owner in owners:
            self.pages[owner.agent] = await Page(self.hub.seat(owner)).open()

    async def settle(self) -> None:
        """Every seat looks once more, but only at what it knows to have changed; return when the pages have it."""
        self.looks += 1
        for page in self.pages.values():
            page.live.mark("nothing of this name")
            await page.until(str(self.looks))

    async def live(self, action: Awaitable[object]) -> None:
        await action
        await self.same()

    async def same(self) -> None:
        await self.settle()
        for agent, page in self.pages.items():
            look = await self.read(page.live.owner, None, None)
            assert page.seat == board.plain(look.seat), f"{agent}'s page shows something else than a reload"
