"""Two parties that are one: proposed with reasons, merged without loss, and parted again to the very state before."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cti.db import Base


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
