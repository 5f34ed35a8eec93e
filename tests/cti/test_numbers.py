"""Whatever was dialled or written becomes one of four kinds, quickly and without an exception."""

import csv
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti import numbers
from cti.numbers import Kind, explain, mask, national, parse, same

FORMS = Path(__file__).parent / "data" / "written_forms.csv"
REGIONS = ("TR", "DE", "US", "GB", "IT", "RU", "BR", "XK", "ZZ", "")


def written_forms() -> list[dict[str, str]]:
    """What was written, the area in which it is read, whether only a trunk writes so, what it is (kind, e164, reason), whether a SIP
    address can hold it, who writes so."""
    with FORMS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", written_forms(), ids=lambda form: f"{form['written'][:30]!a} {form['area']}")
def test_every_written_form_has_its_outcome(form):
    number = parse(form["written"], "TR", form["area"], from_trunk=form["trunk"] == "yes")
    assert (number.kind, number.e164 or "", number.reason) == (form["kind"], form["e164"], form["reason"]), form[
        "source"
    ]


def test_the_file_of_written_forms_is_rich_and_each_form_is_there_once():
    forms = written_forms()
    assert len(forms) >= 600
    assert len({(form["written"], form["area"], form["trunk"]) for form in forms}) == len(forms)
    assert all(form["source"] for form in forms)
    assert {form["kind"] for form in forms} == set(Kind)
    assert {form["reason"] for form in forms} == {"", *numbers.REASONS}


def test_whatever_people_write_a_trunk_may_write_too():
    read = [form for form in written_forms() if form["kind"] == "e164"]
    assert [f["written"] for f in read if parse(f["written"], "TR", f["area"], from_trunk=True).e164 != f["e164"]] == []


def identity_number(chance: random.Random) -> str:
    """A valid T.C. kimlik no: eleven digits, the last two of which check the others."""
    digits = [chance.randint(1, 9), *chance.choices(range(10), k=8)]
    digits.append((7 * sum(digits[0:9:2]) - sum(digits[1:8:2])) % 10)
    digits.append(sum(digits) % 10)
    return "".join(map(str, digits))


def landline_with_a_digit_too_many(chance: random.Random) -> str:
    return chance.choice(["212", "312", "232", "216", "322", "442"]) + "".join(chance.choices("0123456789", k=8))


@pytest.mark.parametrize("written", [identity_number, landline_with_a_digit_too_many])
def test_in_peoples_lists_eleven_digits_are_no_number_of_another_country(written):
    chance = random.Random(3)
    lists = [written(chance) for _ in range(2000)]
    assert [each for each in lists if parse(each, "TR").e164] == []
    assert any(parse(each, "TR", from_trunk=True).e164 for each in lists), "as E.164 without its + some of them are"


def test_without_a_region_bare_digits_of_people_are_no_number():
    assert parse("905325550123", "ZZ").e164 is None
    assert parse("905325550123", "ZZ", from_trunk=True).e164 == "+905325550123"


def test_a_zero_before_the_country_code_does_not_hide_a_number_of_the_region():
    assert parse("0905325550123", "TR").e164 == "+905325550123"
    assert parse("0900 123 45 67", "TR").e164 == "+909001234567"  # begins alike, and is a service
    assert parse("0491 123456", "DE").e164 == "+49491123456"  # Leer, not Germany once more


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


def odd_caller_ids(many: int, seed: int) -> Iterator[str]:
    """What a broken exchange, a strange alphabet and a stranger with SIPp may send; always the same ones."""
    chance = random.Random(seed)
    pieces = [form["written"] for form in written_forms()] + [
        *HOSTILE,
        "@",
        ";tag=",
        "sip:",
        "%00",
        "\r\n",
        "\x1b]0;",
        "<",
        ">",
        '"',
        "٣",
    ]
    for _ in range(many):
        match chance.randrange(4):
            case 0:
                yield chance.randbytes(chance.randrange(200)).decode(
                    chance.choice(["utf-8", "latin-1"]), "surrogateescape"
                )
            case 1:
                yield "".join(chr(chance.randrange(0x110000)) for _ in range(chance.randrange(60)))
            case 2:
                yield "".join(chance.choices(pieces, k=chance.randrange(1, 6)))
            case _:
                letters = list(chance.choice(pieces))
                chance.shuffle(letters)
                yield "".join(letters)


def test_ten_thousand_odd_caller_ids_are_answered_and_quickly():
    took_s = []
    for raw in odd_caller_ids(10_000, seed=4):
        began = time.perf_counter()
        number = parse(raw, "TR", "212")
        took_s.append(time.perf_counter() - began)
        assert (number.e164 is not None) == (number.kind is Kind.E164)
        assert (number.reason != "") == (number.kind is Kind.MALFORMED)
        assert len(number.raw) <= numbers.RAW_MAX
        number.raw.encode()
    assert sum(took_s) < 20
    assert sorted(took_s)[-100] < 0.01, "99 of 100 within 10 ms"


def digits_in(text: str, first: str) -> str:
    """The text with its digits in the alphabet whose zero is `first`."""
    return text.translate({ord("0") + each: chr(ord(first) + each) for each in range(10)})


# From E.164 and the same with spaces (+49 30 123456) to what people and machines make of it.
STYLES: dict[str, Callable[[str, str], str]] = {
    "e164": lambda plain, spaced: plain,
    "00": lambda plain, spaced: "00" + plain[1:],
    "00 and spaces": lambda plain, spaced: "00" + spaced[1:],
    "spaces": lambda plain, spaced: spaced,
    "double spaces": lambda plain, spaced: spaced.replace(" ", "  "),
    "no-break spaces": lambda plain, spaced: spaced.replace(" ", "\u00a0"),
    "narrow spaces": lambda plain, spaced: spaced.replace(" ", "\u202f"),
    "dashes": lambda plain, spaced: spaced.replace(" ", "-"),
    "en dashes": lambda plain, spaced: spaced.replace(" ", "–"),
    "dots": lambda plain, spaced: spaced.replace(" ", "."),
    "slashes": lambda plain, spaced: spaced.replace(" ", "/"),
    "brackets": lambda plain, spaced: "(" + spaced.replace(" ", ") ", 1),
    "sip": lambda plain, spaced: f"sip:{plain}@10.0.0.1;user=phone",
    "name-addr": lambda plain, spaced: f'"Someone" <sip:{plain}@carrier.example>;tag=7',
    "asserted": lambda plain, spaced: f"<sip:{plain};verstat=TN-Validation-Passed@carrier.example>",
    "diverted": lambda plain, spaced: f"<tel:{plain}>;reason=unconditional;privacy=off",
    "escaped": lambda plain, spaced: f"sip:%2B{plain[1:]}@10.0.0.1",
    "tel": lambda plain, spaced: f"tel:{spaced.replace(' ', '-')}",
    "label": lambda plain, spaced: f"Tel.: {spaced}",
    "extension": lambda plain, spaced: f"{spaced} dahili 12",
    "quotes": lambda plain, spaced: f"'{plain}'",
    "fullwidth": lambda plain, spaced: digits_in(plain, "０").replace("+", "＋"),
    "arabic": lambda plain, spaced: digits_in(spaced, "٠"),
    "direction marks": lambda plain, spaced: f"\u202a{spaced}\u202c",
}
NATIONAL_STYLES: dict[str, Callable[[str, str], str]] = {
    "national": lambda nation, digits: nation,
    "national digits": lambda nation, digits: f"0{digits}",
    "without its zero": lambda nation, digits: digits,
    "no plus": lambda nation, digits: f"90{digits}",
    "code and zero": lambda nation, digits: f"+900{digits}",
    "code twice": lambda nation, digits: f"+9090{digits}",
}
EXAMPLES = [
    example
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in phonenumbers.PhoneNumberType.values()
    if (example := phonenumbers.example_number_for_type(region, kind))
]
OURS = [example for example in EXAMPLES if example.country_code == 90]


@st.composite
def valid_numbers(draw: st.DrawFn, examples: list[phonenumbers.PhoneNumber]) -> phonenumbers.PhoneNumber:
    """One of the library's examples, or a number beside it: any country, any kind."""
    example = draw(st.sampled_from(examples))
    other = phonenumbers.PhoneNumber()
    other.merge_from(example)
    other.national_number = (example.national_number or 0) // 1000 * 1000 + draw(st.integers(0, 999))
    return other if phonenumbers.is_valid_number(other) else example


@pytest.mark.parametrize("style", STYLES)
@given(number=valid_numbers(EXAMPLES))
def test_a_valid_number_of_any_country_comes_back_from_every_style(style, number):
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    spaced = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    written = STYLES[style](e164, re.sub(r"[^+0-9]+", " ", spaced))
    assert parse(written, "TR", "212").e164 == e164, written


@pytest.mark.parametrize("style", NATIONAL_STYLES)
@given(number=valid_numbers(OURS))
def test_a_number_of_the_region_comes_back_from_every_national_style(style, number):
    nation = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    digits = phonenumbers.national_significant_number(number)
    written = NATIONAL_STYLES[style](nation, digits)
    assert parse(written, "TR").e164 == f"+90{digits}", written


# --- our own numbers and their areas ---


def test_our_own_numbers_have_areas():
    known = numbers.areas(" 02125550100 = 0212, 0850 555 01 00=312,", "TR")
    assert known == {"+902125550100": "212", "+908505550100": "312"}
    assert numbers.areas("", "TR") == {}


@pytest.mark.parametrize(
    "text", ["02125550100", "02125550100=", "=212", "alice=212", "02125550100=12x", "02125550100=1,00902125550100=2"]
)
def test_a_wrong_text_of_areas_says_what_was_expected(text):
    with pytest.raises(ValueError, match="expected"):
        numbers.areas(text, "TR")


@pytest.mark.parametrize(
    ("did", "area"),
    [("02125550100", "212"), ("+903125550100", "312"), ("08505550100", "232"), ("4440375", ""), ("05325550123", ""), ("03922283111", "392"),
     ("+493023125123", ""), ("", ""), ("1001", "")],
)  # fmt: skip
def test_a_local_number_is_read_in_the_area_of_the_number_it_called(did, area):
    assert numbers.area_of(did, "TR", {"+908505550100": "232"}) == area


def test_what_the_operator_says_of_an_area_holds_against_the_number_itself():
    assert numbers.area_of("02125550100", "TR", {"+902125550100": "216"}) == "216"


def test_the_same_number_in_two_writings_is_the_same():
    assert same(parse("0532 555 01 23", "TR"), parse("+90 (532) 555/01/23", "DE"))
    assert not same(parse("05325550123", "TR"), parse("05335550145", "TR"))


@pytest.mark.parametrize(
    ("one", "other"), [("+902125550101", "5550101"), ("+902125550101", "+905550101"), ("+904440375", "+902124440375")]
)
def test_a_number_that_only_ends_alike_is_never_the_same(one, other):
    """The library has levels of likeness; its short one is a guess, never an identity."""
    assert phonenumbers.is_number_match(one, other) == phonenumbers.MatchType.SHORT_NSN_MATCH
    assert not same(parse(one, "TR"), parse(other, "TR", "312"))


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
