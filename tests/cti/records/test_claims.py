"""Whom a call is about by what a stranger keyed; and that a miss is the same work as a hit."""

from typing import Any

import pytest
from sqlalchemy import event

from cti.identity import Level
from cti.proof import Factor
from cti.records import parties, proofs
from cti.records.claims import NOTHING
from tests.cti.records import household
from tests.cti.records.household import NOW, build, call


def who(session, digits, area="212"):
    return proofs.identify_by(session, digits, area=area, region="TR", now=NOW)


# --- whom it is about ---


@pytest.mark.parametrize(
    ("digits", "factor"),
    [("1000123", "customer_number"), ("8001", "subscription_number"), ("8002", "subscription_number"),
     ("02125550101", "landline"), ("5550101", "landline")],
)  # fmt: skip
async def test_any_number_of_the_bill_leads_to_the_line_that_carries_the_others(db, digits, factor):
    home = await db.work(build)
    claim = await db.read(who, digits)
    assert (claim.subscription, claim.party, claim.household) == (home.dsl, home.ali, home.household)
    assert (claim.factors, claim.level) == ((factor,), Level.MATCHED)


@pytest.mark.parametrize("digits", ["1000999", "", "5550101x", "%", NOTHING, "9" * 40])
async def test_a_number_of_nobody_s_is_no_claim(db, digits):
    await db.work(build)
    assert await db.read(who, digits) is None


async def test_a_local_number_is_one_of_the_area_that_was_called(db):
    await db.work(build)
    assert await db.read(who, "5550101", "312") is None


async def test_a_number_that_means_two_customers_is_a_miss(db):
    await db.work(build)
    await db.work(lambda session: household.stranger(session, "Ece", "8001", "1990-01-01"))
    assert await db.read(who, "8001") is None


async def test_a_line_that_is_down_is_found_by_its_last_four(db):
    home = await db.work(build)
    await db.work(household.line_down, home.dsl)
    claim = await db.read(proofs.narrow, "0101", NOW)
    assert (claim.subscription, claim.household, claim.factors) == (home.dsl, home.household, ("last_four",))


@pytest.mark.parametrize("digits", ["0199", "0000", "01%1", ""])
async def test_the_last_four_of_a_line_that_is_up_are_a_miss_like_any_other(db, digits):
    home = await db.work(build)
    await db.work(household.line_down, home.dsl)
    assert await db.read(proofs.narrow, digits, NOW) is None


async def test_two_lines_down_that_end_alike_are_a_miss(db):
    home = await db.work(build)

    def another(session):
        party = household.stranger(session, "Cem", "1000200", "1970-01-01")
        line = parties.add_subscription(
            session, number="8200", kind="landline", holder=party, line_number="+903125550101", now=NOW
        )
        household.line_down(session, line.id)
        household.line_down(session, home.dsl)

    await db.work(another)
    assert await db.read(proofs.narrow, "0101", NOW) is None


async def test_a_line_that_two_customers_have_is_a_miss(db):
    """Its number was given out again before the old subscription ended."""
    home = await db.work(build)

    def again(session):
        party = household.stranger(session, "Cem", "1000200", "1970-01-01")
        line = parties.add_subscription(
            session, number="8200", kind="landline", holder=party, line_number="+902125550101", now=NOW
        )
        household.line_down(session, line.id)
        household.line_down(session, home.dsl)

    await db.work(again)
    assert await db.read(proofs.narrow, "0101", NOW) is None
    assert await db.read(who, "5550101") is None


# --- equal work ---


async def statements(db: Any, fn: Any, *args: Any, **more: Any) -> list[str]:
    """The texts of all statements of one piece of work."""
    engine = db._inner._engine
    seen: list[str] = []

    def heard(connection, cursor, text, *rest):
        seen.append(text)

    event.listen(engine, "before_cursor_execute", heard)
    try:
        await db.work(fn, *args, **more)
    finally:
        event.remove(engine, "before_cursor_execute", heard)
    return seen


async def test_a_hit_and_a_miss_run_the_same_statements(db):
    home = await db.work(build)
    await db.work(household.line_down, home.dsl)
    hits = [await statements(db, who, digits) for digits in ("1000123", "8002", "02125550101")]
    misses = [await statements(db, who, digits) for digits in ("1000999", "", "02125559999")]
    assert len(hits[0]) >= 5
    assert all(each == hits[0] for each in (*hits, *misses))
    right, up, nowhere = [await statements(db, proofs.narrow, digits, NOW) for digits in ("0101", "0199", "7777")]
    assert right == up == nowhere


@pytest.mark.parametrize("factor", [Factor.BIRTH_DATE, Factor.PIN, Factor.ONE_TIME_CODE, Factor.CUSTOMER_NUMBER])
async def test_checking_an_answer_is_the_same_work_without_a_claim(db, factor):
    await db.work(build)
    claim = await db.read(who, "1000123")
    conversation = await db.work(call)
    wrong = {"conversation": conversation, "now": NOW}
    of_somebody = await statements(db, proofs.check, claim, factor, "123456", **wrong)
    of_nobody = await statements(db, proofs.check, None, factor, "123456", **wrong)
    assert of_somebody == of_nobody != []


async def test_counting_a_wrong_answer_is_the_same_work_without_a_customer(db):
    home = await db.work(build)
    told = {"number": "+905445550199", "did": household.DID, "now": NOW}
    of_somebody = await statements(db, proofs.wrong, customers=(home.household,), **told)
    of_nobody = await statements(db, proofs.wrong, customers=(), **told)
    assert of_somebody == of_nobody
