"""Names as people write them: one folded form for finding, and how much two of them are alike. Pure."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum

LETTERS = str.maketrans({"ı": "i", "ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
NOT_A_LETTER = re.compile(r"[\W_]+")
# Words that say what kind of a company it is, left out when two companies are compared; A.Ş. comes in two pieces.
COMPANY_FORMS = frozenset({
    "a", "s", "as", "ltd", "sti", "san", "tic", "ve", "limited", "sirketi", "anonim", "sanayi", "ticaret", "inc", "co", "corp", "gmbh",
    "ag", "bv", "plc", "llc",
})  # fmt: skip
LETTERS_FOR_ONE_SLIP = 4  # a word must have as many before one wrong letter is forgiven: Can and Cem are two people
LETTERS_FOR_TWO_SLIPS = 8


class Likeness(StrEnum):
    """Of two names, the most alike first."""

    SAME = "same"  # the same words, in any order and any writing
    SIMILAR = "similar"  # as many words, with a slip of the pen or an initial
    PART = "part"  # one has more words: a second given name, a family name that was added by marriage
    GIVEN = "given"  # only the first word is the same
    OTHER = "other"


def fold(text: str) -> str:
    """What two writings of one name have in common: `İPEK Çağrı` and `ipek cagri`. Turkish ı, I, İ and i are one letter here."""
    return " ".join(filter(None, [word.lower() if word.isascii() else _folded(word) for word in text.split()]))


@functools.lru_cache(maxsize=50_000)  # names repeat: an import of millions has thousands of words
def _folded(word: str) -> str:
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return " ".join(bare.translate(LETTERS).split())


def words(name: str, *, companies: bool = False) -> list[str]:
    """Folded, without what stands between them, and of a company without what says which kind it is."""
    found = NOT_A_LETTER.sub(" ", fold(name)).split()
    return [word for word in found if word not in COMPANY_FORMS] or found if companies else found


def likeness(one: str, other: str, *, companies: bool = False) -> Likeness:
    """How much two names are alike; the same whichever comes first."""
    fewer, more = sorted(
        (words(one, companies=companies), words(other, companies=companies)), key=lambda each: (len(each), each)
    )
    if not fewer:
        return Likeness.OTHER
    if sorted(fewer) == sorted(more) or "".join(fewer) == "".join(more):
        return Likeness.SAME
    if _all_found(fewer, more) and len(fewer) > 1:
        return Likeness.SIMILAR if len(fewer) == len(more) else Likeness.PART
    if len(fewer) == len(more) == 1 and _alike(fewer[0], more[0]):
        return Likeness.SIMILAR
    return Likeness.GIVEN if _alike(fewer[0], more[0]) else Likeness.OTHER


def _all_found(fewer: Sequence[str], more: Sequence[str]) -> bool:
    """Each word has a partner of its own; the very same word is taken before one that is only alike, and a name of initials
    alone is no name."""
    left = list(more)
    unsure = [word for word in fewer if not _taken(word, left)]
    if len(unsure) == len(fewer) and all(len(word) == 1 for word in fewer):
        return False
    for word in unsure:
        partner = next((each for each in left if _alike(word, each)), None)
        if partner is None:
            return False
        left.remove(partner)
    return True


def _taken(word: str, left: list[str]) -> bool:
    there = word in left
    if there:
        left.remove(word)
    return there


def _alike(one: str, other: str) -> bool:
    if min(len(one), len(other)) == 1:
        return one[0] == other[0]  # an initial
    shorter = min(len(one), len(other))
    allowed = (shorter >= LETTERS_FOR_ONE_SLIP) + (shorter >= LETTERS_FOR_TWO_SLIPS)
    return abs(len(one) - len(other)) <= allowed and slips(one, other) <= allowed


def slips(one: str, other: str) -> int:
    """Letters that were missed, added, mistaken or swapped with their neighbour (optimal string alignment distance)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                best = min(best, earlier[j - 2] + 1)
            row.append(best)
    return row[-1]
