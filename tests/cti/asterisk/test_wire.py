"""What headers say of a caller, as carriers and strangers write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.asterisk.wire import asserted, attestation, display_name, diverter


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('"Şule Öz" <sip:+905321112233@carrier>;tag=1', "Şule Öz"),
        (r'"say \"hi\" \\ <script>" <sip:1@x>', r'say "hi" \ <script>'),
        ("Sule Oz <sip:1@x>", "Sule Oz"),
        ("<sip:1@x>", ""),
        ("sip:1@x", ""),
        ('"never closed <sip:1@x>', '"never closed'),
        ("", ""),
    ],
)
def test_the_name_in_a_from_header(header: str, name: str) -> None:
    assert display_name(header) == name


@given(st.text())
def test_any_name_put_between_quotes_comes_back(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    assert display_name(f'"{quoted}" <sip:1@x>') == name


VERIFIED = "<sip:+905321112233;verstat=TN-Validation-Passed@carrier>"


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("<sip:+905321112233@carrier>", "sip:+905321112233@carrier"),
        ('"Şule, <sip:1@x>" <tel:+905321112233>', "tel:+905321112233"),
        ("<sip:+905321112233@carrier>, <tel:+902125550101>", "sip:+905321112233@carrier"),
        ("tel:+905321112233;verstat=No-TN-Validation", "tel:+905321112233"),
        ("", ""),
        ('"never closed <sip:1@x>', ""),
        (
            r'"his own \" <tel:+905325550123;verstat=TN-Validation-Passed-A>',
            "",
        ),  # what `):0:900` leaves of a name in the dialplan
        ("%0d%0a <><<>", ""),
    ],
)
def test_the_address_that_is_vouched_for(header: str, address: str) -> None:
    assert asserted(header) == address


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("<sip:+902125550199@x>;reason=unconditional;counter=1;privacy=off", "sip:+902125550199@x"),
        ("<tel:+902125550199>;reason=no-answer, <tel:+902125550198>;reason=user-busy", "tel:+902125550199"),
        ("<sip:+902125550199@x>;privacy=full", ""),
        ('<sip:+902125550199@x>;reason=unknown;privacy="name"', ""),
        ("", ""),
    ],
)
def test_who_sent_a_call_on_is_known_unless_he_wants_otherwise(header: str, address: str) -> None:
    assert diverter(header) == address


@pytest.mark.parametrize(
    ("header", "indicator", "level"),
    [
        (VERIFIED, "A", "A"),  # Bandwidth, 3GPP TS 24.229
        (VERIFIED, "B;", "B"),
        (f"{VERIFIED};verstat=TN-Validation-Passed", " C ", "C"),
        ("<sip:+905321112233@carrier>;verstat=TN-Validation-Passed-A", "", "A"),  # Telnyx writes so
        ("<sip:+905321112233;verstat=TN-Validation-Passed-B@carrier>", "B", "B"),
        (VERIFIED, "", ""),  # passed, but nobody says at which level
        ("<sip:+905321112233;verstat=TN-Validation-Failed@carrier>", "A", ""),
        ("<sip:+905321112233;verstat=No-TN-Validation@carrier>", "A", ""),
        ("<sip:+905321112233;verstat=TN-Validation-Passed-B@carrier>", "A", ""),  # two words for one thing
        ("<sip:+905321112233;verstat=TN-Validation-Passed-D@carrier>", "", ""),
        ("<sip:+905321112233@carrier>", "A", ""),  # a header that any stranger can send
        ('";verstat=TN-Validation-Passed-A" <sip:+905321112233@carrier>', "A", ""),  # written by him into his name
        ("", "A", ""),
        (VERIFIED, "AB", ""),
        (r'"his own \" <tel:+905325550123;verstat=TN-Validation-Passed-A>', "A", ""),
        (VERIFIED, "a", ""),
    ],
)
def test_a_call_is_attested_only_by_what_the_carrier_has_verified(header: str, indicator: str, level: str) -> None:
    assert attestation(header, indicator) == level


@given(st.text(), st.text())
def test_no_header_raises(header: str, indicator: str) -> None:
    assert attestation(header, indicator) in {"", "A", "B", "C"}
    assert len(asserted(header)) <= len(header)
    assert len(diverter(header)) <= len(header)
