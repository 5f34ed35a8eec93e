"""Messages that we send: written in the same piece of work as their cause, sent afterwards, each once."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cti.db import Base


class OutMessage(Base):
    """`key` says what it is about, so that asking twice sends once. `state`: waiting until the channel took it (sent) or never will
    (failed)."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_state_next", "state", "next_at"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    key: Mapped[str] = mapped_column(String(160), unique=True)
    channel_id: Mapped[str] = mapped_column(ForeignKey("channels.id"))
    contact_point_id: Mapped[str] = mapped_column(ForeignKey("contact_points.id"))
    purpose: Mapped[str] = mapped_column(String(32))  # link | code | ticket
    text: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))  # waiting | sent | failed
    tries: Mapped[int]
    made_at: Mapped[dt.datetime]
    next_at: Mapped[dt.datetime]
    sent_at: Mapped[dt.datetime | None]
    external_id: Mapped[str] = mapped_column(String(200))  # the gateway's
    error: Mapped[str] = mapped_column(String(200))
