"""The records by REST: who may, what is refused, what is written down."""

from __future__ import annotations

import datetime as dt

import pytest
import pytest_asyncio

from cti import auth, ledger, routes
from cti.channels import routes as channel_routes
from cti.config import Settings
from cti.db import Database
from cti.events import RecordsRead
from cti.records import callbacks, contact_points, links, parties, timeline
from tests.fakes.house import FakeHouse, application, browser

MOBILE = "0532 123 45 67"
E164 = "+905321234567"
HOSTILE = "<img src=x onerror=alert(1)>' OR 1=1; -- {{7*7}}"


@pytest_asyncio.fixture
async def home(db, now):
    """Şule Öz, her DSL line and her mobile; ids by name."""

    def prepare(session):
        timeline.seed_channels(session)
        sule = parties.add_party(session, name="Şule Öz", customer_no="4711", source="test", now=now)
        line = parties.add_subscription(session, number="100200", kind="dsl", holder=sule, area="moda", now=now)
        point = contact_points.ensure(session, "phone", MOBILE, now=now)
        links.link(session, point, party=sule.id, role="owner", source="test", by="test", now=now)
        return {"party": sule.id, "line": line.id}

    return await db.work(prepare)


@pytest.fixture
def house(db, now, tmp_path):
    return FakeHouse(db, now, Settings(data_dir=tmp_path))


@pytest_asyncio.fixture
async def asking(db, now, house):
    """A program with a token of the role that the test names."""
    app = application(house, routes.router, channel_routes.router)
    clients = []

    async def of_role(role):
        token = await db.work(auth.add_token, name=role, role=role, now=now)
        clients.append(browser(app, authorization=f"Bearer {token}"))
        return clients[-1]

    yield of_role
    for client in clients:
        await client.aclose()


@pytest_asyncio.fixture
async def agent(asking, home):
    return await asking("agent")


@pytest_asyncio.fixture
async def supervisor(asking, home):
    return await asking("supervisor")


async def reads(db: Database) -> list[tuple[str, str, str]]:
    events = [each.event for each in await db.read(ledger.since, 0)]
    return [(each.user, each.what, each.subject) for each in events if isinstance(each, RecordsRead)]


GETS = [
    "identify?number=1",
    "parties?q=xx",
    "parties/x",
    "tickets",
    "callbacks",
    "callbacks/x/message",
    "outages",
    "interactions",
    "channels",
]


@pytest.mark.parametrize("path", GETS)
async def test_nobody_reads_without_signing_in(db, now, path):
    async with browser(application(FakeHouse(db, now), routes.router, channel_routes.router)) as stranger:
        assert (await stranger.get(f"/api/v1/{path}")).status_code == 401
    assert await reads(db) == []


async def test_a_known_number_is_identified_with_reasons_and_the_look_is_written_down(db, agent, home):
    answer = await agent.get("/api/v1/identify", params={"number": MOBILE, "did": "4441234"})
    body = answer.json()
    assert (body["outcome"], body["level"], body["number"], body["number_kind"]) == ("unique", 1, E164, "e164")
    (candidate,) = body["candidates"]
    assert (candidate["party"], candidate["name"], candidate["subscriptions"]) == (
        home["party"],
        "Şule Öz",
        [home["line"]],
    )
    assert candidate["reasons"]
    assert all(isinstance(each, str) and each for each in candidate["reasons"])
    assert await reads(db) == [("agent", "identify", E164)]


@pytest.mark.parametrize(
    ("number", "outcome"), [("0533 999 88 77", "none"), ("anonymous", "withheld"), ("12345678901234567", "malformed")]
)
async def test_a_number_that_matches_nobody_names_nobody(agent, number, outcome):
    body = (await agent.get("/api/v1/identify", params={"number": number})).json()
    assert (body["outcome"], body["candidates"]) == (outcome, [])
    assert bool(body["explanation"]) is (outcome == "malformed")


async def test_parties_are_found_and_shown(db, agent, home):
    (found,) = (await agent.get("/api/v1/parties", params={"q": "sule oz"})).json()
    assert (found["id"], found["name"], found["customer_no"]) == (home["party"], "Şule Öz", "4711")
    card = (await agent.get(f"/api/v1/parties/{home['party']}")).json()
    assert [each["value"] for each in card["contacts"]] == [E164]
    assert await reads(db) == [("agent", "party", "search: sule oz"), ("agent", "party", home["party"])]
    assert (await agent.get("/api/v1/parties/no-such")).status_code == 404


async def test_a_ticket_is_opened_once_and_found_by_its_number(agent, home):
    asked = {"subscription": home["line"], "matter": "fault", "text": HOSTILE}
    first = await agent.post("/api/v1/tickets", json=asked)
    again = await agent.post("/api/v1/tickets", json=asked)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["number"] == again.json()["number"]
    (shown,) = (await agent.get("/api/v1/tickets", params={"number": first.json()["number"]})).json()
    assert (shown["subscription"], shown["contacts"], shown["text"]) == (home["line"], 2, HOSTILE)
    assert len((await agent.get("/api/v1/tickets", params={"subscription": home["line"], "state": "open"})).json()) == 1


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"matter": "fault"}, 422),
        ({"matter": "Fault!", "party": "x"}, 422),
        ({"matter": "fault", "party": "no-such"}, 409),
        ({"matter": "fault", "party": "x", "text": "x" * 20_001}, 422),
        ({"matter": "fault", "party": "x", "state": "closed"}, 422),
    ],
)
async def test_a_ticket_that_makes_no_sense_is_refused(agent, asked, status):
    assert (await agent.post("/api/v1/tickets", json=asked)).status_code == status


async def test_a_misheard_ticket_number_is_told_from_an_unknown_one(agent):
    assert (await agent.get("/api/v1/tickets", params={"number": "100001"})).status_code == 422
    assert (await agent.get("/api/v1/tickets", params={"number": "5724"})).json() == []


# --- callbacks ---


async def test_a_callback_is_listed_settled_once_and_listed_among_its_like(db, agent, home, now):
    callback = await wanted(db, home, now)
    (shown,) = (await agent.get("/api/v1/callbacks")).json()
    assert (shown["id"], shown["number"], shown["party_name"], shown["reason"]) == (callback, E164, "Şule Öz", "noted")
    settled = await agent.post(f"/api/v1/callbacks/{callback}/settle", json={"state": "done"})
    assert (settled.status_code, settled.json()["state"], settled.json()["done_by"]) == (200, "done", "agent")
    again = await agent.post(f"/api/v1/callbacks/{callback}/settle", json={"state": "dropped"})
    assert again.json() == settled.json()
    assert (await agent.get("/api/v1/callbacks")).json() == []
    assert (await agent.get("/api/v1/callbacks", params={"state": "done"})).json() == [settled.json()]
    assert await reads(db) == [("agent", "callbacks", each) for each in ("open", "open", "done")]


async def test_a_callback_that_makes_no_sense_is_refused(db, agent, home, now):
    callback = await wanted(db, home, now)
    assert (await agent.post("/api/v1/callbacks/no-such/settle", json={"state": "done"})).status_code == 404
    assert (await agent.post(f"/api/v1/callbacks/{callback}/settle", json={"state": "open"})).status_code == 422
    assert (await agent.get("/api/v1/callbacks", params={"state": "lost"})).status_code == 422


async def wanted(db: Database, home: dict[str, str], now: dt.datetime, **changes: str) -> str:
    asked = {
        "conversation": "a",
        "reason": "noted",
        "number": E164,
        "party": home["party"],
        "subscription": home["line"],
    }
    return await db.work(callbacks.want_once, ticket=None, now=now, **(asked | changes))


async def test_a_message_is_heard_and_the_listening_is_written_down(db, agent, home, now, tmp_path):
    callback = await wanted(db, home, now, reason="message", message="m-1")
    heard = f"/api/v1/callbacks/{callback}/message"
    assert (await agent.get(heard)).status_code == 404
    folder = tmp_path / routes.MESSAGES
    folder.mkdir(parents=True)
    (folder / "m-1.wav").write_bytes(b"RIFF and so on")
    answer = await agent.get(heard)
    assert (answer.content, answer.headers["content-type"]) == (b"RIFF and so on", "audio/wav")
    assert "no-store" in answer.headers["cache-control"]
    piece = await agent.get(heard, headers={"range": "bytes=5-7"})
    assert (piece.status_code, piece.content) == (206, b"and")
    assert await reads(db) == [("agent", "message", callback)] * 2


async def test_there_is_nothing_to_hear_without_a_message(db, agent, home, now):
    callback = await wanted(db, home, now)
    assert (await agent.get(f"/api/v1/callbacks/{callback}/message")).status_code == 404
    assert (await agent.get("/api/v1/callbacks/no-such/message")).status_code == 404


# --- outages ---


async def test_supervisors_open_and_close_outages_and_agents_see_them(agent, supervisor):
    asked = {"area": "moda", "kind": "dsl", "estimate_at": "2026-11-20T12:00:00+03:00"}
    assert (await agent.post("/api/v1/outages", json=asked)).status_code == 403
    opened = await supervisor.post("/api/v1/outages", json=asked)
    assert opened.status_code == 201
    (shown,) = (await agent.get("/api/v1/outages")).json()
    assert (shown["id"], shown["area"], shown["estimate_at"]) == (opened.json()["id"], "moda", "2026-11-20T09:00:00Z")
    assert (await agent.delete(f"/api/v1/outages/{shown['id']}")).status_code == 403
    assert (await supervisor.delete(f"/api/v1/outages/{shown['id']}")).status_code == 204
    assert (await supervisor.delete(f"/api/v1/outages/{shown['id']}")).status_code == 404
    assert (
        await supervisor.post("/api/v1/outages", json={**asked, "estimate_at": "2026-11-20T12:00:00"})
    ).status_code == 422
