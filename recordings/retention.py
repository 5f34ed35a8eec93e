"""Which recordings have been kept long enough. Pure: what is erased is decided here and done by `recordings.worker`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

ERASABLE = frozenset({"stored", "partial", "missing"})  # a missing one may still have pieces that nobody could read


@dataclass(frozen=True)
class Policy:
    """How long recordings are kept. `keep_days` None: for ever. Nothing of a conversation in `held` is erased (a dispute, a court)."""

    keep_days: int | None = 180
    held: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Kept:
    """What the decision needs to know of a recording."""

    id: str
    conversation: str
    state: str
    created_at: dt.datetime


def due(rows: Iterable[Kept], now: dt.datetime, policy: Policy) -> list[str]:
    """The ids to erase, in the order given. A recording made exactly `keep_days` ago is due."""
    if policy.keep_days is None:
        return []
    kept_since = now - dt.timedelta(days=policy.keep_days)
    return [
        row.id
        for row in rows
        if row.state in ERASABLE and row.created_at <= kept_since and row.conversation not in policy.held
    ]
