"""Names as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.names import Likeness, fold, likeness, slips

WORDS = st.lists(st.text("abcçdefgğhıijklmnoöprsştuüvyzİIŞĞ", min_size=1, max_size=12), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("İPEK ÇAĞRI", "ipek cagri", Likeness.SAME),
        ("Işık Şen", "ISIK SEN", Likeness.SAME),
        ("ışık şen", "İŞİK ŞEN", Likeness.SAME),
        ("Yılmaz, Ayşe", "AYSE YILMAZ", Likeness.SAME),
        ("Gül Han Öz", "Gülhan Öz", Likeness.SAME),
        ("İbrahim Çağlar", "ibrahim caglr", Likeness.SIMILAR),
        ("Mehmet Öztürk", "Mehemt Öztürk", Likeness.SIMILAR),
        ("M. Öztürk", "Mehmet Öztürk", Likeness.SIMILAR),
        ("Ayşe Yılmaz", "Ayşe Yılmaz Kaya", Likeness.PART),
        ("Ali Can Er", "Ali Er", Likeness.PART),
        ("Ayşe Yılmaz", "Ayşe Kaya", Likeness.GIVEN),
        ("Ayşe", "Ayşe Kaya", Likeness.GIVEN),
        ("Can Er", "Cem Er", Likeness.OTHER),
        ("Ali Kaya", "Fatma Kaya", Likeness.OTHER),
        ("A K", "Ayşe Kaya", Likeness.GIVEN),
        ("...", "Ayşe Kaya", Likeness.OTHER),
    ],
)
def test_two_writings_of_a_name_are_told_from_two_names(one, other, alike):
    assert likeness(one, other) is likeness(other, one) is alike


def test_what_kind_of_a_company_it_is_does_not_tell_two_companies_apart():
    assert likeness("Öz-Yıldız San. ve Tic. Ltd. Şti.", "ÖZ YILDIZ A.Ş.", companies=True) is Likeness.SAME
    assert likeness("Öz-Yıldız Ltd.", "Öz-Yıldız A.Ş.") is not Likeness.SAME
    assert likeness("A.Ş.", "Ltd. Şti.", companies=True) is Likeness.OTHER


@given(WORDS, WORDS, st.booleans())
def test_likeness_does_not_ask_who_comes_first(one, other, companies):
    a, b = " ".join(one), " ".join(other)
    assert likeness(a, b, companies=companies) is likeness(b, a, companies=companies)
    assert likeness(a, a.upper()) is likeness(a, fold(a)) is Likeness.SAME


@given(st.text("abcd", max_size=8), st.text("abcd", max_size=8))
def test_slips_are_counted_in_letters(one, other):
    assert slips(one, other) == slips(other, one)
    assert (slips(one, other) == 0) is (one == other)
    assert abs(len(one) - len(other)) <= slips(one, other) <= max(len(one), len(other))
    assert slips("caglar", "cgalar") == slips("caglar", "caglr") == 1
