"""Proof by keys or by answers: what somebody keyed against what the records know, with guesses counted and slowed."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from cti.db import Base


class GuessCount(Base):
    """Wrong answers of one number, trunk or subscription since the beginning of its window."""

    __tablename__ = "guesses"

    key: Mapped[str] = mapped_column(
        String(100), primary_key=True
    )  # number:+90… | trunk:+90… | subscription:<id> | all
    since: Mapped[dt.datetime]
    count: Mapped[int]
    alarmed_at: Mapped[dt.datetime | None]
