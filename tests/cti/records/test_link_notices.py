"""The message that asks at home about a number which was added, and its answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select
from sqlalchemy.orm import Session

from cti.db import Database
from cti.identity import Outcome
from cti.records import contact_points, link_notices, links, number_life, parties
from cti.records.contact_points import Link
from cti.records.parties import Household, Party
from cti.records.proposals import Proposal
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
    replied,
    sent,
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


# --- the message ------------------------------------------------------------------------------------------------------


def code_in(text: str) -> str:
    found = re.search(r"(?:ONAY|YES) ([0-9]{6})", text)
    assert found is not None
    return found.group(1)


async def test_the_notice_goes_to_a_verified_telephone_of_the_household_and_not_to_the_new_one(any_db, home, offer):
    await accepted(any_db, offer.id)
    ((to, text),) = await sent(any_db)
    assert to == company.HIS
    code = code_in(text)
    assert text == (
        f"0544 555 01 99 numaralı telefon kayıtlarınıza eklendi. Siz eklemediyseniz IPTAL {code}, "
        f"onaylamak için ONAY {code} yazıp gönderin."
    )  # fmt: skip


async def test_the_notice_is_in_the_readers_language(any_db, home, offer):
    def english(session: Session) -> None:
        session.get_one(Party, home.ali).language = "en"

    await any_db.work(english)
    await accepted(any_db, offer.id)
    ((_, text),) = await sent(any_db)
    assert text.startswith("The phone 0544 555 01 99 was added to your records. If this was not you, reply STOP ")


def _unverify(row: Link) -> None:
    row.state = "unverified"


def _end(row: Link) -> None:
    row.valid_to = NOW


def _work(row: Link) -> None:
    row.role = "work"


@pytest.mark.parametrize("spoil", [_unverify, _end, _work])
async def test_without_a_verified_telephone_nobody_is_asked_and_the_link_stays_a_match(
    any_db, home, offer, spoil: Callable[[Link], None]
):
    def spoiled(session: Session) -> None:
        spoil(session.scalars(select(Link).where(Link.party_id == home.ali)).one())

    await any_db.work(spoiled)
    link = await accepted(any_db, offer.id)
    assert await sent(any_db) == []
    assert (await link_of(any_db, link)).state == "unverified"


async def test_his_own_telephone_is_asked_before_the_others(any_db, home, offer):
    def hers(session: Session) -> None:
        point = contact_points.ensure(session, "phone", "+905335550145", now=NOW - 30 * DAY)
        links.link(
            session, point, party=home.ayse, role="owner", state="verified", source="t", by="t", now=NOW - 30 * DAY
        )

    await any_db.work(hers)
    await accepted(any_db, offer.id)
    assert [to for to, _ in await sent(any_db)] == ["+905335550145"]


async def test_a_yes_from_home_has_the_new_number_asked_and_only_its_own_yes_verifies_the_link(any_db, home, offer):
    link = await accepted(any_db, offer.id)
    first = code_in((await sent(any_db))[0][1])
    assert await replied(any_db, f"ONAY {first}")
    assert (await link_of(any_db, link)).state == "unverified", "nobody showed that he has the telephone"
    _, (to, text) = await sent(any_db)
    second = code_in(text)
    assert (to, text) == (
        NEW,
        f"Bu telefonu Santral kayıtlarına eklemek için ONAY {second} yazıp gönderin. Siz istemediyseniz IPTAL {second} yazıp gönderin.",
    )
    assert not await replied(any_db, f"ONAY {second}"), "from home again"
    assert await replied(any_db, f"ONAY {second}", number=NEW)
    row = await link_of(any_db, link)
    assert (row.state, row.method, row.verified_by, row.verified_at) == ("verified", "sms", "sms", NOW + HOUR)
    assert len(await sent(any_db)) == 2


async def test_the_new_number_alone_verifies_nothing(any_db, home, offer):
    link = await accepted(any_db, offer.id)
    first = code_in((await sent(any_db))[0][1])
    assert not await replied(any_db, f"ONAY {first}", number=NEW)
    assert (await link_of(any_db, link)).state == "unverified"


@pytest.mark.parametrize("number", [company.HIS, NEW])
async def test_a_no_of_either_counts_also_after_the_yes_from_home(any_db, home, offer, number):
    link = await accepted(any_db, offer.id)
    await replied(any_db, f"ONAY {code_in((await sent(any_db))[0][1])}")
    code = {to: code_in(text) for to, text in await sent(any_db)}[number]
    assert await replied(any_db, f"IPTAL {code}", number=number)
    assert (await link_of(any_db, link)).state == "disputed"
    second = code_in((await sent(any_db))[1][1])
    assert not await replied(any_db, f"ONAY {second}", number=NEW)
    assert (await link_of(any_db, link)).state == "disputed"


async def test_asking_again_sends_nothing_and_spoils_no_code(any_db, home, offer):
    link = await accepted(any_db, offer.id)
    await any_db.work(lambda session: link_notices.notify(session, session.get_one(Link, link), NOW))
    ((_, text),) = await sent(any_db)
    assert await replied(any_db, f"ONAY {code_in(text)}")


async def test_a_no_with_the_code_disputes_it_at_once_and_it_is_not_proposed_again(any_db, home, offer):
    link = await accepted(any_db, offer.id)
    assert await replied(any_db, f"İPTAL {code_in((await sent(any_db))[0][1])}")
    assert (await link_of(any_db, link)).state == "disputed"
    assert await outcome(any_db) is Outcome.NONE
    life = await any_db.read(number_life.life, "phone", NEW)
    assert [(each.type, each.body.get("reason")) for each in life.events][-1] == ("link.disputed", "revoked")
    assert await proposed(any_db, party=home.ayse) is None


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("ONAY 123456", True), (" onay  123456.", True), ("Onay:123456", True), ("YES 123456", True), ("yes123456", True),
        ("IPTAL 123456", False), ("İPTAL 123456", False), ("iptal 123456", False), ("ıptal 123456", False),
        ("STOP 123456", False), ("Stop - 123456!", False), ("IPTAL 123456 lütfen", False), ("“IPTAL 123456”", False),
        ("IPTAL <123 456>", False), ("IPTAL ١٢٣٤٥٦", False), ("Onaylamıyorum, 123456 iptal!", False),
        ("ONAY 123456 değil, IPTAL", False), ("STOP123456", False),
    ],
)  # fmt: skip
def test_an_answer_is_read_in_whatever_way_it_was_keyed(text, read):
    assert link_notices.read(text) == link_notices.Answer(read, "123456")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ONAY",
        "ONAY 1234567",
        "merhaba",
        "ONAY ١٢٣٤٥٦",
        "x" * 20_000,
        "ONAY 123456 lütfen",
        "stopaj 123456",
        "123456",
        "\x00ONAY 123456",
        "ONAY\n" * 9,
    ],
)
def test_every_other_text_is_for_people_to_read(text):
    assert link_notices.read(text) is None


async def test_the_code_counts_only_from_the_telephone_that_it_went_to_and_only_once(any_db, home, offer):
    link = await accepted(any_db, offer.id)
    code = code_in((await sent(any_db))[0][1])
    for stranger in (NEW, company.SHARED, company.LANDLINE):
        assert not await replied(any_db, f"ONAY {code}", number=stranger)
    assert (await link_of(any_db, link)).state == "unverified"
    assert await replied(any_db, f"IPTAL {code}")
    assert not await replied(any_db, f"ONAY {code}")
    assert (await link_of(any_db, link)).state == "disputed"


async def test_five_wrong_codes_are_the_end_of_a_yes_and_never_of_a_no(any_db, home, offer):
    link = await accepted(any_db, offer.id)
    code = code_in((await sent(any_db))[0][1])
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    for _ in range(5):
        assert not await replied(any_db, f"ONAY {wrong}")
    assert not await replied(any_db, f"ONAY {code}")
    assert (await link_of(any_db, link)).state == "unverified"
    assert await replied(any_db, f"IPTAL {code}")
    assert (await link_of(any_db, link)).state == "disputed"


@pytest.mark.parametrize("text", ["IPTAL", "iptal edin lütfen", "IPTAL 12345", "STOP 000000"])
async def test_a_no_without_the_right_code_counts_when_it_can_mean_one_link_only(any_db, home, offer, text):
    link = await accepted(any_db, offer.id)
    assert not await replied(any_db, text, number=NEW), "from the right telephone only"
    assert await replied(any_db, text)
    assert (await link_of(any_db, link)).state == "disputed"


async def test_a_no_without_a_code_is_for_people_when_it_may_mean_two_links(any_db, home):
    made = []
    for number in (NEW, "+905445550198"):
        await called(any_db, f"c{number}", number=number)
        offer = await proposed(any_db, number=number, party=home.ayse, conversation=f"c{number}")
        assert offer is not None
        made.append(await accepted(any_db, offer.id))
    assert not await replied(any_db, "IPTAL")
    (text,) = [text for _, text in await sent(any_db) if text.startswith("0544 555 01 99")]
    assert await replied(any_db, f"IPTAL {code_in(text)}")
    assert [(await link_of(any_db, each)).state for each in made] == ["disputed", "unverified"]
    assert await replied(any_db, "IPTAL"), "now there is one"


# --- who is asked -----------------------------------------------------------------------------------------------------


async def only_verified(db: Database, home: Company, number: str, **whose: Any) -> None:
    """This telephone is the only one of theirs that was verified."""

    def change(session: Session) -> None:
        session.scalars(select(Link).where(Link.party_id == home.ali)).one().state = "unverified"
        point = contact_points.ensure(session, "phone", number, now=NOW - DAY)
        links.link(session, point, role="user", state="verified", source="t", by="t", now=NOW - DAY, **whose)

    await db.work(change)


async def test_a_childs_telephone_never_gets_the_message(any_db, home, offer):
    def child(session: Session) -> str:
        can = parties.add_party(session, name="Can Yılmaz", source="t", now=NOW)
        parties.add_member(session, session.get_one(Household, home.household), can, "child")
        return can.id

    await only_verified(any_db, home, "+905551112233", party=await any_db.work(child))
    await accepted(any_db, offer.id)
    assert await sent(any_db) == []


async def test_a_strangers_telephone_never_gets_the_message(any_db, home, offer):
    await only_verified(any_db, home, "+905551112233", party=home.strangers[0])
    await accepted(any_db, offer.id)
    assert await sent(any_db) == []


async def test_the_other_home_of_somebody_is_not_asked_about_this_one(any_db, home):
    """A link to the Yılmaz household leads to Ali, but not to who lives with him elsewhere."""

    def elsewhere(session: Session) -> str:
        other = parties.add_household(session, label="Yazlık", now=NOW)
        parties.add_member(session, other, session.get_one(Party, home.ali), "holder")
        parties.add_member(session, other, session.get_one(Party, home.strangers[0]), "member")
        return other.id

    await any_db.work(elsewhere)
    await only_verified(any_db, home, "+905551112233", party=home.strangers[0])
    await called(any_db)
    for whose in ({"household": home.household}, {"subscription": home.dsl}, {"party": home.ali}):
        offer = await proposed(any_db, **whose)
        assert offer is not None
        await accepted(any_db, offer.id)
    assert await sent(any_db) == []


async def test_a_link_that_is_no_match_is_not_asked_about(any_db, home):
    def make(session: Session) -> list[str | None]:
        point = contact_points.ensure(session, "phone", NEW, now=NOW)
        mail = contact_points.ensure(session, "email", "ayse@example.com", now=NOW)
        asked: dict[str, Any] = {"party": home.ayse, "source": "t", "by": "t", "now": NOW}
        made = [links.link(session, mail, role="owner", **asked), links.link(session, point, role="former", **asked)]
        return [link_notices.notify(session, each, NOW) for each in made]

    assert await any_db.work(make) == [None, None]


async def test_nobodys_telephone_rings_all_day_because_somebody_adds_numbers(any_db, home):
    for each in range(link_notices.NOTICES_A_DAY_MAX + 2):
        number = f"+90544555{each:04}"
        await called(any_db, f"c{number}", number=number)
        offer = await proposed(any_db, number=number, party=home.ayse, conversation=f"c{number}")
        assert offer is not None
        await accepted(any_db, offer.id)
    assert len(await sent(any_db)) == link_notices.NOTICES_A_DAY_MAX
