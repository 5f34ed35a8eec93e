"""The socket of agents' pages. Pages are in pages.py, what a connection says in stream.py."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

from fastapi import APIRouter
from starlette.websockets import WebSocket

from cti.auth import User, cookie_of, session_of, user_of_cookie
from cti.config import Settings
from cti.db import Database
from cti.line import Controls
from cti.switchboard import Switchboard
from screenpop.commands import By
from screenpop.hub import Hub
from screenpop.protocol import SUBPROTOCOL
from screenpop.proving import Spoken
from screenpop.seat import Owner
from screenpop.sign_ins import SignIns
from screenpop.stream import Desk, Place, serve

router = APIRouter()


class House(Protocol):
    """What the socket needs of the wiring."""

    @property
    def db(self) -> Database: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def clock(self) -> Callable[[], dt.datetime]: ...
    @property
    def hub(self) -> Hub: ...
    @property
    def sign_ins(self) -> SignIns: ...
    @property
    def switchboard(self) -> Switchboard: ...
    @property
    def controls(self) -> Controls: ...


def owner(user: User) -> Owner:
    return Owner(user.name, user.display_name, user.agent, user.language)


@router.websocket("/api/v1/stream")
async def stream(websocket: WebSocket) -> None:
    """An agent's page. The foreign-origin check stands before this (cti.web.Guard)."""
    house = cast(House, websocket.app.state.house)
    cookie = cookie_of(websocket)
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    desk = Desk(
        house.db, house.hub, house.controls, house.clock, _sign_in(house, cookie), session_of(cookie), house.sign_ins
    )
    await serve(websocket, desk)


def _sign_in(house: House, cookie: str) -> Callable[[], Awaitable[Place | None]]:
    async def place() -> Place | None:
        user = await user_of_cookie(house.db, cookie, house.clock(), is_life=False)  # written down with all others
        return Place(house.hub.seat(owner(user)), _by(house, user)) if user else None

    return place


def _by(house: House, user: User) -> Callable[[], By]:
    spoken = Spoken(house.settings.default_region, house.settings.areas, house.settings.link_unseen_days)

    def by() -> By:
        member = house.switchboard.members.get(user.agent)
        if member is None:
            return By(user.name, user.agent, "", spoken=spoken)
        return By(user.name, user.agent, member.device, member.reason if member.paused else "", spoken)

    return by
