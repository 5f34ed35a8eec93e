"""Everything in the outbox reaches the gateway: once when all is well, again under the same name when nobody knows."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from cti import ledger
from cti.db import Database
from cti.events import MessageSettled
from cti.records import contact_points, outbox, timeline
from cti.records.outbox import LEASE_S, OutMessage
from cti.sender import Sender
from cti.sms import HttpGateway
from tests.fakes.http_server import HttpServer, Reply, as_json, http_server

MOBILE = "+905321234567"
SECRET = "Kodunuz 471147"


@dataclass
class Clock:
    now: dt.datetime

    def __call__(self) -> dt.datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)


@pytest.fixture
def clock(now):
    return Clock(now)


@pytest_asyncio.fixture
async def point(any_db, now):
    def prepare(session):
        timeline.seed_channels(session)
        return contact_points.ensure(session, "phone", MOBILE, now=now).id

    return await any_db.work(prepare)


async def put(db: Database, point: str, now: dt.datetime, key: str = "k", purpose: str = "ticket") -> str:
    return await db.work(outbox.put, key=key, channel="sms", contact_point=point, purpose=purpose, text=SECRET, now=now)


async def state(db: Database, message: str) -> tuple[str, int]:
    row = await db.read(lambda session: session.get_one(OutMessage, message))
    return row.state, row.tries


async def settled(db: Database) -> list[str]:
    events = [each.event for each in await db.read(ledger.since, 0)]
    return [each.state for each in events if isinstance(each, MessageSettled)]


@contextlib.asynccontextmanager
async def sending(db: Database, server: HttpServer, clock: Clock, within_s: float = 5.0) -> AsyncIterator[Sender]:
    gateway = HttpGateway(server.url, within_s=within_s)
    try:
        yield Sender(db, gateway, clock)
    finally:
        await gateway.close()


async def accept(_asked):
    return as_json({"id": "gw"})


async def test_what_waits_is_sent_and_said_to_be(any_db, point, clock):
    messages = [await put(any_db, point, clock.now, f"k{number}") for number in range(20)]
    async with http_server(accept) as server, sending(any_db, server, clock) as sender:
        while await sender.send_due():
            pass
    assert sorted(asked.body["id"] for asked in server.asked) == sorted(messages)
    assert {await state(any_db, each) for each in messages} == {("sent", 1)}
    assert await settled(any_db) == ["sent"] * 20
    assert sender.waiting == 0


async def test_two_nodes_send_each_message_once(any_db, point, clock):
    messages = [await put(any_db, point, clock.now, f"k{number}") for number in range(30)]

    async def until_nothing(sender: Sender) -> None:
        while await sender.send_due():
            pass

    async with (
        http_server(accept) as server,
        sending(any_db, server, clock) as one,
        sending(any_db, server, clock) as two,
    ):
        await asyncio.gather(until_nothing(one), until_nothing(two))
        await until_nothing(one)
    assert sorted(asked.body["id"] for asked in server.asked) == sorted(messages)


async def test_a_node_that_dies_before_it_knows_leads_to_one_repetition_under_the_same_name(any_db, point, clock):
    message = await put(any_db, point, clock.now)
    hanging = asyncio.Event()

    async def answer(asked):
        if len(server.asked) == 1:
            await hanging.wait()  # heard, but the node never learns
        return as_json({"id": "gw"})

    async with http_server(answer) as server, sending(any_db, server, clock) as dying:
        running = asyncio.create_task(dying.run())
        await server.until_asked(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        async with sending(any_db, server, clock) as other:
            clock.forward(LEASE_S - 1)
            assert await other.send_due() == 0
            clock.forward(1)
            assert await other.send_due() == 1
            assert await other.send_due() == 0
    assert [asked.headers["idempotency-key"] for asked in server.asked] == [message, message]
    assert server.asked[0].body == server.asked[1].body
    assert await state(any_db, message) == ("sent", 2)
    assert await settled(any_db) == ["sent"]


async def test_a_gateway_that_comes_back_gets_what_waited_for_it(any_db, point, clock):
    message = await put(any_db, point, clock.now)
    replies = [Reply(503), Reply(500), Reply(429), as_json({})]

    async def answer(_asked):
        return replies.pop(0)

    async with http_server(answer) as server, sending(any_db, server, clock) as sender:
        for pause_s in (2, 5, 15):
            assert await sender.send_due() == 1
            clock.forward(pause_s - 1)
            assert await sender.send_due() == 0
            clock.forward(1)
        assert await sender.send_due() == 1
    assert await state(any_db, message) == ("sent", 4)


async def test_a_gateway_that_never_answers_is_given_up_after_eight_tries(any_db, point, clock):
    message = await put(any_db, point, clock.now)

    async def answer(_asked):
        return None

    async with http_server(answer) as server, sending(any_db, server, clock) as sender:
        for pause_s in (*outbox.PAUSE_S, 0):
            assert await sender.send_due() == 1
            clock.forward(pause_s)
        clock.forward(100_000)
        assert await sender.send_due() == 0
    assert len(server.asked) == outbox.TRIES_MAX
    assert await state(any_db, message) == ("failed", outbox.TRIES_MAX)
    assert await settled(any_db) == ["failed"]


async def test_a_refusal_is_final(any_db, point, clock):
    message = await put(any_db, point, clock.now)

    async def answer(_asked):
        return Reply(422)

    async with http_server(answer) as server, sending(any_db, server, clock) as sender:
        assert await sender.send_due() == 1
        clock.forward(100_000)
        assert await sender.send_due() == 0
    assert await state(any_db, message) == ("failed", 1)


async def test_an_old_code_never_reaches_the_gateway(any_db, point, clock):
    message = await put(any_db, point, clock.now, purpose="code")
    clock.forward(outbox.CODE_WORTH_S)
    async with http_server(accept) as server, sending(any_db, server, clock) as sender:
        await sender.send_due()
    assert server.asked == []
    assert await state(any_db, message) == ("failed", 0)


async def test_one_hanging_message_does_not_undo_what_was_sent_beside_it(any_db, point, clock):
    messages = [await put(any_db, point, clock.now, f"k{number}") for number in range(4)]
    silence = asyncio.Event()

    async def answer(asked):
        if asked.body["id"] == messages[0]:
            await silence.wait()
        return as_json({})

    async with http_server(answer) as server, sending(any_db, server, clock, within_s=1.5) as sender:
        assert await sender.send_due() == 4
    assert [await state(any_db, each) for each in messages] == [("waiting", 1), *[("sent", 1)] * 3]


async def test_what_is_put_into_the_outbox_while_it_runs_goes_out(db, now):
    """On one engine: the point is the task, not the tables."""

    def prepare(session):
        timeline.seed_channels(session)
        return contact_points.ensure(session, "phone", MOBILE, now=now).id

    point = await db.work(prepare)
    told = asyncio.Event()
    db.on_commit = lambda _news: told.set()
    async with http_server(accept) as server, sending(db, server, Clock(now)) as sender:
        running = asyncio.create_task(sender.run())
        message = await put(db, point, now)
        async with asyncio.timeout(10):
            await told.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert await state(db, message) == ("sent", 1)


async def test_without_a_gateway_messages_wait_and_one_line_says_so(any_db, point, clock):
    message = await put(any_db, point, clock.now)
    sender = Sender(any_db, None, clock)
    with capture_logs() as lines:
        for _ in range(3):
            assert await sender.send_due() == 0
    assert [line["event"] for line in lines] == ["messages.no_gateway"]
    assert sender.waiting == 1
    assert await state(any_db, message) == ("waiting", 0)


async def test_neither_text_nor_number_is_ever_logged(any_db, point, clock):
    await put(any_db, point, clock.now)
    await put(any_db, point, clock.now, "other")

    async def answer(_asked):
        return Reply(400, SECRET.encode()) if len(server.asked) == 1 else as_json({"id": MOBILE})

    with capture_logs() as lines:
        async with http_server(answer) as server, sending(any_db, server, clock) as sender:
            await sender.send_due()
    assert len(lines) == 2
    assert not any(secret in repr(lines) for secret in (SECRET, "471147", MOBILE, MOBILE[-7:]))
