"""The page of whose numbers are whose: what is proposed, what was counted, who seems to be guessing, the policies as they stand; and
the whole life of one number. For supervisors and admins; every decision is a form, so it works with the keyboard and without scripts.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Path, Query, Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cti import duplicates, proof, proof_texts
from cti.auth import User
from cti.config import Settings
from cti.events import GuessingAlarmed
from cti.ledger import EventRow
from cti.records import contact_points, links, merge_proposals, merges, number_life, proposals
from cti.records.contact_points import Link
from cti.records.parties import Household, Party, Subscription
from cti.web import TheHouse, log_read
from cti.weights import WEIGHTS
from screenpop.pages import Pages, SignedIn, pages_in, person, to_sign_in

ROWS_MAX = 50
ALARMS_MAX = 20
COUNTED_DAYS = (7, 30)
MAY_DECIDE = frozenset({"supervisor", "admin"})

router = APIRouter(include_in_schema=False)
Id = Annotated[str, Path(max_length=36)]
Party_ = Annotated[str | None, Form(max_length=36)]


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Somebody seemed to be guessing. `whom`: a masked number, a number of ours, or whom the answers were about; "" for all together."""

    at: dt.datetime
    scope: str  # a key of cti.proof.SLOW
    whom: str
    count: int
    within_h: int


def forbidden_to(
    user: User | None, request: Request, pages: Pages, may: frozenset[str] = MAY_DECIDE
) -> Response | None:
    """What whoever may not see the page gets instead of it; None for who may."""
    if user is None:
        return to_sign_in(request)
    if user.role not in may:
        return HTMLResponse(pages.error(403, user.language, user=person(user)), 403)
    return None


# --- the page ---


@router.get("/identity")
async def identity(
    request: Request, user: SignedIn, house: TheHouse, said: Annotated[str, Query(max_length=16)] = ""
) -> Response:
    pages = pages_in(house.settings.time_zone)
    if refusal := forbidden_to(user, request, pages):
        return refusal
    assert user is not None
    await log_read(house, user=user.name, what="proposals", subject="open")
    found = await house.db.read(_found, house.clock())
    policies = _policies(house.settings, user.language)
    return HTMLResponse(pages.render("identity.html", user.language, user=person(user), said=said, **found, **policies))


def _found(session: Session, now: dt.datetime) -> dict[str, Any]:
    """What of identity.html is read from the records."""
    linkable = proposals.open_ones(session, ROWS_MAX + 1)
    alike = merge_proposals.open_proposals(session, ROWS_MAX + 1)
    return {
        "counts": [(days, proposals.counts(session, now - dt.timedelta(days=days))) for days in COUNTED_DAYS],
        "linkable": linkable[:ROWS_MAX], "more_linkable": len(linkable) > ROWS_MAX,
        "alike": alike[:ROWS_MAX], "more_alike": len(alike) > ROWS_MAX,
        "merged": merges.recent(session, limit=ALARMS_MAX), "alarms": list(_alarms(session)),
        "reason_text": duplicates.reason_text,
    }  # fmt: skip


def _alarms(session: Session) -> Iterator[Alarm]:
    """The newest first."""
    query = select(EventRow).where(EventRow.type == GuessingAlarmed.type).order_by(EventRow.seq.desc())
    for row in session.scalars(query.limit(ALARMS_MAX)):
        told = GuessingAlarmed.of(row.body)
        whom = _whom(session, told.subject) if told.scope in ("subscription", "agent") else told.subject
        yield Alarm(at=row.at, scope=told.scope, whom=whom, count=told.count, within_h=told.window_s // 3600)


def _whom(session: Session, customer: str) -> str:
    """Wrong answers are counted for a household, or a party, or a line without either."""
    household, party = session.get(Household, customer), session.get(Party, customer)
    line = session.get(Subscription, customer)
    return household.label if household else party.name if party else line.number if line else customer


def _policies(settings: Settings, language: str) -> dict[str, Any]:
    """The very tables that decide, in words."""
    rows = sorted(proof_texts.explain(language), key=lambda row: row.table)  # stable: the order within a table stays
    tables = {name: list(rows_of) for name, rows_of in groupby(rows, key=lambda row: row.table)}
    return {
        "may": tables["may"], "ways": tables["ways"], "slow": tables["slow"],
        "scopes": {scope: words.get(language, words["en"]) for scope, words in proof_texts.SCOPES.items()},
        "weights": dataclasses.asdict(WEIGHTS),
        "limits": {
            "link_unseen_days": settings.link_unseen_days, "refusal_days": proposals.REFUSAL_REMEMBERED.days,
            "lapse_days": proposals.LAPSES_AFTER.days, "agent_wrong": proof.AGENT_WRONG_MAX,
            "codes_per_hour": proof.CODES_PER_HOUR,
        },
    }  # fmt: skip


# --- decisions ---


@router.post("/identity/links/{proposal}/{decision}")
async def settle_link(
    request: Request, user: SignedIn, house: TheHouse, proposal: Id, decision: Literal["accept", "refuse"]
) -> Response:
    """Somebody may have been quicker: then it is off the list as well."""
    do = proposals.accept if decision == "accept" else proposals.refuse
    return await _decide(request, user, house, "/identity", do, proposal)


@router.post("/identity/merges/{proposal}/{decision}")
async def settle_merge(
    request: Request, user: SignedIn, house: TheHouse, proposal: Id, decision: Literal["merge", "refuse"],
    kept: Party_ = None,
) -> Response:  # fmt: skip
    if decision == "refuse":
        return await _decide(request, user, house, "/identity", merge_proposals.refuse, proposal)
    return await _decide(request, user, house, "/identity", merge_proposals.merge_proposed, proposal, kept=kept)


@router.post("/identity/merged/{merge}/undo")
async def undo(request: Request, user: SignedIn, house: TheHouse, merge: Id) -> Response:
    return await _decide(request, user, house, "/identity", merges.unmerge, merge)


@router.post("/identity/number/{link}/{decision}")
async def settle_number(
    request: Request, user: SignedIn, house: TheHouse, link: Id, decision: Literal["verify", "dispute", "end"],
) -> Response:  # fmt: skip
    """Back to the life of that number."""
    where = f"/identity/number?link={link}"
    match decision:
        case "verify":
            return await _decide(request, user, house, where, links.verify, link, method="agent")
        case "dispute":
            return await _decide(request, user, house, where, links.dispute, link, reason="not_theirs")
        case "end":
            return await _decide(request, user, house, where, links.end_link, link, reason="ended")


async def _decide(
    request: Request,
    user: User | None,
    house: TheHouse,
    where: str,
    do: Callable[..., object],
    subject: str,
    **more: Any,
) -> Response:
    """Do it as this user, and lead back to `where`. What can no longer be done is said there."""
    pages = pages_in(house.settings.time_zone)
    if refusal := forbidden_to(user, request, pages):
        return refusal if user else RedirectResponse("/sign-in?next=/identity", 303)
    assert user is not None
    said = "done"
    try:
        await house.db.work(do, subject, by=user.name, now=house.clock(), **more)
    except LookupError:
        return HTMLResponse(pages.error(404, user.language, user=person(user)), 404)
    except ValueError:
        said = "late"
    return RedirectResponse(f"{where}{'&' if '?' in where else '?'}said={said}#main", 303)


# --- a number's whole life ---


@router.get("/identity/number")
async def number(
    request: Request, user: SignedIn, house: TheHouse,
    value: Annotated[str, Query(max_length=200)] = "", kind: Annotated[str, Query(max_length=16)] = "phone",
    link: Annotated[str, Query(max_length=36)] = "", said: Annotated[str, Query(max_length=16)] = "",
) -> Response:  # fmt: skip
    """`value` in any writing of the default region; `link` instead of it: the number of that link."""
    pages = pages_in(house.settings.time_zone)
    if refusal := forbidden_to(user, request, pages):
        return refusal
    assert user is not None
    if link:
        kind, value = await house.db.read(_of_link, link)
    form, trouble = _form(kind, value, house.settings.default_region)
    life = await house.db.read(number_life.life, kind, form) if form else None
    if form:
        await log_read(house, user=user.name, what="number", subject=form)
    return HTMLResponse(pages.render(
        "number.html", user.language, user=person(user), value=value, kind=kind, life=life, trouble=trouble, said=said
    ))  # fmt: skip


def _of_link(session: Session, link: str) -> tuple[str, str]:
    row = session.get(Link, link)
    point = session.get(contact_points.ContactPoint, row.contact_point_id) if row else None
    return (point.kind, point.value) if point else ("phone", "")


def _form(kind: str, value: str, region: str) -> tuple[str, bool]:
    """The canonical form of what was asked for, and whether it could not be one."""
    if not value.strip():
        return "", False
    try:
        return contact_points.canonical(kind, value, region), False
    except ValueError:
        return "", True
