"""What was dialled or written -> E.164, a short code, withheld or malformed; the same-number test; masking for logs.

Pure, and the only importer of phonenumbers. Nothing here raises for any text: a number comes from a stranger's telephone
or from somebody's spreadsheet, so every text has an answer and a malformed one says why. The text is brought to plain
digits first and only then shown to the library, which would otherwise find a number in almost anything.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import unquote

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, ValidationResult

from cti import number_fast

RAW_MAX = 80  # characters kept of what came
READ_MAX = 256  # characters looked at: a SIP URI with its parameters, not a novel
SHORT_MIN, SHORT_MAX = 2, 6  # digits of emergency numbers, services and our own extensions
LOCAL_MIN, LOCAL_MAX = 7, 8  # digits of a subscriber's number without its area code
E164_MAX = 15  # digits, ITU-T E.164 section 6.2.1
STARS = "*" * 7
BARE_MIN = 11  # fewer digits without + or 00 are not taken for an international number, not even from a trunk


Areas = Mapping[str, str]  # numbers of our own (E.164) -> their area codes, see `areas`
NO_AREAS: Areas = MappingProxyType({})


class Kind(StrEnum):
    E164 = "e164"
    SHORT = "short"
    WITHHELD = "withheld"
    MALFORMED = "malformed"


@dataclass(frozen=True)
class Number:
    """One written number. `reason` is a key of REASONS when it is malformed, else empty; `explain` makes a sentence."""

    raw: str  # as it came, cut to RAW_MAX, without what no database takes (NUL, halves of characters)
    kind: Kind
    e164: str | None  # only when kind is E164
    country: str | None  # ISO 3166-1 of an E164 number; None also for numbers of no country (+800, +883)
    reason: str = ""


REASONS: dict[str, dict[str, str]] = {
    "too_much_text": {
        "tr": f"bir numara bekleniyordu, {READ_MAX} karakterden uzun bir metin geldi",
        "en": f"expected a number, got a text of more than {READ_MAX} characters",
    },
    "not_digits": {
        "tr": "rakam bekleniyordu, başka karakterler geldi",
        "en": "expected digits, got other characters",
    },
    "two_numbers": {
        "tr": "tek numara bekleniyordu, aynı alanda birden fazla numara var",
        "en": "expected one number, got more than one in the same field",
    },
    "no_area": {
        "tr": "alan kodu eksik",
        "en": "the area code is missing",
    },
    "too_short": {"tr": "numara fazla kısa", "en": "the number has too few digits"},
    "too_long": {"tr": "numara fazla uzun", "en": "the number has too many digits"},
    "country": {"tr": "böyle bir ülke kodu yok", "en": "there is no such country code"},
    "unassigned": {
        "tr": "böyle bir numara yok: hane sayısı ya da başlangıcı yanlış",
        "en": "no such number is given out: its length or its beginning is wrong",
    },
}

WITHHELD_WORDS = frozenset(
    {
        "", "anonymous", "anonymous caller", "restricted", "unknown", "unknown caller", "unavailable", "not available",
        "withheld", "number withheld", "private", "private number", "blocked", "no caller id", "caller id blocked",
        "private caller", "hidden", "hidden number", "id hidden",
        "out of area", "none", "null", "no number", "payphone", "coinline/payphone",
        "p", "o",  # Bellcore GR-30: Private, Out of area
        "gizli", "gizli numara", "gizli no", "gizli arama", "anonim", "özel", "özel numara", "ozel", "ozel numara",
        "bilinmeyen", "bilinmeyen numara", "bilinmiyor", "numara yok",
    }
)  # fmt: skip
# The words ANONYMOUS, UNAVAILABLE, RESTRICTED, UNKNOWN and BLOCKED on a telephone's keys, as some exchanges send them.
WITHHELD_KEYS = frozenset({"266696687", "86282452253", "7378742833", "8656696", "2562533"})
WITHHELD_HOST = "anonymous.invalid"  # RFC 3323 section 4.1.1.3


def parse(raw: str, region: str, area: str = "", *, from_trunk: bool = False) -> Number:
    """What `raw` says to somebody in `region` (ISO 3166-1, "TR"). `area` is the area code ("212") that local numbers
    belong to; without it a local number is malformed. A number without + or 00 is one of the region.

    `from_trunk`: a carrier or a switch wrote it, not a person. Carriers send E.164 without its +, so then it may also be a
    number of another country; in people's lists the same digits are an identity number or a landline with a digit too many."""
    form = number_fast.reader(region.upper())(raw)
    if form is not None:
        return Number(raw, Kind.E164, form, region.upper())
    return parse_carefully(raw, region, area, from_trunk=from_trunk)


def parse_carefully(raw: str, region: str, area: str = "", *, from_trunk: bool = False) -> Number:
    """The same for any text, without the quick look at what is written plainly; it is what that look is held against."""
    kept = raw[:RAW_MAX].replace("\0", "").encode("utf-8", "replace").decode()
    text = _clean(raw)
    if len(text) > READ_MAX:
        return Number(kept, Kind.MALFORMED, None, None, "too_much_text")
    user, host = _user_and_host(text)
    if _word(user) in WITHHELD_WORDS or _word(text) in WITHHELD_WORDS or host == WITHHELD_HOST:
        return Number(kept, Kind.WITHHELD, None, None)
    if SHORT.fullmatch(user):
        return Number(kept, Kind.SHORT, None, None)
    return _read(kept, user, _Place(region.upper(), area, from_trunk))


def areas(text: str, region: str) -> Areas:
    """`02125550100=212,03125550100=312`: numbers of our own (returned as E.164) and the area codes they stand in. Raises
    ValueError."""
    found: dict[str, str] = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        did, _, code = (each.strip() for each in pair.partition("="))
        e164 = parse(did, region).e164
        if e164 is None or not AREA.fullmatch(code):
            raise ValueError(f"expected number=area code, as in 02125550100=212, got {pair[:RAW_MAX]!r}")
        if e164 in found:
            raise ValueError(f"expected each number once, got {did} twice")
        found[e164] = code.lstrip("0")
    return found


def area_of(did: str, region: str, known: Areas = NO_AREAS) -> str:
    """The area code in which local numbers are read that called `did`: as `known` (see `areas`) says, else that of the
    number itself when it is one of a place in `region`; "" when there is none."""
    e164 = parse(did, region, from_trunk=True).e164
    if e164 is None:
        return ""
    return known.get(e164) or _own_area(e164, region)


def same(a: Number, b: Number) -> bool:
    """Two writings of one telephone. Short codes, withheld and malformed numbers are the same as nothing, not even as
    themselves."""
    return a.e164 is not None and a.e164 == b.e164


def mask(e164: str) -> str:
    """For logs: `+90*******23`, always seven stars so that the length is not told either. Other text is stars only."""
    if not E164.fullmatch(e164):
        return STARS
    return f"+{_country_code(e164)}{STARS}{e164[-2:]}"


@lru_cache(maxsize=4096)  # a page shows the same few numbers again and again
def national(e164: str, region: str = "TR") -> str:
    """For screens: `0532 555 01 23`; numbers of other regions as `+49 30 123456`; text that is no number as it is."""
    try:
        number = phonenumbers.parse(e164, None)
    except phonenumbers.NumberParseException:
        return e164
    if phonenumbers.region_code_for_number(number) != region:
        return phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    return re.sub(r"[()]", "", phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL))


def explain(number: Number, language: str = "en") -> str:
    """Why a malformed number is one, as a sentence; empty for the others."""
    texts = REASONS.get(number.reason, {})
    return texts.get(language) or texts.get("en", "")


@lru_cache(maxsize=1024)  # the same few numbers of ours, for every call
def _own_area(e164: str, region: str) -> str:
    number = phonenumbers.parse(e164, None)
    if phonenumbers.region_code_for_number(number) != region.upper():
        return ""
    size = phonenumbers.length_of_geographical_area_code(number)
    return phonenumbers.national_significant_number(number)[:size]


# --- from text to digits ---

AREA = re.compile(r"0?[1-9][0-9]{0,4}")
# 000 is an emergency number; 00 and 0090 are the beginning of one that never came.
SHORT = re.compile(rf"(?!00(?:[1-9]|$))[0-9]{{{SHORT_MIN},{SHORT_MAX}}}|[*#]{{1,2}}[0-9]{{1,4}}[*#]?")
E164 = re.compile(rf"\+[1-9][0-9]{{5,{E164_MAX - 1}}}")
LABEL = re.compile(
    r"^(?:(?:telefonu?|phone|mobile|mobil|mob|cell|gsm|cep|ev|iş|is|ofis|home|work|office|whatsapp|faks|fax|tel|tlf|nr|no|numarası|numara"
    r"|irtibat|iletişim|santral|merkez|[tcfm](?=:))(?:\s?[1-9](?=\s*:)|\b)[\s.:=-]*){1,3}(?=[+(\d])",  # Tel1: is the first of several
    re.IGNORECASE,
)
EXTENSION = re.compile(
    r"[\s,;(]*(?:dahili|dah\b|extension|ext\b|iç hat|int\b|\bdh?(?=[.:])|x)(?:\s*no\b)?[\s.:=]*[0-9]{1,7}\)?$|\s*#\s*[0-9]{1,7}$",
    re.IGNORECASE,
)
IN_BRACKETS = re.compile(
    r"(.*[0-9])\s*\([0-9]{1,5}\)"
)  # an extension without a word, if a whole number stands before it
ONE_NUMBER = re.compile(r"[\s(\[]*\+?[0-9\s()\[\]./_~-]*")
BETWEEN_NUMBERS = re.compile(r"[,;|&/\\+\n]|\s-\s|[^\W\d_]+")
ANOTHER_ENDING = re.compile(r"(.{6,}?[^\s/,&-])\s*[/,&-]\s*[0-9]{1,4}")  # 0212 555 01 01 / 02
FLOAT = re.compile(r"\+?([0-9]{7,15})\.0{1,2}")  # what a spreadsheet makes of a number
CODE_TWICE = re.compile(r"^(\+[0-9]{1,3})\s*(?=\1)")
SIGNS = dict.fromkeys(map(ord, "‐‑‒–—―−﹣－"), "-") | dict.fromkeys(map(ord, "·•∙"), ".")
DROPPED = frozenset({"Cf", "Cc", "So", "Me"})  # marks that nobody sees, and ☎
AROUND = " \t\r\n\"'.,;=“”‘’«»„`"


def _clean(raw: str) -> str:
    """Plain digits and signs whatever alphabet they came in; invisible marks and needless spaces are gone."""
    text = unicodedata.normalize("NFKC", raw.strip()[: READ_MAX + 1].translate(SIGNS))
    text = "".join(_plain(each) for each in text if unicodedata.category(each) not in DROPPED or each.isspace())
    text = re.sub(r"[ \t]+", " ", text.replace("\ufe0f", "")).strip(AROUND)
    return FLOAT.sub(r"\1", text) if FLOAT.fullmatch(text) else CODE_TWICE.sub("", text)


def _plain(letter: str) -> str:
    digit = unicodedata.decimal(letter, None)
    return letter if digit is None else str(digit)


def _word(text: str) -> str:
    """Lower case without the dot that `"GİZLİ".lower()` leaves over."""
    return text.lower().replace("\u0307", "")


def _user_and_host(text: str) -> tuple[str, str]:
    """The part of a SIP or tel URI (RFC 3261 section 19.1, RFC 3966) that names the telephone, and its host."""
    inside = re.search(r"<([^<>]*)>", text)
    address = (inside.group(1) if inside else text).strip()
    scheme = re.match(r"(sips?|tel|callto):(?://)?", address, re.IGNORECASE)
    if not scheme and "@" not in address:
        return _unlabelled(address), ""
    user, _, host = unquote(address[scheme.end() if scheme else 0 :]).partition("@")
    user, _, parameters = user.partition(";")
    context = re.search(r"phone-context=(\+[0-9]+)", parameters)
    if context and not user.startswith("+"):
        user = context.group(1) + user
    return _unlabelled(user), re.split(r"[;:>?]", host, maxsplit=1)[0].lower()


def _unlabelled(text: str) -> str:
    """Without `Tel:` before it, `dahili 12` after it and `;phone-context=…` that somebody copied with it."""
    text = re.sub(r";(?:phone-context|ext|isub|user|cpc)=.*$", "", text, flags=re.IGNORECASE)
    text = EXTENSION.sub("", LABEL.sub("", text, count=1))
    return text.strip(" \t\r\n.,;:")


# --- from digits to a number ---


@dataclass(frozen=True)
class _Place:
    """Where something was written, and by whom: see `parse`."""

    region: str
    area: str
    from_trunk: bool


def _read(kept: str, text: str, place: _Place) -> Number:
    """The first reading that is a number which is really given out, or why there is none."""
    digits = _digits(text)
    extended = IN_BRACKETS.fullmatch(text)
    number = (_first(extended[1], place) if extended else None) or _first(text, place)
    if number is not None:
        country = phonenumbers.region_code_for_number(number)
        iso = country if country and country.isalpha() else None
        return Number(kept, Kind.E164, phonenumbers.format_number(number, PhoneNumberFormat.E164), iso)
    if digits.removeprefix("00") in WITHHELD_KEYS:
        return Number(kept, Kind.WITHHELD, None, None)
    return Number(kept, Kind.MALFORMED, None, None, _why_not(text, digits, place.region))


def _first(text: str, place: _Place) -> PhoneNumber | None:
    if not ONE_NUMBER.fullmatch(text):
        return None
    found = (_valid(reading, place.region) for reading in _readings(text, _digits(text), place))
    return next((number for number in found if number is not None), None)


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdigit())


def _readings(text: str, digits: str, place: _Place) -> Iterator[str]:
    """What the digits may mean, the likeliest first. A + before a 0 was put there by an exchange and means nothing."""
    code, area = str(phonenumbers.country_code_for_region(place.region) or ""), place.area
    if "+" in text and not digits.startswith("0"):
        yield "+" + digits
    elif digits.startswith("00"):
        yield "+" + digits.lstrip("0")
    else:
        yield digits
        if area and LOCAL_MIN <= len(digits) <= LOCAL_MAX and not digits.startswith("0"):
            yield area.lstrip("0") + digits
        if place.from_trunk and text == digits and len(digits) >= BARE_MIN and not digits.startswith("0"):
            yield "+" + digits  # E.164 without its +
    if code:
        overdone = re.fullmatch(
            rf"(?:0*(?:{code}0*){{2}}|0{code}0*)([1-9][0-9]*)", digits
        )  # the code twice, or after a 0
        if overdone:
            yield f"+{code}{overdone.group(1)}"


def _valid(reading: str, region: str) -> PhoneNumber | None:
    number = _parsed(reading, region)
    return number if number is not None and phonenumbers.is_valid_number(number) else None


def _parsed(reading: str, region: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(reading, region)
    except phonenumbers.NumberParseException:
        return None


def _why_not(text: str, digits: str, region: str) -> str:
    parts = [part for part in BETWEEN_NUMBERS.split(text) if sum(letter.isdigit() for letter in part) >= LOCAL_MIN]
    one = ONE_NUMBER.fullmatch(text) is not None and digits != ""
    ending = ANOTHER_ENDING.fullmatch(text)
    if len(parts) > 1 or (one and len(digits) > E164_MAX and text != digits):
        return "two_numbers"
    if ending and _valid(ending[1], region):
        return "two_numbers"
    if not one:
        return "not_digits"
    if "+" not in text and LOCAL_MIN <= len(digits) <= LOCAL_MAX and not digits.startswith("0"):
        return "no_area"
    if len(digits) < LOCAL_MIN or len(digits) > E164_MAX:
        return "too_short" if len(digits) < LOCAL_MIN else "too_long"
    number = _parsed(("+" if "+" in text else "") + digits, region)
    match phonenumbers.is_possible_number_with_reason(number) if number else ValidationResult.INVALID_COUNTRY_CODE:
        case ValidationResult.INVALID_COUNTRY_CODE:
            return "country"
        case ValidationResult.TOO_SHORT:
            return "too_short"
        case ValidationResult.TOO_LONG:
            return "too_long"
    return "unassigned"


def _country_code(e164: str) -> str:
    """Country codes are free of prefixes (ITU-T E.164), so the first known one is the one."""
    heads = (e164[1 : 1 + size] for size in (1, 2, 3))
    return next((head for head in heads if int(head) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), e164[1])
