from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cti import auth, numbers
from cti.db import Base, Database, sync_session
from cti.demo import company, history, people
from cti.identity import Outcome
from cti.records import contact_points, outages, parties, timeline
from cti.records.parties import Party
from cti.records.tickets import Ticket, by_number, check_digit_ok, open_once
from cti.records.timeline import Interaction

LOAD_MAX_S = 3.0
EXPECTED = {
    "05325550123": Outcome.UNIQUE,
    "05335550145": Outcome.UNIQUE,
    "02125550101": Outcome.UNIQUE,
    "05365550161": Outcome.UNIQUE,
    "02125550300": Outcome.UNIQUE,
    "02165550200": Outcome.AMBIGUOUS,
    "+493023125014": Outcome.UNIQUE,
    "05425559999": Outcome.NONE,
    "anonymous": Outcome.WITHHELD,
}


@pytest.fixture
def loaded(tmp_path: Path, now: dt.datetime) -> str:
    """The address of a database with the company in it."""
    url = f"sqlite:///{tmp_path / 'demo.db'}"
    with sync_session(url) as session:
        Base.metadata.create_all(session.connection())
        assert company.load(session, now=now, password_hash="x")
    return url


def contents(session: Session) -> list[tuple[object, ...]]:
    query = select(Interaction.channel_id, Interaction.direction, Interaction.subject, Interaction.text, Interaction.at)
    return [tuple(row) for row in session.execute(query.order_by(Interaction.at, Interaction.external_id))]


async def test_the_company_is_loaded_once_and_quickly(db: Database, now: dt.datetime) -> None:
    began = time.monotonic()
    assert await db.work(company.load, now=now, password_hash="x")
    assert time.monotonic() - began < LOAD_MAX_S
    assert not await db.work(company.load, now=now, password_hash="x")
    assert await db.read(lambda session: session.scalar(select(func.count(Party.id)))) == sum(
        len(home.people) for home in people.homes()
    )


def test_the_same_moment_gives_the_same_year(loaded: str, tmp_path: Path, now: dt.datetime) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    with sync_session(other) as session:
        Base.metadata.create_all(session.connection())
        company.load(session, now=now, password_hash="y")
        second = contents(session)
    with sync_session(loaded) as session:
        assert contents(session) == second


def test_every_demo_caller_is_what_his_label_says(loaded: str, now: dt.datetime) -> None:
    assert {caller.number for caller in company.demo_callers()} == set(EXPECTED)
    with sync_session(loaded) as session:
        for number, outcome in EXPECTED.items():
            found = contact_points.identify(session, numbers.parse(number, "TR"), now)
            assert found.outcome is outcome, number


def test_the_household_is_reached_by_landline_and_both_mobiles(loaded: str, now: dt.datetime) -> None:
    with sync_session(loaded) as session:
        reached = {
            frozenset(contact_points.identify(session, numbers.parse(number, "TR"), now).subscriptions)
            for number in ("0212 555 01 01", "0532 555 01 23", "+90 533 555 01 45")
        }
        assert len(reached) == 1
        assert len(next(iter(reached))) == 2
        landline = session.scalars(select(parties.Subscription).filter_by(line_number="+902125550101")).one()
        assert landline.area == "Kadıköy-3"
        assert session.get_one(parties.Subscription, landline.depends_on_id).kind == "dsl"


def test_only_one_demo_caller_is_in_the_outage(loaded: str, now: dt.datetime) -> None:
    with sync_session(loaded) as session:
        for number, hit in (("05365550161", True), ("05325550123", False)):
            found = contact_points.identify(session, numbers.parse(number, "TR"), now)
            told = outages.hitting(session, list(found.subscriptions), now)
            assert [each.estimate_at for each in told] == ([now + dt.timedelta(hours=2)] if hit else [])


def test_a_year_on_every_channel_ends_with_the_tweet_of_five_minutes_ago(loaded: str, now: dt.datetime) -> None:
    with sync_session(loaded) as session:
        channels = Counter(row[0] for row in contents(session))
        assert set(channels) == {channel.id for channel in timeline.SHIPPED}
        assert 1200 < channels.total() < 1900
        first, last = session.execute(select(func.min(Interaction.at), func.max(Interaction.at))).one()
        assert now - dt.timedelta(days=366) < first < now - dt.timedelta(days=340)
        assert last == now - dt.timedelta(minutes=5)
        mehmet = session.scalars(select(Party).filter_by(name="Mehmet Yılmaz")).one()
        newest = timeline.entries(session, parties=[mehmet.id], limit=2)
        assert [entry.channel for entry in newest] == ["social", "email"]


def test_past_faults_are_closed_tickets_and_new_numbers_go_on_after_them(loaded: str, now: dt.datetime) -> None:
    with sync_session(loaded) as session:
        past = session.scalars(select(Ticket)).all()
        assert len(past) > 40
        assert all(check_digit_ok(ticket.number) and ticket.state == "closed" for ticket in past)
        assert all(ticket.opened_at < ticket.closed_at < now for ticket in past if ticket.closed_at)
        new = open_once(
            session, subscription=past[0].subscription_id, party=None, matter="fault", channel="phone", conversation=None, now=now
        )  # fmt: skip
        assert new.new
        assert by_number(session, new.number) is not None


def test_winter_breaks_more_than_early_summer() -> None:
    assert min(history.SEASON[month] for month in (0, 1, 11)) > max(history.SEASON[month] for month in (4, 5))


def test_everybody_can_sign_in(loaded: str) -> None:
    with sync_session(loaded) as session:
        users = {row.name: (row.role, row.agent) for row in session.scalars(select(auth.UserRow))}
    agents = {f"agent{phone}": ("agent", phone) for phone in ("1001", "1002", "1003", "1004")}
    assert users == agents | {"supervisor": ("supervisor", ""), "admin": ("admin", "")}


def test_every_number_is_one_that_could_be_given_out_and_has_one_home() -> None:
    written = [
        number
        for home in people.homes()
        for number in (home.line, *(person.mobile for person in home.people))
        if number
    ]
    assert len(set(written)) == len(written)
    for number in (*written, people.CARETAKER, company.DID):
        assert numbers.parse(number, "TR").e164 == number


def test_labels_are_in_both_languages_and_every_queue_knows_every_agent() -> None:
    for caller in company.demo_callers():
        assert all(caller.label[language] and caller.expect[language] for language in ("tr", "en"))
    for members in company.QUEUES.values():
        assert {phone for phone, _ in members} == {agent.phone for agent in company.AGENTS}
