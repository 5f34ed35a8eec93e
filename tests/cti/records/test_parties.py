"""Who we know: found however a name or number is written, and shown on one card."""

import pytest

from cti import ledger
from cti.events import PartyAdded
from cti.records import parties
from cti.records.cards import card, search
from cti.records.contact_points import ensure
from cti.records.links import link
from cti.records.parties import add_party, fold, subscriptions_of


@pytest.mark.parametrize(
    ("written", "folded"),
    [("İPEK ÇAĞRI", "ipek cagri"), ("ipek çağrı", "ipek cagri"), ("IŞIL ılgaz", "isil ilgaz"), ("Öğüt  Şükrü", "ogut sukru"),
     ("Straße", "strasse"), ("José", "jose"), ("Łukasz", "lukasz"), ("ＡＢＣ", "abc"), ("  ", "")],
)  # fmt: skip
def test_two_writings_of_a_name_fold_to_the_same(written, folded):
    assert fold(written) == folded
    assert fold(folded) == folded


def family(session, now):
    ali = add_party(session, name="Işıl Çağrı", customer_no="1000123", tags="vip legal", now=now, source="test")
    ayse = add_party(session, name="Ayşe Çağrı", now=now, source="test")
    other = add_party(session, name="Mağaza %100", kind="organisation", now=now, source="test")
    home = parties.add_household(session, label="Çağrı", now=now)
    parties.add_member(session, home, ali, "holder")
    parties.add_member(session, home, ayse, "spouse")
    parties.add_member(session, home, ayse, "member")
    dsl = parties.add_subscription(session, number="8009", kind="dsl", holder=ali, household=home, now=now)
    line = parties.add_subscription(
        session, number="8002", kind="landline", holder=ali, line_number="+902125550101", depends_on=dsl, now=now
    )
    parties.add_subscription(session, number="8003", kind="dsl", holder=ali, status="ended", now=now)
    phone = ensure(session, "phone", "0533 555 01 45", now=now)
    link(session, phone, party=ayse.id, role="user", source="test", by="test", now=now)
    landline = ensure(session, "phone", "0212 555 01 01", now=now)
    link(session, landline, subscription=line.id, role="line_number", source="test", by="test", now=now)
    return ali.id, ayse.id, other.id


@pytest.mark.parametrize(
    ("text", "found"),
    [("çağrı", ["Ayşe Çağrı", "Işıl Çağrı"]), ("CAG IS", ["Işıl Çağrı"]), ("1000123", ["Işıl Çağrı"]), ("8009", ["Işıl Çağrı"]),
     ("(0533) 555 01 45", ["Ayşe Çağrı"]), ("02125550101", ["Işıl Çağrı"]), ("%", ["Mağaza %100"]), ("_", []),
     ("magaza %1", ["Mağaza %100"]),
     ("ağrı", []), ("", []), ("nobody", [])],
)  # fmt: skip
async def test_a_party_is_found_by_name_or_number(db, now, text, found):
    await db.work(family, now)
    assert [each.name for each in await db.read(search, text)] == found


async def test_a_search_is_bounded(db, now):
    await db.work(family, now)
    assert len(await db.read(search, "çağrı", 1)) == 1


async def test_a_card_shows_household_services_and_numbers(db, now):
    ali, ayse, _ = await db.work(family, now)
    his, hers = await db.read(card, ali), await db.read(card, ayse)
    assert (his.name, his.customer_no, his.tags, his.household) == ("Işıl Çağrı", "1000123", ("vip", "legal"), "Çağrı")
    assert [(each.name, each.role) for each in his.members] == [("Ayşe Çağrı", "spouse")]
    assert [(each.number, each.line_number) for each in his.services] == [("8009", None), ("8002", "+902125550101")]
    assert [(each.number, each.is_holder) for each in hers.services] == [("8009", False)]
    assert [(each.kind, each.value, each.role, each.state) for each in hers.contacts] == [
        ("phone", "+905335550145", "user", "unverified")
    ]


async def test_a_card_of_nobody_says_what_was_expected(db):
    with pytest.raises(LookupError, match="expected the id of a party, got 'x'"):
        await db.read(card, "x")


async def test_a_party_without_a_household_has_a_card_too(db, now):
    *_, other = await db.work(family, now)
    shop = await db.read(card, other)
    assert (shop.kind, shop.household, shop.members, shop.services, shop.contacts) == ("organisation", None, (), (), ())
    assert await db.read(subscriptions_of, other) == []


async def test_adding_a_party_is_told(db, now):
    ali, *_ = await db.work(family, now)
    assert (await db.read(ledger.since, 0))[0].event == PartyAdded(party=ali, source="test")


async def test_a_party_needs_a_name_and_a_line_number_its_country(db, now):
    with pytest.raises(ValueError, match="expected a name"):
        await db.work(add_party, name=" ", now=now, source="test")
    with pytest.raises(ValueError, match="Invalid isoformat"):
        await db.work(add_party, name="A", birth_date="31.12.1980", now=now, source="test")

    def short_line(session):
        holder = add_party(session, name="A", now=now, source="test")
        parties.add_subscription(session, number="1", kind="dsl", holder=holder, line_number="0212", now=now)

    with pytest.raises(ValueError, match=r"E\.164, got '0212'"):
        await db.work(short_line)
