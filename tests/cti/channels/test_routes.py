"""Other programs' messages by REST, and channels that are added while we run."""

from __future__ import annotations

import pytest
import pytest_asyncio

from cti import auth, ledger
from cti.channels import routes
from cti.events import RecordsRead
from cti.records import contact_points, links, parties, timeline
from tests.fakes.house import FakeHouse, application, browser

HOSTILE = "<script>alert('x')</script> \"; EXEC System; {{7*7}} ${SHELL(id)}"
SMS = {
    "channel": "sms",
    "contact_point": {"kind": "phone", "value": "0532 123 45 67"},
    "external_id": "x1",
    "text": HOSTILE,
}


@pytest_asyncio.fixture
async def customer(db, now):
    """A party that owns the number that SMS comes from."""

    def prepare(session):
        timeline.seed_channels(session)
        ali = parties.add_party(session, name="Ali", source="test", now=now)
        point = contact_points.ensure(session, "phone", "0532 123 45 67", now=now)
        links.link(session, point, party=ali.id, role="owner", source="test", by="test", now=now)
        return ali.id

    return await db.work(prepare)


@pytest_asyncio.fixture
async def crm(db, now, customer):
    """A program with an agent's token."""
    token = await db.work(auth.add_token, name="crm", role="agent", now=now)
    app = application(FakeHouse(db, now), routes.router)
    async with browser(app, authorization=f"Bearer {token}") as client:
        yield client


async def test_a_message_is_taken_once_and_its_text_stays_text(db, crm, customer, now):
    first = await crm.post("/api/v1/interactions", json=SMS)
    again = await crm.post("/api/v1/interactions", json=SMS)
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["new"], again.json()) == (True, {**first.json(), "new": False})
    (entry,) = (await crm.get("/api/v1/interactions", params={"party": customer})).json()
    assert (entry["text"], entry["contact"], entry["party_name"]) == (HOSTILE, "+905321234567", "Ali")
    assert (entry["at"], entry["author"]) == (now.isoformat(), "")
    read = [each.event for each in await db.read(ledger.since, 0) if isinstance(each.event, RecordsRead)]
    assert read == [RecordsRead(user="crm", what="interactions", subject=customer)]


async def test_what_we_sent_names_its_author(crm):
    await crm.post("/api/v1/interactions", json={**SMS, "direction": "out", "at": "2026-11-20T10:00:00+03:00"})
    (entry,) = (await crm.get("/api/v1/interactions", params={"channel": "sms"})).json()
    assert (entry["direction"], entry["author"], entry["at"]) == ("out", "crm", "2026-11-20T07:00:00+00:00")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"channel": "pigeon"}, 422),
        ({"text": "x" * 20_001}, 422),
        ({"direction": "sideways"}, 422),
        ({"at": "2026-11-20T10:00:00"}, 422),
        ({"mood": "angry"}, 422),
        ({"contact_point": {"kind": "phone", "value": "call me"}}, 422),
        ({"party": "no-such"}, 404),
        ({"text": "a\x00b"}, 422),
    ],
)
async def test_a_message_that_makes_no_sense_is_refused_and_not_kept(crm, changes, status):
    assert (await crm.post("/api/v1/interactions", json={**SMS, **changes})).status_code == status
    assert (await crm.get("/api/v1/interactions")).json() == []


async def test_an_unknown_channel_is_answered_with_the_known_ones(crm):
    answer = await crm.post("/api/v1/interactions", json={**SMS, "channel": "pigeon"})
    assert "branch, chat, email, phone, sms, social, whatsapp, got 'pigeon'" in answer.json()["detail"]


async def test_a_channel_is_added_while_we_run_by_an_admin_only(db, crm, now):
    telex = {"id": "telex", "name_tr": "Teleks", "name_en": "Telex", "contact_kind": "postal"}
    assert (await crm.post("/api/v1/channels", json=telex)).status_code == 403
    token = await db.work(auth.add_token, name="root", role="admin", now=now)
    admin = {"authorization": f"Bearer {token}"}
    assert (await crm.post("/api/v1/channels", json=telex, headers=admin)).status_code == 201
    assert (await crm.post("/api/v1/channels", json=telex, headers=admin)).status_code == 409
    assert {**telex, "icon": "dot"} in (await crm.get("/api/v1/channels")).json()
    message = {**SMS, "channel": "telex", "contact_point": None}
    assert (await crm.post("/api/v1/interactions", json=message)).status_code == 201
