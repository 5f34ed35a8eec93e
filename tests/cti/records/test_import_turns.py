"""An import sees that others write, and rests; alone it does not."""

from __future__ import annotations

import time

from cti.db import Database
from cti.records import parties
from cti.records.import_turns import (
    BESIDE_S,
    GAP_S,
    HOLD_ALONE_S,
    HOLD_BESIDE_S,
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
        assert 0 < turns.others_until - time.monotonic() <= BESIDE_S

        turns.others_until = time.monotonic()  # a minute later
        assert await loading.work(look, turns) == PAGES_ALONE
    finally:
        await loading.close()


async def test_on_postgresql_nobody_waits_for_an_import(pg, now):
    turns = Turns()
    await pg.work(turns.look)
    await pg.work(parties.add_party, name="Can", source="test", now=now)
    await pg.work(turns.look)
    assert turns.rest_s(1.0) == GAP_S
