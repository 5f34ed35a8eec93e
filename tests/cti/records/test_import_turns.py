"""An import sees that others write, and rests; alone it does not."""

from __future__ import annotations

import datetime as dt
import time

from sqlalchemy import func, insert

from cti.db import Database
from cti.records import parties
from cti.records.conversations import Conversation
from cti.records.import_turns import (
    BESIDE_S,
    GAP_S,
    HOLD_ALONE_S,
    HOLD_BESIDE_S,
    ONCE_S,
    PAGES_ALONE,
    PAGES_BESIDE,
    REST,
    Turns,
)


def look(session, turns: Turns) -> int:
    turns.look(session)
    carried = session.connection().exec_driver_sql("PRAGMA wal_autocheckpoint").scalar_one()
    return int(carried)


async def test_an_import_rests_for_as_long_as_somebody_else_writes(db, now):
    loading, turns = Database(db.url.render_as_string(), bulk=True), Turns()
    try:
        for _ in range(3):  # its own pieces are nobody else's
            await loading.work(parties.add_party, name="Ali", source="test", now=now)
            assert await loading.work(look, turns) == PAGES_ALONE
        assert (turns.beside, turns.hold_s, turns.rest_s(1.0)) == (False, HOLD_ALONE_S, GAP_S)

        await db.work(parties.add_party, name="Can", source="test", now=now)  # a call
        assert await loading.work(look, turns) == PAGES_BESIDE
        assert (turns.beside, turns.hold_s, turns.rest_s(0.01)) == (True, HOLD_BESIDE_S, REST * 0.01)
        assert 0 < turns.others_until - time.monotonic() <= ONCE_S, "it may have been somebody who signed in"
        await db.work(parties.add_party, name="Ece", source="test", now=now)
        await loading.work(look, turns)
        assert ONCE_S < turns.others_until - time.monotonic() <= BESIDE_S

        turns.others_until = time.monotonic()  # a minute later
        assert await loading.work(look, turns) == PAGES_ALONE
    finally:
        await loading.close()


async def test_on_postgresql_an_import_rests_while_people_call(pg, now):
    """Nodes write there all the time; only calls count."""
    turns = Turns()
    await pg.work(parties.add_party, name="Can", source="test", now=now)
    await pg.work(turns.look)
    assert turns.rest_s(1.0) == GAP_S
    for ago_s, rests in ((2 * BESIDE_S, GAP_S), (1.0, REST)):
        await pg.work(calls, ago_s)
        await pg.work(turns.look)
        assert turns.rest_s(1.0) == rests


def calls(session, ago_s: float) -> None:
    at = func.now() - dt.timedelta(seconds=ago_s)
    session.execute(insert(Conversation).values(
        id=str(ago_s), channel=str(ago_s), did="", raw="", number_kind="withheld", caller_name="", language="tr", outcome="withheld",
        level=0, candidates=[], intent="", queue="", state="ivr", note="", disposition="", end_reason="", arrived_at=at,
    ))  # fmt: skip
