"""Proof by a code on a real call: the flow of docs/proof.md, an SMS that another telephone receives, and its digits keyed on this one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cti.app import House, utc_now
from cti.events import CallEnded, CallIdentified, FlowEntered, ProofGiven, ProofRefused
from cti.identity import Level
from cti.records import contact_points, links
from ivr import document, prompts, store
from tests.fakes.http_server import Asked, HttpServer, Reply, as_json, http_server
from tests.ivr.flows import by_code
from tests.live import site as live
from tests.live.site import Placed, Site

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

LANDLINE = "02125550101#"
HIS, HERS = "+905325550123", "+905335550145"  # of that home; a code goes to the one that was verified last
MOBILES = iter(f"0542556{each:04d}" for each in range(7000, 7999))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[HttpServer]:
    """Takes every text message; `asked` is what the telephones show."""

    async def take(asked: Asked) -> Reply:
        return as_json({"id": asked.body["id"]}, 202)

    async with http_server(take) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(
    tmp_path_factory: pytest.TempPathFactory, company: Path, product_logs: None, gateway: HttpServer
) -> AsyncIterator[Site]:
    """A site that sends its messages by `gateway` and answers with the flow that asks for a code."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SANTRAL_SMS_URL", gateway.url)
        async with live.running(tmp_path_factory.mktemp("site"), company) as site:
            await answers_with_a_code(site.house)
            yield site


async def answers_with_a_code(house: House) -> None:
    """Publish the flow under the name by which calls are answered, and let its prompts be spoken."""
    plain = by_code() | {"id": "main"}
    await house.voice.build(prompts.all_pieces(document.read(plain)), live.quiet)
    await house.db.work(store.publish, plain, by="test", now=utc_now())
    await house.reception.open()


def verify(session, number: str) -> None:
    """It is of this home for sure, so a code may go there."""
    for row in contact_points.links_to(session, number):
        links.verify(session, row.id, method="document", by="test", now=utc_now())


async def received(gateway: HttpServer, since: int, number: str) -> str:
    """The code as the other telephone shows it."""
    await gateway.until_asked(since + 1)
    (message,) = (each.body for each in gateway.asked[since:])
    assert message["to"] == number
    assert message["text"].startswith("Santral: doğrulama kodunuz ")
    (code,) = re.findall(r"\b\d{6}\b", message["text"])
    return str(code)


def path(site: Site, placed: Placed) -> list[str]:
    return [each.node for each in site.found(FlowEntered, placed.conversation)]


async def test_the_code_from_the_other_telephone_reaches_level_three(site: Site, gateway: HttpServer) -> None:
    await site.house.db.work(verify, HIS)
    since = len(gateway.asked)
    async with site.call(next(MOBILES), [LANDLINE]) as placed:
        code = await received(gateway, since, HIS)
        await placed.call.press_each([code])
        who = await site.until(CallIdentified, placed.conversation, where=lambda event: event.level >= Level.VERIFIED)
        await site.until(FlowEntered, placed.conversation, where=lambda event: event.node == "verified")
    await site.until(CallEnded, placed.conversation)
    assert (who.method, who.outcome, who.level) == ("keys", "unique", Level.VERIFIED)
    assert path(site, placed) == ["code", "verified"]
    assert [each.factor for each in site.found(ProofGiven, placed.conversation)] == ["landline", "one_time_code"]
    assert code not in str([each.event for each in await site.ledger(placed.conversation)])


async def test_another_code_than_the_one_that_was_sent_reaches_nothing(site: Site, gateway: HttpServer) -> None:
    await site.house.db.work(verify, HERS)
    since = len(gateway.asked)
    async with site.call(next(MOBILES), [LANDLINE]) as placed:
        code = await received(gateway, since, HERS)
        await placed.call.press_each([f"{(int(code) + 1) % 10**6:06}"])
        refused = await site.until(ProofRefused, placed.conversation)
        await site.until(FlowEntered, placed.conversation, where=lambda event: event.node == "not_verified")
    await site.until(CallEnded, placed.conversation)
    assert (refused.factor, refused.why) == ("one_time_code", "wrong")
    assert path(site, placed) == ["code", "not_verified"]
    assert max(each.level for each in site.found(CallIdentified, placed.conversation)) == Level.MATCHED


async def test_a_number_that_nobody_has_goes_the_same_way_and_sends_nothing(site: Site, gateway: HttpServer) -> None:
    since = len(gateway.asked)
    async with site.call(next(MOBILES), ["1999999#"]) as placed:
        await site.until(FlowEntered, placed.conversation, where=lambda event: event.node == "code")
        await placed.call.press_each(["471147"])
        await site.until(FlowEntered, placed.conversation, where=lambda event: event.node == "not_verified")
    await site.until(CallEnded, placed.conversation)
    assert path(site, placed) == ["code", "not_verified"]
    assert len(gateway.asked) == since
    assert site.found(ProofGiven, placed.conversation) == []
