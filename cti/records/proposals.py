"""Links that are proposed: an unlinked number and whose it seems to be. Each is asked about once, and a refusal is remembered."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from cti.db import Base


class LinkProposal(Base):
    """`state`: open until somebody accepts or refuses it, or nobody did in time (lapsed)."""

    __tablename__ = "link_proposals"
    __table_args__ = (
        Index("ix_link_proposals_contact_point", "contact_point_id", "state"),
        Index("ix_link_proposals_state_made", "state", "made_at"),
        Index("ix_link_proposals_conversation", "conversation"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    contact_point_id: Mapped[str] = mapped_column(ForeignKey("contact_points.id"))
    party_id: Mapped[str | None] = mapped_column(ForeignKey("parties.id"))
    household_id: Mapped[str | None] = mapped_column(ForeignKey("households.id"))
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))
    role: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(16))  # keyed | narrowing | agent | message | crm
    conversation: Mapped[str | None] = mapped_column(String(36))
    state: Mapped[str] = mapped_column(String(16))  # open | accepted | refused | lapsed
    made_at: Mapped[dt.datetime]
    settled_at: Mapped[dt.datetime | None]
    settled_by: Mapped[str] = mapped_column(String(64))
    link_id: Mapped[str | None] = mapped_column(ForeignKey("links.id"))
