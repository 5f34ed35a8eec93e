"""Drives one caller's line with the engine: performs the effects, waits, keeps the session at every wait.

On any trouble of ours the caller reaches a person. No step waits for the database longer than its deadline: without it the flow
goes on with what is known, what could not be kept is kept at the next wait, and what the caller reports goes to the node's journal.
What is kept is all that another driver needs: the session, the effects that are not done yet, and the keys of a half given answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable, Mapping
from typing import TypeVar, assert_never
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.orm import Session as Db

from cti import switchboard
from cti.db import Database
from cti.events import (
    FlowEntered,
    FlowFailed,
    FlowHeard,
    FlowLanguageChosen,
    FlowLeft,
    FlowResumed,
    FlowSpoke,
    FlowStarted,
)
from cti.journal import Journal
from cti.line import Ask, Digits, HungUp, Line, LineFailed, Silence, ToQueue
from cti.switchboard import Arrival
from ivr import caller, engine, prompts, steps, store
from ivr.deeds import Deeds
from ivr.keeping import AWAY_S, KEEP_S, SHOWN_MAX, Clock, Keeper, Means, Report, Wishes, message_name, nothing
from ivr.nodes import Value
from ivr.prompts import Piece
from ivr.voice import Voice

log = structlog.get_logger(__name__)

FACTS_S = 1.0  # deadlines of the call path, each for one piece of database work
QUEUED_S = 1.0

T = TypeVar("T")


async def run(
    line: Line,
    arrival: Arrival,
    *,
    db: Database,
    voice: Voice,
    flow: store.Published,
    settings: Wishes,
    clock: Clock,
    journal: Journal | None = None,
    away: Callable[[], bool] = lambda: False,
    areas_down: Callable[[], str] = lambda: "",
    resumed: store.Kept | None = None,
    again: bool = False,
) -> bool:
    """Serve the caller until he is in a queue, at the flow's end, or gone. Raises nothing.

    `resumed` is what a driver before us left behind (`store.take`); `again`: there was one, and he left nothing. `away`: the database is
    known not to answer, so nobody waits for it. `areas_down`: where lines are down, as far as it can be spoken now. False: the switch
    did not take the caller back from us, so whoever holds the line has to let go of it.
    """
    call = _Call(line, arrival, Means(db, voice, settings, clock, journal, away, areas_down), flow, resumed)
    try:
        await call.serve(resumed, again=again)
    except HungUp:
        await call.left("hangup")
    except store.Superseded as superseded:
        call.log.warning("flow.superseded", why=str(superseded))
        line.abandon()
        call.over = True
    except Exception as error:  # the end of a call: whatever broke, the caller goes to a person
        call.log.exception("flow.failed", node=call.session.node)
        await call.rescue(error)
    return call.over


class _Call:
    """One call: the session, the facts, and the events that are not kept yet."""

    def __init__(
        self, line: Line, arrival: Arrival, means: Means, flow: store.Published, resumed: store.Kept | None
    ) -> None:
        self.line, self.means, self.flow = line, means, flow
        self.keeper = Keeper(line, arrival, means, flow.version, resumed)
        self.deeds = Deeds(self.keeper, means, keep=self._keep, text=self._text)
        self.log = log.bind(call=line.caller.channel)
        self.session = engine.Session(flow.document.id, flow.document.start, means.settings.language)
        self.facts: Mapping[str, Value] = {}
        self.pending: list[str] = []  # media that the next ask or play begins with
        self.left_flow = False  # flow.left is among the events
        self.over = False  # the line is no longer ours

    @property
    def conversation(self) -> str:
        return self.keeper.conversation

    async def serve(self, resumed: store.Kept | None, *, again: bool) -> None:
        if resumed is None:
            await self.line.answer()
        if again and resumed is None:
            self.pending = [self.means.voice.static("resumed", self.session.language)]
        self.facts = await self._gather()
        step = self._begin() if resumed is None else self._resume(resumed)
        self._note(step)
        if resumed is not None:
            # Nothing but the queue is left to do: that was kept together with flow.left.
            self.left_flow = [type(each) for each in resumed.todo] == [steps.ToQueue]
            await self._apologise(step, resumed.keyed)
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
            self.session = engine.hear(self.flow.document, self.session, steps.Gone(), self.facts).session
        self._happened_left(to)
        with contextlib.suppress(store.Superseded), self.keeper.patience("left"):
            await self._keep(KEEP_S)

    async def rescue(self, error: Exception) -> None:
        """Something of ours broke. Say so little as there is to say, and hand the caller over."""
        if self.over:
            return
        self.keeper.broken = True
        self.keeper.happened(self._failed(f"{type(error).__name__}: {error}"))
        self.pending = [self.means.voice.static("fallback", self.session.language)]
        step = engine.give_up(self.flow.document, self.session, "the driver broke")
        self.session = step.session
        try:
            with self.keeper.patience("fallback"):
                await self._play()
            await self._perform(step)
        except HungUp:
            await self.left("hangup")
        except store.Superseded:
            self.line.abandon()
            self.over = True
        except LineFailed as line_error:
            self.log.error("flow.not_handed_over", error=str(line_error))

    # --- where it begins

    async def _gather(self) -> dict[str, Value]:
        arrival, settings, now = self.keeper.arrival, self.means.settings, self.means.clock()
        zone = ZoneInfo(settings.time_zone)
        known = caller.outside(arrival, region=settings.default_region, zone=zone, now=now)
        # Until what we know of him could be read: a customer is not served as a stranger.
        known["degraded"] = not arrival.written or bool(arrival.identification.subscriptions)
        if caller.may_be_known(arrival):
            with self.keeper.patience("facts"):
                async with asyncio.timeout(AWAY_S if self.means.away() else FACTS_S):
                    known |= await self.means.db.read(caller.inside, arrival, zone=zone, now=now)
                    known["degraded"] = False
        if known["lines_down"]:
            known["areas_down"] = self.means.areas_down()
        return known

    def _begin(self) -> engine.Step:
        document = self.flow.document
        step = engine.start(document, self.facts, self.means.settings.language)
        language = step.session.language
        self.keeper.happened(FlowStarted(
            conversation=self.conversation, flow=document.id, version=self.flow.version, language=language
        ))  # fmt: skip
        return step

    def _resume(self, kept: store.Kept) -> engine.Step:
        self.log.info("flow.resumed", node=kept.session.node, generation=kept.generation)
        self.keeper.happened(FlowResumed(conversation=self.conversation, node=kept.session.node))
        return engine.resume(self.flow.document, kept.session, self.facts, kept.todo)

    async def _apologise(self, step: engine.Step, keyed: str) -> None:
        """The caller noticed that something broke. What he had keyed counts, and when it is half a number he hears it."""
        voice, language = self.means.voice, self.session.language
        sorry = [voice.static("resumed", language)]
        wait = step.wait
        if not keyed or not isinstance(wait, steps.WaitKeys) or wait.secret:
            self.pending = sorry
        elif wait.keys_max == 1:
            self.pending = sorry
            self.line.key_ahead(keyed)
        else:
            said = voice.digits(keyed, language)
            await self.line.play(
                [*sorry, voice.static("resumed_keys", language), *said, voice.static("resumed_go_on", language)]
            )
            self.line.key_ahead(keyed)

    # --- what a step says

    async def _perform(self, step: engine.Step) -> None:
        came = list(step.entered)
        self.keeper.todo = list(step.effects)
        for effect in step.effects:
            match effect:
                case steps.Speak():
                    self._enter(came, effect.node)
                    await self._speak(effect)
                case steps.SetLanguage(language):
                    self.keeper.happened(FlowLanguageChosen(conversation=self.conversation, language=language))
                    self.keeper.todo.remove(effect)
                case steps.ToQueue():
                    self._enter(came)
                    await self._to_queue(effect)
                case steps.HangUp():
                    self._enter(came)
                    await self._play()
                    await self.line.hang_up()
                    await self.left("end")
                case steps.OpenTicket():
                    raise AssertionError("a ticket is opened at its wait")
                case _:
                    assert_never(effect)
        self._enter(came)

    def _enter(self, came: list[str], to: str = "") -> None:
        """The caller came to these nodes, as far as `to`. Only nodes with a label are worth an event: an agent reads this path."""
        while came and (not to or to in came):
            name = came.pop(0)
            if label := self.flow.document.nodes[name].label:
                self.keeper.happened(FlowEntered(conversation=self.conversation, node=name, label=dict(label)))

    async def _speak(self, speak: steps.Speak) -> None:
        """Plain words wait for the next question, so that a key cuts them off; a report is heard to its end, and then kept. Who takes
        the call over in the middle of it says it again."""
        said = self._pieces(speak.prompts)
        self.pending += self.means.voice.media(said)
        if speak.report:
            with self.keeper.patience("report"):
                await self._keep(self.keeper.keep_s)
            await self._play()
            del self.keeper.todo[: self.keeper.todo.index(speak) + 1]
            self.keeper.happened(FlowSpoke(conversation=self.conversation, node=speak.node, text=prompts.text(said)))

    async def _play(self) -> None:
        media, self.pending = self.pending, []
        if media:
            await self.line.play(media)

    async def _to_queue(self, to: steps.ToQueue) -> None:
        """However the database fares, the line goes to the queue; but whoever was superseded or stopped leaves it alone."""
        await self._play()
        self.keeper.todo = [to]
        self._happened_left("queue")
        recording = ""
        with self.keeper.patience("queued"):
            recording = await self._keep(QUEUED_S, self._queued(to))
        await self.line.to_queue(ToQueue(to.queue, self.conversation, recording, language=self.session.language))
        self.over = True
        self.log.info("flow.left", to="queue", queue=to.queue, intent=to.intent)

    def _queued(self, to: steps.ToQueue) -> Callable[[Db, dt.datetime], str]:
        return lambda db, now: switchboard.queued(
            db,
            conversation=self.conversation,
            queue=to.queue,
            intent=to.intent,
            now=now,
            language=self.session.language,
        )

    # --- waiting

    async def _hear(self, wait: steps.Wait) -> steps.Heard:
        match wait:
            case steps.WaitKeys():
                return await self._keys(wait)
            case steps.WaitDone(effect):
                return await self.deeds.do(effect)
            case steps.WaitMessage():
                return await self._message(wait)
            case _:
                assert_never(wait)

    async def _keys(self, wait: steps.WaitKeys) -> Digits | Silence:
        with self.keeper.patience("keep"):
            await self._keep(self.keeper.keep_s)
        media = self.pending + self.means.voice.media(self._pieces(wait.prompts))
        self.pending = []
        self.line.on_keyed = self.keeper.keyed if wait.keys_max > 1 and not wait.secret else _unheard
        heard = await self.line.ask(media, Ask(wait.keys_max, wait.first_s))
        self.line.on_keyed = _unheard
        what = "menu.heard" if wait.keys_max == 1 else "ask.heard"
        self.log.info(what, node=wait.node, digits=_masked(wait, heard))
        return heard

    async def _message(self, wait: steps.WaitMessage) -> steps.Heard:
        """A report in the caller's own words: kept on this machine before he is told that it is."""
        with self.keeper.patience("keep"):
            await self._keep(self.keeper.keep_s)
        self.pending += self.means.voice.media(self._pieces(wait.prompts))
        await self._play()
        name = message_name(self.keeper.visit(wait))
        try:
            length_s = await self.line.record(name, wait.max_s, wait.silence_s)
        except LineFailed as failed:
            return steps.Failed(f"no message was recorded: {failed}")
        report = Report("fault", self.keeper.visit(wait), message=name, message_s=length_s)
        if length_s <= 0 or not await self.keeper.noted(report):
            return steps.Failed("the message could not be kept")
        self.log.info("message.kept", node=wait.node, message_s=length_s)
        return steps.Done({"message": name, "message_s": length_s})

    def _text(self, prompt: str) -> str:
        return prompts.text(self._pieces((prompt,))) if prompt else ""

    async def _keep(self, wait_s: float, then: Callable[[Db, dt.datetime], T] = nothing, *, visit: str = "") -> T:
        # Keys ahead may be meant for a later question, so one secret question in a flow is enough to keep none.
        secret = any(getattr(node, "secret", False) for node in self.flow.document.nodes.values())
        return await self.keeper.keep(self.session, wait_s, then, secret=secret, visit=visit)

    def _pieces(self, keys: tuple[str, ...]) -> list[Piece]:
        known, language = engine.lookup(self.session, self.facts), self.session.language
        return [piece for key in keys for piece in self.flow.book.pieces(key, known, language)]

    # --- what happened

    def _happened_left(self, to: str) -> None:
        """Once in a call: who hangs up while we hand him over had left for the queue."""
        if not self.left_flow:
            self.keeper.happened(FlowLeft(conversation=self.conversation, node=self.session.node, to=to))
        self.left_flow = True

    def _note(self, step: engine.Step) -> None:
        self.session = step.session
        if step.trouble:
            self.log.error("flow.failed", node=step.session.node, error=step.trouble)
            self.keeper.happened(self._failed(step.trouble))

    def _note_heard(self, wait: steps.Wait, heard: steps.Heard, verdict: str) -> None:
        if isinstance(wait, steps.WaitKeys):
            keys = heard.keys if isinstance(heard, Digits) and not wait.secret else ""
            self.keeper.happened(FlowHeard(conversation=self.conversation, node=wait.node, kind=verdict, digits=keys))

    def _failed(self, error: str) -> FlowFailed:
        return FlowFailed(conversation=self.conversation, node=self.session.node, error=error[:SHOWN_MAX])


def _unheard(keys: str) -> None:
    """Nobody keeps these keys."""


def _masked(wait: steps.WaitKeys, heard: Digits | Silence) -> str:
    """One key is a choice and may be read in a log; several may be somebody's number."""
    match heard:
        case Silence():
            return ""
        case Digits(keys) if wait.keys_max == 1 and not wait.secret:
            return keys
        case Digits(keys):
            return "*" * len(keys)
