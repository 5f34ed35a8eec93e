"""A year of contacts of the demo customers on every channel: small stories that hang together (a fault, a call about it, a
message when it is repaired, thanks), more of them in winter, and a bill each month.

`of_customer` decides what happened, the same for the same customer and moment; `write` puts it into the tables in one
go. No events are written for it: it is what a company brings along, from before the ledger began.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import insert
from sqlalchemy.orm import Session

from cti.demo.people import STORY, Home, Person
from cti.demo.sayings import SAID
from cti.ledger import uuid7
from cti.records.tickets import FIRST_COUNT, Ticket, TicketCounter, check_digit
from cti.records.timeline import Interaction

DAYS = 365
STORIES_A_YEAR = 6.5  # of one customer, besides his bills
# How often things break, by month: winter storms, and heat in August.
SEASON = (1.6, 1.5, 1.2, 0.9, 0.8, 0.8, 0.9, 1.1, 0.8, 0.9, 1.2, 1.5)
BUSY_HOURS = (9, 10, 10, 11, 11, 13, 14, 14, 15, 16, 18, 19, 20, 21)  # UTC+3, as people call
ISTANBUL = dt.timezone(dt.timedelta(hours=3))
AUTHORS = ("agent1001", "agent1002", "agent1003", "agent1004")
BILL_DAY = 5

Row = dict[str, object]


@dataclass(frozen=True)
class Member:
    """A person of a customer's home as the database knows him: contact points' ids by kind."""

    party: str
    person: Person
    points: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Customer:
    home: Home
    members: tuple[Member, ...]
    subscription: str  # id, of the internet line
    line: str | None  # id, of the landline


@dataclass(frozen=True, kw_only=True)
class Contact:
    """One contact. `ticket`: which of the customer's faults it is about, counted from 0; None: none of them."""

    at: dt.datetime
    member: Member
    channel: str
    direction: str  # in | out
    subject: str
    text: str
    author: str = ""
    ticket: int | None = None
    opens: bool = False  # the contact that opened the ticket
    closes: bool = False


def write(session: Session, customers: Sequence[Customer], now: dt.datetime) -> int:
    """Insert the year before `now` of all customers; how many interactions that were."""
    contacts: list[Row] = []
    tickets: list[Row] = []
    for customer in customers:
        happened = of_customer(customer, now)
        own = _tickets(customer, happened, FIRST_COUNT + len(tickets))
        start = len(contacts)
        contacts += (_row(customer, each, own, start + place) for place, each in enumerate(happened))
        tickets += own.values()
    if tickets:
        session.execute(insert(Ticket), tickets)
        session.add(TicketCounter(id=1, last=FIRST_COUNT + len(tickets) - 1))
    session.execute(insert(Interaction), contacts)
    session.flush()
    return len(contacts)


def of_customer(customer: Customer, now: dt.datetime) -> list[Contact]:
    """What happened between this customer and us during the year before `now`, oldest first."""
    chance = random.Random(customer.home.number)  # not hash(): that differs from process to process
    happened = list(_bills(customer, now))
    fault = 0
    for day in _days(chance, now):
        story = chance.choices(STORIES, WEIGHTS)[0]
        if story is _fault:
            happened += _fault(chance, customer, day, fault)
            fault += 1
        else:
            happened += story(chance, customer, day, None)
    if customer.home is STORY:
        happened += _today(customer, now)
    return sorted((each for each in happened if each.at < now), key=lambda each: each.at)


# --- the stories ------------------------------------------------------------------------------------------------------

Story = Callable[[random.Random, Customer, dt.datetime, int | None], Iterator[Contact]]


def _fault(chance: random.Random, customer: Customer, at: dt.datetime, ticket: int | None) -> Iterator[Contact]:
    """No internet: a message somewhere, a call that opens a ticket, word when it is repaired, sometimes thanks."""
    who = chance.choice(customer.members)
    yield from _said(chance, who, at, _first_channel(chance, who), "fault_complaint", ticket)
    at += dt.timedelta(minutes=chance.randint(12, 90))
    yield from _said(chance, who, at, "phone", "fault_call", ticket, opens=True)
    at += dt.timedelta(minutes=1)
    yield from _said(chance, who, at, "sms", "fault_opened", ticket, out=True)
    if chance.random() < 0.35:
        other = chance.choice(customer.members)
        yield from _said(chance, other, at + dt.timedelta(hours=chance.randint(3, 8)), "phone", "fault_again", ticket)
    at += dt.timedelta(hours=chance.randint(9, 40))
    yield from _said(chance, who, at, "sms", "fault_repaired", ticket, out=True, closes=True)
    if chance.random() < 0.4:
        at += dt.timedelta(minutes=chance.randint(5, 300))
        yield from _said(chance, who, at, _first_channel(chance, who), "thanks", ticket)


def _billing(chance: random.Random, customer: Customer, at: dt.datetime, ticket: int | None) -> Iterator[Contact]:
    who = customer.members[0]
    channel = "email" if "email" in who.points and chance.random() < 0.6 else "phone"
    yield from _said(chance, who, at, channel, "bill_question", ticket)
    if channel == "email":
        yield from _said(
            chance, who, at + dt.timedelta(hours=chance.randint(2, 20)), "email", "bill_answer", ticket, out=True
        )


def _campaign(chance: random.Random, customer: Customer, at: dt.datetime, ticket: int | None) -> Iterator[Contact]:
    who = customer.members[0]
    yield from _said(chance, who, at, "sms", "campaign", ticket, out=True)
    if chance.random() < 0.25:
        yield from _said(chance, who, at + dt.timedelta(hours=chance.randint(1, 30)), "phone", "campaign_call", ticket)


def _branch(chance: random.Random, customer: Customer, at: dt.datetime, ticket: int | None) -> Iterator[Contact]:
    who = customer.members[0]
    yield from _said(chance, who, at, "branch", "branch_visit", ticket)
    yield from _said(chance, who, at + dt.timedelta(minutes=20), "sms", "branch_done", ticket, out=True)


def _question(chance: random.Random, customer: Customer, at: dt.datetime, ticket: int | None) -> Iterator[Contact]:
    who = chance.choice(customer.members)
    channel = chance.choice(("chat", "whatsapp", "whatsapp"))
    yield from _said(chance, who, at, channel, "question", ticket)
    yield from _said(chance, who, at + dt.timedelta(minutes=chance.randint(2, 15)), channel, "answer", ticket, out=True)


def _social(chance: random.Random, customer: Customer, at: dt.datetime, ticket: int | None) -> Iterator[Contact]:
    who = next((each for each in customer.members if "social" in each.points), customer.members[0])
    channel = "social" if "social" in who.points else "whatsapp"
    yield from _said(chance, who, at, channel, "grumble", ticket)
    yield from _said(chance, who, at + dt.timedelta(minutes=chance.randint(9, 70)), channel, "sorry", ticket, out=True)


STORIES: tuple[Story, ...] = (_fault, _billing, _campaign, _branch, _question, _social)
WEIGHTS = (5, 4, 3, 1, 4, 2)


def _bills(customer: Customer, now: dt.datetime) -> Iterator[Contact]:
    """A message each month that the bill is there."""
    who = customer.members[0]
    chance = random.Random(customer.home.number + "bill")
    first = (now - dt.timedelta(days=DAYS)).astimezone(ISTANBUL)
    for month in range(first.month, first.month + 13):
        at = dt.datetime(first.year + (month - 1) // 12, (month - 1) % 12 + 1, BILL_DAY, 9, 0, tzinfo=ISTANBUL)
        if at >= first:
            channel = "sms" if _point(who, "sms") else "email"
            yield from _said(chance, who, at, channel, "bill", None, out=True, amount=chance.randint(290, 780))


def _today(customer: Customer, now: dt.datetime) -> Iterator[Contact]:
    """What Mehmet Yılmaz did before he takes the telephone: an e-mail this morning, a public complaint a moment ago."""
    who = customer.members[0]
    chance = random.Random(0)
    yield from _said(chance, who, now - dt.timedelta(hours=3), "email", "story_email", None)
    yield from _said(chance, who, now - dt.timedelta(minutes=5), "social", "story_tweet", None)


# --- from stories to contacts -----------------------------------------------------------------------------------------


def _said(
    chance: random.Random,
    who: Member,
    at: dt.datetime,
    channel: str,
    what: str,
    ticket: int | None,
    *,
    out: bool = False,
    opens: bool = False,
    closes: bool = False,
    **facts: object,
) -> Iterator[Contact]:
    """One contact in the person's language; none when he has no such way to be reached."""
    if _point(who, channel) is None:
        return
    subject, text = chance.choice(SAID[what][who.person.language])
    author = chance.choice(AUTHORS) if channel == "phone" or (out and channel not in ("sms", "branch")) else ""
    yield Contact(
        at=at.astimezone(dt.UTC), member=who, channel=channel, direction="out" if out else "in", subject=subject,
        text=text.format(name=who.person.name, **facts), author=author, ticket=ticket, opens=opens, closes=closes,
    )  # fmt: skip


def _point(who: Member, channel: str) -> str | None:
    """The contact point that he uses on a channel."""
    return who.points.get(channel if channel in ("email", "social", "chat") else "phone")


def _first_channel(chance: random.Random, who: Member) -> str:
    wanted = chance.choices(("whatsapp", "social", "chat", "email"), (4, 3, 3, 2))[0]
    return wanted if _point(who, wanted) else "phone"


def _days(chance: random.Random, now: dt.datetime) -> Iterator[dt.datetime]:
    """When stories began, a day apart at least; the last three days are quiet, so that no fault is still open."""
    for ago in range(DAYS - 1, 3, -1):
        day = (now - dt.timedelta(days=ago)).astimezone(ISTANBUL)
        if chance.random() < STORIES_A_YEAR / DAYS * SEASON[day.month - 1]:
            yield day.replace(hour=chance.choice(BUSY_HOURS), minute=chance.randrange(60), second=chance.randrange(60))


def _tickets(customer: Customer, happened: Sequence[Contact], count: int) -> dict[int, Row]:
    """The closed tickets of a customer's faults, by the fault; their numbers follow `count`."""
    rows: dict[int, Row] = {}
    for opening in happened:
        if not opening.opens or opening.ticket is None:
            continue
        about = [each for each in happened if each.ticket == opening.ticket]
        closing = next((each for each in about if each.closes), about[-1])
        digits = str(count + len(rows))
        rows[opening.ticket] = {
            "id": uuid7(opening.at), "number": f"{digits}{check_digit(digits)}", "subscription_id": customer.subscription,
            "party_id": opening.member.party, "matter": "fault", "state": "closed", "channel": "phone",
            "text": opening.text, "contacts": sum(each.channel == "phone" for each in about),
            "opened_at": opening.at, "closed_at": closing.at,
        }  # fmt: skip
    return rows


def _row(customer: Customer, contact: Contact, tickets: Mapping[int, Row], count: int) -> Row:
    ticket = tickets.get(contact.ticket) if contact.ticket is not None else None
    return {
        "id": uuid7(contact.at), "channel_id": contact.channel, "direction": contact.direction,
        "contact_point_id": _point(contact.member, contact.channel), "party_id": contact.member.party,
        "subscription_id": customer.subscription, "ticket_id": ticket["id"] if ticket else None,
        "external_id": f"demo-{count}", "subject": contact.subject, "text": contact.text, "author": contact.author,
        "at": contact.at,
    }  # fmt: skip
