"""The dead-man's switch is held back only by a node that surely drives the call, and that the switch hears."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest_asyncio

from cti.asterisk import ari, dead_man
from cti.asterisk.ami import Ami
from cti.asterisk.ami_facts import first
from cti.asterisk.dead_man import DeadMan
from cti.asterisk.wire import path
from cti.line import LineFailed
from tests.fakes.ari_node import Node, called
from tests.fakes.asterisk_ami import FakeAmi
from tests.fakes.asterisk_ari import FakeAri


@pytest_asyncio.fixture
async def manager() -> AsyncIterator[FakeAmi]:
    async with FakeAmi() as made:
        yield made


@pytest_asyncio.fixture
async def ami(manager: FakeAmi) -> AsyncIterator[Ami]:
    door = Ami("127.0.0.1", manager.port, "santral", "secret", on_fact=lambda fact: None, on_resync=lambda alive: None)
    running = asyncio.create_task(door.run())
    async with asyncio.timeout(5):
        await door.connected.wait()
    yield door
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def renewed(manager: FakeAmi) -> list[tuple[str, str, str]]:
    told = [each for each in manager.actions if first(each, "Action") == "Setvar"]
    return [(first(each, "Channel"), first(each, "Variable"), first(each, "Value")) for each in told]


async def until_driven(node: Node, channels: list[str]) -> None:
    async with asyncio.timeout(5):
        while node.ari.driven != channels:
            with contextlib.suppress(LineFailed):
                await node.ari.request("GET", path("channels", "1.0"))  # a round trip, so that others get their turn


async def deafen(switch: FakeAri, node: Node) -> None:
    """From now on the switch answers nothing that a node asks by itself; returns when the node has found that out."""
    switch.silent.add("asterisk/ping")
    await until_driven(node, [])


async def test_a_call_that_we_drive_gets_its_whole_time_again(manager, ami, monkeypatch):
    monkeypatch.setattr(dead_man, "RENEW_S", 0.005)
    async with called() as (_, node, _line):
        running = asyncio.create_task(DeadMan(ami, lambda: node.ari.driven, 2.8).run())
        await manager.asked("Setvar", times=3)
        running.cancel()
        assert set(renewed(manager)) == {("1.0", "TIMEOUT(absolute)", "2.8")}


async def test_a_switch_that_does_not_answer_our_pings_is_not_told_that_we_live(manager, ami, monkeypatch):
    monkeypatch.setattr(ari, "PULSE_S", 0.005)
    monkeypatch.setattr(ari, "DEAF_S", 0.05)
    async with called() as (switch, node, _):
        switch_of_calls = DeadMan(ami, lambda: node.ari.driven, 2.8)
        await deafen(switch, node)
        assert node.ari.connected.is_set()  # the socket itself looks well
        await switch_of_calls.renew(node.ari.driven)
        assert renewed(manager) == []
        switch.silent.clear()
        await switch.drop()
        await until_driven(node, ["1.0"])
        await switch_of_calls.renew(node.ari.driven)
        assert len(renewed(manager)) == 1


async def test_a_slow_answer_alone_does_not_give_a_call_up(monkeypatch):
    monkeypatch.setattr(ari, "PULSE_S", 0.005)
    async with called() as (switch, node, _):
        switch.silent.add("asterisk/ping")
        await switch.asked("asterisk/ping")
        assert node.ari.driven == ["1.0"]


async def test_a_plan_without_the_switch_is_told_nothing(manager, ami):
    without = DeadMan(ami, lambda: ["1.0"], 0)
    await without.run()
    await without.renew(["1.0"])
    without.let_go("1.0")
    await ami.settled()
    assert renewed(manager) == []
