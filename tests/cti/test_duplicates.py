"""Two records and whether they are one person."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.duplicates import (
    AT_MOST_UNPROVEN,
    BITS,
    FAMILIES,
    PROPOSE_AT,
    TEXTS,
    Profile,
    Reason,
    Score,
    read,
    reason_text,
    score,
)

MOBILE = ("phone", "+905321234567")
MAIL = ("email", "sule@example.com")
SULE = Profile(
    id="a", name="Şule Işık", birth_date="1980-12-31", contacts=frozenset({MOBILE}), households=frozenset({"h"})
)


def keys(found: Score) -> set[str]:
    return {each.key for each in found.reasons}


def test_one_person_in_two_writings_is_proposed_with_reasons():
    other = Profile(id="b", name="SULE ISIK", birth_date="1980-12-31", contacts=frozenset({MOBILE}))
    found = score(SULE, other)
    assert found.value > 0.99
    assert [each.key for each in found.reasons] == ["own_contact", "same_birth_date", "same_name"]
    assert reason_text(found.reasons[0], "tr") == "ikisi de +905321234567 kullanıyor"
    assert reason_text(found.reasons[0], "en") == "both use +905321234567"


@pytest.mark.parametrize(
    "other",
    [
        Profile(id="b", name="Murat Demir", contacts=frozenset({MOBILE})),
        Profile(id="b", name="Murat Demir", contacts=frozenset({MOBILE, MAIL}), households=frozenset({"h"})),
        Profile(id="b", name="Şule Işık"),
        Profile(id="b", name="Murat Demir", birth_date="1980-12-31"),
        Profile(id="b", name="Murat Işık", households=frozenset({"h"}), contacts=frozenset({MOBILE})),
    ],
    ids=["a number", "a number, an address and a home", "a name", "a birth date", "a husband"],
)
def test_one_thing_in_common_is_never_enough(other):
    assert score(SULE, other).value < PROPOSE_AT


def test_a_number_that_many_use_says_less_than_one_of_their_own():
    own = Profile(id="b", name="Şule Işık", contacts=frozenset({MOBILE}))
    shared = dataclasses.replace(own, shared=frozenset({MOBILE}))
    assert score(SULE, own).value >= PROPOSE_AT > score(SULE, shared).value
    assert "shared_contact" in keys(score(SULE, shared))


def test_contradictions_are_heard_whatever_else_they_have_in_common():
    twin = dataclasses.replace(SULE, id="b", name="Jale Işık")
    same = dataclasses.replace(SULE, id="b")
    other_birth = dataclasses.replace(SULE, id="b", birth_date="1952-03-08")
    company = dataclasses.replace(SULE, id="b", kind="organisation")
    assert score(SULE, same).value > 0.99
    assert score(SULE, twin).value < PROPOSE_AT
    assert score(SULE, other_birth).value <= AT_MOST_UNPROVEN
    assert score(SULE, company).value <= AT_MOST_UNPROVEN


def test_two_customer_numbers_speak_against_and_one_written_twice_speaks_for():
    named = Profile(id="b", name="Şule Işık", contacts=frozenset({MOBILE}))
    numbered = dataclasses.replace(SULE, customer_no="004-711", birth_date=None)
    without = score(numbered, named)
    other = score(numbered, dataclasses.replace(named, customer_no="4712"))
    same = score(numbered, dataclasses.replace(named, customer_no="4711"))
    assert other.value < without.value < same.value
    assert {"other_customer_no"} <= keys(other)
    assert {"same_customer_no"} <= keys(same)


@pytest.mark.parametrize(
    ("date", "reason"),
    [
        ("1980-12-31", "same_birth_date"),
        ("1980-12-30", "near_birth_date"),
        ("1980-01-01", "near_birth_date"),
        ("1981-11-31", "other_birth_date"),
        ("1952-03-08", "other_birth_date"),
    ],
)
def test_a_birth_date_may_have_one_slip(date, reason):
    assert reason in keys(score(SULE, Profile(id="b", name="Şule Işık", birth_date=date)))


def test_day_and_month_may_be_swapped():
    a, b = Profile(id="a", name="A", birth_date="1980-05-04"), Profile(id="b", name="A", birth_date="1980-04-05")
    assert "near_birth_date" in keys(score(a, b))


@pytest.mark.parametrize("date", ["12.05.1980", "1980", "1980-5-4", "bilinmiyor"])
def test_a_birth_date_that_is_no_date_says_nothing(date):
    """Whatever an older import wrote, it breaks nothing, not even beside itself."""
    a, b = Profile(id="a", name="A", birth_date=date), Profile(id="b", name="A", birth_date="1980-05-04")
    for other in (b, Profile(id="c", name="A", birth_date=date)):
        assert not {each for each in keys(score(a, other)) if "birth" in each}


def test_every_reason_has_a_weight_and_both_languages():
    assert BITS.keys() == TEXTS.keys()
    assert frozenset().union(*FAMILIES.values()) <= BITS.keys()
    assert all(texts.keys() == {"tr", "en"} and all(texts.values()) for texts in TEXTS.values())
    assert reason_text(Reason("same_name"), "de") == "the same name"


def test_a_reason_of_a_newer_version_is_shown_by_its_key():
    assert reason_text(read({"key": "same_dna"}), "tr") == "same_dna"


CONTACTS = st.frozensets(st.sampled_from([MOBILE, MAIL, ("phone", "+902165550100")]))
MAYBE = st.none() | st.sampled_from(["4711", "4712"])
PROFILES = st.builds(
    Profile,
    id=st.sampled_from("ab"),
    name=st.sampled_from(["Şule Işık", "sule isik", "Şule Er", "Murat Demir", "M. Demir", "."]),
    kind=st.sampled_from(["person", "organisation"]),
    birth_date=st.none() | st.dates().map(lambda date: date.isoformat()),
    customer_no=MAYBE,
    external_id=MAYBE,
    contacts=CONTACTS,
    shared=CONTACTS,
    households=st.frozensets(st.sampled_from("hg")),
    addresses=st.frozensets(st.sampled_from(["moda cad 1", "bahar sok 2"])),
)


@given(PROFILES, PROFILES)
def test_scores_are_symmetric_probabilities_that_survive_json(a, b):
    found = score(a, b)
    assert found.value == score(b, a).value
    assert 0.0 <= found.value <= 1.0
    assert tuple(read(json.loads(json.dumps(each.plain()))) for each in found.reasons) == found.reasons
    families = {family for family, members in FAMILIES.items() if keys(found) & members}
    if families <= {"contact", "home"} or len(families) < 2 or keys(found) & {"other_birth_date", "other_kind"}:
        assert found.value <= AT_MOST_UNPROVEN
