"""A plainly written number -> E.164, ten times as fast as `numbers.parse`: for files with millions of them.

Only what can be nothing else is answered: a national number after 0 or after + and the country code, with spaces, dashes, dots and
brackets between its digits, that the library's own metadata say is given out. Everything else is None, and `numbers.parse_carefully` says
what it is; where this says a number, that says the same (tests/cti/test_number_fast.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberDesc

NATIONAL_MIN = 9  # digits; shorter ones may also be a local number without its area code
LETTERS_MAX = 40
BETWEEN = str.maketrans("", "", " -.()")
# `0212555010.0` is what a spreadsheet makes of a number, and its last 0 is none of its digits; an extension stands in brackets.
NOT_PLAIN_ENDS = (".0", ".00", ")")
NOT_PLAIN = frozenset({"IL"})  # there the library's patterns say more than the library gives out: 015112340000
TYPES = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan", "voicemail",
)  # fmt: skip


@cache
def reader(region: str) -> Callable[[str], str | None]:
    """The function text -> E.164 or None for one region. It always says None where a plan is not of the plain kind: another prefix
    than 0, a country code that several regions share, or a prefix that changes the number."""
    plan = PhoneMetadata.metadata_for_region(region)
    if (
        plan is None
        or region in NOT_PLAIN
        or plan.country_code is None
        or plan.general_desc is None
        or plan.national_prefix_for_parsing != "0"
        or plan.national_prefix_transform_rule
        or len(COUNTRY_CODE_TO_REGION_CODE[plan.country_code]) != 1
    ):
        return lambda text: None
    return _reader(f"+{plan.country_code}", _given_out(plan, plan.general_desc))


def _reader(code: str, given_out: re.Pattern[str]) -> Callable[[str], str | None]:
    skip = len(code)

    def read(text: str) -> str | None:
        digits = text.translate(BETWEEN)
        if digits.startswith("0"):
            national = digits[1:]
        elif digits.startswith(code) and text.startswith("+"):
            national = digits[skip:]
        else:
            return None
        if len(text) > LETTERS_MAX or text.rstrip(" .").endswith(NOT_PLAIN_ENDS):
            return None
        return code + national if given_out.fullmatch(national) else None

    return read


def _given_out(plan: PhoneMetadata, general: PhoneNumberDesc) -> re.Pattern[str]:
    """Matches the national numbers that the library calls valid: the general description, and that of one type, each with its own
    lengths."""
    types = "|".join(_described(each, general) for name in TYPES if (each := getattr(plan, name)) is not None)
    shape = rf"[1-9][0-9]{{{NATIONAL_MIN - 1},}}\Z"
    return re.compile(rf"(?={shape})(?={_described(general, general)})(?:{types})", re.ASCII)


def _described(one: PhoneNumberDesc, general: PhoneNumberDesc) -> str:
    lengths = "|".join(f"[0-9]{{{length}}}" for length in one.possible_length or general.possible_length)
    return rf"(?=(?:{lengths})\Z)(?:{one.national_number_pattern})\Z"
