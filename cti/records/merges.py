"""Two parties that are one: proposed with reasons, merged without loss, and parted again to the very state before.

A merge moves every reference from the party that goes to the one that is kept (records/moves.py); both rows stay, and the one that
went says whom it was merged into (`parties.current` follows that). Merges that stand on one another are undone in the opposite order.
Proposals and what becomes of them: records/merge_proposals.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint, or_, select
from sqlalchemy.orm import Mapped, Session, defer, mapped_column

from cti.db import Base
from cti.events import PartiesMerged, PartiesUnmerged
from cti.ledger import append, uuid7
from cti.records import moves
from cti.records.moves import Left
from cti.records.parties import Party

ROWS_MAX = 200
# What the kept party takes over where it has nothing. Customer number and external id are each party's own; a lookup by them follows
# the merge instead.
FILLED = ("birth_date", "pin_hash", "tags")
TICK = dt.timedelta(microseconds=1)


class Merge(Base):
    """`moves` lists every value that was changed, with what it was."""

    __tablename__ = "merges"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kept_id: Mapped[str] = mapped_column(ForeignKey("parties.id"), index=True)
    gone_id: Mapped[str] = mapped_column(ForeignKey("parties.id"), index=True)
    reason: Mapped[str] = mapped_column(String(200))
    by: Mapped[str] = mapped_column(String(64))
    at: Mapped[dt.datetime]
    moves: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    undone_at: Mapped[dt.datetime | None]
    undone_by: Mapped[str] = mapped_column(String(64))


class MergeProposal(Base):
    """Two parties that may be one; `a_id` is the smaller id. `state`: open | merged | refused."""

    __tablename__ = "merge_proposals"
    __table_args__ = (UniqueConstraint("a_id", "b_id"), Index("ix_merge_proposals_state_score", "state", "score"))

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    a_id: Mapped[str] = mapped_column(ForeignKey("parties.id"))
    b_id: Mapped[str] = mapped_column(ForeignKey("parties.id"))
    score: Mapped[float]
    reasons: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    source: Mapped[str] = mapped_column(String(16))  # online | bulk
    state: Mapped[str] = mapped_column(String(16))
    made_at: Mapped[dt.datetime]
    settled_at: Mapped[dt.datetime | None]
    settled_by: Mapped[str] = mapped_column(String(64))


class NotLast(ValueError):
    """Another merge stands on this one. `first` is the id of the one to be undone before all others."""

    def __init__(self, merge: str, first: Merge) -> None:
        super().__init__(
            f"expected merge {first.id} ({first.gone_id} into {first.kept_id}) to be undone first, it stands on merge {merge}"
        )
        self.first = first.id


@dataclass(frozen=True, kw_only=True)
class MergeRow:
    id: str
    kept: str
    kept_name: str
    gone: str
    gone_name: str
    reason: str
    by: str
    at: dt.datetime
    undone_at: dt.datetime | None
    undone_by: str


@dataclass(frozen=True, kw_only=True)
class Unmerged:
    merge: str
    kept: str
    gone: str
    restored: int  # values that are again what they were
    left: tuple[Left, ...]  # that somebody changed since: they stay as they are today


def merge(session: Session, *, kept: str, gone: str, reason: str, by: str, now: dt.datetime) -> str:
    """What was `gone`'s is `kept`'s from now on. Returns the merge's id; the same merge again is the one that there is. LookupError
    when there is no such party, ValueError when one of them was merged into another party already."""
    if kept == gone:
        raise ValueError(f"expected two parties, got {kept!r} twice")
    stays, goes = _locked(session, kept, gone)
    if goes.merged_into_id == kept and (there := _open_merge(session, gone)) is not None:
        return there.id
    for party in (stays, goes):
        if party.merged_into_id is not None:
            raise ValueError(f"expected parties of today, {party.id!r} was merged into {party.merged_into_id!r}")
    log = _taken_over(stays, goes)
    goes.merged_into_id = kept
    log.append(moves.changed("parties", "merged_into_id", [gone], was=None, became=kept))
    log += moves.move(session, gone=gone, kept=kept)
    row = Merge(
        id=uuid7(now), kept_id=kept, gone_id=gone, reason=reason[:200], by=by, at=_after(session, (kept, gone), now),
        moves=log, undone_by="",
    )  # fmt: skip
    session.add(row)
    session.flush()
    append(session, PartiesMerged(merge=row.id, kept=kept, gone=gone, reason=row.reason, by=by), now=now)
    return row.id


def unmerge(session: Session, merge_id: str, *, by: str, now: dt.datetime) -> Unmerged:
    """Each has again what it had, also after later work on other fields and rows. What came to the kept party since stays with it; a
    row that somebody gave to a third party stays there and is named in `left`. Once undone, asking again changes nothing. NotLast (a
    ValueError) when a later merge must be undone first, LookupError when there is no such merge."""
    row = session.get(Merge, merge_id)
    if row is None:
        raise LookupError(f"expected the id of a merge, got {merge_id!r}")
    _locked(session, row.kept_id, row.gone_id)
    session.refresh(row)
    if row.undone_at is not None:
        return Unmerged(merge=row.id, kept=row.kept_id, gone=row.gone_id, restored=0, left=())
    if (first := _standing_on(session, row)) is not None:
        raise NotLast(row.id, first)
    row.undone_at, row.undone_by = now, by
    left = moves.move_back(session, row.moves)
    append(session, PartiesUnmerged(merge=row.id, kept=row.kept_id, gone=row.gone_id, by=by), now=now)
    restored = moves.values_in(row.moves) - len(left)
    return Unmerged(merge=row.id, kept=row.kept_id, gone=row.gone_id, restored=restored, left=tuple(left))


def merged_with(session: Session, party_id: str) -> tuple[str, ...]:
    """All parties that one stands for: itself, and what was merged into it, directly or by steps."""
    found, ring = [party_id], [party_id]
    while ring:
        ring = list(session.scalars(select(Party.id).where(Party.merged_into_id.in_(ring)).order_by(Party.id)))
        found += ring
    return tuple(found)


def recent(session: Session, *, party: str | None = None, limit: int = 50) -> list[MergeRow]:
    """Newest first, the undone ones too; of one party where it is given."""
    query = select(Merge).order_by(Merge.at.desc(), Merge.id.desc()).limit(min(limit, ROWS_MAX))
    if party is not None:
        query = query.where(or_(Merge.kept_id == party, Merge.gone_id == party))
    rows = session.scalars(query.options(defer(Merge.moves))).all()  # which may be long
    wanted = {each for row in rows for each in (row.kept_id, row.gone_id)}
    names = dict(session.execute(select(Party.id, Party.name).where(Party.id.in_(wanted))).all())
    return [_row(row, names) for row in rows]


def _row(row: Merge, names: dict[str, str]) -> MergeRow:
    return MergeRow(
        id=row.id, kept=row.kept_id, kept_name=names[row.kept_id], gone=row.gone_id, gone_name=names[row.gone_id],
        reason=row.reason, by=row.by, at=row.at, undone_at=row.undone_at, undone_by=row.undone_by,
    )  # fmt: skip


def _locked(session: Session, kept: str, gone: str) -> tuple[Party, Party]:
    """Both rows, always locked in the same order. On PostgreSQL whoever writes a new reference to one of them waits for us, or we for
    him, so none slips through; SQLite has one writer."""
    query = select(Party).where(Party.id.in_((kept, gone))).order_by(Party.id).with_for_update()
    rows = {row.id: row for row in session.scalars(query.execution_options(populate_existing=True))}
    for each in (kept, gone):
        if each not in rows:
            raise LookupError(f"expected the id of a party, got {each!r}")
    return rows[kept], rows[gone]


def _taken_over(kept: Party, gone: Party) -> moves.Log:
    log: moves.Log = []
    for name in FILLED:
        had, gets = getattr(kept, name), getattr(gone, name)
        if gets and not had:
            setattr(kept, name, gets)
            log.append(moves.changed("parties", name, [kept.id], was=had, became=gets))
    return log


def _open_merge(session: Session, gone: str) -> Merge | None:
    return session.scalars(select(Merge).where(Merge.gone_id == gone, Merge.undone_at.is_(None))).first()


def _after(session: Session, parties: Sequence[str], now: dt.datetime) -> dt.datetime:
    """`now`, or a moment after the newest merge of these parties: their order is the order in which they are undone."""
    newest = session.scalar(select(Merge.at).where(_of(parties)).order_by(Merge.at.desc()).limit(1))
    return now if newest is None else max(now, newest + TICK)


def _standing_on(session: Session, row: Merge) -> Merge | None:
    """The newest open merge of the pile that stands on this one."""
    above = select(Merge).where(Merge.undone_at.is_(None), _of((row.kept_id,)), Merge.at > row.at)
    found = session.scalars(above.order_by(Merge.at.desc()).limit(1)).first()
    return None if found is None else (_standing_on(session, found) or found)


def _of(parties: Sequence[str]) -> Any:
    return or_(Merge.kept_id.in_(parties), Merge.gone_id.in_(parties))
