from __future__ import annotations

import pytest
from sqlalchemy.exc import NoResultFound

from cti import ledger
from cti.events import FlowEntered, FlowHeard
from ivr import engine, store
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
    assert await db.read(store.running, "c1") == store.Kept("c1", 1, session, (), 3)
    assert await db.read(store.running, "c2") is None
