"""What the commands do: prepare this machine, start the parts in their order, and end them all again."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import typer
import uvicorn
from pydantic import SecretStr
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cti import auth
from cti.app import House, utc_now
from cti.asterisk import debs, pbx
from cti.asterisk.plan import NAME, Pbx, PbxError, Phone, Queue
from cti.config import Settings
from cti.db import Database
from cti.demo import company, stage
from cti.site import web_app
from cti.speech import Espeak
from ivr import document, prompts
from ivr import store as flows
from ivr.voice import Voice

Say = Callable[[str], None]

READY_WAIT_S = 30.0
STOP_WAIT_S = 20
SWITCH_S = 0.0005
GC_THRESHOLD = (50_000, 50, 1000)  # with 2,000 seats a run over everything stops the loop for half a second
ALIVE_CHECK_S = 0.5
QUEUES = ("technical", "customer_care")
DEFAULT_QUEUE = "customer_care"
PASSWORD_MIN = 8


class NotReady(Exception):
    """The node could not be made ready for calls; the text says which part and what came."""


def tools(settings: Settings, say: Say, *, browser: bool = False) -> None:
    """Find or fetch Asterisk, SIPp and espeak-ng; Chromium too when the tests are to run. Raises debs.DebsError."""
    for program in ("asterisk", "sipp", "espeak-ng"):
        try:
            debs.find(program, settings.tools)
        except debs.DebsError:
            say(f"{program} is missing here: fetching Asterisk, SIPp and espeak-ng")
            debs.telephony(settings.tools, say)
    if browser:
        chromium(settings, say)


def chromium(settings: Settings, say: Say) -> Path:
    """A Chromium that the tests can drive: the machine's own, or one fetched into the tools' folder."""
    with contextlib.suppress(debs.DebsError):
        return Path(debs.find("chromium", settings.tools.with_name("browser"))[0])
    return debs.browser(settings.tools.with_name("browser"), say)


def voice(settings: Settings) -> Voice:
    """The prompts' folder with the voice that fills it."""
    return Voice(settings.prompts, Espeak(tuple(debs.find("espeak-ng", settings.tools))))


async def build_prompts(settings: Settings, say: Say) -> Voice:
    """Synthesise what the shipped flow may ever say and is not there yet; names of areas come while we run (ivr/named_areas.py)."""
    built = voice(settings)
    await built.build(prompts.all_pieces(document.read(flows.shipped("main"))), say)
    return built


async def migrate(settings: Settings) -> None:
    """Bring the database to today's shape, with the rows without which nothing works."""
    house = House(settings, voice(settings), ari_password="", ami_password="")
    try:
        await house.prepare()
    finally:
        await house.db.close()


async def add_user(settings: Settings, *, name: str, role: auth.Role, agent: str, password: str) -> None:
    """Somebody who may sign in from now on. Raises NotReady saying what was expected of password, agent or name."""
    if len(password) < PASSWORD_MIN:
        raise NotReady(f"expected a password of at least {PASSWORD_MIN} characters, got {len(password)}")
    if agent and not NAME.fullmatch(agent):
        raise NotReady(f"expected an agent's name of letters, digits, _ and -, got {agent!r}")
    await migrate(settings)
    hashed = await asyncio.to_thread(auth.hash_password, password)
    db = Database(settings.database)
    try:
        if agent in await db.read(auth.agents):
            raise NotReady(f"expected an agent's name that nobody has, got {agent!r}")
        await db.work(
            auth.add_user, name=name, display_name=name, role=role, password_hash=hashed, agent=agent, now=utc_now()
        )
    except IntegrityError:
        raise NotReady(f"expected a name that nobody has, got {name!r}") from None
    finally:
        await db.close()


async def add_token(settings: Settings, *, name: str, role: auth.Role) -> None:
    """A bearer token for the API, printed."""
    db = Database(settings.database)
    try:
        typer.echo(await db.work(auth.add_token, name=name, role=role, now=utc_now()))
    finally:
        await db.close()


async def end(settings: Settings, ending: Callable[[Session, str, dt.datetime], bool], name: str) -> int:
    """Disable a user or revoke a token; 1 when there is nobody of that name."""
    db = Database(settings.database)
    try:
        found = await db.work(ending, name, utc_now())
    finally:
        await db.close()
    typer.echo(f"{name} is out" if found else f"expected the name of somebody who is in, got {name!r}", err=not found)
    return 0 if found else 1


async def plan(settings: Settings) -> Pbx:
    """The private Asterisk for the agents that this database knows, with a phone each."""
    db = Database(settings.database)
    try:
        agents = await db.read(auth.agents)
    finally:
        await db.close()
    return Pbx(
        data_dir=settings.data_dir, host=settings.sip_host, sip_port=settings.sip_port, http_port=settings.ari_port,
        ami_port=settings.ami_port, agi_host=settings.agi_host, agi_port=settings.agi_port,
        rtp_start=settings.rtp_start, rtp_end=settings.rtp_end, trunk_match=settings.trunk_match,
        claim_timeout_ms=settings.claim_timeout_ms, dead_man_s=settings.dead_man_s, system_name=settings.switch,
        ivr_calls_max=settings.calls_max, region=settings.default_region,
        phones=tuple(Phone(agent) for agent in agents),
        queues=tuple(Queue(name, members(name, agents, settings.demo)) for name in QUEUES),
        default_queue=DEFAULT_QUEUE, prompts_dir=settings.prompts, recordings_dir=settings.recordings,
        tools_dir=settings.tools, control_host=settings.asterisk_bind, external_address=settings.external_address,
        control_permit=tuple(each.strip() for each in settings.asterisk_permit.split(",") if each.strip()),
    )  # fmt: skip


def members(queue: str, agents: Sequence[str], demo: bool) -> tuple[tuple[str, int], ...]:
    """(phone, penalty) in the order in which they ring: everybody in every queue; the demo company has its specialists."""
    first = [each for each in company.QUEUES[queue] if each[0] in agents] if demo else []
    return (*first, *((agent, 0) for agent in agents if agent not in dict(first)))


async def run(settings: Settings, say: Say) -> int:
    """Everything on this machine, in the foreground, until Ctrl-C; leaves no process behind."""
    say("looking for Asterisk, SIPp and espeak-ng")
    await asyncio.to_thread(tools, settings, say)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    built = await build_prompts(settings, say)
    await migrate(settings)
    password = await stage.load(settings, say) if settings.demo else None
    switch = await plan(settings)
    say("starting Asterisk")
    known = pbx.keep_secrets(switch)
    async with exchange(switch, say):
        house = House(settings, built, ari_password=known.ari, ami_password=known.ami)
        async with serving(house), stage.phones_ringing(settings, switch), stage.calls_by_themselves(settings):
            asked = asked_to_stop()
            tell_ready(settings, password)
            return await stopped(asked, house)


async def serve(settings: Settings, say: Say) -> int:
    """The bridge alone, beside an Asterisk that others run."""
    built = await build_prompts(settings, say)
    ari, ami = passwords(settings)
    house = House(settings, built, ari_password=ari, ami_password=ami)
    async with serving(house):
        asked = asked_to_stop()
        tell_ready(settings, None)
        code = await stopped(asked, house)
        await house.drain()
        return code


def passwords(settings: Settings) -> tuple[str, str]:
    """Of ARI and AMI: the ones set, else those kept in the data folder, which `santral pbx start` beside us uses too."""
    given = settings.ari_password.get_secret_value(), settings.ami_password.get_secret_value()
    if all(given):
        return given
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    kept = pbx.keep_secrets(Pbx(data_dir=settings.data_dir))
    return given[0] or kept.ari, given[1] or kept.ami


async def pbx_alone(settings: Settings, say: Say) -> int:
    async with exchange(await plan(settings), say):
        asked = asked_to_stop()
        say("Asterisk runs; Ctrl-C ends it")
        return await stopped(asked)


@contextlib.asynccontextmanager
async def exchange(switch: Pbx, say: Say) -> AsyncIterator[None]:
    """The private Asterisk, alive inside the block: one that dies is started again. What it carried is lost and in the ledger as lost."""
    running = await asyncio.to_thread(pbx.start, switch)

    async def keep_alive() -> None:
        nonlocal running
        while True:
            await asyncio.sleep(ALIVE_CHECK_S)
            if running.ended_as_asked:
                say("Asterisk was stopped")
                signal.raise_signal(signal.SIGTERM)
                return
            if not running.alive:
                say("Asterisk died: starting it again")
                with contextlib.suppress(PbxError):  # tried again at the next check
                    running = await asyncio.to_thread(pbx.start, switch)

    keeper = asyncio.create_task(keep_alive(), name="asterisk")
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])
        await asyncio.to_thread(running.stop)


@contextlib.asynccontextmanager
async def serving(house: House) -> AsyncIterator[None]:
    """The node with its web server, ready for calls inside the block."""
    settings = house.settings
    server = uvicorn.Server(
        uvicorn.Config(
            web_app(house), host=settings.http_host, port=settings.http_port, log_level="warning", access_log=False,
            ws="websockets-sansio", ws_ping_interval=None, ws_per_message_deflate=False, server_header=False,
            timeout_graceful_shutdown=STOP_WAIT_S,
        )
    )  # fmt: skip
    door = _door(settings.http_host, settings.http_port)
    task = asyncio.create_task(server._serve([door]), name="http")  # `serve` would take the signals, which are ours
    try:
        await _ready(house, server, task)
        make_quick()
        yield
    finally:
        server.should_exit = True
        await asyncio.wait([task], timeout=STOP_WAIT_S + 5)


def make_quick() -> None:
    """What was there from the start stays: looking through it again and again would hold up every call. And the loop waits for the
    database's threads at most 0.5 ms at a time instead of Python's 5: a pop changes between them some ten times."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    sys.setswitchinterval(SWITCH_S)


def _door(host: str, port: int) -> socket.socket:
    """The web server's socket; uvicorn would end the process without a word that helps when the port is taken."""
    try:
        return socket.create_server((host, port), reuse_port=False)
    except OSError as error:
        raise NotReady(f"expected {host}:{port} to be free (SANTRAL_HTTP_PORT): {error.strerror}") from None


async def _ready(house: House, server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    try:
        async with asyncio.timeout(READY_WAIT_S):
            while not (server.started and all(house.doors().values())):
                if task.done():
                    raise NotReady(f"expected a web server on port {house.settings.http_port}, it ended: {_why(task)}")
                await asyncio.sleep(0.05)
    except TimeoutError:
        closed = [name for name, is_open in house.doors().items() if not is_open]
        raise NotReady(f"expected {' and '.join(closed)} of Asterisk within {READY_WAIT_S:g} s, no answer") from None


def _why(task: asyncio.Task[None]) -> str:
    error = None if task.cancelled() else task.exception()
    return repr(error) if error else "is the port taken? Set SANTRAL_HTTP_PORT"


def asked_to_stop() -> asyncio.Event:
    """Set at Ctrl-C or SIGTERM, from now on."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, asked.set)
    return asked


async def stopped(asked: asyncio.Event, house: House | None = None) -> int:
    """Returns 0 when we were asked to stop, 1 when the node cannot go on."""
    ends = [asyncio.create_task(each.wait()) for each in ((asked, house.died) if house else (asked,))]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    return 0 if asked.is_set() else 1


def tell_ready(settings: Settings, password: str | None) -> None:
    """The line that others wait for, and below it where to look and how to sign in."""
    typer.echo(f"santral: ready http://{settings.http_host}:{settings.http_port}/")
    if password is None:
        return
    texts = GREETING["tr" if settings.language == "tr" else "en"]
    typer.echo(texts["sign_in"].format(password=password))
    for each in company.demo_callers():
        language = "tr" if settings.language == "tr" else "en"
        typer.echo(f"  santral demo call --from {each.number:<14} # {each.label[language]}. {each.expect[language]}")


GREETING = {
    "tr": {
        "sign_in": "Giriş: agent1001 … agent1004, supervisor, admin; parola: {password}\n"
        "Başka bir terminalde bir çağrı deneyin (Ctrl-C hepsini durdurur):"
    },
    "en": {
        "sign_in": "Sign in as agent1001 … agent1004, supervisor or admin; password: {password}\n"
        "Try a call from another terminal (Ctrl-C ends everything):"
    },
}


def api_description() -> dict[str, Any]:
    """The OpenAPI document of the running code; nothing is started for it."""
    settings = Settings(database_url="sqlite:///file::memory:?uri=true", demo_password=SecretStr(""))
    house = House(settings, Voice(settings.prompts, _Mute()), ari_password="", ami_password="")
    return web_app(house).openapi()


class _Mute:
    """A voice for commands that never speak."""

    name = "mute"

    def voice(self, language: str) -> str:
        return "mute"

    async def speak(self, text: str, language: str, out: Path) -> None:
        raise NotImplementedError

    async def convert(self, source: Path, out: Path) -> None:
        raise NotImplementedError
