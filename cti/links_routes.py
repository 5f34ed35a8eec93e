"""Whose a number is, by REST: links and their life, proposals of links, and what the network says of lines."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import AwareDatetime, Field
from sqlalchemy.orm import Session

from cti.auth import User, require
from cti.identity import LinkFact
from cti.records import contact_points, lines, link_notices, links, number_life, proposals
from cti.records.number_life import NumberLife
from cti.records.proposals import Counts, Proposal
from cti.web import Asked, House, Problem, TheHouse, log_read, refusals

router = APIRouter(prefix="/api/v1", tags=["links"])

COUNTED_DAYS = 30  # without `since`

Anybody = Annotated[User, Depends(require())]
Caller = Annotated[User, Depends(require("agent", "supervisor", "admin"))]
Answerable = Annotated[User, Depends(require("supervisor", "admin", machines=True))]  # not an agent at a page
Id = Annotated[str, Path(max_length=36)]
Limit = Annotated[int, Query(ge=1, le=proposals.OPEN_MAX)]
Kind = Annotated[str, Query(pattern=r"^[a-z][a-z_]{0,15}$")]


# --- links ---


class LinkAsked(Asked):
    """Whose a contact point is: exactly one of party, household and subscription."""

    kind: str = Field("phone", pattern=r"^[a-z][a-z_]{0,15}$")
    value: str = Field(min_length=1, max_length=200)
    party: str | None = Field(None, max_length=36)
    household: str | None = Field(None, max_length=36)
    subscription: str | None = Field(None, max_length=36)
    role: Literal["owner", "user", "line_number", "work", "neighbour", "former"]
    exclusivity: Literal["sole", "shared", "unknown"] = "unknown"
    state: Literal["proposed", "unverified", "verified", "disputed"] = "unverified"
    method: str = Field("", max_length=32)
    again: bool = False  # a person insists, though it was disowned before; of a program it counts for nothing


class VerifyAsked(Asked):
    """How somebody proved that the link holds."""

    method: Literal["agent", "document", "api"]


class DisputeAsked(Asked):
    reason: str = Field("not_theirs", min_length=1, max_length=100)


@dataclass(frozen=True)
class LinkMadeAnswer:
    id: str
    contact_point: str
    state: str


@dataclass(frozen=True)
class Changed:
    """False: it was so before, or the link has ended, and nothing was written."""

    changed: bool


@router.get("/links")
async def get_links(
    user: Anybody, house: TheHouse, value: Annotated[str, Query(max_length=200)], kind: Kind = "phone"
) -> list[LinkFact]:
    """What a contact point leads to now."""
    with refusals():
        form = contact_points.canonical(kind, value, house.settings.default_region)
    await log_read(house, user=user.name, what="party", subject=f"links: {form}")
    return await house.db.read(contact_points.links_of, form, kind, now=house.clock())


@router.post("/links", status_code=201)
async def post_link(asked: LinkAsked, user: Anybody, house: TheHouse) -> LinkMadeAnswer:
    """A contact point of any kind is made when it is new. Of a telephone that is a mere match somebody at home is asked by SMS."""
    if asked.state == "verified" and user.role == "agent" and not user.is_machine:
        raise Problem("forbidden", f"expected a token, a supervisor or an admin to verify, {user.name} is {user.role}")
    with refusals():
        return await house.db.work(_link, asked, user, house)


def _link(session: Session, asked: LinkAsked, user: User, house: House) -> LinkMadeAnswer:
    now = house.clock()
    point = contact_points.ensure(session, asked.kind, asked.value, region=house.settings.default_region, now=now)
    named = asked.model_dump(exclude={"kind", "value", "again"})
    source = "api" if user.is_machine else "agent"
    again = asked.again and not user.is_machine
    link = links.link(session, point, source=source, by=user.name, now=now, again=again, **named)
    link_notices.notify(session, link, now)
    return LinkMadeAnswer(link.id, point.id, link.state)


@router.post("/links/{link}/verify")
async def post_verify(link: Id, asked: VerifyAsked, user: Answerable, house: TheHouse) -> Changed:
    """It is proved to hold, also after a dispute. Earlier contacts from there that were nobody's are the party's."""
    with refusals():
        done = await house.db.work(links.verify, link, method=asked.method, by=user.name, now=house.clock())
    return Changed(done)


@router.post("/links/{link}/dispute")
async def post_dispute(link: Id, asked: DisputeAsked, user: Caller, house: TheHouse) -> Changed:
    """It matches nobody from now on, and the contacts that it made somebody's are nobody's again."""
    with refusals():
        done = await house.db.work(links.dispute, link, reason=asked.reason, by=user.name, now=house.clock())
    return Changed(done)


@router.delete("/links/{link}", status_code=204)
async def delete_link(
    link: Id, user: Anybody, house: TheHouse, reason: Annotated[str, Query(max_length=100)] = "not_theirs"
) -> None:
    """The link ends now; it stays in the records as one that was."""
    with refusals():
        await house.db.work(links.end_link, link, reason=reason, by=user.name, now=house.clock())


@router.get("/numbers/{value:path}/life")
async def get_life(
    user: Caller, house: TheHouse, value: Annotated[str, Path(max_length=200)], kind: Kind = "phone"
) -> NumberLife:
    """All that was ever known of a number or of another contact point, in any writing of the default region."""
    with refusals():
        form = contact_points.canonical(kind, value, house.settings.default_region)
    await log_read(house, user=user.name, what="number", subject=form)
    return await house.db.read(number_life.life, kind, form)


# --- proposals ---


class AcceptAsked(Asked):
    """`agent_proof`: the agent had him prove to be this customer, in that call; the link then counts for more than a match at once."""

    method: Literal["", "agent_proof"] = ""


@router.get("/link-proposals")
async def get_proposals(user: Caller, house: TheHouse, limit: Limit = 50) -> list[Proposal]:
    """The open ones, newest first."""
    await log_read(house, user=user.name, what="link_proposals", subject="open")
    return await house.db.read(proposals.open_ones, limit)


@router.get("/link-proposals/counts")
async def get_counts(user: Anybody, house: TheHouse, since: AwareDatetime | None = None) -> Counts:
    """Calls whose caller was known but not his number, and what became of the offers; of COUNTED_DAYS without `since`."""
    since = since or house.clock() - dt.timedelta(days=COUNTED_DAYS)
    return await house.db.read(proposals.counts, since)


@router.post("/link-proposals/{proposal}/accept")
async def post_accept(proposal: Id, asked: AcceptAsked, user: Caller, house: TheHouse) -> LinkMadeAnswer:
    """Accepted again, the answer is the same link. Somebody at home with a verified number is asked by SMS."""
    with refusals():
        return await house.db.work(_accept, proposal, asked.method, user.name, house.clock())


def _accept(session: Session, proposal: str, method: str, by: str, now: dt.datetime) -> LinkMadeAnswer:
    link = proposals.accept(session, proposal, by=by, now=now, method=method)
    return LinkMadeAnswer(link.id, link.contact_point_id, link.state)


@router.post("/link-proposals/{proposal}/refuse")
async def post_refuse(proposal: Id, user: Caller, house: TheHouse) -> Changed:
    """The same is not proposed again for a year."""
    with refusals():
        return Changed(await house.db.work(proposals.refuse, proposal, by=user.name, now=house.clock()))


# --- lines ---


class LineStateAsked(Asked):
    """Without `since` it is so from now on; without `source` the asker is it."""

    state: Literal["up", "down"]
    since: AwareDatetime | None = None
    source: str = Field("", max_length=lines.SOURCE_MAX)


@router.put("/lines/{subscription}/state")
async def put_line_state(subscription: Id, asked: LineStateAsked, user: Answerable, house: TheHouse) -> Changed:
    """Of a subscription, by id or by its number on the bill. What is known already, or older than that, changes nothing."""
    now = house.clock()
    with refusals():
        line = await house.db.read(lines.named, subscription)
        done = await house.db.work(
            lines.set_state, subscription=line, state=asked.state, since=asked.since or now,
            source=asked.source or user.name, now=now,
        )  # fmt: skip
    return Changed(done)
