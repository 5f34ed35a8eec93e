"""Lines that the network says are down, one by one; outages of whole areas are in outages.py."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from cti.db import Base


class LineState(Base):
    """What the network said last of one subscription's line."""

    __tablename__ = "line_states"
    __table_args__ = (Index("ix_line_states_state", "state"),)

    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), primary_key=True)
    state: Mapped[str] = mapped_column(String(8))  # up | down
    since: Mapped[dt.datetime]
    source: Mapped[str] = mapped_column(String(64))
