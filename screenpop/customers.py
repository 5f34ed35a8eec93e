"""A customer's page, and what can be done there: add a contact point of any kind, say that one is not his, and merge him with another.

Every decision is a form, so it works with the keyboard and without scripts. Two customers are merged by supervisors and admins only.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, Path, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cti.auth import User
from cti.records import cards, contact_points, link_notices, links, merges, parties, timeline
from cti.records.contact_points import Link
from cti.web import TheHouse, log_read
from screenpop.pages import SignedIn, pages_in, person, to_sign_in

ENTRIES_MAX = 200  # of the timeline
FOUND_MAX = 10
KINDS = ("phone", "email", "social", "chat", "postal")
ROLES = ("owner", "user", "work", "neighbour")
MAY_MERGE = frozenset({"supervisor", "admin"})

router = APIRouter(include_in_schema=False)
Id = Annotated[str, Path(max_length=36)]


@router.get("/customers/{party}")
async def customer(
    request: Request, user: SignedIn, house: TheHouse, party: Id,
    q: Annotated[str, Query(max_length=100)] = "", said: Annotated[str, Query(max_length=16)] = "",
) -> Response:  # fmt: skip
    """`q`: who else this may be. Whoever was merged into somebody is found there."""
    if user is None:
        return to_sign_in(request)
    await log_read(house, user=user.name, what="party", subject=party)
    sought = q.strip() if user.role in MAY_MERGE else ""
    try:
        found = await house.db.read(_found, party, sought, house.settings.default_region)
    except LookupError:
        return _not_found(user, house)
    if found["card"].id != party:
        return RedirectResponse(f"/customers/{quote(found['card'].id)}", 303)
    context = {"user": person(user), "said": said, "q": q, "kinds": KINDS, "roles": ROLES}
    pages = pages_in(house.settings.time_zone)
    return HTMLResponse(pages.render("customer.html", user.language, **context, **found))


def _found(session: Session, party: str, q: str, region: str) -> dict[str, Any]:
    """What of customer.html is read from the records; LookupError when there is no such party."""
    party = parties.current(session, party)
    others = cards.search(session, q, FOUND_MAX + 1, region=region) if q else []
    return {
        "card": cards.card(session, party),
        "entries": timeline.entries(session, parties=[party], limit=ENTRIES_MAX),
        "channels": {each.id: each for each in timeline.channels(session)},
        "others": [each for each in others if each.id != party and each.merged_into_id is None][:FOUND_MAX],
    }


# --- contact points ---


@router.post("/customers/{party}/contacts")
async def add_contact(
    user: SignedIn, house: TheHouse, party: Id,
    kind: Annotated[str, Form(max_length=16)], value: Annotated[str, Form(max_length=400)],
    role: Annotated[Literal["owner", "user", "work", "neighbour"], Form()] = "owner",
    again: Annotated[bool, Form()] = False,
) -> Response:  # fmt: skip
    """A value that cannot be one of its kind is said, and nothing is added; nor what was disowned, unless `again` insists on it."""
    if user is None:
        return _sign_in(party)
    region, now = house.settings.default_region, house.clock()
    try:
        await house.db.work(_add, party, kind, value, role, again, by=user.name, region=region, now=now)
    except LookupError:
        return _not_found(user, house)
    except links.Disowned:
        return _back(party, "disowned")
    except ValueError:
        return _back(party, "invalid")
    return _back(party, "done")


def _add(
    session: Session,
    party: str,
    kind: str,
    value: str,
    role: str,
    again: bool,
    *,
    by: str,
    region: str,
    now: dt.datetime,
) -> None:
    cards.card(session, party)
    point = contact_points.ensure(session, kind, value, now=now, region=region)
    link = links.link(session, point, party=party, role=role, source="agent", by=by, now=now, again=again)
    link_notices.notify(session, link, now)


@router.post("/customers/{party}/links/{link}/{decision}")
async def settle_link(
    user: SignedIn, house: TheHouse, party: Id, link: Id, decision: Literal["dispute", "end"]
) -> Response:
    """`dispute`: it never was his. `end`: it no longer is, and earlier contacts stay his."""
    if user is None:
        return _sign_in(party)
    try:
        await house.db.work(_settle, party, link, decision, by=user.name, now=house.clock())
    except LookupError:
        return _not_found(user, house)
    return _back(party, "done")


def _settle(session: Session, party: str, link: str, decision: str, *, by: str, now: dt.datetime) -> None:
    row = session.get(Link, link)
    if row is None or row.party_id != party:
        raise LookupError(f"expected a link of {party!r}, got {link!r}")
    if decision == "dispute":
        links.dispute(session, link, reason="not_theirs", by=by, now=now)
    else:
        links.end_link(session, link, reason="ended", by=by, now=now)


# --- two that are one ---


@router.post("/customers/{party}/merge")
async def merge(user: SignedIn, house: TheHouse, party: Id, other: Annotated[str, Form(max_length=36)]) -> Response:
    """What was the other's is this one's from now on; /identity can undo it."""
    if user is None:
        return _sign_in(party)
    if user.role not in MAY_MERGE:
        pages = pages_in(house.settings.time_zone)
        return HTMLResponse(pages.error(403, user.language, user=person(user)), 403)
    work, now = house.db.work, house.clock()
    try:
        await work(merges.merge, kept=party, gone=other, reason="found by hand", by=user.name, now=now)
    except LookupError:
        return _not_found(user, house)
    except ValueError:
        return _back(party, "late")
    return _back(party, "done")


def _back(party: str, said: str) -> Response:
    return RedirectResponse(f"/customers/{quote(party)}?said={said}#main", 303)


def _sign_in(party: str) -> Response:
    return RedirectResponse(f"/sign-in?next={quote(f'/customers/{party}')}", 303)


def _not_found(user: User, house: TheHouse) -> Response:
    pages = pages_in(house.settings.time_zone)
    return HTMLResponse(pages.error(404, user.language, user=person(user)), 404)
