"""One browser's socket: a reader and a writer as a pair, and a watch over the sign-in.

What is said is in protocol.py; what is shown, in hub.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.websockets import WebSocket, WebSocketDisconnect

from cti import ledger
from cti.db import Database, DatabaseTimeout, Overloaded
from cti.events import CallDelivered, OfferPainted, OfferSeen
from cti.ledger import EventRow
from cti.line import Controls
from cti.records.conversations import Offer
from screenpop.commands import By, Refused, perform
from screenpop.hub import Hub, LiveSeat, Socket
from screenpop.protocol import (
    CLOSE_BAD_MESSAGE,
    CLOSE_NOT_SIGNED_IN,
    CLOSE_TOO_SLOW,
    INCOMING,
    MESSAGE_MAX_BYTES,
    VERSION,
    Command,
    Hello,
    Message,
    Painted,
    Pong,
    Seen,
)

log = structlog.get_logger(__name__)

PING_S = 10.0
HELLO_WAIT_S = 10.0
SEND_WAIT_S = 5.0
SIGNED_IN_CHECK_S = 5.0


class Closed(Exception):
    """This connection is over: with which close code, and why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True)
class Desk:
    """What a connection needs of the house. `signed_in` asks whether the browser's session still holds."""

    db: Database
    hub: Hub
    controls: Controls
    clock: Callable[[], dt.datetime]
    by: Callable[[], By]
    signed_in: Callable[[bool], Awaitable[bool]]  # True: and this was a sign of life


async def serve(websocket: WebSocket, seat: LiveSeat, desk: Desk) -> None:
    """Talk to one browser until either side goes. Returns when the connection is over; never raises."""
    socket = Socket()
    try:
        hello = await _hello(websocket)
        await seat.attach(socket, hello.epoch, hello.seq)
        async with asyncio.TaskGroup() as pair:
            pair.create_task(_send(websocket, socket, desk))
            pair.create_task(_receive(websocket, socket, desk))
            pair.create_task(_watch_sign_in(socket, seat, desk))
    except* Closed as closed:
        await _close(websocket, _first(closed))
    except* (WebSocketDisconnect, RuntimeError, OSError):
        pass  # the browser went; it comes back with its last number
    except* Exception as broken:  # noqa: BLE001  the end of a socket
        log.error("stream.failed", seat=seat.name, error=repr(broken.exceptions[0]))
        await _close(websocket, Closed(1011, "something of ours broke"))
    finally:
        seat.detach(socket, desk.clock().timestamp())


def _first(group: BaseExceptionGroup[Closed]) -> Closed:
    inner = group.exceptions[0]
    return inner if isinstance(inner, Closed) else _first(inner)


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


async def _send(websocket: WebSocket, socket: Socket, desk: Desk) -> None:
    while True:
        message = await _next(socket, desk)
        if socket.slow.is_set():
            raise Closed(CLOSE_TOO_SLOW, "this browser does not keep up: come back for a snapshot")
        try:
            async with asyncio.timeout(SEND_WAIT_S):
                await websocket.send_json(message)
        except TimeoutError as error:
            raise Closed(CLOSE_TOO_SLOW, "a message was not taken in time") from error


async def _next(socket: Socket, desk: Desk) -> Message:
    """The next message to send; when nothing happens a ping."""
    try:
        async with asyncio.timeout(PING_S):
            return await socket.queue.get()
    except TimeoutError:
        return {"type": "ping", "at_ms": round(desk.clock().timestamp() * 1000)}


async def _watch_sign_in(socket: Socket, seat: LiveSeat, desk: Desk) -> None:
    """However much is said on the socket: whoever signed out, or was disabled, sees no more. Work on the page, and a call on it, keep
    the sign-in alive: nobody is signed out in the middle of a talk."""
    while True:
        await asyncio.sleep(SIGNED_IN_CHECK_S)
        is_life, socket.active = socket.active or seat.has_call, False
        if not await _still_signed_in(desk, is_life):
            raise Closed(CLOSE_NOT_SIGNED_IN, "signed out")


async def _still_signed_in(desk: Desk, is_life: bool) -> bool:
    try:
        return await desk.signed_in(is_life)
    except (DatabaseTimeout, Overloaded):
        return True  # a slow database signs nobody out


async def _receive(websocket: WebSocket, socket: Socket, desk: Desk) -> None:
    while True:
        text = await _text(websocket)
        try:
            message = INCOMING.validate_json(text)
        except ValidationError as error:
            raise Closed(CLOSE_BAD_MESSAGE, f"{error.error_count()} faults in a message") from error
        match message:
            case Pong(seq=seq):
                socket.seq_acked = seq
            case Painted() | Seen():
                await _acknowledge(message, desk)
            case Command():
                socket.active = True
                await _command(message, socket, desk)
            case Hello():
                raise Closed(CLOSE_BAD_MESSAGE, "hello twice")


async def _acknowledge(message: Painted | Seen, desk: Desk) -> None:
    try:
        await desk.db.work(acknowledge, message, agent=desk.by().agent, now=desk.clock())
    except (DatabaseTimeout, Overloaded) as error:
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


async def _command(command: Command, socket: Socket, desk: Desk) -> None:
    answer: Message = {"type": "result", "key": command.key, "ok": True}
    try:
        await perform(command, desk.by(), db=desk.db, controls=desk.controls, clock=desk.clock)
    except Refused as refused:
        log.info("stream.refused", command=command.name, code=refused.code, why=str(refused))
        answer |= {"ok": False, "error": {"code": refused.code, "text": str(refused)}}
    except (DatabaseTimeout, Overloaded) as error:
        answer |= {"ok": False, "error": {"code": "busy", "text": str(error)}}
    socket.send(answer)
    if command.name == "dismiss":  # the one command without an event of its own
        desk.hub.agent_changed(desk.by().agent)
