"""What the tables know at the moment of a call, besides the links themselves: tickets, trouble on the lines, earlier talks."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import bindparam, cast, literal, null, select, union_all
from sqlalchemy.orm import Session

from cti.db import UtcDateTime
from cti.identity import Confirmed, Evidence, LinkFact, SubscriptionFact, matches
from cti.prepared import Prepared
from cti.records.conversations import Conversation
from cti.records.lines import LineState
from cti.records.outages import Outage
from cti.records.reach import some
from cti.records.tickets import Ticket

CONFIRMED_MAX = 50  # earlier talks on one number that are looked at, the newest; older habits may have changed

TICKET, DOWN, OUTAGE, TALK = "ticket", "down", "outage", "talk"
NEVER = cast(null(), UtcDateTime)
TALKS = (
    select(
        literal(TALK).label("what"),
        Conversation.party_id.label("who"),
        literal("").label("kind"),
        Conversation.arrived_at.label("at"),
    )
    .where(Conversation.number == bindparam("value"), Conversation.party_id.is_not(None))
    .order_by(Conversation.arrived_at.desc(), Conversation.id.desc())
    .limit(CONFIRMED_MAX)
    .subquery()
)
KNOWN = Prepared(
    union_all(
        select(TALKS.c.what, TALKS.c.who, TALKS.c.kind, TALKS.c.at),
        select(literal(TICKET), Ticket.subscription_id, literal(""), NEVER).where(
            Ticket.subscription_id.in_(bindparam("reached", expanding=True)), Ticket.state == "open"
        ),
        select(literal(DOWN), LineState.subscription_id, literal(""), NEVER).where(
            LineState.subscription_id.in_(bindparam("lines", expanding=True)),
            LineState.state == "down",
            LineState.since <= bindparam("now"),
        ),
        select(literal(OUTAGE), Outage.area, Outage.kind, NEVER).where(
            Outage.area.in_(bindparam("areas", expanding=True)),
            Outage.started_at <= bindparam("now"),
            Outage.closed_at.is_(None),
        ),
    ),
    lambda what, whose, kind, at: (what, whose, kind, at),
)  # fmt: skip


def evidence(session: Session, value: str, links: Iterable[LinkFact], given: Evidence) -> Evidence:
    """`given` (the time, what the trunk said, what was proved) with what the tables know about the subscriptions that matching `links`
    lead to, and about earlier calls from `value`. One query, each of its parts by an index."""
    counted = [link for link in links if matches(link, given.now, given.unseen_days)]
    reached = {each.id: each for link in counted for each in link.subscriptions}
    carriers = {each.depends_on for each in reached.values() if each.depends_on}
    areas = {each.area for each in reached.values() if each.area}
    rows = KNOWN.rows(
        session, value=value, reached=some(reached), lines=some(reached.keys() | carriers),
        areas=some(areas), now=given.now,
    )  # fmt: skip
    outages = [(area, kind) for what, area, kind, _ in rows if what == OUTAGE]
    hit = {id_ for id_, each in reached.items() if any(_hits(outage, each) for outage in outages)}
    return dataclasses.replace(
        given,
        open_tickets=frozenset(each for what, each, _, _ in rows if what == TICKET),
        open_outages=with_carried({each for what, each, _, _ in rows if what == DOWN} | hit, reached),
        confirmed=tuple(Confirmed(party, at) for what, party, _, at in rows if what == TALK),
    )


def with_carried(down: Collection[str], reached: Mapping[str, SubscriptionFact]) -> frozenset[str]:
    """The services that are down, and those of `reached` that they carry."""
    hit = frozenset(down)
    carried = {id_ for id_, each in reached.items() if each.depends_on in hit}
    return hit if carried <= hit else with_carried(hit | carried, reached)


def _hits(outage: tuple[str, str], subscription: SubscriptionFact) -> bool:
    area, kind = outage
    return area == subscription.area != "" and kind in ("", subscription.kind)
