"""How an import shares a database: alone it goes at full speed, beside calls it takes a part of the time.

SQLite has one writer, and both engines have one disk that readers wait for too. Whether somebody else writes SQLite tells itself; on
PostgreSQL nodes write all the time to say that they live, so there it is calls that are looked for.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cti.records.conversations import Conversation

HOLD_BESIDE_S, HOLD_ALONE_S = 0.015, 0.35  # a piece holds the one writer, for which calls wait too, for about so long
GAP_S = (
    0.003  # after each piece, so that another process's writer, which looks every millisecond (cti.db), finds it free
)
REST = 20.0  # beside others: after a piece it rests for so many times as long as the piece took
BESIDE_S = 60.0  # so long after somebody else's last piece of work it takes him to be there still
ONCE_S = 5.0  # the same when it was a single one: somebody signed in, a call makes several
# Pages of the log after which it is carried over into the tables. Few at a time are no more than a blink of the disk; many spare it
# those that were written several times.
PAGES_BESIDE, PAGES_ALONE = 250, 32_000

CALLED = select(Conversation.id).where(Conversation.arrived_at > func.now() - dt.timedelta(seconds=BESIDE_S)).limit(1)


@dataclass
class Turns:
    """What one import knows of the others. Used from the piece that is being written, and between two of them."""

    version: int | None = (
        None  # of the database, as its last piece saw it: SQLite changes it when another connection commits
    )
    seen_at: float = -BESIDE_S  # time.monotonic() of their last piece of work
    others_until: float = 0.0  # time.monotonic() until which others count as being there

    @property
    def beside(self) -> bool:
        return time.monotonic() < self.others_until

    @property
    def hold_s(self) -> float:
        """How long the next piece may hold the writer."""
        return HOLD_BESIDE_S if self.beside else HOLD_ALONE_S

    def look(self, session: Session) -> None:
        """Within a piece: whether anybody wrote since the last one, or called lately."""
        connection = session.connection()
        if connection.dialect.name != "sqlite":
            self.others_until = time.monotonic() + BESIDE_S if session.scalar(CALLED) else 0.0
            return
        version = connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        if self.version not in (None, version):
            now = time.monotonic()
            again = now - self.seen_at < BESIDE_S / 2
            self.others_until, self.seen_at = max(self.others_until, now + (BESIDE_S if again else ONCE_S)), now
        self.version = version
        connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={PAGES_BESIDE if self.beside else PAGES_ALONE}")

    def rest_s(self, held_s: float) -> float:
        """How long to stay away after a piece that held the writer for `held_s`."""
        return max(GAP_S, REST * held_s) if self.beside else GAP_S
