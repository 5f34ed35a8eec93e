"""Agents whose page does not answer are passed by once, and come back with their page."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import pytest_asyncio

from cti import attendance
from cti.attendance import Attendance
from cti.db import Database
from cti.line import LineFailed
from cti.records import presence
from cti.records.presence import GRACE_S, UNREACHABLE
from cti.switchboard import Member, Switchboard

READY = Member("PJSIP/1001", "ready", paused=False, reason="")
AT_LUNCH = Member("PJSIP/1001", "ready", paused=True, reason="lunch")
PASSED_BY = Member("PJSIP/1001", "ready", paused=True, reason=UNREACHABLE)


@dataclass
class Board:
    """What of a switchboard matters here: who speaks for the switch, and its members."""

    leads: bool = True
    members: dict[str, Member] = field(default_factory=lambda: {"1001": READY})


class Room:
    """Attendance that runs; `paused` is what was asked of the switch, `now` moves when a test says so."""

    def __init__(self, db: Database, now: dt.datetime) -> None:
        self.db, self.now, self.board = db, now, Board()
        self.paused: asyncio.Queue[tuple[str, bool, str]] = asyncio.Queue()
        self.refuses = 0
        self.attendance = Attendance(
            db, cast(Switchboard, self.board), node="1", clock=lambda: self.now, pause=self._pause
        )

    async def _pause(self, device: str, paused: bool, reason: str) -> None:
        if self.refuses:
            self.refuses -= 1
            raise LineFailed("AMI is away")
        self.board.members["1001"] = Member(device, "ready", paused, reason)
        self.paused.put_nowait((device, paused, reason))

    async def lost_for(self, seconds: float) -> None:
        await self.db.work(presence.attached, "1001", "1", self.now)
        await self.db.work(presence.lost, "1001", "1", self.now)
        self.now += dt.timedelta(seconds=seconds)

    async def asked(self) -> tuple[str, bool, str]:
        async with asyncio.timeout(5):
            return await self.paused.get()

    async def looks(self, times: int) -> None:
        """Until it has looked so often, and done what came of it."""
        for _ in range(times):
            await self.db.read(presence.unreachable, self.now)
            await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=3 * attendance.LOOK_EVERY_S)


@pytest_asyncio.fixture
async def room(db: Database, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    monkeypatch.setattr(attendance, "LOOK_EVERY_S", 0.01)
    made = Room(db, now)
    running = asyncio.create_task(made.attendance.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_calls_pass_by_whose_page_was_lost_and_come_again_with_it(room: Room) -> None:
    await room.lost_for(GRACE_S + 1)
    assert await room.asked() == ("PJSIP/1001", True, UNREACHABLE)
    room.attendance.heard("1001", "attached")
    assert await room.asked() == ("PJSIP/1001", False, "")


async def test_whoever_is_made_ready_without_a_page_is_left_in_peace(room: Room) -> None:
    await room.lost_for(GRACE_S + 1)
    await room.asked()
    room.board.members["1001"] = READY
    await room.looks(3)
    assert room.paused.empty()


async def test_a_page_that_is_back_within_the_grace_was_never_away(room: Room) -> None:
    await room.lost_for(GRACE_S - 1)
    await room.looks(3)
    assert room.paused.empty()


async def test_whoever_is_at_lunch_stays_there_and_is_passed_by_when_it_is_over(room: Room) -> None:
    room.board.members["1001"] = AT_LUNCH
    await room.lost_for(GRACE_S + 1)
    await room.looks(3)
    assert room.paused.empty()
    room.board.members["1001"] = READY
    assert await room.asked() == ("PJSIP/1001", True, UNREACHABLE)


async def test_who_paused_himself_is_not_made_ready_by_his_page(room: Room) -> None:
    room.board.members["1001"] = AT_LUNCH
    room.attendance.heard("1001", "attached")
    await room.looks(2)
    assert room.paused.empty()


async def test_a_node_that_does_not_lead_passes_nobody_by(room: Room) -> None:
    room.board.leads = False
    await room.lost_for(GRACE_S + 1)
    await room.looks(3)
    assert room.paused.empty()


async def test_a_switch_that_does_not_answer_is_asked_again(room: Room) -> None:
    room.refuses = 2
    await room.lost_for(GRACE_S + 1)
    assert await room.asked() == ("PJSIP/1001", True, UNREACHABLE)


async def test_the_rows_become_what_this_node_has_after_a_time_without_a_database(room: Room, db: Database) -> None:
    await room.lost_for(0)
    await room.attendance.settle(frozenset({"1001"}))
    room.now += dt.timedelta(seconds=GRACE_S + 1)
    found: Any = await db.read(presence.unreachable, room.now)
    assert found == []
