"""What the tables know beside the links: trouble of one line, of an area, and of what is carried; and who was confirmed when."""

import dataclasses
import datetime as dt

import pytest

from cti.identity import Confirmed, Evidence, LinkFact, Person, SubscriptionFact
from cti.records import parties
from cti.records.conversations import Conversation
from cti.records.evidence import CONFIRMED_MAX, evidence
from cti.records.lines import LineState
from cti.records.parties import Subscription
from cti.records.tickets import Ticket

NOW = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)
HIS = "+905325550123"
FACTS = tuple(
    SubscriptionFact(id=id_, number=id_, kind=kind, area="", holder="p", depends_on=carrier)
    for id_, kind, carrier in (("dsl", "dsl", None), ("phone", "landline", "dsl"), ("alarm", "landline", "phone"))
)
LINK = LinkFact(
    link="l", value=HIS, party="p", people=(Person("p", "Ali"),), subscriptions=FACTS, role="owner", valid_from=NOW
)


def add_subscriptions(session) -> str:
    ali = parties.add_party(session, name="Ali", now=NOW, source="test")
    session.add_all(
        Subscription(id=each.id, number=each.number, kind=each.kind, holder_id=ali.id, depends_on_id=each.depends_on)
        for each in FACTS
    )
    session.flush()
    return ali.id


@pytest.mark.parametrize(
    ("subscription", "state", "begun_h", "down"),
    [
        ("dsl", "down", 1, {"dsl", "phone", "alarm"}),
        ("phone", "down", 1, {"phone", "alarm"}),
        ("phone", "up", 1, set()),
        ("phone", "down", -1, set()),
    ],
)
async def test_a_line_that_the_network_says_is_down_counts_with_all_that_it_carries(
    db, subscription, state, begun_h, down
):
    def ask(session):
        add_subscriptions(session)
        since = NOW - dt.timedelta(hours=begun_h)
        session.add(LineState(subscription_id=subscription, state=state, since=since, source="test"))
        session.add(Ticket(id="t", number="10", subscription_id="dsl", matter="fault", channel="phone", opened_at=NOW))
        session.flush()
        return evidence(session, HIS, [LINK], Evidence(now=NOW, attestation="A"))

    found = await db.work(ask)
    assert found.open_outages == down
    assert found.open_tickets == {"dsl"}
    assert found.attestation == "A"  # what was given stays


async def test_a_service_suffers_from_a_carrier_that_is_another_customer_s(db):
    def ask(session):
        add_subscriptions(session)
        session.add(LineState(subscription_id="dsl", state="down", since=NOW, source="test"))
        session.flush()
        alone = dataclasses.replace(LINK, subscriptions=FACTS[1:2])
        return evidence(session, HIS, [alone], Evidence(now=NOW)).open_outages

    assert "phone" in await db.work(ask)


async def test_confirmed_calls_come_newest_first_and_not_without_end(db):
    def ask(session):
        ali = add_subscriptions(session)
        for count in range(CONFIRMED_MAX + 5):
            session.add(Conversation(
                id=f"c-{count:02d}", channel=f"1.{count}", did="850", number=HIS, number_kind="e164",
                party_id=ali if count % 2 else None, arrived_at=NOW - dt.timedelta(hours=count),
            ))  # fmt: skip
        session.flush()
        return ali, evidence(session, HIS, [LINK], Evidence(now=NOW))

    ali, found = await db.work(ask)
    assert len(found.confirmed) == (CONFIRMED_MAX + 5) // 2
    assert found.confirmed[0] == Confirmed(ali, NOW - dt.timedelta(hours=1))


async def test_a_link_that_no_longer_matches_brings_no_evidence(db):
    def ask(session):
        add_subscriptions(session)
        session.add(Ticket(id="t", number="10", subscription_id="dsl", matter="fault", channel="phone", opened_at=NOW))
        session.flush()
        return evidence(session, HIS, [LINK], Evidence(now=NOW + dt.timedelta(days=40), unseen_days=30))

    assert (await db.work(ask)).open_tickets == frozenset()
