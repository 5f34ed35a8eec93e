"""The web of a node: its pages, its API and the pages' socket, each from the file that is named after it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

import screenpop.callbacks
import screenpop.customers
import screenpop.history
import screenpop.identity
import screenpop.pages
import screenpop.routes
from cti import auth, imports_routes, links_routes, merges_routes, routes, web
from cti.app import House
from cti.channels import routes as channel_routes
from cti.health import router as health_routes
from recordings import routes as recording_routes

ROUTERS = (
    health_routes, auth.router, routes.router, links_routes.router, merges_routes.router, imports_routes.router,
    channel_routes.router, recording_routes.router, screenpop.routes.router, screenpop.pages.router,
    screenpop.history.router, screenpop.callbacks.router, screenpop.customers.router, screenpop.identity.router,
)  # fmt: skip


def web_app(house: House) -> FastAPI:
    """The pages, the API and the socket of a node."""

    @contextlib.asynccontextmanager
    async def lifespan(served: FastAPI) -> AsyncIterator[None]:
        await house.open()
        async with imports_routes.runs_of(served):
            yield
        await house.close()

    app = FastAPI(title="Santral", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.house = house
    app.state.error_page = screenpop.pages.error_page(house.settings.time_zone)
    web.install(app, house.settings)
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static/screenpop", StaticFiles(packages=[("screenpop", "static")]), name="static-screenpop")
    return app
