"""Numbers, clock times and days as they are spoken in Turkish and English: pure tables and rules over keys of pieces.

A key such as `number-17` or `month-11` names one recorded or synthesised piece; WORDS holds its text in each language. A third
language is one more table and its two rules (`clock`, `day`).
"""

from __future__ import annotations

import datetime as dt

NUMBER_MAX = 59

_ONES = {
    "tr": ["sıfır", "bir", "iki", "üç", "dört", "beş", "altı", "yedi", "sekiz", "dokuz"],
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
}
_TENS = {
    "tr": ["", "on", "yirmi", "otuz", "kırk", "elli"],
    "en": ["", "ten", "twenty", "thirty", "forty", "fifty"],
}
_TEENS_EN = [
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_MONTHS = {
    "tr": ["Ocak", "Şubat", "Mart", "Nisan", "Mayıs", "Haziran", "Temmuz", "Ağustos", "Eylül", "Ekim", "Kasım", "Aralık"],
    "en": [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ],
}  # fmt: skip
_ORDINALS_EN = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth", "twenty": "twentieth", "thirty": "thirtieth",
}  # fmt: skip


def number(value: int, language: str) -> str:
    """0 to 59 in words."""
    tens, ones = divmod(value, 10)
    if tens == 0:
        return _ONES[language][ones]
    if language == "en" and tens == 1:
        return _TEENS_EN[ones]
    joint = "-" if language == "en" else " "
    return _TENS[language][tens] + (joint + _ONES[language][ones] if ones else "")


def clock(time: dt.time, language: str) -> list[str]:
    """The keys of 17:05: tr "on yedi sıfır beş", en "five oh five p.m."."""
    minute = _minute(time.minute, language)
    if language == "tr":
        return [f"number-{time.hour}", *minute]
    return [f"number-{time.hour % 12 or 12}", *minute, "pm" if time.hour >= 12 else "am"]


def day(date: dt.date, today: dt.date, language: str) -> list[str]:
    """The keys of a day as one says it: yesterday, today, tomorrow, or tr "yirmi bir Kasım", en "November twenty-first"."""
    near = {-1: "yesterday", 0: "today", 1: "tomorrow"}.get((date - today).days)
    if near:
        return [near]
    date_keys = [f"day-{date.day}", f"month-{date.month}"]
    return date_keys if language == "tr" else date_keys[::-1]


def family(name: str, language: str) -> list[str]:
    """Every key that the family `name` (digits, number, clock, day) may need; of `names`, what stands between them."""
    digits = [f"digit-{each}" for each in range(10)]
    numbers = [f"number-{each}" for each in range(NUMBER_MAX + 1)]
    days = ["yesterday", "today", "tomorrow"]
    dates = [f"day-{each}" for each in range(1, 32)] + [f"month-{each}" for each in range(1, 13)]
    zero = ["digit-0"] if language == "tr" else ["oh", "am", "pm"]
    keys = {
        "digits": digits,
        "number": numbers + digits,
        "clock": numbers + zero,
        "day": days + dates,
        "names": ["and"],
    }
    return keys[name]


def _minute(minute: int, language: str) -> list[str]:
    if minute == 0:
        return []
    zero = "digit-0" if language == "tr" else "oh"
    return ([zero] if minute < 10 else []) + [f"number-{minute}"]


def _ordinal_en(value: int) -> str:
    head, joint, last = number(value, "en").rpartition("-")
    return head + joint + _ORDINALS_EN.get(last, last + "th")


def _words(language: str) -> dict[str, str]:
    numbers = {f"number-{each}": number(each, language) for each in range(NUMBER_MAX + 1)}
    digits = {f"digit-{each}": number(each, language) for each in range(10)}
    ordinal = _ordinal_en if language == "en" else lambda value: number(value, language)
    dates = {f"day-{each}": ordinal(each) for each in range(1, 32)}
    months = {f"month-{at}": name for at, name in enumerate(_MONTHS[language], 1)}
    return numbers | digits | dates | months | _OTHERS[language]


_OTHERS = {
    "tr": {"yesterday": "dün", "today": "bugün", "tomorrow": "yarın", "and": "ve"},
    "en": {
        "yesterday": "yesterday", "today": "today", "tomorrow": "tomorrow", "oh": "oh", "am": "A M", "pm": "P M", "and": "and",
    },
}  # fmt: skip
# How a voice finds the sound of a place's Turkish letters.
READ_AS = {
    "en": str.maketrans({
        "ş": "sh", "Ş": "Sh", "ç": "ch", "Ç": "Ch", "ı": "i", "İ": "I", "ğ": "g", "Ğ": "G", "ö": "o", "Ö": "O",
    }),
}  # fmt: skip
WORDS: dict[str, dict[str, str]] = {language: _words(language) for language in _ONES}
