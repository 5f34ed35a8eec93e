"""Links, proposals, a number's life and line states by REST: who may, what is refused, what is written down."""

from __future__ import annotations

import datetime as dt

import pytest
import pytest_asyncio
from sqlalchemy import select

from cti import auth, ledger, links_routes, routes
from cti.db import Database
from cti.events import RecordsRead
from cti.records import contact_points, lines, proposals
from cti.records.contact_points import ContactPoint
from cti.records.conversations import Conversation
from cti.records.outbox import OutMessage
from tests.fakes import company
from tests.fakes.house import FakeHouse, application, browser

NEW = "+905445550199"


@pytest_asyncio.fixture
async def home(db, now):
    return await db.work(company.load, now)


@pytest_asyncio.fixture
async def asking(db, now, home):
    """A program with a token of the role that the test names; its user is a machine."""
    app = application(FakeHouse(db, now), links_routes.router)
    clients = []

    async def of_role(role, **headers):
        token = await db.work(auth.add_token, name=role, role=role, now=now)
        clients.append(browser(app, authorization=f"Bearer {token}", **headers))
        return clients[-1]

    yield of_role
    for client in clients:
        await client.aclose()


@pytest_asyncio.fixture
async def agent(asking):
    return await asking("agent")


@pytest_asyncio.fixture
async def offer(db, now, home):
    """Ayşe proved who she is, from a mobile that nobody knows."""

    def prepare(session):
        session.add(Conversation(
            id="c", channel="c", did="850", number=NEW, number_kind="e164", level=2, arrived_at=now,
            proof=["customer_number", "birth_date"],
            candidates=[{"party": home.ayse, "household": home.household, "subscriptions": [home.dsl]}],
        ))  # fmt: skip
        point = contact_points.ensure(session, "phone", NEW, now=now)
        return proposals.propose(
            session, contact_point=point.id, party=home.ayse, role="user", reason="keyed", conversation="c", now=now
        )

    return await db.work(prepare)


async def reads(db: Database) -> list[tuple[str, str, str]]:
    events = [each.event for each in await db.read(ledger.since, 0)]
    return [(each.user, each.what, each.subject) for each in events if isinstance(each, RecordsRead)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "links?value=1"), ("POST", "links"), ("DELETE", "links/x"), ("POST", "links/x/verify"),
        ("POST", "links/x/dispute"), ("GET", "numbers/1/life"), ("GET", "link-proposals"),
        ("GET", "link-proposals/counts"), ("POST", "link-proposals/x/accept"), ("POST", "link-proposals/x/refuse"),
        ("PUT", "lines/x/state"),
    ],
)  # fmt: skip
async def test_nobody_asks_without_being_signed_in(db, now, method, path):
    async with browser(application(FakeHouse(db, now), links_routes.router)) as stranger:
        assert (await stranger.request(method, f"/api/v1/{path}")).status_code == 401


# --- links ---


async def test_a_link_is_made_shown_and_ended(agent, home):
    asked = {"value": "0533 999 88 77", "party": home.ali, "role": "user"}
    made = await agent.post("/api/v1/links", json=asked)
    assert made.status_code == 201
    (shown,) = (await agent.get("/api/v1/links", params={"value": "+905339998877"})).json()
    assert (shown["link"], shown["party"], shown["source"]) == (made.json()["id"], home.ali, "api")
    assert (await agent.delete(f"/api/v1/links/{shown['link']}")).status_code == 204
    assert (await agent.get("/api/v1/links", params={"value": "+905339998877"})).json() == []
    assert (await agent.delete("/api/v1/links/no-such")).status_code == 404


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("phone", "0216/555 01 99", "+902165550199"), ("email", "Ali@Example.com", "ali@example.com"),
        ("social", "@ali", "@ali"), ("chat", "visitor 12", "visitor 12"), ("postal", " Moda Cad. 1 ", "Moda Cad. 1"),
        ("telegram", "ali/öz", "ali/öz"),
    ],
)  # fmt: skip
async def test_contact_points_of_every_kind_are_linked_and_have_a_life(agent, home, kind, value, form):
    asked = {"kind": kind, "value": value, "party": home.ayse, "role": "owner"}
    assert (await agent.post("/api/v1/links", json=asked)).status_code == 201
    life = (await agent.get(f"/api/v1/numbers/{value}/life", params={"kind": kind})).json()
    assert (life["value"], life["links"][-1]["whom"]) == (form, "Ayşe Yılmaz")


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": "not a number", "party": "x", "role": "user"},
        {"kind": "email", "value": "ali", "party": "x", "role": "user"},
        {"value": "0533 999 88 77", "role": "user"},
        {"value": "0533 999 88 77", "party": "x", "subscription": "y", "role": "user"},
        {"value": "0533 999 88 77", "party": "x", "role": "friend"},
    ],
)
async def test_a_link_that_makes_no_sense_is_refused(agent, wrong):
    assert (await agent.post("/api/v1/links", json=wrong)).status_code == 422


async def test_a_link_to_nobody_is_a_conflict(agent):
    asked = {"value": "0533 999 88 77", "party": "no-such", "role": "user"}
    assert (await agent.post("/api/v1/links", json=asked)).status_code == 409


async def test_a_link_is_disputed_and_verified_and_its_number_tells_it(db, agent, home):
    (shown,) = (await agent.get("/api/v1/links", params={"value": company.HIS})).json()
    link = f"/api/v1/links/{shown['link']}"
    assert (await agent.post(f"{link}/dispute", json={"reason": "not his"})).json() == {"changed": True}
    assert (await agent.post(f"{link}/dispute", json={})).json() == {"changed": False}
    assert (await agent.post(f"{link}/verify", json={"method": "document"})).json() == {"changed": True}
    assert (await agent.post(f"{link}/verify", json={"method": "telepathy"})).status_code == 422
    assert (await agent.post("/api/v1/links/no-such/verify", json={"method": "api"})).status_code == 404
    life = (await agent.get("/api/v1/numbers/0532 555 01 23/life")).json()
    assert [each["type"] for each in life["events"]] == ["link.made", "link.disputed", "link.verified"]
    assert [(each["state"], each["method"], each["verified_by"]) for each in life["links"]] == [
        ("verified", "document", "agent")
    ]
    assert (await reads(db))[-1] == ("agent", "number", company.HIS)


@pytest_asyncio.fixture
async def sitting(db, now, home):
    """Somebody at a page, in the role that the test names."""
    app = application(FakeHouse(db, now), links_routes.router, routes.router)
    clients = []

    def prepare(session, role):
        user = auth.add_user(
            session, name=role, display_name=role, role=role, agent="", password_hash="none", language="tr", now=now
        )
        return auth.open_session(session, user, idle_s=1800, max_s=9000, now=now)

    async def of_role(role):
        clients.append(browser(app))
        clients[-1].cookies.set(auth.cookie_name("http"), await db.work(prepare, role))
        return clients[-1]

    yield of_role
    for client in clients:
        await client.aclose()


@pytest.mark.parametrize(("role", "may"), [("agent", False), ("supervisor", True), ("admin", True)])
async def test_an_agent_at_a_page_neither_verifies_nor_sets_pins(db, sitting, home, role, may):
    somebody = await sitting(role)
    asked = {"value": NEW, "party": home.ali, "role": "user", "state": "verified"}
    (link,) = await db.read(contact_points.links_to, company.HIS)
    done = [
        await somebody.post("/api/v1/links", json=asked),
        await somebody.post(f"/api/v1/links/{link.id}/verify", json={"method": "document"}),
        await somebody.put(f"/api/v1/parties/{home.ali}/pin", json={"pin": "4711"}),
        await somebody.delete(f"/api/v1/parties/{home.ali}/pin"),
    ]
    assert [each.status_code for each in done] == ([201, 200, 204, 204] if may else [403] * 4)
    assert len(await db.read(contact_points.links_to, NEW)) == (1 if may else 0)


async def test_a_program_verifies(db, agent, home):
    asked = {"value": NEW, "party": home.ali, "role": "user", "state": "verified"}
    assert (await agent.post("/api/v1/links", json=asked)).json()["state"] == "verified"
    assert await messages(db) == []


async def messages(db: Database) -> list[str]:
    query = select(ContactPoint.value).join(OutMessage, OutMessage.contact_point_id == ContactPoint.id)
    return await db.read(lambda session: list(session.scalars(query)))


async def test_somebody_at_home_is_asked_once_about_a_number_that_was_added(db, sitting, home):
    zeynep = await sitting("agent")
    for _ in range(2):
        asked = {"value": NEW, "party": home.ayse, "role": "user"}
        assert (await zeynep.post("/api/v1/links", json=asked)).json()["state"] == "unverified"
    assert await messages(db) == [company.HIS]


async def test_what_was_disowned_is_refused_with_the_reason_until_a_person_insists(db, agent, sitting, home):
    asked = {"value": NEW, "party": home.ayse, "role": "user"}
    made = (await agent.post("/api/v1/links", json=asked)).json()
    assert (await agent.delete(f"/api/v1/links/{made['id']}")).status_code == 204, "not_theirs"
    zeynep = await sitting("agent")
    for client, more in ((agent, {}), (agent, {"again": True}), (zeynep, {"role": "owner"})):
        refused = await client.post("/api/v1/links", json=asked | more)
        assert (refused.status_code, "disowned" in refused.json()["detail"]) == (422, True)
    again = await zeynep.post("/api/v1/links", json=asked | {"again": True})
    assert (again.status_code, again.json()["state"]) == (201, "unverified")


async def test_a_number_that_is_none_has_no_life(agent):
    assert (await agent.get("/api/v1/numbers/hello/life")).status_code == 422


# --- proposals ---


async def test_a_proposal_is_shown_accepted_once_and_counted(db, agent, home, offer):
    (shown,) = (await agent.get("/api/v1/link-proposals")).json()
    assert (shown["id"], shown["whom"], shown["value"], shown["reason"]) == (offer.id, "Ayşe Yılmaz", NEW, "keyed")
    first = await agent.post(f"/api/v1/link-proposals/{offer.id}/accept", json={})
    again = await agent.post(f"/api/v1/link-proposals/{offer.id}/accept", json={})
    assert first.json() == again.json()
    assert first.json()["state"] == "unverified"
    assert (await agent.get("/api/v1/link-proposals")).json() == []
    counts = (await agent.get("/api/v1/link-proposals/counts")).json()
    assert (counts["offered"], counts["accepted"], counts["open"]) == (1, 1, 0)
    assert (await reads(db))[0] == ("agent", "link_proposals", "open")


async def test_a_proposal_is_refused_once(agent, offer):
    refuse = f"/api/v1/link-proposals/{offer.id}/refuse"
    assert (await agent.post(refuse)).json() == {"changed": True}
    assert (await agent.post(refuse)).json() == {"changed": False}
    accept = await agent.post(f"/api/v1/link-proposals/{offer.id}/accept", json={})
    assert (accept.status_code, "is refused" in accept.json()["detail"]) == (422, True)
    assert (await agent.post("/api/v1/link-proposals/no-such/refuse")).status_code == 404


async def test_a_proof_that_was_not_given_does_not_make_a_verified_link(agent, offer):
    assert (await agent.post(f"/api/v1/link-proposals/{offer.id}/accept", json={"method": "sms"})).status_code == 422
    made = await agent.post(f"/api/v1/link-proposals/{offer.id}/accept", json={"method": "agent_proof"})
    assert made.json()["state"] == "unverified", "the call reached level 2"


# --- lines ---


async def test_the_network_says_what_it_knows_of_a_line_by_id_or_number(db, agent, home, now):
    at = (now - dt.timedelta(minutes=5)).isoformat()
    state = f"/api/v1/lines/{home.dsl}/state"
    assert (await agent.put(state, json={"state": "down", "since": at})).json() == {"changed": True}
    assert (await agent.put(state, json={"state": "down"})).json() == {"changed": False}
    assert await db.read(lines.down, now) == {home.dsl, home.landline}
    assert (await agent.put("/api/v1/lines/8001/state", json={"state": "up"})).json() == {"changed": True}
    assert await db.read(lines.down, now) == frozenset()
    assert (await agent.put("/api/v1/lines/no-such/state", json={"state": "up"})).status_code == 404
    assert (await agent.put(state, json={"state": "wet"})).status_code == 422


@pytest.mark.parametrize(("role", "status"), [("agent", 403), ("supervisor", 200), ("admin", 200)])
async def test_an_agent_at_a_page_does_not_say_what_the_network_says(sitting, home, role, status):
    somebody = await sitting(role)
    assert (await somebody.put(f"/api/v1/lines/{home.dsl}/state", json={"state": "down"})).status_code == status
