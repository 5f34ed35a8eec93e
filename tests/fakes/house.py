"""A house with a real database and a clock that stands still until a test moves it; and a browser at its door."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2
from fastapi import APIRouter, FastAPI

from cti import web
from cti.bus import MemoryBus
from cti.config import Settings
from cti.db import Database

SITE = "http://desk.test"


@dataclass
class FakeHouse:
    db: Database
    now: dt.datetime
    settings: Settings = field(default_factory=Settings)
    bus: MemoryBus = field(default_factory=MemoryBus)

    @property
    def clock(self) -> Callable[[], dt.datetime]:
        return lambda: self.now

    def later(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)


def application(house: FakeHouse, *routers: APIRouter) -> FastAPI:
    app = FastAPI()
    app.state.house = house
    web.install(app, house.settings)
    for router in routers:
        app.include_router(router)
    return app


def browser(app: FastAPI, *, site: str = SITE, **headers: str) -> httpx2.AsyncClient:
    """Sends its origin with every request, as browsers do with forms, and prefers English."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(
        transport=transport, base_url=site, headers={"origin": site, "accept-language": "en", **headers}
    )
