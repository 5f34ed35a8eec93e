"""A number is not a person: links join the two, begin and end, and lead from every number of a household to the same line."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from cti import ledger
from cti.db import Base
from cti.events import LinkEnded, LinkMade
from cti.identity import Evidence, Identification, Level, Outcome
from cti.numbers import parse
from cti.records import evidence, parties
from cti.records.contact_points import LINKS_MAX, ContactPoint, Link, ensure, identify, links_of, of_party
from cti.records.conversations import Conversation
from cti.records.links import end_link, link
from cti.records.outages import Outage
from cti.records.tickets import Ticket

NOW = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)
LANDLINE, HIS, HERS = "0212 555 01 01", "0532 555 01 23", "0533 555 01 45"
QUERIES_MAX = 10


@dataclass(frozen=True)
class Story:
    ali: str
    ayse: str
    household: str
    dsl: str
    phone: str


def story(session: Session) -> Story:
    """The household: DSL, the landline over it, his mobile and hers."""
    ali = parties.add_party(session, name="Ali Yılmaz", customer_no="1000123", now=NOW, source="test")
    ayse = parties.add_party(session, name="Ayşe Yılmaz", now=NOW, source="test")
    home = parties.add_household(session, label="Yılmaz", now=NOW)
    parties.add_member(session, home, ali, "holder")
    parties.add_member(session, home, ayse, "spouse")
    common: dict[str, Any] = {"holder": ali, "household": home, "area": "Kadıköy-3", "now": NOW}
    dsl = parties.add_subscription(session, number="8001", kind="dsl", **common)
    phone = parties.add_subscription(
        session, number="8002", kind="landline", line_number="+902125550101", depends_on=dsl, **common
    )
    number_of(session, LANDLINE, subscription=phone.id, role="line_number")
    number_of(session, HIS, party=ali.id, role="owner", state="verified", method="key")
    number_of(session, HERS, party=ayse.id, role="user")
    return Story(ali.id, ayse.id, home.id, dsl.id, phone.id)


def number_of(session: Session, raw: str, *, now: dt.datetime = NOW, **whose: Any) -> Link:
    return link(session, ensure(session, "phone", raw, now=now), source="test", by="test", now=now, **whose)


def call(session: Session, raw: str, now: dt.datetime = NOW) -> Identification:
    return identify(session, parse(raw, "TR"), now)


@pytest.mark.parametrize(
    ("raw", "first", "role"),
    [
        ("0212 555 01 01", "ali", "line_number"),
        ("00905325550123", "ali", "owner"),
        ("(0533) 555/01/45", "ayse", "user"),
    ],
)
async def test_every_number_of_the_household_reaches_the_same_subscription(db, raw, first, role):
    home = await db.work(story)
    found = await db.read(call, raw)
    assert (found.outcome, found.level, found.role) == (Outcome.UNIQUE, Level.MATCHED, role)
    assert found.subscriptions == (home.dsl, home.phone)
    assert found.carriers == (home.dsl,)
    assert found.candidates[0].party == getattr(home, first)
    assert found.candidates[0].household == home.household


async def test_the_landline_offers_its_holder_first_and_then_the_household(db):
    home = await db.work(story)
    found = await db.read(call, LANDLINE)
    assert [each.party for each in found.candidates] == [home.ali, home.ayse]
    assert [reason.key for reason in found.candidates[0].reasons] == ["line_number", "holder"]


async def test_a_household_s_number_offers_its_members(db):
    home = await db.work(story)
    await db.work(number_of, "0216 555 01 99", household=home.household, role="owner")
    found = await db.read(call, "0216 555 01 99")
    assert [each.party for each in found.candidates] == sorted([home.ali, home.ayse])  # equally likely: by their ids
    assert found.candidates[0].reasons[0].values == {"household": "Yılmaz", "people": "2"}


async def test_a_number_of_three_unrelated_customers_is_ambiguous_and_always_in_the_same_order(db):
    def three(session):
        for name in ("Cem", "Ece", "Naz"):
            party = parties.add_party(session, name=name, now=NOW, source="test")
            parties.add_subscription(session, number=f"9-{name}", kind="dsl", holder=party, now=NOW)
            number_of(session, "0216 555 01 99", party=party.id, role="owner")

    await db.work(three)
    first = await db.read(call, "0216 555 01 99")
    assert (first.outcome, len(first.candidates)) == (Outcome.AMBIGUOUS, 3)
    assert [await db.read(call, "0216 555 01 99") for _ in range(100)] == [first] * 100


@pytest.mark.parametrize(
    ("raw", "outcome"),
    [("0544 555 01 99", Outcome.NONE), ("+49 30 23125123", Outcome.NONE), ("anonymous", Outcome.WITHHELD), ("1001", Outcome.NONE),
     ("0532 555", Outcome.MALFORMED)],
)  # fmt: skip
async def test_a_number_that_says_nothing_matches_nobody(db, raw, outcome):
    await db.work(story)
    found = await db.read(call, raw)
    assert (found.outcome, found.level, found.candidates) == (outcome, Level.NONE, ())


async def test_an_ended_a_disputed_and_a_proposed_link_match_nobody(db):
    home = await db.work(story)

    def end_and_dispute(session):
        for each in links_of(session, "+905325550123", now=NOW):
            end_link(session, each.link, reason="sold", by="agent1", now=NOW)
        session.scalars(select(Link).where(Link.party_id == home.ayse)).one().state = "disputed"
        number_of(session, "0544 555 01 99", party=home.ali, role="owner", state="proposed")

    await db.work(end_and_dispute)
    later = NOW + dt.timedelta(seconds=1)
    for raw in (HIS, HERS, "0544 555 01 99"):
        assert (await db.read(call, raw, later)).outcome is Outcome.NONE


async def test_tickets_outages_and_earlier_talks_are_reasons(db):
    home = await db.work(story)

    def happen(session):
        session.add(
            Ticket(id="t", number="10", subscription_id=home.phone, matter="fault", channel="phone", opened_at=NOW)
        )
        session.add(Outage(id="o", area="Kadıköy-3", kind="dsl", started_at=NOW))
        session.add(Conversation(
            id="c", channel="1.1", did="850", number="+902125550101", number_kind="e164", party_id=home.ayse, arrived_at=NOW
        ))  # fmt: skip

    await db.work(happen)
    found = await db.read(call, LANDLINE)
    assert [each.party for each in found.candidates] == [home.ayse, home.ali]
    assert {reason.key for reason in found.candidates[0].reasons} == {
        "line_number",
        "open_ticket",
        "line_is_down",
        "talked_before",
        "confirmed",
    }


@pytest.mark.parametrize(
    ("area", "kind", "hit"),
    [("Kadıköy-3", "", 2), ("Kadıköy-3", "dsl", 2), ("Kadıköy-3", "landline", 1), ("Moda", "", 0)],
)
async def test_an_outage_hits_a_line_and_what_it_carries(db, area, kind, hit):
    await db.work(story)

    def down(session):
        session.add(Outage(id="o", area=area, kind=kind, started_at=NOW))
        session.add(Outage(id="closed", area="Kadıköy-3", started_at=NOW, closed_at=NOW))
        session.add(Outage(id="planned", area="Kadıköy-3", started_at=NOW + dt.timedelta(hours=1)))
        session.flush()
        links = links_of(session, "+905325550123", now=NOW)
        return evidence.evidence(session, "+905325550123", links, Evidence(now=NOW)).open_outages

    assert len(await db.work(down)) == hit


async def test_identifying_takes_a_handful_of_queries_however_many_links_there_are(db):
    home = await db.work(story)

    def count(session):
        for name in map(str, range(30)):
            party = parties.add_party(session, name=name, now=NOW, source="test")
            number_of(session, HIS, party=party.id, role="user")
        number_of(session, HIS, household=home.household, role="owner")
        seen: list[str] = []

        def heard(*call):
            seen.append(call[2])

        event.listen(session.get_bind(), "before_cursor_execute", heard)
        found = call(session, HIS)
        event.remove(session.get_bind(), "before_cursor_execute", heard)
        return found, seen

    found, seen = await db.work(count)
    assert len(found.candidates) == 32
    assert len(seen) <= QUERIES_MAX


async def test_every_query_of_an_identification_uses_an_index(db):
    await db.work(story)

    def plans(session):
        seen = []

        def heard(connection, cursor, statement, parameters, context, many):
            seen.append((statement, parameters))

        event.listen(session.get_bind(), "before_cursor_execute", heard)
        call(session, HIS)
        event.remove(session.get_bind(), "before_cursor_execute", heard)
        driver = session.connection().connection.driver_connection
        return [
            row[3]
            for statement, parameters in seen
            for row in driver.execute("EXPLAIN QUERY PLAN " + statement, parameters)
        ]

    steps = await db.read(plans)
    assert [step for step in steps if "USING INDEX" in step]
    assert not [
        step for step in steps if step.startswith("SCAN ") and step.removeprefix("SCAN ") in Base.metadata.tables
    ]


@pytest.mark.parametrize(
    ("kind", "written", "form"),
    [("phone", "(0532) 555/01/23", "+905325550123"), ("email", "  Ali.Yilmaz@Example.COM ", "ali.yilmaz@example.com"),
     ("social", " @aliyilmaz ", "@aliyilmaz"), ("chat", "Q-17", "Q-17"), ("postal", "Moda Cad. 1", "Moda Cad. 1")],
)  # fmt: skip
async def test_a_contact_point_is_there_once_in_its_canonical_form(db, now, kind, written, form):
    first = await db.work(ensure, kind, written, now=now)
    again = await db.work(ensure, kind, form, now=now)
    assert (first.value, first.raw, again.id) == (form, written, first.id)
    assert await db.read(lambda session: session.scalar(select(func.count()).select_from(ContactPoint))) == 1


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [("phone", "0532 555", "telephone number"), ("phone", "1001", "telephone number"), ("phone", "anonymous", "telephone number"),
     ("email", "ali", "e-mail address"), ("email", "a b@example.com", "e-mail address"), ("social", "  ", "1 to 200"),
     ("chat", "x" * 201, "1 to 200"), ("Phone!", "0532", "a kind of contact point")],
)  # fmt: skip
async def test_what_is_no_contact_point_is_refused_with_what_was_expected(db, now, kind, value, expected):
    with pytest.raises(ValueError, match=f"expected .*{expected}"):
        await db.work(ensure, kind, value, now=now)


async def test_linking_the_same_again_changes_nothing_and_says_nothing(db):
    home = await db.work(story)
    before = await db.read(ledger.last_seq)
    again = await db.work(number_of, HERS, party=home.ayse, role="user")
    assert await db.read(ledger.last_seq) == before
    assert again.id in {each.link for each in await db.read(of_party, home.ayse)}


async def test_proof_replaces_an_unproven_link_and_nothing_replaces_proof(db):
    home = await db.work(story)
    later = NOW + dt.timedelta(hours=1)
    proven = await db.work(number_of, HERS, party=home.ayse, role="user", state="verified", method="key", now=later)
    weaker = await db.work(number_of, HERS, party=home.ayse, role="user", now=later)
    assert (proven.verified_at, proven.verified_by, weaker.id) == (later, "test", proven.id)
    [fact] = await db.read(links_of, "+905335550145", now=later)
    assert (fact.link, fact.state) == (proven.id, "verified")
    told = [each.event for each in await db.read(ledger.since, 0)][-2:]
    assert [type(each) for each in told] == [LinkEnded, LinkMade]


async def test_a_link_ends_once_and_its_row_stays(db):
    home = await db.work(story)
    [contact] = await db.read(of_party, home.ayse)
    assert await db.work(end_link, contact.link, reason="sold", by="agent1", now=NOW)
    assert not await db.work(end_link, contact.link, reason="sold", by="agent1", now=NOW)
    assert await db.read(of_party, home.ayse) == ()
    assert await db.read(lambda session: session.get(Link, contact.link).valid_to) == NOW
    with pytest.raises(LookupError, match="expected the id of a link"):
        await db.work(end_link, "none", reason="", by="", now=NOW)


async def test_a_link_has_exactly_one_other_end(db):
    home = await db.work(story)
    for ends in ({}, {"party": home.ali, "household": home.household}):
        with pytest.raises(ValueError, match="exactly one of"):
            await db.work(number_of, HIS, role="owner", **ends)
    with pytest.raises(ValueError, match="expected a state of"):
        await db.work(number_of, HIS, role="owner", party=home.ali, state="sure")


async def test_a_number_that_was_made_up_for_a_list_is_looked_at_in_part(any_db, now):
    """Placeholders such as 0555 555 55 55 have thousands of links; the first ones show already that it is nobody's."""

    def many(session):
        point = ensure(session, "phone", "0555 555 55 55", now=now)
        people = [parties.add_party(session, name=f"P {each}", source="test", now=now).id for each in range(600)]
        session.flush()
        session.add_all(
            Link(
                id=f"{each:036}", contact_point_id=point.id, party_id=who, role="owner", source="import", valid_from=now
            )
            for each, who in enumerate(people)
        )

    await any_db.work(many)
    found = await any_db.read(identify, parse("05555555555", "TR"), now)
    assert (found.outcome, len(found.candidates)) == (Outcome.AMBIGUOUS, LINKS_MAX)
