"""Whose page is where, and who is out of reach: on both engines."""

from __future__ import annotations

import datetime as dt

import pytest

from cti.records import presence
from cti.records.presence import GRACE_S

LATER = dt.timedelta(seconds=GRACE_S + 0.1)
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def there(any_db, now):
    """Run pieces of work on the database, and ask who is out of reach at a moment."""

    class There:
        async def __call__(self, piece, *args):
            return await any_db.work(piece, *args)

        async def unreachable(self, at: dt.datetime) -> list[str]:
            found: list[str] = await any_db.read(presence.unreachable, at)
            return found

    return There()


async def test_a_page_that_is_lost_makes_its_agent_unreachable_after_a_while(there, now):
    await there(presence.attached, "zeynep", "n1", now)
    assert await there.unreachable(now + LATER) == []
    await there(presence.lost, "zeynep", "n1", now)
    assert await there.unreachable(now + dt.timedelta(seconds=GRACE_S)) == []
    assert await there.unreachable(now + LATER) == ["zeynep"]


async def test_a_loss_that_is_heard_twice_counts_from_the_first_time(there, now):
    await there(presence.attached, "zeynep", "n1", now)
    await there(presence.lost, "zeynep", "n1", now)
    await there(presence.lost, "zeynep", "n1", now + LATER)
    assert await there.unreachable(now + LATER) == ["zeynep"]


async def test_who_closes_his_page_is_called_as_before(there, now):
    await there(presence.attached, "zeynep", "n1", now)
    await there(presence.left, "zeynep", "n1")
    assert await there.unreachable(now + LATER) == []


@pytest.mark.parametrize("node", ["n1", "n2"])
async def test_who_comes_back_to_this_node_or_another_is_reachable_at_once(there, now, node):
    await there(presence.attached, "zeynep", "n1", now)
    await there(presence.lost, "zeynep", "n1", now)
    await there(presence.attached, "zeynep", node, now + LATER)
    assert await there.unreachable(now + 2 * LATER) == []


async def test_a_page_that_moved_is_not_lost_when_the_old_node_notices_late(there, now):
    await there(presence.attached, "zeynep", "n1", now)
    await there(presence.attached, "zeynep", "n2", now + SECOND)
    await there(presence.lost, "zeynep", "n1", now + 2 * SECOND)
    assert await there.unreachable(now + 2 * LATER) == []
    await there(presence.left, "zeynep", "n2")
    assert await there.unreachable(now + 2 * LATER) == []


async def test_with_two_browsers_on_two_nodes_the_last_loss_counts(there, now):
    for node in ("n1", "n2"):
        await there(presence.attached, "zeynep", node, now)
    await there(presence.lost, "zeynep", "n1", now)
    assert await there.unreachable(now + LATER) == []
    await there(presence.lost, "zeynep", "n2", now + 3 * SECOND)
    assert await there.unreachable(now + LATER) == []
    assert await there.unreachable(now + LATER + 3 * SECOND) == ["zeynep"]


async def test_a_node_that_dies_takes_its_pages_with_it_and_no_others(there, now):
    for agent, node in (("zeynep", "n1"), ("ayşe", "n1"), ("murat", "n2")):
        await there(presence.attached, agent, node, now)
    await there(presence.lost_with, "n1", now)
    assert await there.unreachable(now + LATER) == sorted(["ayşe", "zeynep"])
    await there(presence.forget, "ayşe")
    assert await there.unreachable(now + LATER) == ["zeynep"]


async def test_after_a_gap_the_rows_say_again_what_is_so(there, now):
    for agent in ("came back unheard", "went unheard", "here all the time"):
        await there(presence.attached, agent, "n1", now)
    await there(presence.attached, "elsewhere", "n2", now)
    await there(presence.lost, "came back unheard", "n1", now)
    await there(presence.settle, "n1", ["came back unheard", "here all the time", "came unheard"], now)
    assert await there.unreachable(now + LATER) == ["went unheard"]
