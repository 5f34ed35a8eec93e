"""The cluster's parts started in their order, and all ended again: PostgreSQL, bus, company, Asterisk, nodes, balancer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cti import run
from cti.asterisk import pbx
from cti.cluster import haproxy, ports, postgresql, valkey
from cti.cluster.engines import Engine
from cti.cluster.nodes import Node, planned
from cti.cluster.postgresql import Postgresql
from cti.cluster.programs import Say
from cti.cluster.switch import Switch
from cti.config import Settings
from cti.demo import stage

DATABASE = "santral"


@dataclass(frozen=True)
class Cluster:
    """What runs. `settings` are what all nodes have in common; pages are at `url`. `demo_password`: None without the demo company."""

    settings: Settings
    nodes: list[Node]
    postgres: Postgresql
    valkey: Engine
    balancer: Engine | None
    switch: Switch | None
    demo_password: str | None

    @property
    def url(self) -> str:
        """Of the balancer; without one, of the first node."""
        return f"http://{self.settings.http_host}:{self.settings.http_port}"

    @property
    def database_url(self) -> str:
        return self.settings.database_url

    @property
    def bus_url(self) -> str:
        return self.settings.bus_url

    @property
    def engines(self) -> list[Engine]:
        """All but Asterisk, which keeps itself alive."""
        return [self.postgres, self.valkey, *self.nodes, *([self.balancer] if self.balancer else [])]


@contextlib.asynccontextmanager
async def running(
    settings: Settings,
    *,
    nodes: int = 2,
    say: Say,
    passwords: tuple[str, str] | None = None,
    balancer: bool = True,
    switch: bool = True,
) -> AsyncIterator[Cluster]:
    """The cluster, ready for calls inside the block; afterwards, or when one part does not start, no process of it is left.

    Its database is new and goes with it; the rest of what it writes is in `settings.data_dir`, the logs in `cluster/` there. The demo
    company is loaded when `settings.demo`. `switch=False`: an Asterisk that others run, with these `passwords` of ARI and AMI.
    Raises NotStarted, debs.DebsError, PbxError or OSError.
    """
    if balancer:
        ports.refuse_taken(*_doors(settings))
    folder = settings.data_dir.resolve() / "cluster"
    bus_port, *node_ports = ports.free(1 + 2 * nodes)
    async with contextlib.AsyncExitStack() as stack:
        store = await _store(settings, folder, say, stack)
        bus = await _started(await _bus(bus_port, settings, folder, say), say, stack)
        common = settings.model_copy(update={"database_url": store.url(DATABASE), "bus_url": valkey.url(bus_port)})
        password = await _company(common, say)
        exchange = await _exchange(common, say, stack) if switch else None
        pairs = list(zip(node_ports[::2], node_ports[1::2], strict=True))
        if not balancer:
            pairs[0] = settings.http_port, settings.agi_port
        given = passwords or (_made(exchange) if exchange else run.passwords(common))
        each = planned(common, pairs, passwords=given)
        running_nodes = [Node(one, _fresh(folder / f"node{one.node}.log")) for one in each]
        await _started_together(running_nodes, say, stack)
        front = await _started(await _front(common, running_nodes, folder, say), say, stack) if balancer else None
        yield Cluster(common, running_nodes, store, bus, front, exchange, password)


# --- each part, started ---


async def _store(settings: Settings, folder: Path, say: Say, stack: contextlib.AsyncExitStack) -> Postgresql:
    """PostgreSQL with an empty database. Making its data takes seconds and its programs may have to be fetched: in a thread."""
    say("starting PostgreSQL")
    prepared = postgresql.prepared(settings.tools, say=say, log=_fresh(folder / "postgresql.log"))
    store = await asyncio.to_thread(prepared.__enter__)
    stack.push_async_callback(asyncio.to_thread, prepared.__exit__, None, None, None)
    await store.start()
    await asyncio.to_thread(store.execute, f"CREATE DATABASE {DATABASE}")
    return store


async def _bus(port: int, settings: Settings, folder: Path, say: Say) -> Engine:
    return await asyncio.to_thread(
        valkey.engine, port, tools=settings.tools, log=_fresh(folder / "valkey.log"), say=say
    )


async def _company(settings: Settings, say: Say) -> str | None:
    """Tables, what every house needs, prompts, and the demo company: once, so that no node has to. Returns its password."""
    await asyncio.to_thread(run.tools, settings, say)
    await run.build_prompts(settings, say)
    await run.migrate(settings)
    return await stage.load(settings, say) if settings.demo else None


async def _exchange(settings: Settings, say: Say, stack: contextlib.AsyncExitStack) -> Switch:
    say("starting Asterisk")
    switch = Switch(await run.plan(settings), say)
    stack.push_async_callback(switch.stop)
    await switch.start()
    return switch


def _made(switch: Switch) -> tuple[str, str]:
    """The passwords of ARI and AMI that this Asterisk was given."""
    known = pbx.keep_secrets(switch.plan)
    return known.ari, known.ami


def _doors(settings: Settings) -> tuple[tuple[str, int], tuple[str, int]]:
    """Where the balancer listens: for pages, for dialplans."""
    return (settings.http_host, settings.http_port), (settings.agi_host, settings.agi_port)


async def _front(settings: Settings, nodes: list[Node], folder: Path, say: Say) -> Engine:
    at, agi = _doors(settings)
    text = haproxy.config([node.back for node in nodes], pages=f"{at[0]}:{at[1]}", agi=f"{agi[0]}:{agi[1]}")
    _fresh(folder / "haproxy.log")
    return await asyncio.to_thread(haproxy.engine, text, at=at, tools=settings.tools, folder=folder, say=say)


async def _started(engine: Engine, say: Say, stack: contextlib.AsyncExitStack) -> Engine:
    say(f"starting {engine.name}")
    stack.push_async_callback(engine.stop)
    await engine.start()
    return engine


async def _started_together(engines: Sequence[Engine], say: Say, stack: contextlib.AsyncExitStack) -> None:
    """As after a power cut: all at once. They end together too."""
    say(f"starting {' and '.join(engine.name for engine in engines)}")

    async def stop_all() -> None:
        await asyncio.gather(*(engine.stop() for engine in engines))

    stack.push_async_callback(stop_all)
    await asyncio.gather(*(engine.start() for engine in engines))


def _fresh(log: Path) -> Path:
    """A log that begins with this cluster."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    return log
