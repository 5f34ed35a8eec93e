"""A code by keys, as docs/proof.md shows it: sent to another telephone of the customer, keyed on this one, and good for the level."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from cti import ledger, switchboard
from cti.config import Settings
from cti.db import Database
from cti.events import CallIdentified, FlowEntered
from cti.identity import Level
from cti.ledger import EventRow
from cti.line import Caller
from cti.records.codes import VALID_S
from cti.records.outbox import OutMessage
from cti.switchboard import Arrival
from ivr import checks, conversation, document, prompts, proving, steps, store
from ivr.voice import Voice
from tests.cti.records.household import DID, HIS, UNKNOWN, build
from tests.fakes.line import HANG_UP, FakeLine
from tests.fakes.synth import FakeSynth
from tests.ivr.flows import by_code

NUMBER, NOBODYS = "1000123", "1999999"


class NoCodes(Database):
    """All is well but what a code is written to."""

    async def work(self, fn, /, *args, **kwargs):
        if any(getattr(each, "__qualname__", "").startswith("Deeds.send_code") for each in args):
            raise OperationalError("INSERT INTO outbox", {}, Exception("no such disk"))
        return await super().work(fn, *args, **kwargs)


@dataclass
class Clock:
    now: dt.datetime

    def __call__(self) -> dt.datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)


def other(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


@dataclass
class Phone:
    """One caller who keys the number and then what `keys` makes of the code that came to the other telephone; "000000" if none came."""

    db: Database
    voice: Voice
    clock: Clock
    keys: Callable[[str], str] = str
    number: str = NUMBER
    settings: Settings = field(default_factory=Settings)

    async def call(self, raw: str = UNKNOWN, db: Database | None = None) -> tuple[Arrival, FakeLine]:
        came = Caller(f"channel-{ledger.uuid7(self.clock())}", DID, raw, "")
        arrival = await self.db.work(switchboard.arrived, came, region="TR", now=self.clock())
        line = FakeLine(self.number)

        async def on_play(names: list[str]) -> None:
            if any("key_code" in name for name in names):
                line.keys.insert(0, self.keys(await self.db.read(sent) or "000000"))

        line.on_play = on_play
        flow = store.Published(document.read(by_code()), 1)
        await conversation.run(
            line, arrival, db=db or self.db, voice=self.voice, flow=flow, settings=self.settings, clock=self.clock
        )
        return arrival, line

    async def went(self, arrival: Arrival) -> tuple[list[str], int]:
        """The nodes with a label that he came to, and the level that he has in the end."""
        events = [each.event for each in await self.db.read(ledger.of_conversation, arrival.conversation)]
        levels = [each.level for each in events if isinstance(each, CallIdentified)]
        return [each.node for each in events if isinstance(each, FlowEntered)], levels[-1]


def messages(session) -> list[OutMessage]:
    return list(session.scalars(select(OutMessage).order_by(OutMessage.id)))


def sent(session) -> str:
    """The code in the newest message; "" when there is none."""
    found = [re.findall(r"\b\d{6}\b", each.text)[0] for each in messages(session)]
    return found[-1] if found else ""


@pytest.fixture
async def phone(db, tmp_path, now, monkeypatch):
    monkeypatch.setattr(proving, "UNHURRIED_S", 0.0)
    await db.work(build)
    voice = Voice(tmp_path / "prompts", FakeSynth())
    await voice.build(prompts.all_pieces(document.read(by_code())), lambda line: None)
    return Phone(db, voice, Clock(now))


def test_the_flow_that_the_docs_show_is_a_sound_one():
    assert checks.check(document.read(by_code())) == ()


async def test_a_number_of_the_bill_and_the_code_reach_level_three(phone):
    arrival, line = await phone.call()
    assert await phone.went(arrival) == (["code", "verified"], Level.VERIFIED)
    assert line.heard("verified")
    (message,) = await phone.db.read(messages)
    assert message.text.startswith("Santral: doğrulama kodunuz ")
    bodies = await phone.db.read(lambda session: str(session.scalars(select(EventRow.body)).all()))
    left = await phone.db.read(lambda session: session.get_one(store.FlowSession, arrival.conversation).session)
    code = await phone.db.read(sent)
    assert code not in bodies
    assert code not in str(left)


@pytest.mark.parametrize("raw", [UNKNOWN, HIS], ids=["unknown number", "his own number"])
async def test_a_wrong_code_is_wrong_and_so_is_one_that_was_never_sent(phone, raw):
    phone.keys = other
    arrival, line = await phone.call(raw)
    assert await phone.went(arrival) == (["code", "not_verified"], Level.MATCHED)
    assert not any(name.startswith("tr-verified") for name in line.played)


async def test_a_code_that_comes_too_late_is_wrong(phone):
    def late(code: str) -> str:
        phone.clock.forward(VALID_S)
        return code

    phone.keys = late
    arrival, _ = await phone.call()
    assert await phone.went(arrival) == (["code", "not_verified"], Level.MATCHED)


async def test_the_code_of_another_call_is_wrong(phone):
    phone.keys = lambda code: HANG_UP
    await phone.call()
    before = await phone.db.read(sent)
    phone.clock.forward(120)
    phone.keys = lambda code: before
    arrival, _ = await phone.call()
    assert await phone.went(arrival) == (["code", "not_verified"], Level.MATCHED)
    assert len(await phone.db.read(messages)) == 2


async def test_whether_a_code_was_sent_shows_in_nothing_that_is_heard(phone):
    phone.keys = other
    heard = []
    for number, raw in ((NUMBER, UNKNOWN), (NUMBER, HIS), (NOBODYS, UNKNOWN)):
        phone.number = number
        _, line = await phone.call(raw)
        heard.append(line.played)
        phone.clock.forward(120)  # none is withheld because one is on its way
    assert heard[0] == heard[1] == heard[2]
    assert len(await phone.db.read(messages)) == 1


@pytest.mark.parametrize("number", [NUMBER, NOBODYS])
async def test_nobody_is_answered_sooner_than_after_three_unhurried_pieces(phone, number, monkeypatch):
    """The number, the code, and the code keyed."""
    monkeypatch.setattr(proving, "UNHURRIED_S", 0.2)
    phone.number, loop = number, asyncio.get_running_loop()
    began = loop.time()
    await phone.call()
    assert loop.time() - began >= 3 * 0.2


async def test_it_calls_us_by_our_name_and_speaks_the_callers_language(phone):
    phone.settings = Settings(public_name="Boğaz Net", language="en")
    await phone.call()
    (message,) = await phone.db.read(messages)
    assert message.text.startswith("Boğaz Net: your code is ")


async def test_with_the_records_away_the_caller_goes_the_other_way(phone):
    broken = NoCodes(phone.db.url.render_as_string())
    arrival, line = await phone.call(db=broken)
    await broken.close()
    assert (await phone.went(arrival))[0] == ["code"]
    assert not line.heard("key_code")
    assert line.queued is not None
    assert line.queued.queue == "customer_care"


async def test_a_call_that_was_taken_over_sends_no_second_code(phone):
    phone.keys = lambda code: HANG_UP
    arrival, _ = await phone.call()
    visit, wanted = f"{arrival.conversation}:code:1", steps.SendCode("tr", "code", 1)

    async def ask(visit: str) -> Any:
        phone.clock.forward(120)
        return await phone.db.work(
            proving.send_code, arrival.conversation, wanted, visit, name="Santral", now=phone.clock()
        )

    assert await ask(visit)
    assert await phone.db.read(lambda session: session.scalar(select(func.count()).select_from(OutMessage))) == 1
    assert await ask(f"{arrival.conversation}:code:2"), "who asks anew gets a new one"
    assert len(await phone.db.read(messages)) == 2
