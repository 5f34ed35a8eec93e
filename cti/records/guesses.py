"""Wrong answers, counted where every node sees them: by the number that calls, the number it dialled, the customer asked about, and all.

How many are heard and for how long is the table SLOW in cti.proof; which of its counts an answer has to do with is told by how it came,
see How. A right answer takes back what was counted against its own customer, never what was counted against a number or a trunk:
somebody's own customer number is no way to go on guessing at his neighbour's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import BindParameter, String, Table, bindparam, case, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti import numbers
from cti.db import Base
from cti.events import GuessingAlarmed
from cti.ledger import append
from cti.proof import DAY_S, SLOW
from cti.records.effects import take_turn

NOBODY = "-"  # a miss is counted against him: it costs what a hit costs, and he is never slowed
CUSTOMERS_MAX = 4  # ids of one customer that are counted; who has fewer is filled up with NOBODY
OF_CUSTOMERS = ("subscription", "agent")  # scopes


class How(StrEnum):
    """How an answer came, and so what it is counted by."""

    KEYS = "keys"  # number, subscription, trunk and all
    # Nothing but the last digits of a line: many callers key some that several lines have when an outage is large, and everybody else's
    # proof goes on.
    LAST_FOUR = "last_four"  # last_four, subscription and narrowing
    # Strangers on the telephone keep no agent from asking.
    AGENT = "agent"  # number, agent, trunk and all


class GuessCount(Base):
    """Wrong answers of one number, trunk or customer since the first of them. See proof.Slow for when it is forgotten."""

    __tablename__ = "guesses"

    key: Mapped[str] = mapped_column(
        String(100), primary_key=True
    )  # number:+90… | trunk:+90… | subscription:<id of the household, party or subscription> | all: | … see proof.SLOW
    since: Mapped[dt.datetime]
    count: Mapped[int]
    alarmed_at: Mapped[dt.datetime | None]


@dataclass(frozen=True)
class _Count:
    key: str
    since: dt.datetime
    count: int
    alarmed_at: dt.datetime | None

    @property
    def scope(self) -> str:
        return self.key.partition(":")[0]

    @property
    def subject(self) -> str:
        return self.key.partition(":")[2]

    def since_s(self, now: dt.datetime) -> float:
        return (now - self.since).total_seconds()


COUNTS = cast(Table, GuessCount.__table__)
SLOTS = ("own", *(f"customer_{each}" for each in range(CUSTOMERS_MAX)), "line", "all")
STANDING = select(COUNTS).where(or_(*(COUNTS.c.key == bindparam(each) for each in SLOTS)))
FORGIVE = delete(COUNTS).where(COUNTS.c.key == bindparam("wanted"))
ALARMED = update(COUNTS).where(COUNTS.c.key == bindparam("wanted")).values(alarmed_at=bindparam("at"))


@dataclass(frozen=True)
class _Keys:
    """What one answer is counted by; "" for what it has no count of. In this order everywhere, the customers' in theirs, so that nodes
    never wait for one another in a ring."""

    own: str
    customers: tuple[str, ...]  # CUSTOMERS_MAX of them
    line: str
    all: str

    def __iter__(self) -> Iterator[str]:
        return iter((self.own, *self.customers, self.line, self.all))


def may_try(
    session: Session, *, number: str | None, did: str, customers: Sequence[str], now: dt.datetime, how: How = How.KEYS
) -> bool:
    """Whether an answer is heard at all. One query whatever stands there. `number` is E.164 or None (withheld), `customers` are the ids of
    claims.counted, none while nobody knows whom it is about. What an agent asks is heard unless agents asked this customer too often.

    From here to the end of the piece of work nobody else asks for this number or this customer, so a thousand answers at the same moment
    are heard one after the other: ask, check and count in the same one, and before anything is appended to the ledger.
    """
    keys = _keys(number, did, customers, how)
    _take_turns(session, keys.own, customers)
    counts = [_Count(*row) for row in session.connection().execute(STANDING, dict(zip(SLOTS, keys, strict=True)))]
    known = (each for each in counts if not _is_nobody(each.key) and (how is not How.AGENT or each.scope == "agent"))
    return all(SLOW[each.scope].may_try(each.count, each.since_s(now)) for each in known)


def wrong(
    session: Session, *, number: str | None, did: str, customers: Sequence[str], now: dt.datetime, how: How = How.KEYS
) -> None:
    """Count one wrong answer, and raise the alarm where it is due. The same statements whether or not there is such a customer, and
    however many homes he has."""
    keys = _keys(number, did, customers, how)
    counts = [_count(session, key, now) for key in keys if key]  # withheld: that it shows tells a caller what he knows
    for each in counts:
        if each.scope not in OF_CUSTOMERS and _is_alarming(each, now):
            _alarm(session, each, numbers.mask(number) if number and each.key == keys.own else each.subject, now)
    his = [each for each in counts if each.scope in OF_CUSTOMERS and not _is_nobody(each.key)]
    _alarm_of_customer(session, his, customers, now)


def right(session: Session, *, customers: Sequence[str]) -> None:
    """The customer proved who he is: what was guessed at him no longer keeps him, or an agent who asks him, waiting."""
    for scope in OF_CUSTOMERS:
        for customer in sorted(customers):
            session.connection().execute(FORGIVE, {"wanted": _key(scope, customer)})


def forget(session: Session, now: dt.datetime) -> int:
    """Delete the counts that count no longer. Returns how many."""
    longest = max(slow.forgotten_s for slow in SLOW.values())
    old = COUNTS.c.since <= now - dt.timedelta(seconds=longest)
    return session.connection().execute(delete(COUNTS).where(old)).rowcount


def slowed_s(session: Session, customer: str, now: dt.datetime) -> float:
    """For how long answers by keys about one id of claims.counted are not heard from now on; 0.0: they are."""
    row = session.get(GuessCount, _key("subscription", customer))
    return 0.0 if row is None else SLOW["subscription"].wait_s(row.count, (now - row.since).total_seconds())


def _keys(number: str | None, did: str, customers: Sequence[str], how: How) -> _Keys:
    scope = "agent" if how is How.AGENT else "subscription"
    ids = sorted(customers[:CUSTOMERS_MAX]) + [NOBODY] * (CUSTOMERS_MAX - len(customers))
    of_customers = tuple(_key(scope, each) for each in ids)
    if how is How.LAST_FOUR:  # the withheld ones of one line share a count: else they could walk through all endings
        return _Keys(_key("last_four", number or did[:40]), of_customers, _key("narrowing", did[:40]), "")
    return _Keys(_key("number", number) if number else "", of_customers, _key("trunk", did[:40]), _key("all", ""))


def _take_turns(session: Session, own: str, customers: Sequence[str]) -> None:
    """The number's, then the customer's; as many whether or not there is one, and for callers and agents the same ones."""
    ids = sorted(customers[:CUSTOMERS_MAX])
    turns = [own, *(_key("subscription", each) for each in ids), *[own] * (CUSTOMERS_MAX - len(ids))]
    for each in turns:
        take_turn(session, each)


def _key(scope: str, subject: str) -> str:
    return f"{scope}:{subject}"


def _is_nobody(key: str) -> bool:
    return key in {_key(scope, NOBODY) for scope in OF_CUSTOMERS}


def _one_more(insert: Callable[[Table], postgresql.Insert | sqlite.Insert]) -> Any:
    """One more, in one statement, so that nodes at the same moment lose none. A count that is forgotten begins anew."""
    now: BindParameter[dt.datetime] = bindparam("at", type_=COUNTS.c.since.type)
    stale = COUNTS.c.since <= bindparam("stale", type_=COUNTS.c.since.type)
    return insert(COUNTS).values(key=bindparam("wanted"), since=now, count=1, alarmed_at=None).on_conflict_do_update(
        index_elements=["key"],
        set_={
            "count": case((stale, 1), else_=COUNTS.c.count + 1),
            "since": case((stale, now), else_=COUNTS.c.since),
            "alarmed_at": case((stale, None), else_=COUNTS.c.alarmed_at),
        },
    ).returning(*COUNTS.c)  # fmt: skip


ONE_MORE = {"postgresql": _one_more(postgresql.insert), "sqlite": _one_more(sqlite.insert)}


def _count(session: Session, key: str, now: dt.datetime) -> _Count:
    connection = session.connection()
    stale = now - dt.timedelta(seconds=SLOW[key.partition(":")[0]].forgotten_s)
    values = {"wanted": key, "at": now, "stale": stale}
    return _Count(*connection.execute(ONE_MORE[connection.dialect.name], values).one())


def _is_alarming(counted: _Count, now: dt.datetime) -> bool:
    alarmed_s = (now - counted.alarmed_at).total_seconds() if counted.alarmed_at else None
    return SLOW[counted.scope].is_alarming(counted.count, alarmed_s)


def _alarm_of_customer(session: Session, counts: Sequence[_Count], customers: Sequence[str], now: dt.datetime) -> None:
    """One alarm for him, under the first of his ids that calls for it: not one for each of his homes."""
    alarmed = [each.alarmed_at for each in counts if each.alarmed_at]
    due = [each for each in counts if _is_alarming(each, now)]
    if not due or (alarmed and (now - max(alarmed)).total_seconds() < DAY_S):
        return
    first = min(due, key=lambda each: customers.index(each.subject))
    _alarm(session, first, first.subject, now)


def _alarm(session: Session, counted: _Count, subject: str, now: dt.datetime) -> None:
    session.connection().execute(ALARMED, {"wanted": counted.key, "at": now})
    append(session, GuessingAlarmed(
        scope=counted.scope, subject=subject, count=counted.count,
        window_s=SLOW[counted.scope].window(counted.since_s(now)).within_s,
    ), now=now)  # fmt: skip
