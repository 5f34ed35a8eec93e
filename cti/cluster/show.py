"""`santral cluster`: the cluster in the foreground with the demo company's phones, for somebody who wants to see a node die."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from cti import run
from cti.cluster.engines import Engine, NotStarted
from cti.cluster.one_machine import Cluster, running
from cti.cluster.programs import Say
from cti.config import Settings
from cti.demo import stage

DEAD_FOR_S = 5.0  # long enough to see that the others do without it


async def show(settings: Settings, say: Say, *, nodes: int) -> int:
    """Everything on this machine until Ctrl-C; leaves no process behind. Raises what `running` raises."""
    async with contextlib.AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(running(settings, nodes=nodes, say=say))
        if cluster.switch is not None:
            await stack.enter_async_context(stage.phones_ringing(settings, cluster.switch.plan))
        await stack.enter_async_context(stage.calls_by_themselves(settings))
        await stack.enter_async_context(kept_alive(cluster.engines, say))
        asked = run.asked_to_stop()
        run.tell_ready(cluster.settings, cluster.demo_password)
        _tell_parts(cluster, say)
        return await run.stopped(asked)


@contextlib.asynccontextmanager
async def kept_alive(engines: Sequence[Engine], say: Say) -> AsyncIterator[None]:
    """Inside the block an engine that died is started again a little later, as a supervisor would do it."""

    async def watch(engine: Engine) -> None:
        while True:
            await asyncio.sleep(DEAD_FOR_S)
            if not engine.alive:
                say(f"{engine.name} died: starting it again")
                with contextlib.suppress(NotStarted):  # its log says why; tried again at the next look
                    await engine.start()

    watching = [asyncio.create_task(watch(engine), name=f"watch {engine.name}") for engine in engines]
    try:
        yield
    finally:
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)


def _tell_parts(cluster: Cluster, say: Say) -> None:
    say(f"logs: {cluster.valkey.log.parent}/. Each of these may be killed (kill -9) or paused (kill -STOP, -CONT):")
    for node in cluster.nodes:
        say(f"{node.pid:>8} {node.name} {node.url}/")
    for part in (cluster.balancer, cluster.postgres, cluster.valkey, cluster.switch):
        if part is not None:
            say(f"{part.pid:>8} {part.name}")
