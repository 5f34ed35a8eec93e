"""What somebody said is not his, or nobody was met on for too long, does not come back because it is written once more."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select
from sqlalchemy.orm import Session

from cti.db import Database
from cti.records import links, parties
from cti.records.timeline import Interaction
from tests.cti.records.mobile import NOW, called, linked, matches, prepare


@pytest_asyncio.fixture
async def people(any_db):
    return await any_db.work(prepare)


ENDED = ("not_theirs", "mistake", "revoked", "expired")


async def disown(db: Database, link: str, how: str) -> None:
    if how == "disputed":
        await db.work(links.dispute, link, reason="revoked", by="sms", now=NOW)
    else:
        await db.work(links.end_link, link, reason=how, by="agent1", now=NOW)


@pytest.mark.parametrize("how", ["disputed", *ENDED])
@pytest.mark.parametrize("role", ["owner", "user"])
async def test_what_was_disowned_does_not_match_again_in_any_role(any_db, people, how, role):
    mobile, ali = people["mobile"], people["Ali"]
    await disown(any_db, await linked(any_db, mobile, party=ali, role="user"), how)
    with pytest.raises(links.Disowned, match="expired" if how == "expired" else "disputed"):
        await linked(any_db, mobile, party=ali, role=role, source="import")
    assert not await matches(any_db)
    pairs = {(mobile, ali), (mobile, people["Veli"]), (mobile, people["home"])}
    assert await any_db.read(links.disowned, pairs) == {(mobile, ali)}
    await linked(any_db, mobile, party=ali, role="former")
    await linked(any_db, mobile, party=ali, role=role, again=True)
    assert await matches(any_db), "a person insisted"


@pytest.mark.parametrize("whose", ["home", "Ali"])
async def test_proof_brings_it_back_for_every_later_writer(any_db, people, whose):
    mobile, named = people["mobile"], {"household" if whose == "home" else "party": people[whose]}
    await disown(any_db, await linked(any_db, mobile, role="user", **named), "not_theirs")
    await linked(any_db, mobile, role="user", state="verified", **named)
    assert await any_db.read(links.disowned, {(mobile, people[whose])}) == set()
    await linked(any_db, mobile, role="owner", source="import", **named)


@pytest.mark.parametrize("reason", ["sold", "ended", "import undone"])
async def test_what_was_true_of_its_time_is_not_disowned(any_db, people, reason):
    link = await linked(any_db, people["mobile"], party=people["Ali"])
    await any_db.work(links.end_link, link, reason=reason, by="agent1", now=NOW)
    assert await any_db.read(links.disowned, {(people["mobile"], people["Ali"])}) == set()
    await linked(any_db, people["mobile"], party=people["Ali"])


async def test_many_are_asked_at_once(any_db, people):
    await disown(any_db, await linked(any_db, people["mobile"], party=people["Ali"]), "not_theirs")
    pairs = {(f"point{each}", "nobody") for each in range(2 * links.ASKED_AT_ONCE)}
    his = (people["mobile"], people["Ali"])
    assert await any_db.read(links.disowned, pairs | {his}) == {his}


async def test_a_disputed_link_takes_its_calls_from_the_line_but_not_those_that_somebody_confirmed_or_proved(
    any_db, people
):
    link = await linked(any_db, people["mobile"], party=people["Ali"])

    def calls(session: Session) -> str:
        ali = session.get_one(parties.Party, people["Ali"])
        line = parties.add_subscription(session, number="1", kind="dsl", holder=ali, now=NOW).id
        led: dict[str, Any] = {"subscription_id": line, "candidates": [{"link": link}]}
        called(session, "matched", NOW, **led)
        called(session, "confirmed", NOW, **led, party_id=ali.id)
        called(session, "proved", NOW, **led, proof=["birth_date"])
        called(session, "elsewhere", NOW, subscription_id=line, candidates=[{"link": "another"}])
        return line

    line = await any_db.work(calls)
    await any_db.work(links.dispute, link, reason="", by="a", now=NOW)
    rows = await any_db.read(
        lambda session: session.scalars(select(Interaction).where(Interaction.conversation != "call")).all()
    )
    assert {row.conversation: row.subscription_id for row in rows} == {
        "matched": None, "confirmed": line, "proved": line, "elsewhere": line,
    }  # fmt: skip
