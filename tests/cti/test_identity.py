"""Who may be calling: the household of the story, and everybody whose number says less than one hopes."""

import dataclasses
import datetime as dt
import random

import pytest

from cti.identity import (
    MAY,
    UNSEEN_DAYS,
    Confirmed,
    Evidence,
    Identification,
    Level,
    LinkFact,
    Outcome,
    Person,
    SubscriptionFact,
    decide,
    expired,
    may,
)
from cti.identity_texts import TEXTS, reason_text
from cti.numbers import Number, parse
from cti.weights import AGAINST, FACTS, FOR, HOW, WEIGHTS, Weights, changed, names

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
HOUR = dt.timedelta(hours=1)
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
    assert reasons(found) == ["line_number", "holder"]
    first, second = (each.probability for each in found.candidates)
    assert first == pytest.approx(second * WEIGHTS.holder)
    assert first + second == pytest.approx(WEIGHTS.line_number / (WEIGHTS.line_number + WEIGHTS.somebody_else))


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
    found = who(*links, open_tickets=frozenset({"s-b"}), confirmed=(Confirmed("p-c", NOW - HOUR),))
    assert [each.party for each in found.candidates] == ["p-c", "p-b", "p-a"]
    assert {"talked_before", "confirmed"} <= set(reasons(found, 0))
    assert "open_ticket" in reasons(found, 1)
    assert 0.9 < sum(each.probability for each in found.candidates) < 1


def test_an_outage_of_the_line_is_a_reason_that_names_the_area():
    found = who(ON_HIS, open_outages=frozenset({"s-dsl"}))
    outage = next(each for each in found.candidates[0].reasons if each.key == "open_outage")
    assert outage.values["area"] == "Kadıköy-3"


def test_a_verified_number_weighs_more_than_one_that_was_not_seen_for_long():
    proven = dataclasses.replace(stranger("b"), state="verified", method="sms", verified_at=NOW)
    old = dataclasses.replace(stranger("a"), valid_from=NOW - dt.timedelta(days=500))
    found = who(old, proven)
    assert [each.party for each in found.candidates] == ["p-b", "p-a"]
    assert "verified" in reasons(found, 0)
    assert "long_unseen" in reasons(found, 1)
    seen = dataclasses.replace(old, last_seen_at=NOW)
    assert "long_unseen" not in reasons(who(seen))


def test_a_number_that_may_have_been_given_out_again_matches_nobody_any_more():
    old = dataclasses.replace(ON_HIS, valid_from=NOW - dt.timedelta(days=UNSEEN_DAYS + 1))
    assert who(old).outcome is Outcome.NONE
    assert who(old, unseen_days=UNSEEN_DAYS + 2).outcome is Outcome.UNIQUE
    assert who(dataclasses.replace(old, last_seen_at=NOW - HOUR)).outcome is Outcome.UNIQUE


@pytest.mark.parametrize(
    ("link", "days", "gone"),
    [
        ({}, 729, False),
        ({}, 731, True),
        ({"state": "verified"}, 1094, False),
        ({"state": "verified"}, 1096, True),
        ({"role": "line_number", "line": "s-phone"}, 9000, False),
    ],
)
def test_a_link_lives_so_long_without_being_seen(link, days, gone):
    assert expired(dataclasses.replace(ON_HIS, valid_from=NOW - dt.timedelta(days=days), **link), NOW, 730) is gone


def test_a_telephone_on_a_dead_line_is_suspicious_and_the_mobiles_of_its_household_are_not():
    trouble = frozenset({"s-dsl", "s-phone"})
    landline, mobile = who(ON_LANDLINE, open_outages=trouble), who(ON_HIS, open_outages=trouble)
    assert "line_is_down" in reasons(landline)
    assert "open_outage" not in reasons(landline)
    assert sum(each.probability for each in landline.candidates) < 0.75
    assert "open_outage" in reasons(mobile)
    assert mobile.candidates[0].probability > who(ON_HIS).candidates[0].probability


def test_somebody_is_likelier_at_the_hours_at_which_he_called_before():
    links = [stranger("a"), stranger("b")]
    morning, evening = NOW - dt.timedelta(days=3), NOW - dt.timedelta(days=2, hours=-10)
    talks = (Confirmed("p-a", evening), Confirmed("p-b", morning), Confirmed("p-a", evening), Confirmed("p-b", morning))
    found = who(*links, confirmed=(Confirmed("p-else", morning), *talks))
    assert [each.party for each in found.candidates] == ["p-b", "p-a"]
    told = next(each for each in found.candidates[0].reasons if each.key == "confirmed")
    assert told.values == {"count": "2", "same_hours": "2"}


def test_the_time_of_day_knows_midnight():
    night = dt.datetime(2026, 11, 20, 23, 30, tzinfo=dt.UTC)
    told = decide(
        number(HIS), [ON_HIS], Evidence(now=night, confirmed=(Confirmed("p-ali", night + dt.timedelta(hours=-22)),))
    )
    assert told.candidates[0].reasons[-1].values["same_hours"] == "1"


def test_others_confirmed_on_a_number_take_from_those_to_whom_it_is_linked():
    before = who(ON_HIS).candidates[0].probability
    found = who(ON_HIS, confirmed=tuple(Confirmed("p-new", NOW - HOUR * each) for each in range(1, 4)))
    assert found.candidates[0].probability < before / 2
    assert "others_confirmed" in reasons(found)


@pytest.mark.parametrize(
    ("evidence", "key", "up"),
    [
        ({"attestation": "A"}, "attested", True),
        ({"attestation": "C"}, "gateway", False),
        ({"attestation": "failed"}, "attestation_failed", False),
        ({"diverted_from": LANDLINE}, "diverted", False),
        ({"proved": frozenset({"s-dsl"})}, "proved", True),
        ({"proved": frozenset({"p-ali"})}, "proved", True),
    ],
)
def test_what_the_trunk_says_and_what_was_proved_count(evidence, key, up):
    found, before = who(ON_HIS, **evidence), who(ON_HIS)
    assert key in reasons(found)
    if up:
        assert found.candidates[0].probability >= before.candidates[0].probability
    else:
        assert found.candidates[0].probability < before.candidates[0].probability
    assert found.level is Level.MATCHED  # evidence ranks; only cti.proof raises a level


def test_eight_people_on_one_number_stand_in_the_same_order_a_hundred_times():
    links = [stranger(name) for name in "abcdefgh"]
    talks = (Confirmed("p-f", NOW - HOUR), Confirmed("p-c", NOW - HOUR * 30), Confirmed("p-f", NOW - HOUR * 90))
    first = who(*links, confirmed=talks, open_tickets=frozenset({"s-h"}))
    for seed in range(100):
        random.Random(seed).shuffle(links)
        assert (
            who(*links, confirmed=talks, open_tickets=frozenset({"s-h"})) == first
        )  # with every probability and reason
    order = [each.party for each in first.candidates]
    assert order[:3] == ["p-f", "p-c", "p-h"]
    assert order[3:] == ["p-a", "p-b", "p-d", "p-e", "p-g"]


def test_eight_people_of_one_household_share_its_number():
    people = tuple(Person(f"p-{name}", name) for name in "abcdefgh")
    found = who(dataclasses.replace(HOME, people=people))
    assert found.outcome is Outcome.UNIQUE
    assert len({each.probability for each in found.candidates}) == 1
    assert sum(each.probability for each in found.candidates) < 1


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "disputed"},
        {"state": "proposed"},
        {"role": "former"},
        {"valid_to": NOW},
        {"valid_from": NOW + dt.timedelta(days=1)},
        {"valid_from": NOW - dt.timedelta(days=2000)},
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
        dataclasses.replace(ON_HIS, state="verified", method="sms", verified_at=NOW - dt.timedelta(days=900),
                            valid_from=NOW - dt.timedelta(days=900), exclusivity="sole"),
        open_tickets=frozenset({"s-dsl"}), open_outages=frozenset({"s-dsl"}), proved=frozenset({"p-ali"}), attestation="A",
        diverted_from=HERS, confirmed=(Confirmed("p-ali", NOW - HOUR), Confirmed("p-new", NOW - HOUR)),
    )  # fmt: skip
    made = {reason.key for reason in every.candidates[0].reasons}
    assert made == {
        "own_number", "verified", "sole", "open_ticket", "open_outage", "talked_before", "confirmed", "others_confirmed",
        "long_unseen", "proved", "attested", "diverted",
    }  # fmt: skip
    assert all(set(texts) == {"tr", "en"} for texts in TEXTS.values())
    assert made | FACTS | set(HOW) <= set(TEXTS)
    line = who(ON_LANDLINE).candidates[0].reasons[0]
    assert reason_text(line, "tr") == "sabit telefon hattının numarası, abonelik 8002"
    assert reason_text(line, "en") == "number of the landline on subscription 8002"
    assert set(MAY.values()) == set(Level)


def test_weights_stand_on_their_side_of_one():
    assert FACTS | set(HOW) <= {*names(), "holder"}
    assert all(getattr(WEIGHTS, name) >= 1 for name in FOR)
    assert all(getattr(WEIGHTS, name) <= 1 for name in AGAINST)
    assert changed(WEIGHTS, {"verified": 3.0}) == dataclasses.replace(WEIGHTS, verified=3.0)
    for wrong in ({"verified": 0.9}, {"gateway": 2.0}, {"owner": 1.0}, {"somebody_else": 0.0}):
        with pytest.raises(ValueError, match="expected a weight out of own_number"):
            changed(WEIGHTS, wrong)
    assert Weights() == WEIGHTS
