"""The door to Valkey and Redis: one stream that every node appends to and reads. The only import of the engine's client.

Nothing in the engine is needed after the moment: it may run without a disk. Whoever can write to it can make our pages say anything,
so it listens where nobody else can reach it, or asks for a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis.asyncio import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

NAME = "santral:events"
KEEP = 10_000  # entries, about; a node that is further behind reads the ledger
READ_MAX = 200  # entries taken at once
BLOCK_S = 1.0  # how long one question waits for news
ANSWER_S = 2.0  # an engine that is silent for longer hangs; more than BLOCK_S
CONNECT_S = 1.0
PORT = 6379

Fields = Mapping[bytes, bytes]
Place = tuple[int, int]  # an entry's id in the stream: the engine's milliseconds, and a count within them
BEGINNING: Place = (0, 0)


class EngineAway(Exception):
    """No connection, no answer in time, or a refusal."""


class BadAddress(ValueError):
    """Not an address of an engine. Its text does not show the password."""


class Stream:
    """One node's two connections: one waits for news, one sends."""

    def __init__(self, url: str, node: str) -> None:
        """Connects to nothing yet. Raises BadAddress."""
        parts = _parts(url)
        self.place = f"{parts.hostname}:{parts.port or PORT}"
        self._options = _options(parts, node)
        self._engine: Redis | None = None
        self._after = BEGINNING

    async def open(self) -> None:
        """Connect, and go to the end of what is there. Raises EngineAway."""
        self._engine = Redis(**self._options)
        with _away():
            self._after = await self._end()

    async def hear(self) -> list[Fields]:
        """The next entries, those of this node among them; none when BLOCK_S went by without. Raises EngineAway."""
        with _away():
            heard = await self._client.xread({NAME: _written(self._after)}, count=READ_MAX, block=int(BLOCK_S * 1000))
            if not heard:
                await self._not_beyond_the_end()
                return []
        entries = heard[0][1]
        self._after = _place(entries[-1][0])
        return [fields for _, fields in entries]

    async def send(self, entries: Sequence[Mapping[str, str | int]]) -> None:
        """Append them in their order. Raises EngineAway; then nobody knows how many of them are there."""
        with _away():
            pipeline: Any = self._client.pipeline(transaction=False)
            for entry in entries:
                pipeline.xadd(NAME, entry, maxlen=KEEP, approximate=True)
            await pipeline.execute()

    async def close(self) -> None:
        if self._engine is not None:
            engine, self._engine = self._engine, None
            with contextlib.suppress(EngineAway), _away():
                await engine.aclose()

    @property
    def _client(self) -> Any:
        """As Any: the client's own signatures do not tell its asyncio side from its other one."""
        if self._engine is None:
            raise EngineAway("not open")
        return self._engine

    async def _end(self) -> Place:
        newest = await self._client.xrevrange(NAME, count=1)
        return _place(newest[0][0]) if newest else BEGINNING

    async def _not_beyond_the_end(self) -> None:
        """A stream that was deleted numbers by the engine's clock again. Was that clock set back, its entries are below our place."""
        if await self._end() < self._after:
            self._after = BEGINNING


@contextlib.contextmanager
def _away() -> Iterator[None]:
    """The client's troubles in our words."""
    try:
        yield
    except (RedisError, OSError, asyncio.IncompleteReadError) as error:
        heed_cancellation()
        raise EngineAway(f"{type(error).__name__}: {error}") from error
    heed_cancellation()


def heed_cancellation() -> None:
    """Raises CancelledError in a task that was cancelled and does not know: `wait_for` of Python 3.11, which the client uses, loses
    a cancellation that comes together with an answer, and the task would go on for ever."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _place(name: bytes) -> Place:
    milliseconds, _, count = name.partition(b"-")
    return int(milliseconds), int(count)


def _written(place: Place) -> str:
    return f"{place[0]}-{place[1]}"


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        good = parts.port != 0 and parts.hostname is not None and not parts.query and not parts.fragment
    except ValueError:
        good = False
    if not good or re.fullmatch(r"(/\d{0,4})?", parts.path) is None:
        scheme = url.partition("://")[0]
        raise BadAddress(
            f"expected {scheme}://host:port/db, with user:password@ before the host if need be; got another form"
        )
    return parts


def _options(parts: SplitResult, node: str) -> dict[str, Any]:
    """What the client is told. It tries nothing again by itself: `cluster` does, and says so."""
    options: dict[str, Any] = {
        "host": parts.hostname, "port": parts.port or PORT, "db": int(parts.path.strip("/") or 0),
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "ssl": parts.scheme == "rediss", "client_name": f"santral-{node}", "driver_info": None, "protocol": 2,
        "socket_timeout": ANSWER_S, "socket_connect_timeout": CONNECT_S, "retry": Retry(NoBackoff(), 0),
    }  # fmt: skip
    return options
