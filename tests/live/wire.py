"""Recording proxies between Santral and the switch: every byte passes unaltered, and is kept as the messages that it is.

What is counted here is what really went over the wire, whatever the program believes it sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

READ_BYTES = 64 * 1024
LINE_BYTES_MAX = 64 * 1024
END = b"\r\n\r\n"


class Proxy:
    """A TCP port that leads to another one. `up` goes from whoever connects, `down` comes back to him."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await self._server.wait_closed()

    def directions(self) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
        """For one connection: what each chunk on its way up and down becomes."""
        return bytes, bytes

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        task.add_done_callback(self._pumps.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        up, down = self.directions()
        ways = [
            asyncio.create_task(_pump(reader, far_writer, up)),
            asyncio.create_task(_pump(far_reader, writer, down)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.close()
            far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, through: Callable[[bytes], bytes]) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(READ_BYTES):
            writer.write(through(chunk))
            await writer.drain()


# --- ARI: one WebSocket ---


class Texts:
    """Bytes of one direction of a WebSocket in, whole text messages out (RFC 6455). `greet` hears each line of the handshake. When
    `hear` returns False, nothing more passes in this direction, that message included."""

    def __init__(
        self, hear: Callable[[str], bool], *, masked: bool, greet: Callable[[str], None] = lambda line: None
    ) -> None:
        self._hear, self._masked, self._greet = hear, masked, greet
        self._reader = StreamReader()
        self._passes = True
        self._parser = self._parse()
        next(self._parser)

    def feed(self, chunk: bytes) -> bytes:
        if self._passes:
            self._reader.feed_data(chunk)
            next(self._parser)
        return chunk if self._passes else b""

    def _parse(self) -> Generator[None, None, None]:
        while (line := (yield from self._reader.read_line(LINE_BYTES_MAX))) != b"\r\n":
            self._greet(line.decode("latin-1"))
        said = b""
        while True:
            frame = yield from Frame.parse(self._reader.read_exact, mask=self._masked)
            if frame.opcode in (Opcode.TEXT, Opcode.CONT):
                said += bytes(frame.data)
                if frame.fin:
                    self._passes = self._passes and self._hear(said.decode())
                    said = b""


@dataclass(frozen=True)
class Request:
    """One ARI request as it went to the switch."""

    method: str
    uri: str
    body: dict[str, Any]

    @property
    def media(self) -> list[str]:
        """What it plays: the prompts' file names."""
        return [str(each).rpartition("/")[2] for each in self.body.get("media", [])]


@dataclass(frozen=True)
class Passing:
    """One message between a node and the switch. `node` is the node's application, `up` the way to the switch, `at_s` the loop's
    clock."""

    node: str
    up: bool
    message: Mapping[str, Any]
    at_s: float

    @property
    def method(self) -> str:
        return str(self.message.get("method", ""))

    @property
    def uri(self) -> str:
        """Of a request, or of the request that this is the answer to."""
        return str(self.message.get("uri", ""))

    @property
    def is_play(self) -> bool:
        return self.up and "/play/" in self.uri


@dataclass
class AriWire(Proxy):
    """`before` hears each request while it is still on this side: the switch has not got it yet. So does `on_message` each message of
    either way, and when it returns False, that connection is deaf in this direction from then on. `passed` is what went through."""

    target: int
    requests: list[Request] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)  # HTTP statuses
    before: Callable[[Request], None] = lambda request: None
    on_message: Callable[[Passing], bool] = lambda passing: True
    passed: list[Passing] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        super().__init__(self.target)

    def directions(self) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
        node = ""

        def greet(line: str) -> None:
            nonlocal node
            if named := re.match(r"GET \S*[?&]app=([^& ]*)", line):
                node = named[1]

        up = Texts(lambda text: self._asked(node, text), masked=True, greet=greet)
        return up.feed, Texts(lambda text: self._said(node, text), masked=False).feed

    async def until(self, kind: Callable[[Passing], bool], *, since: int = 0, timeout_s: float = 30.0) -> Passing:
        """The first message of this kind after the first `since` ones; waits for it. TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                for at, passing in enumerate(self.passed[since:], since + 1):
                    since = at
                    if kind(passing):
                        return passing
                self._news.clear()
                await self._news.wait()

    def _asked(self, node: str, text: str) -> bool:
        message = json.loads(text)
        request = Request(message["method"], message["uri"], json.loads(message.get("message_body") or "{}"))
        self.before(request)
        passes = self._passes(node, message, up=True)
        if passes:
            self.requests.append(request)
        return passes

    def _said(self, node: str, text: str) -> bool:
        message = json.loads(text)
        if message["type"] == "RESTResponse":
            self.answers.append(message["status_code"])
        return self._passes(node, message, up=False)

    def _passes(self, node: str, message: Mapping[str, Any], *, up: bool) -> bool:
        passing = Passing(node, up, message, asyncio.get_running_loop().time())
        if not self.on_message(passing):
            return False
        self.passed.append(passing)
        self._news.set()
        return True

    def plays(self, since: int = 0) -> list[Request]:
        return [each for each in self.requests[since:] if "/play/" in each.uri]


# --- AMI: blocks of lines ---


@dataclass
class AmiWire(Proxy):
    """With `doubled`, every event reaches Santral twice."""

    target: int
    actions: list[str] = field(default_factory=list)  # the names, as the switch reads them
    responses: int = 0
    doubled: bool = False
    doubles: int = 0  # events that came twice

    def __post_init__(self) -> None:
        super().__init__(self.target)

    def directions(self) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
        return _blocks(self._asked), _blocks(self._said)

    def _asked(self, block: bytes) -> bytes:
        self.actions += [each.decode() for each in re.findall(rb"(?im)^action: *([^\r\n]*)", block)]
        return block

    def _said(self, block: bytes) -> bytes:
        if block.startswith(b"Event: "):
            self.doubles += self.doubled
            return block * 2 if self.doubled else block
        self.responses += len(re.findall(rb"(?m)^Response: ", block))
        return block


def _blocks(each: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Whole blocks go on through `each`; the greeting, which is one line, goes on at once."""
    rest = b""

    def feed(chunk: bytes) -> bytes:
        nonlocal rest
        *blocks, rest = (rest + chunk).split(END)
        out = b"".join(each(block + END) for block in blocks)
        if rest.startswith(b"Asterisk Call Manager/") and rest.endswith(b"\r\n"):
            out, rest = out + rest, b""
        return out

    return feed


# --- AGI: lines; here the switch is the one who connects ---


@dataclass
class AgiWire(Proxy):
    """What our scripts told the switch, and how often it answered."""

    target: int
    commands: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.target)

    def directions(self) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
        return _lines(self._answered), _lines(self.commands.append)

    def _answered(self, line: str) -> None:
        if re.match(r"\d{3}[ -]", line):
            self.results.append(line)


def _lines(hear: Callable[[str], None]) -> Callable[[bytes], bytes]:
    rest = b""

    def feed(chunk: bytes) -> bytes:
        nonlocal rest
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            hear(line.decode("utf-8", "replace").rstrip("\r"))
        return chunk

    return feed
