"""What stands before every route: origin, size, headers; and how an error looks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio
from fastapi import APIRouter
from pydantic import Field
from sqlalchemy.exc import IntegrityError

from cti import web
from cti.config import Settings
from cti.db import Overloaded
from cti.web import Asked, Problem, refusals
from tests.fakes.house import SITE, FakeHouse, application, browser

routes = APIRouter()


class Note(Asked):
    text: str = Field(max_length=2_000_000)
    stars: int = 0


@routes.get("/hello")
async def hello() -> str:
    return "hello"


@routes.post("/notes")
async def notes(note: Note) -> int:
    return len(note.text)


@routes.get("/fails/{how}")
async def fails(how: str) -> None:
    match how:
        case "missing":
            with refusals():
                raise LookupError("expected the id of a party, got 'x'")
        case "wrong":
            with refusals():
                raise ValueError("expected digits, got 'x'")
        case "busy":
            raise Overloaded("2000 works wait")
        case "conflict":
            raise IntegrityError("INSERT ...", {}, Exception("secret"))
        case "more":
            raise Problem("conflict", "expected version 2, got 1", version=2)
        case _:
            raise RuntimeError("secret of the inside")


@pytest.fixture
def house(db, now):
    return FakeHouse(db, now, Settings(allowed_origins="https://intranet.test"))


@pytest_asyncio.fixture
async def page(house) -> AsyncIterator[httpx2.AsyncClient]:
    async with browser(application(house, routes)) as client:
        yield client


async def test_every_answer_carries_the_security_headers(page):
    for answer in (await page.get("/hello"), await page.get("/nowhere"), await page.get("/fails/unforeseen")):
        assert web.SECURITY_HEADERS.items() <= dict(answer.headers).items()
        assert "'unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in answer.headers


async def test_over_tls_browsers_are_told_to_stay_there(house):
    async with browser(application(house, routes), site="https://desk.test") as page:
        assert "max-age=" in (await page.get("/hello")).headers["strict-transport-security"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": SITE}, 200),
        ({"origin": "https://intranet.test"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site", "origin": "https://intranet.test"}, 200),
        ({"authorization": "Bearer x"}, 200),
        ({}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": f"{SITE}.evil.example"}, 403),
        ({"origin": "http://desk.test:8081"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "http://other.desk.test"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": SITE}, 403),
        ({"authorization": "Basic x"}, 403),
    ],
)
async def test_a_form_of_a_foreign_site_is_refused(house, headers, status):
    transport = httpx2.ASGITransport(app=application(house, routes))
    async with httpx2.AsyncClient(transport=transport, base_url=SITE, headers=headers) as client:
        answer = await client.post("/notes", json={"text": "x"})
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["type"] == "urn:santral:problem:foreign-origin"
        assert (await client.get("/hello")).status_code == 200


async def test_a_socket_of_a_foreign_site_is_closed_before_it_opens(house):
    app = application(house, routes)
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"desk.test"), (b"origin", b"https://evil.example")]
    await app({"type": "websocket", "path": "/ws", "headers": headers, "scheme": "ws"}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"host": "desk.test", "origin": "https://desk.test"}, True),
        ({"host": "desk.test:8080", "origin": "http://DESK.test:8080"}, True),
        ({"host": "desk.test", "origin": "https://intranet.test"}, True),
        ({"host": "desk.test"}, False),
        ({"host": "", "origin": ""}, False),
        ({"host": "desk.test", "origin": "null"}, False),
        ({"host": "desk.test", "origin": "https://evil.example"}, False),
        ({"host": "desk.test", "origin": "https://desk.test@evil.example"}, False),
    ],
)
def test_only_our_own_origins_may_open_sockets(house, headers, allowed):
    assert web.origin_allowed(headers, house.settings) is allowed


async def test_a_body_that_is_too_large_is_refused_with_and_without_a_length(page):
    large = b'{"text": "' + b"x" * web.BODY_MAX_BYTES + b'"}'

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    for content in (large, pieces()):
        answer = await page.post("/notes", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["type"] == "urn:santral:problem:too-large"


@pytest.mark.parametrize("length", ["-1", "1e3", "²", ""])
async def test_a_length_that_is_no_number_is_refused(page, length):
    answer = await page.post("/notes", content=b"{}", headers={b"content-length": length.encode()})
    assert answer.status_code == 400


async def test_fields_that_are_wrong_are_named_and_their_values_kept_back(page):
    answer = await page.post("/notes", json={"text": "a\x00b", "stars": "secret", "colour": "red"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"type": body["type"], "title": body["title"], "status": body["status"]} == {
        "type": "urn:santral:problem:invalid", "title": "Some fields are wrong.", "status": 422,
    }  # fmt: skip
    assert [each["field"] for each in body["errors"]] == ["text", "stars", "colour"]
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("how", "status", "kind", "detail"),
    [
        ("missing", 404, "not-found", "expected the id of a party, got 'x'"),
        ("wrong", 422, "invalid", "expected digits, got 'x'"),
        ("busy", 503, "busy", None),
        ("conflict", 409, "conflict", None),
        ("more", 409, "conflict", "expected version 2, got 1"),
        ("unforeseen", 500, "broken", None),
    ],
)
async def test_every_error_is_a_problem_and_tells_nothing_of_the_inside(page, how, status, kind, detail):
    answer = await page.get(f"/fails/{how}")
    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (body["status"], body["type"], body.get("detail")) == (status, f"urn:santral:problem:{kind}", detail)
    assert "secret" not in answer.text
    assert (body.get("version"), answer.headers.get("retry-after")) == (
        2 if how == "more" else None, "2" if how == "busy" else None,
    )  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/hello", 405)])
async def test_an_address_that_is_not_there_is_a_problem_too(page, method, path, status):
    answer = await page.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


@pytest.mark.parametrize("path", ["/hello%00", "/hello?q=%00"])
async def test_nul_in_an_address_goes_no_further(page, path):
    assert (await page.get(path)).status_code == 400


@pytest.mark.parametrize(
    ("given", "kept"), [("a1b2c3d4", True), ("x", False), ("a b\tc; DROP", False), ("a" * 65, False)]
)
async def test_a_request_keeps_a_decent_id_and_gets_one_otherwise(page, given, kept):
    answered = (await page.get("/hello", headers={"x-request-id": given})).headers["x-request-id"]
    assert (answered == given) is kept
    assert len(answered) >= 8


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("en-US,en;q=0.9", "en"), ("de, tr;q=0.5", "tr"), ("EN", "en"), ("", "tr"), ("de", "tr"), (";;,", "tr")],
)
def test_the_first_of_our_languages_is_taken(accepted, language):
    assert web.language_of(accepted, "tr") == language


def test_every_problem_is_worded_in_both_languages():
    assert all(400 <= status < 600 and turkish and english for status, turkish, english in web.PROBLEMS.values())
