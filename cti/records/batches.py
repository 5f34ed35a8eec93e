"""Imports: which file brought what, how far it was read, and whether it was undone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, String, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti.db import Base
from cti.events import ImportEnded
from cti.ledger import append

FILE_MAX = 300


class Overtaken(RuntimeError):
    """Somebody else goes on with this import, or has undone it: nothing of this piece is written."""


class Import(Base):
    """One file. What it brought carries its id as `batch`. `state`: running | done | undoing | undone."""

    __tablename__ = "imports"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    file: Mapped[str] = mapped_column(String(300))
    checksum: Mapped[str] = mapped_column(String(64))  # SHA-256 of the file, so that only the same file is resumed
    mapping: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    line: Mapped[int]  # everything up to this line is in
    counts: Mapped[dict[str, int]] = mapped_column(JSON)
    started_at: Mapped[dt.datetime]
    ended_at: Mapped[dt.datetime | None]
    by: Mapped[str] = mapped_column(String(64))


def begin(
    session: Session, *, file: str, checksum: str, mapping: Mapping[str, Any], by: str, now: dt.datetime
) -> Import:
    row = Import(
        file=file[-FILE_MAX:],
        checksum=checksum,
        mapping=dict(mapping),
        state="running",
        line=0,
        counts={},
        started_at=now,
        by=by[:64],
    )
    session.add(row)
    session.flush()
    return row


def unfinished(session: Session, checksum: str, mapping: Mapping[str, Any]) -> Import | None:
    """The newest import of this very file, with this mapping, that was not read to its end."""
    query = select(Import).where(Import.checksum == checksum, Import.state == "running").order_by(Import.id.desc())
    return next((each for each in session.scalars(query) if each.mapping == dict(mapping)), None)


def done(session: Session, checksum: str, mapping: Mapping[str, Any]) -> Import | None:
    """The newest import of this very file, with this mapping, that was read to its end."""
    query = select(Import).where(Import.checksum == checksum, Import.state == "done").order_by(Import.id.desc())
    return next((each for each in session.scalars(query) if each.mapping == dict(mapping)), None)


def advance(session: Session, batch: int, *, seen: int, line: int, counts: Mapping[str, int]) -> None:
    """Everything up to `line` is in. Overtaken when the import does not stand at the line `seen` any more."""
    stands = (Import.id == batch, Import.line == seen, Import.state == "running")
    done: Any = session.execute(update(Import).where(*stands).values(line=line, counts=dict(counts)))
    if done.rowcount != 1:
        raise Overtaken(
            f"expected import {batch} at line {seen} and running; somebody else went on with it, or undid it"
        )


def finish(session: Session, batch: int, *, counts: Mapping[str, int], by: str, now: dt.datetime) -> None:
    """The file is read to its end: the one event of an import."""
    row = the(session, batch)
    row.state, row.ended_at, row.counts = "done", max(now, row.started_at), dict(counts)
    ended = ImportEnded(
        batch=batch, file=row.file, rows=counts.get("rows", 0), rejected=counts.get("rejected", 0), by=by
    )
    append(session, ended, now=now)


def the(session: Session, batch: int) -> Import:
    """LookupError when there is no such import."""
    row = session.get(Import, batch)
    if row is None:
        raise LookupError(f"expected the number of an import (santral import list), got {batch}")
    return row


def newest(session: Session, limit: int = 50) -> Sequence[Import]:
    """The imports, newest first."""
    return session.scalars(select(Import).order_by(Import.id.desc()).limit(limit)).all()
