"""What a caller reaches with the code that he was sent: beside a number of the bill, beside a PIN, beside his caller ID alone."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from sqlalchemy import select

from cti.identity import Level
from cti.records import pins, proofs, proved
from cti.records.attempts import IDENTIFIER, Attempt
from cti.records.codes import VALID_S
from cti.records.outbox import OutMessage
from tests.cti.records import household
from tests.cti.records.household import HIS, NOW, UNKNOWN, build, call, heard, row

LATER = NOW + dt.timedelta(seconds=90)
HERS = "0533 555 01 45"


def keyed(session, conversation: str, answers: dict[str, str], wanted: int, now: dt.datetime = LATER) -> int:
    return Attempt(session, row(session, conversation), region="TR", now=now).of(answers, wanted)


def asked(session, conversation: str, language: str = "", now: dt.datetime = NOW) -> str:
    """Ask for a code as the flow does; the code that the other telephone shows, "" for none."""
    proved.request_code(session, conversation, proofs.claim_of(row(session, conversation)), now=now, language=language)
    texts = session.scalars(select(OutMessage.text).order_by(OutMessage.id)).all()
    return str(re.findall(r"\b\d{6}\b", texts[-1])[0]) if texts else ""


def other(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


async def identified(db, raw: str = UNKNOWN) -> str:
    conversation = str(await db.work(call, raw))
    assert await db.work(keyed, conversation, {IDENTIFIER: "1000123"}, Level.MATCHED) == Level.MATCHED
    return conversation


async def test_with_a_number_of_the_bill_a_code_is_level_three_once(any_db):
    await any_db.work(build)
    conversation = await identified(any_db)
    code = await any_db.work(asked, conversation)
    assert await any_db.work(keyed, conversation, {"one_time_code": code}, Level.VERIFIED) == Level.VERIFIED
    assert (await any_db.read(row, conversation)).proof == ["customer_number", "one_time_code"]
    assert await any_db.work(keyed, conversation, {"one_time_code": code}, Level.VERIFIED) == 0, "it is used up"
    assert (await any_db.read(row, conversation)).level == Level.VERIFIED


async def test_with_the_pin_too_it_is_level_four(db):
    home = await db.work(build)
    await db.work(pins.set_pin, home.ali, "4711", by="ops", now=NOW)
    conversation = await identified(db)
    code = await db.work(asked, conversation)
    assert await db.work(keyed, conversation, {"one_time_code": code, "pin": "4711"}, Level.STRONG) == Level.STRONG


@pytest.mark.parametrize("late_s", [0, VALID_S], ids=["wrong", "late"])
async def test_a_wrong_or_late_code_counts_as_a_guess_and_leaves_the_level(db, late_s):
    await db.work(build)
    conversation = await identified(db)
    code = await db.work(asked, conversation)
    key, then = (code, NOW + dt.timedelta(seconds=late_s)) if late_s else (other(code), LATER)
    assert await db.work(keyed, conversation, {"one_time_code": key}, Level.VERIFIED, then) == 0
    assert (await db.read(row, conversation)).level == Level.MATCHED
    assert await db.read(heard) == 1


async def test_beside_the_calling_number_alone_it_is_level_two_and_no_more(db):
    home = await db.work(build)
    await db.work(household.link, HERS, party=home.ayse, state="verified", method="sms")
    for hours, (wanted, reached) in enumerate(((Level.VERIFIED, 0), (Level.KEYED, Level.KEYED))):
        conversation, then = await db.work(call, HIS), NOW + dt.timedelta(hours=hours)
        code = await db.work(asked, conversation, "tr", then)
        assert await db.work(keyed, conversation, {"one_time_code": code}, wanted, then) == reached


async def test_the_message_is_in_the_language_that_the_caller_hears(db):
    await db.work(build)
    conversation = await identified(db)
    await db.work(asked, conversation, "en")
    (message,) = await db.read(lambda session: session.scalars(select(OutMessage)).all())
    assert message.text.startswith("Santral: your code is ")
