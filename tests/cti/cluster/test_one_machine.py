"""The whole cluster as real processes: parts of it are killed, paused and stopped, and whoever asks the balancer is answered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from cti.asterisk import pbx
from cti.asterisk.plan import PbxError
from cti.cluster import Cluster, running
from cti.cluster.engines import Engine, children
from tests.live.site import LIMIT_S, PASSWORD, quiet, settings_in

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

ANSWER_MAX_S = 2.0  # for whoever asks while a node dies
HUNG_MAX_S = 4.0  # until a node that hangs is passed by


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with running(settings_in(tmp_path_factory.mktemp("cluster")), say=quiet) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def pages(cluster: Cluster) -> AsyncIterator[httpx2.AsyncClient]:
    """Whoever comes through the balancer; no longer patient than a person would be."""
    headers = {"origin": cluster.url, "connection": "close"}
    async with httpx2.AsyncClient(base_url=cluster.url, headers=headers, timeout=ANSWER_MAX_S) as client:
        yield client


async def ready(client: httpx2.AsyncClient) -> bool:
    """Does the node that the balancer chose say that calls may come? AssertionError when nobody answered."""
    answer = await client.get("/readyz")
    assert "checks" in answer.json(), answer.text
    return answer.status_code == 200


async def until(client: httpx2.AsyncClient, wanted: Callable[[list[bool]], bool]) -> None:
    """Ask again and again until the last ten answers are as wanted."""
    answers: list[bool] = []
    async with asyncio.timeout(LIMIT_S):
        while len(answers) < 10 or not wanted(answers[-10:]):
            answers.append(await ready(client))


async def start_while_asking(engine: Engine, client: httpx2.AsyncClient) -> int:
    """Start it, asking all the while; returns how many were answered. Every one must say ready."""
    starting, answered = asyncio.create_task(engine.start()), 0
    while not starting.done():
        assert await ready(client)
        answered += 1
    await starting
    return answered


async def test_the_demo_company_is_there_whichever_node_answers(cluster: Cluster, pages: httpx2.AsyncClient):
    assert [engine.name for engine in cluster.engines if not engine.alive] == []
    assert cluster.demo_password == PASSWORD
    answer = await pages.post("/api/v1/session", json={"user": "agent1001", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    for node in cluster.nodes:
        own = await pages.get(f"{node.url}/readyz")
        assert own.status_code == 200, own.text


async def test_nobody_is_left_without_an_answer_while_a_node_is_killed_and_comes_back(
    cluster: Cluster, pages: httpx2.AsyncClient
):
    for node in cluster.nodes:
        for _ in range(20):
            assert await ready(pages)
        node.kill()
        assert not node.alive
        assert await start_while_asking(node, pages) > 5
        await until(pages, all)


async def test_a_node_that_hangs_is_passed_by(cluster: Cluster, pages: httpx2.AsyncClient):
    cluster.nodes[0].pause()
    began, in_time = time.monotonic(), 0
    while time.monotonic() - began < HUNG_MAX_S:
        with contextlib.suppress(httpx2.TransportError, ValueError, AssertionError):  # he was with the node that hangs
            in_time += await ready(pages)
    for _ in range(20):
        assert await ready(pages)
    cluster.nodes[0].resume()
    assert in_time > 0
    await until(pages, all)


async def test_without_the_database_the_nodes_still_answer_and_are_ready_again_with_it(
    cluster: Cluster, pages: httpx2.AsyncClient
):
    await cluster.postgres.stop()
    assert not cluster.postgres.alive
    await until(pages, lambda answers: not any(answers))
    await cluster.postgres.start()
    await until(pages, all)
    answer = await pages.post("/api/v1/session", json={"user": "supervisor", "password": PASSWORD})
    assert answer.status_code == 200, "what was written is still there"


async def test_database_and_bus_come_back_after_a_kill(cluster: Cluster, pages: httpx2.AsyncClient):
    for engine in (cluster.postgres, cluster.valkey):
        engine.kill()
        assert not engine.alive
        await engine.start()
    await until(pages, all)


async def test_asterisk_comes_back_by_itself(cluster: Cluster, pages: httpx2.AsyncClient):
    assert cluster.switch is not None
    before = cluster.switch.pid
    cluster.switch.kill()
    await until(pages, lambda answers: not any(answers))
    await until(pages, all)
    assert cluster.switch.pid != before
    assert "0 active calls" in await asyncio.to_thread(pbx.ask, cluster.switch.plan, "core show channels")


async def test_when_one_part_does_not_start_nothing_stays(cluster: Cluster, tmp_path: Path):
    """Somebody else has Asterisk's port; PostgreSQL and Valkey run by then."""
    shutil.copytree(cluster.settings.prompts, tmp_path / "prompts")
    settings = settings_in(tmp_path, demo=False)
    before, said = children(os.getpid()), list[str]()
    with socket.create_server(("127.0.0.1", settings.ari_port)), pytest.raises(PbxError, match=str(settings.ari_port)):
        async with running(settings, say=said.append):
            pytest.fail("expected no cluster")
    assert said[-1] == "starting Asterisk"
    assert children(os.getpid()) == before


async def test_a_taken_port_of_the_balancer_is_said_before_anything_starts(cluster: Cluster, tmp_path: Path):
    settings = settings_in(tmp_path, http_port=cluster.settings.http_port)
    said: list[str] = []
    with pytest.raises(OSError, match=f"expected 127.0.0.1:{settings.http_port} to be free"):
        async with running(settings, say=said.append):
            pytest.fail("expected no cluster")
    assert said == []
