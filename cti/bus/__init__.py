"""The ledger's news to whoever subscribed, on every node.

The database is the truth and a bus only a hint: a node that missed news reads the ledger. One node needs no engine (`memory://`);
several have Valkey or Redis between them (cti/bus/cluster.py). Why so: docs/decisions/0007.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from cti.bus.audience import Audience, Subscriber
from cti.events import Recorded

__all__ = ["Bus", "MemoryBus", "Newest", "Since", "Subscriber", "UnknownBus", "open_bus"]

Since = Callable[[int, int], Awaitable[list[Recorded]]]  # (seq, most): the ledger's events after `seq`, oldest first
Newest = Callable[[], Awaitable[int]]  # the ledger's last seq; 0 when it is empty

ENGINES = ("redis", "rediss", "valkey")


class UnknownBus(ValueError):
    """A bus address that no engine of ours serves."""


class Bus(Protocol):
    """Tells subscribers each event once. A subscriber must be quick and must not raise: it hands on to a bounded queue of its own."""

    connected: (
        asyncio.Event
    )  # set while others' news comes at once; clear: it comes from the ledger, within `cluster.POLL_S`
    told: int  # events told to subscribers
    healed: int  # of these, the ones that were found in the ledger before a hint came; in a busy second some hints are a little later
    dropped: int  # own hints that were not sent, because too many waited: the others read the ledger

    def subscribe(self, subscriber: Subscriber, *, local_only: bool = False) -> Callable[[], None]:
        """Returns the function that ends the subscription. `local_only`: nothing but what was committed on this node."""

    def publish(self, news: Iterable[Recorded]) -> None:
        """Tell what was just committed here. On the loop; never waits, never raises."""

    async def run(self) -> None:
        """Bring the others' news, until cancelled. Outlives every absence of the engine and of the ledger."""


class MemoryBus:
    """In this process: there are no others."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self.told = self.healed = self.dropped = 0
        self._audience = Audience()

    def subscribe(self, subscriber: Subscriber, *, local_only: bool = False) -> Callable[[], None]:
        return self._audience.add(subscriber)

    def publish(self, news: Iterable[Recorded]) -> None:
        for recorded in news:
            self._audience.tell(recorded)
            self.told += 1

    async def run(self) -> None:
        await asyncio.Event().wait()


def open_bus(url: str, *, node: str = "1", since: Since | None = None, newest: Newest | None = None) -> Bus:
    """The bus at this address: memory://, redis://host:port/db, rediss:// (with TLS) or valkey:// (the same as redis://).

    Several nodes need `since` and `newest`, their way to the ledger; both may raise when it is away. Raises UnknownBus.
    """
    scheme = url.partition("://")[0]
    if url == "memory://":
        return MemoryBus()
    if scheme not in ENGINES:
        raise UnknownBus(
            f"SANTRAL_BUS_URL: expected memory://, redis://…, rediss://… or valkey://…, got {scheme[:20]}://…"
        )
    if since is None or newest is None:
        raise UnknownBus(f"SANTRAL_BUS_URL: {scheme}://… loses news without the ledger: expected `since` and `newest`")
    return _between_nodes(url, node, since, newest)


def _between_nodes(url: str, node: str, since: Since, newest: Newest) -> Bus:
    from cti.bus.cluster import ClusterBus  # only here: one node neither needs nor loads an engine's client
    from cti.bus.stream import BadAddress, Stream

    try:
        return ClusterBus(Stream(url, node), node=node, since=since, newest=newest)
    except BadAddress as error:
        raise UnknownBus(f"SANTRAL_BUS_URL: {error}") from error
