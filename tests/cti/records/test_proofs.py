"""Keys and answers against the records: what a right one makes of a call, and that a wrong one tells nothing."""

import datetime as dt

import pytest
from sqlalchemy import select

from cti import ledger
from cti.events import CallIdentified, ProofGiven
from cti.identity import Level, Outcome
from cti.proof import CODES_PER_CALLER_AND_HOUR, CODES_PER_HOUR, Factor
from cti.records import codes, contact_points, pins, proofs, proved
from cti.records.codes import OneTimeCode
from cti.records.outbox import OutMessage
from cti.records.parties import Party, Subscription
from cti.records.proposals import LinkProposal
from tests.cti.records import household
from tests.cti.records.household import CHILDS, HERS, HIS, HIS_BIRTHDAY, NOW, build, by_keys, call, happened, row

HOUR = dt.timedelta(hours=1)


def who(session, digits, area="212"):
    return proofs.identify_by(session, digits, area=area, region="TR", now=NOW)


# --- answers ---


@pytest.mark.parametrize(
    ("answer", "whose"),
    [
        ("31121980", "ali"),
        ("311280", "ali"),
        ("05.03.1984", "ayse"),
        ("01062015", None),
        ("02011975", None),
        ("", None),
    ],
)
async def test_any_adult_s_birth_date_counts_and_no_child_s(db, answer, whose):
    home = await db.work(build)
    claim = await db.read(who, "5550101")
    conversation = await db.work(call)
    told = await db.work(proofs.answered, claim, Factor.BIRTH_DATE, answer, conversation=conversation, now=NOW)
    assert told.whose == (getattr(home, whose) if whose else None)
    assert CHILDS == "2015-06-01"


async def test_a_pin_is_the_holder_s(db):
    home = await db.work(build)
    claim = await db.read(who, "1000123")
    conversation = await db.work(call)
    asked = {"conversation": conversation, "now": NOW}
    assert not await db.work(proofs.check, claim, Factor.PIN, "4711", **asked)
    await db.work(pins.set_pin, home.ali, "4711", by="ops", now=NOW)
    assert await db.work(proofs.check, claim, Factor.PIN, "4711", **asked)
    assert not await db.work(proofs.check, claim, Factor.PIN, "4712", **asked)
    assert not await db.work(proofs.check, None, Factor.PIN, "4711", **asked)


async def test_a_pin_is_stored_as_its_hash_and_may_be_taken_away(db):
    home = await db.work(build)
    await db.work(pins.set_pin, home.ali, "4711", by="ops", now=NOW)
    first = (await db.read(lambda session: session.get_one(Party, home.ali))).pin_hash
    await db.work(pins.set_pin, home.ali, "4711", by="ops", now=NOW)
    second = (await db.read(lambda session: session.get_one(Party, home.ali))).pin_hash
    assert first != second
    assert "4711" not in first.split("$")
    assert await db.work(pins.clear_pin, home.ali, by="ops", now=NOW)
    assert not await db.work(pins.clear_pin, home.ali, by="ops", now=NOW)
    assert not await db.work(pins.is_pin, home.ali, "4711")


async def test_a_pin_that_is_none_or_weak_is_refused(db):
    home = await db.work(build)
    with pytest.raises(ValueError, match="expected 4 to 8 digits"):
        await db.work(pins.set_pin, home.ali, "12a4", by="ops", now=NOW)
    for weak in ("1234", "3112"):
        with pytest.raises(pins.WeakPin):
            await db.work(pins.set_pin, home.ali, weak, by="ops", now=NOW)
    with pytest.raises(LookupError):
        await db.work(pins.set_pin, "nobody", "4711", by="ops", now=NOW)


async def test_another_number_of_the_customer_s_is_an_answer_too(db):
    await db.work(build)
    claim = await db.read(who, "5550101")
    conversation = await db.work(call)
    asked = {"conversation": conversation, "now": NOW}
    assert await db.work(proofs.check, claim, Factor.CUSTOMER_NUMBER, "1000123", **asked)
    assert not await db.work(proofs.check, claim, Factor.CUSTOMER_NUMBER, "1000124", **asked)


async def test_what_is_no_answer_is_an_error(db):
    with pytest.raises(ValueError, match="caller_id"):
        await db.work(proofs.check, None, Factor.CALLER_ID, "1", conversation="x", now=NOW)


# --- what follows ---


async def test_a_number_and_a_birth_date_make_a_stranger_s_call_the_customer_s(any_db):
    home = await any_db.work(build)
    conversation = await any_db.work(call)
    assert await any_db.work(by_keys, conversation, "1000123", "05031984") == Level.KEYED
    here = await any_db.read(row, conversation)
    assert (here.outcome, here.level, here.proof) == ("unique", 2, ["customer_number", "birth_date"])
    assert here.subscription_id == home.dsl
    assert [each["party"] for each in here.candidates][:2] == [home.ayse, home.ali]
    assert [reason["key"] for reason in here.candidates[0]["reasons"]] == [
        "proved_customer_number",
        "proved_birth_date",
    ]
    assert [reason["key"] for reason in here.candidates[1]["reasons"]] == ["proved_customer_number", "holder"]
    told = await any_db.read(happened, ProofGiven)
    assert [(each.factor, each.level, each.subscription, each.by) for each in told] == [
        ("birth_date", 2, home.dsl, "caller")
    ]
    last = (await any_db.read(happened, CallIdentified))[-1]
    assert (last.method, last.level, last.unlinked) == ("keys", 2, True)
    proposal = await any_db.read(lambda session: session.scalars(select(LinkProposal)).one())
    assert (proposal.party_id, proposal.reason, proposal.conversation) == (home.ayse, "keyed", conversation)


async def test_what_was_keyed_stands_nowhere_in_the_ledger(db):
    await db.work(build)
    conversation = await db.work(call)
    for secret in ("05031984", "05031985"):
        await db.work(by_keys, conversation, "1000123", secret)
    told = await db.read(ledger.of_conversation, conversation)
    written = "".join(str(each.event.plain()) for each in told if each.event.type.startswith("proof."))
    assert written
    for secret in ("05031984", HERS, "1000123"):
        assert secret not in written


async def test_the_last_four_of_a_dead_line_find_the_line_and_a_birth_date_makes_it_a_proof(any_db):
    home = await any_db.work(build)
    await any_db.work(household.line_down, home.dsl)
    conversation = await any_db.work(call)
    assert await any_db.work(by_keys, conversation, "0101") == Level.MATCHED
    assert (await any_db.read(happened, CallIdentified))[-1].method == "narrowing"
    assert await any_db.read(lambda session: session.scalars(select(LinkProposal)).all()) == []
    assert await any_db.work(by_keys, conversation, "", "31121980") == Level.KEYED
    here = await any_db.read(row, conversation)
    assert (here.proof, here.subscription_id) == (["last_four", "birth_date"], home.dsl)
    assert (await any_db.read(lambda session: session.scalars(select(LinkProposal)).one())).reason == "narrowing"


async def test_a_known_number_and_a_birth_date_are_a_proof_and_no_proposal(db):
    home = await db.work(build)
    conversation = await db.work(call, HIS)
    assert await db.work(by_keys, conversation, "", "31121980") == Level.KEYED
    here = await db.read(row, conversation)
    assert here.proof == ["caller_id", "birth_date"]
    assert not (await db.read(happened, CallIdentified))[-1].unlinked
    assert here.candidates[0]["party"] == home.ali
    assert await db.read(lambda session: session.scalars(select(LinkProposal)).all()) == []


async def test_a_forged_number_adds_nothing_to_a_birth_date(db):
    await db.work(build)
    conversation = await db.work(call, HIS)
    await db.work(lambda session: setattr(row(session, conversation), "evidence", {"attestation": "failed"}))
    await db.work(by_keys, conversation, "", "31121980")
    assert (await db.read(row, conversation)).level <= Level.MATCHED


async def test_the_same_proof_again_changes_nothing(db):
    await db.work(build)
    conversation = await db.work(call)
    await db.work(by_keys, conversation, "1000123", "05031984")
    before = await db.read(ledger.of_conversation, conversation)
    assert await db.work(by_keys, conversation, "1000123", "05031984") == Level.KEYED
    assert await db.read(ledger.of_conversation, conversation) == before


async def test_what_was_proved_of_one_customer_never_counts_for_another(db):
    home = await db.work(build)
    conversation = await db.work(call)
    await db.work(by_keys, conversation, "1000124", "02011975")  # a stranger's own number and birth date
    before = await db.read(row, conversation)
    assert before.level == Level.KEYED
    claim = await db.read(who, "1000123")
    found = await db.work(proofs.apply, conversation, claim, factor="customer_number", by="caller", now=NOW)
    assert not any(claim.is_of(each.household, each.party) for each in found.candidates)
    after = await db.read(row, conversation)
    assert (after.level, after.proof, after.candidates) == (before.level, before.proof, before.candidates)
    assert home.household not in {each["household"] for each in after.candidates}


async def test_a_proof_of_one_home_is_none_of_another_that_somebody_of_it_has_too(any_db):
    """Ayşe proves herself in the home where Ali is still a member; then she keys the number on the bill of his new one."""
    home = await any_db.work(build)
    new_home, line = await any_db.work(household.second_home, home)
    for pin in (None, "4711"):
        conversation = await any_db.work(call)
        if pin:
            await any_db.work(
                lambda session: setattr(session.get_one(Subscription, home.phone), "holder_id", home.ayse)
            )
            await any_db.work(pins.set_pin, home.ayse, pin, by="ops", now=NOW)
            assert await any_db.work(by_keys, conversation, "5550101", pin, factor="pin") == Level.VERIFIED
        else:
            assert await any_db.work(by_keys, conversation, "8001", "05031984") == Level.KEYED
        assert await any_db.work(by_keys, conversation, "9001") == 0
        here = await any_db.read(row, conversation)
        assert here.subscription_id != line
        assert new_home not in {each["household"] for each in here.candidates}
    whom = await any_db.read(lambda session: session.scalars(select(LinkProposal)).all())
    assert {(each.party_id, each.household_id) for each in whom} == {(home.ayse, None)}


async def test_a_number_of_his_other_home_is_no_answer_about_this_one(db):
    home = await db.work(build)
    await db.work(household.second_home, home)
    claim = await db.read(who, "8001")
    conversation = await db.work(call)
    asked = {"conversation": conversation, "now": NOW}
    assert await db.work(proofs.check, claim, Factor.LANDLINE, "02125550101", **asked)
    assert not await db.work(proofs.check, claim, Factor.SUBSCRIPTION_NUMBER, "9001", **asked)


async def test_a_link_that_nobody_was_seen_on_for_too_long_is_none_of_the_proof_either(db):
    """By the policy of the house, not by the default one."""
    await db.work(build)
    conversation, later = await db.work(call, HIS), NOW + dt.timedelta(days=600)
    claim = await db.read(who, "1000123")
    given = {"factor": "birth_date", "by": "caller", "now": later}
    await db.work(proofs.apply, conversation, claim, unseen_days=365, **given)
    assert (await db.read(happened, CallIdentified))[-1].unlinked
    another = await db.work(call, HIS)
    await db.work(proofs.apply, another, claim, **given)
    assert not (await db.read(happened, CallIdentified))[-1].unlinked


async def test_who_calls_from_one_customer_s_number_may_prove_to_be_another(db):
    home = await db.work(build)
    conversation = await db.work(call, HIS)
    assert await db.work(by_keys, conversation, "1000124", "02011975") == Level.KEYED
    here = await db.read(row, conversation)
    assert here.proof == ["customer_number", "birth_date"]  # his caller ID says nothing of her
    assert here.subscription_id != home.dsl
    assert (await db.read(happened, CallIdentified))[-1].unlinked


@pytest.mark.parametrize("number", [HIS, household.UNKNOWN])
async def test_who_only_pretends_to_call_from_a_number_is_offered_no_link(db, number):
    """What stands on the bill, and a number that he forged, are all that he has."""
    home = await db.work(build)
    await db.work(household.line_down, home.dsl)
    conversation = await db.work(call, number)
    for known in ("1000123", "8002", "5550101", "0101"):
        assert await db.work(by_keys, conversation, known) == Level.MATCHED
    assert await db.read(lambda session: session.scalars(select(LinkProposal)).all()) == []


async def test_the_number_of_a_merged_customer_leads_to_who_he_is_now(any_db):
    home = await any_db.work(build)

    def merged(session):
        gone, between = (household.stranger(session, "Ali Yilmaz", each, HIS_BIRTHDAY) for each in ("0999", "0998"))
        gone.merged_into_id, between.merged_into_id = between.id, home.ali

    await any_db.work(merged)
    claim = await any_db.read(who, "0999")
    assert (claim.party, claim.household, claim.subscription) == (home.ali, home.household, home.dsl)


async def test_a_withheld_number_is_proved_but_never_offered_a_link(db):
    await db.work(build)
    conversation = await db.work(call, "anonymous")
    assert await db.work(by_keys, conversation, "1000123", "31121980") == Level.KEYED
    assert not (await db.read(happened, CallIdentified))[-1].unlinked
    assert await db.read(lambda session: session.scalars(select(LinkProposal)).all()) == []


async def test_standing_is_what_was_proved(db):
    await db.work(build)
    conversation = await db.work(call, HIS)
    assert await db.read(proofs.standing, conversation) is None
    await db.work(by_keys, conversation, "", "31121980")
    found = await db.read(proofs.standing, conversation)
    assert (found.outcome, found.level) == (Outcome.UNIQUE, Level.KEYED)
    assert sum(each.probability for each in found.candidates) < 1


async def test_a_call_that_is_not_there_is_an_error(db):
    await db.work(build)
    claim = await db.read(who, "1000123")
    with pytest.raises(LookupError):
        await db.work(proofs.apply, "nowhere", claim, factor="customer_number", by="caller", now=NOW)


# --- one-time codes ---


def messages(session):
    return session.scalars(select(OutMessage).order_by(OutMessage.id)).all()


async def test_a_code_goes_to_a_verified_telephone_that_is_not_the_one_that_calls(any_db):
    await any_db.work(build)
    conversation = await any_db.work(call)
    claim = await any_db.read(who, "1000123")
    await any_db.work(proved.request_code, conversation, claim, now=NOW)
    (message,) = await any_db.read(messages)
    code = next(word.strip(".") for word in message.text.split() if word.strip(".").isdigit() and len(word) >= 6)
    asked = {"conversation": conversation, "now": NOW}
    assert not await any_db.work(proofs.check, claim, Factor.ONE_TIME_CODE, code, conversation="another call", now=NOW)
    assert await any_db.work(proofs.check, claim, Factor.ONE_TIME_CODE, code, **asked)
    assert not await any_db.work(proofs.check, claim, Factor.ONE_TIME_CODE, code, **asked)


async def test_no_code_goes_to_the_calling_number_nor_to_an_unverified_one_nor_for_nobody(db):
    home = await db.work(build)
    his_call, hers = await db.work(call, HIS), await db.work(call)
    claim = await db.read(who, "1000123")
    await db.work(household.link, "0533 555 01 45", party=home.ayse)
    await db.work(proved.request_code, his_call, claim, now=NOW)
    await db.work(proved.request_code, hers, None, now=NOW)
    assert await db.read(messages) == []
    assert await db.read(lambda session: session.scalars(select(OneTimeCode)).all()) == []


async def test_nobody_can_flood_a_telephone_with_codes(db):
    await db.work(build)
    claim = await db.read(who, "1000123")
    for minute in range(60):
        conversation = await db.work(call)
        for second in (0, 30):
            then = NOW + dt.timedelta(minutes=minute, seconds=second)
            await db.work(proved.request_code, conversation, claim, now=then)
    assert len(await db.read(messages)) == CODES_PER_HOUR


async def test_calls_from_one_number_have_codes_sent_to_few_households(db):
    await db.work(build)
    claim = await db.read(who, "1000123")
    conversation = await db.work(call)

    def asked_before(session, many):
        for each in range(many):  # for other households, whose telephones were not troubled yet
            point = contact_points.ensure(session, "phone", f"0531 555 02 {each:02}", now=NOW)
            codes.make(session, purpose="proof", subject=conversation, contact_point=point.id, now=NOW)

    await db.work(asked_before, CODES_PER_CALLER_AND_HOUR)
    later = NOW + dt.timedelta(minutes=59)
    await db.work(proved.request_code, conversation, claim, now=later)
    assert await db.read(messages) == []
    await db.work(proved.request_code, conversation, claim, now=later + dt.timedelta(minutes=2))
    assert len(await db.read(messages)) == 1


async def test_a_number_of_the_bill_and_a_code_are_verified(db):
    await db.work(build)
    conversation = await db.work(call)
    claim = await db.read(who, "1000123")
    found = await db.work(proofs.apply, conversation, claim, factor="one_time_code", by="caller", now=NOW)
    assert found.level is Level.VERIFIED
