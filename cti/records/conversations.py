"""The conversation by phone as it stands now: a row kept from the ledger's facts, its offers to agents, and its wrap-up.

Derived: everything here can be made again from the events. Written only by `cti.switchboard`, in the same piece of work as the event.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cti.db import Base


class Conversation(Base):
    __tablename__ = "conversations"
    __table_args__ = (Index("ix_conversations_party_arrived", "party_id", "arrived_at"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    channel: Mapped[str] = mapped_column(String(150), unique=True)  # the switch's id of the caller's leg
    did: Mapped[str] = mapped_column(String(40))
    raw: Mapped[str] = mapped_column(String(80), default="")
    number: Mapped[str | None] = mapped_column(String(20), index=True)
    number_kind: Mapped[str] = mapped_column(String(16))
    caller_name: Mapped[str] = mapped_column(String(500), default="")
    language: Mapped[str] = mapped_column(String(8), default="tr")
    outcome: Mapped[str] = mapped_column(String(16), default="none")
    level: Mapped[int] = mapped_column(default=0)
    candidates: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)  # events.Candidate.plain()
    # What the trunk said beside the number: asserted, diverted_from, attestation; only what it did say.
    evidence: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    proof: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))  # factors that were answered rightly
    party_id: Mapped[str | None] = mapped_column(ForeignKey("parties.id"))  # only when somebody confirmed it
    subscription_id: Mapped[str | None] = mapped_column(
        ForeignKey("subscriptions.id")
    )  # the one the matter is about, when unique
    ticket_id: Mapped[str | None] = mapped_column(ForeignKey("tickets.id"))
    intent: Mapped[str] = mapped_column(String(32), default="")
    queue: Mapped[str] = mapped_column(String(64), default="")
    state: Mapped[str] = mapped_column(String(16), default="ivr")  # ivr | queued | talking | ended
    agent: Mapped[str | None] = mapped_column(String(64), index=True)  # who answered last
    recording: Mapped[str | None] = mapped_column(String(36))
    note: Mapped[str] = mapped_column(Text, default="")
    disposition: Mapped[str] = mapped_column(String(64), default="")
    arrived_at: Mapped[dt.datetime] = mapped_column(index=True)
    queued_at: Mapped[dt.datetime | None]
    answered_at: Mapped[dt.datetime | None]
    cleared_at: Mapped[dt.datetime | None]
    ended_at: Mapped[dt.datetime | None]
    end_reason: Mapped[str] = mapped_column(String(32), default="")


class Offer(Base):
    """One ringing of one agent's device. `state`: offered | answered | withdrawn."""

    __tablename__ = "offers"
    __table_args__ = (Index("ix_offers_agent_offered", "agent", "offered_at"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"), index=True)
    agent: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(80))
    device_channel: Mapped[str] = mapped_column(String(150), unique=True)
    state: Mapped[str] = mapped_column(String(16), default="offered")
    reason: Mapped[str] = mapped_column(String(32), default="")  # of a withdrawal
    offered_at: Mapped[dt.datetime]
    painted_ms: Mapped[float | None]  # from the switch's event to the painted page, see events.OfferPainted
    seen_ms: Mapped[float | None]
    ended_at: Mapped[dt.datetime | None]  # ringing ended (withdrawn), or talk ended
    wrapped_up_at: Mapped[dt.datetime | None]
    dismissed_at: Mapped[dt.datetime | None]  # the agent put away a withdrawn offer


class Disposition(Base):
    """A reason that an agent can close a call with."""

    __tablename__ = "dispositions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name_tr: Mapped[str] = mapped_column(String(100))
    name_en: Mapped[str] = mapped_column(String(100))
    position: Mapped[int] = mapped_column(default=0)
