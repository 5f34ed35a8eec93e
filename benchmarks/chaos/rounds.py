"""One round: a place, calls at a steady rate, faults beside them; then everything has time to end, and the auditor looks."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from benchmarks.chaos import schedule
from benchmarks.chaos.auditor import audit
from benchmarks.chaos.caller import crowd, wall_clock
from benchmarks.chaos.evidence import KILL, PAUSE, CallLife, Evidence, SeatLife
from benchmarks.chaos.faults import Breaker, breaking
from benchmarks.chaos.place import Place, Wanted, say, standing
from benchmarks.chaos.report import Round, life, lines, noticed
from benchmarks.chaos.resumes import resumes
from benchmarks.chaos.schedule import Planned
from benchmarks.stand import number
from cti import ledger
from cti.db import Database
from cti.events import Recorded
from cti.records import tickets
from cti.records.conversations import Conversation
from cti.records.tickets import Ticket, TicketRow

MIXED, NOTHING = "all", "none"
MENU_MAX_S = 3.0
MENU_ALONE_MAX_S = 4.0  # with one node nobody else can take over: it is started again, or the dead-man's switch acts
SETTLE_MAX_S = 65.0  # I18 allows 60
SETTLE_MIN_S = 4.0
LOOKS, LOOK_AGAIN_S = 3, 1.5  # at each page, beside a fresh one
EVENTS_AT_ONCE = 5_000
ALL_LIVES = 1_000_000


@dataclass(frozen=True)
class Asked:
    """What a round shall be. `fault`: kill | pause | all | none."""

    fault: str
    calls: int
    rate: float
    every_s: float
    seed: int
    nodes: int
    agents: int


async def play(asked: Asked, tools: Path, kept: Path) -> Round:
    """Play it and judge it. The report, all calls' lives and the logs are put into the folder `kept`."""
    with tempfile.TemporaryDirectory(prefix="santral-chaos-") as folder:
        wanted = Wanted(asked.nodes, asked.agents, asked.calls)
        async with standing(Path(folder), tools, wanted) as place:
            breaker = Breaker(place)
            kinds, left_out = breaker.possible()
            calls = await _calls(asked, place, breaker, kinds)
            await _settled(place)
            evidence = await _evidence(asked, place, breaker, calls)
        logs = {log.name: log.read_text(encoding="utf-8", errors="replace") for log in place.logs}
        judged = Round(
            fault=asked.fault, evidence=evidence, findings=audit(evidence), resumed=tuple(resumes(evidence)),
            left_out=tuple(left_out) if asked.fault == MIXED else (), late_s=place.callers.late_max_s,
            noticed=tuple(noticed(logs)),
        )  # fmt: skip
        _keep(judged, Path(folder), kept)
    return judged


def plan(asked: Asked, kinds: Sequence[str]) -> list[Planned]:
    """What is broken when, while calls come in."""
    nodes = [f"{each}" for each in range(1, asked.nodes + 1)]
    until_s = asked.calls / asked.rate
    match asked.fault:
        case "none":
            return []
        case "all":
            return schedule.mixed(kinds, nodes, seed=asked.seed, until_s=until_s)
    return schedule.steady(asked.fault, nodes, every_s=asked.every_s, until_s=until_s)


async def _calls(asked: Asked, place: Place, breaker: Breaker, kinds: Sequence[str]) -> list[CallLife]:
    numbers = [number(each) for each in range(asked.calls)]
    say(f"{asked.calls} calls at {asked.rate:g}/s, fault: {asked.fault}")
    async with breaking(breaker, plan(asked, kinds)):
        return await crowd(place.callers, numbers, rate=asked.rate, seed=asked.seed, clock=wall_clock())


async def _settled(place: Place) -> None:
    """Everything that is under way has time to end; it is not waited for longer than the auditor would."""
    db = Database(place.cluster.database_url)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        await asyncio.sleep(SETTLE_MIN_S)
        while await db.read(_open_conversations) and loop.time() - began_s < SETTLE_MAX_S:  # noqa: ASYNC110  other processes'
            await asyncio.sleep(1)
        await asyncio.sleep(SETTLE_MIN_S)  # the agents' wrapping up
    finally:
        await db.close()


def _open_conversations(session: Session) -> int:
    return session.scalar(select(func.count(Conversation.id)).where(Conversation.state != "ended")) or 0


async def _evidence(asked: Asked, place: Place, breaker: Breaker, calls: list[CallLife]) -> Evidence:
    db = Database(place.cluster.database_url)
    try:
        events, kept = await db.read(_events), await db.read(_tickets)
    finally:
        await db.close()
    return Evidence(
        calls=tuple(calls), seats=await _seats(place), faults=tuple(breaker.done), events=events, tickets=kept,
        menu_max_s=MENU_ALONE_MAX_S if asked.nodes == 1 else MENU_MAX_S, nodes=asked.nodes,
    )  # fmt: skip


async def _seats(place: Place) -> tuple[SeatLife, ...]:
    """Each page beside a fresh one; looked at again where they differ, for a change may be on its way."""
    told = await asyncio.gather(*(desk.told() for desk in place.desks))
    for _ in range(LOOKS - 1):
        if all(each.shown is not None and each.shown == each.fresh for each in told):
            break
        await asyncio.sleep(LOOK_AGAIN_S)
        told = await asyncio.gather(*(desk.told() for desk in place.desks))
    return tuple(told)


def _events(session: Session) -> tuple[Recorded, ...]:
    found: list[Recorded] = []
    while piece := ledger.since(session, found[-1].seq if found else 0, EVENTS_AT_ONCE):
        found += piece
    return tuple(found)


def _tickets(session: Session) -> tuple[TicketRow, ...]:
    return tuple(tickets.by_ids(session, session.scalars(select(Ticket.id)).all()))


def _keep(judged: Round, folder: Path, kept: Path) -> None:
    into = kept / judged.fault
    into.mkdir(parents=True, exist_ok=True)
    (into / "report.txt").write_text("\n".join(lines(judged, lives_max=ALL_LIVES)) + "\n", encoding="utf-8")
    lives = ("\n".join([f"\n{case.life.caller}", *life(case, judged.evidence)]) for case in judged.evidence.cases)
    (into / "calls.txt").write_text("\n".join(lives) + "\n", encoding="utf-8")
    for log in [*(folder / "cluster").glob("*.log"), *(folder / "asterisk" / "log").glob("*")]:
        shutil.copyfile(log, into / log.name)


FAULTS = (KILL, PAUSE, MIXED, NOTHING)
