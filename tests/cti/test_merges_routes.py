"""Merging by REST: who may, what is refused, what is written down."""

from __future__ import annotations

import pytest
import pytest_asyncio

from cti import auth, ledger, merges_routes
from cti.config import Settings
from cti.events import RecordsRead
from cti.records import alike, merge_proposals, parties
from tests.fakes.house import FakeHouse, application, browser


@pytest_asyncio.fixture
async def ids(db, now):
    def prepare(session):
        names = {"old": "Şule Işık", "new": "SULE ISIK", "other": "Murat Demir"}
        born = {"birth_date": "1980-12-31", "source": "test", "now": now}
        return {key: parties.add_party(session, name=name, **born).id for key, name in names.items()}

    return await db.work(prepare)


@pytest_asyncio.fixture
async def asking(db, now, tmp_path):
    """A program with a token of the role that the test names."""
    app = application(FakeHouse(db, now, Settings(data_dir=tmp_path)), merges_routes.router)
    clients = []

    async def of_role(role):
        token = await db.work(auth.add_token, name=role, role=role, now=now)
        clients.append(browser(app, authorization=f"Bearer {token}"))
        return clients[-1]

    yield of_role
    for client in clients:
        await client.aclose()


PATHS = [
    ("GET", "merge-proposals"),
    ("POST", "merge-proposals/x/merge"),
    ("POST", "merge-proposals/x/refuse"),
    ("GET", "parties/x/duplicates"),
    ("GET", "merges"),
    ("POST", "merges"),
    ("POST", "merges/x/undo"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_merging_is_for_supervisors_and_administrators(asking, db, now, method, path):
    agent = await asking("agent")
    assert (await agent.request(method, f"/api/v1/{path}", json={})).status_code == 403
    async with browser(application(FakeHouse(db, now), merges_routes.router)) as stranger:
        assert (await stranger.request(method, f"/api/v1/{path}", json={})).status_code == 401


async def test_a_proposal_is_shown_with_its_reasons_in_words_and_merged(asking, db, now, ids):
    found = await db.read(alike.candidates_for, ids["new"])
    await db.work(merge_proposals.propose_for, ids["new"], found, now=now)
    chief = await asking("supervisor")
    (found,) = (await chief.get("/api/v1/parties/{old}/duplicates".format(**ids))).json()
    (row,) = (await chief.get("/api/v1/merge-proposals")).json()
    assert found["party"] == ids["new"]
    assert found["score"] == row["score"] >= 0.6
    assert {row["a"]["party"], row["b"]["party"]} == {ids["old"], ids["new"]}
    assert [each["key"] for each in row["reasons"]] == ["same_birth_date", "same_name"]
    assert all(each["text"] and each["bits"] > 0 for each in row["reasons"])

    answer = await chief.post(f"/api/v1/merge-proposals/{row['id']}/merge", json={"kept": ids["old"]})
    assert answer.status_code == 200
    (done,) = (await chief.get("/api/v1/merges", params={"party": ids["old"]})).json()
    assert (done["id"], done["kept"], done["gone_name"]) == (answer.json()["merge"], ids["old"], "SULE ISIK")
    events = [each.event for each in await db.read(ledger.since, 0)]
    assert [each.subject for each in events if isinstance(each, RecordsRead) and each.what == "merges"] == [
        ids["old"],
        "proposals",
        ids["old"],
    ]


async def test_a_refused_proposal_is_gone(asking, db, now, ids):
    found = await db.read(alike.candidates_for, ids["new"])
    (proposal,) = await db.work(merge_proposals.propose_for, ids["new"], found, now=now)
    chief = await asking("supervisor")
    for _ in range(2):
        assert (await chief.post(f"/api/v1/merge-proposals/{proposal}/refuse")).status_code == 204
    assert (await chief.get("/api/v1/merge-proposals")).json() == []
    assert (await chief.post("/api/v1/merge-proposals/none/refuse")).status_code == 404
    assert (await chief.post(f"/api/v1/merge-proposals/{proposal}/merge", json={})).status_code == 422


async def test_merging_by_hand_and_parting_in_the_right_order(asking, ids):
    chief = await asking("admin")
    asked = {"kept": ids["old"], "gone": ids["new"], "reason": "the same card"}
    first = (await chief.post("/api/v1/merges", json=asked)).json()["merge"]
    assert (await chief.post("/api/v1/merges", json=asked)).json()["merge"] == first
    asked = {"kept": ids["other"], "gone": ids["old"], "reason": "a slip"}
    second = (await chief.post("/api/v1/merges", json=asked)).json()["merge"]

    refused = await chief.post(f"/api/v1/merges/{first}/undo")
    assert (refused.status_code, refused.json()["first"]) == (409, second)
    for merge in (second, first):
        answer = await chief.post(f"/api/v1/merges/{merge}/undo")
        assert (answer.status_code, answer.json()["left"]) == (200, [])


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"kept": "nobody", "gone": "{new}", "reason": "x"}, 404),
        ({"kept": "{old}", "gone": "{old}", "reason": "x"}, 422),
        ({"kept": "{old}", "gone": "{new}", "reason": ""}, 422),
        ({"kept": "{old}", "gone": "{new}", "reason": "x", "by": "somebody"}, 422),
    ],
)
async def test_what_can_not_be_merged_is_refused(asking, ids, asked, status):
    chief = await asking("admin")
    body = {key: value.format(**ids) for key, value in asked.items()}
    assert (await chief.post("/api/v1/merges", json=body)).status_code == status
