"""What an agent's page may ask for: each command once, only on the agent's own conversations, its effect written before it is told.

The database part of a command is a plain function of a session; what the switch must do follows after the commit, through `Controls`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from cti import ledger
from cti.db import Database
from cti.events import CallWrappedUp, NoteWritten
from cti.line import Controls, LineFailed
from cti.records import timeline
from cti.records.commands import once
from cti.records.conversations import Conversation, Disposition, Offer
from screenpop import proving
from screenpop.protocol import Command
from screenpop.proving import AT_HOME, Spoken
from screenpop.refused import Refused

log = structlog.get_logger(__name__)

PAUSE_FOR_WRAP_UP = "wrap_up"


@dataclass(frozen=True)
class By:
    """Whose seat gives the command."""

    user: str
    agent: str
    device: str  # "" when the agent has no phone at the switch
    paused_for: str = ""  # why calls are kept away now, "" when they are not
    spoken: Spoken = AT_HOME


async def perform(
    command: Command, by: By, *, db: Database, controls: Controls, clock: Callable[[], dt.datetime]
) -> dict[str, Any]:
    """Carry out `command`; the same key again gives the first result. Raises Refused."""
    if command.name in ("pause", "ready"):
        await _pause(command, by, controls)
        return {}
    result = await db.work(_write, command, by, now=clock())
    if command.name == "hang_up":
        await _hang_up(result["device_channel"], controls)
    if command.name == "wrap_up" and by.paused_for == PAUSE_FOR_WRAP_UP:  # a pause of his own choice stays
        await _ready_again(by, controls)
    return result


async def _ready_again(by: By, controls: Controls) -> None:
    """What the agent wrote is kept already; a switch that does not answer now is asked again when wrap-up time is over."""
    try:
        await controls.pause(by.device, False, "")
    except LineFailed as error:
        log.warning("agent.ready_failed", agent=by.agent, error=str(error))


async def _pause(command: Command, by: By, controls: Controls) -> None:
    if not by.device:
        raise Refused("no_phone", f"{by.user} has no phone in a queue")
    try:
        await controls.pause(by.device, command.name == "pause", command.text[:64])
    except LineFailed as error:
        raise Refused("switch", str(error)) from error


async def _hang_up(device_channel: str, controls: Controls) -> None:
    try:
        await controls.hang_up(device_channel)
    except LineFailed as error:
        raise Refused("switch", str(error)) from error


def _write(session: Session, command: Command, by: By, *, now: dt.datetime) -> dict[str, Any]:
    do = DO[command.name]
    command = command.model_copy(update={"text": command.text.replace("\0", "")})  # which PostgreSQL does not store
    return once(session, command.key, by.user, now, lambda: do(session, command, by, now))


def _offer(session: Session, command: Command, by: By) -> Offer:
    """The agent's newest offer of this conversation: without one, the conversation is not his to touch."""
    offer = session.scalars(
        select(Offer)
        .where(Offer.conversation_id == command.conversation, Offer.agent == by.agent)
        .order_by(Offer.offered_at.desc())
    ).first()
    if offer is None or not by.agent:
        raise Refused("not_yours", f"expected a conversation offered to {by.agent!r}, got {command.conversation!r}")
    return offer


def _answered(session: Session, command: Command, by: By) -> tuple[Offer, Conversation]:
    offer = _offer(session, command, by)
    if offer.state != "answered":
        raise Refused("not_answered", f"expected an answered offer, {offer.id} is {offer.state}")
    return offer, session.get_one(Conversation, offer.conversation_id)


def _note(session: Session, command: Command, by: By, now: dt.datetime) -> dict[str, Any]:
    _, row = _answered(session, command, by)
    if row.note != command.text:
        row.note = command.text
        ledger.append(session, NoteWritten(conversation=row.id, agent=by.agent, text=command.text), now=now)
    return {}


def _wrap_up(session: Session, command: Command, by: By, now: dt.datetime) -> dict[str, Any]:
    offer, row = _answered(session, command, by)
    if offer.ended_at is None:
        raise Refused("still_talking", f"{row.id} is not over yet")
    if session.get(Disposition, command.value) is None:
        raise Refused("disposition", f"expected a disposition, got {command.value!r}")
    if offer.wrapped_up_at is None:
        offer.wrapped_up_at, row.disposition = now, command.value
        row.note = command.text
        event = CallWrappedUp(conversation=row.id, agent=by.agent, disposition=command.value, note=row.note)
        ledger.append(session, event, now=now, key=f"wrapped_up:{offer.id}")
        timeline.record_call(session, row, now)
    return {}


def _dismiss(session: Session, command: Command, by: By, now: dt.datetime) -> dict[str, Any]:
    offer = _offer(session, command, by)
    if offer.state != "withdrawn":
        raise Refused("not_withdrawn", f"only a missed offer can be put away, {offer.id} is {offer.state}")
    offer.dismissed_at = offer.dismissed_at or now
    return {}


def _confirm_party(session: Session, command: Command, by: By, now: dt.datetime) -> dict[str, Any]:
    _, row = _answered(session, command, by)
    proving.confirm(session, row, command.value, by=by.agent, now=now, unseen_days=by.spoken.unseen_days)
    return {}


def _link(session: Session, command: Command, by: By, now: dt.datetime) -> dict[str, Any]:
    _, row = _answered(session, command, by)
    proving.accept(session, row, command.value, by=by.agent, now=now)
    return {}


def _refuse_link(session: Session, command: Command, by: By, now: dt.datetime) -> dict[str, Any]:
    _, row = _answered(session, command, by)
    proving.refuse(session, row, command.value, by=by.agent, now=now)
    return {}


def _dispute(session: Session, command: Command, by: By, now: dt.datetime) -> dict[str, Any]:
    _, row = _answered(session, command, by)
    unseen_days = by.spoken.unseen_days
    proving.dispute(session, row, command.value, command.text, by=by.agent, now=now, unseen_days=unseen_days)
    return {}


def _prove(session: Session, command: Command, by: By, now: dt.datetime) -> dict[str, Any]:
    _, row = _answered(session, command, by)
    return proving.prove(session, row, command.value, command.text, by=by.agent, spoken=by.spoken, now=now)


def _hang_up_offer(session: Session, command: Command, by: By, now: dt.datetime) -> dict[str, Any]:
    offer, _ = _answered(session, command, by)
    return {"device_channel": offer.device_channel}


Do = Callable[[Session, Command, By, dt.datetime], dict[str, Any]]
DO: dict[str, Do] = {
    "note": _note,
    "wrap_up": _wrap_up,
    "dismiss": _dismiss,
    "confirm_party": _confirm_party,
    "link": _link,
    "refuse_link": _refuse_link,
    "dispute": _dispute,
    "prove": _prove,
    "hang_up": _hang_up_offer,
}
