"""Is this node alive, is it ready for calls, and its figures: for probes, load balancers and the person on duty."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from fastapi import APIRouter, Request, Response
from sqlalchemy import text
from starlette.responses import JSONResponse

from cti import migrations
from cti.config import Settings
from cti.db import Database
from cti.metrics import Metrics

router = APIRouter(tags=["health"])

CHECK_DEADLINE_S = 0.7  # the balancer gives the whole answer a second
DISK_FREE_MIN = 0.05


class Node(Protocol):
    """What the probes ask of the wiring."""

    @property
    def db(self) -> Database: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def metrics(self) -> Metrics: ...

    draining: bool

    def doors(self) -> dict[str, bool]:
        """Each door to the switch: is it open?"""


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(request: Request) -> JSONResponse:
    """Calls may come: 200, or 503 with the check that says no. Each check with its milliseconds. A full disk is shown and keeps no
    call away: only recordings suffer."""
    node = cast(Node, request.app.state.house)
    doors = {name: _door(is_open) for name, is_open in node.doors().items()}
    checks = {"database": _database(node), "disk": _disk(node), **doors}
    answers = await asyncio.gather(*map(_timed, checks.values()))
    done = dict(zip(checks, answers, strict=True))
    ready = not node.draining and all(each["ok"] for name, each in done.items() if name != "disk")
    # 404 is a balancer's word for "no new ones, keep the old": with 503 it would cut all pages at once (HAProxy, disable-on-404).
    status = 404 if node.draining else 200 if ready else 503
    return JSONResponse({"ready": ready, "draining": node.draining, "checks": done}, status)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    node = cast(Node, request.app.state.house)
    return Response(node.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


Check = Callable[[], Awaitable[bool]]


def _door(is_open: bool) -> Check:
    async def check() -> bool:
        return is_open

    return check


def _database(node: Node) -> Check:
    async def check() -> bool:
        await node.db.read(lambda session: session.execute(text("SELECT 1")).scalar())
        return await node.db.read(lambda session: migrations.is_current(session.connection()))

    return check


def _disk(node: Node) -> Check:
    async def check() -> bool:
        node.settings.recordings.mkdir(parents=True, exist_ok=True)
        usage = shutil.disk_usage(node.settings.recordings)
        return usage.free / usage.total > DISK_FREE_MIN

    return check


async def _timed(check: Check) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_DEADLINE_S):
            ok, why = await check(), ""
    except Exception as error:  # noqa: BLE001  a probe answers, whatever is broken
        ok, why = False, repr(error)[:200]
    return {"ok": ok, "ms": round((time.perf_counter() - began) * 1000, 1)} | ({"why": why} if why else {})
