"""What an agent decides about who calls: who it is, whether the number is his, and answers that are held against the records."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from cti import ledger, proof
from cti.events import Event, LinkDisputed, LinkProposed, ProofGiven, ProofRefused
from cti.records import contact_points, proposals
from cti.records.conversations import Conversation
from cti.records.parties import Party
from cti.records.timeline import Interaction
from cti.switchboard import of_channel
from screenpop import proving
from screenpop.protocol import Card
from screenpop.refused import Refused
from tests.fakes import company, story
from tests.fakes.story import Teller

STRANGE = "+905421112233"
BORN = "1980-12-31"


@pytest_asyncio.fixture
async def teller(any_db, now):
    """A company in which Ali's birth date is known."""
    teller = await story.begin(any_db, now)

    def birth(session):
        for party in session.query(Party).where(Party.name == "Ali Yılmaz"):
            party.birth_date = BORN

    await any_db.work(birth)
    return teller


async def answered(teller: Teller, number: str, channel: str = "c1") -> Card:
    device = {"channel": channel, "device_channel": f"zeynep-{channel}", "agent": "zeynep"}
    await teller.tell([
        {"flow": "arrives", "number": number, "channel": channel},
        {"flow": "queues", "intent": "fault", "channel": channel},
        {"fact": "DeviceRinging", **device},
        {"fact": "DeviceAnswered", **device},
    ])  # fmt: skip
    return await card(teller)


async def card(teller: Teller) -> Card:
    return (await teller.seat("zeynep")).seat.cards[0]


async def events(teller: Teller, kind: type[Event]) -> list[Any]:
    return [each.event for each in await teller.db.read(ledger.since, 0) if isinstance(each.event, kind)]


async def refused(work: Awaitable[object]) -> str:
    with pytest.raises(Refused) as refusal:
        await work
    return refusal.value.code


async def party(teller: Teller, name: str = "Ali Yılmaz") -> str:
    return await teller.db.read(lambda session: session.query(Party).where(Party.name == name).one().id)


async def prove(teller: Teller, factor: str, answer: str, **given: Any) -> dict[str, Any]:
    return await teller.command("prove", by="zeynep", value=factor, text=answer, **given)


# --- who it is ---


async def test_a_confirmed_caller_on_an_unlinked_number_is_proposed_the_link(teller):
    await answered(teller, STRANGE)
    await teller.command("confirm_party", by="zeynep", value=await party(teller))
    shown = (await card(teller)).identity.proposal
    assert shown is not None
    assert (shown.whom, shown.reason, shown.state) == ("Ali Yılmaz", "agent", "open")
    assert len(await events(teller, LinkProposed)) == 1


async def test_whose_number_leads_to_him_is_seen_and_not_proposed(teller):
    await answered(teller, company.HIS)
    await teller.command("confirm_party", by="zeynep", value=await party(teller))
    assert (await card(teller)).identity.proposal is None
    (link,) = await teller.db.read(contact_points.links_to, company.HIS)
    assert link.last_seen_at == teller.now


async def test_who_is_reached_by_his_line_is_not_proposed_the_line_s_number(teller):
    await answered(teller, company.LANDLINE)
    await teller.command("confirm_party", by="zeynep", value=await party(teller, "Ayşe Yılmaz"))
    assert await events(teller, LinkProposed) == []


async def test_a_withheld_number_is_nobody_s(teller):
    await answered(teller, "anonymous")
    await teller.command("confirm_party", by="zeynep", value=await party(teller))
    assert await events(teller, LinkProposed) == []


# --- whether the number is his ---


async def proposed(teller: Teller) -> str:
    await answered(teller, STRANGE)
    await teller.command("confirm_party", by="zeynep", value=await party(teller))
    proposal = (await card(teller)).identity.proposal
    assert proposal is not None
    return proposal.id


@pytest.mark.parametrize("times", [1, 2])
async def test_an_accepted_proposal_is_a_link_and_the_next_call_is_known(teller, times):
    proposal = await proposed(teller)
    for _ in range(times):
        await teller.command("link", by="zeynep", value=proposal)
    settled = (await card(teller)).identity.proposal
    assert settled is not None
    assert settled.state == "accepted"
    again = await answered(teller, STRANGE, "c2")
    assert [(each.name, each.link_state) for each in again.identity.candidates] == [("Ali Yılmaz", "unverified")]


async def test_a_refused_proposal_is_not_made_again(teller):
    await teller.command("refuse_link", by="zeynep", value=await proposed(teller))
    await answered(teller, STRANGE, "c2")
    await teller.command("confirm_party", by="zeynep", value=await party(teller), channel="c2")
    assert (await card(teller)).identity.proposal is None
    assert len(await events(teller, LinkProposed)) == 1


async def test_an_open_proposal_of_an_earlier_call_is_shown_again(teller):
    proposal = await proposed(teller)
    again = await answered(teller, STRANGE, "c2")
    assert again.identity.proposal is not None
    assert again.identity.proposal.id == proposal
    await teller.command("link", by="zeynep", value=proposal, channel="c2")


async def test_what_was_refused_meanwhile_cannot_be_accepted(teller):
    proposal = await proposed(teller)
    await teller.db.work(proposals.refuse, proposal, by="somebody", now=teller.now)
    assert await refused(teller.command("link", by="zeynep", value=proposal)) == "proposal"


@pytest.mark.parametrize("name", ["link", "refuse_link"])
async def test_a_proposal_of_another_number_is_not_this_agent_s_to_settle(teller, name):
    proposal = await proposed(teller)
    await answered(teller, company.HIS, "c2")
    for value in (proposal, "no such proposal"):
        assert await refused(teller.command(name, by="zeynep", value=value, channel="c2")) == "proposal"


async def test_a_disputed_number_stops_matching_at_once_also_in_this_call(teller):
    before = await answered(teller, company.HIS)
    link = before.identity.candidates[0].link
    for _ in range(2):
        await teller.command("dispute", by="zeynep", value=link)
    shown = (await card(teller)).identity
    assert (shown.outcome, shown.level, shown.candidates) == ("none", 0, ())
    assert [(each.link, each.reason, each.by) for each in await events(teller, LinkDisputed)] == [
        (link, "not_theirs", "zeynep")
    ]
    assert (await answered(teller, company.HIS, "c2")).identity.candidates == ()


async def test_of_two_on_one_number_the_disputed_one_goes_and_the_other_stays(teller):
    before = await answered(teller, company.SHARED)
    first, second = before.identity.candidates
    await teller.command("dispute", by="zeynep", value=first.link)
    shown = (await card(teller)).identity
    assert (shown.outcome, [each.party for each in shown.candidates]) == ("unique", [second.party])


async def test_what_was_confirmed_in_this_call_is_no_evidence_about_it(teller):
    before = await answered(teller, company.SHARED)
    first, second = before.identity.candidates
    await teller.command("confirm_party", by="zeynep", value=second.party)
    await teller.command("dispute", by="zeynep", value=first.link)
    shown = (await card(teller)).identity
    assert (shown.confirmed, [each.party for each in shown.candidates]) == (second.party, [second.party])
    row = await teller.db.read(of_channel, "c1")
    assert "talked_before" not in str(row.candidates)


async def test_what_was_proved_outlives_a_dispute(teller):
    before = await answered(teller, company.HIS)
    await prove(teller, "customer_number", "1000123")
    await prove(teller, "birth_date", "31.12.1980")
    assert "caller_id" in (await card(teller)).identity.proof
    await teller.command("dispute", by="zeynep", value=before.identity.candidates[0].link)
    shown = (await card(teller)).identity
    assert (shown.level, shown.outcome, shown.proof) == (2, "unique", ("customer_number", "birth_date"))
    assert "disputed" in {each.link_state for each in shown.candidates}
    assert (await teller.db.read(of_channel, "c1")).subscription_id is not None


async def test_a_proof_that_stood_on_the_number_falls_with_it(teller):
    before = await answered(teller, company.HIS)
    await prove(teller, "birth_date", "31.12.1980")
    await teller.command("dispute", by="zeynep", value=before.identity.candidates[0].link)
    shown = (await card(teller)).identity
    assert (shown.level, shown.outcome, shown.proof, shown.candidates) == (0, "none", (), ())


async def test_a_call_is_no_longer_about_the_line_of_whose_number_it_is_not(teller):
    before = await answered(teller, company.HIS)
    assert (await teller.db.read(of_channel, "c1")).subscription_id is not None
    await teller.command("dispute", by="zeynep", value=before.identity.candidates[0].link)
    row = await teller.db.read(of_channel, "c1")
    lines = await teller.db.read(lambda session: session.scalars(select(Interaction.subscription_id)).all())
    assert (row.subscription_id, set(lines)) == (None, {None})


async def test_the_line_of_whom_somebody_confirmed_stays(teller):
    before = await answered(teller, company.HIS)
    await teller.command("confirm_party", by="zeynep", value=await party(teller))
    await teller.command("dispute", by="zeynep", value=before.identity.candidates[0].link)
    assert (await teller.db.read(of_channel, "c1")).subscription_id is not None


async def test_matching_anew_forgets_links_that_are_too_old(teller):
    """Nobody was met on the number for 600 days, and this company's policy is 365."""
    await answered(teller, company.SHARED)
    later = teller.now + dt.timedelta(days=600)

    def disputed(session):
        row = session.query(Conversation).one()
        link = contact_points.links_to(session, company.SHARED)[0].id
        proving.dispute(session, row, link, "", by="zeynep", now=later, unseen_days=365)
        return row.outcome

    assert await teller.db.work(disputed) == "none"


async def test_whom_an_agent_only_took_the_caller_for_gets_no_verified_link(teller):
    """Somebody proved who he is up to level 3; then the agent confirms another customer."""
    await answered(teller, STRANGE)
    await prove(teller, "customer_number", "1000123")
    await prove(teller, "birth_date", "31.12.1980")
    stranger = await party(teller, "Can Öz")

    def level_3(session):
        session.query(Conversation).one().level = 3

    await teller.db.work(level_3)
    await teller.command("confirm_party", by="zeynep", value=stranger)
    for each in await teller.db.read(proposals.open_ones):
        await teller.command("link", by="zeynep", value=each.id)
    found = await teller.db.read(contact_points.links_to, STRANGE)
    assert {each.party_id == stranger: each.state for each in found} == {True: "unverified", False: "verified"}


async def test_an_older_offer_is_accepted_in_a_call_of_a_higher_level_as_a_mere_match(teller):
    proposal = await proposed(teller)
    await answered(teller, STRANGE, "c2")

    def level_3(session):
        for row in session.query(Conversation).where(Conversation.channel == "c2"):
            row.level = 3

    await teller.db.work(level_3)
    await teller.command("link", by="zeynep", value=proposal, channel="c2")
    assert [each.state for each in await teller.db.read(contact_points.links_to, STRANGE)] == ["unverified"]


async def test_a_number_whose_signature_does_not_hold_is_proposed_to_nobody(teller):
    await answered(teller, STRANGE)

    def forged(session):
        session.query(Conversation).one().evidence = {"attestation": "failed"}

    await teller.db.work(forged)
    await teller.command("confirm_party", by="zeynep", value=await party(teller))
    assert await events(teller, LinkProposed) == []


async def test_a_link_of_another_number_is_not_disputed(teller):
    link = (await answered(teller, company.HIS)).identity.candidates[0].link
    await answered(teller, company.SHARED, "c2")
    for value in (link, "no such link"):
        assert await refused(teller.command("dispute", by="zeynep", value=value, channel="c2")) == "link"


# --- proof by asking ---


async def test_a_right_answer_raises_the_level_and_is_written_nowhere(teller):
    await answered(teller, company.HIS)
    assert await prove(teller, "birth_date", "31.12.1980") == {"right": True, "slowed": False, "level": 2}
    shown = (await card(teller)).identity
    assert shown.level == 2
    assert "birth_date" in shown.proof
    (given,) = await events(teller, ProofGiven)
    assert (given.factor, given.by) == ("birth_date", "zeynep")
    assert not any("1980" in str(each.event) for each in await teller.db.read(ledger.since, 0))


async def test_a_wrong_answer_says_no_more_than_that_and_is_counted(teller):
    await answered(teller, company.HIS)
    assert await prove(teller, "birth_date", "30.12.1980") == {"right": False, "slowed": False, "level": 1}
    assert (await card(teller)).identity.proof == ()
    assert [each.why for each in await events(teller, ProofRefused)] == ["wrong"]


async def test_after_too_many_wrong_answers_the_right_one_is_not_looked_at(teller):
    await answered(teller, company.HIS)
    for day in range(1, 1 + proof.AGENT_WRONG_MAX):
        assert (await prove(teller, "birth_date", f"0{day}.01.1970"))["slowed"] is False
    assert await prove(teller, "birth_date", "31.12.1980") == {"right": False, "slowed": True, "level": 1}


async def test_a_stranger_is_asked_for_a_number_of_his_bill_and_then_for_what_only_he_knows(teller):
    shown = await answered(teller, STRANGE)
    assert [each.factor for each in shown.identity.questions] == ["customer_number", "subscription_number", "landline"]
    assert (await prove(teller, "customer_number", "1000123"))["right"]
    shown = await card(teller)
    assert (shown.identity.questions[0].factor, shown.identity.outcome) == ("birth_date", "unique")
    await prove(teller, "birth_date", "311280")
    shown = await card(teller)
    assert (shown.identity.level, shown.identity.questions) == (2, ())
    assert shown.identity.proposal is not None, "who proved himself on an unlinked number is proposed the link"


async def test_a_landline_without_its_area_is_read_in_that_of_the_number_he_called(teller):
    await answered(teller, STRANGE)
    assert not (await prove(teller, "landline", "555 01 01"))["right"]
    assert (await prove(teller, "landline", "0212 555 01 01"))["right"]


@pytest.mark.parametrize("factor", ["pin", "one_time_code", "caller_id", "agent", "shoe_size", ""])
async def test_what_an_agent_may_not_ask_is_refused(teller, factor):
    await answered(teller, company.HIS)
    assert await refused(prove(teller, factor, "1234")) == "factor"


async def test_the_same_answer_under_the_same_key_is_one_guess(teller):
    await answered(teller, company.HIS)
    for _ in range(2):
        await prove(teller, "birth_date", "30.12.1980", key="one-and-the-same")
    assert len(await events(teller, ProofRefused)) == 1


async def test_a_result_carries_no_answer(teller):
    await answered(teller, company.HIS)
    assert set(await prove(teller, "birth_date", "30.12.1980")) == {"right", "slowed", "level"}
    row = await teller.db.read(of_channel, "c1")
    assert "1980" not in str(row.candidates)
