"""The year itself: faults, outages, changed numbers, and the calls that follow from them. The same whether links are offered or not."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.year.people import AREAS, DAYS, HOURS, Household, Person, Town

BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
UTC_OFFSET_H = 3  # Turkey has one time all year


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Services that are down, `real` only with those who feel it; the records know of it from `told` on, or never."""

    begin: float  # days since BEGIN
    end: float
    told: float | None
    area: str = ""
    kind: str = ""
    household: int | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    at: dt.datetime
    caller: Person | None  # None: somebody who is no customer
    number: str | None  # None: withheld
    fault: bool = False
    attestation: str = ""
    diverted: bool = False
    coins: tuple[float, ...] = field(default=())  # 0..1, for what happens in the call: the same for every policy


@dataclass
class Year:
    town: Town
    troubles: list[Trouble]
    calls: list[Call]


def moment(day: float) -> dt.datetime:
    return BEGIN + dt.timedelta(days=day)


def year(chance: random.Random, town: Town, calls: int) -> Year:
    """At most `calls` calls: when habits make more of them, chance picks which are kept."""
    troubles = [*_outages(chance), *_line_faults(chance, town)]
    made = [*_ordinary(chance, town), *_about_troubles(chance, town, troubles)]
    made += [_outsider(chance, town) for _ in range(len(made) // 11)]
    made += [_forged(chance, town) for _ in range(len(made) // 700)]
    picked = made if len(made) <= calls else chance.sample(made, calls)
    return Year(town, troubles, sorted(picked, key=lambda each: each.at))


# --- when ---


def _outages(chance: random.Random) -> Iterator[Trouble]:
    for area in range(AREAS):
        for _ in range(_poisson(chance, 3.0)):
            begin = chance.uniform(0, DAYS)
            lasts = chance.lognormvariate(math.log(4 / 24), 0.7)
            kind = chance.choice(("dsl", "dsl", ""))
            told = begin + chance.expovariate(1 / 0.02) if chance.random() < 0.9 else None
            yield Trouble(begin=begin, end=begin + lasts, told=told, area=f"area-{area}", kind=kind)


def _line_faults(chance: random.Random, town: Town) -> Iterator[Trouble]:
    for home in town.households:
        for _ in range(_poisson(chance, 0.5)):
            begin = chance.uniform(0, DAYS)
            told = begin + 0.01 if chance.random() < 0.6 else None
            kind = "landline" if home.landline and chance.random() < 0.3 else "dsl"
            lasts = chance.expovariate(1 / 1.2)
            yield Trouble(begin=begin, end=begin + lasts, told=told, household=home.place, kind=kind)


def _ordinary(chance: random.Random, town: Town) -> Iterator[Call]:
    """A matter, and often the same person again some days later about it."""
    for home in town.households:
        for _ in range(_poisson(chance, home.calls)):
            person = _who(chance, home, None)
            day = _day(chance, person, chance.randrange(DAYS))
            fault = chance.random() < 0.3
            for place in range(1 + _poisson(chance, 0.5)):
                if day >= DAYS:
                    break
                yield _call(chance, town, person, day, fault=fault)
                if place == 0 and chance.random() < 0.25:
                    person = _who(chance, home, None)  # somebody else at home takes it on
                day = _day(chance, person, int(day) + 1 + int(chance.expovariate(0.6)))


def _about_troubles(chance: random.Random, town: Town, troubles: list[Trouble]) -> Iterator[Call]:
    of_area: dict[str, list[Household]] = {}
    for home in town.households:
        of_area.setdefault(home.area, []).append(home)
    for trouble in troubles:
        homes = [town.households[trouble.household]] if trouble.household is not None else of_area.get(trouble.area, [])
        for home in homes:
            feels = trouble.household is not None or chance.random() < 0.7
            if not feels or chance.random() > (0.9 if trouble.household is not None else 0.2):
                continue
            at = chance.uniform(trouble.begin, trouble.end)
            if at < DAYS:
                yield _call(chance, town, _who(chance, home, at), at, fault=True, dead=_line_is_dead(home, trouble))


def _line_is_dead(home: Household, trouble: Trouble) -> bool:
    return home.landline is not None and (trouble.kind != "dsl" or home.over_broadband)


def _who(chance: random.Random, home: Household, day: float | None) -> Person:
    """By keenness; when it is urgent, by who is likely up and at home then."""
    hour = None if day is None else int((day % 1) * 24 + UTC_OFFSET_H) % 24
    keen = [each.keenness * (1.0 if hour is None else 0.2 + HOURS[each.day][hour]) for each in home.people]
    return chance.choices(home.people, [each + 1e-6 for each in keen])[0]


def _day(chance: random.Random, person: Person, day: int) -> float:
    hour = chance.choices(range(24), HOURS[person.day])[0]
    return day + ((hour - UTC_OFFSET_H) % 24 + chance.random()) / 24


# --- on which telephone ---


def _call(chance: random.Random, town: Town, person: Person, day: float, *, fault: bool, dead: bool = False) -> Call:
    number = _telephone(chance, town, person, day, dead=dead)
    caller: Person | None = person
    if number and number == town.home(person).landline and chance.random() < 0.015:
        caller = None  # a visitor, the cleaner
    return Call(
        at=moment(day), caller=caller, number=number, fault=fault, attestation=_attestation(chance, number),
        diverted=chance.random() < 0.003, coins=_coins(chance),
    )  # fmt: skip


def _telephone(chance: random.Random, town: Town, person: Person, day: float, *, dead: bool) -> str | None:
    if person.withholds or chance.random() < 0.004:
        return None
    home, dice = town.home(person), chance.random()
    if dice < 0.003:
        return next(town.numbers)  # a stranger's telephone, a hotel
    if dice < 0.007:
        return chance.choice(town.households).holder.mobile_on(day) or next(
            town.numbers
        )  # a friend's, who is a customer too
    if person.abroad and dice < 0.5:
        return person.abroad
    if person.shop and dice < 0.4:
        return person.shop
    if person.works_at and dice < 0.09:
        return person.works_at
    if home.landline and not dead and chance.random() < person.landline_share:
        return home.landline
    own = person.mobile_on(day)
    if own and chance.random() < person.own_share:
        return own
    lent = [mobile for each in home.people if (mobile := each.mobile_on(day))]
    return chance.choice(lent) if lent else home.landline if not dead and home.landline else next(town.numbers)


def _attestation(chance: random.Random, number: str | None) -> str:
    """Some carriers sign, always; calls from abroad come through gateways."""
    if number is None:
        return ""
    if not number.startswith("+90"):
        return "C" if chance.random() < 0.5 else ""
    if int(number[-4:-1]) % 3:
        return ""
    return chance.choices(("A", "B", "failed"), (90, 9.9, 0.1))[0]


def _outsider(chance: random.Random, town: Town) -> Call:
    """Who wants to become a customer, has dialled wrongly, or sells something; some of them on a number that was a customer's once."""
    day = chance.randrange(DAYS) + chance.uniform(6, 17) / 24
    since, used = chance.choice(town.outsiders) if town.outsiders else (math.inf, "")
    number = used if since <= day and chance.random() < 0.15 else next(town.numbers)
    return Call(
        at=moment(day), caller=None, number=number, attestation=_attestation(chance, number), coins=_coins(chance)
    )


def _forged(chance: random.Random, town: Town) -> Call:
    """Somebody who shows a customer's number."""
    number = chance.choice(town.households).holder.mobile
    said = chance.choices(("", "C", "failed"), (50, 35, 15))[0]
    day = chance.uniform(0, DAYS)
    return Call(at=moment(day), caller=None, number=number, attestation=said, coins=_coins(chance))


def _coins(chance: random.Random) -> tuple[float, ...]:
    return tuple(chance.random() for _ in range(8))


def _poisson(chance: random.Random, mean: float) -> int:
    """By counting how many waits of an average of 1 fit into `mean`."""
    count, passed = 0, chance.expovariate(1.0)
    while passed < mean:
        count, passed = count + 1, passed + chance.expovariate(1.0)
    return count
