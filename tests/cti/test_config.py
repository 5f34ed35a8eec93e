"""What an operator may set, and how a wrong word is answered."""

import pytest
from pydantic import ValidationError

from cti.config import Settings


def test_our_own_numbers_have_areas():
    assert Settings(did_areas="02125550100=212, 0850 555 01 00=0312").areas == {
        "+902125550100": "212", "+908505550100": "312"
    }  # fmt: skip
    assert Settings().areas == {}


def test_our_own_numbers_are_those_of_our_region():
    assert Settings(default_region="DE", did_areas="030 23125123=30").areas == {"+493023125123": "30"}


@pytest.mark.parametrize(
    "text", ["02125550100", "alice=212", "02125550100=2125550100", "02125550100=212,+902125550100=312"]
)
def test_a_wrong_area_ends_the_command_with_its_name(text):
    with pytest.raises(ValidationError, match=r"did_areas\n  Value error, expected "):
        Settings(did_areas=text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sms_url", "sms.example"),
        ("crm_url", "file:///etc/passwd"),
        ("crm_url", "https://crm example"),
        ("crm_timeout_ms", 0),
        ("public_name", ""),
    ],
)
def test_a_wrong_door_ends_the_command_with_its_name(name, value):
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})


def test_tokens_are_hidden():
    assert "open sesame" not in repr(Settings(sms_token="open sesame", crm_token="open sesame"))
