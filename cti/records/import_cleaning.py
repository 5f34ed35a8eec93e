"""The report on a file's telephone numbers: how many were read as what, and a few masked examples of each; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cti import numbers
from cti.numbers import Kind, Number

EXAMPLES_MAX = 5  # of each sort
SHOWN_MAX = 40  # characters of an example
SHAPE = re.compile(r"[^\W\d_]")
WORDS = {
    "tr": {
        "e164": "tam numara (E.164)",
        "short": "kısa numara",
        "withheld": "numara yerine sözcük (gizli, bilinmiyor …)",
    },
    "en": {
        "e164": "full numbers (E.164)",
        "short": "short codes",
        "withheld": "words instead of a number (withheld, unknown ...)",
    },
}


@dataclass
class Cleaning:
    """Counts by sort: a Kind, or for malformed numbers the reason (see numbers.REASONS). Adds up over the parts of a file."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def good(self) -> None:
        """A number that was read at once; no example is needed of those."""
        self.counts["e164"] = self.counts.get("e164", 0) + 1

    def add(self, number: Number, line: int) -> None:
        sort = number.reason if number.kind is Kind.MALFORMED else number.kind.value
        self.counts[sort] = self.counts.get(sort, 0) + 1
        shown = self.examples.setdefault(sort, [])
        if number.kind is not Kind.E164 and len(shown) < EXAMPLES_MAX:
            shown.append(f"{line}: {shape(number.raw)}")

    def __iadd__(self, other: Cleaning) -> Cleaning:
        for sort, count in other.counts.items():
            self.counts[sort] = self.counts.get(sort, 0) + count
        for sort, shown in other.examples.items():
            mine = self.examples.setdefault(sort, [])
            mine.extend(shown[: EXAMPLES_MAX - len(mine)])
        return self


def shape(raw: str) -> str:
    """A masked example: how it was written, not whose it is. Letters become x, digits * but for the last two."""
    text = SHAPE.sub("x", raw[:SHOWN_MAX])
    digits = [place for place, letter in enumerate(text) if letter.isdigit()]
    hidden = set(digits[:-2])
    return "".join("*" if place in hidden else letter for place, letter in enumerate(text))


def lines(cleaning: Cleaning, language: str = "en") -> Iterator[str]:
    """The report, for people: the commonest sort first."""
    for sort, count in sorted(cleaning.counts.items(), key=lambda each: (-each[1], each[0])):
        yield f"{count:>10,}  {words(sort, language)}"
        yield from _examples(cleaning.examples.get(sort, ()))


def words(sort: str, language: str) -> str:
    """What a sort is called by people."""
    ours = WORDS.get(language, WORDS["en"])
    return ours.get(sort) or numbers.REASONS.get(sort, {}).get(language, sort)


def _examples(shown: Iterable[str]) -> Iterator[str]:
    for each in shown:
        yield f"{'':>12}line {each}"
