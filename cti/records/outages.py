"""Service problems (TMF656): which area is down, since when, and until when it is thought to be."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import String, bindparam, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti import ledger
from cti.db import Base
from cti.events import OutageClosed, OutageOpened
from cti.records.parties import Subscription

DEPENDS_MAX = 4  # services carried by services; a longer chain, or a ring, is somebody's typing error
RECENT_MAX = 200


class Outage(Base):
    """Open while `closed_at` is empty. It hits every subscription of its area and of its kind ("" means all kinds)."""

    __tablename__ = "outages"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    area: Mapped[str] = mapped_column(String(100), index=True)
    kind: Mapped[str] = mapped_column(String(16), default="")
    cause: Mapped[str] = mapped_column(String(200), default="")
    started_at: Mapped[dt.datetime]
    estimate_at: Mapped[dt.datetime | None]
    closed_at: Mapped[dt.datetime | None]


@dataclass(frozen=True, kw_only=True)
class OutageRow:
    id: str
    area: str
    kind: str  # of subscriptions; "" means all
    cause: str
    started_at: dt.datetime
    estimate_at: dt.datetime | None  # None: nobody knows yet
    closed_at: dt.datetime | None


# Asked for every call, so they are made once: making one costs more than running it.
SUBSCRIPTIONS = select(Subscription).where(Subscription.id.in_(bindparam("ids", expanding=True)))
BEGUN = (
    select(Outage)
    .where(Outage.closed_at.is_(None), Outage.started_at <= bindparam("now"))
    .where(Outage.area.in_(bindparam("areas", expanding=True)))
    .order_by(Outage.started_at, Outage.id)
)


def open_outage(
    session: Session,
    *,
    area: str,
    kind: str = "",
    cause: str = "",
    started_at: dt.datetime,
    estimate_at: dt.datetime | None,
    now: dt.datetime,
) -> OutageRow:
    outage = Outage(
        id=ledger.uuid7(now), area=area, kind=kind, cause=cause, started_at=started_at, estimate_at=estimate_at, closed_at=None
    )  # fmt: skip
    session.add(outage)
    estimate = None if estimate_at is None else estimate_at.astimezone(dt.UTC).isoformat()
    ledger.append(session, OutageOpened(outage=outage.id, area=area, estimate_at=estimate), now=now)
    return _row(outage)


def close(session: Session, outage: str, now: dt.datetime) -> bool:
    """The service is back. False: no outage of this id is open, and nothing was written."""
    row = session.get(Outage, outage, with_for_update=True)
    if row is None or row.closed_at is not None:
        return False
    row.closed_at = now
    ledger.append(session, OutageClosed(outage=outage), now=now)
    return True


def hitting(session: Session, subscriptions: Sequence[str], now: dt.datetime) -> list[OutageRow]:
    """The open outages that these subscriptions suffer from, themselves or through a service that carries them; oldest first."""
    lines = _with_carriers(session, subscriptions)
    rows = session.scalars(BEGUN, {"areas": list({line.area for line in lines}), "now": now})
    return [_row(row) for row in rows if any(line.area == row.area and row.kind in ("", line.kind) for line in lines)]


def recent(session: Session, *, open_only: bool = True, limit: int = 50) -> list[OutageRow]:
    """Newest first."""
    query = select(Outage).order_by(Outage.started_at.desc(), Outage.id.desc()).limit(min(limit, RECENT_MAX))
    if open_only:
        query = query.where(Outage.closed_at.is_(None))
    return [_row(row) for row in session.scalars(query)]


def _with_carriers(session: Session, subscriptions: Sequence[str]) -> list[Subscription]:
    """These subscriptions and those that carry them, without lines that lie in no area."""
    found: dict[str, Subscription] = {}
    wanted = set(subscriptions)
    for _ in range(DEPENDS_MAX):
        if not (missing := wanted - found.keys()):
            break
        rows = session.scalars(SUBSCRIPTIONS, {"ids": list(missing)}).all()
        found |= {row.id: row for row in rows}
        wanted = {row.depends_on_id for row in rows if row.depends_on_id}
    return [row for row in found.values() if row.area]


def _row(outage: Outage) -> OutageRow:
    return OutageRow(
        id=outage.id, area=outage.area, kind=outage.kind, cause=outage.cause, started_at=outage.started_at,
        estimate_at=outage.estimate_at, closed_at=outage.closed_at,
    )  # fmt: skip
