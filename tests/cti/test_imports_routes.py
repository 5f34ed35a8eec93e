"""Imports by REST, with the product's own command as the process: sent, checked, resumed, taken back; and what is refused."""

import asyncio
import csv
import datetime as dt
import io
import os
import signal
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import func, select

from cti import auth, import_runs, imports_routes, ledger, migrations, web
from cti.config import Settings
from cti.db import Database
from cti.events import ImportEnded, ImportUndone, RecordsRead
from cti.records import imports
from cti.records.parties import Party
from tests.fakes.house import FakeHouse, application, browser

URL = "/api/v1/imports"
SMALL = "external_id,name,phones\n1,Ali,0532 555 01 23\n2,Ayşe,0533 555\n3,Cem,gizli\n"
GOOD = "external_id,name,phones\n1,Ali,0532 555 01 23\n2,Ayşe,0533 555 01 24\n"
MANY = 20_000
ENDS_WITHIN_S = 90
CSV = {"content-type": "text/csv"}


def many(rows: int = MANY) -> str:
    return "external_id,name,phones\n" + "".join(
        f"{n},Müşteri {n},0532 {n // 10_000:03} {n // 100 % 100:02} {n % 100:02}\n" for n in range(rows)
    )


class Desk:
    """A node with a database of its own, and a program with a token of an administrator at its door."""

    def __init__(self, app: FastAPI, db: Database, client: httpx2.AsyncClient) -> None:
        self.app, self.db, self.client = app, db, client

    @property
    def runs(self):
        return self.app.state.import_runs

    async def send(self, text, **params):
        return await self.client.post(URL, params=params, content=text.encode(), headers=CSV)

    async def ended(self, answer):
        """What became of the one that this answer is about."""
        assert answer.status_code == 202, answer.text
        async with asyncio.timeout(ENDS_WITHIN_S):
            await self.runs.ended()
        return (await self.client.get(answer.headers["location"])).json()

    async def begun(self, answer):
        """Some of it is in, and most is not."""
        async with asyncio.timeout(ENDS_WITHIN_S):
            while not (found := (await self.client.get(answer.headers["location"])).json())["line"]:
                assert found["state"] == "running", found
        return found

    async def parties(self):
        return await self.db.read(lambda session: session.scalar(select(func.count()).select_from(Party)))

    async def events(self, kind):
        return [each.event for each in await self.db.read(ledger.since, 0) if isinstance(each.event, kind)]


@pytest_asyncio.fixture
async def desk(tmp_path, monkeypatch, now):
    monkeypatch.setenv("SANTRAL_DATA_DIR", str(tmp_path))  # the import's process has our environment
    monkeypatch.setenv("SANTRAL_DATABASE_URL", "")
    settings = Settings()
    db = Database(settings.database)
    await db.work(lambda session: migrations.upgrade(session.connection()))
    app = application(FakeHouse(db, now, settings), imports_routes.router)
    token = await db.work(auth.add_token, name="loader", role="admin", now=now)
    async with imports_routes.runs_of(app), browser(app, authorization=f"Bearer {token}") as client:
        yield Desk(app, db, client)
    await db.close()


async def test_a_file_is_imported_and_what_was_left_out_can_be_fetched(desk, tmp_path):
    answer = await desk.send(SMALL, name="../../etc/müşteri listesi.csv")
    assert answer.json()["state"] == "running"
    done = await desk.ended(answer)
    assert (done["state"], done["number"], done["file"], done["by"]) == ("done", 1, "müşteri_listesi.csv", "loader")
    assert (done["line"], done["lines"], done["dry_run"]) == (4, 4, False)
    assert {name: done["counts"][name] for name in ("parties", "numbers", "rows", "rejected")} == {
        "parties": 1, "numbers": 1, "rows": 3, "rejected": 2,
    }  # fmt: skip
    cleaned = {each["sort"]: each for each in done["cleaning"]}
    words = "numara yerine sözcük (gizli, bilinmiyor …)"
    assert cleaned["withheld"] == {"sort": "withheld", "count": 1, "text": words, "examples": ["4: xxxxx"]}
    assert cleaned["e164"]["count"] == 1

    rejected = await desk.client.get(done["rejected"])
    assert rejected.headers["content-type"].startswith("text/csv")
    assert [row["name"] for row in csv.DictReader(io.StringIO(rejected.content.decode("utf-8-sig")))] == ["Ayşe", "Cem"]
    assert [(each.what, each.subject) for each in await desk.events(RecordsRead)] == [("imports", done["id"])]
    assert [each.by for each in await desk.events(ImportEnded)] == ["loader"]
    (listed,) = (await desk.client.get(URL)).json()
    assert (listed["id"], (await desk.client.get(f"{URL}/1")).json()["id"]) == (done["id"], done["id"])
    assert not [path for path in tmp_path.rglob("*müşteri*") if (tmp_path / "imports") not in path.parents]


async def test_a_dry_run_writes_nothing_and_a_good_file_is_not_kept(desk, tmp_path):
    checked = await desk.ended(await desk.send(SMALL, dry_run=True))
    assert (checked["state"], checked["number"], checked["counts"]["rejected"]) == ("checked", None, 2)
    assert await desk.parties() == 0
    assert (await desk.client.get(checked["rejected"])).status_code == 200
    refused = await desk.client.post(f"{URL}/{checked['id']}/undo")
    assert (refused.status_code, "checked" in refused.json()["detail"]) == (409, True)

    done = await desk.ended(await desk.send(GOOD))
    assert (done["state"], done["rejected"], await desk.parties()) == ("done", None, 2)
    assert (await desk.client.get(f"{URL}/{done['id']}/rejected")).status_code == 404
    assert sorted(path.name for path in tmp_path.rglob("file/*")) == ["customers.csv", "customers.csv.rejected.csv"]
    assert [each["state"] for each in (await desk.client.get(URL)).json()].count("checked") == 1


async def test_one_that_is_killed_goes_on_where_it_stopped(desk):
    sent = await desk.send(many())
    found = await desk.begun(sent)
    assert 0 < found["line"] < found["lines"] == MANY + 1
    os.kill(desk.runs.process.pid, signal.SIGKILL)
    stopped = await desk.ended(sent)
    assert (stopped["state"], stopped["number"]) == ("stopped", 1)
    again = await desk.send(many())
    assert (again.status_code, again.json()["number"]) == (409, 1)

    done = await desk.ended(await desk.client.post(f"{URL}/1/resume"))
    assert (done["id"], done["state"], done["counts"]["parties"]) == (stopped["id"], "done", MANY)
    assert await desk.parties() == MANY
    assert (await desk.client.post(f"{URL}/1/resume")).status_code == 409


async def test_it_ends_with_its_node_and_the_next_life_knows_where_it_stands(desk, tmp_path):
    sent = await desk.send(many())
    await desk.begun(sent)
    await desk.runs.close()
    assert desk.runs.doing is None
    for folder in ("half", "torn"):
        (tmp_path / "imports" / "1" / folder / "file").mkdir(parents=True)
    (tmp_path / "imports" / "1" / "torn" / "run.json").touch()
    async with imports_routes.runs_of(desk.app):
        assert not (tmp_path / "imports" / "1" / "half").exists()
        assert (await desk.client.get(sent.headers["location"])).json()["state"] == "stopped"


async def test_one_that_runs_is_taken_back(desk, tmp_path):
    sent = await desk.send(many())
    await desk.begun(sent)
    undone = await desk.ended(await desk.client.post(f"{sent.headers['location']}/undo"))
    assert (undone["state"], await desk.parties()) == ("undone", 0)
    assert undone["counts"]["removed"] > 0
    assert [each.by for each in await desk.events(ImportUndone)] == ["loader"]
    assert list(tmp_path.rglob("file")) == []
    assert (await desk.client.post(f"{sent.headers['location']}/undo")).status_code == 409


async def test_one_at_a_time(desk):
    sent = await desk.send(GOOD)
    refused = await desk.send(SMALL)
    assert (refused.status_code, refused.json()["running"]) == (409, sent.json()["id"])
    assert (await desk.ended(sent))["state"] == "done"
    assert (await desk.ended(await desk.send(SMALL)))["state"] == "done"


async def test_a_mapping_is_sent_before_the_file(desk):
    mapping = '[columns]\nexternal_id = "No"\nname = { join = ["Ad", "Soyad"] }\n'
    made = await desk.client.post(f"{URL}/mappings", content=mapping.encode())
    assert made.status_code == 201
    done = await desk.ended(await desk.send("No;Ad;Soyad\n7;Ali;Kaya\n", mapping=made.json()["mapping"]))
    assert (done["state"], done["counts"]["parties"], done["mapping"]["columns"]["external_id"]) == ("done", 1, "No")
    wrong = await desk.client.post(f"{URL}/mappings", content=b'[columns]\nname = "Ad"\n')
    assert (wrong.status_code, "missing: external_id" in wrong.json()["detail"]) == (422, True)
    assert (await desk.send(SMALL, mapping="../run.json")).status_code == 404


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "got nothing"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "expected"),
        (b'{"name": "Ali"}', "expected"),
        (b"Ad,Soyad\nAli,Kaya\n", "external_id"),
    ],
)
async def test_what_is_no_file_of_customers_is_refused_with_the_reason(desk, tmp_path, body, told):
    refused = await desk.client.post(URL, content=body, headers=CSV)
    assert (refused.status_code, told in refused.json()["detail"]) == (422, True)
    assert list(tmp_path.rglob("file")) == []
    assert (await desk.client.get(URL)).json() == []


async def test_a_file_that_breaks_later_tells_why(desk):
    torn = GOOD + '3,"nobody closes this' + "x" * 200_000
    failed = await desk.ended(await desk.send(torn, dry_run=True))
    assert (failed["state"], "santral: expected rows of comma separated values" in failed["errors"]) == ("failed", True)


async def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(desk, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "FILE_MAX_BYTES", 2 * web.BODY_MAX_BYTES)
    large = many(60_000).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    for content in (large, pieces()):
        refused = await desk.client.post(URL, content=content, headers=CSV)
        assert (refused.status_code, "expected at most 2097152 bytes" in refused.json()["detail"]) == (413, True)
    assert list(tmp_path.rglob("file")) == []
    assert desk.runs.doing is None


async def test_a_sender_who_falls_silent_makes_room_for_others(desk, tmp_path, monkeypatch):
    monkeypatch.setattr(import_runs, "PIECE_MAX_S", 0.1)

    async def pieces() -> AsyncIterator[bytes]:
        yield GOOD.encode()
        await asyncio.Event().wait()

    refused = await desk.client.post(URL, content=pieces(), headers=CSV)
    assert (refused.status_code, "nothing came" in refused.json()["detail"]) == (400, True)
    assert list(tmp_path.rglob("file")) == []
    assert (await desk.send(GOOD)).status_code == 202


async def test_one_of_the_console_is_known_by_its_number_and_can_be_taken_back(desk, now):
    path = Settings().data_dir / "mine.csv"
    path.write_text(GOOD, encoding="utf-8")
    await imports.import_customers(desk.db, path, region="TR", now=now, say=imports.nothing)
    (listed,) = (await desk.client.get(URL)).json()
    assert (listed["id"], listed["state"], listed["lines"], listed["by"]) == ("1", "done", None, "import")
    refused = await desk.client.post(f"{URL}/1/resume")
    assert (refused.status_code, "1 is done" in refused.json()["detail"]) == (409, True)
    undone = await desk.ended(await desk.client.post(f"{URL}/1/undo"))
    assert (undone["id"], undone["state"], undone["file"], await desk.parties()) == ("1", "undone", "mine.csv", 0)
    assert [each["id"] for each in (await desk.client.get(URL)).json()] == ["1"]


PATHS = [
    ("POST", ""), ("POST", "/mappings"), ("GET", ""), ("GET", "/1"), ("GET", "/1/rejected"), ("POST", "/1/resume"), ("POST", "/1/undo"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_imports_are_for_supervisors_and_administrators(desk, now, method, path):
    token = await desk.db.work(auth.add_token, name="agent", role="agent", now=now)
    async with browser(desk.app, authorization=f"Bearer {token}") as agent, browser(desk.app) as stranger:
        assert (await agent.request(method, URL + path, content=GOOD.encode())).status_code == 403
        assert (await stranger.request(method, URL + path, content=GOOD.encode())).status_code == 401
    for unknown in ("999", "x", "../1"):
        assert (await desk.client.get(f"{URL}/{unknown}")).status_code == 404


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"), ("C:\\Liste\\müşteri.csv", "müşteri.csv"), ("..", "customers.csv"), ("", "customers.csv"),
        ("-rf .csv", "rf_.csv"), ("a" * 300 + ".csv", "a" * 56 + ".csv"),
    ],
)  # fmt: skip
def test_a_files_name_is_never_a_path(name, kept):
    assert import_runs.safe_name(name) == kept


async def test_what_is_left_of_an_import_goes_after_a_month(desk, tmp_path, monkeypatch):
    first = await desk.ended(await desk.send(SMALL))
    assert len(list(tmp_path.rglob("*.rejected.csv"))) == 1
    second = await desk.ended(await desk.send(SMALL.replace("3,Cem", "4,Ece")))
    assert len(list(tmp_path.rglob("*.rejected.csv"))) == 2, "not yet"
    monkeypatch.setattr(import_runs, "KEPT", -dt.timedelta(seconds=1))
    third = await desk.ended(await desk.send(SMALL.replace("3,Cem", "5,Can")))
    assert [path.parent.parent.name for path in tmp_path.rglob("*.rejected.csv")] == [third["id"]]
    for gone in (first, second):
        assert (await desk.client.get(f"{URL}/{gone['id']}")).status_code == 404
