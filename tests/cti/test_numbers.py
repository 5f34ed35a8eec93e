"""Whatever was dialled or written becomes one of four kinds, quickly and without an exception."""

import csv
import time
from collections.abc import Callable
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti import numbers
from cti.numbers import Kind, explain, mask, national, parse, same

FORMS = Path(__file__).parent / "data" / "written_forms.csv"
REGIONS = ("TR", "DE", "US", "GB", "IT", "RU", "BR", "XK", "ZZ", "")


def written_forms() -> list[tuple[str, str]]:
    with FORMS.open(encoding="utf-8", newline="") as file:
        return [(row["written"], row["e164"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(("written", "e164"), written_forms())
def test_every_written_form_is_the_same_number(written, e164):
    number = parse(written, "TR")
    assert (number.kind, number.e164) == (Kind.E164, e164)
    assert number.country == ("TR" if e164.startswith("+90") else "DE")
    assert number.reason == ""


def test_the_file_of_written_forms_is_rich_and_each_form_is_there_once():
    forms = written_forms()
    assert len(forms) >= 200
    assert len({written for written, _ in forms}) == len(forms)


@pytest.mark.parametrize(
    "raw",
    ["", "   ", "anonymous", "Anonymous", "anonymous@anonymous.invalid", "sip:anonymous@10.0.0.1", "sip:f3k@anonymous.invalid",
     '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1', "Restricted", "unknown", "<unknown>", "UNAVAILABLE", "Private",
     "+266696687", "266696687", "00266696687", "+86282452253", "+7378742833", "+8656696", "GİZLİ NUMARA", "Özel Numara", "\u202a\u202c"],
)  # fmt: skip
def test_a_withheld_number_is_withheld_however_it_is_said(raw):
    assert parse(raw, "TR").kind is Kind.WITHHELD


@pytest.mark.parametrize(
    "raw", ["112", "155", "1001", "182", "11811", "*67", "*31#", "#31#", "tel:112", "sip:1001@10.0.0.1"]
)
def test_short_codes_are_no_numbers(raw):
    number = parse(raw, "TR")
    assert (number.kind, number.e164) == (Kind.SHORT, None)


@pytest.mark.parametrize(
    ("raw", "e164"),
    [("444 1 234", "+904441234"), ("4441234", "+904441234"), ("0850 123 45 67", "+908501234567"),
     ("0800 123 45 67", "+908001234567"), ("0900 123 45 67", "+909001234567"), ("+44 20 7946 0018", "+442079460018")],
)  # fmt: skip
def test_service_numbers_and_foreign_numbers_are_numbers(raw, e164):
    assert parse(raw, "TR").e164 == e164


def test_a_number_of_no_country_has_no_country():
    number = parse("+800 1234 5678", "TR")
    assert (number.kind, number.country) == (Kind.E164, None)


def test_a_local_number_needs_its_area():
    assert parse("555 01 01", "TR").reason == "no_area"
    assert parse("555 01 01", "TR", area="212").e164 == "+902125550101"
    assert parse("555 01 01", "TR", area="0212").e164 == "+902125550101"
    assert parse("444 1 234", "TR", area="212").e164 == "+904441234"


def test_a_national_form_belongs_to_the_region_it_is_read_in():
    assert parse("030 23125123", "DE").e164 == "+493023125123"
    assert parse("011 90 532 555 01 23", "US").e164 == "+905325550123"
    assert parse("06 698 12345", "IT").e164 == "+390669812345"  # Italy keeps its zero


@pytest.mark.parametrize(
    ("raw", "reason"),
    [("0532 555 01 23 / 0533 555 01 45", "two_numbers"), ("0532 555 01 23 - 0533 555 01 45", "two_numbers"),
     ("0532 555 01 23 0533 555 01 45", "two_numbers"), ("05325550123,05335550145", "two_numbers"),
     ("05325550123 ve 05335550145", "two_numbers"), ("444 1 234/444 1 235", "two_numbers"),
     ("+905325550123+905335550145", "two_numbers"), ("0532 555 01 2", "unassigned"), ("0532 555 01 234", "unassigned"),
     ("+90 111 222 33 44", "unassigned"), ("+999 123 456 789", "country"), ("alice", "not_digits"), ("1-800-FLOWERS", "not_digits"),
     ("7", "too_short"), ("+112", "too_short"), ("9" * 40, "too_long"), ("0532 555 01 23 x" * 40, "too_much_text")],
)  # fmt: skip
def test_a_malformed_number_says_why(raw, reason):
    number = parse(raw, "TR")
    assert (number.kind, number.e164, number.reason) == (Kind.MALFORMED, None, reason)
    assert len({"", explain(number, "tr"), explain(number, "en")}) == 3


def test_the_raw_text_is_kept_short_and_storable():
    assert parse("9" * 1000, "TR").raw == "9" * numbers.RAW_MAX
    assert parse("a\0b\ud800", "TR").raw == "ab?"


HOSTILE = [
    "(",
    "0532 ",
    " ",
    "ﷺ",
    "+",
    "0532 555 01 23 x",
    "<",
    "\u202a",
    "1",
    "tel:",
    "%2B",
    "90",
    " ( ",
    ", ",
    "dahili ",
    "\ud800",
    "\0",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_text_is_answered_at_once(piece):
    started = time.perf_counter()
    for length in (60, 250, 100_000):
        parse(piece * (length // len(piece)), "TR")
    assert time.perf_counter() - started < 0.2


@given(st.text(st.characters()), st.sampled_from(REGIONS), st.sampled_from(["", "212", "x"]))
def test_no_text_raises(raw, region, area):
    number = parse(raw, region, area)
    assert (number.e164 is not None) == (number.kind is Kind.E164)
    assert (number.reason != "") == (number.kind is Kind.MALFORMED)
    assert number.e164 is None or numbers.E164.fullmatch(number.e164)


@given(st.text("0123456789+()/.-* #;,<>@:%x", max_size=60), st.sampled_from(REGIONS))
def test_no_text_of_a_telephone_s_signs_raises(raw, region):
    number = parse(raw, region)
    assert number.e164 is None or parse(number.e164, region).e164 == number.e164


def _grouped(text: str, sign: str) -> str:
    return text.replace(" ", sign)


STYLES: dict[str, Callable[[str, str], str]] = {
    "e164": lambda plain, spaced: plain,
    "00": lambda plain, spaced: "00" + plain[1:],
    "no plus": lambda plain, spaced: plain[1:],
    "spaces": lambda plain, spaced: spaced,
    "double spaces": lambda plain, spaced: _grouped(spaced, "  "),
    "no-break spaces": lambda plain, spaced: _grouped(spaced, "\u00a0"),
    "narrow spaces": lambda plain, spaced: _grouped(spaced, "\u202f"),
    "dashes": lambda plain, spaced: _grouped(spaced, "-"),
    "en dashes": lambda plain, spaced: _grouped(spaced, "–"),
    "dots": lambda plain, spaced: _grouped(spaced, "."),
    "slashes": lambda plain, spaced: _grouped(spaced, "/"),
    "brackets": lambda plain, spaced: "(" + spaced.replace(" ", ") ", 1),
    "sip": lambda plain, spaced: f"sip:{plain}@10.0.0.1;user=phone",
    "name-addr": lambda plain, spaced: f'"Someone" <sip:{plain}@carrier.example>;tag=7',
    "escaped": lambda plain, spaced: f"sip:%2B{plain[1:]}@10.0.0.1",
    "tel": lambda plain, spaced: f"tel:{_grouped(spaced, '-')}",
    "label": lambda plain, spaced: f"Tel.: {spaced}",
    "extension": lambda plain, spaced: f"{spaced} dahili 12",
    "quotes": lambda plain, spaced: f"'{plain}'",
    "fullwidth": lambda plain, spaced: plain.translate({ord(c): ord(c) + 0xFEE0 for c in "+0123456789"}),
    "arabic": lambda plain, spaced: plain.translate({ord(c): 0x0660 + int(c) for c in "0123456789"}),
    "direction marks": lambda plain, spaced: f"\u202a{spaced}\u202c",
}


@pytest.mark.parametrize("style", STYLES)
@given(st.data())
def test_a_valid_number_comes_back_from_every_style(style, data):
    area = data.draw(st.sampled_from(["212", "216", "312", "532", "533", "542", "555"]))
    e164 = f"+90{area}{data.draw(st.integers(2_000_000, 4_439_999))}"
    number = phonenumbers.parse(e164)
    spaced = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    if phonenumbers.is_valid_number(number):
        assert parse(STYLES[style](e164, spaced), "TR").e164 == e164


def test_the_same_number_in_two_writings_is_the_same():
    assert same(parse("0532 555 01 23", "TR"), parse("+90 (532) 555/01/23", "DE"))
    assert not same(parse("05325550123", "TR"), parse("05335550145", "TR"))


@pytest.mark.parametrize("raw", ["", "anonymous", "112", "alice"])
def test_what_is_no_number_is_the_same_as_nothing(raw):
    assert not same(parse(raw, "TR"), parse(raw, "TR"))


def test_logs_see_the_country_and_two_digits():
    assert mask("+905321234567") == "+90*******67"
    assert mask("+493023125123") == "+49*******23"
    assert mask("+12125550101") == "+1*******01"
    assert mask("+3581234567") == "+358*******67"
    assert mask("0532 555 01 23\nforged line") == "*******"


def test_screens_see_the_form_people_write():
    assert national("+905321234567") == "0532 123 45 67"
    assert national("+902125550101") == "0212 555 01 01"
    assert national("+904441234") == "444 1 234"
    assert national("+493023125123") == "+49 30 23125123"
    assert national("not a number") == "not a number"
