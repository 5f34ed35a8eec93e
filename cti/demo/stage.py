"""The demo company on stage: loaded into an empty database, its agents' phones ringing, its callers calling."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from cti import auth
from cti.app import utc_now
from cti.asterisk import debs, pbx
from cti.asterisk.plan import Pbx
from cti.config import Settings
from cti.db import Database
from cti.demo import carrier, company, phones
from cti.demo.sipp import Address, free_port

Say = Callable[[str], None]

DEMO_HOLD_S = 60.0


class NotAnswered(Exception):
    """Nobody took the demo call; the text says what came instead."""


async def load(settings: Settings, say: Say) -> str | None:
    """Load the demo company into an empty database, or give its users the password of today; returns it. None: this database
    is somebody else's."""
    given = settings.demo_password.get_secret_value()
    kept = settings.data_dir / "demo_password"
    password = given or (kept.read_text(encoding="utf-8").strip() if kept.exists() else secrets.token_urlsafe(9))
    if not given:
        kept.touch(mode=0o600)
        kept.write_text(password + "\n", encoding="utf-8")
    hashed = await asyncio.to_thread(auth.hash_password, password)
    db = Database(settings.database)
    try:
        if await db.work(company.load, now=utc_now(), password_hash=hashed):
            say("the demo company is loaded")
        elif not await db.work(company.set_password, hashed):
            return None
    finally:
        await db.close()
    return password


@contextlib.asynccontextmanager
async def phones_ringing(settings: Settings, switch: Pbx) -> AsyncIterator[phones.Phones | None]:
    """The agents' demo phones, registered, inside the block; None when the demo is off."""
    if not settings.demo:
        yield None
        return
    answers = phones.Behaviour(settings.demo_answer_s if settings.demo_answer_s > 0 else None, settings.demo_talk_s)
    ringing = phones.Phones(
        sipp=debs.find("sipp", settings.tools),
        target=Address(settings.sip_host, settings.sip_port),
        passwords=pbx.keep_secrets(switch).phones,
        out_dir=settings.data_dir.resolve() / "demo",
        behaviours=dict.fromkeys((phone.name for phone in switch.phones), answers),
        host=settings.demo_phones_host,
        port=settings.demo_phones_port,
        media_port=settings.demo_media_port,
    )
    async with ringing:
        yield ringing


@contextlib.asynccontextmanager
async def calls_by_themselves(settings: Settings) -> AsyncIterator[None]:
    """SANTRAL_DEMO_CALLS calls an hour inside the block, from the demo company's callers in turn."""
    if not settings.demo_calls:
        yield
        return

    async def one(number: str) -> None:
        with contextlib.suppress(NotAnswered, OSError):  # a call that fails is no reason to end
            await place(settings, DemoCall(number, carrier.DID, "", ("1", "1"), DEMO_HOLD_S), lambda text: None)

    async def keep_calling() -> None:
        async with asyncio.TaskGroup() as under_way:
            for each in itertools.cycle(company.demo_callers()):
                await asyncio.sleep(3600 / settings.demo_calls)
                under_way.create_task(one(each.number))

    calling = asyncio.create_task(keep_calling(), name="demo-calls")
    try:
        yield
    finally:
        calling.cancel()
        await asyncio.wait([calling])


@dataclass(frozen=True)
class DemoCall:
    """What `santral demo call` was asked for. An empty `caller` withholds the number."""

    caller: str
    to: str
    name: str
    keys: tuple[str, ...]
    hold_s: float


async def place(settings: Settings, wanted: DemoCall, say: Say) -> None:
    """One call from the demo carrier. Raises NotAnswered when nobody answered."""
    say(f"calling {wanted.to} from {wanted.caller or 'a withheld number'}")
    from_there = carrier.Carrier(
        sipp=debs.find("sipp", settings.tools),
        target=Address(settings.sip_host, settings.sip_port),
        out_dir=settings.data_dir.resolve() / "demo",
        host=settings.demo_carrier_host,
        port=free_port(settings.demo_carrier_host, settings.demo_carrier_port),
        media_port=free_port(settings.demo_carrier_host, settings.demo_media_port),
    )
    who = carrier.Caller(wanted.caller, name=wanted.name, withheld=not wanted.caller)
    result = await carrier.call(from_there, who, to=wanted.to, keys=wanted.keys, hold_s=wanted.hold_s)
    if not result.answered:
        raise NotAnswered(f"expected an answer, came: {result.status} {result.cause}; the log is {result.log}")
    say(f"answered after {result.answer_s or 0:.2f} s, talked {result.talk_s:.0f} s, ended by {result.ended_by}")
