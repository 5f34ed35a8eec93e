"""What a CRM says is one voice among our own, and the weakest: a candidate with its source and a proposal, never a link or a proof."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cti import ledger
from cti.db import Database
from cti.events import CallIdentified, LinkProposed
from cti.identity import Level
from cti.line import Caller
from cti.records import contact_points, crm, links, parties, proposals
from cti.records.contact_points import Link
from cti.records.conversations import Conversation
from cti.records.crm import CrmParty
from cti.records.parties import Party
from cti.switchboard import arrived
from tests.fakes import company

UNKNOWN = "+905321112233"
ZEHRA = CrmParty(external_id="C-17", name="Zehra Öz", customer_no="2000001", tags=("vip", "tr"))


@pytest_asyncio.fixture
async def firm(any_db, now):
    return await any_db.work(company.load, now)


async def call(db: Database, now: dt.datetime, number: str = UNKNOWN, channel: str = "1.1") -> str:
    return (await db.work(arrived, Caller(channel, "02125550100", number, ""), region="TR", now=now)).conversation


async def apply(db: Database, conversation: str, answer: CrmParty, now: dt.datetime) -> bool:
    return await db.work(crm.apply, conversation, answer, now)


async def change(db: Database, conversation: str, **values: Any) -> None:
    def write(session: Session) -> None:
        row = session.get_one(Conversation, conversation)
        for name, value in values.items():
            setattr(row, name, value)

    await db.work(write)


async def row(db: Database, conversation: str) -> Conversation:
    return await db.read(lambda session: session.get_one(Conversation, conversation))


async def said(db: Database, kind: type) -> list[Any]:
    return [each.event for each in await db.read(ledger.since, 0) if isinstance(each.event, kind)]


async def by_crm(db: Database) -> list[CallIdentified]:
    return [each for each in await said(db, CallIdentified) if each.method == "crm"]


async def count(db: Database, table: type) -> int:
    return await db.read(lambda session: session.scalar(select(func.count()).select_from(table))) or 0


async def test_somebody_unknown_gets_a_name_a_source_and_a_proposal(any_db, now, firm):
    conversation, before = await call(any_db, now), await count(any_db, Link)
    assert await apply(any_db, conversation, ZEHRA, now)
    (event,) = await by_crm(any_db)
    (candidate,) = event.candidates
    assert (event.outcome, event.level, event.unlinked) == ("unique", Level.MATCHED, False)
    assert (candidate.party_name, candidate.link, candidate.reasons[0].key) == ("Zehra Öz", None, "crm")
    assert 0 < candidate.probability < 1
    stored = await row(any_db, conversation)
    assert (stored.outcome, stored.level, stored.party_id) == ("unique", Level.MATCHED, None)
    assert stored.candidates[0]["party"] == candidate.party
    (proposal,) = await said(any_db, LinkProposed)
    assert (proposal.party, proposal.reason, proposal.conversation) == (candidate.party, "crm", conversation)
    assert await count(any_db, Link) == before


async def test_the_new_party_has_what_the_crm_told(any_db, now, firm):
    await apply(any_db, await call(any_db, now), ZEHRA, now)
    party = await any_db.read(lambda session: session.scalars(select(Party).where(Party.external_id == "C-17")).one())
    assert (party.name, party.customer_no, party.tags, party.kind) == ("Zehra Öz", "2000001", "vip tr", "person")


async def test_the_same_answer_again_changes_nothing(any_db, now, firm):
    conversation = await call(any_db, now)
    assert await apply(any_db, conversation, ZEHRA, now)
    assert not await apply(any_db, conversation, ZEHRA, now)
    assert not await apply(any_db, conversation, replace(ZEHRA, name="Zehra Ak"), now)
    assert (len(await by_crm(any_db)), await count(any_db, Party)) == (1, 5)


async def test_the_next_call_finds_the_same_party_and_its_name_is_ours_to_change(any_db, now, firm):
    await apply(any_db, await call(any_db, now), ZEHRA, now)
    await apply(any_db, await call(any_db, now, channel="1.2"), replace(ZEHRA, name="Başka Biri"), now)
    first, second = await by_crm(any_db)
    assert first.candidates[0].party == second.candidates[0].party
    assert second.candidates[0].party_name == "Zehra Öz"


async def test_a_customer_number_of_ours_leads_to_our_customer_with_his_lines(any_db, now, firm):
    conversation = await call(any_db, now)
    await apply(any_db, conversation, replace(ZEHRA, customer_no="1000123"), now)
    (event,) = await by_crm(any_db)
    assert event.candidates[0].party == firm.ali
    assert set(event.candidates[0].subscriptions) == {firm.dsl, firm.landline}
    assert event.candidates[0].household == firm.household
    stored = await row(any_db, conversation)
    assert (stored.level, stored.subscription_id) == (Level.MATCHED, firm.dsl)


async def test_a_customer_number_that_is_somebody_elses_is_not_taken_from_him(any_db, now, firm):
    await any_db.work(lambda session: setattr(session.get_one(Party, firm.ali), "external_id", "C-1"))
    await apply(any_db, await call(any_db, now), replace(ZEHRA, customer_no="1000123"), now)
    (event,) = await by_crm(any_db)
    assert event.candidates[0].party != firm.ali
    held = await any_db.read(lambda session: session.scalar(select(Party.id).where(Party.customer_no == "1000123")))
    assert held == firm.ali


async def test_our_own_links_stay_and_the_answer_stands_beside_them(any_db, now, firm):
    conversation = await call(any_db, now, company.SHARED)
    ours = {each["party"]: each["link"] for each in (await row(any_db, conversation)).candidates}
    assert await apply(any_db, conversation, ZEHRA, now)
    (event,) = await by_crm(any_db)
    assert event.outcome == "ambiguous"
    assert {each.party: each.link for each in event.candidates if each.link} == ours
    assert [each.party_name for each in event.candidates if not each.link] == ["Zehra Öz"]


async def test_whom_our_links_name_already_only_gets_a_reason_more(any_db, now, firm):
    can = firm.strangers[0]
    await any_db.work(lambda session: setattr(session.get_one(Party, can), "external_id", "C-17"))
    conversation = await call(any_db, now, company.SHARED)
    before = {each["party"]: each["probability"] for each in (await row(any_db, conversation)).candidates}
    assert await apply(any_db, conversation, ZEHRA, now)
    (event,) = await by_crm(any_db)
    assert {each.party: each.probability for each in event.candidates} == before
    assert [each.party for each in event.candidates if "crm" in [reason.key for reason in each.reasons]] == [can]
    assert await said(any_db, LinkProposed) == []


@pytest.mark.parametrize(("unseen_days", "names"), [(30, ["Zehra Öz"]), (730, ["Can Öz", "Deniz Işık", "Zehra Öz"])])
async def test_links_that_the_operator_lets_fade_sooner_do_not_come_back_with_the_answer(
    any_db, now, firm, unseen_days, names
):
    later = now + dt.timedelta(days=100)
    caller = Caller("1.1", "02125550100", company.SHARED, "")
    arrival = await any_db.work(arrived, caller, region="TR", now=later, unseen_days=unseen_days)
    assert await any_db.work(crm.apply, arrival.conversation, ZEHRA, later, unseen_days)
    (event,) = await by_crm(any_db)
    assert sorted(each.party_name for each in event.candidates) == names


async def test_a_number_that_is_ours_without_doubt_is_not_discussed(any_db, now, firm):
    conversation = await call(any_db, now, company.HIS)
    assert not await apply(any_db, conversation, ZEHRA, now)
    assert await by_crm(any_db) == []


@pytest.mark.parametrize(
    "values", [{"state": "ended"}, {"proof": ["customer_number"], "level": 2}, {"party_id": "ayse"}]
)
async def test_an_answer_that_comes_after_the_end_a_proof_or_an_agents_word_is_left(any_db, now, firm, values):
    values = {"party_id": firm.ayse} if "party_id" in values else values
    conversation = await call(any_db, now)
    await change(any_db, conversation, **values)
    assert not await apply(any_db, conversation, ZEHRA, now)
    assert not await apply(any_db, "no such call", ZEHRA, now)
    assert (await by_crm(any_db), await said(any_db, LinkProposed)) == ([], [])
    assert await count(any_db, Party) == 4


async def test_a_disputed_link_does_not_come_back_by_the_crm(any_db, now, firm):
    def dispute(session: Session) -> None:
        party = parties.add_party(session, name=ZEHRA.name, now=now, source="test", external_id=ZEHRA.external_id)
        point = contact_points.ensure(session, "phone", UNKNOWN, now=now)
        link = links.link(session, point, role="owner", source="test", by="test", party=party.id, now=now)
        links.dispute(session, link.id, reason="not his", by="1001", now=now)

    await any_db.work(dispute)
    conversation = await call(any_db, now)
    assert not await apply(any_db, conversation, ZEHRA, now)
    assert await by_crm(any_db) == []


async def test_a_refused_proposal_is_not_made_again(any_db, now, firm):
    await apply(any_db, await call(any_db, now), ZEHRA, now)
    (proposed,) = await said(any_db, LinkProposed)
    await any_db.work(proposals.refuse, proposed.proposal, by="1001", now=now)
    await apply(any_db, await call(any_db, now, channel="1.2"), ZEHRA, now)
    assert len(await said(any_db, LinkProposed)) == 1


async def test_nobody_is_a_candidate_for_a_number_that_was_withheld(any_db, now, firm):
    assert not await apply(any_db, await call(any_db, now, "anonymous"), ZEHRA, now)
