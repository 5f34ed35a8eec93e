"""Drives one caller's line with the engine: performs the effects, waits, keeps the session at every wait.

On any trouble of ours the caller reaches a person. No step waits for the database longer than its deadline: without it the flow
goes on with what is known, and what could not be kept is kept at the next wait.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, assert_never
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as Db

from cti import switchboard
from cti.db import Database, Overloaded
from cti.events import (
    CallEvent,
    FlowEntered,
    FlowFailed,
    FlowHeard,
    FlowLanguageChosen,
    FlowLeft,
    FlowSpoke,
    FlowStarted,
)
from cti.line import Ask, Digits, HungUp, Line, LineFailed, Silence, ToQueue
from cti.records import tickets
from cti.switchboard import Arrival
from ivr import caller, engine, prompts, store
from ivr.document import Value
from ivr.prompts import Piece
from ivr.voice import Voice

log = structlog.get_logger(__name__)

FACTS_S = 1.0  # deadlines of the call path, each for one piece of database work
KEEP_S = 0.5
KEEP_AGAIN_S = 0.1  # once a deadline was missed in this call: the caller shall not pay at every wait
TICKET_S = 2.0
QUEUED_S = 1.0
SHOWN_MAX = 120  # characters of an error in the ledger

T = TypeVar("T")
Clock = Callable[[], dt.datetime]


class Wishes(Protocol):
    """What of the settings matters here."""

    @property
    def language(self) -> str: ...

    @property
    def default_region(self) -> str: ...

    @property
    def time_zone(self) -> str: ...


async def run(
    line: Line,
    arrival: Arrival,
    *,
    db: Database,
    voice: Voice,
    flow: store.Published,
    settings: Wishes,
    clock: Clock,
    resumed: engine.Session | None = None,
    kept: int = 0,
) -> bool:
    """Serve the caller until he is in a queue, at the flow's end, or gone. Raises nothing.

    `resumed` is the stored session of a call that another driver left behind, `kept` how many events it had kept
    (`store.running`). False: the switch did not take the caller back from us, so whoever holds the line has to let go of it.
    """
    call = _Call(line, arrival, _Means(db, voice, settings, clock), flow, kept)
    try:
        await call.serve(resumed)
    except HungUp:
        await call.left("hangup")
    except Exception as error:  # the end of a call: whatever broke, the caller goes to a person
        call.log.exception("flow.failed", node=call.session.node)
        await call.rescue(error)
    return call.over


@dataclass(frozen=True)
class _Means:
    db: Database
    voice: Voice
    settings: Wishes
    clock: Clock


def _nothing(db: Db, now: dt.datetime) -> Any:
    """Keep, and that is all."""


class _Call:
    """One call: the session, the facts, and the events that are not kept yet."""

    def __init__(self, line: Line, arrival: Arrival, means: _Means, flow: store.Published, kept: int) -> None:
        self.line, self.arrival, self.means, self.flow = line, arrival, means, flow
        self.conversation = arrival.conversation
        self.log = log.bind(call=line.caller.channel)
        self.session = engine.Session(flow.document.id, flow.document.start, means.settings.language)
        self.facts: Mapping[str, Value] = {}
        self.events: list[CallEvent] = []
        self.kept = kept  # events of this call that are in the ledger
        self.keep_s = KEEP_S
        self.pending: list[str] = []  # media that the next ask or play begins with
        self.left_flow = False  # flow.left is among the events
        self.over = False  # the line is no longer ours
        self.broken = False  # something of ours raised: nothing more may come between the caller and a person

    async def serve(self, resumed: engine.Session | None) -> None:
        if resumed is None:
            await self.line.answer()
        self.facts = await self._gather()
        step = self._first(resumed)
        self._note(step)
        await self._perform(step)
        while step.wait is not None:
            heard = await self._hear(step.wait)
            waited, step = step.wait, engine.hear(self.flow.document, self.session, heard, self.facts)
            self._note_heard(waited, heard, step.verdict)
            self._note(step)
            await self._perform(step)

    async def left(self, to: str) -> None:
        """The flow is over without a queue: `to` is end | hangup."""
        self.over = True
        self.log.info("flow.left", to=to, node=self.session.node)
        if to == "hangup":
            self.session = engine.hear(self.flow.document, self.session, engine.Gone(), self.facts).session
        self._happened_left(to)
        with self._patience("left"):
            await self._keep(KEEP_S)

    async def rescue(self, error: Exception) -> None:
        """Something of ours broke. Say so little as there is to say, and hand the caller over."""
        if self.over:
            return
        self.broken = True
        self._happened(self._failed(f"{type(error).__name__}: {error}"))
        self.pending = [self.means.voice.static("fallback", self.session.language)]
        step = engine.give_up(self.flow.document, self.session, "the driver broke")
        self.session = step.session
        try:
            with self._patience("fallback"):
                await self._play()
            await self._perform(step)
        except HungUp:
            await self.left("hangup")
        except LineFailed as line_error:
            self.log.error("flow.not_handed_over", error=str(line_error))

    # --- where it begins

    async def _gather(self) -> dict[str, Value]:
        settings, now = self.means.settings, self.means.clock()
        zone = ZoneInfo(settings.time_zone)
        known = caller.outside(self.arrival, region=settings.default_region, zone=zone, now=now)
        if self.arrival.identification.subscriptions:
            with self._patience("facts"):
                async with asyncio.timeout(FACTS_S):
                    known |= await self.means.db.read(caller.inside, self.arrival, zone=zone, now=now)
        return known

    def _first(self, resumed: engine.Session | None) -> engine.Step:
        document = self.flow.document
        if resumed is not None:
            self.log.info("flow.resumed", node=resumed.node)
            return engine.resume(document, resumed, self.facts)
        step = engine.start(document, self.facts, self.means.settings.language)
        language = step.session.language
        self._happened(FlowStarted(
            conversation=self.conversation, flow=document.id, version=self.flow.version, language=language
        ))  # fmt: skip
        return step

    # --- what a step says

    async def _perform(self, step: engine.Step) -> None:
        came = list(step.entered)
        for effect in step.effects:
            match effect:
                case engine.Speak():
                    self._enter(came, effect.node)
                    await self._speak(effect)
                case engine.SetLanguage(language):
                    self._happened(FlowLanguageChosen(conversation=self.conversation, language=language))
                case engine.ToQueue():
                    self._enter(came)
                    await self._to_queue(effect)
                case engine.HangUp():
                    self._enter(came)
                    await self._play()
                    await self.line.hang_up()
                    await self.left("end")
                case engine.OpenTicket():
                    raise AssertionError("a ticket is opened at its wait")
                case _:
                    assert_never(effect)
        self._enter(came)

    def _enter(self, came: list[str], to: str = "") -> None:
        """The caller came to these nodes, as far as `to`. Only nodes with a label are worth an event: an agent reads this path."""
        while came and (not to or to in came):
            name = came.pop(0)
            if label := self.flow.document.nodes[name].label:
                self._happened(FlowEntered(conversation=self.conversation, node=name, label=dict(label)))

    async def _speak(self, speak: engine.Speak) -> None:
        """Plain words wait for the next question, so that a key cuts them off; a report is heard to its end, and then kept."""
        said = self._pieces(speak.prompts)
        self.pending += self.means.voice.media(said)
        if speak.report:
            await self._play()
            self._happened(FlowSpoke(conversation=self.conversation, node=speak.node, text=prompts.text(said)))

    async def _play(self) -> None:
        media, self.pending = self.pending, []
        if media:
            await self.line.play(media)

    async def _to_queue(self, to: engine.ToQueue) -> None:
        """However the database fares, the line goes to the queue."""
        await self._play()
        self._happened_left("queue")
        recording = ""
        try:
            with self._patience("queued"):
                recording = await self._keep(QUEUED_S, self._queued(to))
        finally:
            await self.line.to_queue(ToQueue(to.queue, self.conversation, recording, language=self.session.language))
            self.over = True
            self.log.info("flow.left", to="queue", queue=to.queue, intent=to.intent)

    def _queued(self, to: engine.ToQueue) -> Callable[[Db, dt.datetime], str]:
        return lambda db, now: switchboard.queued(
            db,
            conversation=self.conversation,
            queue=to.queue,
            intent=to.intent,
            now=now,
            language=self.session.language,
        )

    # --- waiting

    async def _hear(self, wait: engine.Wait) -> engine.Heard:
        match wait:
            case engine.WaitKeys():
                return await self._keys(wait)
            case engine.WaitDone(effect):
                return await self._open(effect)
            case _:
                assert_never(wait)

    async def _keys(self, wait: engine.WaitKeys) -> Digits | Silence:
        with self._patience("keep"):
            await self._keep(self.keep_s)
        media = self.pending + self.means.voice.media(self._pieces(wait.prompts))
        self.pending = []
        heard = await self.line.ask(media, Ask(wait.keys_max, wait.first_s))
        what = "menu.heard" if wait.keys_max == 1 else "ask.heard"
        self.log.info(what, node=wait.node, digits=_masked(wait, heard))
        return heard

    async def _open(self, wanted: engine.OpenTicket) -> engine.Heard:
        """Durable before anybody says so: what has no answer in time was not opened, as far as the caller is told."""
        opened: tickets.Opened | None = None
        with self._patience("ticket"):
            opened = await self._keep(TICKET_S, self._opening(wanted))
        if opened is None:
            return engine.Failed("the ticket store did not answer")
        self.log.info("ticket.opened", node=wanted.node, number=opened.number, new=opened.new)
        return engine.Done({"ticket_number": opened.number}, new=opened.new)

    def _opening(self, wanted: engine.OpenTicket) -> Callable[[Db, dt.datetime], tickets.Opened]:
        text = prompts.text(self._pieces((wanted.text,))) if wanted.text else ""
        return lambda db, now: tickets.open_once(
            db, subscription=wanted.subscription, party=caller.party(self.arrival), matter=wanted.matter, channel="phone",
            conversation=self.conversation, text=text, now=now,
        )  # fmt: skip

    def _pieces(self, keys: tuple[str, ...]) -> list[Piece]:
        known, language = engine.lookup(self.session, self.facts), self.session.language
        return [piece for key in keys for piece in self.flow.book.pieces(key, known, language)]

    # --- keeping

    async def _keep(self, wait_s: float, then: Callable[[Db, dt.datetime], T] = _nothing) -> T:
        """One piece of work: the session as it stands, the events so far, and what `then` does with them."""
        kept = store.Kept(self.conversation, self.flow.version, self.session, tuple(self.events), self.kept)
        async with asyncio.timeout(wait_s):
            done = await self.means.db.work(_keep_and, kept, then, self.means.clock())
        self.kept += len(kept.events)
        del self.events[: len(kept.events)]
        return done

    def _patience(self, what: str) -> _Patience:
        return _Patience(self, what)

    # --- what happened

    def _happened(self, event: CallEvent) -> None:
        self.events.append(event)

    def _happened_left(self, to: str) -> None:
        """Once in a call: who hangs up while we hand him over had left for the queue."""
        if not self.left_flow:
            self._happened(FlowLeft(conversation=self.conversation, node=self.session.node, to=to))
        self.left_flow = True

    def _note(self, step: engine.Step) -> None:
        self.session = step.session
        if step.trouble:
            self.log.error("flow.failed", node=step.session.node, error=step.trouble)
            self._happened(self._failed(step.trouble))

    def _note_heard(self, wait: engine.Wait, heard: engine.Heard, verdict: str) -> None:
        if isinstance(wait, engine.WaitKeys):
            keys = heard.keys if isinstance(heard, Digits) and not wait.secret else ""
            self._happened(FlowHeard(conversation=self.conversation, node=wait.node, kind=verdict, digits=keys))

    def _failed(self, error: str) -> FlowFailed:
        return FlowFailed(conversation=self.conversation, node=self.session.node, error=error[:SHOWN_MAX])


class _Patience:
    """The database is late or broken: said once in the log, and from now on the call waits less for it.

    Once a call is broken, whatever else breaks is passed over in the same way; only a caller who hung up never is.
    """

    def __init__(self, call: _Call, what: str) -> None:
        self.call, self.what = call, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        expected = Exception if self.call.broken else (TimeoutError, Overloaded, SQLAlchemyError)
        if not isinstance(error, expected) or isinstance(error, HungUp):
            return False
        self.call.keep_s = KEEP_AGAIN_S
        self.call.log.warning("flow.missed", what=self.what, error=repr(error)[:SHOWN_MAX])
        return True


def _keep_and(db: Db, kept: store.Kept, then: Callable[[Db, dt.datetime], T], now: dt.datetime) -> T:
    store.keep(db, kept, now)
    return then(db, now)


def _masked(wait: engine.WaitKeys, heard: Digits | Silence) -> str:
    """One key is a choice and may be read in a log; several may be somebody's number."""
    match heard:
        case Silence():
            return ""
        case Digits(keys) if wait.keys_max == 1 and not wait.secret:
            return keys
        case Digits(keys):
            return "*" * len(keys)
