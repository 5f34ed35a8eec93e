"""Lines that the network says are down, one by one; outages of whole areas are in outages.py.

A line that is down takes with it what hangs on it (`Subscription.depends_on_id`): a landline over DSL is dead when the DSL is. Who
asks whose line is down is told by one query, which takes as long for digits that fit as for digits that do not.
"""

from __future__ import annotations

import datetime as dt
import re

from sqlalchemy import ForeignKey, Index, Integer, String, bindparam, exists, func, literal_column, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from cti import ledger
from cti.db import Base
from cti.events import LineStateChanged
from cti.records.outages import DEPENDS_MAX, Outage
from cti.records.parties import Subscription

STATES = ("up", "down")
SOURCE_MAX = 64
NARROW_WITHIN = dt.timedelta(hours=24)  # trouble that began longer ago is no reason to ask every stranger about it
ENDING_MAX = 20  # one is needed, two are too many already
LAST_FOUR = re.compile(r"[0-9]{4}")
NO_DIGITS = "-"  # what no line number ends with: whoever keyed nonsense waits as long as everybody


class LineState(Base):
    """What the network said last of one subscription's line."""

    __tablename__ = "line_states"
    __table_args__ = (Index("ix_line_states_state", "state"),)

    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), primary_key=True)
    state: Mapped[str] = mapped_column(String(8))  # up | down
    since: Mapped[dt.datetime]
    source: Mapped[str] = mapped_column(String(64))


# --- what the network says --------------------------------------------------------------------------------------------


def set_state(
    session: Session, *, subscription: str, state: str, since: dt.datetime, source: str, now: dt.datetime
) -> bool:
    """The line went down, or is up again, since then (`now` when that lies ahead: clocks differ). False: this was known, or is older
    than what is known. LookupError when there is no such subscription; ValueError for another state."""
    if state not in STATES:
        raise ValueError(f"expected a state of {', '.join(STATES)}, got {state[:32]!r}")
    if session.get(Subscription, subscription) is None:
        raise LookupError(f"expected the id of a subscription, got {subscription[:64]!r}")
    since = min(since, now)
    row = _row(session, subscription, since)
    if row.state == state or since < row.since:
        return False
    row.state, row.since, row.source = state, since, source[:SOURCE_MAX]
    changed = LineStateChanged(
        subscription=subscription, state=state, since=since.astimezone(dt.UTC).isoformat(), source=row.source
    )
    ledger.append(session, changed, now=now)
    return True


def named(session: Session, subscription: str) -> str:
    """The id of a subscription that is named by its id or by its number on the bill; LookupError when there is none."""
    query = select(Subscription.id).where((Subscription.id == subscription) | (Subscription.number == subscription))
    found = session.scalars(query.order_by(Subscription.id != subscription).limit(1)).first()
    if found is None:
        raise LookupError(f"expected the id or the number of a subscription, got {subscription[:64]!r}")
    return found


def _row(session: Session, subscription: str, since: dt.datetime) -> LineState:
    """The line's row, locked; a line of which nothing was ever said is up."""
    row = session.get(LineState, subscription, with_for_update=True)
    if row is not None:
        return row
    row = LineState(subscription_id=subscription, state="up", since=since, source="")
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:  # another node heard of it in between
        return session.get_one(LineState, subscription, with_for_update=True)
    return row


# --- which lines are down ---------------------------------------------------------------------------------------------

IS_DOWN = (LineState.state == "down") & (LineState.since <= bindparam("now"))
IS_OPEN = Outage.closed_at.is_(None) & (Outage.started_at <= bindparam("now"))

BY_LINE = select(LineState.subscription_id.label("id"), literal_column("0", Integer).label("depth")).where(IS_DOWN)
HIT = BY_LINE.cte("hit", recursive=True)
HIT = HIT.union(
    select(Subscription.id, HIT.c.depth + 1).where(Subscription.depends_on_id == HIT.c.id, HIT.c.depth < DEPENDS_MAX)
)
ALL_DOWN = select(HIT.c.id).distinct()

# In the very words of the index ix_subscriptions_last_four, or no engine uses it.
LAST_DIGITS = literal_column("substr(subscriptions.line_number, length(subscriptions.line_number) - 3)", String)
# From the few lines with these digits up to what carries them, and not from the many that are down to what they carry: so it takes as
# long in an outage of a hundred thousand lines as with one. A ring of services ends by its depth.
FITTING = (
    select(Subscription.id.label("line"), Subscription.id.label("id"), literal_column("0", Integer).label("depth"))
    .where(bindparam("digits", type_=String) == LAST_DIGITS, Subscription.status != "ended")
    .cte("carried", recursive=True)
)
CARRIED = FITTING.union(
    select(FITTING.c.line, Subscription.depends_on_id, FITTING.c.depth + 1).where(
        Subscription.id == FITTING.c.id, Subscription.depends_on_id.is_not(None), FITTING.c.depth < DEPENDS_MAX
    )
)
CARRIER = aliased(Subscription)
IN_OUTAGE = exists().where(
    IS_OPEN, CARRIER.area != "", Outage.area == CARRIER.area, (Outage.kind == "") | (Outage.kind == CARRIER.kind)
)
ITSELF_DOWN = exists().where(LineState.subscription_id == CARRIER.id, IS_DOWN)
ENDING_WITH = (
    select(Subscription)
    .where(
        Subscription.id.in_(
            select(CARRIED.c.line).join(CARRIER, CARRIER.id == CARRIED.c.id).where(IN_OUTAGE | ITSELF_DOWN)
        )
    )
    .order_by(Subscription.number)
    .limit(ENDING_MAX)
)
NEW_OUTAGES = (
    select(Outage.area, Outage.started_at.label("at"))
    .where(IS_OPEN, Outage.started_at > bindparam("since"))
    .order_by(Outage.started_at.desc())
)
NEW_LINES = (
    select(Subscription.area)
    .join(LineState, LineState.subscription_id == Subscription.id)
    .where(IS_DOWN, LineState.since > bindparam("since"))
    .limit(1)
)
# Through every line that went down: not for a call to wait for.
AREAS_OF_NEW_LINES = (
    select(Subscription.area, func.max(LineState.since).label("at"))
    .join(LineState, LineState.subscription_id == Subscription.id)
    .where(IS_DOWN, LineState.since > bindparam("since"))
    .group_by(Subscription.area)
)


def down(session: Session, now: dt.datetime) -> frozenset[str]:
    """The subscriptions whose line the network says is down, and those that hang on one; by id."""
    return frozenset(session.scalars(ALL_DOWN, {"now": now}))


def lines_down(session: Session, now: dt.datetime, *, area: str = "") -> bool:
    """Whether a stranger is to be asked if he calls about a line that is down: one went down, or an outage began, within
    NARROW_WITHIN and is not over. With `area` (as outages name it), in that one."""
    since = {"now": now, "since": now - NARROW_WITHIN}
    outages, lines = NEW_OUTAGES.limit(1), NEW_LINES
    if area:
        outages, lines = outages.where(Outage.area == area), lines.where(Subscription.area == area)
    return session.scalar(outages, since) is not None or session.scalar(lines, since) is not None


def areas_down(session: Session, now: dt.datetime) -> tuple[str, ...]:
    """The areas of such outages and lines, the newest trouble first: for the question that names them. "" stands for lines that lie in
    none. It takes the longer the more lines are down, so no call asks it (ivr/named_areas.py does)."""
    since = {"now": now, "since": now - NARROW_WITHIN}
    found = [*session.execute(NEW_OUTAGES, since), *session.execute(AREAS_OF_NEW_LINES, since)]
    return tuple(dict.fromkeys(area for area, _ in sorted(found, key=lambda row: row.at, reverse=True)))


def ending_with(session: Session, last_four: str, now: dt.datetime) -> list[Subscription]:
    """Those that are down now, of their own or by their area, whose line number ends with these digits. One query, the same whatever
    was keyed: every line with these digits is looked at, whether it is down or up."""
    digits = last_four if LAST_FOUR.fullmatch(last_four) else NO_DIGITS
    return list(session.scalars(ENDING_WITH, {"digits": digits, "now": now}))
