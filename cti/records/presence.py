"""Where agents' pages are: a row for each agent and the node that his page is on, so that calls pass by whose page is gone.

A page that was closed on purpose leaves no row, and its agent is called as before: he may work by telephone alone. A page that broke or
fell silent leaves a row with `lost_at`; when nothing but such rows is left of an agent for a while, he is unreachable.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from sqlalchemy import ColumnElement, String, Update, delete, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti.db import Base

GRACE_S = 6.0  # a page that comes back within this was never away: a reload, another node, a short break of the network
UNREACHABLE = "unreachable"  # why such an agent is paused in his queues; the page has words for it


class PresenceRow(Base):
    """An agent's page on one node. `lost_at` is None while it lives."""

    __tablename__ = "presence"

    agent: Mapped[str] = mapped_column(String(64), primary_key=True)
    node: Mapped[str] = mapped_column(String(32), primary_key=True)
    since: Mapped[dt.datetime]
    lost_at: Mapped[dt.datetime | None]


def attached(session: Session, agent: str, node: str, now: dt.datetime) -> None:
    """The agent's page is on this node. Pages of his that were lost elsewhere have come back here."""
    session.execute(delete(PresenceRow).where(*_lost(agent), PresenceRow.node != node))
    row = session.get(PresenceRow, (agent, node))
    if row is None:
        session.add(PresenceRow(agent=agent, node=node, since=now, lost_at=None))
    elif row.lost_at is not None:
        row.since, row.lost_at = now, None


def left(session: Session, agent: str, node: str) -> None:
    """He closed his last page on this node; what was lost before no longer counts."""
    session.execute(delete(PresenceRow).where(*_lost(agent)))
    session.execute(delete(PresenceRow).where(PresenceRow.agent == agent, PresenceRow.node == node))


def lost(session: Session, agent: str, node: str, now: dt.datetime) -> None:
    """His last page on this node broke or fell silent. Heard twice, the first time counts."""
    session.execute(_lose(now).where(PresenceRow.agent == agent, PresenceRow.node == node))


def lost_with(session: Session, node: str, now: dt.datetime) -> None:
    """The whole node is gone, or begins anew: every page it had."""
    session.execute(_lose(now).where(PresenceRow.node == node))


def settle(session: Session, node: str, agents: Collection[str], now: dt.datetime) -> None:
    """Make this node's rows say what is so: these agents' pages are here now, and no others. For the moment when the database is back
    and what became of pages meanwhile could not be written."""
    for agent in agents:
        attached(session, agent, node, now)
    session.flush()
    session.execute(_lose(now).where(PresenceRow.node == node, PresenceRow.agent.not_in(agents)))


def unreachable(session: Session, now: dt.datetime) -> list[str]:
    """Agents whose pages are all lost, the last of them for longer than GRACE_S; in the order of their names."""
    overdue = now - dt.timedelta(seconds=GRACE_S)
    live = func.count().filter(PresenceRow.lost_at.is_(None))
    found = select(PresenceRow.agent).group_by(PresenceRow.agent).order_by(PresenceRow.agent)
    return list(session.scalars(found.having(live == 0, func.max(PresenceRow.lost_at) < overdue)))


def forget(session: Session, agent: str) -> None:
    """No page of this agent is expected any more: calls pass him by until one comes, or somebody makes him ready."""
    session.execute(delete(PresenceRow).where(PresenceRow.agent == agent))


def _lost(agent: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return PresenceRow.agent == agent, PresenceRow.lost_at.is_not(None)


def _lose(now: dt.datetime) -> Update:
    return update(PresenceRow).where(PresenceRow.lost_at.is_(None)).values(lost_at=now)
