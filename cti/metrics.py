"""Figures for the person on duty, counted from the ledger's news: nothing else in the house knows that they exist.

Base units, and never a number or a name of a caller in a label. docs/operations.md says what each figure means and when to worry.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from cti.events import (
    CallAnswered,
    CallArrived,
    CallDelivered,
    CallDiverted,
    CallEnded,
    CallIdentified,
    FlowFailed,
    InteractionReceived,
    OfferPainted,
    Recorded,
    TicketOpened,
)

WAIT_BUCKETS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
POP_BUCKETS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2)


class Metrics:
    """Counters of one node. `hear` is a bus subscriber; `text` is what /metrics answers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        r = self._registry
        self.arrived = Counter("santral_calls_arrived", "Calls that reached us.", ["claimed"], registry=r)
        self.ended = Counter("santral_calls", "Calls that ended, by how.", ["result"], registry=r)
        self._active: set[str] = set()
        self.gauge(
            "santral_calls_active", "Calls that arrived since this process began and go on.", lambda: len(self._active)
        )
        self.identified = Counter("santral_identify", "What numbers said.", ["outcome"], registry=r)
        self.offers = Counter("santral_offers", "Offers to agents, by how they went on.", ["result"], registry=r)
        self.waited = Histogram(
            "santral_queue_wait_seconds", "Until an agent answered.", buckets=WAIT_BUCKETS_S, registry=r
        )
        self.painted = Histogram(
            "santral_screen_pop_seconds",
            "From the switch's event to the painted page.",
            buckets=POP_BUCKETS_S,
            registry=r,
        )
        self.tickets = Counter("santral_tickets_opened", "Tickets opened.", ["channel"], registry=r)
        self.interactions = Counter("santral_interactions", "Interactions received.", ["channel"], registry=r)
        self.failed = Counter("santral_flow_failed", "Calls in which something of ours broke.", registry=r)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A figure that is read when somebody asks."""
        Gauge(name, text, registry=self._registry).set_function(read)

    def hear(self, recorded: Recorded) -> None:
        match recorded.event:
            case CallArrived(conversation=conversation, claimed=claimed):
                self.arrived.labels("yes" if claimed else "no").inc()
                self._active.add(conversation)
            case CallEnded(conversation=conversation, reason=reason):
                self.ended.labels(reason).inc()
                self._active.discard(conversation)
            case CallIdentified(outcome=outcome, method="caller_id"):
                self.identified.labels(outcome).inc()
            case CallDelivered():
                self.offers.labels("offered").inc()
            case CallDiverted(reason=reason):
                self.offers.labels(reason).inc()
            case CallAnswered(waited_s=waited_s):
                self.offers.labels("answered").inc()
                self.waited.observe(waited_s)
            case OfferPainted(acked_ms=acked_ms):
                self.painted.observe(acked_ms / 1000)
            case TicketOpened(channel=channel):
                self.tickets.labels(channel).inc()
            case InteractionReceived(channel=channel):
                self.interactions.labels(channel).inc()
            case FlowFailed():
                self.failed.inc()
            case _:
                pass

    def text(self) -> bytes:
        return generate_latest(self._registry)
