"""The place where everything is measured: one Asterisk on free ports, a company with customers, and the bridge as a process.

It lives in a folder that is thrown away; only the fetched tools are those of the checkout.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from cti import auth, run
from cti.app import utc_now
from cti.asterisk import debs, pbx
from cti.config import Settings
from cti.db import Database
from cti.demo import company, load
from cti.demo.carrier import Carrier
from cti.demo.load import LoadResult, Row
from cti.demo.sipp import Address
from cti.records import imports
from ivr.voice import Voice

AGENTS = tuple(f"10{each:02}" for each in range(1, 31))
CUSTOMERS = 1_300  # recognised callers; each calls once, so that each opens a ticket
READY = b"santral: ready"
READY_MAX_S = 40.0
STOP_MAX_S = 30.0


@dataclass
class Stand:
    """What the subjects measure on. `bench_plan` is the dialplan file that they may write."""

    settings: Settings
    plan: pbx.Pbx
    voice: Voice
    asterisk: pbx.Running
    password: str = field(repr=False)
    carrier: Carrier
    _called: int = 0

    def fresh_callers(self, many: int) -> list[str]:
        """Numbers of customers who have not called yet."""
        first, self._called = self._called, self._called + many
        if self._called > CUSTOMERS:
            raise ValueError(f"expected at most {CUSTOMERS} recognised callers, asked for {self._called}")
        return [number(each) for each in range(first, self._called)]

    async def calls(
        self, numbers: Sequence[str], keys: tuple[str, ...], *, rate: float, to: str, key_s: float, hold_s: float
    ) -> LoadResult:
        """Place them all at `rate` a second, and wait until the last has ended."""
        rows = [Row(each, keys) for each in numbers]
        return await load.calls(self.carrier, rows, rate=rate, to=to, key_s=key_s, hold_s=hold_s)

    def dialplan(self, text: str) -> None:
        """Put a dialplan of our own beside the product's."""
        etc = self.plan.conf.parent
        (etc / "bench.conf").write_text(text, encoding="utf-8")
        ours = etc / "extensions.conf"
        shipped = ours.read_text(encoding="utf-8")
        if "bench.conf" not in shipped:
            ours.write_text(f"{shipped}\n#include bench.conf\n", encoding="utf-8")
        pbx.ask(self.plan, "dialplan reload")

    @contextlib.asynccontextmanager
    async def bridge(self) -> AsyncIterator[int]:
        """The product as `santral serve` in a process of its own, ready for calls; gives its pid."""
        log = self.settings.data_dir / "bridge.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "cti", "serve"),
                env=os.environ | environment(self.settings), stdout=asyncio.subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        try:
            await _until_ready(process, log)
            yield process.pid
        finally:
            await end(process)


async def _until_ready(process: asyncio.subprocess.Process, log: Path) -> None:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_MAX_S):
            while line := await process.stdout.readline():
                if line.startswith(READY):
                    return
    except TimeoutError:
        pass
    raise RuntimeError(f"expected the bridge to be ready within {READY_MAX_S:g} s. Its last words:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


async def end(process: asyncio.subprocess.Process) -> None:
    """Politely, and after STOP_MAX_S by force."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_MAX_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def environment(settings: Settings) -> dict[str, str]:
    """The settings that were chosen, as a process reads them."""
    chosen = {name: getattr(settings, name) for name in settings.model_fields_set}
    plain = {
        name: each.get_secret_value() if isinstance(each, SecretStr) else str(each) for name, each in chosen.items()
    }
    return {f"SANTRAL_{name.upper()}": value for name, value in plain.items()}


@contextlib.asynccontextmanager
async def standing(folder: Path, tools: Path) -> AsyncIterator[Stand]:
    """Everything but the bridge, ready; ended when the block is left."""
    settings = _settings(folder, tools)
    voice = await run.build_prompts(settings, _say)
    password = secrets.token_urlsafe(12)
    await _fill(settings, password)
    plan = await run.plan(settings)
    asterisk = await asyncio.to_thread(pbx.start, plan)
    try:
        known = pbx.keep_secrets(plan)
        settings = settings.model_copy(
            update={"ari_password": SecretStr(known.ari), "ami_password": SecretStr(known.ami)}
        )
        sipp = debs.find("sipp", plan.tools)
        carrier = Carrier(sipp=sipp, target=Address(plan.host, plan.sip_port), out_dir=folder / "carrier")
        yield Stand(settings, plan, voice, asterisk, password, carrier)
    finally:
        await asyncio.to_thread(asterisk.stop)


def _settings(folder: Path, tools: Path) -> Settings:
    rtp = 20_000 + 2 * (free_port() % 5_000)
    return Settings(
        data_dir=folder, tools_dir=tools, http_port=free_port(), sip_port=free_port(udp=True),
        ari_port=free_port(), ami_port=free_port(), agi_port=free_port(), rtp_start=rtp, rtp_end=rtp + 3_000,
        calls_max=400, log_format="json",
    )  # fmt: skip


async def _fill(settings: Settings, password: str) -> None:
    """The demo company with its year of history, more agents, and customers who will call."""
    _say("filling the database")
    await run.migrate(settings)
    hashed = await asyncio.to_thread(auth.hash_password, password)
    customers = settings.data_dir / "customers.csv"
    _write_customers(customers)
    db = Database(settings.database)
    try:
        await db.work(company.load, now=utc_now(), password_hash=hashed)
        for agent in AGENTS[len(company.AGENTS) :]:
            await db.work(
                auth.add_user, name=f"agent{agent}", role="agent", agent=agent, password_hash=hashed, now=utc_now()
            )
        report = await imports.import_customers(
            db, customers, region=settings.default_region, now=utc_now(), say=lambda text: None
        )
        if report.rejected:
            raise ValueError(f"expected every customer to be imported, got {report.rejected[0]}")
    finally:
        await db.close()


def number(each: int) -> str:
    """The mobile number of customer `each`, as the carrier sends it."""
    return f"0530{2_000_000 + each}"


def _write_customers(path: Path) -> None:
    columns = ("external_id", "name", "household", "subscription_no", "subscription_kind", "area", "phones")
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for each in range(CUSTOMERS):
            home = f"Ev {each}"
            table.writerow(
                (f"b{each}", f"Müşteri {each}", home, f"DSL-{500_000 + each}", "dsl", "Bornova-2", number(each))
            )


def free_port(*, udp: bool = False) -> int:
    """A port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
