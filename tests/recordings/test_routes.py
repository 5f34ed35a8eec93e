"""Who may hear what, how it is noted, and that no id ever becomes a path."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import select, update

from cti import auth, web
from cti.bus import MemoryBus
from cti.config import Settings
from cti.db import Database
from cti.ledger import EventRow
from cti.records.recordings import Recording
from recordings import routes
from recordings.worker import Worker
from tests.recordings.calls import answered, talked
from tests.recordings.sounds import tone

USERS: dict[str, auth.Role] = {"ayse": "agent", "mehmet": "agent", "zeynep": "supervisor", "root": "admin"}
NOBODY = "019aa0b2-0000-7000-8000-000000000001"


@dataclass
class House:
    db: Database
    settings: Settings
    bus: MemoryBus
    clock: Callable[[], dt.datetime]


@dataclass
class Site:
    """The routes, with a stored recording of a call that ayse answered and that mehmet was only offered."""

    db: Database
    client: httpx2.AsyncClient
    cookies: dict[str, str]
    recording: str
    file: Path

    async def get(self, user: str, path: str, **headers: str) -> httpx2.Response:
        cookie = f"santral_session={self.cookies[user]}" if user else ""
        return await self.client.get(f"/api/v1/recordings/{path}", headers={"cookie": cookie} | headers)

    async def listeners(self) -> list[str]:
        reads = select(EventRow.body).where(EventRow.type == "records.read").order_by(EventRow.seq)
        bodies = await self.db.read(lambda session: list(session.scalars(reads)))
        assert all((body["what"], body["subject"]) == ("recording", self.recording) for body in bodies)
        return [body["user"] for body in bodies]


@pytest_asyncio.fixture
async def site(db: Database, tmp_path: Path, now: dt.datetime) -> AsyncIterator[Site]:
    folder = tmp_path / "recordings"
    folder.mkdir()
    conversation, recording = await db.work(talked, now, seconds=2)
    await db.work(answered, conversation, "mehmet", now, state="withdrawn")
    tone(folder / f"{recording}-r.wav", seconds=2)
    tone(folder / f"{recording}-t.wav", seconds=2)
    await Worker(db, folder, lambda: now, settle_s=0).scan()
    app = FastAPI()
    app.include_router(routes.router)
    settings = Settings(data_dir=tmp_path)
    web.install(app, settings)
    app.state.house = House(db, settings, MemoryBus(), lambda: now)
    cookies = {name: await db.work(signed_in, name, role, now) for name, role in USERS.items()}
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://santral") as client:
        yield Site(db, client, cookies, recording, folder / f"2026/11/20/{recording}.wav")


def signed_in(session, name: str, role: auth.Role, now: dt.datetime) -> str:
    agent = name if role == "agent" else ""
    user = auth.add_user(session, name=name, password_hash="-", role=role, agent=agent, now=now)
    return auth.open_session(session, user, idle_s=1800, max_s=43200, now=now)


@pytest.mark.parametrize("what", ["", "/audio", "/peaks"])
@pytest.mark.parametrize(
    ("user", "own", "unknown"),
    [("ayse", 200, 403), ("mehmet", 403, 403), ("zeynep", 200, 404), ("root", 200, 404), ("", 401, 401)],
)
async def test_who_may_hear_what(site: Site, user: str, own: int, unknown: int, what: str):
    assert (await site.get(user, site.recording + what)).status_code == own
    assert (await site.get(user, NOBODY + what)).status_code == unknown


async def test_to_an_agent_a_foreign_recording_looks_like_none(site: Site):
    foreign, unknown = await site.get("mehmet", site.recording), await site.get("mehmet", NOBODY)
    assert foreign.json() == unknown.json()


async def test_a_recording_is_described_in_words(site: Site):
    broken = update(Recording).where(Recording.id == site.recording).values(state="partial", reason="shorter")
    await site.db.work(lambda session: session.execute(broken))
    described = (await site.get("ayse", site.recording)).json()
    assert (described["state"], described["reason_text"]) == ("partial", "Kayıt, görüşmeden kısa.")
    assert (described["duration_s"], described["talk_s"], described["channels"]) == (2.0, 2.0, 2)
    assert not {"path", "peaks"} & set(described)


async def test_the_waveform_has_its_length(site: Site):
    drawn = (await site.get("ayse", f"{site.recording}/peaks")).json()
    assert drawn["duration_s"] == 2.0
    assert 1000 < len(drawn["peaks"]) <= 1200


async def test_the_whole_sound_is_the_file(site: Site):
    answer = await site.get("ayse", f"{site.recording}/audio")
    assert answer.content == site.file.read_bytes()
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["accept-ranges"] == "bytes"


async def test_a_player_can_jump(site: Site):
    answer = await site.get("ayse", f"{site.recording}/audio", range="bytes=1000-1999")
    whole = site.file.read_bytes()
    assert (answer.status_code, answer.content) == (206, whole[1000:2000])
    assert answer.headers["content-range"] == f"bytes 1000-1999/{len(whole)}"
    assert (await site.get("ayse", f"{site.recording}/audio", range="bytes=99999999-")).status_code == 416


@pytest.mark.parametrize(
    ("ranges", "times"),
    [
        ([""], 1),
        (["bytes=0-"], 1),
        (["bytes=0-", "bytes=5000-", "bytes=9000-9999"], 1),  # one listening, with jumps
        (["bytes=0-", "bytes=0-"], 2),
        (["bytes=1-"], 1),  # round the beginning
        (["bytes=1-", "bytes=2-"], 1),
        (["bytes=5-9,0-4"], 1),
        (["bytes=-100"], 1),
    ],
)
async def test_every_listening_is_noted(site: Site, ranges: list[str], times: int):
    for each in ranges:
        await site.get("zeynep", f"{site.recording}/audio", **({"range": each} if each else {}))
    assert await site.listeners() == ["zeynep"] * times


async def test_looking_is_not_listening_and_a_refusal_neither(site: Site):
    await site.get("ayse", site.recording)
    await site.get("ayse", f"{site.recording}/peaks")
    await site.get("mehmet", f"{site.recording}/audio")
    assert await site.listeners() == []


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2fsantral.db", "%2e%2e%2fsantral.db", "../santral.db", "%2fetc%2fpasswd", "x", "9" * 300, f"{NOBODY}%00"],
)
async def test_an_id_is_never_a_path(site: Site, name: str):
    for what in ("", "/audio", "/peaks"):
        assert (await site.get("root", name + what)).status_code in (400, 404, 422)


@pytest.mark.parametrize("path", ["../santral.db", "/etc/passwd", "2026/11/20", "link.wav"])
async def test_not_even_a_row_leads_out_of_the_folder(site: Site, tmp_path: Path, path: str):
    (tmp_path / "recordings/link.wav").symlink_to(tmp_path / "santral.db")
    bent = update(Recording).where(Recording.id == site.recording).values(path=path)
    await site.db.work(lambda session: session.execute(bent))
    assert (await site.get("root", f"{site.recording}/audio")).status_code == 404
    assert await site.listeners() == []


async def test_a_file_that_vanished_is_not_found(site: Site):
    site.file.unlink()
    assert (await site.get("root", f"{site.recording}/audio")).status_code == 404
