"""One-time codes: sent to a contact point, keyed or written back once, worthless soon after."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from cti.db import Base


class OneTimeCode(Base):
    """Only the code's hash is kept. `subject` is what it is for: a link's id, or a conversation's."""

    __tablename__ = "one_time_codes"
    __table_args__ = (
        Index("ix_one_time_codes_subject", "subject"),
        Index("ix_one_time_codes_contact_point", "contact_point_id", "state"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))  # link | proof
    subject: Mapped[str] = mapped_column(String(36))
    contact_point_id: Mapped[str] = mapped_column(ForeignKey("contact_points.id"))
    code_hash: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))  # open | used | revoked | lapsed
    tries: Mapped[int]
    made_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime]
    settled_at: Mapped[dt.datetime | None]
