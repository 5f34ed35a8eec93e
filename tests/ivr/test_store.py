from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.exc import NoResultFound

from cti import ledger
from cti.events import FlowEntered, FlowHeard
from ivr import engine, steps, store
from ivr.fields import DocumentError


def event(node: str) -> FlowEntered:
    return FlowEntered(conversation="c1", node=node)


async def test_seeding_twice_publishes_once(db, now):
    assert await db.work(store.seed, now) == {"main": 1}
    assert await db.work(store.seed, now) == {"main": 1}
    published = await db.read(store.published, "main")
    assert (published.document.id, published.version) == ("main", 1)


async def test_a_published_version_stays_and_an_admins_own_is_not_overwritten(db, now):
    await db.work(store.seed, now)
    changed = store.shipped("main")
    changed["title"] = {"tr": "Bizim karşılama", "en": "Our reception"}
    assert await db.work(store.publish, changed, by="deniz", now=now) == 2
    assert await db.work(store.publish, changed, by="deniz", now=now) == 2
    assert await db.work(store.seed, now) == {"main": 2}
    assert (await db.read(store.published, "main")).document.title["tr"] == "Bizim karşılama"
    assert (await db.read(store.version, "main", 1)).document.title["tr"] == "Ana karşılama"


async def test_what_is_no_flow_is_not_published(db, now):
    with pytest.raises(DocumentError):
        await db.work(store.publish, {"format": 1}, by="deniz", now=now)
    with pytest.raises(NoResultFound):
        await db.read(store.published, "main")


async def test_a_session_and_its_events_are_kept_together_and_only_once(db, now):
    session = engine.Session("main", "menu", "tr", facts={"restarted": "yes"})
    first = store.Kept("c1", 1, session, (event("a"), event("b")), 0)
    await db.work(store.keep, first, now)
    again = store.Kept(
        "c1", 1, session, (event("a"), event("b"), FlowHeard(conversation="c1", node="menu", kind="noinput")), 0
    )
    await db.work(store.keep, again, now)
    recorded = await db.read(ledger.of_conversation, "c1")
    assert [each.event.type for each in recorded] == ["flow.entered", "flow.entered", "flow.heard"]
    assert await db.work(store.take, "c1") == store.Kept("c1", 1, session, (), 3, generation=1)
    assert await db.work(store.take, "c2") is None


async def test_what_is_not_done_yet_and_half_an_answer_are_kept_too(db, now):
    session = engine.Session("main", "customer_number", "tr")
    todo = (steps.Speak(("opened",), "tell", report=True), steps.ToQueue("technical", "fault"))
    await db.work(store.keep, store.Kept("c1", 1, session, (), 0, todo, "12"), now)
    await db.work(store.keep_keyed, "c1", 0, 0, "1234")
    kept = await db.work(store.take, "c1")
    assert kept is not None
    assert (kept.todo, kept.keyed) == (todo, "1234")


async def test_a_driver_whose_call_was_taken_over_writes_no_more(db, now):
    session = engine.Session("main", "menu", "tr")
    await db.work(store.keep, store.Kept("c1", 1, session, (event("a"),), 0), now)
    await db.work(store.take, "c1")
    with pytest.raises(store.Superseded):
        await db.work(store.keep, store.Kept("c1", 1, session, (event("b"),), 1), now)
    await db.work(store.keep_keyed, "c1", 0, 0, "99")
    assert [each.event.node for each in await db.read(ledger.of_conversation, "c1")] == ["a"]
    newer = store.Kept("c1", 1, session, (event("b"),), 1, generation=1)
    await db.work(store.keep, newer, now)
    kept = await db.work(store.take, "c1")
    assert kept is not None
    assert (kept.keyed, kept.generation) == ("", 2)


async def test_a_keeping_that_comes_late_puts_nothing_back_and_writes_nothing_twice(any_db, now):
    """A driver gives up waiting for one and sends the next: whichever commits first, each event stands there once."""

    def kept(node: str, turn: int, *events: str) -> store.Kept:
        session = engine.Session("main", node, "tr")
        return store.Kept("c1", 1, session, tuple(event(each) for each in events), 0, turn=turn)

    await any_db.work(store.keep, kept("menu", 1, "a"), now)
    late, later = kept("menu", 2, "a", "b"), kept("restarted", 3, "a", "b", "c")
    await asyncio.gather(*(any_db.work(store.keep, each, now) for each in (later, late)))
    await any_db.work(store.keep, late, now)
    await any_db.work(store.keep_keyed, "c1", 0, 2, "99")
    recorded = await any_db.read(ledger.of_conversation, "c1")
    assert [each.event.node for each in recorded] == ["a", "b", "c"]
    stood = await any_db.work(store.take, "c1")
    assert stood is not None
    assert (stood.session.node, stood.keyed) == ("restarted", "")
