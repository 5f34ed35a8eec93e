"""What the tables know at the moment of a call, besides the links themselves: tickets, trouble on the lines, earlier talks."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import CompoundSelect, Row, bindparam, literal, select, union_all
from sqlalchemy.orm import Session

from cti.identity import Confirmed, Evidence, LinkFact, SubscriptionFact, matches
from cti.records.conversations import Conversation
from cti.records.lines import LineState
from cti.records.outages import Outage
from cti.records.tickets import Ticket

CONFIRMED_MAX = 50  # earlier talks on one number that are looked at, the newest; older habits may have changed

# Asked for every call, so they are made once: making one costs more than running it.
TICKET, DOWN = "ticket", "down"
OF_SUBSCRIPTIONS: CompoundSelect[str, str] = union_all(
    select(literal(TICKET).label("what"), Ticket.subscription_id.label("id")).where(
        Ticket.subscription_id.in_(bindparam("with_ticket", expanding=True)), Ticket.state == "open"
    ),
    select(literal(DOWN), LineState.subscription_id).where(
        LineState.subscription_id.in_(bindparam("down", expanding=True)),
        LineState.state == "down",
        LineState.since <= bindparam("now"),
    ),
)
OPEN_OUTAGES = select(Outage.area, Outage.kind).where(
    Outage.area.in_(bindparam("areas", expanding=True)),
    Outage.started_at <= bindparam("now"),
    Outage.closed_at.is_(None),
)
CONFIRMED = (
    select(Conversation.party_id, Conversation.arrived_at)
    .where(Conversation.number == bindparam("value"), Conversation.party_id.is_not(None))
    .order_by(Conversation.arrived_at.desc(), Conversation.id.desc())
    .limit(CONFIRMED_MAX)
)


def evidence(session: Session, value: str, links: Iterable[LinkFact], given: Evidence) -> Evidence:
    """`given` (the time, what the trunk said, what was proved) with what the tables know about the subscriptions that matching `links`
    lead to, and about earlier calls from `value`. Three queries, each by an index."""
    counted = [link for link in links if matches(link, given.now, given.unseen_days)]
    reached = {each.id: each for link in counted for each in link.subscriptions}
    tickets, down = _of_subscriptions(session, reached, given)
    outages = _outages(session, reached.values(), given)
    hit = {id_ for id_, each in reached.items() if any(_hits(outage, each) for outage in outages)}
    talks = session.execute(CONFIRMED, {"value": value})
    return dataclasses.replace(
        given,
        open_tickets=tickets,
        open_outages=with_carried(down | hit, reached),
        confirmed=tuple(Confirmed(party, at) for party, at in talks if party),
    )


def with_carried(down: Collection[str], reached: Mapping[str, SubscriptionFact]) -> frozenset[str]:
    """The services that are down, and those of `reached` that they carry."""
    hit = frozenset(down)
    carried = {id_ for id_, each in reached.items() if each.depends_on in hit}
    return hit if carried <= hit else with_carried(hit | carried, reached)


def _of_subscriptions(
    session: Session, reached: Mapping[str, SubscriptionFact], given: Evidence
) -> tuple[frozenset[str], frozenset[str]]:
    """Those with an open ticket, and those whose line, or what carries it, is down as the network says."""
    if not reached:
        return frozenset(), frozenset()
    carriers = {each.depends_on for each in reached.values() if each.depends_on}
    wanted = {"with_ticket": list(reached), "down": [*reached, *(carriers - reached.keys())], "now": given.now}
    rows = session.execute(OF_SUBSCRIPTIONS, wanted).all()
    return frozenset(row.id for row in rows if row.what == TICKET), frozenset(
        row.id for row in rows if row.what == DOWN
    )


def _outages(session: Session, reached: Iterable[SubscriptionFact], given: Evidence) -> list[Row[str, str]]:
    areas = {each.area for each in reached if each.area}
    return list(session.execute(OPEN_OUTAGES, {"areas": list(areas), "now": given.now})) if areas else []


def _hits(outage: Row[str, str], subscription: SubscriptionFact) -> bool:
    return outage.area == subscription.area and outage.kind in ("", subscription.kind)
