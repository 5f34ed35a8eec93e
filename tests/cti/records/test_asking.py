"""What a caller answers to an agent, held against the records: of one customer, not too often, and never said whose it is."""

import datetime as dt
from typing import Any

from sqlalchemy import select

from cti.events import CallIdentified, GuessingAlarmed, ProofGiven, ProofRefused
from cti.identity import Level
from cti.proof import AGENT_WRONG_MAX, SLOW, Factor
from cti.records import guesses, pins, proofs
from cti.records.guesses import GuessCount
from cti.records.parties import Party
from cti.records.proposals import LinkProposal
from tests.cti.records import household
from tests.cti.records.household import HIS, HIS_BIRTHDAY, NOW, build, by_keys, call, happened, heard, row


def who(session, digits, area="212"):
    return proofs.identify_by(session, digits, area=area, region="TR", now=NOW)


async def ask(db: Any, conversation: str, factor: str, text: str, now: dt.datetime = NOW) -> proofs.Verdict:
    return await db.work(  # type: ignore[no-any-return]
        proofs.ask, conversation, Factor(factor), text, by="agent:1001", region="TR", area="212", now=now
    )


async def test_an_agent_proves_a_caller_by_asking(db):
    home = await db.work(build)
    conversation = await db.work(call)
    assert (await ask(db, conversation, "customer_number", "1000123")).level == Level.MATCHED
    assert (await ask(db, conversation, "birth_date", "5.3.1984")).level == Level.KEYED
    told = await db.read(happened, ProofGiven)
    assert [each.by for each in told] == ["agent:1001"] * 2
    assert (await db.read(happened, CallIdentified))[-1].method == "agent"
    proposal = await db.read(lambda session: session.scalars(select(LinkProposal)).one())
    assert (proposal.party_id, proposal.reason) == (home.ayse, "agent")


async def test_an_agent_who_confirmed_somebody_proves_him_with_one_question(db):
    home = await db.work(build)
    conversation = await db.work(call)
    await db.work(lambda session: setattr(row(session, conversation), "party_id", home.ali))
    told = await ask(db, conversation, "birth_date", HIS_BIRTHDAY)
    assert (told.right, told.level) == (True, Level.KEYED)
    assert (await db.read(row, conversation)).proof == ["agent", "birth_date"]


async def test_an_agent_may_be_wrong_three_times_in_a_call(db):
    await db.work(build)
    conversation = await db.work(call, HIS)
    for _ in range(AGENT_WRONG_MAX):
        told = await ask(db, conversation, "birth_date", "1.1.1990")
        assert (told.right, told.slowed) == (False, False)
    assert (await ask(db, conversation, "birth_date", HIS_BIRTHDAY)).slowed
    assert (await db.read(happened, ProofRefused))[-1].why == "slowed"


async def test_a_proof_of_one_home_is_none_of_another_for_an_agent_either(db):
    home = await db.work(build)
    new_home, line = await db.work(household.second_home, home)
    await db.work(household.link, "0533 555 01 45", party=home.ayse, role="owner", state="verified")
    conversation = await db.work(call, "0533 555 01 45")
    assert (await ask(db, conversation, "birth_date", "05031984")).level == Level.KEYED
    assert await ask(db, conversation, "subscription_number", "9001") == proofs.Verdict(False, Level.KEYED)
    here = await db.read(row, conversation)
    assert here.subscription_id != line
    assert new_home not in {each["household"] for each in here.candidates}


async def test_somebody_else_s_number_is_a_wrong_answer_of_his_and_no_more_is_said(db):
    await db.work(build)
    conversation = await db.work(call, HIS)
    await ask(db, conversation, "birth_date", "31121980")
    naz_s, nobody_s = [await ask(db, conversation, "customer_number", each) for each in ("1000124", "1999999")]
    assert naz_s == nobody_s == proofs.Verdict(False, Level.KEYED)
    assert [each.why for each in await db.read(happened, ProofRefused)] == ["wrong", "wrong"]


async def test_whom_an_agent_confirmed_is_not_another_by_a_number(db):
    home = await db.work(build)
    conversation = await db.work(call, HIS)
    await db.work(lambda session: setattr(row(session, conversation), "party_id", home.ali))
    assert not (await ask(db, conversation, "customer_number", "1000124")).right
    assert (await ask(db, conversation, "customer_number", "1000123")).right
    assert {each["household"] for each in (await db.read(row, conversation)).candidates} == {home.household}


async def test_an_answer_about_somebody_else_than_was_proved_is_wrong_too(db):
    """Naz proved herself for more than a birth date shows; then an agent confirms Ali, whose birth date she knows."""
    home = await db.work(build)
    naz = await db.read(who, "1000124")
    await db.work(pins.set_pin, naz.party, "4711", by="ops", now=NOW)
    conversation = await db.work(call)
    assert await db.work(by_keys, conversation, "1000124", "4711", factor="pin") == Level.VERIFIED
    await db.work(lambda session: setattr(row(session, conversation), "party_id", home.ali))
    assert await ask(db, conversation, "birth_date", "31121980") == proofs.Verdict(False, Level.VERIFIED)


async def guess_by_agents(db: Any, home: household.Home, calls: int, now: dt.datetime) -> None:
    for _ in range(calls):
        conversation = await db.work(call)
        await db.work(lambda session, its=conversation: setattr(row(session, its), "party_id", home.ali))
        for day in range(AGENT_WRONG_MAX):
            await ask(db, conversation, "birth_date", f"{day + 1}.1.1990", now)


async def test_agents_are_asked_about_one_customer_so_often_and_no_more(db):
    """From call to call, each with an agent who wrote down three wrong ones."""
    home = await db.work(build)
    most = [window.most for window in SLOW["agent"].windows]
    await guess_by_agents(db, home, 20, NOW)
    assert await db.read(heard) == most[0]
    await guess_by_agents(db, home, 20, NOW + dt.timedelta(days=8))
    assert await db.read(heard) == most[1]
    told = await db.read(happened, GuessingAlarmed)
    assert [each.scope for each in told if each.subject in (home.household, home.ali)] == ["agent", "agent"]
    conversation = await db.work(call, HIS)
    assert (await ask(db, conversation, "birth_date", HIS_BIRTHDAY, NOW + dt.timedelta(days=9))).slowed
    assert await db.work(by_keys, conversation, "", "31121980") == Level.KEYED, "keys are counted apart"
    left = await db.read(lambda session: session.scalars(select(GuessCount.key)).all())
    assert not [each for each in left if home.household in each or home.ali in each], "and he is proved for both"


async def test_strangers_on_the_telephone_keep_no_agent_from_asking(db):
    home = await db.work(build)
    for each in range(20):
        conversation = await db.work(call, f"0535 111 22 {each:02}")
        await db.work(by_keys, conversation, "1000123", f"{each + 1:02}011990")
    assert await db.read(guesses.slowed_s, home.household, NOW) > 0
    assert (await ask(db, await db.work(call, HIS), "birth_date", HIS_BIRTHDAY)).right


async def test_a_household_without_birth_dates_is_not_kept_from_anything_by_being_asked_for_one(db):
    home = await db.work(build)

    def without(session):
        for each in session.scalars(select(Party)):
            each.birth_date = None

    await db.work(without)
    for each in range(10):
        await db.work(by_keys, await db.work(call, f"0535 111 22 {each:02}"), "1000123", "31121980")
        await ask(db, await db.work(call, HIS), "birth_date", "31121980")
    assert await db.read(guesses.slowed_s, home.household, NOW) == 0
    left = await db.read(lambda session: session.scalars(select(GuessCount.key)).all())
    assert not [each for each in left if home.household in each or home.ali in each]
