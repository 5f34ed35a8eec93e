"""The name in a From header, as strangers write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.asterisk.wire import display_name


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
