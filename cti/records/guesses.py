"""Wrong answers, counted where every node sees them: by the number that calls, the number it dialled, the customer asked about, and all.

How many are heard and for how long is the table SLOW in cti.proof. A right answer takes back what was counted against its own customer,
never what was counted against a number or a trunk: somebody's own customer number is no way to go on guessing at his neighbour's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import BindParameter, String, Table, bindparam, case, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti import numbers
from cti.db import Base
from cti.events import GuessingAlarmed
from cti.ledger import append
from cti.proof import SLOW
from cti.records.effects import take_turn

NOBODY = "-"  # a miss is counted against him: it costs what a hit costs, and he is never slowed


class GuessCount(Base):
    """Wrong answers of one number, trunk or customer since the first of them. See proof.Slow for when it is forgotten."""

    __tablename__ = "guesses"

    key: Mapped[str] = mapped_column(
        String(100), primary_key=True
    )  # number:+90… | trunk:+90… | subscription:<id of the household, party or subscription> | all:
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

    def since_s(self, now: dt.datetime) -> float:
        return (now - self.since).total_seconds()


COUNTS = cast(Table, GuessCount.__table__)
KEYS = (
    "number",
    "subscription",
    "trunk",
    "all",
)  # in this order everywhere, so that nodes never wait for one another in a ring
STANDING = select(COUNTS).where(or_(*(COUNTS.c.key == bindparam(each) for each in KEYS)))
FORGIVE = delete(COUNTS).where(COUNTS.c.key == bindparam("wanted"))
ALARMED = update(COUNTS).where(COUNTS.c.key == bindparam("wanted")).values(alarmed_at=bindparam("at"))


def may_try(session: Session, *, number: str | None, did: str, customer: str | None, now: dt.datetime) -> bool:
    """Whether an answer is heard at all. One query whatever stands there. `number` is E.164 or None (withheld), `customer` is
    Claim.customer, None while nobody knows whom it is about.

    From here to the end of the piece of work nobody else asks for this number or this customer, so a thousand answers at the same moment
    are heard one after the other: ask, check and count in the same one, and before anything is appended to the ledger.
    """
    keys = _keys(number, did, customer)
    for scope in ("number", "subscription"):
        take_turn(session, keys[scope])
    counts = [_Count(*row) for row in session.connection().execute(STANDING, keys)]
    known = (each for each in counts if each.key != _key("subscription", NOBODY))
    return all(SLOW[each.scope].may_try(each.count, each.since_s(now)) for each in known)


def wrong(session: Session, *, number: str | None, did: str, customer: str | None, now: dt.datetime) -> None:
    """Count one wrong answer, and raise the alarm where it is due. The same statements whether or not there is such a customer."""
    for scope, key in _keys(number, did, customer).items():
        if not key:
            continue  # withheld: the caller knows that himself, so that it shows tells him nothing
        counted = _count(session, scope, key, now)
        alarmed_s = (now - counted.alarmed_at).total_seconds() if counted.alarmed_at else None
        if key != _key("subscription", NOBODY) and SLOW[scope].is_alarming(counted.count, alarmed_s):
            _alarm(session, counted, now)


def right(session: Session, *, customer: str) -> None:
    """The customer proved who he is: what strangers guessed at him no longer keeps him waiting."""
    session.connection().execute(FORGIVE, {"wanted": _key("subscription", customer)})


def forget(session: Session, now: dt.datetime) -> int:
    """Delete the counts that count no longer. Returns how many."""
    longest = max(slow.forgotten_s for slow in SLOW.values())
    old = COUNTS.c.since <= now - dt.timedelta(seconds=longest)
    return session.connection().execute(delete(COUNTS).where(old)).rowcount


def slowed_s(session: Session, customer: str, now: dt.datetime) -> float:
    """For how long the customer's answers by keys are not heard from now on; 0.0: they are."""
    row = session.get(GuessCount, _key("subscription", customer))
    return 0.0 if row is None else SLOW["subscription"].wait_s(row.count, (now - row.since).total_seconds())


def _keys(number: str | None, did: str, customer: str | None) -> dict[str, str]:
    return {
        "number": _key("number", number) if number else "",
        "subscription": _key("subscription", customer or NOBODY),
        "trunk": _key("trunk", did[:40]),
        "all": _key("all", ""),
    }


def _key(scope: str, subject: str) -> str:
    return f"{scope}:{subject}"


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


def _count(session: Session, scope: str, key: str, now: dt.datetime) -> _Count:
    connection = session.connection()
    stale = now - dt.timedelta(seconds=SLOW[scope].forgotten_s)
    values = {"wanted": key, "at": now, "stale": stale}
    return _Count(*connection.execute(ONE_MORE[connection.dialect.name], values).one())


def _alarm(session: Session, counted: _Count, now: dt.datetime) -> None:
    session.connection().execute(ALARMED, {"wanted": counted.key, "at": now})
    subject = counted.key.partition(":")[2]
    append(session, GuessingAlarmed(
        scope=counted.scope, subject=numbers.mask(subject) if counted.scope == "number" else subject, count=counted.count,
        window_s=SLOW[counted.scope].window(counted.since_s(now)).within_s,
    ), now=now)  # fmt: skip
