"""What was said, as rows: a recording is promised before it starts, claimed by one worker when the call is over, and then stands.

Not about files: those are `recordings/store.py`. A row outlives its audio: erasing leaves the row behind as a tombstone.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, ColumnElement, Index, String, bindparam, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti import ledger
from cti.db import Base
from cti.events import CallAnswered, RecordingErased, RecordingStarted, RecordingStored, RecordsRead
from cti.ledger import EventRow
from cti.records.conversations import Conversation, Offer

ADOPT_MAX = 100  # rows for files without one that a single piece of work adds
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Recording(Base):
    """One recording of a conversation. `state`:

    recording  promised, or going on, or waiting for a worker
    stored     the file is there and as long as the talk
    partial    the file is there, but something is wrong with it: `reason`, a key of recordings.verdict.REASONS
    missing    nothing that could be played: `reason`
    none       nobody talked, so there is nothing to keep
    erased     its time was over; the row is all that is left
    """

    __tablename__ = "recordings"
    __table_args__ = (Index("ix_recordings_state_created", "state", "created_at"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    conversation: Mapped[str] = mapped_column(String(36), index=True)
    state: Mapped[str] = mapped_column(String(16), default="recording")
    reason: Mapped[str] = mapped_column(String(32), default="")
    stem: Mapped[str] = mapped_column(
        String(64), default="", index=True
    )  # the switch's file name, when it is not the id
    path: Mapped[str] = mapped_column(String(100), default="")  # below the folder of recordings: yyyy/mm/dd/<id>.wav
    channels: Mapped[int] = mapped_column(default=0)  # 2: left the caller, right what the caller heard
    started_at: Mapped[dt.datetime | None]  # the first word with an agent
    ended_at: Mapped[dt.datetime | None]
    duration_s: Mapped[float | None]  # of the file
    talk_s: Mapped[float | None]  # by the ledger
    size_bytes: Mapped[int | None]
    sha256: Mapped[str] = mapped_column(String(64), default="")
    peaks: Mapped[list[list[int]] | None] = mapped_column(JSON(none_as_null=True), deferred=True)  # audio.Peaks
    tries: Mapped[int] = mapped_column(default=0)  # how often a worker began
    lease_until: Mapped[dt.datetime | None]  # until then the row belongs to the worker that claimed it
    created_at: Mapped[dt.datetime]
    erased_at: Mapped[dt.datetime | None]


OF_CONVERSATION = (  # asked for every pop, so it is made once: making it costs more than running it
    select(Recording)
    .where(Recording.conversation == bindparam("conversation"))
    .order_by(Recording.created_at, Recording.id)
)


def expect(session: Session, *, conversation: str, now: dt.datetime) -> str:
    """The id under which the switch may record now; its row and `RecordingStarted` are written with it. Asking twice for the same
    talk gives the same id; after a talk has begun, a new one, for the switch would write over the first talk's file."""
    promised = _promised(session, conversation)
    return promised if promised is not None else _add(session, conversation, stem="", now=now)


def of_conversation(session: Session, conversation: str) -> list[Recording]:
    """The recordings of one conversation, oldest first: mostly one, more after a way back into the flow or a fallback."""
    return list(session.scalars(OF_CONVERSATION, {"conversation": conversation}))


def by_id(session: Session, recording: str) -> Recording | None:
    return session.get(Recording, recording)


def peaks(session: Session, recording: str) -> list[list[int]] | None:
    """The waveform, which is too long to travel with every row. None: there is no such recording, or it has none (any more)."""
    return session.scalar(select(Recording.peaks).where(Recording.id == recording))


def was_answered_by(session: Session, conversation: str, agent: str) -> bool:
    """Did `agent` talk to this caller? Having been offered the call is not enough."""
    offers = select(Offer.id).where(
        Offer.conversation_id == conversation, Offer.agent == agent, Offer.state == "answered"
    )
    return session.scalar(offers.limit(1)) is not None


def played(session: Session, recording: str, *, user: str, from_start: bool, now: dt.datetime) -> None:
    """Note in the ledger that `user` listens. A request for a later piece is part of a listening that was noted already today;
    was it not, then somebody goes round the beginning, and it is noted as well."""
    if from_start or not _was_played(session, recording, user, now - dt.timedelta(days=1)):
        ledger.append(session, RecordsRead(user=user, what="recording", subject=recording), now=now)


# --- a worker's way through a row ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A row that belongs to one worker until `lease_until`. `attempt` counts from 1 and is its proof of ownership."""

    id: str
    conversation: str
    channel: str  # the switch's id of the caller's leg
    stem: str
    attempt: int
    lease_until: dt.datetime
    created_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a worker found. Without a playable file `path` is empty and only state, reason and the talk are known."""

    state: str
    reason: str = ""
    stem: str = ""
    path: str = ""
    channels: int = 0
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    duration_s: float | None = None
    talk_s: float | None = None
    size_bytes: int | None = None
    sha256: str = ""
    peaks: list[list[int]] | None = None


def claim(session: Session, *, now: dt.datetime, settle_s: float, lease_s: float) -> Claim | None:
    """Take the oldest row whose call ended at least `settle_s` ago and that nobody holds. None: nothing is due."""
    free = or_(Recording.lease_until.is_(None), Recording.lease_until <= now)
    due = (
        select(Recording.id, Conversation.channel)
        .join(Conversation, Conversation.id == Recording.conversation)
        .where(Recording.state == "recording", Conversation.ended_at <= now - dt.timedelta(seconds=settle_s), free)
        .order_by(Recording.created_at)
        .limit(1)
        .with_for_update(of=Recording, skip_locked=True)  # PostgreSQL: two nodes take two rows; SQLite has one writer
    )
    found = session.execute(due).first()
    if found is None:
        return None
    row = session.get_one(Recording, found.id)
    row.tries += 1
    row.lease_until = now + dt.timedelta(seconds=lease_s)
    session.flush()
    return Claim(row.id, row.conversation, found.channel, row.stem, row.tries, row.lease_until, row.created_at)


def postpone(session: Session, held: Claim, until: dt.datetime) -> None:
    """Give a row back that could not be finished now; nobody takes it before `until`."""
    session.execute(update(Recording).where(_still(held)).values(lease_until=until))


def finish(session: Session, held: Claim, result: Result, *, now: dt.datetime) -> bool:
    """Write what was found. False: the lease ran out and the row is somebody else's by now; nothing was written."""
    values = {name: getattr(result, name) for name in Result.__dataclass_fields__}
    changed = session.execute(
        update(Recording).where(_still(held)).values(**values, lease_until=None).returning(Recording.id)
    ).first()
    if changed is None:
        return False
    if result.state != "none":
        stored = RecordingStored(
            conversation=held.conversation,
            recording=held.id,
            duration_s=result.duration_s or 0.0,
            size_bytes=result.size_bytes or 0,
            state=result.state,
        )
        ledger.append(session, stored, now=now)
    return True


# --- files that nobody promised ---------------------------------------------------------------------------------------


def adopt(session: Session, stems: Iterable[str], *, now: dt.datetime) -> list[str]:
    """Rows for files that the dialplan named after the caller's channel because no process of ours was alive: the ids of the new
    ones. A conversation that still has an open row gets none: that row's worker finds the file by itself."""
    added = []
    for stem in [each for each in stems if not UUID.fullmatch(each)][:ADOPT_MAX]:
        conversation = session.scalar(
            select(Conversation.id).where(_has_channel(stem), Conversation.ended_at.is_not(None))
        )
        if conversation is not None and not _has_row(session, conversation, stem):
            added.append(_add(session, conversation, stem=stem, now=now))
    return added


def finished(session: Session, stems: Iterable[str]) -> list[Recording]:
    """The rows among these file names whose loose files are of no use any more."""
    names = list(stems)
    done = or_(Recording.path != "", Recording.state.in_(("none", "erased")))
    return list(session.scalars(select(Recording).where(done, or_(Recording.id.in_(names), Recording.stem.in_(names)))))


# --- the end ----------------------------------------------------------------------------------------------------------


def oldest_kept(session: Session, limit: int, *, besides: frozenset[str] = frozenset()) -> list[Recording]:
    """Rows that still may have audio, oldest first; none of the conversations `besides`, which may be old and many."""
    kept = Recording.state.in_(("stored", "partial", "missing")) & Recording.conversation.not_in(besides)
    return list(session.scalars(select(Recording).where(kept).order_by(Recording.created_at).limit(limit)))


def erase(session: Session, recording: str, *, now: dt.datetime) -> None:
    """Make the row a tombstone. Call it after the files are gone: a crash in between then only repeats the unlinking."""
    row = session.get(Recording, recording)
    if row is None or row.state == "erased":
        return
    gone: dict[str, Any] = {"state": "erased", "path": "", "peaks": None, "erased_at": now}
    session.execute(update(Recording).where(Recording.id == recording).values(**gone))
    ledger.append(session, RecordingErased(conversation=row.conversation, recording=recording), now=now)


def _promised(session: Session, conversation: str) -> str | None:
    """The conversation's open row, as long as no talk has begun since it was promised."""
    marks = (RecordingStarted.type, CallAnswered.type)
    newest = select(EventRow).where(EventRow.conversation == conversation, EventRow.type.in_(marks))
    event = session.scalars(newest.order_by(EventRow.seq.desc()).limit(1)).first()
    if event is None or event.type != RecordingStarted.type:
        return None
    row = session.get(Recording, event.body["recording"])
    return row.id if row is not None and row.state == "recording" else None


def _add(session: Session, conversation: str, *, stem: str, now: dt.datetime) -> str:
    row = Recording(id=ledger.uuid7(now), conversation=conversation, stem=stem, created_at=now)
    session.add(row)
    session.flush()
    ledger.append(session, RecordingStarted(conversation=conversation, recording=row.id), now=now)
    return row.id


def _still(held: Claim) -> ColumnElement[bool]:
    return (Recording.id == held.id) & (Recording.state == "recording") & (Recording.tries == held.attempt)


def _has_channel(stem: str) -> ColumnElement[bool]:
    """The dialplan writes 1795311706-4 for the channel 1795311706.4; other dialplans may keep the dot."""
    return Conversation.channel.in_((stem, ".".join(stem.rsplit("-", 1))))


def _has_row(session: Session, conversation: str, stem: str) -> bool:
    known = or_(Recording.stem == stem, Recording.state == "recording")
    return (
        session.scalar(select(Recording.id).where(Recording.conversation == conversation, known).limit(1)) is not None
    )


def _was_played(session: Session, recording: str, user: str, since: dt.datetime) -> bool:
    reads = select(EventRow.seq).where(
        EventRow.type == RecordsRead.type,
        EventRow.at >= since,
        EventRow.body["what"].as_string() == "recording",
        EventRow.body["subject"].as_string() == recording,
        EventRow.body["user"].as_string() == user,
    )
    return session.scalar(reads.limit(1)) is not None
