"""The people of a simulated company: households with lines and telephones, and the habits by which they call. Seeds make them again.

Nothing here knows of weights: habits are drawn person by person, and what the company's records say of a number is drawn apart from
who really uses it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

SIZES = (0.20, 0.28, 0.20, 0.17, 0.08, 0.04, 0.02, 0.01)  # of households of 1 to 8 people
AREAS = 70
DAYS = 365
# How likely one calls in each hour of the day, by what one does all day. Hours are Turkish ones.
HOURS = {
    "worker": (0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 4, 3, 2, 2, 2, 4, 7, 9, 8, 6, 3, 1),
    "at_home": (0, 0, 0, 0, 0, 0, 0, 0, 2, 7, 9, 9, 6, 6, 8, 7, 5, 3, 2, 2, 2, 1, 0, 0),
    "student": (1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 4, 7, 7, 6, 6, 7, 8, 7, 4),
    "nights": (2, 3, 3, 2, 1, 1, 2, 2, 1, 0, 0, 0, 0, 2, 4, 5, 5, 4, 3, 2, 1, 1, 1, 2),
}


@dataclass
class Person:
    id: str
    home: int
    name: str
    day: str  # of HOURS
    keenness: float  # how much of the household's calling falls to this one
    mobile: str | None
    own_share: float  # of calls from the own mobile
    landline_share: float  # of calls from home, when there is a landline
    works_at: str | None = None  # the switchboard's number
    shop: str | None = None  # a telephone that a whole street uses
    abroad: str | None = None
    withholds: bool = False
    changes: list[tuple[float, str]] = field(default_factory=list)  # the mobile from a day of the year on

    def mobile_on(self, day: float) -> str | None:
        return next((number for begin, number in reversed(self.changes) if begin <= day), self.mobile)

    def telephones(self) -> set[str | None]:
        """That are the person's own, at some time of the year."""
        return {self.mobile, self.abroad, *(number for _, number in self.changes)}


@dataclass
class Household:
    place: int
    area: str
    people: list[Person]
    calls: float  # expected matters in a year
    landline: str | None
    broadband: bool
    over_broadband: bool  # the landline is dead when the broadband is

    @property
    def holder(self) -> Person:
        return self.people[0]

    @property
    def broadband_id(self) -> str:
        return f"s-{self.place}-dsl"

    @property
    def line_id(self) -> str:
        return f"s-{self.place}-line"

    @property
    def line_dies_with_broadband(self) -> bool:
        return self.landline is not None and self.over_broadband


@dataclass
class Town:
    """Everybody who can call."""

    households: list[Household]
    numbers: Iterator[str] = field(repr=False)
    registered: dict[str, list[Person]] = field(default_factory=dict)  # whose mobiles were whose, some time ago
    outsiders: list[tuple[float, str]] = field(default_factory=list)  # numbers that are nobody's we know from a day on
    shops: dict[str, list[Person]] = field(default_factory=dict)
    companies: dict[str, list[Person]] = field(default_factory=dict)

    def everybody(self) -> Iterator[Person]:
        for household in self.households:
            yield from household.people

    def home(self, person: Person) -> Household:
        return self.households[person.home]


def mobiles() -> Iterator[str]:
    """Turkish mobile numbers, each once."""
    for count in range(10_000_000):
        yield f"+9053{count // 1_000_000}{count % 1_000_000:06d}0"[:13]


def town(chance: random.Random, households: int, calls_each: float) -> Town:
    """`calls_each`: matters that an average household calls about in a year."""
    numbers = mobiles()
    made = Town([_household(chance, place, calls_each, numbers) for place in range(households)], numbers)
    _companies(chance, made)
    _shops(chance, made)
    for person in made.everybody():
        if person.mobile:
            made.registered.setdefault(person.mobile, []).append(person)
    _given_on_before(chance, made)
    _given_on_later(chance, made)
    return made


def _household(chance: random.Random, place: int, calls_each: float, numbers: Iterator[str]) -> Household:
    size = chance.choices(range(1, 9), SIZES)[0]
    people = [_person(chance, place, seat, size, numbers) for seat in range(size)]
    if size > 1 and chance.random() < 0.05:
        people[1].mobile = people[0].mobile  # a couple with one telephone
    landline = f"+90212{2_000_000 + place:07d}" if chance.random() < 0.55 else None
    return Household(
        place=place, area=f"area-{chance.randrange(AREAS)}", people=people, calls=chance.gammavariate(1.2, calls_each / 1.2),
        landline=landline, broadband=landline is None or chance.random() < 0.85, over_broadband=chance.random() < 0.75,
    )  # fmt: skip


def _person(chance: random.Random, place: int, seat: int, size: int, numbers: Iterator[str]) -> Person:
    adult = seat < 2 or (size > 4 and seat == size - 1)
    day = chance.choices(("worker", "at_home", "nights"), (60, 34, 6))[0] if adult else "student"
    has_mobile = chance.random() < (0.97 if adult else 0.7)
    keen = (2.0, 1.2)[seat] if seat < 2 else 0.4 if adult else 0.2
    return Person(
        id=f"p-{place}-{seat}", home=place, name=f"Person {place}.{seat}", day=day, keenness=chance.gammavariate(1.0, keen),
        mobile=next(numbers) if has_mobile else None, own_share=chance.betavariate(9, 1.2),
        landline_share=chance.betavariate(2, 3 if day == "at_home" else 12),
        abroad=f"+4930{place:07d}" if chance.random() < 0.012 else None, withholds=chance.random() < 0.006,
    )  # fmt: skip


def _companies(chance: random.Random, made: Town) -> None:
    """One in four who work can call from a switchboard; its number shows for everybody there."""
    staff = [each for each in made.everybody() if each.day == "worker" and chance.random() < 0.25]
    chance.shuffle(staff)
    while staff:
        size = chance.randint(2, 12)
        number = f"+90216{4_000_000 + len(staff):07d}"
        made.companies[number], staff = staff[:size], staff[size:]
        for person in made.companies[number]:
            person.works_at = number


def _shops(chance: random.Random, made: Town) -> None:
    """Telephones that eight people of eight households use, each at his own time of day."""
    for count in range(len(made.households) // 150):
        number = f"+90224{5_000_000 + count:07d}"
        made.shops[number] = [chance.choice(home.people) for home in chance.sample(made.households, 8)]
        for person in made.shops[number]:
            person.shop = number


def _given_on_before(chance: random.Random, made: Town) -> None:
    """Before the year began some people changed their numbers, and the records do not know: 6 % of them. Two in five of the numbers
    are another customer's by now, the others are outsiders'."""
    people = [each for each in made.everybody() if each.mobile]
    for person in people:
        if chance.random() < 0.06 and person.mobile:
            if chance.random() < 0.4:
                chance.choice(people).mobile = person.mobile
            else:
                made.outsiders.append((0.0, person.mobile))
            person.mobile = next(made.numbers)


def _given_on_later(chance: random.Random, made: Town) -> None:
    """5 % change theirs in the year; after some months half of these numbers are given out again."""
    people = [each for each in made.everybody() if each.mobile]
    for person in people:
        if chance.random() < 0.05 and person.mobile:
            day = chance.uniform(0, DAYS)
            again = day + chance.uniform(60, 200)
            person.changes.append((day, next(made.numbers)))
            if chance.random() < 0.2:
                chance.choice(people).changes.append((again, person.mobile))
            elif chance.random() < 0.4:
                made.outsiders.append((again, person.mobile))
    for person in people:
        person.changes.sort()
