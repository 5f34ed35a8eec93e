"""What may be one party, waiting for somebody who decides. A refusal is remembered, also for what was merged with either of the two."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cti import duplicates
from cti.duplicates import Reason, Score
from cti.events import MergeRefused
from cti.ledger import append, uuid7
from cti.records import alike, merges
from cti.records.merges import Merge, MergeProposal
from cti.records.parties import Party, current

ROWS_MAX = 200


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two, as somebody needs it who decides."""

    party: str
    name: str
    customer_no: str | None
    birth_date: str | None


@dataclass(frozen=True, kw_only=True)
class ProposalRow:
    id: str
    a: Side  # the one that would be kept
    b: Side
    score: float  # 0..1
    reasons: tuple[Reason, ...]
    source: str  # online | bulk
    made_at: dt.datetime


def propose(session: Session, a: str, b: str, score: Score, *, source: str, now: dt.datetime) -> MergeProposal | None:
    """That `a` and `b` may be one. None: they are one already, or somebody said that they are two. An open proposal is taken up
    again with what is known of it now."""
    a, b = sorted((current(session, a), current(session, b)))
    if a == b or _said_to_be_two(session, a, b):
        return None
    reasons = [each.plain() for each in score.reasons]
    found = session.scalars(select(MergeProposal).where(MergeProposal.a_id == a, MergeProposal.b_id == b)).first()
    if found is None:
        found = MergeProposal(id=uuid7(now), a_id=a, b_id=b, source=source, made_at=now, settled_by="")
        session.add(found)
    found.score, found.reasons, found.state = score.value, reasons, "open"
    session.flush()
    return found


def propose_all(
    session: Session, pairs: Iterable[tuple[str, str, Score]], *, source: str, now: dt.datetime
) -> list[str]:
    """Several of them in one piece of work. Returns the ids of those that are open now."""
    found = [propose(session, a, b, score, source=source, now=now) for a, b, score in pairs]
    return [each.id for each in found if each is not None]


def propose_for(session: Session, party: str, found: Iterable[alike.Candidate], *, now: dt.datetime) -> list[str]:
    """Propose whoever was found to be the same as `party` perhaps (alike.candidates_for). Returns the proposals' ids."""
    return propose_all(session, [(party, each.party, each.score) for each in found], source="online", now=now)


def open_proposals(session: Session, limit: int = 50) -> list[ProposalRow]:
    """The likeliest first. Of parties that were merged meanwhile: about whom they were merged into, and each pair once."""
    query = select(MergeProposal).where(MergeProposal.state == "open")
    query = query.order_by(MergeProposal.score.desc(), MergeProposal.id).execution_options(yield_per=ROWS_MAX)
    rows: list[ProposalRow] = []
    seen: set[frozenset[str]] = set()
    for row in session.scalars(query):
        a, b = current(session, row.a_id), current(session, row.b_id)
        if a != b and frozenset((a, b)) not in seen:
            seen.add(frozenset((a, b)))
            rows.append(_row(session, row, a, b))
        if len(rows) >= min(limit, ROWS_MAX):
            break
    return rows


def merge_proposed(session: Session, proposal_id: str, *, by: str, now: dt.datetime, kept: str | None = None) -> str:
    """They are one. `kept` is one of the two; without it the one with the customer number, else the older one. Returns the merge's
    id; that of a proposal which was merged already is its merge. ValueError when it was refused."""
    row = _by_id(session, proposal_id)
    a, b = current(session, row.a_id), current(session, row.b_id)
    if row.state == "refused":
        raise ValueError(f"expected an open proposal, {proposal_id!r} was refused by {row.settled_by}")
    if a == b:
        _settle(row, "merged", by, now)
        return _merge_of(session, row)
    stays = _keeper(session, a, b) if kept is None else current(session, kept)
    if stays not in (a, b):
        raise ValueError(f"expected one of {a} and {b} to be kept, got {kept!r}")
    reasons = ", ".join(str(each["key"]) for each in row.reasons)
    made = merges.merge(session, kept=stays, gone=b if stays == a else a, reason=reasons[:200], by=by, now=now)
    _settle(row, "merged", by, now)
    return made


def refuse(session: Session, proposal_id: str, *, by: str, now: dt.datetime) -> bool:
    """They are two; it is not proposed again. False: it was refused before. ValueError when they are merged: that is undone instead."""
    row = _by_id(session, proposal_id)
    if row.state == "refused":
        return False
    if current(session, row.a_id) == current(session, row.b_id):
        raise ValueError(f"expected two parties, those of proposal {proposal_id!r} are merged: undo the merge instead")
    _settle(row, "refused", by, now)
    append(session, MergeRefused(proposal=row.id, by=by), now=now)
    return True


def _row(session: Session, row: MergeProposal, a: str, b: str) -> ProposalRow:
    kept = _keeper(session, a, b)
    return ProposalRow(
        id=row.id, a=_side(session, kept), b=_side(session, b if kept == a else a), score=row.score,
        reasons=tuple(duplicates.read(each) for each in row.reasons), source=row.source, made_at=row.made_at,
    )  # fmt: skip


def _side(session: Session, party_id: str) -> Side:
    party = session.get_one(Party, party_id)
    return Side(party=party.id, name=party.name, customer_no=party.customer_no, birth_date=party.birth_date)


# --- their parts ------------------------------------------------------------------------------------------------------


def _by_id(session: Session, proposal_id: str) -> MergeProposal:
    row = session.get(MergeProposal, proposal_id)
    if row is None:
        raise LookupError(f"expected the id of a merge proposal, got {proposal_id!r}")
    return row


def _settle(row: MergeProposal, state: str, by: str, now: dt.datetime) -> None:
    row.state, row.settled_at, row.settled_by = state, now, by


def _said_to_be_two(session: Session, a: str, b: str) -> bool:
    """A proposal was refused, or a merge undone, between any of those that the two stand for."""
    ones, others = merges.merged_with(session, a), merges.merged_with(session, b)
    refused = select(MergeProposal.id).where(MergeProposal.state == "refused")
    undone = select(Merge.id).where(Merge.undone_at.is_not(None))
    for these, those in ((ones, others), (others, ones)):
        said = refused.where(MergeProposal.a_id.in_(these), MergeProposal.b_id.in_(those))
        parted = undone.where(Merge.kept_id.in_(these), Merge.gone_id.in_(those))
        if session.scalars(said.limit(1)).first() or session.scalars(parted.limit(1)).first():
            return True
    return False


def _keeper(session: Session, a: str, b: str) -> str:
    """Ids begin with the time at which they were made: the smaller one is the older."""
    rows = session.scalars(select(Party).where(Party.id.in_((a, b)))).all()
    return min(rows, key=lambda each: (each.customer_no is None, each.created_at, each.id)).id


def _merge_of(session: Session, row: MergeProposal) -> str:
    """The newest open merge in which one of the two went."""
    query = select(Merge.id).where(Merge.gone_id.in_((row.a_id, row.b_id)), Merge.undone_at.is_(None))
    return session.scalars(query.order_by(Merge.at.desc()).limit(1)).one()
