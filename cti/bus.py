"""News to whoever subscribed on this node, in the order in which it was published.

The database is the truth and a bus only a hint: a node that missed news reads the ledger. One node needs no engine (`memory://`); an
engine that reaches other nodes comes behind this same door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from cti.events import Recorded

log = structlog.get_logger(__name__)

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
                _tell(subscriber, recorded)


def _tell(subscriber: Subscriber, recorded: Recorded) -> None:
    try:
        subscriber(recorded)
    except Exception as error:  # noqa: BLE001  what is told is durable: its writer and the other subscribers go on
        log.error("bus.subscriber_failed", seq=recorded.seq, type=recorded.event.type, error=repr(error))


def open_bus(url: str) -> MemoryBus:
    """The bus at this address. Only `memory://` so far."""
    if url != "memory://":
        raise UnknownBus(f"SANTRAL_BUS_URL: expected memory://, got {url.split('://')[0]}://…")
    return MemoryBus()
