"""Answers -> how sure we are of a caller, what to ask him next, and how often a stranger may be wrong.

An answer is read here, compared in cti.records.proofs, and written down nowhere. Knowing a number that stands on a bill says which
customer the call is about; only something that does not stand there says that it is he who calls.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from cti import numbers
from cti.identity import Level

PIN_MIN, PIN_MAX = 4, 8  # digits
CODE_DIGITS = 6
IDENTIFIER_MAX = 32  # characters, as the columns of the records
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400


class Factor(StrEnum):
    """Something that a caller showed."""

    CALLER_ID = "caller_id"  # the number he calls from is linked
    LAST_FOUR = "last_four"  # of the one line that is down and ends so
    CUSTOMER_NUMBER = "customer_number"
    SUBSCRIPTION_NUMBER = "subscription_number"
    LANDLINE = "landline"
    BIRTH_DATE = "birth_date"
    PIN = "pin"
    ONE_TIME_CODE = "one_time_code"  # that we sent to another contact point, verified before
    AGENT = "agent"  # an agent asked something of his own and was content


IDENTIFIERS = frozenset({Factor.CUSTOMER_NUMBER, Factor.SUBSCRIPTION_NUMBER, Factor.LANDLINE})
WHO = IDENTIFIERS | {Factor.CALLER_ID, Factor.LAST_FOUR, Factor.AGENT}
SECRETS = frozenset({Factor.BIRTH_DATE, Factor.PIN, Factor.ONE_TIME_CODE, Factor.AGENT})


@dataclass(frozen=True)
class Way:
    """One way to a level: one factor out of each set, another one each time."""

    level: Level
    parts: tuple[frozenset[Factor], ...]


# What reaches which level; the highest that holds counts.
POLICY: tuple[Way, ...] = (
    Way(Level.MATCHED, (WHO,)),
    Way(Level.KEYED, (WHO, SECRETS)),
    Way(Level.VERIFIED, (IDENTIFIERS, frozenset({Factor.PIN, Factor.ONE_TIME_CODE}))),
    Way(Level.STRONG, (frozenset({Factor.PIN}), frozenset({Factor.ONE_TIME_CODE}))),
)

# What can be asked, the easiest to answer first; a machine and an agent ask the same.
ASKABLE = (
    Factor.BIRTH_DATE, Factor.CUSTOMER_NUMBER, Factor.SUBSCRIPTION_NUMBER, Factor.LANDLINE, Factor.PIN,
    Factor.ONE_TIME_CODE,
)  # fmt: skip
QUESTIONS_MAX = 4  # further than this no way leads


def level(factors: Iterable[str]) -> Level:
    """The highest level that these factors reach together; ValueError for a factor that there is not."""
    shown = frozenset(Factor(each) for each in factors)
    return max((way.level for way in POLICY if _holds(way.parts, shown)), default=Level.NONE)


def next_questions(
    factors: Iterable[str], wanted: Level, available: Collection[Factor] = ASKABLE
) -> tuple[Factor, ...]:
    """What to ask next on the shortest way to `wanted`, the best first. Empty: it is reached, or `available` does not lead there."""
    shown = frozenset(Factor(each) for each in factors)
    askable = frozenset(available)
    far = _questions_to(shown, wanted, askable)
    if not 0 < far <= QUESTIONS_MAX:
        return ()
    nearer = (each for each in ASKABLE if each in askable - shown)
    return tuple(each for each in nearer if _questions_to(shown | {each}, wanted, askable) < far)


def _holds(parts: tuple[frozenset[Factor], ...], shown: frozenset[Factor]) -> bool:
    """Whether each part has a factor of its own among those shown."""
    if not parts:
        return True
    return any(_holds(parts[1:], shown - {each}) for each in parts[0] & shown)


@lru_cache(maxsize=4096)
def _questions_to(shown: frozenset[Factor], wanted: Level, askable: frozenset[Factor]) -> int:
    """How many right answers more, at least; more than QUESTIONS_MAX when it cannot be."""
    if level(shown) >= wanted:
        return 0
    further = (_questions_to(shown | {each}, wanted, askable) for each in askable - shown)
    return min(1 + min(further, default=QUESTIONS_MAX), QUESTIONS_MAX + 1)


# --- reading an answer ------------------------------------------------------------------------------------------------

DATE = re.compile(r"(\d{1,2})[\s./-](\d{1,2})[\s./-](\d{4}|\d{2})")
ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
KEYED_DATE = re.compile(r"(\d{2})(\d{2})(\d{4}|\d{2})")
DIGITS_OF: dict[Factor, re.Pattern[str]] = {
    Factor.LAST_FOUR: re.compile(r"\d{4}"),
    Factor.PIN: re.compile(rf"\d{{{PIN_MIN},{PIN_MAX}}}"),
    Factor.ONE_TIME_CODE: re.compile(rf"\d{{{CODE_DIGITS}}}"),
}


def read_answer(factor: Factor, text: str, *, region: str = "TR", area: str = "") -> str | None:
    """The one form in which an answer is compared; None when it cannot be one. A landline becomes E.164, without its area code that of
    `area`; a birth date ISO 8601, and without its century (`31 12 80`) the last eight characters of it."""
    plain = "".join(_plain(each) for each in text.strip()[: 2 * IDENTIFIER_MAX])
    match factor:
        case Factor.BIRTH_DATE:
            return _birth_date(plain)
        case Factor.LANDLINE:
            return numbers.parse(plain, region, area).e164
        case Factor.CUSTOMER_NUMBER | Factor.SUBSCRIPTION_NUMBER:
            bare = "".join(plain.split())
            return bare if 0 < len(bare) <= IDENTIFIER_MAX and bare.isprintable() else None
        case Factor.LAST_FOUR | Factor.PIN | Factor.ONE_TIME_CODE:
            digits = re.sub(r"[\s-]", "", plain)
            return digits if DIGITS_OF[factor].fullmatch(digits) else None
        case Factor.CALLER_ID | Factor.AGENT:
            return None


def born(stored: str | None, answer: str) -> bool:
    """Whether a stored birth date (ISO 8601) is the one that was read: all of it, or all but the century."""
    return stored is not None and answer in (stored, stored[2:])


def is_weak(pin: str, birth_date: str | None = None) -> bool:
    """Whether a PIN is among the first that anybody would try: one digit, a run, a pair again and again, a year, the holder's birthday."""
    steps = {(int(after) - int(before)) % 10 for before, after in itertools.pairwise(pin)}
    repeated = any(pin == pin[:size] * (len(pin) // size) for size in (2, 3, 4) if size < len(pin))
    year = len(pin) == PIN_MIN and pin[:2] in {"19", "20"}
    day = birth_date is not None and len(pin) >= PIN_MIN and any(pin in each for each in _keyed_forms(birth_date))
    return steps <= {0} or steps in ({1}, {9}) or repeated or year or day


def _keyed_forms(birth_date: str) -> tuple[str, ...]:
    year, month, day = birth_date.split("-")
    return day + month + year, day + month + year[2:], year + month + day, year[2:] + month + day


def _plain(letter: str) -> str:
    """Digits of other alphabets as ours."""
    digit = unicodedata.decimal(letter, None)
    return letter if digit is None else str(digit)


def _birth_date(text: str) -> str | None:
    if iso := ISO_DATE.fullmatch(text):
        year, month, day = iso.groups()
    elif told := DATE.fullmatch(text) or KEYED_DATE.fullmatch("".join(text.split())):
        day, month, year = told.groups()
    else:
        return None
    try:
        read = dt.date(int(year) if len(year) == 4 else 2000 + int(year), int(month), int(day))
    except ValueError:
        return None
    return read.isoformat() if len(year) == 4 else read.isoformat()[2:]


# --- how often one may be wrong ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """Wrong answers that are heard until `within_s` after the first one."""

    within_s: int
    most: int


@dataclass(frozen=True)
class Slow:
    """Wrong answers are counted from the first one; whoever has used up a window waits for the next larger one, and after the last
    all is forgotten. Answers that are not heard count nothing, so nobody can be kept out for longer than that."""

    windows: tuple[Window, ...]  # growing
    alarm: int  # so many wrong answers look like guessing

    @property
    def forgotten_s(self) -> int:
        return self.windows[-1].within_s

    def window(self, since_s: float) -> Window:
        """The one that counts so long after the first wrong answer. A clock that was set back in between is in the first."""
        return next((each for each in self.windows if since_s < each.within_s), self.windows[-1])

    def may_try(self, count: int, since_s: float) -> bool:
        """Whether a further answer is heard, `count` wrong ones after the first of them."""
        return since_s >= self.forgotten_s or count < self.window(since_s).most

    def wait_s(self, count: int, since_s: float) -> float:
        """How long until the next answer is heard."""
        if self.may_try(count, since_s):
            return 0.0
        opens = (closed.within_s for closed, next_one in itertools.pairwise(self.windows) if next_one.most > count)
        return next((each for each in opens if each > since_s), self.forgotten_s) - since_s

    def is_alarming(self, count: int, alarmed_s: float | None) -> bool:
        """Whether somebody must hear of `count` wrong answers, `alarmed_s` after he heard the last time: once a day, or nobody listens."""
        return count >= self.alarm and (alarmed_s is None or alarmed_s >= DAY_S)


# By what is counted: the number that calls, the customer whom the answers are about (named after his subscription, though he, his
# household and his other homes count as one), the number that was dialled, and everything. A withheld number has no count of its own.
# What an agent asked counts apart for the customer (agent); last four digits of a line that is down count apart for the calling number
# (last_four) and the dialled one (narrowing): when thousands of lines are down, several end alike, and most callers are honestly wrong.
SLOW: dict[str, Slow] = {
    "number": Slow((Window(HOUR_S, 5), Window(DAY_S, 10), Window(7 * DAY_S, 20)), alarm=10),
    "subscription": Slow((Window(DAY_S, 5), Window(7 * DAY_S, 8), Window(30 * DAY_S, 10)), alarm=5),
    "trunk": Slow((Window(HOUR_S, 200), Window(DAY_S, 1_000)), alarm=100),
    "all": Slow((Window(HOUR_S, 2_000), Window(DAY_S, 6_000)), alarm=500),
    "agent": Slow((Window(7 * DAY_S, 10), Window(30 * DAY_S, 20)), alarm=10),
    "last_four": Slow((Window(HOUR_S, 5), Window(DAY_S, 10), Window(7 * DAY_S, 20)), alarm=10),
    "narrowing": Slow((Window(HOUR_S, 5_000), Window(DAY_S, 20_000)), alarm=1_000),
}
AGENT_WRONG_MAX = 3  # wrong answers that an agent may write down in one conversation
CODES_PER_HOUR = 3  # one-time codes that one contact point is sent
CODES_PER_CALLER_AND_HOUR = 5  # that calls from one number have sent, to whomever
