"""Who may be calling: the household of the story, and everybody whose number says less than one hopes."""

import dataclasses
import datetime as dt
import random

import pytest

from cti.identity import (
    FACTOR,
    MAY,
    Evidence,
    Identification,
    Level,
    LinkFact,
    Outcome,
    Person,
    SubscriptionFact,
    decide,
    may,
)
from cti.identity_texts import TEXTS, reason_text
from cti.numbers import Number, parse

NOW = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)
LANDLINE, HIS, HERS = "+902125550101", "+905325550123", "+905335550145"

DSL = SubscriptionFact(id="s-dsl", number="8001", kind="dsl", area="Kadıköy-3", holder="p-ali")
PHONE = SubscriptionFact(
    id="s-phone",
    number="8002",
    kind="landline",
    area="Kadıköy-3",
    holder="p-ali",
    line_number=LANDLINE,
    depends_on="s-dsl",
)
ALI, AYSE = Person("p-ali", "Ali Yılmaz", is_holder=True), Person("p-ayse", "Ayşe Yılmaz")
HOME = LinkFact(
    link="l-0", value=LANDLINE, household="h", household_label="Yılmaz", people=(ALI, AYSE), subscriptions=(DSL, PHONE),
    role="owner", valid_from=NOW - dt.timedelta(days=90),
)  # fmt: skip
ON_LANDLINE = dataclasses.replace(HOME, link="l-1", line="s-phone", role="line_number")
ON_HIS = dataclasses.replace(HOME, link="l-2", value=HIS, party="p-ali", party_name="Ali Yılmaz", people=(ALI,))
ON_HERS = dataclasses.replace(
    HOME, link="l-3", value=HERS, party="p-ayse", party_name="Ayşe Yılmaz", people=(AYSE,), role="user"
)


def number(raw: str) -> Number:
    return parse(raw, "TR")


def stranger(name: str) -> LinkFact:
    """Somebody without a household who is linked to the first number of the story."""
    party = f"p-{name}"
    subscription = dataclasses.replace(DSL, id=f"s-{name}", number=f"9-{name}", holder=party)
    return dataclasses.replace(
        ON_HIS, link=f"l-{name}", party=party, party_name=name, household=None, household_label="",
        people=(Person(party, name, is_holder=True),), subscriptions=(subscription,),
    )  # fmt: skip


def who(link: LinkFact, *more: LinkFact, **evidence: object) -> Identification:
    return decide(number(link.value), [link, *more], Evidence(now=NOW, **evidence))  # type: ignore[arg-type]


def reasons(identification: Identification, place: int = 0) -> list[str]:
    return [reason.key for reason in identification.candidates[place].reasons]


@pytest.mark.parametrize(
    ("link", "first", "role", "why"),
    [(ON_LANDLINE, "p-ali", "line_number", ["line_number", "holder"]), (ON_HIS, "p-ali", "owner", ["own_number"]),
     (ON_HERS, "p-ayse", "user", ["own_number"])],
)  # fmt: skip
def test_every_number_of_the_household_leads_to_the_same_subscription(link, first, role, why):
    found = who(link)
    assert (found.outcome, found.level, found.role) == (Outcome.UNIQUE, Level.MATCHED, role)
    assert found.subscriptions == ("s-dsl", "s-phone")
    assert found.carriers == ("s-dsl",)
    assert found.candidates[0].party == first
    assert reasons(found) == why


def test_a_landline_has_its_holder_before_the_household_s_other_members():
    found = who(ON_LANDLINE)
    assert [each.party for each in found.candidates] == ["p-ali", "p-ayse"]
    assert [round(each.probability, 3) for each in found.candidates] == [0.625, 0.312]


def test_two_people_of_one_household_on_one_number_are_one_customer():
    found = who(ON_HIS, dataclasses.replace(ON_HERS, value=HIS))
    assert found.outcome is Outcome.UNIQUE
    assert len(found.candidates) == 2
    assert "shared_number" not in reasons(found)


def test_a_household_s_number_names_the_household_when_nobody_in_it_is_known():
    found = who(dataclasses.replace(HOME, people=()))
    assert (found.outcome, found.candidates[0].party, found.candidates[0].household) == (Outcome.UNIQUE, None, "h")
    assert found.candidates[0].party_name == "Yılmaz"
    assert reasons(found) == ["household_number"]


def test_a_person_reached_in_two_ways_is_one_candidate_with_both_reasons():
    found = who(ON_LANDLINE, dataclasses.replace(ON_HIS, value=LANDLINE))
    assert [each.party for each in found.candidates] == ["p-ali", "p-ayse"]
    assert {"own_number", "line_number"} <= set(reasons(found))


def test_a_number_shared_by_three_customers_is_ambiguous_in_an_order_that_never_changes():
    links = [stranger("c"), stranger("a"), stranger("b")]
    orders = set()
    for seed in range(100):
        random.Random(seed).shuffle(links)
        found = who(*links)
        assert found.outcome is Outcome.AMBIGUOUS
        assert (found.subscriptions, found.carriers, found.role) == ((), (), "")
        assert "shared_number" in reasons(found)
        orders.add(tuple(each.party for each in found.candidates))
    assert orders == {("p-a", "p-b", "p-c")}


def test_evidence_moves_a_candidate_up_and_says_why():
    links = [stranger("a"), stranger("b"), stranger("c")]
    found = who(*links, open_tickets=frozenset({"s-b"}), talked_before="p-c")
    assert [each.party for each in found.candidates] == ["p-c", "p-b", "p-a"]
    assert "talked_before" in reasons(found, 0)
    assert "open_ticket" in reasons(found, 1)
    assert 0.9 < sum(each.probability for each in found.candidates) < 1


def test_an_outage_of_the_line_is_a_reason_that_names_the_area():
    found = who(ON_HIS, open_outages=frozenset({"s-dsl"}))
    outage = next(each for each in found.candidates[0].reasons if each.key == "open_outage")
    assert outage.values["area"] == "Kadıköy-3"


def test_a_verified_number_weighs_more_than_one_that_was_not_seen_for_years():
    proven = dataclasses.replace(stranger("b"), state="verified", method="key", verified_at=NOW)
    old = dataclasses.replace(stranger("a"), valid_from=NOW - dt.timedelta(days=2000))
    found = who(old, proven)
    assert [each.party for each in found.candidates] == ["p-b", "p-a"]
    assert "verified" in reasons(found, 0)
    assert "long_unseen" in reasons(found, 1)
    seen = dataclasses.replace(old, last_seen_at=NOW)
    assert "long_unseen" not in reasons(who(seen))


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "disputed"},
        {"state": "proposed"},
        {"role": "former"},
        {"valid_to": NOW},
        {"valid_from": NOW + dt.timedelta(days=1)},
    ],
)
def test_a_link_that_does_not_hold_matches_nobody(changed):
    found = who(dataclasses.replace(ON_HIS, **changed))
    assert found == Identification(Outcome.NONE, Level.NONE)


@pytest.mark.parametrize(
    ("raw", "outcome"),
    [("anonymous", Outcome.WITHHELD), ("05", Outcome.NONE), ("1001", Outcome.NONE), ("alice", Outcome.MALFORMED)],
)
def test_what_is_no_number_has_no_candidates_whatever_the_links(raw, outcome):
    assert decide(number(raw), [ON_HIS], Evidence(now=NOW)) == Identification(outcome, Level.NONE)


@pytest.mark.parametrize("raw", ["0544 555 01 99", "+49 30 23125123"])
def test_an_unknown_number_is_nobody_rather_than_new(raw):
    assert decide(number(raw), [], Evidence(now=NOW)) == Identification(Outcome.NONE, Level.NONE)


def test_a_matched_caller_reports_a_fault_and_never_hears_a_bill():
    assert may(Level.MATCHED, "open_fault_ticket")
    assert may(Level.MATCHED, "hear_outage")
    assert not may(Level.MATCHED, "hear_bill")
    assert not may(Level.KEYED, "change_data")
    assert may(Level.VERIFIED, "hear_bill")
    assert may(Level.NONE, "speak_to_person")
    with pytest.raises(ValueError, match=r"expected one of .* got 'sing'"):
        may(Level.STRONG, "sing")


def test_every_reason_has_a_text_in_both_languages():
    every = who(
        dataclasses.replace(ON_LANDLINE, state="verified", method="key", verified_at=NOW - dt.timedelta(days=900),
                            valid_from=NOW - dt.timedelta(days=900)),
        open_tickets=frozenset({"s-dsl"}), open_outages=frozenset({"s-dsl"}), talked_before="p-ali",
    )  # fmt: skip
    made = {reason.key for reason in every.candidates[0].reasons}
    assert made == {"line_number", "holder", "verified", "open_ticket", "open_outage", "talked_before", "long_unseen"}
    assert all(set(texts) == {"tr", "en"} for texts in TEXTS.values())
    assert made <= set(TEXTS)
    line = every.candidates[0].reasons[0]
    assert reason_text(line, "tr") == "sabit telefon hattının numarası, abonelik 8002"
    assert reason_text(line, "en") == "number of the landline on subscription 8002"
    assert {"sole", "shared"} <= set(FACTOR)
    assert set(MAY.values()) == set(Level)
