"""News to whoever subscribed on this node, in the order in which it was published.

The database is the truth and a bus only a hint: a node that missed news reads the ledger. One node needs no engine (`memory://`); an
engine that reaches other nodes comes behind this same door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cti.events import Recorded

Subscriber = Callable[[Recorded], None]


class UnknownBus(ValueError):
    """A bus address that no engine of ours serves."""


class MemoryBus:
    """In this process. A subscriber must be quick and must not raise: it hands on to a bounded queue of its own."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Returns the function that ends the subscription."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def publish(self, news: Iterable[Recorded]) -> None:
        for recorded in news:
            for subscriber in list(self._subscribers):
                subscriber(recorded)


def open_bus(url: str) -> MemoryBus:
    """The bus at this address. Only `memory://` so far."""
    if url != "memory://":
        raise UnknownBus(f"SANTRAL_BUS_URL: expected memory://, got {url.split('://')[0]}://…")
    return MemoryBus()
