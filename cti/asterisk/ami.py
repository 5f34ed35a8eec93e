"""Asterisk's manager interface: facts of queues and agents come in, few actions go out. Our own small client.

What comes is only a trigger: a caller's number and name can carry bytes that look like events, so blocks are parsed
defensively and whoever shows data to an agent confirms the ringing first. What goes out is sent once, never again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from cti.asterisk.ami_facts import LISTED, TELLERS, Message, Rings, first, snapshot
from cti.asterisk.wire import ami_line
from cti.line import Fact, MemberChanged, QueueJoined

log = structlog.get_logger(__name__)

BLOCK_BYTES_MAX = 64 * 1024
READ_BYTES = 64 * 1024
LISTED_MAX = 50_000  # blocks in one answer; 4,000 members were 1.1 MB and 40 ms
RETRY_MIN_S, RETRY_MAX_S = 0.2, 1.0  # short: a restarted switch has to be whole again within 5 s of its boot
CONNECT_TIMEOUT_S = 5.0
ACTION_TIMEOUT_S = 2.0
LIST_TIMEOUT_S = 10.0
LATE_S = 1.0  # an event that we read this long after the switch wrote it happened then, not now
LATE_MAX_S = 3600.0  # more than this is no delay but two clocks that disagree
TOLD_BYTES_MAX = 1 << 20  # unsent orders that nobody waits for; more and the switch does not read: they are dropped
PING_EVERY_S = 5.0
GREETING = b"Asterisk Call Manager/"
END = b"\r\n\r\n"
USED = frozenset(name.encode() for name in (*TELLERS, *LISTED))


class AmiDown(Exception):
    """The connection was lost or no answer came: the action may have run. It is not sent again."""


class AmiRefused(Exception):
    """Asterisk answered `Response: Error`; the text is its message."""


class Suspicious(Exception):
    """A block that Asterisk would not write by itself; the text says why, without its content."""


def parse(block: bytes) -> dict[str, list[str]]:
    """One block as key -> values in order. Bytes are cut at CR LF before they are decoded. Raises Suspicious."""
    message: dict[str, list[str]] = {}
    for line in block.split(b"\r\n"):
        key, colon, value = line.partition(b":")
        if colon:
            message.setdefault(key.decode("utf-8", "replace").strip(), []).append(
                value.decode("utf-8", "replace").strip()
            )
    kinds = sum(len(values) for key, values in message.items() if key.lower() in ("event", "response"))
    if kinds > 1:
        raise Suspicious("expected one Event or Response in a block, got several")
    return message


@dataclass
class Blocks:
    """Bytes in, whole blocks out; a block over BLOCK_BYTES_MAX is dropped and counted."""

    dropped: int = 0
    _rest: bytes = b""
    _skipping: bool = False

    def feed(self, chunk: bytes) -> list[bytes]:
        *blocks, self._rest = (self._rest + chunk).split(END)
        if self._skipping and blocks:
            self._skipping = False
            del blocks[0]  # the end of one that was too long
        if len(self._rest) > BLOCK_BYTES_MAX:
            self.dropped += not self._skipping
            self._skipping, self._rest = True, self._rest[-len(END) :]
        whole = [block for block in blocks if len(block) <= BLOCK_BYTES_MAX]
        self.dropped += len(blocks) - len(whole)
        return whole


@dataclass
class _Asked:
    """An action under way: its answer, and the events that belong to it when it is a list."""

    answer: asyncio.Future[Message]
    is_list: bool
    events: list[Message] = field(default_factory=list)


class Ami:
    """The manager connection of one node. `run()` keeps it open until it is cancelled."""

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: str,
        *,
        on_fact: Callable[[Fact], None],
        on_resync: Callable[[frozenset[str]], None] = lambda channels: None,
        on_suspicious: Callable[[str], None] = lambda why: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`on_fact` must not wait. After each connecting come the facts that close the gap, then `on_resync` with the ids
        of all channels that live: whatever else was thought to be on the line is gone. `clock` gives Unix seconds."""
        self._host, self._port, self._user, self._password = host, port, user, password
        self._on_fact, self._on_resync, self._on_suspicious = on_fact, on_resync, on_suspicious
        self._clock = clock
        self.connected = asyncio.Event()  # set while logged in and in step with the switch
        self.suspicious = 0  # blocks dropped because Asterisk would not have written them
        self._rings = Rings()
        self._writer: asyncio.StreamWriter | None = None
        self._asked: dict[str, _Asked] = {}
        self._number = 0
        self._session_id = secrets.token_hex(8)  # nobody else can guess an ActionID of ours

    async def run(self) -> None:
        """Connect, log in, close the gap, listen; again after 0.2 to 5 s whenever the connection ends."""
        failures = 0
        while True:
            try:
                await self._session()
                failures = 0
            except (
                OSError,
                EOFError,
                TimeoutError,
                RuntimeError,
                asyncio.LimitOverrunError,
                AmiDown,
                AmiRefused,
            ) as problem:
                log.warning("ami.down", problem=f"{type(problem).__name__}: {problem}"[:200])
            await asyncio.sleep(random.uniform(RETRY_MIN_S / 2, min(RETRY_MAX_S, RETRY_MIN_S * 2 ** min(failures, 10))))
            failures += 1

    async def action(self, name: str, **headers: str) -> Message:
        """Send one action and return its answer. Raises Unsafe before anything is sent, AmiRefused, or AmiDown."""
        return (await self._ask(name, headers, is_list=False, timeout_s=ACTION_TIMEOUT_S)).answer.result()

    def tell(self, name: str, each: Iterable[dict[str, str]]) -> None:
        """Send one action for each set of headers and wait for no answer. Dropped without a connection. Raises Unsafe."""
        if self._writer is None or self._writer.transport.get_write_buffer_size() > TOLD_BYTES_MAX:
            return
        frames = b"".join(encode(name, f"{self._session_id}-told", headers) for headers in each)
        with contextlib.suppress(RuntimeError):  # uvloop's word for a socket that the other side has just closed
            self._writer.write(frames)

    async def settled(self) -> None:
        """Everything that `tell` sent before has been carried out: the switch answers in order. Raises AmiDown."""
        await self.action("Ping")

    async def action_list(self, name: str, **headers: str) -> list[Message]:
        """Like `action`, for those that answer with a list of events; the closing event is not part of it."""
        return (await self._ask(name, headers, is_list=True, timeout_s=LIST_TIMEOUT_S)).events

    async def queue_pause(self, device: str, paused: bool, reason: str) -> None:
        """Pause or resume a device in all of its queues. Raises AmiRefused when it is in none."""
        await self.action("QueuePause", Interface=device, Paused="true" if paused else "false", Reason=reason)

    async def queue_status(self) -> tuple[list[MemberChanged], list[QueueJoined]]:
        """Members and waiting callers of all queues, as they are now."""
        now = snapshot(await self.action_list("QueueStatus"), await self.action_list("CoreShowChannels"), self._clock())
        return list(now.members), list(now.waiting)

    # --- the connection ---

    async def _session(self) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(self._host, self._port, limit=READ_BYTES)
        opening: asyncio.Task[None] | None = None
        try:
            await self._greet(reader)
            self._writer = writer
            opening = asyncio.create_task(self._keep_in_step(writer))
            await self._read(reader)
            raise EOFError("expected the switch to go on talking, it closed the connection")
        finally:
            self._forget()
            writer.close()
            if opening:
                opening.cancel()
                await asyncio.gather(opening, return_exceptions=True)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await writer.wait_closed()

    async def _greet(self, reader: asyncio.StreamReader) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            greeting = await reader.readuntil(b"\r\n")
        if not greeting.startswith(GREETING):
            raise AmiDown(f"expected {GREETING.decode()}…, got {greeting[:40]!r}")

    async def _keep_in_step(self, writer: asyncio.StreamWriter) -> None:
        """Log in, close the gap, then prove every few seconds that somebody is there. Ends by closing the connection."""
        try:
            await self.action("Login", Username=self._user, Secret=self._password, Events="call,agent")
            await self.resync()
            self.connected.set()
            log.info("ami.up", host=self._host, port=self._port)
            while True:
                await asyncio.sleep(PING_EVERY_S)
                await self.action("Ping")
        except (AmiDown, AmiRefused) as problem:
            log.warning("ami.not_in_step", problem=str(problem))
            writer.close()

    async def resync(self) -> None:
        """Read the whole state of queues and channels and hand on what of it is news. Raises AmiDown."""
        asked_at_s = self._clock()
        status, channels = await self.action_list("QueueStatus"), await self.action_list("CoreShowChannels")
        read_at_s = self._clock()
        now = snapshot(status, channels, read_at_s)
        for fact in self._rings.resync(now, read_at_s, asked_at_s):
            self._on_fact(fact)
        self._on_resync(frozenset(now.channels))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        blocks, dropped = Blocks(), 0
        while chunk := await reader.read(READ_BYTES):
            for block in blocks.feed(chunk):
                self._heard(block)
            if blocks.dropped > dropped:
                dropped = blocks.dropped
                self._suspect(f"expected blocks up to {BLOCK_BYTES_MAX} bytes, got a longer one")

    def _forget(self) -> None:
        self.connected.clear()
        self._writer = None
        for asked in self._asked.values():
            if not asked.answer.done():
                asked.answer.set_exception(AmiDown("the connection was lost; the action may have run"))

    # --- what is heard ---

    def _heard(self, block: bytes) -> None:
        """Most events are of no use here; they are recognised by their first line and cost almost nothing."""
        head = block.partition(b"\r\n")[0]
        if head.startswith(b"Event: ") and head[7:] not in USED and b"\nEvent:" not in block:
            return
        try:
            message = parse(block)
        except Suspicious as suspicious:
            self._suspect(str(suspicious))
            return
        if "Response" in message:
            self._answered(message)
        elif (asked := self._asked.get(first(message, "ActionID"))) and asked.is_list:
            self._listed(asked, message)
        else:
            for fact in self._rings.facts(message, self._happened_at(message)):
                self._on_fact(fact)

    def _happened_at(self, message: Message) -> float:
        """Our clock, except for what waited for us while we were stopped or overloaded."""
        now = self._clock()
        with contextlib.suppress(ValueError):
            written = float(first(message, "Timestamp") or now)
            return written if LATE_S < now - written < LATE_MAX_S else now
        return now

    def _answered(self, message: Message) -> None:
        asked = self._asked.get(first(message, "ActionID"))
        if asked is None or asked.answer.done():
            return
        if first(message, "Response") == "Error":
            asked.answer.set_exception(AmiRefused(first(message, "Message")))
        elif not asked.is_list:
            asked.answer.set_result(message)

    def _listed(self, asked: _Asked, message: Message) -> None:
        if first(message, "EventList") == "Complete" or len(asked.events) >= LISTED_MAX:
            if not asked.answer.done():
                asked.answer.set_result(message)
        else:
            asked.events.append(message)

    def _suspect(self, why: str) -> None:
        self.suspicious += 1
        log.error("ami.suspicious", why=why, dropped=self.suspicious)
        self._on_suspicious(why)

    # --- what is sent ---

    async def _ask(self, name: str, headers: dict[str, str], *, is_list: bool, timeout_s: float) -> _Asked:
        self._number += 1
        action_id = f"{self._session_id}-{self._number}"
        frame = encode(name, action_id, headers)
        asked = self._asked[action_id] = _Asked(asyncio.get_running_loop().create_future(), is_list)
        try:
            async with asyncio.timeout(timeout_s):
                await self._write(frame)
                await asked.answer
        except TimeoutError as late:
            raise AmiDown(
                f"expected an answer to {name} within {timeout_s} s, none came; the action may have run"
            ) from late
        finally:
            self._asked.pop(action_id, None)
            _seen(asked.answer)
        return asked

    async def _write(self, frame: bytes) -> None:
        if self._writer is None:
            raise AmiDown("not connected to the switch; nothing was sent")
        try:
            self._writer.write(frame)
            await self._writer.drain()
        except (OSError, RuntimeError) as lost:
            raise AmiDown("the connection was lost; the action may have run") from lost


def encode(name: str, action_id: str, headers: dict[str, str]) -> bytes:
    """Exactly one action. Raises Unsafe when a key or value could make it more than one."""
    lines = [ami_line("Action", name), ami_line("ActionID", action_id)]
    return b"".join([*lines, *(ami_line(key, value) for key, value in headers.items()), b"\r\n"])


def _seen(answer: asyncio.Future[Message]) -> None:
    """An answer that came too late to be awaited is nobody's forgotten exception."""
    if answer.done() and not answer.cancelled():
        answer.exception()
