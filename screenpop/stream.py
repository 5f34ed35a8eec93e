"""One browser's socket, from hello to close: a reader, a writer, and the work it brings.

Whether anybody is there is asked by pulse.py, whether he is still signed in by sign_ins.py, for all sockets of a node at once. What is
said is in protocol.py; what is shown, in seat.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.websockets import WebSocket, WebSocketDisconnect

from cti import ledger
from cti.db import AWAY, Database
from cti.events import CallDelivered, OfferPainted, OfferSeen
from cti.ledger import EventRow
from cti.line import Controls
from cti.records.conversations import Offer
from screenpop.commands import By, perform
from screenpop.hub import Hub
from screenpop.protocol import (
    CLOSE_BAD_MESSAGE,
    CLOSE_NOT_SIGNED_IN,
    CLOSE_TOO_SLOW,
    INCOMING,
    LEFT,
    MESSAGE_MAX_BYTES,
    VERSION,
    Bye,
    Closed,
    Command,
    Hello,
    Message,
    Painted,
    Pong,
    Seen,
)
from screenpop.pulse import SEND_WAIT_S, Line
from screenpop.refused import Refused
from screenpop.seat import LiveSeat, Socket, state, text_of
from screenpop.sign_ins import SignIns, Watched

log = structlog.get_logger(__name__)

E = TypeVar("E", bound=Exception)

HELLO_WAIT_S = 10.0
LATE_S = 2.0  # a page that waits longer for its seat is told why
ENTER_AGAIN_S = 1.0
TODO_MAX = (
    256  # commands and acknowledgements that wait for the database; one more and the browser is asked to come back
)
SPEAKING = ("prove",)  # commands whose result says more than that they were done
FINISH_S = 10.0  # for what a browser said just before it went


@dataclass(frozen=True)
class Place:
    """Who sits before this browser: his seat, and what he may do."""

    seat: LiveSeat
    by: Callable[[], By]


@dataclass(frozen=True)
class Desk:
    """What a connection needs of the house. `sign_in` says whose browser it is (None: nobody's) and raises AWAY; `session` is the
    sign-in's name, by which `sign_ins` watches over it."""

    db: Database
    hub: Hub
    controls: Controls
    clock: Callable[[], dt.datetime]
    sign_in: Callable[[], Awaitable[Place | None]]
    session: str
    sign_ins: SignIns


async def serve(websocket: WebSocket, desk: Desk) -> None:
    """Talk to one browser until either side goes. Returns when the connection is over; never raises."""
    visit, end = Visit(websocket, desk), None
    try:
        await visit.recognise()
        hello = await _hello(websocket)
        async with asyncio.TaskGroup() as tasks:
            for each in (visit.send(), visit.receive(), visit.work(), visit.enter(hello), visit.over()):
                tasks.create_task(each)
    except* Closed as closed:
        end = _first(closed)
    except* WebSocketDisconnect as gone:  # it comes back with its last number, or was closed by somebody
        visit.left = visit.left or _first(gone).code in LEFT
    except* (RuntimeError, OSError):
        pass
    except* Exception as broken:  # noqa: BLE001  the end of a socket
        log.error("stream.failed", seat=visit.seat, error=repr(broken.exceptions[0]))
        end = Closed(1011, "something of ours broke")
    finally:
        visit.leave()
    if end is not None:
        await _close(websocket, end)
    await visit.finish()


def _first(group: BaseExceptionGroup[E]) -> E:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _close(websocket: WebSocket, closed: Closed) -> None:
    """Say so, if it can still be heard: a browser that does not read takes no close either."""
    with contextlib.suppress(RuntimeError, OSError, WebSocketDisconnect):  # a TimeoutError is an OSError
        async with asyncio.timeout(SEND_WAIT_S):
            await websocket.close(closed.code, str(closed)[:120])


async def _hello(websocket: WebSocket) -> Hello:
    try:
        async with asyncio.timeout(HELLO_WAIT_S):
            message = INCOMING.validate_json(await _text(websocket))
    except (TimeoutError, ValidationError) as error:
        raise Closed(CLOSE_BAD_MESSAGE, "expected hello as the first message") from error
    if not isinstance(message, Hello) or message.v != VERSION:
        raise Closed(CLOSE_BAD_MESSAGE, f"expected hello of version {VERSION}: please reload the page")
    return message


async def _text(websocket: WebSocket) -> str:
    try:
        text = await websocket.receive_text()
    except KeyError as error:  # Starlette's word for a binary message
        raise Closed(CLOSE_BAD_MESSAGE, "expected text, got bytes") from error
    if len(text) > MESSAGE_MAX_BYTES:
        raise Closed(1009, f"expected at most {MESSAGE_MAX_BYTES} bytes")
    return text


class Visit:
    """One browser's connection. Its public methods are the tasks that it consists of."""

    def __init__(self, websocket: WebSocket, desk: Desk) -> None:
        self.left = False  # somebody closed the page
        self._websocket = websocket
        self._desk = desk
        self._socket = Socket()
        self._place: Place | None = None
        self._todo: asyncio.Queue[Painted | Seen | Command] = asyncio.Queue(TODO_MAX)
        self._job: asyncio.Task[None] | None = None
        self._line = Line(self._socket)
        self._signed_in = Watched(desk.session, self._is_lively, self._sign_out)

    @property
    def seat(self) -> str:
        """The seat's name, "" as long as we do not know whose browser this is."""
        return self._place.seat.name if self._place else ""

    def leave(self) -> None:
        """This browser no longer counts."""
        self._desk.hub.pulse.forget(self._line)
        self._desk.sign_ins.forget(self._signed_in)
        if self._place is not None:
            self._place.seat.detach(self._socket, self._desk.clock().timestamp(), left=self.left)

    # --- coming in, and staying ---

    async def recognise(self) -> None:
        """Strangers go before they have said a word. When the records do not answer soon, the question is put again later."""
        with contextlib.suppress(*AWAY):
            async with asyncio.timeout(LATE_S), self._desk.hub.entrance:
                await self._sign_in()

    async def _sign_in(self) -> Place:
        self._place = self._place or await self._desk.sign_in()
        if self._place is None:
            raise Closed(CLOSE_NOT_SIGNED_IN, "signed out")
        return self._place

    async def enter(self, hello: Hello) -> None:
        """Take the seat as soon as the records say whose it is."""
        self._desk.hub.pulse.watch(self._line)
        late = asyncio.get_running_loop().call_later(LATE_S, self._tell_away)
        try:
            while not await self._entered(hello):
                self._tell_away()
                await asyncio.sleep(ENTER_AGAIN_S)
        finally:
            late.cancel()
        self._socket.active = True  # who opens the page is there
        self._desk.sign_ins.watch(self._signed_in)

    async def _entered(self, hello: Hello) -> bool:
        try:
            async with self._desk.hub.entrance:
                place = await self._sign_in()
                self._socket.browser = hello.browser
                await place.seat.attach(self._socket, hello.epoch, hello.seq, hello.have, hello.lists)
        except AWAY as error:
            log.warning("stream.records_away", seat=self.seat, error=repr(error))
            self._place = (
                None  # asked anew: until then he may have signed out, and a seat without browsers is forgotten
            )
            return False
        return True

    def _tell_away(self) -> None:
        """Better a page that says what is the matter than one that loads for ever."""
        away = self._desk.hub.degraded | {"database"}
        if self._socket.told != away:
            self._socket.told = away
            self._socket.send(state(away, leader=False))

    async def over(self) -> None:
        """Until the house ends this connection: nobody is there, or nobody who may be."""
        await self._line.over.wait()
        assert self._line.why is not None
        raise self._line.why

    def _is_lively(self) -> bool:
        has_call = self._place is not None and self._place.seat.has_call
        is_lively, self._socket.active = self._socket.active or has_call, False
        return is_lively

    def _sign_out(self) -> None:
        """However much is said on the socket: whoever signed out, or was disabled, sees no more."""
        self._line.end(Closed(CLOSE_NOT_SIGNED_IN, "signed out"))

    # --- out ---

    async def send(self) -> None:
        """What waits, in its order. How long one message may take is watched by the pulse."""
        line, queue, send_text, now_s = (
            self._line, self._socket.queue, self._websocket.send_text, asyncio.get_running_loop().time
        )  # fmt: skip
        while True:
            message = await queue.get()
            if self._socket.slow.is_set():
                raise Closed(CLOSE_TOO_SLOW, "this browser does not keep up: come back for a snapshot")
            line.sending_since_s = now_s()
            await send_text(message if isinstance(message, str) else text_of(message))
            line.sending_since_s = None

    # --- in ---

    async def receive(self) -> None:
        """Reads on while the database works: a slow command must not look like a browser that is gone."""
        while True:
            text = await _text(self._websocket)
            self._line.heard()
            try:
                message = INCOMING.validate_json(text)
            except ValidationError as error:
                raise Closed(CLOSE_BAD_MESSAGE, f"{error.error_count()} faults in a message") from error
            self._take(message)

    def _take(self, message: Hello | Pong | Bye | Painted | Seen | Command) -> None:
        match message:
            case Pong(seq=seq):
                self._socket.seq_acked = seq
            case Painted() | Seen() | Command():
                self._socket.active = self._socket.active or isinstance(message, Command)
                self._keep(message)
            case Bye():
                self.left = True
                raise Closed(1000, "bye")
            case Hello():
                raise Closed(CLOSE_BAD_MESSAGE, "hello twice")

    def _keep(self, message: Painted | Seen | Command) -> None:
        if self._place is None:
            raise Closed(CLOSE_BAD_MESSAGE, f"expected {message.type} after the seat was shown")
        try:
            self._todo.put_nowait(message)
        except asyncio.QueueFull:
            raise Closed(CLOSE_TOO_SLOW, f"{TODO_MAX} messages wait for the database") from None

    async def work(self) -> None:
        """What was asked for, in its order. A connection that ends does not undo what is under way."""
        while True:
            message = await self._todo.get()
            self._job = asyncio.create_task(self._do(message))
            await asyncio.shield(self._job)

    async def finish(self) -> None:
        """Do what was asked for before the end: the last note is often saved by the closing of the page."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                while self._job is not None:
                    await asyncio.wait([self._job])
                    broken = self._job.exception()
                    going_on = broken is None and not self._todo.empty()
                    self._job = asyncio.create_task(self._do(self._todo.get_nowait())) if going_on else None

    async def _do(self, message: Painted | Seen | Command) -> None:
        assert self._place is not None
        by = self._place.by()
        if isinstance(message, Command):
            self._socket.send(await _result(message, by, self._desk))
            if message.name == "dismiss":  # the one command without an event of its own
                self._desk.hub.agent_changed(by.agent)
        else:
            await _acknowledge(message, by, self._desk)


async def _result(command: Command, by: By, desk: Desk) -> Message:
    answer: Message = {"type": "result", "key": command.key, "ok": True}
    try:
        value = await perform(command, by, db=desk.db, controls=desk.controls, clock=desk.clock)
        answer |= {"value": value} if command.name in SPEAKING else {}
    except Refused as refused:
        log.info("stream.refused", command=command.name, code=refused.code, why=str(refused))
        answer |= {"ok": False, "error": {"code": refused.code, "text": str(refused)}}
    except AWAY as error:
        log.warning("stream.busy", command=command.name, error=repr(error))
        answer |= {"ok": False, "error": {"code": "busy", "text": "the records do not answer"}}
    return answer


async def _acknowledge(message: Painted | Seen, by: By, desk: Desk) -> None:
    try:
        await desk.db.work(acknowledge, message, agent=by.agent, now=desk.clock())
    except AWAY as error:
        log.warning("stream.ack_lost", offer=message.offer, error=repr(error))


def acknowledge(session: Session, message: Painted | Seen, *, agent: str, now: dt.datetime) -> None:
    """Keep when an offer was painted or seen, the first time only; an offer of somebody else is not touched."""
    offer = session.get(Offer, message.offer)
    if offer is None or offer.agent != agent:
        return
    since_ms = (now - _read_at(session, offer)).total_seconds() * 1000
    row, name = offer.conversation_id, offer.id
    if isinstance(message, Painted):
        if offer.painted_ms is None:
            offer.painted_ms = since_ms
            painted = OfferPainted(conversation=row, offer=name, agent=agent, acked_ms=since_ms, browser_ms=message.ms)
            ledger.append(session, painted, now=now, key=f"painted:{name}")
    elif offer.seen_ms is None:
        offer.seen_ms = since_ms
        seen = OfferSeen(conversation=row, offer=name, agent=agent, acked_ms=since_ms)
        ledger.append(session, seen, now=now, key=f"seen:{name}")


def _read_at(session: Session, offer: Offer) -> dt.datetime:
    """When our socket read the switch's event of this offer: the zero of its delays."""
    key = f"delivered:{offer.device_channel}"
    row = session.scalar(select(EventRow).where(EventRow.key == key))
    return dt.datetime.fromisoformat(CallDelivered.of(row.body).read_at) if row else offer.offered_at
