"""Those who subscribed on this node, and how they are told."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from cti.events import Recorded

log = structlog.get_logger(__name__)

Subscriber = Callable[[Recorded], None]


class Audience:
    """Subscribers in the order in which they came."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []

    def add(self, subscriber: Subscriber) -> Callable[[], None]:
        """Returns the function that ends the subscription."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def tell(self, recorded: Recorded) -> None:
        for subscriber in list(self._subscribers):
            try:
                subscriber(recorded)
            except Exception as error:  # noqa: BLE001  what is told is durable: its writer and the other subscribers go on
                log.error("bus.subscriber_failed", seq=recorded.seq, type=recorded.event.type, error=repr(error))
