"""Tells a story to a real database: each step is a line of JSON, a fact of the switch, something the flow did, or an agent's command."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from cti import ledger, line, switchboard
from cti.db import Database
from cti.events import Recorded
from cti.records import tickets
from cti.records.conversations import Conversation
from screenpop import commands
from screenpop.protocol import Agent, Command
from screenpop.seat import Look, Only, Owner
from screenpop.snapshot import look
from tests.fakes import company

STORIES = Path(__file__).parents[1] / "stories"
DID, REGION = "+908501234567", "TR"
Step = dict[str, Any]


def stories() -> list[Path]:
    return sorted(STORIES.glob("*.json"))


class FakeControls:
    """A switch that does what seats ask, and remembers it."""

    def __init__(self) -> None:
        self.paused: dict[str, str] = {}
        self.hung_up: list[str] = []

    async def pause(self, device: str, paused: bool, reason: str) -> None:
        if paused:
            self.paused[device] = reason
        else:
            self.paused.pop(device, None)

    async def hang_up(self, channel: str) -> None:
        self.hung_up.append(channel)


class Teller:
    """`now` goes on by a step's `after_s`. With `twice`, every fact of the switch is heard two times."""

    def __init__(self, db: Database, now: dt.datetime, *, twice: bool = False) -> None:
        self.db, self.now, self.twice = db, now, twice
        self.controls = FakeControls()
        self.keys = 0

    async def tell(self, steps: list[Step]) -> None:
        for step in steps:
            await self.step(step)

    async def step(self, step: Step) -> None:
        self.now += dt.timedelta(seconds=step.get("after_s", 1))
        given = {key: value for key, value in step.items() if key not in ("after_s", "fact", "flow", "command")}
        if "fact" in step:
            for _ in range(2 if self.twice else 1):
                await self.db.work(_take, fact(step["fact"], self.now, given), self.now)
        elif "flow" in step:
            await self.db.work(FLOW[step["flow"]], self.now, **given)
        else:
            await self.command(step["command"], **given)

    async def command(self, name: str, *, by: str, channel: str = "c1", key: str = "", **given: Any) -> dict[str, Any]:
        self.keys += 1
        row = await self.db.read(switchboard.of_channel, channel)
        asked = Command(
            type="command", key=key or f"key-{self.keys:08}", name=name,
            conversation=row.id if row else "", **given,
        )  # fmt: skip
        agent = commands.By(f"user-{by}", by, f"PJSIP/{by}")
        return await commands.perform(asked, agent, db=self.db, controls=self.controls, clock=lambda: self.now)

    async def seat(self, agent: str, before: Look | None = None, only: Only = None) -> Look:
        """The agent's seat as a fresh page would get it."""
        owner = Owner(f"user-{agent}", agent.title(), agent, "en")
        return await self.db.read(look, seated(owner), "en", before=before, only=only, now=self.now)


def seated(owner: Owner, pause_reason: str = "") -> Agent:
    return Agent(
        user=owner.user, name=owner.name, agent=owner.agent, phone="ready", paused=False, pause_reason=pause_reason
    )


def fact(name: str, now: dt.datetime, given: Step) -> line.Fact:
    """A fact of the switch; what a story does not say is filled with what is usual."""
    kind = getattr(line, name)
    agent = given.get("agent", "")
    usual = {
        "read_at_s": now.timestamp(), "channel": "c1", "conversation": "", "queue": "fault", "device": f"PJSIP/{agent}",
        "device_channel": f"{agent}-1", "waited_s": 0.0, "rang_s": 3.0, "talked_s": 60.0, "by": "caller", "reason": "no_answer",
        "cause": "Normal Clearing", "did": DID, "paused": False, "state": "ready",
    }  # fmt: skip
    if kind is line.MemberChanged:
        usual["reason"] = ""
    fields = {field.name for field in dataclasses.fields(kind)}
    made: line.Fact = kind(**{key: value for key, value in {**usual, **given}.items() if key in fields})
    return made


def _take(session: Session, heard: line.Fact, now: dt.datetime) -> None:
    switchboard.take(heard, session, now, REGION)


# --- what the flow does with a call, each one piece of work ---


def _arrives(session: Session, now: dt.datetime, *, number: str, name: str = "", channel: str = "c1") -> None:
    switchboard.arrived(session, line.Caller(channel, DID, number, name), region=REGION, now=now)


def _queues(session: Session, now: dt.datetime, *, intent: str, queue: str = "fault", channel: str = "c1") -> None:
    row = row_of(session, channel)
    switchboard.queued(session, conversation=row.id, queue=queue, intent=intent, now=now)


def _opens_ticket(session: Session, now: dt.datetime, *, channel: str = "c1") -> None:
    row = row_of(session, channel)
    tickets.open_once(
        session, subscription=row.subscription_id, party=None, matter="fault", channel="phone", conversation=row.id, now=now
    )  # fmt: skip


def row_of(session: Session, channel: str) -> Conversation:
    row = switchboard.of_channel(session, channel)
    assert row is not None, f"nobody called on {channel}"
    return row


FLOW: dict[str, Callable[..., None]] = {"arrives": _arrives, "queues": _queues, "opens_ticket": _opens_ticket}


async def begin(db: Database, now: dt.datetime, *, twice: bool = False) -> Teller:
    """A teller in a company that is open for calls."""
    await db.work(company.load, now)
    return Teller(db, now, twice=twice)


async def told(db: Database) -> list[Recorded]:
    """What the ledger heard about calls, oldest first."""
    return [each for each in await db.read(ledger.since, 0) if each.conversation]


def read(path: Path) -> dict[str, Any]:
    story: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return story
