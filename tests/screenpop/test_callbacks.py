"""The page of those who wait for a call: who sees it, what it shows, and settling one without a script."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from cti import auth, ledger
from cti.db import Database
from cti.events import CallbackSettled, RecordsRead
from cti.records import callbacks, tickets
from screenpop import callbacks as page
from tests.fakes import company
from tests.fakes.house import SITE, FakeHouse, application, browser

EVIL = "\u202e<script>alert(1)</script>"


@pytest_asyncio.fixture
async def house(db: Database, now: dt.datetime) -> FakeHouse:
    return FakeHouse(db, now)


async def signed_in(house: FakeHouse, language: str) -> httpx2.AsyncClient:
    def prepare(session):
        user = auth.add_user(
            session, name="zeynep", display_name="Zeynep", role="agent", agent="1001", password_hash="none", language=language,
            now=house.now,
        )  # fmt: skip
        return auth.open_session(session, user, idle_s=1800, max_s=9000, now=house.now)

    client = browser(application(house, page.router))
    client.cookies.set(auth.cookie_name("http"), await house.db.work(prepare))
    return client


@pytest_asyncio.fixture(params=["tr", "en"])
async def zeynep(house: FakeHouse, request: pytest.FixtureRequest) -> AsyncIterator[httpx2.AsyncClient]:
    client = await signed_in(house, request.param)
    yield client
    await client.aclose()


async def wanted(house: FakeHouse, *, text: str = "", number: str | None = company.HIS) -> str:
    def prepare(session):
        known = company.load(session, house.now)
        asked = {"subscription": known.dsl, "party": known.ali, "conversation": "a"}
        opened = tickets.open_once(session, matter="fault", channel="phone", now=house.now, **asked)
        return callbacks.want_once(
            session,
            reason="message",
            number=number,
            ticket=opened.ticket,
            message="m-1",
            text=text,
            now=house.now,
            **asked,
        )

    return await house.db.work(prepare)


async def test_a_stranger_is_sent_to_sign_in(house):
    async with browser(application(house, page.router)) as stranger:
        for answer in (await stranger.get("/callbacks"), await stranger.post("/callbacks/x/done")):
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/callbacks")


async def test_nobody_waits(house, zeynep):
    answer = await zeynep.get("/callbacks")
    assert answer.status_code == 200
    assert "<table" not in answer.text
    assert re.search(r'<a href="/callbacks" aria-current="page">', answer.text)


async def test_the_page_shows_what_a_call_back_needs(house, zeynep):
    callback = await wanted(house, text=EVIL)
    (row,) = await house.db.read(callbacks.open_ones)
    html = (await zeynep.get("/callbacks")).text
    number = f"{row.ticket_number[:3]} {row.ticket_number[3:]}"
    for part in ("0532 555 01 23", "Ali Yılmaz", number, f"/api/v1/callbacks/{callback}/message"):
        assert part in html
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", html)
    assert "\u202e" not in html
    read = [each.event for each in await house.db.read(ledger.since, 0) if isinstance(each.event, RecordsRead)]
    assert read == [RecordsRead(user="zeynep", what="callbacks", subject="open")]


@pytest.mark.parametrize("state", callbacks.SETTLED)
async def test_a_button_settles_it_and_leads_back_to_the_list(house, zeynep, state):
    callback = await wanted(house)
    html = (await zeynep.get("/callbacks")).text
    address = f"/callbacks/{callback}/{state}"
    assert f'action="{address}"' in html
    answer = await zeynep.post(address)
    assert (answer.status_code, answer.headers["location"]) == (303, "/callbacks#main")
    assert callback not in (await zeynep.get("/callbacks")).text
    settled = [each.event for each in await house.db.read(ledger.since, 0) if isinstance(each.event, CallbackSettled)]
    assert [(each.state, each.by) for each in settled] == [(state, "zeynep")]


async def test_a_second_click_changes_nothing(house, zeynep):
    callback = await wanted(house)
    await zeynep.post(f"/callbacks/{callback}/done")
    assert (await zeynep.post(f"/callbacks/{callback}/dropped")).status_code == 303
    assert (await house.db.read(callbacks.by_id, callback)).state == "done"


async def test_what_is_no_callback_or_no_end_is_refused(house, zeynep):
    assert (await zeynep.post("/callbacks/no-such/done")).status_code == 404
    assert (await zeynep.post("/callbacks/no-such/open")).status_code == 422


async def test_another_site_settles_nothing(house, zeynep):
    callback = await wanted(house)
    answer = await zeynep.post(f"/callbacks/{callback}/done", headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    assert (await house.db.read(callbacks.by_id, callback)).state == "open"


async def test_a_caller_without_a_number_has_words_instead(house, zeynep):
    await wanted(house, number=None)
    html = (await zeynep.get("/callbacks")).text
    assert "No number" in html or "Numara yok" in html


async def test_a_long_list_says_that_there_are_more(house, zeynep, now):
    def prepare(session):
        for each in range(page.ROWS_MAX + 1):
            callbacks.want_once(
                session, conversation=str(each), reason="interrupted", number=company.HIS, party=None, subscription=None,
                ticket=None, now=now,
            )  # fmt: skip

    await house.db.work(prepare)
    html = (await zeynep.get("/callbacks")).text
    assert html.count("data-callback=") == page.ROWS_MAX
    assert str(page.ROWS_MAX) in re.sub(r"<table.*</table>", "", html, flags=re.DOTALL)
    assert SITE not in html
