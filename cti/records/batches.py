"""Imports: which file brought what, how far it was read, and whether it was undone."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from cti.db import Base


class Import(Base):
    """One file. What it brought carries its id as `batch`. `state`: running | done | undone."""

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
