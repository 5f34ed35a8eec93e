"""The wiring: which part hears what of which. It imports everything and is imported by nobody but the commands.

`House` is one node. `open()` makes it ready for calls, `close()` ends it; what runs in between are its tasks, each of which reconnects
or restarts by itself. Routes find the house at `app.state.house`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog
from sqlalchemy.orm import Session

from cti import ledger, migrations, numbers
from cti.asterisk.agi import Agi, identify_script
from cti.asterisk.ami import Ami, AmiDown
from cti.asterisk.ari import Ari
from cti.asterisk.ari_line import AriLine
from cti.asterisk.controls import SwitchControls
from cti.asterisk.dead_man import DeadMan
from cti.attendance import Attendance
from cti.bus import open_bus
from cti.config import Settings
from cti.db import AWAY, Database
from cti.degraded import Degraded
from cti.events import Recorded
from cti.identity import Evidence
from cti.journal import Journal
from cti.lease import Lease
from cti.line import ChannelGone, DeviceAnswered, DeviceRinging, DeviceStopped, Fact, LineFailed, TalkEnded
from cti.metrics import Metrics
from cti.neighbours import Neighbours
from cti.reception import Means, Reception
from cti.reconcile import Reconciler
from cti.records import contact_points, standing
from cti.switchboard import Switchboard
from cti.tending import Tending
from cti.wrap_up import WrapUp
from ivr import store as flows
from ivr.voice import Voice
from recordings.retention import Policy
from recordings.worker import Worker
from screenpop import snapshot
from screenpop.hub import Hub
from screenpop.protocol import Agent
from screenpop.seat import Look, Only, Owner
from screenpop.sign_ins import SignIns
from screenpop.unwritten import UnwrittenOffer

log = structlog.get_logger(__name__)

RESYNC_PAUSE_S = 1.0
RESYNC_EVERY_S = 5.0
MOVE_WITHIN_S = 2.0  # pages leave a node that ends over this time
TAKE_OVER_S = 2.0  # after that the dead-man's switches of its calls have acted
HANDED_OVER_S = 3.0  # for other nodes to take our calls; what is left then goes to the queue
MAY_END = ("dead-man", "lease", "bus")  # without an error: then there is nothing for them to do


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class House:
    """One node of Santral."""

    def __init__(self, settings: Settings, voice: Voice, *, ari_password: str, ami_password: str) -> None:
        self.settings = settings
        self.clock = utc_now
        self.voice = voice
        self.metrics = Metrics()
        self.db = Database(settings.database)
        # Connections of its own for what must not wait behind pages and calls: the lease, and the question whether it is there at all.
        self.vital = Database(settings.database) if settings.clustered else self.db
        self.bus = open_bus(settings.bus_url, node=settings.node, since=self._since, newest=self._newest)
        self.db.on_commit = self.bus.publish
        self.journal = Journal(settings.journal)
        host = settings.asterisk_host
        self.switchboard = Switchboard(
            self.db, clock=self.clock, region=settings.default_region, areas=settings.areas, confirm=self._confirm
        )
        self.ami = Ami(
            host, settings.ami_port, "santral", ami_password,
            on_fact=self._heard, on_resync=self._resynced,
        )  # fmt: skip
        self.dead_man = DeadMan(self.ami, lambda: self.ari.driven, settings.dead_man_s)
        self.ari = Ari(
            host, settings.ari_port, "santral", ari_password, settings.application,
            on_call=self._serve, may_claim=self._may_claim, on_channel_gone=self._heard,
            on_replaced=self._replaced, before_release=self.dead_man.released, on_taken_away=self.dead_man.let_go,
        )  # fmt: skip
        self.agi = Agi(settings.agi_host, settings.agi_port, {"identify": identify_script(self._identify)})
        self.controls = SwitchControls(self.ami, self.ari)
        self.hub = Hub(self._look, lambda: self.clock().timestamp(), settings.default_region)
        self.sign_ins = SignIns.of(self.db, self.clock)
        policy = Policy(keep_days=settings.recordings_keep_days or None)
        self.recorder = Worker(self.db, settings.recordings, self.clock, policy=policy)
        self.degraded = Degraded(
            self.db, self.vital, self.journal, node=settings.node, region=settings.default_region, clock=self.clock,
            on_change=self._database_changed, areas=settings.areas,
        )  # fmt: skip
        self.reception = Reception(Means(
            settings, self.db, voice, self.journal, self.metrics, self.clock, lambda: self.degraded.away, self.dead_man.renew,
        ))  # fmt: skip
        self.neighbours = Neighbours(settings, self.db, self.clock)
        self.tending = Tending(self.db, self.clock, unseen_days=settings.link_unseen_days)
        self.reconciler = Reconciler(
            self.db, self.switchboard, clock=self.clock, switch_started_at=self.ari.switch_started_at,
            prefix=f"{settings.switch}-" if settings.switch else "",
        )  # fmt: skip
        self.attendance = Attendance(
            self.db, self.switchboard, node=settings.node, clock=self.clock, pause=self.controls.pause
        )
        self.wrap_up = WrapUp(
            self.switchboard, self.controls, is_live=self.hub.is_live, longest_s=settings.wrap_up_max_s
        )
        self.lease = Lease(
            self.vital, settings.node, settings.switch or f"{host}:{settings.ari_port}", clock=self.clock,
            on_seized=self._take_over, on_lead=self.switchboard.lead,
        ) if settings.clustered else None  # fmt: skip
        self.draining = False
        self.died = asyncio.Event()  # a task that must never end has ended: this process is of no use any more
        self._tasks: list[asyncio.Task[None]] = []
        self._listen()

    def _listen(self) -> None:
        self.switchboard.changed = self.hub.member_changed
        self.switchboard.unwritten = self._unwritten
        self.hub.on_seat = self.attendance.heard
        for subscriber in (self.hub.hear, self.wrap_up.heard):
            self.bus.subscribe(subscriber)
        # Each event counts, each file is worked on, and each number is asked for, on one node.
        asked = [self.neighbours.enquiry.hear] if self.neighbours.enquiry else []
        for subscriber in (self.metrics.hear, self.recorder.hear, *asked):
            self.bus.subscribe(subscriber, local_only=True)
        for name, text, read in (
            ("santral_ari_connected", "1 while ARI is up.", self.ari.connected.is_set),
            ("santral_ami_connected", "1 while AMI is up.", self.ami.connected.is_set),
            ("santral_bus_connected", "1 while other nodes' news comes at once.", self.bus.connected.is_set),
            ("santral_database_away", "1 while the database does not answer.", lambda: self.degraded.away),
            ("santral_leads", "1 on the node that speaks for its switch.", lambda: self.switchboard.leads),
            ("santral_ws_clients", "Open sockets of pages.", lambda: self.hub.sockets),
            ("santral_journal_waiting", "What callers told us and the database does not have yet.", self.journal.size),
            (
                "santral_messages_waiting",
                "Messages to customers that no gateway took yet.",
                lambda: self.neighbours.sender.waiting,
            ),
            (
                "santral_crm_answers",
                "0 while the CRM is not asked because it failed.",
                lambda: self.neighbours.crm_answers,
            ),
            ("santral_calls_driven", "Calls in the IVR on this node.", lambda: self.reception.calls),
        ):
            self.metrics.gauge(name, text, _as_float(read))

    async def open(self) -> None:
        """Bring the database to today's shape, publish the shipped flow, and start the node's tasks."""
        await self.prepare()
        await self.reception.open()
        await self.attendance.settle(frozenset())  # a life of ours before this one may have left pages behind
        await self.degraded.replay()
        await self.agi.start()
        works = {
            "ari": self.ari.run(), "ami": self.ami.run(), "dead-man": self.dead_man.run(), "switchboard": self.switchboard.run(),
            "hub": self.hub.run(), "sign-ins": self.sign_ins.run(), "recordings": self.recorder.run(), "wrap-up": self.wrap_up.run(),
            "sender": self.neighbours.sender.run(), "tending": self.tending.run(),
            "resync": self._resync(), "bus": self.bus.run(), "degraded": self.degraded.run(), "attendance": self.attendance.run(),
            "areas": self.reception.areas.run(),
        }  # fmt: skip
        if self.lease is not None:
            self.switchboard.lead(False)  # until the lease says so
            works["lease"] = self._hold_lease(self.lease)
        for name, work in works.items():
            self._start(name, work, may_end=False)

    async def prepare(self) -> None:
        """Migrations, and the rows without which nothing works: the flow, channels, reasons. Safe to repeat."""
        await self.db.work(_prepare, self.clock())

    async def drain(self) -> None:
        """Before an orderly end: claim no more, send pages to other nodes, and leave no caller in silence."""
        self.draining = True
        self.hub.move_all(MOVE_WITHIN_S)
        waits_s = self.settings.drain_s
        if self.lease is not None and self.lease.peers:
            waits_s = HANDED_OVER_S
            with contextlib.suppress(*AWAY):
                await self.lease.drain()
        await self._until_no_calls(waits_s)
        with contextlib.suppress(LineFailed, TimeoutError):
            async with asyncio.timeout(HANDED_OVER_S):
                await self.ari.let_all_go()

    async def _until_no_calls(self, within_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.reception.idle.wait()

    async def close(self) -> None:
        """Stop claiming, end the tasks, write what waits."""
        self.draining = True
        await self.agi.stop()
        if self.lease is not None:
            with contextlib.suppress(*AWAY):
                await self.lease.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.hub.close()
        await self.neighbours.close()
        for database in {self.db, self.vital}:
            await database.close()

    def _start(self, name: str, work: Coroutine[Any, Any, None], *, may_end: bool = True) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_ended if may_end else self._vital_ended)
        self._tasks.append(task)

    def _vital_ended(self, task: asyncio.Task[None]) -> None:
        """Better an end that a supervisor sees than a node that looks alive and is deaf."""
        _ended(task)
        broke = not task.cancelled() and task.exception() is not None
        if (broke or task.get_name() not in MAY_END) and not task.cancelled() and not self.draining:
            self.died.set()

    def doors(self) -> dict[str, bool]:
        """Each door to the switch: is it open?"""
        return {"ari": self.ari.connected.is_set(), "ami": self.ami.connected.is_set()}

    # --- other nodes ---

    async def _since(self, seq: int, most: int) -> list[Recorded]:
        return await self.db.read(ledger.since, seq, most)

    async def _newest(self) -> int:
        return await self.db.read(ledger.last_seq)

    async def _hold_lease(self, lease: Lease) -> None:
        await lease.run()  # ends when another process has our name
        self._replaced()

    def _replaced(self) -> None:
        log.error("node.replaced", node=self.settings.node, hint="is a second node running under this name?")
        self.died.set()

    async def _take_over(self, node: str) -> None:
        """Its calls are ours now, and its pages are gone. Callers first, and not only once: nobody else will do it."""
        until = asyncio.get_running_loop().time() + TAKE_OVER_S
        while True:
            try:
                taken = await self.ari.take_over(f"santral-{node}")
                log.warning("node.taken_over", node=node, calls=taken)
                break
            except LineFailed as failed:
                if asyncio.get_running_loop().time() > until:
                    log.warning(
                        "node.not_taken_over", node=node, problem=str(failed), hint="its callers go to the queue"
                    )
                    break
        try:
            await self.attendance.lost_with(node)
        except AWAY as error:
            log.warning("attendance.not_settled", node=node, error=f"{type(error).__name__}: {error}"[:160])

    # --- calls ---

    def _may_claim(self) -> bool:
        """Without AMI nobody could renew the call's dead-man's switch; with a crowded switchboard it would be served late."""
        room = self.reception.calls + self.ari.claiming < self.settings.calls_max and not self.switchboard.crowded
        return room and not self.draining and self.ami.connected.is_set()

    async def _serve(self, line: AriLine) -> None:
        await self.reception.serve(line)

    def _heard(self, fact: Fact) -> None:
        """What the doors say of the line. A channel that is gone without a word may have been cut by the switch's own end."""
        if isinstance(fact, ChannelGone) and not fact.cause:
            self._start_once(self.reconciler.unheard(fact))
        else:
            self.switchboard.take(fact)

    def _resynced(self, alive: frozenset[str]) -> None:
        self._start_once(self.reconciler.compare(alive))

    async def _confirm(self, ringing: DeviceRinging) -> bool:
        """AMI text is only a trigger: the leg must exist at the switch and belong to that device."""
        try:
            name = await self.ari.name_of(ringing.device_channel)
        except LineFailed:
            return False
        return name.startswith(f"{ringing.device}-")

    async def _identify(self, raw: str, did: str) -> Mapping[str, str]:
        """For dialplans that are not ours (FastAGI): who calls, without private data."""
        region = self.settings.default_region
        number = numbers.parse(raw, region, numbers.area_of(did, region, self.settings.areas), from_trunk=True)
        given = Evidence(now=self.clock(), unseen_days=self.settings.link_unseen_days)
        found = await self.db.read(contact_points.identify, number, given.now, given)
        first = found.candidates[0] if found.candidates else None
        return {
            "SANTRAL_OUTCOME": found.outcome.value,
            "SANTRAL_LEVEL": str(int(found.level)),
            "SANTRAL_PARTY": (first.party or "") if first else "",
            "SANTRAL_ROLE": first.role if first else "",
        }

    # --- seats ---

    def _database_changed(self, away: bool) -> None:
        self.switchboard.database_away(away)
        self._tell_state()
        if not away:
            self.switchboard.overflowed.set()  # what happened meanwhile is compared with the switch
            self._start_once(self.attendance.settle(self.hub.agents))

    def _tell_state(self) -> None:
        """Pages say aloud what they work without."""
        away = {"database": self.degraded.away, "switch": not all(self.doors().values())}
        self.hub.tell_state(frozenset(name for name, is_away in away.items() if is_away))

    def _unwritten(self, fact: Fact) -> None:
        """A fact that cannot be written now: at least the number is on the ringing agent's page."""
        match fact:
            case DeviceRinging():
                self._start_once(self._offer_unwritten(fact))
            case DeviceAnswered(device_channel=channel):
                self.hub.unwritten_answered(channel, dt.datetime.fromtimestamp(fact.read_at_s, dt.UTC))
            case (
                DeviceStopped(device_channel=channel) | TalkEnded(device_channel=channel) | ChannelGone(channel=channel)
            ):
                self.hub.unwritten_gone(channel)
            case _:
                pass

    async def _offer_unwritten(self, ringing: DeviceRinging) -> None:
        if await self._confirm(ringing):
            rang_at = dt.datetime.fromtimestamp(ringing.read_at_s, dt.UTC)
            self.hub.offer_unwritten(ringing.agent, UnwrittenOffer(
                device_channel=ringing.device_channel, channel=ringing.channel, agent=ringing.agent,
                number_raw=ringing.number_raw, queue=ringing.queue, rang_at=rang_at,
            ))  # fmt: skip

    async def _look(self, owner: Owner, before: Look | None, only: Only) -> Look:
        member = self.switchboard.members.get(owner.agent)
        agent = Agent(
            user=owner.user, name=owner.name, agent=owner.agent, phone=member.phone if member else "none",
            paused=bool(member and member.paused), pause_reason=member.reason if member else "",
        )  # fmt: skip
        if before is not None and only is not None and not only:
            return snapshot.same_cards(before, agent)
        return await self.db.read(snapshot.look, agent, owner.language, before=before, only=only, now=self.clock())

    def _start_once(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        self._start("once", work)

    async def _resync(self) -> None:
        """Read the switch anew: every few seconds, and soon after facts were dropped because they could not be written in time."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESYNC_EVERY_S):
                    await self.switchboard.overflowed.wait()
                    await asyncio.sleep(RESYNC_PAUSE_S)
            self.switchboard.overflowed.clear()
            self._tell_state()
            if self.switchboard.leads and self.ami.connected.is_set():
                with contextlib.suppress(AmiDown):
                    await self.ami.resync()


def _prepare(session: Session, now: dt.datetime) -> None:
    """One piece of work: nodes that start at once take turns (migrations.upgrade)."""
    migrations.upgrade(session.connection())
    standing.load(session)
    flows.seed(session, now)


def _as_float(read: Callable[[], float]) -> Callable[[], float]:
    return lambda: float(read())


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task.died", task=task.get_name(), error=repr(error))
