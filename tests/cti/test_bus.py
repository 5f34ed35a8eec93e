"""News goes to everybody who subscribed, in order, and one subscriber's trouble is not the others'."""

from __future__ import annotations

import pytest

from cti.bus import MemoryBus, UnknownBus, open_bus
from cti.events import FlowFailed, Recorded


@pytest.fixture
def news(now):
    return [
        Recorded(seq=seq, id=str(seq), at=now, event=FlowFailed(conversation="c", node="n", error="")) for seq in (1, 2)
    ]


def test_every_subscriber_hears_everything_in_order(news):
    bus = MemoryBus()
    one: list[Recorded] = []
    two: list[Recorded] = []
    bus.subscribe(one.append)
    bus.subscribe(two.append)
    bus.publish(news)
    assert one == two == news


def test_who_ended_his_subscription_hears_no_more(news):
    bus = MemoryBus()
    heard: list[Recorded] = []
    end = bus.subscribe(heard.append)
    end()
    bus.publish(news)
    assert heard == []


def test_a_subscriber_that_raises_does_not_keep_the_news_from_the_others(news):
    bus = MemoryBus()
    heard: list[Recorded] = []

    def broken(recorded):
        raise ZeroDivisionError

    bus.subscribe(broken)
    bus.subscribe(heard.append)
    bus.publish(news)
    assert heard == news


def test_a_bus_that_nobody_serves_is_named_without_its_password():
    with pytest.raises(UnknownBus, match=r"expected memory://, got redis://…$"):
        open_bus("redis://:secret@host")
