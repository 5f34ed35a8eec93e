"""One message to 2,000 idle seats of one node: how long until the last of them has it? `python -m benchmarks broadcast`.

The node is a process of its own with everything but a switch; the seats are 2,000 real sockets, each signed in as another agent, in
this process. Measured is from the order until the message has come to a seat, over all seats and broadcasts: the reading side's time
is in it. Then again while one seat has stopped reading. The rivals serve as many sockets in the same run: a handler that awaits each
socket in turn, and `websockets.broadcast`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from benchmarks.bare_sockets import BareSocket, connect
from benchmarks.broadcast_node import HOST, MARK, open_files_as_many_as_allowed
from benchmarks.processes import cpu_s
from benchmarks.report import Figure, against, percentile
from benchmarks.stand import end, environment, free_port
from cti import auth, run
from cti.app import utc_now
from cti.config import Settings
from cti.db import Database
from screenpop.protocol import VERSION

SEATS, BROADCASTS, ROUNDS = 2_000, 40, 8
PAUSE_S = 0.4  # between two broadcasts
TAKEN_MAX_S = 10.0
AT_ONCE = 25  # sign-ins
PIECE = 200  # users in one transaction
SETTLE_S = 3.0
IDLE_S = 15.0  # three times what a node asks the database about sign-ins
UNREAD_ANSWERS, UNREAD_EVERY_S = 1_000, 0.002  # more than kernel and library buffer for a narrow socket
UNREAD_SETTLE_S = 0.5  # what it asked for is done: measured is that it does not read, not that it asked
HELLO = {"type": "hello", "v": VERSION, "epoch": None, "seq": None, "language": "en"}
RIVAL = "await send_text in a loop (uvicorn)"
BROADCAST = "websockets.broadcast"


async def measure(settings: Settings) -> list[Figure]:
    """`settings` of the checkout: only the tools' folder is taken."""
    open_files_as_many_as_allowed()
    with tempfile.TemporaryDirectory(prefix="santral-broadcast-") as folder:
        fresh = Settings(
            data_dir=Path(folder), tools_dir=settings.tools, http_port=free_port(), ari_port=free_port(), ami_port=free_port(),
            agi_port=free_port(), log_format="json",
        )  # fmt: skip
        _say(f"signing {SEATS} agents in")
        cookies = await _sign_in(fresh)
        naive = await _rival("naive", fresh, cookies)
        plain = await _rival("websockets", fresh, cookies)
        ours = await _ours(fresh, cookies)
    return [*_figures(ours, naive, plain), *_counted(ours)]


@dataclass(frozen=True)
class Ours:
    """What came of our node: milliseconds to each seat while all read and while one does not, how many others were cut off, and what
    the node used of one core while nothing was told."""

    idle: Sequence[float]
    stalled: Sequence[float]
    cut_off: int
    cpu_percent: float


def _figures(ours: Ours, naive: Sequence[float], plain: Sequence[float]) -> list[Figure]:
    idle, stalled = ours.idle, ours.stalled
    p99 = percentile(idle, 99)
    made = [
        against("hub.broadcast_2000_p99_ms", p99, "ms", RIVAL, percentile(naive, 99), len(idle)),
        against("hub.broadcast_2000_p99_ms.websockets", p99, "ms", BROADCAST, percentile(plain, 99), len(idle)),
        against("hub.broadcast_2000_p50_ms", percentile(idle, 50), "ms", RIVAL, percentile(naive, 50), len(idle)),
        against("hub.broadcast_2000_max_ms", max(idle), "ms", RIVAL, max(naive), len(idle)),
    ]
    one_stalled = percentile(stalled, 99)
    made.append(
        against("hub.broadcast_2000_stalled_p99_ms", one_stalled, "ms", "itself, all reading", p99, len(stalled))
    )
    return made


def _counted(ours: Ours) -> list[Figure]:
    return [
        Figure(name="hub.broadcast_2000_cut_off", value=ours.cut_off, unit="", samples=SEATS),
        Figure(name="hub.idle_2000_cpu_percent", value=round(ours.cpu_percent, 1), unit="%", samples=1),
        Figure(name="hub.broadcast_2000_load", value=round(os.getloadavg()[0], 2), unit="", samples=1),
    ]


async def _ours(settings: Settings, cookies: Sequence[str]) -> Ours:
    """All reading, and one not, in turn: what else the machine does falls on both. The last cookie is that one's."""
    idle: list[float] = []
    stalled: list[float] = []
    async with _node("ours", settings) as node, _seats(node.port, cookies[:SEATS], HELLO) as seats:
        cpu_percent = await _idle_cpu_percent(node)
        for _ in range(ROUNDS):
            idle += await _delays(node, seats, BROADCASTS // ROUNDS)
            async with _one_that_does_not_read(node.port, cookies[SEATS]):
                stalled += await _delays(node, seats, BROADCASTS // ROUNDS)
        cut_off = sum(seat.closed.is_set() for seat in seats)
    return Ours(idle, stalled, cut_off, cpu_percent)


async def _idle_cpu_percent(node: Node) -> float:
    """Of one core, over IDLE_S in which nobody is told anything."""
    began_s, used_s = time.monotonic(), cpu_s(node.process.pid)
    await asyncio.sleep(IDLE_S)
    return 100 * (cpu_s(node.process.pid) - used_s) / (time.monotonic() - began_s)


async def _rival(kind: str, settings: Settings, cookies: Sequence[str]) -> list[float]:
    async with _node(kind, settings) as node, _seats(node.port, cookies[:SEATS], None) as seats:
        return await _delays(node, seats, BROADCASTS)


# --- the node ---


@dataclass(frozen=True)
class Node:
    process: asyncio.subprocess.Process
    port: int

    async def tell(self) -> float:
        """Broadcast; returns the monotonic clock at its beginning."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        said = await self.process.stdout.readline()
        if not said:
            raise RuntimeError("expected the node to tell its seats, it has ended")
        return float(said)


@contextlib.asynccontextmanager
async def _node(kind: str, settings: Settings) -> AsyncIterator[Node]:
    port = free_port()
    log = settings.data_dir / f"{kind}.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.broadcast_node", kind, str(port)),
            env=os.environ | environment(settings), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"expected {kind} to be ready, it ended: {log.read_text(encoding='utf-8')[-2000:]}")
        yield Node(process, port)
    finally:
        await end(process)


# --- the seats ---


async def _sign_in(settings: Settings) -> list[str]:
    """A cookie for each of as many agents and one more, without the 200 ms of a password: nobody's is ever asked for."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    await run.migrate(settings)
    db = Database(settings.database)
    try:
        pieces = [range(first, min(SEATS + 1, first + PIECE)) for first in range(0, SEATS + 1, PIECE)]
        return [cookie for piece in pieces for cookie in await db.work(_agents, piece)]
    finally:
        await db.close()


def _agents(session: Session, which: range) -> list[str]:
    name, now = auth.cookie_name("http"), utc_now()
    cookies = []
    for each in which:
        user = auth.add_user(
            session, name=f"seat{each}", role="agent", agent=f"{20_000 + each}", password_hash="none", now=now
        )  # fmt: skip
        cookies.append(f"{name}={auth.open_session(session, user, idle_s=3600, max_s=3600, now=now)}")
    return cookies


@contextlib.asynccontextmanager
async def _seats(port: int, cookies: Sequence[str], hello: dict[str, Any] | None) -> AsyncIterator[list[BareSocket]]:
    room, began_s = asyncio.Semaphore(AT_ONCE), time.monotonic()

    async def one(cookie: str) -> BareSocket:
        async with room:
            return await connect(HOST, port, cookie, hello, mark=MARK)

    seats = await asyncio.gather(*(one(cookie) for cookie in cookies))
    _say(f"{len(seats)} seats connected in {time.monotonic() - began_s:.1f} s")
    try:
        await asyncio.sleep(SETTLE_S)
        yield seats
    finally:
        for seat in seats:
            seat.close()


@contextlib.asynccontextmanager
async def _one_that_does_not_read(port: int, cookie: str) -> AsyncIterator[None]:
    """A tab that has asked for much and takes nothing: its connection is full to the brim. After some seconds the node cuts it off."""
    stalled = await connect(HOST, port, cookie, HELLO, narrow=True)
    stalled.stop_reading()
    try:
        for _ in range(UNREAD_ANSWERS):
            stalled.say({"type": "command", "key": secrets.token_hex(8), "name": "pause", "text": "no phone"})
            await asyncio.sleep(UNREAD_EVERY_S)
        await asyncio.sleep(UNREAD_SETTLE_S)
        yield
    finally:
        stalled.close()


# --- the measure ---


async def _delays(node: Node, seats: Sequence[BareSocket], many: int) -> list[float]:
    """Milliseconds from the order to each seat, for each of so many broadcasts. Seats that were cut off are passed over, for they
    are counted elsewhere. RuntimeError when a seat that is there has not got one."""
    delays: list[float] = []
    for _ in range(many):
        for seat in seats:
            seat.got.clear()
        at_s = await node.tell()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TAKEN_MAX_S):
                while any(map(_waits, seats)):  # noqa: ASYNC110  an event for each seat would be in the measure
                    await asyncio.sleep(0.02)
        if missing := sum(map(_waits, seats)):
            raise RuntimeError(f"expected every seat to have it after {TAKEN_MAX_S:g} s, {missing} had not")
        delays += [(seat.got[0] - at_s) * 1000 for seat in seats if seat.got]
        await asyncio.sleep(PAUSE_S)
    return delays


def _waits(seat: BareSocket) -> bool:
    return not seat.got and not seat.closed.is_set()


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
