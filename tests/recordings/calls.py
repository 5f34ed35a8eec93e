"""Calls as the switchboard leaves them behind: a conversation, its offers, and the ledger's events."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from cti import ledger
from cti.events import CallAnswered, CallCleared, CallEnded
from cti.records import recordings
from cti.records.conversations import Conversation, Offer


def arrived(session: Session, channel: str, now: dt.datetime) -> str:
    """A conversation that is queued. Returns its id."""
    row = Conversation(
        id=ledger.uuid7(now), channel=channel, did="+902125550100", number_kind="e164", state="queued", arrived_at=now
    )
    session.add(row)
    session.flush()
    return row.id


def answered(session: Session, conversation: str, agent: str, now: dt.datetime, *, state: str = "answered") -> str:
    """An offer to `agent`, taken unless `state` says otherwise. Returns its id."""
    offer = Offer(
        id=ledger.uuid7(now), conversation_id=conversation, agent=agent, device=f"PJSIP/{agent}",
        device_channel=ledger.uuid7(now), state=state, offered_at=now,
    )  # fmt: skip
    session.add(offer)
    session.flush()
    if state == "answered":
        event = CallAnswered(conversation=conversation, offer=offer.id, agent=agent, waited_s=1.0, rang_s=1.0)
        ledger.append(session, event, now=now)
    return offer.id


def ended(session: Session, conversation: str, now: dt.datetime) -> None:
    session.get_one(Conversation, conversation).ended_at = now
    ledger.append(session, CallEnded(conversation=conversation, reason="answered"), now=now)


def talked(
    session: Session, now: dt.datetime, *, seconds: float | None, channel: str = "1795311706.4", promised: bool = True
) -> tuple[str, str]:
    """A whole call that ended at `now`, in which ayse talked for `seconds` (None: nobody answered): (conversation, recording).
    Not `promised`: no process of ours was alive, so nobody wrote a row."""
    began = now - dt.timedelta(seconds=(seconds or 0) + 5)
    conversation = arrived(session, channel, began)
    recording = recordings.expect(session, conversation=conversation, now=began) if promised else ""
    if seconds is not None:
        offer = answered(session, conversation, "ayse", now - dt.timedelta(seconds=seconds))
        event = CallCleared(conversation=conversation, offer=offer, agent="ayse", talked_s=seconds, by="agent")
        ledger.append(session, event, now=now)
    ended(session, conversation, now)
    return conversation, recording
