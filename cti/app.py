"""The wiring: which part hears what of which. It imports everything and is imported by nobody but the commands.

`House` is one node. `open()` makes it ready for calls, `close()` ends it; what runs in between are its tasks, each of which reconnects
or restarts by itself. Routes find the house at `app.state.house`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

import screenpop.history
import screenpop.pages
import screenpop.routes
from cti import auth, migrations, numbers, routes, web
from cti.asterisk.agi import Agi, identify_script
from cti.asterisk.ami import Ami, AmiDown, AmiRefused
from cti.asterisk.ari import Ari
from cti.asterisk.ari_line import AriLine
from cti.asterisk.wire import Unsafe
from cti.bus import open_bus
from cti.channels import routes as channel_routes
from cti.config import Settings
from cti.db import Database
from cti.events import CallCleared, Recorded
from cti.health import router as health_routes
from cti.line import ChannelGone, DeviceRinging, LineFailed
from cti.metrics import Metrics
from cti.records import contact_points, standing
from cti.switchboard import UNHEARD, Arrival, Switchboard, arrived, open_channels
from ivr import conversation
from ivr import store as flows
from ivr.voice import Voice
from recordings import routes as recording_routes
from recordings.retention import Policy
from recordings.worker import Worker
from screenpop import snapshot
from screenpop.commands import PAUSE_FOR_WRAP_UP
from screenpop.hub import Hub, Look, Only, Owner
from screenpop.protocol import Agent

log = structlog.get_logger(__name__)

ARRIVAL_DEADLINE_S = 1.0  # the caller hears something by then, whatever the database does
RESYNC_PAUSE_S = 1.0
RESYNC_MARGIN = dt.timedelta(seconds=5)


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class SwitchControls:
    """What seats may ask of the switch, by AMI (queue membership) and ARI (legs)."""

    def __init__(self, ami: Ami, ari: Ari) -> None:
        self._ami = ami
        self._ari = ari

    async def pause(self, device: str, paused: bool, reason: str) -> None:
        try:
            await self._ami.queue_pause(device, paused, reason)
        except (AmiDown, AmiRefused, Unsafe) as error:
            raise LineFailed(str(error)) from error

    async def hang_up(self, channel: str) -> None:
        await self._ari.hang_up(channel)


class House:
    """One node of Santral."""

    def __init__(self, settings: Settings, voice: Voice, *, ari_password: str, ami_password: str) -> None:
        self.settings = settings
        self.clock = utc_now
        self.voice = voice
        self.metrics = Metrics()
        self.bus = open_bus(settings.bus_url)
        self.db = Database(settings.database)
        self.db.on_commit = self.bus.publish
        host = settings.asterisk_host
        self.ari = Ari(
            host, settings.ari_port, "santral", ari_password, settings.application,
            on_call=self._call, may_claim=self._may_claim, on_channel_gone=self._channel_gone,
        )  # fmt: skip
        self.switchboard = Switchboard(self.db, clock=self.clock, region=settings.default_region, confirm=self._confirm)
        self.ami = Ami(
            host, settings.ami_port, "santral", ami_password,
            on_fact=self.switchboard.take, on_resync=self._reconcile,
        )  # fmt: skip
        self.agi = Agi(settings.agi_host, settings.agi_port, {"identify": identify_script(self._identify)})
        self.controls = SwitchControls(self.ami, self.ari)
        self.hub = Hub(self._look, lambda: self.clock().timestamp())
        policy = Policy(keep_days=settings.recordings_keep_days or None)
        self.recorder = Worker(self.db, settings.recordings, self.clock, policy=policy)
        self.draining = False
        self.died = asyncio.Event()  # a task that must never end has ended: this process is of no use any more
        self._flow: flows.Published | None = None
        self._calls = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._listen()

    def _listen(self) -> None:
        self.switchboard.changed = self.hub.member_changed
        for subscriber in (self.metrics.hear, self.hub.hear, self.recorder.hear, self._wrap_up):
            self.bus.subscribe(subscriber)
        self.metrics.gauge("santral_ari_connected", "1 while ARI is up.", lambda: float(self.ari.connected.is_set()))
        self.metrics.gauge("santral_ami_connected", "1 while AMI is up.", lambda: float(self.ami.connected.is_set()))
        self.metrics.gauge("santral_ws_clients", "Open sockets of pages.", lambda: float(self.hub.sockets))

    async def open(self) -> None:
        """Bring the database to today's shape, publish the shipped flow, and start the node's tasks."""
        await self.prepare()
        self._flow = await self.db.read(flows.published, "main")
        await self.agi.start()
        for name, task in {
            "ari": self.ari.run(), "ami": self.ami.run(), "switchboard": self.switchboard.run(), "hub": self.hub.run(),
            "recordings": self.recorder.run(), "wrap-up": self._end_long_wrap_ups(), "resync": self._resync(),
        }.items():  # fmt: skip
            self._start(name, task, vital=True)

    async def prepare(self) -> None:
        """Migrations, and the rows without which nothing works: the flow, channels, reasons. Safe to repeat."""
        await self.db.work(lambda session: migrations.upgrade(session.connection()))
        await self.db.work(standing.load)
        await self.db.work(flows.seed, self.clock())

    async def close(self) -> None:
        """Stop claiming, end the tasks, write what waits."""
        self.draining = True
        await self.agi.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.hub.close()
        await self.db.close()

    def _start(self, name: str, work: Coroutine[Any, Any, None], *, vital: bool = False) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._vital_ended if vital else _ended)
        self._tasks.append(task)

    def _vital_ended(self, task: asyncio.Task[None]) -> None:
        """Better an end that a supervisor sees than a node that looks alive and is deaf."""
        _ended(task)
        if not task.cancelled() and not self.draining:
            self.died.set()

    def doors(self) -> dict[str, bool]:
        """Each door to the switch: is it open?"""
        return {"ari": self.ari.connected.is_set(), "ami": self.ami.connected.is_set()}

    # --- calls ---

    def _may_claim(self) -> bool:
        return not self.draining and self._calls < self.settings.calls_max

    async def _call(self, line: AriLine) -> None:
        """One caller's life with us. Whatever breaks in here, the caller goes on to a person."""
        self._calls += 1
        try:
            arrival = await self._arrival(line)
            assert self._flow is not None
            kept = await self.db.read(flows.running, arrival.conversation) if line.why == "takeover" else None
            flow = await self.db.read(flows.version, "main", kept.version) if kept else self._flow
            over = await conversation.run(
                line, arrival, db=self.db, voice=self.voice, flow=flow, settings=self.settings, clock=self.clock,
                resumed=kept.session if kept else None, kept=kept.first if kept else 0,
            )  # fmt: skip
            if not over:
                raise LineFailed("the switch did not take the caller back")  # the door then lets go of the line
        except Exception:
            self.metrics.failed.inc()
            raise
        finally:
            self._calls -= 1

    async def _arrival(self, line: AriLine) -> Arrival:
        async with asyncio.timeout(ARRIVAL_DEADLINE_S):
            return await self.db.work(arrived, line.caller, region=self.settings.default_region, now=self.clock())

    def _channel_gone(self, gone: ChannelGone) -> None:
        self.switchboard.take(gone)

    def _reconcile(self, alive: frozenset[str]) -> None:
        """After a gap: conversations whose channel is no more ended while nobody listened. Those that came just now may be newer
        than the list of channels; their end will be heard."""
        self._start_once(self._end_lost(alive, self.clock() - RESYNC_MARGIN))

    async def _end_lost(self, alive: frozenset[str], before: dt.datetime) -> None:
        for channel in await self.db.read(open_channels, before):
            if channel not in alive:
                self.switchboard.take(ChannelGone(self.clock().timestamp(), channel, UNHEARD))

    async def _confirm(self, ringing: DeviceRinging) -> bool:
        """AMI text is only a trigger: the leg must exist at the switch and belong to that device."""
        try:
            name = await self.ari.name_of(ringing.device_channel)
        except LineFailed:
            return False
        return name.startswith(f"{ringing.device}-")

    async def _identify(self, raw: str, did: str) -> Mapping[str, str]:
        """For dialplans that are not ours (FastAGI): who calls, without private data."""
        number = numbers.parse(raw, self.settings.default_region)
        found = await self.db.read(contact_points.identify, number, self.clock())
        first = found.candidates[0] if found.candidates else None
        return {
            "SANTRAL_OUTCOME": found.outcome.value,
            "SANTRAL_LEVEL": str(int(found.level)),
            "SANTRAL_PARTY": (first.party or "") if first else "",
            "SANTRAL_ROLE": first.role if first else "",
        }

    # --- seats ---

    async def _look(self, owner: Owner, before: Look | None, only: Only) -> Look:
        member = self.switchboard.members.get(owner.agent)
        agent = Agent(
            user=owner.user, name=owner.name, agent=owner.agent, phone=member.phone if member else "none",
            paused=bool(member and member.paused), pause_reason=member.reason if member else "",
        )  # fmt: skip
        if before is not None and only is not None and not only:
            return snapshot.same_cards(before, agent)
        return await self.db.read(snapshot.look, agent, owner.language, before=before, only=only, now=self.clock())

    def _wrap_up(self, recorded: Recorded) -> None:
        """An agent whose page is open gets time to write: no further call until he saves, or time is up."""
        event = recorded.event
        if isinstance(event, CallCleared) and self.hub.is_live(event.agent):
            member = self.switchboard.members.get(event.agent)
            if member and not member.paused:
                self._start_once(self._pause(member.device, True, PAUSE_FOR_WRAP_UP))

    def _start_once(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        self._start("once", work)

    async def _pause(self, device: str, paused: bool, reason: str) -> None:
        try:
            await self.controls.pause(device, paused, reason)
        except LineFailed as error:
            log.warning("agent.pause_failed", device=device, error=str(error))

    async def _end_long_wrap_ups(self) -> None:
        """Nobody stays in wrap-up for ever: a page closed in the middle would keep an agent away from callers."""
        since: dict[str, dt.datetime] = {}
        while True:
            await asyncio.sleep(5)
            now = self.clock()
            waiting = {
                agent: member.device
                for agent, member in self.switchboard.members.items()
                if member.reason == PAUSE_FOR_WRAP_UP
            }
            since = {agent: since.get(agent, now) for agent in waiting}
            for agent, device in waiting.items():
                if (now - since[agent]).total_seconds() > self.settings.wrap_up_max_s:
                    await self._pause(device, False, "")

    async def _resync(self) -> None:
        """Facts were dropped because they came faster than they could be written: read the switch anew."""
        while True:
            await self.switchboard.overflowed.wait()
            await asyncio.sleep(RESYNC_PAUSE_S)
            self.switchboard.overflowed.clear()
            await self.ami.resync()


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task.died", task=task.get_name(), error=repr(error))


def web_app(house: House) -> FastAPI:
    """The pages, the API and the socket of a node."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await house.open()
        yield
        await house.close()

    app = FastAPI(title="Santral", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.house = house
    app.state.error_page = screenpop.pages.error_page(house.settings.time_zone)
    web.install(app, house.settings)
    for router in (
        health_routes, auth.router, routes.router, channel_routes.router, recording_routes.router,
        screenpop.routes.router, screenpop.pages.router, screenpop.history.router,
    ):  # fmt: skip
        app.include_router(router)
    app.mount("/static/screenpop", StaticFiles(packages=[("screenpop", "static")]), name="static-screenpop")
    return app
