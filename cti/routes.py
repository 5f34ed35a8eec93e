"""The records by REST: who may be calling, parties, tickets, callbacks, outages. Looking at personal data is written down."""

from __future__ import annotations

import asyncio
import pathlib
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import FileResponse
from pydantic import AwareDatetime, Field

from cti import numbers
from cti.auth import User, require
from cti.events import Candidate
from cti.identity import Evidence, Identification
from cti.identity_texts import reason_text
from cti.numbers import Number
from cti.records import callbacks, cards, contact_points, outages, pins, tickets
from cti.records.callbacks import CallbackRow
from cti.records.cards import PartyCard
from cti.records.outages import OutageRow
from cti.records.parties import Party
from cti.records.tickets import Opened, TicketRow
from cti.web import Asked, Problem, TheHouse, log_read, refusals

router = APIRouter(prefix="/api/v1", tags=["records"])

Anybody = Annotated[User, Depends(require())]
Chief = Annotated[User, Depends(require("supervisor", "admin"))]
Answerable = Annotated[User, Depends(require("supervisor", "admin", machines=True))]  # not an agent at a page
Id = Annotated[str, Path(max_length=36)]
Caller = Annotated[User, Depends(require("agent", "supervisor", "admin"))]
IdAsked = Annotated[str | None, Query(max_length=36)]
Limit = Annotated[int, Query(ge=1, le=200)]


# --- who may be calling ---


@dataclass(frozen=True, kw_only=True)
class CandidateAnswer:
    party: str | None
    name: str
    household: str | None
    subscriptions: tuple[str, ...]
    role: str
    probability: float  # 0..1, among the candidates
    reasons: tuple[str, ...]  # sentences in the asker's language


@dataclass(frozen=True, kw_only=True)
class IdentifyAnswer:
    """`number` is E.164, or None when it is withheld, malformed (`explanation` says why) or a short code."""

    outcome: str  # unique | ambiguous | none | withheld | malformed
    level: int
    number: str | None
    number_kind: str
    explanation: str
    candidates: tuple[CandidateAnswer, ...]


@router.get("/identify")
async def identify(
    user: Anybody,
    house: TheHouse,
    number: Annotated[str, Query(max_length=256)],
    did: Annotated[str, Query(max_length=40)] = "",
) -> IdentifyAnswer:
    """What a caller's number says, in any writing of the default region; `did`: the number of ours that he called, for numbers without
    an area code. Each candidate comes with the reasons for him."""
    region = house.settings.default_region
    parsed = numbers.parse(number, region, numbers.area_of(did, region, house.settings.areas))
    given = Evidence(now=house.clock(), unseen_days=house.settings.link_unseen_days)
    found = await house.db.read(contact_points.identify, parsed, given.now, given)
    await log_read(house, user=user.name, what="identify", subject=parsed.e164 or "")
    return _identified(parsed, found, user.language)


def _identified(number: Number, found: Identification, language: str) -> IdentifyAnswer:
    return IdentifyAnswer(
        outcome=found.outcome.value,
        level=int(found.level),
        number=number.e164,
        number_kind=number.kind.value,
        explanation=numbers.explain(number, language),
        candidates=tuple(_candidate(each, language) for each in found.candidates),
    )


def _candidate(candidate: Candidate, language: str) -> CandidateAnswer:
    return CandidateAnswer(
        party=candidate.party,
        name=candidate.party_name,
        household=candidate.household,
        subscriptions=candidate.subscriptions,
        role=candidate.role,
        probability=candidate.probability,
        reasons=tuple(reason_text(each, language) for each in candidate.reasons),
    )


# --- parties ---


@dataclass(frozen=True, kw_only=True)
class PartyAnswer:
    id: str
    kind: str
    name: str
    customer_no: str | None
    tags: tuple[str, ...]


@router.get("/parties")
async def get_parties(
    user: Anybody, house: TheHouse, q: Annotated[str, Query(min_length=2, max_length=100)], limit: Limit = 20
) -> list[PartyAnswer]:
    """By name, customer number, subscription number or telephone number."""
    await log_read(house, user=user.name, what="party", subject=f"search: {q}")
    found = await house.db.read(cards.search, q, limit, region=house.settings.default_region)
    return [_party(each) for each in found]


@router.get("/parties/{party}")
async def get_party(party: Id, user: Anybody, house: TheHouse) -> PartyCard:
    await log_read(house, user=user.name, what="party", subject=party)
    with refusals():
        return await house.db.read(cards.card, party)


def _party(row: Party) -> PartyAnswer:
    return PartyAnswer(
        id=row.id, kind=row.kind, name=row.name, customer_no=row.customer_no, tags=tuple(row.tags.split())
    )


class PinAsked(Asked):
    """Four to eight digits that are not guessed at once."""

    pin: str = Field(min_length=4, max_length=8)


@router.put("/parties/{party}/pin", status_code=204)
async def put_pin(party: Id, asked: PinAsked, user: Answerable, house: TheHouse) -> None:
    """The secret that this party may key from now on."""
    with refusals():
        await house.db.work(pins.set_pin, party, asked.pin, by=user.name, now=house.clock())


@router.delete("/parties/{party}/pin", status_code=204)
async def delete_pin(party: Id, user: Answerable, house: TheHouse) -> None:
    await house.db.work(pins.clear_pin, party, by=user.name, now=house.clock())


# --- tickets ---


class TicketAsked(Asked):
    """A matter of a subscription, or of a party when it is not clear which. Channel and conversation say where it was asked for."""

    subscription: str | None = Field(None, max_length=36)
    party: str | None = Field(None, max_length=36)
    matter: str = Field(pattern=r"^[a-z][a-z_]{0,31}$")
    channel: str = Field("phone", min_length=1, max_length=32)
    conversation: str | None = Field(None, max_length=36)
    text: str = Field("", max_length=20_000)


@router.get("/tickets")
async def get_tickets(
    user: Anybody,
    house: TheHouse,
    party: IdAsked = None,
    subscription: IdAsked = None,
    number: Annotated[str | None, Query(max_length=16)] = None,
    state: Literal["open", "closed", ""] = "",
    limit: Limit = 50,
) -> list[TicketRow]:
    """Newest first. A `number` whose check digit is wrong is refused: it was misheard."""
    await log_read(house, user=user.name, what="tickets", subject=number or party or subscription or "")
    if number is None:
        return await house.db.read(tickets.recent, party=party, subscription=subscription, state=state, limit=limit)
    if not tickets.check_digit_ok(number):
        raise Problem("invalid", f"expected a ticket number with its check digit, got {number!r}")
    found = await house.db.read(tickets.by_number, number)
    return [found] if found else []


@router.post("/tickets", status_code=201, responses={200: {"description": "One was open; the contact was appended."}})
async def post_ticket(asked: TicketAsked, user: Anybody, house: TheHouse, response: Response) -> Opened:
    with refusals():
        opened = await house.db.work(tickets.open_once, now=house.clock(), **asked.model_dump())
    response.status_code = 201 if opened.new else 200
    return opened


# --- callbacks ---

MESSAGES = pathlib.Path(
    "asterisk/spool/recording"
)  # in the data folder: where our Asterisk puts what ARI has it record


class SettleAsked(Asked):
    state: Literal["done", "dropped"]


@router.get("/callbacks")
async def get_callbacks(
    user: Caller, house: TheHouse, state: Literal["open", "done", "dropped"] = "open", limit: Limit = 50
) -> list[CallbackRow]:
    """Open ones: who has waited longest comes first. Settled ones: the last one first."""
    await log_read(house, user=user.name, what="callbacks", subject=state)
    if state == "open":
        return await house.db.read(callbacks.open_ones, limit)
    return await house.db.read(callbacks.settled_ones, state, limit)


@router.post("/callbacks/{callback}/settle")
async def post_settle(callback: Id, asked: SettleAsked, user: Caller, house: TheHouse) -> CallbackRow:
    """One that is settled already stays as it was; the answer says how, and by whom."""
    with refusals():
        return await house.db.work(callbacks.settle, callback, state=asked.state, by=user.name, now=house.clock())


@router.get("/callbacks/{callback}/message", response_class=FileResponse)
async def get_message(callback: Id, user: Caller, house: TheHouse) -> FileResponse:
    """What the caller said, as WAV. Takes Range, so that a player can jump."""
    with refusals():
        row = await house.db.read(callbacks.by_id, callback)
        path = await asyncio.to_thread(callbacks.sound, row, house.settings.data_dir.resolve() / MESSAGES)
    await log_read(house, user=user.name, what="message", subject=callback)
    return FileResponse(
        path, media_type="audio/wav", filename=f"{row.message}.wav", content_disposition_type="inline",
        headers={"cache-control": "private, no-store"},
    )  # fmt: skip


# --- outages ---


class OutageAsked(Asked):
    """`kind` of the subscriptions that it hits; empty means all. Without `started_at` it began now."""

    area: str = Field(min_length=1, max_length=100)
    kind: Literal["dsl", "fibre", "landline", "mobile", ""] = ""
    cause: str = Field("", max_length=200)
    started_at: AwareDatetime | None = None
    estimate_at: AwareDatetime | None = None


@router.get("/outages")
async def get_outages(user: Anybody, house: TheHouse, limit: Limit = 50) -> list[OutageRow]:
    """The open ones, newest first."""
    return await house.db.read(outages.recent, limit=limit)


@router.post("/outages", status_code=201)
async def post_outage(asked: OutageAsked, chief: Chief, house: TheHouse) -> OutageRow:
    now = house.clock()
    asked = asked.model_copy(update={"started_at": asked.started_at or now})
    return await house.db.work(outages.open_outage, now=now, **asked.model_dump())


@router.delete("/outages/{outage}", status_code=204)
async def delete_outage(outage: Id, chief: Chief, house: TheHouse) -> None:
    """The service is back."""
    if not await house.db.work(outages.close, outage, house.clock()):
        raise Problem("not-found", f"no outage {outage} is open")
