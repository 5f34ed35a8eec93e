"""One address of others: what comes back whatever they do, and where nothing of ours ever goes."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from cti.outside import BODY_MAX, Answer, BadAddress, NoAnswer, Outside
from tests.fakes.http_server import HttpServer, Reply, as_json, http_server


async def post(server: HttpServer, token: str = "", within_s: float = 5.0) -> Answer:
    outside = Outside(server.url, token)
    try:
        return await outside.post({"e164": "+905321234567"}, within_s=within_s)
    finally:
        await outside.close()


def answering(reply: Reply | None):
    async def answer(_asked):
        return reply

    return http_server(answer)


async def test_json_goes_out_with_the_token_and_the_answer_comes_back():
    async with answering(as_json({"ok": True}, 201)) as server:
        assert await post(server, "s3cret") == Answer(201, b'{"ok": true}')
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/hook", {"e164": "+905321234567"})
    assert asked.headers["authorization"] == "Bearer s3cret"
    assert asked.headers["content-type"] == "application/json"


async def test_text_that_is_no_text_goes_out_all_the_same():
    async with answering(Reply()) as server:
        outside = Outside(server.url)
        assert (await outside.post({"did": "\ud800\0ş"}, within_s=5)).status == 200
        await outside.close()
    assert server.asked[0].body == {"did": "\ud800\0ş"}


async def test_no_token_is_no_header():
    async with answering(Reply()) as server:
        await post(server)
    assert "authorization" not in server.asked[0].headers


async def test_a_cookie_that_is_set_does_not_come_back():
    async with answering(Reply(headers={"Set-Cookie": "who=us; Path=/; Max-Age=3600"})) as server:
        outside = Outside(server.url)
        for _ in range(2):
            await outside.post({"e164": "+905321234567"}, within_s=5)
        await outside.close()
    assert [asked.headers.get("cookie") for asked in server.asked] == [None, None]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(status):
    async with answering(Reply()) as elsewhere, answering(Reply(status, headers={"Location": elsewhere.url})) as server:
        assert (await post(server)).status == status
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"x" * (BODY_MAX + 1)),
        Reply(body=gzip.compress(b"x" * 10_000_000), headers={"Content-Encoding": "gzip"}),
        Reply(body=b"{", length=100),
    ],
    ids=["long", "packed", "cut"],
)
async def test_of_a_body_that_is_long_packed_or_cut_only_the_status_is_known(reply):
    async def answer(_asked):
        return reply

    async with http_server(answer) as server:
        assert await post(server) == Answer(200, None)


async def test_the_longest_body_is_read_whole():
    async with answering(Reply(body=b"x" * BODY_MAX)) as server:
        assert len((await post(server)).body or b"") == BODY_MAX


async def test_who_is_silent_is_not_waited_for():
    silence = asyncio.Event()

    async def answer(_asked):
        await silence.wait()

    async with http_server(answer) as server:
        with pytest.raises(NoAnswer, match=r"nothing within 0\.05 s"):
            await post(server, within_s=0.05)


async def test_who_hangs_up_or_is_not_there_has_not_answered():
    async with answering(None) as server:
        with pytest.raises(NoAnswer):
            await post(server)
    with pytest.raises(NoAnswer, match="ConnectError"):
        await post(server)


async def test_what_the_environment_says_of_proxies_is_not_heard(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with answering(Reply()) as server:
        assert (await post(server)).status == 200


@pytest.mark.parametrize(
    "url", ["", "ftp://host/x", "host/path", "http://", "http://user:word@host/", "http://[::1", "file:///x"]
)
def test_an_address_that_cannot_be_asked_is_refused_without_repeating_it(url):
    with pytest.raises(BadAddress) as refused:
        Outside(url)
    assert "word" not in str(refused.value).replace("password", "")


def test_a_token_that_no_header_can_carry_is_refused():
    with pytest.raises(BadAddress, match="token"):
        Outside("https://host/", "ş\n")
