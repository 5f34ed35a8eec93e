"""News goes to everybody who subscribed, in order, and one subscriber's trouble is not the others'."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cti.bus import MemoryBus, UnknownBus, open_bus
from cti.events import FlowFailed, Recorded


async def since(seq: int, most: int) -> list[Recorded]:
    return []


async def newest() -> int:
    return 0


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
    bus.subscribe(two.append, local_only=True)
    bus.publish(news)
    assert one == two == news
    assert bus.told == 2


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


def test_alone_in_its_process_a_bus_is_always_connected():
    assert open_bus("memory://").connected.is_set()


def test_a_bus_that_nobody_serves_is_named_without_its_password():
    with pytest.raises(UnknownBus, match=r"expected memory://, .*, got nats://…$"):
        open_bus("nats://:secret@host")


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey"])
def test_an_engine_is_opened_without_connecting_to_it(scheme):
    bus = open_bus(f"{scheme}://user:p%40ss@bus.example:6380/2", since=since, newest=newest)
    assert not bus.connected.is_set()


@pytest.mark.parametrize(
    "rest",
    [
        "",
        ":secret@",
        "host:port",
        "host:99999",
        "host:0",
        "host/db",
        "host/1/2",
        "host?socket_timeout=0",
        "host#1",
        "[::secret",
    ],
)
def test_an_address_of_another_form_is_refused_without_showing_it(rest):
    with pytest.raises(UnknownBus, match="expected redis://host:port/db") as refusal:
        open_bus(f"redis://{rest}", since=since, newest=newest)
    assert "secret" not in str(refusal.value)


def test_several_nodes_need_the_ledger():
    with pytest.raises(UnknownBus, match="expected `since` and `newest`"):
        open_bus("redis://host")


def test_a_single_node_does_not_load_the_engines_client():
    check = "import sys, cti.bus; cti.bus.open_bus('memory://'); sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=30, check=False).returncode == 0
