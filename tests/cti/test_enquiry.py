"""A CRM's word about a call that goes on: asked for when we do not know, written down whenever it comes, and never in the way."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from cti.crm import Resolver
from cti.db import Database
from cti.enquiry import Enquiry
from cti.events import CallIdentified, Recorded
from cti.line import Caller
from cti.records import standing
from cti.records.conversations import Conversation
from cti.switchboard import arrived
from tests.fakes import company
from tests.fakes.http_server import Answering, HttpServer, as_json, http_server

MOBILE = "+905321234567"
ALI = {"external_id": "C-17", "name": "Ali Yılmaz"}


@contextlib.asynccontextmanager
async def asking(answering: Answering, timeout_s: float = 5.0) -> AsyncIterator[tuple[HttpServer, Resolver]]:
    async with http_server(answering) as server:
        resolver = Resolver(server.url, timeout_s=timeout_s)
        try:
            yield server, resolver
        finally:
            await resolver.close()


async def knows(_asked):
    return as_json({"party": ALI})


@pytest_asyncio.fixture
async def call(db, now):
    """The conversation of somebody whom our records do not know."""

    def prepare(session):
        standing.load(session)
        return arrived(session, Caller("1.1", "02125550100", MOBILE, ""), region="TR", now=now).conversation

    return await db.work(prepare)


def identified(db: Database) -> tuple[asyncio.Event, list[CallIdentified]]:
    """What the world hears of who calls; set when it hears something."""
    said = asyncio.Event()
    heard: list[CallIdentified] = []

    def on_commit(news: list[Any]) -> None:
        heard.extend(each.event for each in news if isinstance(each.event, CallIdentified))
        if heard:
            said.set()

    db.on_commit = on_commit
    return said, heard


@pytest.mark.parametrize("timeout_s", [5.0, 0.01], ids=["early", "late"])
async def test_the_answer_is_written_down_whether_it_comes_early_or_late(db, now, call, timeout_s):
    said, heard = identified(db)
    go = asyncio.Event()

    async def answer(_asked):
        await go.wait()
        return as_json({"party": ALI})

    async with asking(answer, timeout_s=timeout_s) as (server, resolver):
        enquiry = Enquiry(db, resolver, lambda: now)
        enquiry.begin(call)
        await server.until_asked(1)
        if timeout_s < 1:
            assert await resolver.resolve(MOBILE) is None  # so the enquiry does not wait any longer either
        go.set()
        async with asyncio.timeout(10):
            await said.wait()
        await enquiry.close()
    assert [(each.method, each.level, each.candidates[0].party_name) for each in heard] == [("crm", 1, "Ali Yılmaz")]


async def test_old_links_count_as_long_as_the_operator_says(db, now):
    async with asking(knows) as (_, resolver):
        enquiry = Enquiry(db, resolver, lambda: now + dt.timedelta(days=100), unseen_days=30)
        await db.work(company.load, now)
        caller = Caller("1.1", "02125550100", company.SHARED, "")
        call = (await db.work(arrived, caller, region="TR", now=now + dt.timedelta(days=100))).conversation
        said, heard = identified(db)
        enquiry.begin(call)
        async with asyncio.timeout(10):
            await said.wait()
        await enquiry.close()
    assert [each.party_name for each in heard[-1].candidates] == ["Ali Yılmaz"]


async def test_who_is_known_for_sure_or_withholds_his_number_is_not_asked_about(db, now):
    async with asking(knows) as (server, resolver):
        enquiry = Enquiry(db, resolver, lambda: now)
        await db.work(company.load, now)

        def on_commit(news: list[Recorded]) -> None:
            for each in news:
                enquiry.hear(each)

        db.on_commit = on_commit
        for channel, number in enumerate([company.HIS, company.SHARED, MOBILE, "anonymous", "112", "xyz"]):
            await db.work(arrived, Caller(f"1.{channel}", "0212 555 01 00", number, ""), region="TR", now=now)
        await enquiry.idle()
        await enquiry.close()
    assert {asked.body["e164"] for asked in server.asked} == {company.SHARED, MOBILE}
    assert {asked.body["did"] for asked in server.asked} == {"0212 555 01 00"}


async def test_a_call_that_is_over_is_not_asked_about(db, now, call):
    await db.work(lambda session: setattr(session.get_one(Conversation, call), "state", "ended"))
    async with asking(knows) as (server, resolver):
        enquiry = Enquiry(db, resolver, lambda: now)
        enquiry.begin(call)
        await enquiry.idle()
        await enquiry.close()
    assert server.asked == []


async def test_an_answer_that_cannot_be_written_breaks_nothing(db, now, call):
    async with asking(knows) as (_, resolver):
        enquiry = Enquiry(db, resolver, lambda: now.replace(tzinfo=None))  # a clock without a zone: every write raises
        with capture_logs() as lines:
            enquiry.begin(call)
            assert await resolver.resolve(MOBILE) is not None
            await enquiry.idle()
        await enquiry.close()
    assert "crm.not_written" in [line["event"] for line in lines]
