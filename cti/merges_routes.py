"""Parties that are one, by REST: what is proposed, who decides, merging and parting again. For supervisors and administrators."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from cti.auth import User, require
from cti.duplicates import Reason, reason_text
from cti.records import alike, merge_proposals, merges
from cti.records.merge_proposals import ProposalRow, Side
from cti.records.merges import MergeRow, Unmerged
from cti.web import Asked, Problem, TheHouse, log_read, refusals

router = APIRouter(prefix="/api/v1", tags=["merges"])

Chief = Annotated[User, Depends(require("supervisor", "admin"))]
Id = Annotated[str, Path(max_length=36)]
Limit = Annotated[int, Query(ge=1, le=200)]
PartyAsked = Annotated[str | None, Query(max_length=36)]


# --- proposals ---


@dataclass(frozen=True, kw_only=True)
class ReasonAnswer:
    key: str
    bits: float  # what it weighs; below zero it speaks against
    text: str  # in the asker's language


@dataclass(frozen=True, kw_only=True)
class ProposalAnswer:
    """`a` is the one that would be kept."""

    id: str
    a: Side
    b: Side
    score: float
    reasons: tuple[ReasonAnswer, ...]
    source: str
    made_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class CandidateAnswer:
    party: str
    score: float
    reasons: tuple[ReasonAnswer, ...]


class MergeProposedAsked(Asked):
    """`kept`: which of the two stays; without it the proposal's `a`."""

    kept: str | None = Field(None, max_length=36)


@dataclass(frozen=True)
class MergedAnswer:
    merge: str


@router.get("/merge-proposals")
async def get_proposals(chief: Chief, house: TheHouse, limit: Limit = 50) -> list[ProposalAnswer]:
    """The open ones, the likeliest first."""
    await log_read(house, user=chief.name, what="merges", subject="proposals")
    found = await house.db.read(merge_proposals.open_proposals, limit)
    return [_proposal(each, chief.language) for each in found]


@router.post("/merge-proposals/{proposal}/merge")
async def post_merge_proposed(proposal: Id, asked: MergeProposedAsked, chief: Chief, house: TheHouse) -> MergedAnswer:
    """They are one. Asked again, it is the same merge."""
    with refusals():
        made = await house.db.work(
            merge_proposals.merge_proposed, proposal, kept=asked.kept, by=chief.name, now=house.clock()
        )
    return MergedAnswer(made)


@router.post("/merge-proposals/{proposal}/refuse", status_code=204)
async def post_refuse(proposal: Id, chief: Chief, house: TheHouse) -> None:
    """They are two, and nobody proposes it again."""
    with refusals():
        await house.db.work(merge_proposals.refuse, proposal, by=chief.name, now=house.clock())


@router.get("/parties/{party}/duplicates")
async def get_duplicates(party: Id, chief: Chief, house: TheHouse, limit: Limit = 10) -> list[CandidateAnswer]:
    """Who may be the same as this party, the likeliest first."""
    await log_read(house, user=chief.name, what="merges", subject=party)
    with refusals():
        found = await house.db.read(alike.candidates_for, party, limit=limit)
    return [
        CandidateAnswer(party=each.party, score=each.score.value, reasons=_reasons(each.score.reasons, chief.language))
        for each in found
    ]


def _proposal(row: ProposalRow, language: str) -> ProposalAnswer:
    return ProposalAnswer(
        id=row.id, a=row.a, b=row.b, score=row.score, reasons=_reasons(row.reasons, language), source=row.source,
        made_at=row.made_at,
    )  # fmt: skip


def _reasons(reasons: tuple[Reason, ...], language: str) -> tuple[ReasonAnswer, ...]:
    return tuple(ReasonAnswer(key=each.key, bits=each.bits, text=reason_text(each, language)) for each in reasons)


# --- merging and parting ---


class MergeAsked(Asked):
    """What is `gone`'s becomes `kept`'s."""

    kept: str = Field(min_length=1, max_length=36)
    gone: str = Field(min_length=1, max_length=36)
    reason: str = Field(min_length=1, max_length=200)


@router.get("/merges")
async def get_merges(chief: Chief, house: TheHouse, party: PartyAsked = None, limit: Limit = 50) -> list[MergeRow]:
    """Newest first, the undone ones too."""
    await log_read(house, user=chief.name, what="merges", subject=party or "")
    return await house.db.read(merges.recent, party=party, limit=limit)


@router.post("/merges", status_code=201)
async def post_merge(asked: MergeAsked, chief: Chief, house: TheHouse) -> MergedAnswer:
    """Merge two parties by hand. The same merge again is the one that there is."""
    with refusals():
        made = await house.db.work(merges.merge, **asked.model_dump(), by=chief.name, now=house.clock())
    return MergedAnswer(made)


@router.post("/merges/{merge}/undo", responses={409: {"description": "Another merge must be undone first: `first`."}})
async def post_undo(merge: Id, chief: Chief, house: TheHouse) -> Unmerged:
    """Each has again what it had. `left` names what somebody changed since: that stays as it is today."""
    with refusals():
        try:
            return await house.db.work(merges.unmerge, merge, by=chief.name, now=house.clock())
        except merges.NotLast as error:
            raise Problem("conflict", str(error), first=error.first) from error
