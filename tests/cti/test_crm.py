"""Asking an outside CRM: what counts as an answer, what is remembered, and that a bad one costs nobody anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from cti import crm
from cti.crm import (
    AT_ONCE_MAX,
    FAILURES_MAX,
    KNOWN_S,
    OPEN_S,
    UNKNOWN_S,
    Breaker,
    Garbage,
    Memory,
    Resolver,
    read,
)
from cti.outside import Answer
from cti.records.crm import CrmParty
from tests.fakes.http_server import Answering, HttpServer, Reply, as_json, http_server

MOBILE = "+905321234567"
ALI = {"external_id": "C-17", "name": "Ali Yılmaz", "kind": "person", "customer_no": "1000123", "tags": ["vip"]}
DOCS = Path(__file__).parents[2] / "docs" / "outside.md"
KNOWN = CrmParty(external_id="C-17", name="Ali Yılmaz", customer_no="1000123", tags=("vip",))


@dataclass
class Clock:
    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@contextlib.asynccontextmanager
async def asking(answering: Answering, timeout_s: float = 5.0) -> AsyncIterator[tuple[HttpServer, Resolver, Clock]]:
    clock = Clock()
    async with http_server(answering) as server:
        resolver = Resolver(server.url, "token", timeout_s=timeout_s, clock=clock)
        try:
            yield server, resolver, clock
        finally:
            await resolver.close()


async def knows(_asked):
    return as_json({"party": ALI})


async def breaks(_asked):
    return Reply(500)


def documented(what: str) -> list[str]:
    """The examples of docs/outside.md that bear this mark."""
    return re.findall(rf"<!-- {what} -->\n```json\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


# --- what counts as an answer -------------------------------------------------------------------------------------------


def told(**changes: Any) -> bytes:
    return json.dumps({"party": {**ALI, **changes}}).encode()


def test_an_answer_is_a_party_or_nobody():
    assert read(Answer(200, told())) == KNOWN
    assert read(Answer(200, b'{"party": {"external_id": "1", "name": "A"}}')) == CrmParty(external_id="1", name="A")
    assert read(Answer(200, b'{"party": null}')) is None
    assert read(Answer(404, b"<html>Not found</html>")) is None
    assert read(Answer(404, None)) is None


def test_more_than_was_asked_for_is_left_aside():
    assert read(Answer(200, json.dumps({"party": {**ALI, "iban": "TR00"}, "took_ms": 3}).encode())) == KNOWN


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html></html>", b"null", b"[]", b"{}", b'{"party": []}', b'{"party": {}}', b'{"party": "Ali"}', b"\xff\xfe\x00",
        b"[" * 60_000, b'{"party":' * 5_000, b'{"party": {"external_id": "\\ud800", "name": "A"}}', b'{"party": NaN}',
        told(name=""), told(name="   "), told(name="x" * 201), told(name=7), told(name=None), told(name="<script>alert(1)</script>"),
        told(name="Ali\u0000"), told(name="Ali\u202egnp.exe"), told(name="Ali\nYılmaz"), told(external_id=17), told(external_id=""),
        told(external_id="x" * 101), told(kind="robot"), told(kind=None), told(customer_no=1000123), told(customer_no=""),
        told(customer_no="9" * 33), told(tags="vip"), told(tags=["two words"]), told(tags=[1]), told(tags=["<b>"]), told(tags=None),
    ],
)  # fmt: skip
def test_everything_else_is_garbage(body):
    with pytest.raises(Garbage):
        read(Answer(200, body))


@pytest.mark.parametrize("status", [201, 204, 301, 400, 401, 429, 500])
def test_other_statuses_are_no_answer(status):
    with pytest.raises(Garbage, match=str(status)):
        read(Answer(status, told()))


def test_what_came_is_not_repeated_in_the_error():
    with pytest.raises(Garbage) as garbage:
        read(Answer(200, told(name="<Ali Yılmaz>")))
    assert "Ali" not in str(garbage.value)
    assert str(garbage.value) == "party.name: value_error"


def test_the_answers_in_the_docs_are_answers():
    examples = [read(Answer(200, body.encode())) for body in documented("crm answer")]
    assert examples == [CrmParty(external_id="C-17", name="Zehra Öz", customer_no="2000001", tags=("vip",)), None]


# --- what is remembered -------------------------------------------------------------------------------------------------


def test_somebody_is_remembered_for_ten_minutes_and_nobody_for_one():
    memory = Memory()
    memory.keep("a", KNOWN, 0.0)
    memory.keep("b", None, 0.0)
    assert (memory.find("a", KNOWN_S - 1), memory.find("b", UNKNOWN_S - 1)) == ((KNOWN,), (None,))
    assert (memory.find("a", KNOWN_S), memory.find("b", UNKNOWN_S)) == (None, None)
    assert memory.find("c", 0.0) is None


def test_only_so_many_numbers_are_remembered():
    memory = Memory(most=3)
    for number in range(100):
        memory.keep(str(number), None, 0.0)
    assert len(memory) == 3
    assert memory.find("99", 0.0) == (None,)
    assert memory.find("96", 0.0) is None


def test_after_five_failures_in_a_row_nobody_asks_for_half_a_minute_and_then_one_does():
    breaker = Breaker()
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(0.0)
    breaker.answered()
    for _ in range(FAILURES_MAX):
        assert breaker.lets_through(0.0)
        breaker.failed(0.0)
    assert not breaker.lets_through(OPEN_S - 0.1)
    assert breaker.lets_through(OPEN_S)
    assert not breaker.lets_through(OPEN_S + 0.1)
    breaker.failed(OPEN_S + 1)
    assert not breaker.lets_through(OPEN_S * 2)
    assert breaker.lets_through(OPEN_S * 2 + 1)
    breaker.answered()
    assert all(breaker.lets_through(OPEN_S * 2 + 1) for _ in range(3))


# --- asking ---------------------------------------------------------------------------------------------------------------


async def test_a_number_is_asked_for_as_the_contract_says_and_then_known():
    async with asking(knows) as (server, resolver, clock):
        assert await resolver.resolve(MOBILE, did="02125550100", conversation="c-1") == KNOWN
        assert await resolver.resolve(MOBILE, conversation="c-2") == KNOWN
        clock.seconds += KNOWN_S
        assert await resolver.resolve(MOBILE, conversation="c-3") == KNOWN
    assert [asked.body["conversation"] for asked in server.asked] == ["c-1", "c-3"]
    assert server.asked[0].body == {"e164": MOBILE, "did": "02125550100", "conversation": "c-1"}
    assert server.asked[0].body.keys() == json.loads(documented("crm request")[0]).keys()
    assert server.asked[0].headers["authorization"] == "Bearer token"


async def test_nobody_is_remembered_too():
    async def answer(_asked):
        return Reply(404)

    async with asking(answer) as (server, resolver, clock):
        assert await resolver.resolve(MOBILE) is None
        assert await resolver.resolve(MOBILE) is None
        clock.seconds += UNKNOWN_S
        assert await resolver.resolve(MOBILE) is None
        assert (len(server.asked), resolver.failed) == (2, 0)


async def test_a_hundred_who_ask_for_one_number_at_once_ask_once():
    asked_by_all = asyncio.Event()

    async def answer(_asked):
        await asked_by_all.wait()
        return as_json({"party": ALI})

    async with asking(answer) as (server, resolver, _):
        waiting = [asyncio.create_task(resolver.resolve(MOBILE)) for _ in range(100)]
        await server.until_asked(1)
        asked_by_all.set()
        assert await asyncio.gather(*waiting) == [KNOWN] * 100
        assert len(server.asked) == 1


async def test_who_does_not_wait_any_longer_hears_the_answer_when_it_comes():
    slow, came = asyncio.Event(), asyncio.Event()
    heard: list[tuple[str, CrmParty]] = []

    async def answer(_asked):
        await slow.wait()
        return as_json({"party": ALI})

    async def late(conversation: str, party: CrmParty) -> None:
        heard.append((conversation, party))
        if len(heard) == 2:
            came.set()

    async with asking(answer, timeout_s=0.05) as (server, resolver, _):
        resolver.on_late = late
        assert await resolver.resolve(MOBILE, conversation="c-1") is None
        assert await resolver.resolve(MOBILE, conversation="c-2") is None
        assert await resolver.resolve(MOBILE) is None  # of no call
        slow.set()
        async with asyncio.timeout(10):
            await came.wait()
        assert await resolver.resolve(MOBILE) == KNOWN
        assert (len(server.asked), resolver.late, resolver.failed) == (1, 3, 0)
    assert heard == [("c-1", KNOWN), ("c-2", KNOWN)]


async def test_the_deadline_holds_while_the_crm_hangs():
    silence = asyncio.Event()

    async def answer(_asked):
        await silence.wait()

    async with asking(answer, timeout_s=0.3) as (_, resolver, _clock):
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await resolver.resolve(MOBILE) is None
        assert 0.29 < loop.time() - began < crm.GIVE_UP_S - 1


async def test_a_request_that_takes_longer_than_five_seconds_has_failed(monkeypatch):
    silence = asyncio.Event()

    async def answer(_asked):
        await silence.wait()

    monkeypatch.setattr(crm, "GIVE_UP_S", 0.05)
    async with asking(answer) as (_, resolver, _clock):
        assert await resolver.resolve(MOBILE) is None
        assert resolver.failed == 1


async def test_at_most_twenty_requests_are_on_their_way():
    go = asyncio.Event()

    async def answer(_asked):
        await go.wait()
        return as_json({"party": ALI})

    async with asking(answer) as (server, resolver, _):
        waiting = [asyncio.create_task(resolver.resolve(f"+9053200000{number:02}")) for number in range(AT_ONCE_MAX)]
        await server.until_asked(AT_ONCE_MAX)
        assert await resolver.resolve("+905329999999") is None
        assert resolver.kept_out == 1
        go.set()
        assert await asyncio.gather(*waiting) == [KNOWN] * AT_ONCE_MAX
        assert await resolver.resolve("+905329999999") == KNOWN


async def test_a_crm_that_breaks_is_left_alone_and_then_tried_with_one_request():
    async with asking(breaks) as (server, resolver, clock):
        for number in range(FAILURES_MAX + 5):
            assert await resolver.resolve(f"+90532000000{number}") is None
        assert (len(server.asked), resolver.answers, resolver.kept_out) == (FAILURES_MAX, False, 5)
        clock.seconds += OPEN_S
        assert await asyncio.gather(*(resolver.resolve(f"+90532000001{number}") for number in range(4))) == [None] * 4
        assert len(server.asked) == FAILURES_MAX + 1
        clock.seconds += OPEN_S
        server.answering = knows
        assert await resolver.resolve(MOBILE) == KNOWN
        assert resolver.answers
        assert await resolver.resolve("+905320000002") == KNOWN


@pytest.mark.parametrize(
    "reply",
    [
        None, Reply(500), Reply(302, headers={"Location": "http://127.0.0.1:1/"}), Reply(body=b"<html>"), Reply(204, b""),
        Reply(body=json.dumps({"party": ALI, "more": "x" * 1_000_000}).encode()), Reply(body=b'{"party"', length=200),
        as_json({"party": {**ALI, "name": "<script>"}}), as_json({"party": {**ALI, "customer_no": 1}}), as_json([ALI]),
        Reply(body=b"x", headers={"Content-Encoding": "gzip"}),
    ],
)  # fmt: skip
async def test_nonsense_is_a_failure_and_nobody_hears_of_it(reply):
    async def answer(_asked):
        return reply

    async with asking(answer) as (_, resolver, _clock):
        assert await resolver.resolve(MOBILE) is None
        assert (resolver.asked, resolver.failed) == (1, 1)


async def test_a_redirect_to_another_host_is_not_followed():
    async with http_server(knows) as elsewhere:

        async def answer(_asked):
            return Reply(307, headers={"Location": elsewhere.url.replace("127.0.0.1", "localhost")})

        async with asking(answer) as (_, resolver, _clock):
            assert await resolver.resolve(MOBILE) is None
        assert elsewhere.asked == []


async def test_a_crm_that_is_not_there_is_a_failure():
    async with http_server(knows) as server:
        pass
    gone = Resolver(server.url)
    assert await gone.resolve(MOBILE) is None
    assert gone.failed == 1
    await gone.close()


async def test_numbers_are_masked_and_names_are_not_in_the_logs():
    async def answer(_asked):
        return as_json({"party": {**ALI, "kind": "Ali Yılmaz"}})

    with capture_logs() as lines:
        async with asking(answer) as (_, resolver, _clock):
            await resolver.resolve(MOBILE, conversation="c-1")
    assert [(line["event"], line["call"]) for line in lines] == [("crm.no_answer", "c-1")]
    assert MOBILE[-7:] not in repr(lines)
    assert "Ali" not in repr(lines)
