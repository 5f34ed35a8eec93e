"""From the moment at which the bridge's socket read `AgentCalled` until the agent's page has painted the pop.

Real calls go through the whole flow into a queue; SIPp phones answer quickly and talk shortly. The first agents in the queue have
real pages in a headless Chromium, so most calls ring there; the others have bare sockets, which stand for what two cores cannot draw.
The delay is the ledger's own (`offer.painted`, acked_ms): it ends when the page's word has come back to the bridge. The rival is a
broadcaster of all manager events (broadcaster.py) with as many pages, under the same calls at 10 a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from playwright.async_api import Browser
from sqlalchemy.orm import Session

from benchmarks.report import Figure, against, percentile
from benchmarks.seats import BareSeat, chromium, open_desk, sign_in
from benchmarks.stand import AGENTS, Stand, end, free_port
from cti import ledger
from cti.asterisk import pbx
from cti.db import Database
from cti.demo import people
from cti.demo.carrier import DID
from cti.demo.phones import Behaviour, Phones
from cti.events import CallDelivered, OfferPainted, Recorded

PAGES = AGENTS[:4]
LOADS = ((1.0, 20), (5.0, 75), (10.0, 300))  # calls a second, and how many
KEYS = ("0",)  # to a person
KEY_S, HOLD_S = 1.5, 20.0
QUICK = Behaviour(answer_s=0.4, talk_s=0.6)
PERCENTILES = (50, 95, 99)
WARM_UP = 12
SETTLE_S = 2.0
EVENTS_AT_ONCE = 5_000
RIVAL = "broadcast of all AMI events, one line of text"


@dataclass(frozen=True)
class Delays:
    """Milliseconds, at one rate of calls. `unpainted`: offers to agents with a page that it never said it painted."""

    pages: list[float]
    sockets: list[float]
    unpainted: int


async def measure(stand: Stand) -> list[Figure]:
    delays: dict[float, Delays] = {}
    callers = itertools.cycle(_callers())
    async with chromium(stand) as browser, _phones(stand), stand.bridge():
        async with _desks(stand, browser):
            await _calls(stand, callers, 2.0, WARM_UP)
            for rate, many in LOADS:
                delays[rate] = await _at(stand, callers, rate, many)
        rate, many = LOADS[-1]
        rivals = await _rival(stand, browser, callers, rate, many)
    return _figures(delays, rivals)


def _callers() -> list[str]:
    """The demo company's customers: those with a year of contacts on every channel."""
    return [person.mobile for home in people.homes() for person in home.people if person.mobile]


@contextlib.asynccontextmanager
async def _phones(stand: Stand) -> AsyncIterator[None]:
    """All agents' phones, in two processes: SIPp has one for those that behave alike."""
    secrets = pbx.keep_secrets(stand.plan).phones
    async with Phones(
        stand.carrier.sipp, stand.carrier.target, secrets, stand.settings.data_dir / "phones", dict.fromkeys(secrets, QUICK)
    ):  # fmt: skip
        yield


@contextlib.asynccontextmanager
async def _desks(stand: Stand, browser: Browser) -> AsyncIterator[None]:
    """Everybody signed in: a bare socket each, which wraps up, and a real page for the first agents."""
    host = f"{stand.settings.http_host}:{stand.settings.http_port}"
    cookies = await sign_in(stand, AGENTS)
    seats = [BareSeat(host, cookies[agent], agent not in PAGES) for agent in AGENTS]
    tasks = [asyncio.create_task(seat.run()) for seat in seats]
    try:
        for agent in PAGES:
            await open_desk(browser, host, cookies[agent])
        yield
    finally:
        for context in browser.contexts:
            await context.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _at(stand: Stand, callers: Iterator[str], rate: float, many: int) -> Delays:
    db = Database(stand.settings.database)
    try:
        since = await db.read(ledger.last_seq)
        await _calls(stand, callers, rate, many)
        return await db.read(_delays, since)
    finally:
        await db.close()


async def _calls(stand: Stand, callers: Iterator[str], rate: float, many: int) -> None:
    numbers = list(itertools.islice(callers, many))
    result = await stand.calls(numbers, KEYS, rate=rate, to=DID, key_s=KEY_S, hold_s=HOLD_S)
    if result.failed:
        print(f"  {result.failed} of {many} calls failed at {rate:g}/s: see {result.log}", file=sys.stderr)
    await asyncio.sleep(SETTLE_S)


def _delays(session: Session, since: int) -> Delays:
    events = [each.event for each in _events(session, since)]
    painted = {each.offer: each for each in events if isinstance(each, OfferPainted)}
    offered = [each for each in events if isinstance(each, CallDelivered)]
    return Delays(
        pages=[each.acked_ms for each in painted.values() if each.agent in PAGES],
        sockets=[each.acked_ms for each in painted.values() if each.agent not in PAGES],
        unpainted=sum(each.agent in PAGES and each.offer not in painted for each in offered),
    )


def _events(session: Session, since: int) -> Iterator[Recorded]:
    while piece := ledger.since(session, since, EVENTS_AT_ONCE):
        yield from piece
        since = piece[-1].seq


async def _rival(stand: Stand, browser: Browser, callers: Iterator[str], rate: float, many: int) -> list[float]:
    """Delays of the broadcaster's pages, as many as ours were."""
    painted: list[float] = []
    async with _broadcaster(stand, painted) as address:
        for _ in PAGES:
            page = await (await browser.new_context()).new_page()
            await page.goto(address)
        await _calls(stand, callers, rate, many)
    return painted


@contextlib.asynccontextmanager
async def _broadcaster(stand: Stand, painted: list[float]) -> AsyncIterator[str]:
    known, port = pbx.keep_secrets(stand.plan), free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.broadcaster"),
        *(stand.plan.control_host, str(stand.plan.ami_port), known.user, str(port)),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(f"{known.ami}\n".encode())
        await process.stdout.readline()  # ready
        listening = asyncio.create_task(_listen(process.stdout, painted))
        yield f"http://{stand.plan.control_host}:{port}/"
    finally:
        await end(process)
    await listening


async def _listen(said: asyncio.StreamReader, painted: list[float]) -> None:
    while line := await said.readline():
        painted.append(float(line.split()[1]))


def _figures(delays: dict[float, Delays], rivals: list[float]) -> list[Figure]:
    figures: list[Figure] = []
    for rate, found in delays.items():
        for percent in PERCENTILES:
            value, name = percentile(found.pages, percent), f"pop.painted_p{percent}_ms_at_{rate:g}"
            if rate == LOADS[-1][0]:
                rival = percentile(rivals, percent)
                figures.append(against(name, value, "ms", RIVAL, rival, len(found.pages)))
            else:
                figures.append(Figure(name=name, value=round(value, 2), unit="ms", samples=len(found.pages)))
        if found.sockets:
            name = f"pop.bare_socket_p95_ms_at_{rate:g}"
            value = round(percentile(found.sockets, 95), 2)
            figures.append(Figure(name=name, value=value, unit="ms", samples=len(found.sockets)))
        figures.append(
            Figure(name=f"pop.unpainted_at_{rate:g}", value=found.unpainted, unit="", samples=len(found.pages))
        )
    return figures
