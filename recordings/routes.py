"""The door to recordings for browsers: what is known of one, its waveform, its sound. Every listening is in the ledger.

Supervisors and admins may hear all; an agent only calls that he answered himself. To an agent, a recording that is not his and one
that does not exist look the same.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse

from cti.auth import User, require
from cti.records import recordings
from cti.records.recordings import Recording
from cti.web import House, Problem, TheHouse
from recordings.store import Folder, Outside
from recordings.verdict import REASONS

router = APIRouter(prefix="/api/v1/recordings", tags=["recordings"])

LATER_PIECE = re.compile(
    r"\s*bytes\s*=\s*0*[1-9]\d*\s*-\s*\d*\s*", re.IGNORECASE
)  # one range that begins after the first byte


@dataclass(frozen=True)
class Described:
    """A recording, without its sound. Times are UTC; `reason_text` is in the reader's language."""

    id: str
    conversation: str
    state: str
    reason: str
    reason_text: str
    started_at: dt.datetime | None
    ended_at: dt.datetime | None
    duration_s: float | None
    talk_s: float | None
    size_bytes: int | None
    channels: int
    sha256: str


@dataclass(frozen=True)
class Waveform:
    """At most 1200 buckets over the whole length: left min, left max, right min, right max, each -128..127."""

    duration_s: float
    peaks: list[list[int]]


Listener = Annotated[User, Depends(require("agent", "supervisor", "admin"))]


async def _allowed(recording: UUID, listener: Listener, house: TheHouse) -> Recording:
    row = await house.db.read(recordings.by_id, str(recording))
    if listener.role == "agent" and not await _is_own(house, row, listener):
        raise Problem("forbidden", f"{listener.name} may only hear calls that he answered")
    if row is None:
        raise Problem("not-found", f"no recording {recording}")
    return row


Allowed = Annotated[Recording, Depends(_allowed)]


@router.get("/{recording}")
async def describe(row: Allowed, listener: Listener) -> Described:
    return Described(
        id=row.id, conversation=row.conversation, state=row.state, reason=row.reason,
        reason_text=REASONS.get(row.reason, {}).get(listener.language, ""), started_at=row.started_at, ended_at=row.ended_at,
        duration_s=row.duration_s, talk_s=row.talk_s, size_bytes=row.size_bytes, channels=row.channels, sha256=row.sha256,
    )  # fmt: skip


@router.get("/{recording}/peaks")
async def waveform(row: Allowed, house: TheHouse) -> Waveform:
    peaks = await house.db.read(recordings.peaks, row.id)
    if peaks is None:
        raise Problem("not-found", f"recording {row.id} is {row.state} and has no waveform")
    return Waveform(row.duration_s or 0.0, peaks)


@router.get("/{recording}/audio", response_class=FileResponse)
async def audio(row: Allowed, listener: Listener, house: TheHouse, request: Request) -> FileResponse:
    """A stereo WAV: left the caller, right what the caller heard. Takes Range, so that a player can jump."""
    if not row.path:
        raise Problem("not-found", f"recording {row.id} is {row.state} and has no sound")
    try:
        path = await asyncio.to_thread(Folder(house.settings.recordings).resolve, row.path)
    except (Outside, FileNotFoundError) as error:
        raise Problem("not-found", f"recording {row.id} is {row.state}, but its file is not there") from error
    from_start = not LATER_PIECE.fullmatch(request.headers.get("range", ""))
    now = house.clock()
    await house.db.work(recordings.played, row.id, user=listener.name, from_start=from_start, now=now)
    return FileResponse(
        path, media_type="audio/wav", filename=f"{row.id}.wav", content_disposition_type="inline",
        headers={"cache-control": "private, no-store"},
    )  # fmt: skip


async def _is_own(house: House, row: Recording | None, listener: User) -> bool:
    if row is None or not listener.agent:
        return False
    return await house.db.read(recordings.was_answered_by, row.conversation, listener.agent)
