"""Each click once: what a browser's command did the first time is what its repetition is told."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti.db import Base


class CommandDone(Base):
    """A command that was carried out, under the key that the browser made for it."""

    __tablename__ = "commands_done"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[str] = mapped_column(String(64))
    result: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[dt.datetime]


def once(session: Session, key: str, user: str, now: dt.datetime, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do it, unless this user did it already under this key; the first result either way."""
    full_key = hashlib.sha256(f"{user}\0{key}".encode()).hexdigest()
    done = session.get(CommandDone, full_key)
    if done is not None:
        return done.result
    result = do()
    session.add(CommandDone(key=full_key, user=user, result=result, at=now))
    return result
