"""An unlinked number is asked about once; and whoever only pretends to call from it gets no link and no say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cti import ledger
from cti.db import Database
from cti.events import CallIdentified, LinkMade, LinkProposalSettled, LinkProposed
from cti.identity import Level, Outcome
from cti.records import link_notices, links, number_life, proposals
from cti.records.contact_points import ContactPoint, Link
from cti.records.proposals import AGENT_PROOF, CALLER, Counts, NotProven, Proposal
from tests.cti.records.offers import (
    DAY,
    HOUR,
    NEW,
    NOW,
    accepted,
    called,
    link_of,
    offered,
    outcome,
    proposed,
    sent,
    told,
)  # fmt: skip
from tests.fakes import company
from tests.fakes.company import Company


@pytest_asyncio.fixture
async def home(any_db: Database) -> Company:
    return await any_db.work(company.load, NOW - 30 * DAY)


@pytest_asyncio.fixture
async def offer(any_db: Database, home: Company) -> Proposal:
    """Ayşe proved by keys who she is, from a mobile that nobody knows."""
    return await offered(any_db, home)


# --- asked once -------------------------------------------------------------------------------------------------------


async def test_a_proven_caller_on_an_unlinked_number_is_proposed_once(any_db, home, offer):
    assert (offer.whom, offer.value, offer.reason, offer.state, offer.link) == (
        "Ayşe Yılmaz", NEW, "keyed", "open", None,
    )  # fmt: skip
    again = await proposed(any_db, NOW + HOUR, party=home.ayse, conversation="c2")
    assert again is not None
    assert (again.id, again.conversation) == (offer.id, "c2")
    assert await any_db.read(proposals.of_conversation, "c2") == again
    assert await any_db.read(proposals.of_conversation, "c1") is None
    assert await any_db.read(proposals.open_ones) == [again]
    assert len(await told(any_db, LinkProposed)) == 1


async def test_two_who_propose_at_once_make_one_proposal(any_db, home):
    made = await asyncio.gather(*(proposed(any_db, party=home.ayse) for _ in range(8)))
    assert len({each.id for each in made if each}) == 1
    assert len(await told(any_db, LinkProposed)) == 1


async def test_a_refusal_is_remembered_for_a_year_and_only_of_that_person(any_db, home, offer):
    assert await any_db.work(proposals.refuse, offer.id, by=CALLER, now=NOW)
    assert not await any_db.work(proposals.refuse, offer.id, by="agent1", now=NOW)
    assert await proposed(any_db, NOW + 364 * DAY, party=home.ayse) is None
    assert await proposed(any_db, NOW + 364 * DAY, party=home.ali) is not None
    assert await proposed(any_db, NOW + 366 * DAY, party=home.ayse) is not None
    with pytest.raises(ValueError, match="expected an open proposal, got one that is refused"):
        await accepted(any_db, offer.id)
    assert await told(any_db, LinkMade) == (await told(any_db, LinkMade))[:4], "only the company's own"


async def test_a_number_that_is_linked_already_is_not_proposed(any_db, home):
    assert await proposed(any_db, number=company.HIS, party=home.ali) is None
    assert await proposed(any_db, number=company.HIS, party=home.ayse) is not None


async def test_nobody_decides_and_it_lapses_and_may_be_asked_again(any_db, home, offer):
    assert await any_db.work(proposals.lapse, NOW + 29 * DAY) == 0
    assert await any_db.work(proposals.lapse, NOW + 31 * DAY) == 1
    assert await any_db.work(proposals.lapse, NOW + 31 * DAY) == 0
    again = await proposed(any_db, NOW + 31 * DAY, party=home.ayse)
    assert again is not None
    assert again.id != offer.id
    assert [each.state for each in await told(any_db, LinkProposalSettled)] == ["lapsed"]


@pytest.mark.parametrize(
    "wrong", [{}, {"party": "a", "household": "b"}, {"party": "a", "role": "king"}, {"party": "a", "reason": "because"}]
)
async def test_a_proposal_that_makes_no_sense_is_refused(db, wrong):
    with pytest.raises(ValueError, match="expected"):
        await proposed(db, **wrong)


async def test_a_proposal_that_is_not_there_is_named(db):
    for do in (accepted(db, "none"), db.work(proposals.refuse, "none", by="x", now=NOW)):
        with pytest.raises(LookupError, match="got 'none'"):
            await do


# --- accepted ---------------------------------------------------------------------------------------------------------


async def test_accepted_twice_and_by_two_at_once_it_is_one_link(any_db, home, offer):
    made = await asyncio.gather(*(accepted(any_db, offer.id, by) for by in (CALLER, "agent1", CALLER, "agent2")))
    assert len(set(made)) == 1
    assert await accepted(any_db, offer.id, now=NOW + HOUR) == made[0]
    assert [each.link for each in await told(any_db, LinkProposalSettled)] == [made[0]]
    assert len(await sent(any_db)) == 1
    row = await link_of(any_db, made[0])
    assert (row.party_id, row.state, row.role) == (home.ayse, "unverified", "user")
    assert await outcome(any_db) is Outcome.UNIQUE, "the second call is greeted as known"


async def test_the_same_made_by_hand_meanwhile_is_that_link(any_db, home, offer):
    def by_hand(session: Session) -> str:
        point = session.get_one(ContactPoint, offer.contact_point)
        return links.link(session, point, party=home.ayse, role="owner", source="agent", by="agent1", now=NOW).id

    made = await any_db.work(by_hand)
    assert await accepted(any_db, offer.id) == made


@pytest.mark.parametrize("whose", ["household", "subscription"])
async def test_a_household_and_a_line_may_be_proposed_too(any_db, home, whose):
    await called(any_db)
    offer = await proposed(any_db, **{whose: home.household if whose == "household" else home.dsl})
    assert offer is not None
    assert offer.whom == ("Yılmaz" if whose == "household" else "8001")
    await accepted(any_db, offer.id)
    ((to, _),) = await sent(any_db)
    assert to == company.HIS


# --- who only spoofs a number -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"level": Level.NONE}, "keyed"),
        ({"level": Level.MATCHED}, "keyed"),
        ({"level": Level.MATCHED}, "crm"),
        ({"level": Level.STRONG}, "crm"),  # he proved who he is, but not that this is so
        ({"level": Level.STRONG}, "message"),
        ({"level": Level.STRONG, "number": None}, "keyed"),  # withheld
        ({"level": Level.STRONG, "number": "+905445550100"}, "keyed"),  # another number than the proposed one
    ],
)
async def test_a_link_cannot_be_made_by_someone_who_only_spoofs_a_number(any_db, home, call, reason):
    await called(any_db, **call)
    offer = await proposed(any_db, party=home.ayse, reason=reason)
    assert offer is not None
    with pytest.raises(NotProven):
        await accepted(any_db, offer.id)
    assert (await any_db.read(proposals.by_id, offer.id)).state == "open"
    assert await outcome(any_db) is Outcome.NONE


async def test_a_call_that_is_not_in_the_records_proves_nothing(db):
    home = await db.work(company.load, NOW)
    for conversation in (None, "no-such"):
        offer = await proposed(db, party=home.ayse, conversation=conversation)
        assert offer is not None
        with pytest.raises(NotProven):
            await accepted(db, offer.id)


async def test_a_guess_from_the_number_does_not_take_the_place_of_a_proof(any_db, home, offer):
    """An attacker calls from the number later, and another system says whose it is: the offer stays that of the proven call."""
    await called(any_db, "spoofed", level=Level.MATCHED)
    again = await proposed(any_db, party=home.ayse, reason="crm", conversation="spoofed")
    assert again is not None
    assert (again.id, again.reason, again.conversation) == (offer.id, "keyed", "c1")
    assert await any_db.read(proposals.of_conversation, "spoofed") is None


async def test_a_proof_takes_the_place_of_a_guess(any_db, home):
    await called(any_db, "first", level=Level.MATCHED)
    guess = await proposed(any_db, party=home.ayse, reason="crm", conversation="first")
    await called(any_db)
    again = await proposed(any_db, party=home.ayse)
    assert again is not None
    assert guess is not None
    assert (again.id, again.reason, again.conversation) == (guess.id, "keyed", "c1")
    await accepted(any_db, again.id)


async def test_voice_alone_never_makes_a_verified_link(any_db, home, offer):
    for by in (CALLER, link_notices.BY):
        with pytest.raises(NotProven):
            await accepted(any_db, offer.id, by, method=AGENT_PROOF)
    row = await link_of(any_db, await accepted(any_db, offer.id, "agent1", method=AGENT_PROOF))
    assert (row.state, row.method) == ("unverified", ""), "it was level 2"


async def test_an_agent_who_had_him_prove_it_makes_a_verified_link_and_nobody_is_asked(any_db, home):
    await called(any_db, level=Level.VERIFIED)
    offer = await proposed(any_db, party=home.ayse, reason="agent")
    assert offer is not None
    row = await link_of(any_db, await accepted(any_db, offer.id, "agent1", method=AGENT_PROOF))
    assert (row.state, row.method, row.verified_by) == ("verified", AGENT_PROOF, "agent1")
    assert await sent(any_db) == []


async def test_whom_an_agent_merely_confirmed_gets_no_verified_link_and_no_voice(any_db, home):
    """Somebody proved who he is, and an agent took him for another customer."""
    await called(any_db, level=Level.STRONG)
    offer = await proposed(any_db, party=home.strangers[0], reason="agent")
    assert offer is not None
    with pytest.raises(NotProven):
        await accepted(any_db, offer.id)
    row = await link_of(any_db, await accepted(any_db, offer.id, "agent1", method=AGENT_PROOF))
    assert row.state == "unverified"


async def test_a_level_without_proof_is_no_proof(any_db, home):
    await called(any_db, level=Level.STRONG, proved=False)
    offer = await proposed(any_db, party=home.ayse, reason="agent")
    assert offer is not None
    with pytest.raises(NotProven):
        await accepted(any_db, offer.id)
    assert (await link_of(any_db, await accepted(any_db, offer.id, "a", method=AGENT_PROOF))).state == "unverified"


# --- whose number it is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", sorted(proposals.PROVEN_REASONS))
async def test_a_number_whose_signature_does_not_hold_is_not_proposed(any_db, home, reason):
    await called(any_db, attestation="failed")
    assert await proposed(any_db, party=home.ayse, reason=reason) is None
    assert await told(any_db, LinkProposed) == []


@pytest.mark.parametrize("reason", sorted(proposals.PROVEN_REASONS))
async def test_a_number_that_is_verified_to_be_another_customers_is_not_proposed(any_db, home, reason):
    """Whoever proves himself with his own data on Ali's forged number does not get a share in it."""
    await called(any_db, number=company.HIS)
    for whose in ({"party": home.strangers[0]}, {"party": home.strangers[1]}):
        assert await proposed(any_db, number=company.HIS, reason=reason, **whose) is None
    for whose in ({"party": home.ayse}, {"household": home.household}, {"subscription": home.dsl}):
        assert await proposed(any_db, number=company.HIS, reason=reason, **whose) is not None, "they live with him"
    assert await outcome(any_db, company.HIS) is Outcome.UNIQUE


async def test_what_became_anothers_between_offer_and_answer_is_not_taken_over(any_db, home, offer):
    def verified(session: Session) -> None:
        point = session.get_one(ContactPoint, offer.contact_point)
        asked: dict[str, Any] = {"role": "owner", "state": "verified", "source": "api", "by": "t", "now": NOW}
        links.link(session, point, party=home.strangers[0], **asked)

    await any_db.work(verified)
    with pytest.raises(NotProven, match="forged"):
        await accepted(any_db, offer.id)


@pytest.mark.parametrize("reason", ["not_theirs", "mistake", "revoked"])
async def test_what_was_never_his_is_not_proposed_again_and_what_expired_is(any_db, home, offer, reason):
    link = await accepted(any_db, offer.id)
    await any_db.work(links.end_link, link, reason="expired", by="policy", now=NOW)
    again = await proposed(any_db, party=home.ayse)
    assert again is not None
    link = await accepted(any_db, again.id)
    await any_db.work(links.end_link, link, reason=reason, by="agent1", now=NOW + HOUR)
    assert await proposed(any_db, party=home.ayse) is None


async def test_an_open_offer_is_worth_nothing_once_the_number_was_disowned(any_db, home, offer):
    def disowned(session: Session) -> None:
        point = session.get_one(ContactPoint, offer.contact_point)
        link = links.link(session, point, party=home.ayse, role="work", source="t", by="t", now=NOW)
        links.end_link(session, link.id, reason="not_theirs", by="t", now=NOW)

    await any_db.work(disowned)
    for by in (CALLER, "agent1"):
        with pytest.raises(ValueError, match="disputed"):
            await accepted(any_db, offer.id, by)


# --- the report -------------------------------------------------------------------------------------------------------


async def test_callers_whom_we_know_and_not_their_numbers_are_counted(any_db, home, offer):
    def identified(session: Session, conversation: str, *, unlinked: bool) -> None:
        event = CallIdentified(
            conversation=conversation, outcome="unique", level=2, method="keys", candidates=(), unlinked=unlinked
        )
        ledger.append(session, event, now=NOW)

    await called(any_db, "linked", number=company.HIS)
    await called(any_db, "old", at=NOW - 40 * DAY)
    for conversation, unlinked in (("c1", True), ("c1", True), ("linked", False), ("old", True)):
        await any_db.work(identified, conversation, unlinked=unlinked)
    second = await proposed(any_db, party=home.ali)
    assert second is not None
    await accepted(any_db, offer.id)
    await any_db.work(proposals.refuse, second.id, by="agent1", now=NOW)
    await proposed(any_db, party=home.strangers[0])
    assert await any_db.read(proposals.counts, NOW - DAY) == Counts(
        identified_unlinked=1, offered=3, accepted=1, refused=1, lapsed=0, open=1
    )
    assert await any_db.read(proposals.counts, NOW + DAY) == Counts(
        identified_unlinked=0, offered=0, accepted=0, refused=0, lapsed=0, open=1
    )


async def test_everything_about_a_number_stands_in_its_life(any_db, home, offer):
    await accepted(any_db, offer.id)
    life = await any_db.read(number_life.life, "phone", NEW)
    assert [each.type for each in life.events] == ["link.proposed", "link.made", "link.proposal_settled"]
    assert [(each.state, each.settled_by, each.link) for each in life.proposals] == [
        ("accepted", CALLER, life.links[0].id)
    ]
    assert await any_db.read(lambda session: session.scalar(select(func.count()).select_from(Link))) == 5
