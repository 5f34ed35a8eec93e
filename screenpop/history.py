"""The latest conversations as a list, and the page that shows and searches it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, Response

from cti import numbers
from cti.auth import User
from cti.db import Database
from cti.records import recordings
from cti.records.conversations import Conversation, Disposition
from cti.records.parties import Party, fold
from cti.records.tickets import Ticket
from cti.web import TheHouse, log_read
from screenpop.pages import SignedIn, pages_in, person, to_sign_in

ROWS_MAX = 50
HEARABLE = frozenset({"stored", "partial"})

router = APIRouter(include_in_schema=False)
Sought = Annotated[str, Query(max_length=100)]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One conversation in the list (templates/calls_rows.html says what each field is)."""

    id: str
    at: dt.datetime
    number: str
    number_kind: str
    outcome: str
    who: str
    percent: int | None
    confirmed: bool
    party: str
    queue: str
    agent: str
    ticket: str
    disposition: str
    end_reason: str
    duration_s: float | None
    recording: str


@router.get("/calls")
async def calls(request: Request, user: SignedIn, house: TheHouse, q: Sought = "") -> Response:
    if user is None:
        return to_sign_in(request)
    found = await _found(house.db, q, user)
    await log_read(house, user=user.name, what="calls", subject=q)
    pages = pages_in(house.settings.time_zone)
    return HTMLResponse(pages.render("calls.html", user.language, user=person(user), q=q, **found))


@router.get("/calls/rows")
async def call_rows(request: Request, user: SignedIn, house: TheHouse, q: Sought = "") -> Response:
    if user is None:
        return to_sign_in(request)
    found = await _found(house.db, q, user)
    pages = pages_in(house.settings.time_zone)
    return HTMLResponse(pages.render("calls_rows.html", user.language, q=q, **found))


async def _found(db: Database, q: str, user: User) -> dict[str, object]:
    rows = await db.read(latest, q, user)
    return {"rows": rows[:ROWS_MAX], "more": len(rows) > ROWS_MAX}


def latest(session: Session, q: str, user: User) -> list[Row]:
    """The newest conversations that match `q` (a number, a name, a ticket number, an agent), one more than are shown."""
    query = select(Conversation).order_by(Conversation.arrived_at.desc(), Conversation.id.desc()).limit(ROWS_MAX + 1)
    return [_row(session, row, user) for row in session.scalars(_matching(query, q.strip()))]


def _matching(query: Select[Conversation], q: str) -> Select[Conversation]:
    if not q:
        return query
    digits = "".join(each for each in q if each.isdigit()).lstrip("0")
    named = select(Party.id).where(Party.search_text.contains(fold(q), autoescape=True))
    wanted = [Conversation.party_id.in_(named), Conversation.agent == q, Conversation.queue == q]
    if len(digits) >= 3:
        ticket = select(Ticket.id).where(Ticket.number == digits)
        wanted += [Conversation.number.contains(digits, autoescape=True), Conversation.ticket_id.in_(ticket)]
    return query.where(or_(*wanted))


def _row(session: Session, row: Conversation, user: User) -> Row:
    who, party, percent = _who(session, row)
    ticket = session.get(Ticket, row.ticket_id) if row.ticket_id else None
    disposition = session.get(Disposition, row.disposition) if row.disposition else None
    named = (disposition.name_tr if user.language == "tr" else disposition.name_en) if disposition else ""
    talked = (row.cleared_at - row.answered_at).total_seconds() if row.cleared_at and row.answered_at else None
    return Row(
        id=row.id, at=row.arrived_at, number=numbers.national(row.number) if row.number else "",
        number_kind=row.number_kind, outcome=row.outcome, who=who, percent=percent, confirmed=row.party_id is not None,
        party=party, queue=row.queue, agent=row.agent or "", ticket=ticket.number if ticket else "", disposition=named,
        end_reason=row.end_reason, duration_s=talked, recording=_recording(session, row, user),
    )  # fmt: skip


def _who(session: Session, row: Conversation) -> tuple[str, str, int | None]:
    """Name, party and percent: the confirmed one, else the likeliest candidate; never a name where several customers match."""
    if row.party_id:
        party = session.get(Party, row.party_id)
        return (party.name if party else ""), row.party_id, None
    if row.outcome != "unique" or not row.candidates:
        return "", "", None
    first = row.candidates[0]
    return first["party_name"], first["party"] or "", round(first["probability"] * 100)


def _recording(session: Session, row: Conversation, user: User) -> str:
    """The newest recording, for who may listen to it: the one who answered, supervisors and admins."""
    if user.role == "agent" and not (user.agent and recordings.was_answered_by(session, row.id, user.agent)):
        return ""
    return next(
        (each.id for each in reversed(recordings.of_conversation(session, row.id)) if each.state in HEARABLE), ""
    )
