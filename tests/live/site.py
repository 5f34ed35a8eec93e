"""A running Santral as a stranger would meet it: the real Asterisk, the node with its web server, the demo company, SIPp as the
carrier and as the agents' phones. Between the node and the switch lie the recording proxies of wire.py.

A test waits for what happens (`until`), never for time to pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from pydantic import SecretStr
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cti import ledger, run
from cti.app import House, utc_now
from cti.asterisk import debs, pbx, placeholders
from cti.asterisk.plan import Pbx
from cti.config import Settings
from cti.demo import carrier, stage
from cti.demo.carrier import DID, Caller, Carrier
from cti.demo.phones import Behaviour, Phones
from cti.demo.sipp import Address
from cti.events import CallArrived, Event, Recorded
from cti.records.conversations import Offer
from cti.records.parties import Party, Subscription
from cti.records.tickets import Ticket
from ivr.voice import Voice
from tests.live.wire import AgiWire, AmiWire, AriWire

ROOT = Path(__file__).parents[2]
PASSWORD = "a password for tests"
LIMIT_S = 30.0
RING_S = 6  # of one phone in a queue
QUICKLY = 0.3  # seconds before a key, however long the prompt is
AGENTS = ("1001", "1002", "1003", "1004")
STRANGER = "05425559999"
STORY = "05325550123"  # Mehmet Yılmaz, of cti/demo/people.py
ANSWERS = Behaviour(answer_s=0.5, talk_s=None)
# Said by a beep instead of a sentence, so that a call's way to the queue takes seconds; digits keep their voice.
BEEPED = (
    "consent", "to_person", "to_technical", "to_billing", "to_sales", "welcome", "other_language", "greet_person", "greet_line",
    "opened", "existing", "number_again",
)  # fmt: skip

E = TypeVar("E", bound=Event)


def tools() -> Path:
    return Path(os.environ.get("SANTRAL_TOOLS_DIR") or ROOT / "var" / "tools").absolute()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings_in(folder: Path, **more: Any) -> Settings:
    """Settings of a copy of Santral that has its own folder and its own ports."""
    rtp = 20_000 + 2 * (free_port() % 5_000)
    values = {
        "data_dir": folder, "tools_dir": tools(), "demo_password": SecretStr(PASSWORD), "log_format": "json",
        "http_port": free_port(), "sip_port": free_port(socket.SOCK_DGRAM), "ari_port": free_port(), "ami_port": free_port(),
        "agi_port": free_port(), "rtp_start": rtp, "rtp_end": rtp + 1000, **more,
    }  # fmt: skip
    return Settings(**values)


def quiet(text: str) -> None:
    """Progress that nobody reads."""


async def make_company(folder: Path) -> None:
    """The prompts and the demo company's database, to be copied for each site."""
    settings = settings_in(folder)
    beep = folder / "beep.wav"
    placeholders.save(beep, placeholders.chime()[: placeholders.RATE_HZ // 4])
    for language in ("tr", "en"):
        own = settings.prompts / "recordings" / language
        own.mkdir(parents=True)
        for key in BEEPED:
            shutil.copyfile(beep, own / f"{key}.wav")
    await run.build_prompts(settings, quiet)
    await run.migrate(settings)
    await stage.load(settings, quiet)


@dataclass
class Placed:
    """A caller on the line, and the conversation that he is for Santral."""

    call: carrier.Call
    conversation: str

    @property
    def ear(self) -> Any:
        return self.call.ear


@dataclass
class Site:
    settings: Settings
    plan: Pbx
    house: House
    carrier: Carrier
    phones: Phones
    ari: AriWire
    ami: AmiWire
    agi: AgiWire
    heard: list[Recorded] = field(default_factory=list)  # the ledger's news since the site began
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.http_port}"

    @property
    def database(self) -> Path:
        return self.settings.data_dir / "santral.db"

    def hear(self, recorded: Recorded) -> None:
        self.heard.append(recorded)
        self._news.set()

    # --- what happens ---

    def found(self, kind: type[E], conversation: str = "", since: int = 0) -> list[E]:
        """Events of this kind since the site began, or since `heard` had so many."""
        events = [each.event for each in self.heard[since:] if not conversation or each.conversation == conversation]
        return [each for each in events if isinstance(each, kind)]

    async def until(
        self,
        kind: type[E],
        conversation: str = "",
        *,
        where: Callable[[E], bool] = lambda event: True,
        count: int = 1,
        since: int = 0,
        timeout_s: float = LIMIT_S,
    ) -> E:
        """The `count`th event of this kind; waits for it. AssertionError with what came instead."""
        try:
            async with asyncio.timeout(timeout_s):
                while len(found := [each for each in self.found(kind, conversation, since) if where(each)]) < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            came = [
                each.event.type for each in self.heard[since:] if not conversation or each.conversation == conversation
            ]
            raise AssertionError(f"expected {count} x {kind.type} within {timeout_s} s, came: {came[-60:]}") from None
        return found[count - 1]

    async def ledger(self, conversation: str) -> list[Recorded]:
        return await self.house.db.read(ledger.of_conversation, conversation)

    async def ask(self, command: str) -> str:
        """What Asterisk's console answers."""
        return await asyncio.to_thread(pbx.ask, self.plan, command)

    # --- callers ---

    @contextlib.asynccontextmanager
    async def call(
        self, caller: Caller | str, keys: Sequence[str] = (), *, to: str = DID, within_s: float = QUICKLY, raw: str = ""
    ) -> AsyncIterator[Placed]:
        """A caller who is answered and has pressed his keys; hangs up at the end of the block. `raw`: his number as it
        arrives, when several call at once."""
        since = len(self.heard)
        async with await self.carrier.dial(caller, to) as placed:
            assert await placed.answered(), placed.log.read_text()
            arrived = await self.until(CallArrived, where=lambda event: raw in ("", event.raw), since=since)
            await placed.press_each(keys, within_s=within_s)
            yield Placed(placed, arrived.conversation)

    async def clear(self) -> None:
        """As before the first call: no channel, every agent ready with an empty page, every ticket of a call closed, doors open."""
        self.ami.doubled = False
        async with asyncio.timeout(LIMIT_S):
            await self.ask("channel request hangup all")
            while "0 active channels" not in await self.ask("core show channels count"):
                continue
            await self.house.ari.connected.wait()
            await self.house.ami.connected.wait()
            for agent in AGENTS:
                await self.house.controls.pause(f"PJSIP/{agent}", False, "")
        await self.house.db.work(_tidy)

    # --- records and people ---

    async def subscription(self, number: str = "DSL-100101") -> str:
        return await self.house.db.read(_subscription, number)

    async def parties(self) -> int:
        return await self.house.db.read(lambda session: session.scalar(select(func.count(Party.id))) or 0)

    @contextlib.asynccontextmanager
    async def signed_in(self, user: str) -> AsyncIterator[httpx2.AsyncClient]:
        """The API as this user."""
        async with httpx2.AsyncClient(base_url=self.url, headers={"origin": self.url}, timeout=LIMIT_S) as client:
            answer = await client.post("/api/v1/session", json={"user": user, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            yield client


def _tidy(session: Session) -> None:
    now = utc_now()
    session.execute(update(Offer).values(wrapped_up_at=now, dismissed_at=now))
    session.execute(update(Ticket).where(Ticket.state == "open").values(state="closed", closed_at=now))


def _subscription(session: Session, number: str) -> str:
    found = session.scalar(select(Subscription.id).where(Subscription.number == number))
    assert found is not None, f"expected a subscription {number}"
    return found


@contextlib.asynccontextmanager
async def switch(settings: Settings, company: Path, *, tapped: bool = True) -> AsyncIterator[Pbx]:
    """The demo company's own Asterisk with nothing of ours on the line yet. `tapped`: on other ports than the settings say, which
    are the proxies' then."""
    shutil.copytree(company / "prompts", settings.prompts)
    shutil.copyfile(company / "santral.db", settings.data_dir / "santral.db")
    planned = await run.plan(settings)
    members = tuple((agent, 0) for agent in AGENTS)  # so that every queue rings 1001 first, then 1002 ...
    queues = tuple(dataclasses.replace(queue, ring_s=RING_S, members=members) for queue in planned.queues)
    plan = dataclasses.replace(
        planned, queues=queues, http_port=free_port(), ami_port=free_port(), agi_port=free_port()
    )
    started = await asyncio.to_thread(pbx.start, plan)
    try:
        yield plan
    finally:
        await asyncio.to_thread(started.stop)


def carrier_of(settings: Settings) -> Carrier:
    target = Address(settings.sip_host, settings.sip_port)
    return Carrier(sipp=debs.find("sipp", settings.tools), target=target, out_dir=settings.data_dir / "carrier")


def phones_of(settings: Settings, plan: Pbx) -> Phones:
    passwords = pbx.keep_secrets(plan).phones
    return Phones(
        debs.find("sipp", settings.tools), Address(settings.sip_host, settings.sip_port), passwords,
        settings.data_dir / "phones", dict.fromkeys(passwords, ANSWERS),
    )  # fmt: skip


@contextlib.asynccontextmanager
async def running(folder: Path, company: Path) -> AsyncIterator[Site]:
    """Everything: switch, proxies, node with its web server, phones."""
    settings = settings_in(folder)
    async with contextlib.AsyncExitStack() as stack:
        plan = await stack.enter_async_context(switch(settings, company))
        wires = AriWire(plan.http_port), AmiWire(plan.ami_port), AgiWire(settings.agi_port)
        for wire, port in zip(wires, (settings.ari_port, settings.ami_port, plan.agi_port), strict=True):
            await wire.open(port)
            stack.push_async_callback(wire.close)
        voice: Voice = await run.build_prompts(settings, quiet)
        known = pbx.keep_secrets(plan)
        house = House(settings, voice, ari_password=known.ari, ami_password=known.ami)
        made = Site(settings, plan, house, carrier_of(settings), phones_of(settings, plan), *wires)
        house.bus.subscribe(made.hear)
        await stack.enter_async_context(run.serving(house))
        await stack.enter_async_context(made.phones)
        yield made
