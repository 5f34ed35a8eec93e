"""Who calls and how sure that is, as a card says it: also while it changes by itself, and always the same as after a reload."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import pytest_asyncio

from cti import ledger
from cti.events import (
    GuessingAlarmed,
    InteractionsRelinked,
    LinkDisputed,
    LinkMade,
    LinkProposalSettled,
    LinkProposed,
    LinkVerified,
    MessageSettled,
    ProofGiven,
    ProofRefused,
)
from cti.records import contact_points, links, proposals, timeline
from cti.records.conversations import Conversation
from cti.records.parties import Party
from screenpop import board, who
from screenpop.protocol import Evidence
from tests.fakes import company, story
from tests.fakes.live_desk import LiveDesk

STRANGE = "+905421112233"
RING = [{"flow": "queues", "intent": "fault"}, {"fact": "DeviceRinging", "agent": "zeynep"}]
ANSWERED = {"fact": "DeviceAnswered", "agent": "zeynep"}
POINT, LINK, CALL, LINE = "point", "link", "call", "line"
SHOWN = frozenset((POINT, LINK, CALL, LINE))
MADE = LinkMade(
    link="new",
    contact_point=POINT,
    party="x",
    household=None,
    subscription=None,
    role="user",
    source="agent",
    by="zeynep",
)
PROPOSED = LinkProposed(
    proposal="p", contact_point=POINT, party="x", household=None, subscription=None, role="user", reason="agent"
)


@pytest_asyncio.fixture
async def ringing(desk: LiveDesk) -> LiveDesk:
    """Somebody whom nobody knows talks to Zeynep, and Ali's birth date is known."""

    def birth(session):
        session.query(Party).where(Party.name == "Ali Yılmaz").one().birth_date = "1980-12-31"

    await desk.teller.db.work(birth)
    await desk.teller.tell([{"flow": "arrives", "number": STRANGE}, *RING, ANSWERED])
    return desk


def shown(desk: LiveDesk) -> Any:
    (card,) = desk.pages["zeynep"].seat["cards"]
    return card["identity"]


async def prove(desk: LiveDesk, factor: str, answer: str) -> None:
    await desk.live(desk.teller.command("prove", by="zeynep", value=factor, text=answer))


# --- which parts of a card an event changes ---


@pytest.mark.parametrize(
    ("event", "parts"),
    [
        (PROPOSED, {board.SURE}),
        (LinkProposalSettled(proposal="p", contact_point=POINT, state="accepted", by="zeynep"), {board.SURE}),
        (MADE, {board.SURE}),
        (LinkVerified(link=LINK, method="sms", by="sms"), {board.SURE}),
        (LinkDisputed(link=LINK, reason="not_theirs", by="zeynep"), {board.SURE}),
        (InteractionsRelinked(link="other", contact_point=POINT, party="x", count=3), {board.HISTORY}),
        (ProofGiven(conversation=CALL, factor="birth_date", factors=(), level=2, subscription=None), {board.SURE}),
        (ProofRefused(conversation=CALL, factor="birth_date", why="wrong"), {board.SURE}),
        (ProofGiven(conversation="another", factor="birth_date", factors=(), level=2, subscription=LINE), set()),
        (GuessingAlarmed(scope="subscription", subject=LINE, count=5, window_s=60), set()),
        (MessageSettled(message="m", channel="sms", contact_point=POINT, purpose="link", state="sent"), set()),
        (LinkVerified(link="of another number", method="sms", by="sms"), set()),
    ],
    ids=lambda value: getattr(value, "type", ""),
)  # fmt: skip
def test_an_event_changes_no_more_of_a_card_than_it_tells(event, parts):
    assert board.changed_parts(event, CALL, SHOWN) == parts


# --- pushed is what a reload shows ---


async def test_answers_raise_the_level_on_the_open_card(ringing):
    await prove(ringing, "customer_number", "1000123")
    assert (shown(ringing)["level"], shown(ringing)["outcome"], shown(ringing)["proof"]) == (
        1,
        "unique",
        ["customer_number"],
    )
    assert shown(ringing)["withheld"] == ["hear_bill", "hear_address", "change_data", "link_number"]
    await prove(ringing, "birth_date", "1.1.1970")
    assert shown(ringing)["level"] == 1
    await prove(ringing, "birth_date", "31.12.1980")
    assert (shown(ringing)["level"], shown(ringing)["proposal"]["state"]) == (2, "open")
    assert shown(ringing)["withheld"] == ["hear_bill", "hear_address", "change_data"], "by the table of levels"


async def test_a_proposal_that_somebody_else_accepts_is_settled_on_the_open_card(ringing):
    await prove(ringing, "customer_number", "1000123")
    await prove(ringing, "birth_date", "31.12.1980")
    proposal, now = shown(ringing)["proposal"]["id"], ringing.teller.now
    await ringing.live(ringing.teller.db.work(proposals.accept, proposal, by="selin", now=now))
    assert shown(ringing)["proposal"]["state"] == "accepted"
    await ringing.live(ringing.teller.command("link", by="zeynep", value=proposal))


async def test_a_link_that_somebody_else_disputes_is_disputed_on_the_open_card(desk):
    await desk.teller.tell([{"flow": "arrives", "number": company.HIS}, *RING])
    await desk.same()
    link = shown(desk)["candidates"][0]["link"]
    work, now = desk.teller.db.work, desk.teller.now
    await desk.live(work(links.dispute, link, reason="not_theirs", by="selin", now=now))
    assert shown(desk)["candidates"][0]["link_state"] == "disputed"
    await desk.live(work(links.end_link, link, reason="not_theirs", by="selin", now=now))
    assert shown(desk)["candidates"][0]["link_state"] == "ended"


async def test_an_agent_s_own_dispute_is_on_his_card_at_once(desk):
    await desk.teller.tell([{"flow": "arrives", "number": company.HIS}, *RING, ANSWERED])
    await desk.same()
    link = shown(desk)["candidates"][0]["link"]
    await desk.live(desk.teller.command("dispute", by="zeynep", value=link))
    assert (shown(desk)["candidates"], shown(desk)["outcome"]) == ([], "none")


async def test_earlier_contacts_that_become_somebody_s_are_so_on_the_open_card(ringing):
    """The message of an hour ago was nobody's; the number is linked and verified while they talk."""
    work, now = ringing.teller.db.work, ringing.teller.now

    def message(session):
        point = contact_points.ensure(session, "phone", STRANGE, now=now)
        session.add(timeline.Interaction(
            id=ledger.uuid7(now), channel_id="sms", direction="in", contact_point_id=point.id, external_id="sms-1", text="Modem",
            at=now - dt.timedelta(hours=1),
        ))  # fmt: skip

    await work(message)
    await prove(ringing, "customer_number", "1000123")
    await prove(ringing, "birth_date", "31.12.1980")
    assert of_sms(ringing) == [("", "Modem")]
    await ringing.live(ringing.teller.command("link", by="zeynep", value=shown(ringing)["proposal"]["id"]))
    (link,) = await ringing.teller.db.read(contact_points.links_to, STRANGE)
    await ringing.live(work(links.verify, link.id, method="sms", by="sms", now=now))
    assert of_sms(ringing) == [("Ali Yılmaz", "Modem")]


def of_sms(desk: LiveDesk) -> list[tuple[str, str]]:
    (card,) = desk.pages["zeynep"].seat["cards"]
    return [(each["party_name"], each["text"]) for each in card["timeline"] if each["channel"] == "sms"]


# --- what stands there ---


async def test_what_the_trunk_said_is_on_the_card(db, now):
    teller = await story.begin(db, now)
    await teller.tell([{"flow": "arrives", "number": company.HIS}, *RING])

    def say(session):
        row = session.query(Conversation).one()
        row.evidence = {"asserted": company.LANDLINE, "attestation": "C"}

    await db.work(say)
    (card,) = (await teller.seat("zeynep")).seat.cards
    assert card.identity.evidence == Evidence(asserted="0212 555 01 01", diverted_from="", attestation="C")


async def test_who_said_nothing_has_no_evidence(db, now):
    teller = await story.begin(db, now)
    await teller.tell([{"flow": "arrives", "number": company.HIS}, *RING])
    (card,) = (await teller.seat("zeynep")).seat.cards
    assert card.identity.evidence is None
    assert card.identity.candidates[0].link_state == "verified"


def row(**given: object) -> Conversation:
    usual = {"outcome": "none", "level": 0, "candidates": [], "proof": None, "party_id": None, "evidence": None}
    return Conversation(**(usual | given))


ALI: dict[str, Any] = {"party": "ali", "household": None, "subscriptions": []}
IDENTIFIERS = ("customer_number", "subscription_number", "landline")


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        (row(), IDENTIFIERS),
        (row(outcome="ambiguous", level=1, candidates=[ALI, ALI]), IDENTIFIERS),
        (row(outcome="unique", level=1, candidates=[ALI]), ("birth_date", *IDENTIFIERS)),
        (row(outcome="ambiguous", level=1, candidates=[ALI, ALI], party_id="ali"), ("birth_date", *IDENTIFIERS)),
        (row(party_id="ali"), ("birth_date", *IDENTIFIERS)),
        (row(outcome="unique", level=2, candidates=[ALI], proof=["customer_number", "birth_date"]), ()),
    ],
)
def test_what_is_asked_next(known, asked):
    assert who.questions(known) == asked
