"""Taking an import back: what it brought and nobody has used since goes, what somebody has used stays and is told.

Used is a party, a service or a contact point that anything but the import itself refers to: a call, a ticket, a proposal, a merge,
another import's link. So is a party with a PIN or in a household that is not the import's, and a party or a service from whose number
somebody called or wrote since. A link that somebody verified, disputed or confirmed in a call is used too. Every link of the import
ends; its row goes only with the party, the service or the contact point that it would otherwise point to in vain.

The import's rows are found by their ids, which hold the time at which they were made (import_loading.Ids): no index over `batch` has to
be kept up for the one import in a thousand that is undone.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, Table, delete, exists, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cti.db import Base, Database
from cti.events import ImportUndone, LinkEnded
from cti.ledger import append, append_all
from cti.records import batches
from cti.records.batches import Import
from cti.records.contact_points import ContactPoint, Link
from cti.records.conversations import Conversation
from cti.records.parties import Household, HouseholdMember, Party, Subscription
from cti.records.proposals import LinkProposal
from cti.records.timeline import Interaction

PIECE_ROWS = 250  # looked at in one piece of work
PASSES_MAX = 20  # services carried by services carried by services ...
REASON = "import undone"
NAMED: dict[type[Any], str] = {
    Party: "parties", Subscription: "subscriptions", ContactPoint: "numbers", Household: "households", Link: "links",
}  # fmt: skip


class NotUndone(ValueError):
    """The import cannot be undone: it has been already."""


@dataclass
class Undone:
    """How many rows of the import went, and how many stay because somebody used them, by table."""

    removed: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Window:
    """The ids that an import gave out lie between `low` and `high`."""

    batch: int
    low: str
    high: str


@dataclass(frozen=True)
class Piece:
    """What became of one piece: `after` is the id to go on from, None at the end."""

    after: str | None
    removed: int
    kept: int
    links: int = 0  # that went with what they pointed to


async def undo(db: Database, batch: int, *, by: str, now: dt.datetime, progress: Callable[[str], None]) -> Undone:
    """Take import `batch` back, in many small pieces; when it is killed, it goes on when it is asked for again. LookupError when there
    is no such import, NotUndone when it is undone already."""
    window = await db.work(_begin, batch, now)
    undone = Undone()
    for _ in range(PASSES_MAX):  # what carries another service goes after it
        piece = await _pass(db, window, Subscription, undone, progress)
        if not piece.removed:
            break
    for table in (Party, ContactPoint, Household):
        await _pass(db, window, table, undone, progress)
    after: str | None = window.low
    while after is not None:
        piece = await db.work(_end_links, window, after, by, now)
        after = piece.after
        undone.kept["links"] = undone.kept.get("links", 0) + piece.kept
    await db.work(_finish, batch, undone, by, now)
    return undone


async def _pass(
    db: Database, window: Window, table: type[Any], undone: Undone, progress: Callable[[str], None]
) -> Piece:
    """One way through the import's rows of `table`, oldest first."""
    removed = kept = 0
    after: str | None = window.low
    while after is not None:
        piece = await _removed(db, window, table, after)
        after, removed, kept = piece.after, removed + piece.removed, kept + piece.kept
        undone.removed["links"] = undone.removed.get("links", 0) + piece.links
        progress(f"{NAMED[table]}: {removed} removed, {kept} stay")
    undone.removed[NAMED[table]] = undone.removed.get(NAMED[table], 0) + removed
    undone.kept[NAMED[table]] = kept
    return Piece(None, removed, kept)


async def _removed(db: Database, window: Window, table: type[Any], after: str) -> Piece:
    """One piece. While others write, somebody may begin to use a row after it was looked at: then each row is tried by itself."""
    try:
        return await db.work(_remove, window, table, after)
    except IntegrityError:
        return await db.work(_remove_singly, window, table, after)


def _begin(session: Session, batch: int, now: dt.datetime) -> Window:
    row = batches.the(session, batch)
    if row.state == "undone":
        raise NotUndone(f"expected an import that is not undone yet, import {batch} is")
    row.state = "undoing"  # an import that still runs stops at this
    return Window(batch, _beginning(row.started_at), _beginning((row.ended_at or now) + dt.timedelta(milliseconds=1)))


def _beginning(moment: dt.datetime) -> str:
    """What the ids of this millisecond begin with."""
    digits = f"{int(moment.timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _rows(session: Session, window: Window, table: type[Any], after: str) -> Sequence[str]:
    query = select(table.id).where(table.id > after, table.id < window.high, table.batch == window.batch)
    return session.scalars(query.order_by(table.id).limit(PIECE_ROWS)).all()


def _remove(session: Session, window: Window, table: type[Any], after: str) -> Piece:
    ids = _rows(session, window, table, after)
    used = _used(session, window, table, ids)
    free = [id_ for id_ in ids if id_ not in used]
    links = _delete(session, table, free) if free else 0
    return Piece(_next(ids), len(free), len(used), links)


def _remove_singly(session: Session, window: Window, table: type[Any], after: str) -> Piece:
    """The same; a row that the database does not let go stays."""
    ids = _rows(session, window, table, after)
    removed = links = 0
    for each in sorted(set(ids) - _used(session, window, table, ids)):
        with contextlib.suppress(IntegrityError), session.begin_nested():
            links += _delete(session, table, [each])
            removed += 1
    return Piece(_next(ids), removed, len(ids) - removed, links)


def _delete(session: Session, table: type[Any], ids: Sequence[str]) -> int:
    """The rows, and what goes with them; returns how many links that were."""
    links = 0
    for column in GOES_WITH.get(table, ()):
        gone: Any = session.execute(delete(column.class_).where(column.in_(ids)))
        links += gone.rowcount if column.class_ is Link else 0
    session.execute(delete(table).where(table.id.in_(ids)))
    return links


def _next(ids: Sequence[str]) -> str | None:
    return ids[-1] if len(ids) == PIECE_ROWS else None


GOES_WITH: dict[type[Any], tuple[Any, ...]] = {
    Party: (Link.party_id, HouseholdMember.party_id), Subscription: (Link.subscription_id,),
}  # fmt: skip


def _used(session: Session, window: Window, table: type[Any], ids: Collection[str]) -> set[str]:
    """Those of `ids` that anything refers to that does not go with them."""
    goes = {column.property.columns[0] for column in GOES_WITH.get(table, ())}
    used: set[str] = set()
    for query in _besides(window, table, ids):
        used.update(session.scalars(query))
    for column in _references(table):
        query = select(column).where(column.in_(ids))
        if column not in goes:
            used.update(session.scalars(query.distinct()))
        elif column.table is Link.__table__:
            used.update(
                session.scalars(
                    query.where(or_(Link.batch.is_(None), Link.batch != window.batch, _touched())).distinct()
                )
            )
    return used


def _besides(window: Window, table: type[Any], ids: Collection[str]) -> Iterator[Select[str]]:
    """Who is used without being referred to."""
    if table is Party:
        yield select(Party.id).where(Party.id.in_(ids), Party.pin_hash.is_not(None))
        foreign = or_(Household.batch.is_(None), Household.batch != window.batch)
        homes = select(HouseholdMember.party_id).join(Household, Household.id == HouseholdMember.household_id)
        yield homes.where(HouseholdMember.party_id.in_(ids), foreign)
    for column in GOES_WITH.get(table, ()):
        if column.class_ is Link:
            points = select(column).join(ContactPoint, ContactPoint.id == Link.contact_point_id)
            yield points.where(column.in_(ids), or_(exists(WRITTEN_SINCE), exists(CALLED_SINCE)))


WRITTEN_SINCE = select(Interaction.id).where(
    Interaction.contact_point_id == Link.contact_point_id, Interaction.at >= Link.valid_from
)
CALLED_SINCE = select(Conversation.id).where(
    ContactPoint.kind == "phone", Conversation.number == ContactPoint.value, Conversation.arrived_at >= Link.valid_from
)


def _references(table: type[Any]) -> list[Any]:
    """Every column of the house that points to `table`, also those of tables that are added later."""
    target = cast(Table, table.__table__)
    return [
        key.parent
        for other in Base.metadata.tables.values()
        for key in other.foreign_keys
        if key.column.table is target
    ]


def _touched() -> ColumnElement[bool]:
    """The link has been more than imported."""
    return or_(
        Link.state != "unverified",
        Link.last_seen_at.is_not(None),
        Link.valid_to.is_not(None),
        Link.id.in_(select(LinkProposal.link_id).where(LinkProposal.link_id.is_not(None))),
        Link.id.in_(select(Interaction.party_by).where(Interaction.party_by.is_not(None))),
    )


def _end_links(session: Session, window: Window, after: str, by: str, now: dt.datetime) -> Piece:
    """The links that are still there hold no longer."""
    ids = _rows(session, window, Link, after)
    open_ones = session.scalars(
        select(Link.id).where(Link.id.in_(ids), Link.valid_to.is_(None)).order_by(Link.id)
    ).all()
    if open_ones:
        session.execute(update(Link).where(Link.id.in_(open_ones)).values(valid_to=now))
        append_all(session, [LinkEnded(link=each, reason=REASON, by=by) for each in open_ones], now=now)
    return Piece(_next(ids), 0, len(ids))


def _finish(session: Session, batch: int, undone: Undone, by: str, now: dt.datetime) -> None:
    row: Import = batches.the(session, batch)
    row.state, row.ended_at = "undone", now
    removed, kept = sum(undone.removed.values()), sum(undone.kept.values())
    row.counts = {**row.counts, "removed": removed, "kept": kept}
    append(session, ImportUndone(batch=batch, removed=removed, kept=kept, by=by), now=now)
