"""Where everything happens: the whole cluster, an Asterisk behind cuttable pipes, phones, agents' pages, customers who will call.

It lives in a folder that is thrown away, unless something was found; only the fetched tools are those of the checkout.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import dataclasses
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.chaos.desks import Desk
from benchmarks.chaos.pipes import Pipe
from benchmarks.stand import free_port, number
from cti import auth, cluster, run
from cti.app import utc_now
from cti.asterisk import debs, pbx
from cti.asterisk.plan import Pbx
from cti.cluster import Cluster, Switch
from cti.config import Settings
from cti.db import Database
from cti.demo.callers import Callers
from cti.demo.phones import Behaviour, Phones
from cti.demo.sipp import Address
from cti.demo.tones import PROMPTS, tone_prompts
from cti.records import imports

ANSWERS = Behaviour(answer_s=0.8, talk_s=4.0)
DISK_BYTES = 256 << 20
MOUNT_MAX_S = 10
COLUMNS = ("external_id", "name", "household", "subscription_no", "subscription_kind", "area", "phones")


@dataclass(frozen=True)
class Wanted:
    """How big a place: `customers` are those who will call once each."""

    nodes: int
    agents: int
    customers: int


@dataclass(frozen=True)
class Pipes:
    """Between the nodes and Asterisk, and between the pages and the balancer."""

    ari: Pipe
    ami: Pipe
    pages: Pipe

    @property
    def each(self) -> tuple[Pipe, ...]:
        return self.ari, self.ami, self.pages


@dataclass(frozen=True)
class Place:
    """Everything that runs. `disk`: the small one of the recordings; None where none may be mounted."""

    cluster: Cluster
    switch: Switch
    callers: Callers
    desks: tuple[Desk, ...]
    pipes: Pipes
    disk: Path | None
    folder: Path

    @property
    def logs(self) -> list[Path]:
        return sorted((self.folder / "cluster").glob("*.log"))


class Tap(Protocol):
    """Stands between the nodes and Asterisk's ARI: is given Asterisk's port and gives its own, for as long as `stack` is open."""

    async def __call__(self, port: int, stack: contextlib.AsyncExitStack) -> int: ...


async def no_tap(port: int, stack: contextlib.AsyncExitStack) -> int:
    return port


@contextlib.asynccontextmanager
async def standing(folder: Path, tools: Path, wanted: Wanted, *, tap: Tap = no_tap) -> AsyncIterator[Place]:
    """All of it, with calls possible; ended when the block is left, so that no process remains."""
    settings = _settings(folder, tools)
    agents = [f"{1001 + each}" for each in range(wanted.agents)]
    async with contextlib.AsyncExitStack() as stack:
        disk = stack.enter_context(small_disk(settings.recordings))
        tone_prompts(settings.prompts, PROMPTS)
        switch = await _switch(settings, agents, stack)
        pipes = await _pipes(settings, switch.plan, tap, stack)
        known = pbx.keep_secrets(switch.plan)
        made = await stack.enter_async_context(
            cluster.running(settings, nodes=wanted.nodes, say=say, passwords=(known.ari, known.ami), switch=False)
        )
        await furnish(made.settings, agents, wanted.customers)
        await stack.enter_async_context(_phones(settings, switch.plan))
        desks = await _desks(made.settings, agents, pipes.pages.port, stack)
        callers = await stack.enter_async_context(Callers(Address(settings.sip_host, settings.sip_port)))
        yield Place(made, switch, callers, desks, pipes, disk, folder)


def _settings(folder: Path, tools: Path) -> Settings:
    rtp = 32_000 + 2 * (free_port() % 5_000)
    return Settings(
        data_dir=folder, tools_dir=tools, http_port=free_port(), sip_port=free_port(udp=True), ari_port=free_port(),
        ami_port=free_port(), agi_port=free_port(), rtp_start=rtp, rtp_end=rtp + 3_000, calls_max=400, demo=False,
        log_format="json", recordings_dir=folder / "recordings", demo_password=SecretStr(""),
    )  # fmt: skip


async def _switch(settings: Settings, agents: Sequence[str], stack: contextlib.AsyncExitStack) -> Switch:
    """Asterisk on ports of its own, for the agents whom the cluster's database will know: its plan is made from one like it."""
    say("starting Asterisk")
    await run.build_prompts(settings, say)
    alike = settings.model_copy()  # settings remember their database once they were asked for it
    await run.migrate(alike)
    await furnish(alike, agents, 0)
    planned = await run.plan(alike)
    switch = Switch(dataclasses.replace(planned, http_port=free_port(), ami_port=free_port()), say)
    stack.push_async_callback(switch.stop)
    await switch.start()
    return switch


async def _pipes(settings: Settings, plan: Pbx, tap: Tap, stack: contextlib.AsyncExitStack) -> Pipes:
    ari = await tap(plan.http_port, stack)
    pipes = Pipes(
        Pipe(ari, settings.ari_port), Pipe(plan.ami_port, settings.ami_port), Pipe(settings.http_port, free_port())
    )  # fmt: skip
    for pipe in pipes.each:
        stack.push_async_callback(pipe.close)
        await pipe.open()
    return pipes


async def furnish(settings: Settings, agents: Sequence[str], customers: int) -> None:
    """Agents, and customers with a subscription and a number each."""
    db = Database(settings.database)
    try:
        for agent in agents:
            await db.work(
                auth.add_user, name=f"agent{agent}", role="agent", agent=agent, password_hash="none", now=utc_now()
            )
        if customers:
            path = settings.data_dir / "customers.csv"
            _write_customers(path, customers)
            report = await imports.import_customers(
                db, path, region=settings.default_region, now=utc_now(), say=lambda text: None
            )
            if report.rejected:
                raise ValueError(f"expected every customer to be imported, got {report.rejected[0]}")
    finally:
        await db.close()


def _write_customers(path: Path, many: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for each in range(many):
            home = (f"c{each}", f"Müşteri {each}", f"Ev {each}")
            table.writerow((*home, f"DSL-{500_000 + each}", "dsl", "Bornova-2", number(each)))


@contextlib.asynccontextmanager
async def _phones(settings: Settings, plan: Pbx) -> AsyncIterator[None]:
    passwords = pbx.keep_secrets(plan).phones
    target = Address(settings.sip_host, settings.sip_port)
    behaviours = dict.fromkeys(passwords, ANSWERS)
    async with Phones(debs.find("sipp", settings.tools), target, passwords, settings.data_dir / "phones", behaviours):
        yield


async def _desks(
    settings: Settings, agents: Sequence[str], port: int, stack: contextlib.AsyncExitStack
) -> tuple[Desk, ...]:
    """Every agent's page, kept open inside the block."""

    def cookies(session: Session) -> dict[str, str]:
        rows = session.scalars(select(auth.UserRow).where(auth.UserRow.agent.in_(agents))).all()
        return {row.agent: auth.open_session(session, row.id, idle_s=7200, max_s=7200, now=utc_now()) for row in rows}

    db = Database(settings.database)
    try:
        known = await db.work(cookies)
    finally:
        await db.close()
    desks = tuple(Desk(agent, f"127.0.0.1:{port}", known[agent], seed) for seed, agent in enumerate(agents))
    working = [asyncio.create_task(desk.run(), name=f"desk-{desk.agent}") for desk in desks]

    async def home() -> None:
        for each in working:
            each.cancel()
        await asyncio.gather(*working, return_exceptions=True)

    stack.push_async_callback(home)
    return desks


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A disk of DISK_BYTES at `folder` inside the block, and gone afterwards; gives None where none may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={DISK_BYTES},mode=700"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)],
        capture_output=True, timeout=MOUNT_MAX_S, check=False, env={"PATH": os.defpath},
    )  # fmt: skip
    if done.returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(
            ["umount", "-l", str(folder)], timeout=MOUNT_MAX_S, check=False, env={"PATH": os.defpath}
        )  # fmt: skip


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
