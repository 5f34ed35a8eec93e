"""Signing in, staying in, getting out; and who may what."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import APIRouter, Depends
from sqlalchemy import select

from cti import auth, ledger
from cti.auth import User
from tests.fakes.house import SITE, FakeHouse, application, browser

PASSWORD = "doğru at pil zımba"
PASSWORD_HASH = auth.hash_password(PASSWORD)

rooms = APIRouter()


@rooms.get("/anybody")
async def anybody(user: Annotated[User, Depends(auth.require())]) -> str:
    return user.name


@rooms.get("/chiefs")
async def chiefs(user: Annotated[User, Depends(auth.require("supervisor", "admin"))]) -> str:
    return user.name


@rooms.post("/machine")
async def machine(user: Annotated[User, Depends(auth.require("agent"))]) -> bool:
    return user.is_machine


@pytest_asyncio.fixture
async def house(db, now):
    await db.work(
        auth.add_user,
        name="ayse",
        password_hash=PASSWORD_HASH,
        role="agent",
        display_name="Ayşe Işık",
        agent="1001",
        now=now,
    )
    return FakeHouse(db, now)


@pytest_asyncio.fixture
async def page(house):
    async with browser(application(house, auth.router, rooms)) as client:
        yield client


async def sign_in(client: httpx2.AsyncClient, user: str = "ayse", password: str = PASSWORD) -> httpx2.Response:
    return await client.post("/api/v1/session", json={"user": user, "password": password})


async def told(house: FakeHouse) -> list[dict[str, Any]]:
    return [each.event.plain() | {"type": each.event.type} for each in await house.db.read(ledger.since, 0)]


async def test_the_right_password_opens_a_session(house, page):
    answer = await sign_in(page)
    ayse = {"user": "ayse", "name": "Ayşe Işık", "role": "agent", "agent": "1001", "language": "tr"}
    assert (answer.status_code, answer.json()) == (200, ayse)
    assert (await page.get("/api/v1/session")).json() == ayse
    assert (await page.get("/anybody")).json() == "ayse"
    assert await told(house) == [{"type": "session.opened", "user": "ayse", "role": "agent"}]


async def test_the_cookie_is_out_of_reach_of_scripts_and_the_database_keeps_only_its_hash(house, page):
    answer = await sign_in(page)
    name, value = answer.headers["set-cookie"].split(";")[0].split("=", 1)
    assert name == "santral_session"
    assert len(value) >= 43  # 256 bits in base64
    assert {"httponly", "samesite=lax", "path=/"} <= {
        each.strip().lower() for each in answer.headers["set-cookie"].split(";")
    }
    stored = await house.db.read(lambda session: session.scalars(select(auth.WebSession.id_hash)).all())
    assert value not in stored


async def test_over_tls_the_cookie_is_bound_to_the_host(house):
    async with browser(application(house, auth.router, rooms), site="https://desk.test") as page:
        cookie = (await sign_in(page)).headers["set-cookie"]
        assert cookie.startswith("__Host-santral=")
        assert "; secure" in cookie.lower()
        assert (await page.get("/anybody")).status_code == 200


@pytest.mark.parametrize(("user", "password"), [("ayse", "yanlış"), ("nobody", PASSWORD), ("ayse", PASSWORD + " ")])
async def test_a_wrong_name_and_a_wrong_password_look_the_same(house, page, user, password):
    answer = await sign_in(page, user, password)
    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:santral:problem:sign-in-refused"
    assert (await page.get("/anybody")).status_code == 401
    assert await told(house) == [{"type": "session.refused", "user": "ayse" if user == "ayse" else ""}]


async def test_a_refusal_is_worded_in_the_readers_language(page):
    answer = await page.post(
        "/api/v1/session", json={"user": "ayse", "password": "yanlış"}, headers={"accept-language": "tr-TR,tr;q=0.9"}
    )
    assert answer.json()["title"] == "Kullanıcı adı veya parola yanlış."


async def test_after_five_wrong_passwords_even_the_right_one_has_to_wait(house, page):
    for _ in range(5):
        assert (await sign_in(page, password="yanlış")).status_code == 401
    answer = await sign_in(page)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "301"
    house.later(301)
    assert (await sign_in(page)).status_code == 200


async def test_a_session_ends_when_nothing_is_done_for_long(house, page):
    await sign_in(page)
    for _ in range(3):
        house.later(house.settings.session_idle_s - 1)
        assert (await page.get("/anybody")).status_code == 200
    house.later(house.settings.session_idle_s)
    assert (await page.get("/anybody")).status_code == 401


async def test_a_session_ends_after_its_longest_time_however_busy(house, page):
    await sign_in(page)
    for _ in range(house.settings.session_max_s // 1000):
        house.later(1000)
        assert (await page.get("/anybody")).status_code == 200
    house.later(1000)
    assert (await page.get("/anybody")).status_code == 401


async def test_signing_out_kills_the_cookie_itself(house, page):
    await sign_in(page)
    cookie = page.cookies["santral_session"]
    assert (await page.delete("/api/v1/session")).status_code == 204
    assert "santral_session" not in page.cookies
    assert await auth.user_of_cookie(house.db, cookie, house.now) is None
    assert (await page.delete("/api/v1/session")).status_code == 204
    assert [each["type"] for each in await told(house)] == ["session.opened", "session.closed"]


async def test_a_user_who_is_signed_out_everywhere_is_out_at_once(house, page):
    await sign_in(page)
    await house.db.work(auth.sign_out_everywhere, "ayse", house.now)
    assert (await page.get("/anybody")).status_code == 401
    assert (await sign_in(page)).status_code == 200


async def test_a_disabled_user_is_out_and_stays_out(house, page):
    await sign_in(page)
    assert await house.db.work(auth.disable_user, "ayse", house.now) is True
    assert await house.db.work(auth.disable_user, "nobody", house.now) is False
    assert (await page.get("/anybody")).status_code == 401
    assert (await sign_in(page)).status_code == 401


async def test_an_agent_does_not_enter_where_supervisors_do(page):
    await sign_in(page)
    answer = await page.get("/chiefs")
    assert answer.status_code == 403
    assert answer.json()["detail"] == "expected one of the roles supervisor, admin, ayse is agent"


async def test_the_language_is_kept(page):
    await sign_in(page)
    assert (await page.put("/api/v1/session/language", json={"language": "en"})).status_code == 204
    assert (await page.get("/api/v1/session")).json()["language"] == "en"
    assert (await page.put("/api/v1/session/language", json={"language": "xx"})).status_code == 422


async def test_looking_at_sessions_keeps_nobody_signed_in_and_a_touch_does(house, page):
    await sign_in(page)
    mine, invented = auth.session_of(page.cookies["santral_session"]), auth.session_of("invented")
    house.later(house.settings.session_idle_s - 1)
    assert await house.db.read(auth.sessions_alive, {mine, invented}, house.now) == {mine}
    house.later(1)
    assert await house.db.read(auth.sessions_alive, {mine}, house.now) == frozenset()
    await house.db.work(auth.touch, {mine, invented}, house.now)
    house.later(house.settings.session_idle_s - 1)
    assert await house.db.read(auth.sessions_alive, {mine}, house.now) == {mine}


async def test_a_clock_that_was_set_back_and_forth_again_has_signed_nobody_out(house, page):
    await sign_in(page)
    mine, set_back = auth.session_of(page.cookies["santral_session"]), house.now - dt.timedelta(hours=1)
    assert await house.db.read(auth.sessions_alive, {mine}, set_back) == {mine}
    await house.db.work(auth.touch, {mine}, set_back)
    assert await house.db.read(auth.sessions_alive, {mine}, house.now) == {mine}


@pytest.mark.parametrize("end", [auth.sign_out_everywhere, auth.disable_user])
async def test_of_very_many_sessions_those_that_ended_are_found(house, page, end):
    await sign_in(page)
    mine = auth.session_of(page.cookies["santral_session"])
    many = {auth.session_of(f"{each}") for each in range(2 * auth.ASKED_AT_ONCE)} | {mine}
    assert await house.db.read(auth.sessions_alive, many, house.now) == {mine}
    await house.db.work(end, "ayse", house.now)
    assert await house.db.read(auth.sessions_alive, many, house.now) == frozenset()


@pytest.mark.parametrize("cookie", ["", "x", "ş" * 50])
async def test_an_invented_cookie_is_nobodys(house, cookie):
    assert await auth.user_of_cookie(house.db, cookie, house.now) is None


@pytest_asyncio.fixture
async def token(house):
    return await house.db.work(auth.add_token, name="crm", role="agent", now=house.now)


@pytest_asyncio.fixture
async def program(house):
    """Something that is not a browser: it has no origin."""
    transport = httpx2.ASGITransport(app=application(house, auth.router, rooms))
    async with httpx2.AsyncClient(transport=transport, base_url=SITE) as client:
        yield client


async def test_a_token_opens_what_its_role_may_without_an_origin(house, program, token):
    bearer = {"authorization": f"Bearer {token}"}
    assert (await program.post("/machine", headers=bearer)).json() is True
    assert (await program.get("/chiefs", headers=bearer)).status_code == 403
    assert await house.db.work(auth.revoke_token, "crm", house.now) is True
    assert await house.db.work(auth.revoke_token, "crm", house.now) is False, "it is worth nothing already"
    assert (await program.post("/machine", headers=bearer)).status_code == 401


@pytest.mark.parametrize("header", ["Bearer invented", "Bearer ", "Basic YTpi", "x"])
async def test_a_wrong_authorization_header_is_not_made_good_by_a_cookie(page, header):
    await sign_in(page)
    assert (await page.get("/anybody", headers={"authorization": header})).status_code == 401


async def test_an_unknown_role_is_refused_before_it_is_stored(house):
    with pytest.raises(ValueError, match="expected one of the roles agent, supervisor, admin, got 'root'"):
        await house.db.work(auth.add_token, name="x", role="root", now=house.now)
