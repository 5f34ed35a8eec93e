"""The quick reader of plain numbers says nothing that the careful one does not say."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cti import numbers
from cti.number_fast import reader

REGIONS = ("TR", "DE", "FR", "NL", "BE", "CH", "AT")
CODES = {"TR": "90", "DE": "49", "FR": "33", "NL": "31", "BE": "32", "CH": "41", "AT": "43"}
SIGNS = st.sampled_from(["", "", "", "", " ", "-", ".", "(", ")", "/", "  "])


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str]:
    region = draw(st.sampled_from(REGIONS))
    start = draw(
        st.sampled_from(
            ["0", "+" + CODES[region], "00" + CODES[region], CODES[region], "", "(0", "+ " + CODES[region], "+0"]
        )
    )
    area = draw(
        st.sampled_from(["532", "212", "850", "444", "512", "561", "392", "800", "90", "30", "15", "1", "6", ""])
    )
    rest = draw(st.text("0123456789", min_size=5, max_size=9))
    signs = draw(st.lists(SIGNS, min_size=12, max_size=12))
    return region, start + "".join(sign + digit for digit, sign in zip(area + rest, signs, strict=False))


@given(written())
@settings(max_examples=1500, deadline=None)
@example(("TR", "0532 555 01 23"))
@example(("TR", "(0212) 555-01-01"))
@example(("TR", "0212555010.0"))
@example(("TR", "+90212555010.0. "))
def test_what_the_quick_reader_says_the_careful_one_says_too(case):
    region, text = case
    quick = reader(region)(text)
    assert quick is None or quick == numbers.parse_carefully(text, region).e164


@given(st.text(st.sampled_from("0123456789+-. ()/;,#*xab٣\t\n\0"), max_size=45), st.sampled_from(REGIONS))
@settings(max_examples=1500, deadline=None)
def test_no_text_is_read_otherwise_than_the_careful_reader_reads_it(text, region):
    quick = reader(region)(text)
    assert quick is None or quick == numbers.parse_carefully(text, region).e164


@pytest.mark.parametrize(
    "text",
    ["05325550123", "0532 555 01 23", "+905325550123", "+90 (532) 555-01-23", "0212 555 01 01", "(0216) 555.01.99"],
)
def test_plain_numbers_are_read_at_once(text):
    assert reader("TR")(text) == numbers.parse_carefully(text, "TR").e164 is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "112",
        "5550123",
        "444 55 66",
        "0532 555 01",
        "anonymous",
        "0532 555 01 23 dahili 4",
        "05325550123x",
        "0212555010.0",
        "+90212555010.0",
        " 0212555010.0",
        "0212555010.0 .",
        "021255501.00",
        "۰۵۳۲۵۵۵۰۱۲۳",
    ],
)
def test_everything_else_is_left_to_the_careful_reader(text):
    assert reader("TR")(text) is None


@given(
    st.text("0123456789", min_size=8, max_size=11), st.sampled_from(["0", "+90"]), st.sampled_from([".0", ".00", ".0 "])
)
def test_what_a_spreadsheet_makes_of_a_number_is_left_to_the_careful_reader(digits, start, end):
    assert reader("TR")(start + digits + end) is None


def test_a_plan_that_is_not_plain_has_no_quick_reader():
    assert [reader(region)("+12015550123") for region in ("US", "GB", "IT", "XX")] == [None] * 4
