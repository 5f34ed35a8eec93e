"""What a gateway says, and what that means for the message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cti.sms import HttpGateway, NotTaken, Taken
from tests.fakes.http_server import HttpServer, Reply, as_json, http_server

DOCS = Path(__file__).parents[2] / "docs" / "outside.md"
TEXT = "0532 *** ** 33 hanenize eklendi. Siz eklemediyseniz IPTAL 4711 yazın."


async def send(server: HttpServer, within_s: float = 5.0) -> Taken | NotTaken:
    gateway = HttpGateway(server.url, "token", within_s=within_s)
    try:
        return await gateway.send(id="m-1", to="+905321234567", text=TEXT)
    finally:
        await gateway.close()


def documented() -> str:
    """The request in docs/outside.md."""
    return DOCS.read_text(encoding="utf-8").partition("<!-- sms request -->\n```json\n")[2].partition("```")[0]


def answering(reply: Reply | None):
    async def answer(_asked):
        return reply

    return http_server(answer)


async def test_a_message_goes_out_as_the_contract_says():
    async with answering(as_json({"id": "gw-7"})) as server:
        assert await send(server) == Taken("gw-7")
    (asked,) = server.asked
    assert asked.body == {"to": "+905321234567", "text": TEXT, "id": "m-1"}
    assert asked.headers["idempotency-key"] == "m-1"
    assert asked.body.keys() == json.loads(documented()).keys()
    assert asked.headers["authorization"] == "Bearer token"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"", ""), (b"OK", ""), (b"[1]", ""), (b'{"id": null}', ""), (b'{"id": {"a": 1}}', ""), (b'{"id": 42}', "42"),
        (b"\xff\xfe", ""), (b"[" * 60_000, ""), (json.dumps({"id": "x" * 999}).encode(), "x" * 200), (b"x" * 100_000, ""),
    ],
)  # fmt: skip
async def test_taken_is_taken_whatever_else_it_says(body, name):
    async with answering(Reply(202, body)) as server:
        assert await send(server) == Taken(name)


@pytest.mark.parametrize("status", [400, 402, 410, 413, 415, 422, 451])
async def test_a_message_that_the_gateway_refuses_is_not_sent_again(status):
    async with answering(Reply(status)) as server:
        assert await send(server) == NotTaken(f"HTTP {status}", final=True)


@pytest.mark.parametrize("status", [301, 302, 401, 403, 404, 408, 409, 425, 429, 500, 502, 503, 504])
async def test_trouble_that_is_not_the_messages_fault_is_waited_out(status):
    async with answering(Reply(status)) as server:
        assert await send(server) == NotTaken(f"HTTP {status}", final=False)


async def test_a_gateway_that_is_not_there_is_waited_for():
    async with answering(None) as server:
        assert isinstance(await send(server), NotTaken)
    outcome = await send(server)
    assert outcome == NotTaken("ConnectError", final=False)
