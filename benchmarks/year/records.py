"""What the simulated company's records say, and what they learn: links, tickets, lines that are down, confirmed calls."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
from collections import deque
from collections.abc import Iterator
from typing import Any

from benchmarks.year.calls import BEGIN, Trouble, moment
from benchmarks.year.people import Household, Person, Town
from cti.identity import Confirmed, Evidence, LinkFact, SubscriptionFact
from cti.identity import Person as PersonFact
from cti.records.evidence import CONFIRMED_MAX

TICKET_DAYS = 2.5


class Records:
    """Begins with what was imported: every landline, six in ten of the holders' mobiles, one in seven of the others'."""

    def __init__(self, town: Town, troubles: list[Trouble], chance: random.Random) -> None:
        self.town = town
        self.links: dict[str, list[LinkFact]] = {}
        self.confirmed: dict[str, deque[Confirmed]] = {}
        self.tickets: dict[str, dt.datetime] = {}  # subscription id -> until when it is open
        self.refused: set[str] = set()  # numbers whose user does not want to be asked again
        self._waiting = sorted(_told(troubles), key=lambda each: each[0], reverse=True)
        self._active: list[Trouble] = []
        self._ids = 0
        self._subscriptions = {home.place: _subscriptions(home) for home in town.households}
        for number, link in _imported(town, chance):
            self.add(number, **link)

    def add(
        self, number: str, *, home: Household, person: Person | None, role: str, begin: dt.datetime, **more: Any
    ) -> LinkFact:
        """A link of a person, of a line (role line_number) or, without either, of the household."""
        self._ids += 1
        of_line = role == "line_number"
        people = [person] if person else home.people
        link = LinkFact(
            link=f"l-{self._ids:08d}", value=number, party=person.id if person else None,
            party_name=person.name if person else "", household=f"h-{home.place}", household_label=home.holder.name,
            line=home.line_id if of_line else None, subscriptions=self._subscriptions[home.place], role=role, valid_from=begin,
            people=tuple(PersonFact(each.id, each.name, each is home.holder) for each in people), **more,
        )  # fmt: skip
        self.links.setdefault(number, []).append(link)
        return link

    def evidence(self, number: str, at: dt.datetime, attestation: str, *, diverted: bool) -> Evidence:
        reached = {each.id: each for link in self.links.get(number, ()) for each in link.subscriptions}
        self._learn_troubles(at)
        down = {each.id for each in reached.values() if any(_hits(trouble, each) for trouble in self._active)}
        return Evidence(
            now=at,
            open_tickets=frozenset(each for each in reached if self.tickets.get(each, at) > at),
            open_outages=frozenset(down | {each.id for each in reached.values() if each.depends_on in down}),
            confirmed=tuple(self.confirmed.get(number, ())),
            attestation=attestation,
            diverted_from="+902125550000" if diverted else "",
        )

    def confirm(self, number: str, person: Person, at: dt.datetime) -> None:
        self.confirmed.setdefault(number, deque(maxlen=CONFIRMED_MAX)).appendleft(Confirmed(person.id, at))
        self.saw(number, f"h-{person.home}", at)

    def saw(self, number: str, household: str, at: dt.datetime) -> None:
        """The links of this number to this household were seen to hold."""
        links = self.links.get(number, [])
        links[:] = [
            dataclasses.replace(each, last_seen_at=at) if each.household == household else each for each in links
        ]

    def dispute(self, number: str, household: str) -> None:
        """Links of this number to others than this household are disputed."""
        links = self.links.get(number, [])
        links[:] = [
            each if each.household == household else dataclasses.replace(each, state="disputed") for each in links
        ]

    def open_ticket(self, home: Household, at: dt.datetime) -> None:
        subscription = home.broadband_id if home.broadband else home.line_id
        self.tickets[subscription] = at + dt.timedelta(days=TICKET_DAYS)

    def _learn_troubles(self, at: dt.datetime) -> None:
        while self._waiting and self._waiting[-1][0] <= at:
            self._active.append(self._waiting.pop()[1])
        if self._active:
            self._active = [each for each in self._active if moment(each.end) > at]


def _told(troubles: list[Trouble]) -> Iterator[tuple[dt.datetime, Trouble]]:
    for each in troubles:
        if each.told is not None and each.told < each.end:
            yield moment(each.told), each


def _hits(trouble: Trouble, subscription: SubscriptionFact) -> bool:
    of_kind = trouble.kind in ("", subscription.kind)
    if trouble.household is not None:
        return of_kind and subscription.number.startswith(f"{trouble.household}-")
    return of_kind and subscription.area == trouble.area


def _subscriptions(home: Household) -> tuple[SubscriptionFact, ...]:
    found = []
    if home.broadband:
        found.append(SubscriptionFact(
            id=home.broadband_id, number=f"{home.place}-1", kind="dsl", area=home.area, holder=home.holder.id
        ))  # fmt: skip
    if home.landline:
        found.append(SubscriptionFact(
            id=home.line_id, number=f"{home.place}-2", kind="landline", area=home.area, holder=home.holder.id,
            line_number=home.landline, depends_on=home.broadband_id if home.broadband and home.over_broadband else None,
        ))  # fmt: skip
    return tuple(found)


def _imported(town: Town, chance: random.Random) -> Iterator[tuple[str, dict[str, Any]]]:
    def old() -> dt.datetime:
        return BEGIN - dt.timedelta(days=chance.uniform(0, 700))

    for home in town.households:
        if home.landline:
            yield home.landline, {"home": home, "person": None, "role": "line_number", "begin": old()}
    for number, people in town.registered.items():
        person = people[0]
        home = town.home(person)
        if chance.random() < (0.60 if person is home.holder else 0.15):
            yield number, _mobile(chance, number, home, person) | {"begin": old()}
    for number, staff in (*town.companies.items(), *town.shops.items()):
        role, share = ("work", 0.4) if number in town.companies else ("user", 1.0)
        for person in staff:
            if chance.random() < share:
                more = {} if role == "work" else {"exclusivity": "shared"}
                yield number, {"home": town.home(person), "person": person, "role": role, "begin": old(), **more}


def _mobile(chance: random.Random, number: str, home: Household, person: Person) -> dict[str, Any]:
    """One in twelve stands under the name of the wrong member of the household, one in ten under the household's."""
    dice = chance.random()
    if dice < 0.1:
        return {"home": home, "person": None, "role": "owner"}
    named = chance.choice(home.people) if dice < 0.18 else person
    made: dict[str, Any] = {"home": home, "person": named, "role": "owner" if named is home.holder else "user"}
    holds = named is person and person.mobile == number
    if chance.random() < (0.2 if holds else 0.03):  # the proof of old numbers and wrong names is old or careless
        made |= {"state": "verified", "method": "sms", "verified_at": BEGIN - dt.timedelta(days=chance.uniform(0, 300))}
    if chance.random() < 0.15:
        lends = len(home.people) > 1 and chance.random() > person.own_share
        made["exclusivity"] = "shared" if lends else "sole"
    return made
