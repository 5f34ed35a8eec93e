"""The door for other programs' messages (REST), and for the list of channels."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AfterValidator, AwareDatetime, Field

from cti.auth import User, require
from cti.channels import intake
from cti.channels.intake import Message, Received
from cti.records import timeline
from cti.records.timeline import ChannelRow, ChannelTaken, Entry
from cti.web import Asked, Problem, TheHouse, log_read, refusals

router = APIRouter(prefix="/api/v1", tags=["channels"])

EARLIEST_YEAR, LATEST_YEAR = 1990, 2100  # beyond, somebody's clock or field is wrong

Anybody = Annotated[User, Depends(require())]
Admin = Annotated[User, Depends(require("admin"))]


def _plausible(at: dt.datetime) -> dt.datetime:
    """A time that a message can have."""
    if not EARLIEST_YEAR <= at.year <= LATEST_YEAR:
        raise ValueError(f"expected a time between {EARLIEST_YEAR} and {LATEST_YEAR}")
    return at


class ContactAsked(Asked):
    kind: str = Field(pattern=r"^[a-z][a-z_]{0,15}$")
    value: str = Field(min_length=1, max_length=200)


class InteractionAsked(Asked):
    """`external_id` is the sender's own: sent again, the message is taken once. Without `at` it happened now."""

    channel: str = Field(min_length=1, max_length=32)
    direction: Literal["in", "out"] = "in"
    contact_point: ContactAsked | None = None
    at: Annotated[AwareDatetime, AfterValidator(_plausible)] | None = None
    text: str = Field("", max_length=intake.TEXT_MAX)
    subject: str = Field("", max_length=intake.SUBJECT_MAX)
    external_id: str = Field("", max_length=200)
    party: str | None = Field(None, max_length=36)

    def message(self, author: str, now: dt.datetime) -> Message:
        point = self.contact_point
        return Message(
            channel=self.channel, direction=self.direction, at=self.at or now, text=self.text, subject=self.subject,
            contact_point=intake.Contact(kind=point.kind, value=point.value) if point else None,
            external_id=self.external_id, party=self.party, author=author if self.direction == "out" else "",
        )  # fmt: skip


class ChannelAsked(Asked):
    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    name_tr: str = Field(min_length=1, max_length=64)
    name_en: str = Field(min_length=1, max_length=64)
    contact_kind: str = Field(pattern=r"^[a-z][a-z_]{0,15}$")
    icon: str = Field("dot", pattern=r"^[a-z][a-z-]{0,31}$")


@router.post("/interactions", status_code=201, responses={200: {"description": "It had come before."}})
async def post_interaction(asked: InteractionAsked, user: Anybody, house: TheHouse, response: Response) -> Received:
    now = house.clock()
    with refusals():
        message = asked.message(user.name, now)
        received = await house.db.work(
            intake.receive, message, now,
            region=house.settings.default_region, unseen_days=house.settings.link_unseen_days,
            name=house.settings.public_name,
        )  # fmt: skip
    response.status_code = 201 if received.new else 200
    return received


@router.get("/interactions")
async def get_interactions(
    user: Anybody,
    house: TheHouse,
    party: Annotated[str | None, Query(max_length=36)] = None,
    channel: Annotated[str | None, Query(max_length=32)] = None,
    limit: Annotated[int, Query(ge=1, le=timeline.ENTRIES_MAX)] = 50,
) -> list[Entry]:
    """Newest first. With `party` its whole timeline, calls included; without, the newest of everybody."""
    await log_read(house, user=user.name, what="interactions", subject=party or "")
    return await house.db.read(timeline.interactions, party=party, channel=channel, limit=limit)


@router.get("/channels")
async def get_channels(user: Anybody, house: TheHouse) -> list[ChannelRow]:
    return await house.db.read(timeline.channels)


@router.post("/channels", status_code=201)
async def post_channel(asked: ChannelAsked, admin: Admin, house: TheHouse) -> ChannelRow:
    channel = ChannelRow(**asked.model_dump())
    try:
        await house.db.work(timeline.add_channel, channel)
    except ChannelTaken as error:
        raise Problem("conflict", str(error)) from error
    return channel
