"""Days on which one part of the machine is gone: PostgreSQL stopped or hanging, the bus's engine killed or hanging, Asterisk killed.
Two nodes share each bad day; callers, agents' pages and the books are asked afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy.orm import Session

from cti import cluster
from cti.asterisk import pbx
from cti.cluster import Cluster, Node
from cti.db import Database
from cti.demo import tones
from cti.demo.callers import Callers, NotAnswered
from cti.demo.sipp import Address
from cti.events import CallbackWanted, CallDelivered, CallEnded
from cti.switchboard import INTERRUPTED
from tests.live import crowd
from tests.live import site as live
from tests.live.crowd import PATIENCE_S, Office, Page, Person, page
from tests.live.site import AGENTS, LIMIT_S

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

LOG = logging.getLogger(__name__)
AWAY_S = 30.0  # PostgreSQL, stopped
HANGS_S = 12.0
WHOLE_S = 5.0  # after Asterisk answers again
POP_S = 1.5  # without the bus's engine


@dataclass
class Place:
    """The cluster, its agents' phones and the carrier."""

    cluster: Cluster
    callers: Callers
    db: Database

    @property
    def nodes(self) -> list[Node]:
        return self.cluster.nodes

    @property
    def office(self) -> Office:
        journals = [node.settings.journal for node in self.nodes]
        return Office(self.callers, self.db, self.nodes[0].url, journals)

    async def ask(self, command: str) -> str:
        assert self.cluster.switch is not None
        return await asyncio.to_thread(pbx.ask, self.cluster.switch.plan, command)

    async def clear(self) -> None:
        """No call, and every agent ready."""
        await self.ask("channel request hangup all")
        for agent in AGENTS:
            await self.ask(f"queue unpause member PJSIP/{agent}")

    async def until_ready(self, within_s: float) -> None:
        """Every node says that calls may come."""

        async def all_ready() -> bool | None:
            async with httpx2.AsyncClient(timeout=2) as client:
                try:
                    answers = [await client.get(f"{node.url}/readyz") for node in self.nodes]
                except httpx2.HTTPError:
                    return None
            return True if all(each.status_code == 200 for each in answers) else None

        await crowd.until(all_ready, "every node ready", within_s)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(tmp_path_factory: pytest.TempPathFactory, company: Path) -> AsyncIterator[Place]:
    settings = live.settings_in(tmp_path_factory.mktemp("place"))
    shutil.copytree(company / "prompts", settings.prompts)
    tones.tone_prompts(settings.prompts, tones.PROMPTS)
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(cluster.running(settings, nodes=2, balancer=False, say=live.quiet))
        assert made.switch is not None
        await stack.enter_async_context(live.phones_of(settings, made.switch.plan))
        callers = await stack.enter_async_context(Callers(Address(settings.sip_host, settings.sip_port)))
        db = Database(made.database_url)
        stack.push_async_callback(db.close)
        yield Place(made, callers, db)


@pytest_asyncio.fixture(loop_scope="module")
async def place(standing: Place) -> AsyncIterator[Place]:
    await standing.clear()
    await standing.until_ready(LIMIT_S)
    yield standing
    await standing.clear()


# --- PostgreSQL ---


async def test_postgresql_is_stopped_for_30_s_and_every_report_of_that_time_is_a_ticket(place: Place) -> None:
    known = crowd.customers()
    numbers = [*known[:8], *map(crowd.stranger, range(6)), *known[8:14]]
    postgres = place.cluster.postgres
    await crowd.a_day_without_records(place.office, numbers, AWAY_S, postgres.stop, postgres.start)


async def test_postgresql_hangs_and_every_report_of_that_time_is_a_ticket(place: Place) -> None:
    known = crowd.customers()[14:]
    numbers = [*known[:7], *map(crowd.stranger, range(6, 12))]
    postgres = place.cluster.postgres

    async def pause() -> None:
        postgres.pause()

    async def resume() -> None:
        postgres.resume()

    await crowd.a_day_without_records(place.office, numbers, HANGS_S, pause, resume)


# --- the bus's engine ---


@contextlib.asynccontextmanager
async def desks(url: str) -> AsyncIterator[list[Page]]:
    """Every agent's page, at one node."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(page(url, f"agent{agent}")) for agent in AGENTS]


async def follower(place: Place) -> Node:
    """The node that does not speak for the switch: what it shows came from the other."""
    async with httpx2.AsyncClient(timeout=2) as client:
        for node in place.nodes:
            if "santral_leads 0" in (await client.get(f"{node.url}/metrics")).text:
                return node
    raise AssertionError("expected one of two nodes not to lead")


async def pop_s(place: Place, pages: list[Page], number: str) -> float:
    """How long after the phone rang the agent's page showed it."""
    since = [len(each.messages) for each in pages]
    before = {each.offer for each in await place.db.read(delivered)}
    person = Person(number, await place.callers.dial(number))
    try:
        await person.follow(crowd.WANTS_A_PERSON, (tones.AGENT,))

        async def offered() -> CallDelivered | None:
            new = [each for each in await place.db.read(delivered) if each.offer not in before]
            return new[0] if new else None

        offer = await crowd.until(offered, "an offer in the ledger", PATIENCE_S)
        agent = AGENTS.index(offer.agent)
        came_at = await pages[agent].until(lambda said: shows(said, offer.offer), "the pop", PATIENCE_S, since[agent])
        assert sum(any(shows(said, offer.offer) for _, said in each.messages) for each in pages) == 1
        return came_at - dt.datetime.fromisoformat(offer.read_at).timestamp()
    finally:
        await person.call.hang_up()


def delivered(session: Session) -> list[CallDelivered]:
    return crowd.read(session).of(CallDelivered)


def shows(message: dict[str, Any], offer: str) -> bool:
    """Is this card on its way to the page with this message?"""
    cards = [each["card"] for each in message.get("changes", ()) if each["part"] == "card"]
    return any(card["offer"] == offer for card in cards)


async def test_the_bus_engine_is_killed_or_hangs_and_a_page_on_the_other_node_still_gets_its_pop(place: Place) -> None:
    engine, node = place.cluster.valkey, await follower(place)
    async with desks(node.url) as pages:
        usual_s = await pop_s(place, pages, crowd.stranger(20))
        engine.kill()
        killed_s = await pop_s(place, pages, crowd.stranger(21))
        await engine.start()
        engine.pause()
        try:
            hung_s = await pop_s(place, pages, crowd.stranger(22))
        finally:
            engine.resume()
    LOG.info("pop on the other node: usually %.3f s, engine killed %.3f s, hanging %.3f s", usual_s, killed_s, hung_s)
    assert max(killed_s, hung_s) <= POP_S


# --- Asterisk ---


async def talks(person: Person) -> None:
    await person.follow(crowd.WANTS_A_PERSON, (tones.AGENT,))


async def waits(person: Person) -> None:
    await person.follow(crowd.WANTS_A_PERSON, ("hold",))


async def is_in_the_menu(person: Person) -> None:
    await person.call.until_tone("menu", person.call.answered_at_s, PATIENCE_S)


async def on_the_line(place: Place, number: str, wish: crowd.Wish) -> Person:
    """Who has come so far, and stays."""
    person = Person(number, await place.callers.dial(number))
    await wish(person)
    return person


async def answers_again(place: Place) -> float:
    """When Asterisk answers at its ARI port, on the loop's clock."""
    assert place.cluster.switch is not None
    plan = place.cluster.switch.plan
    known = pbx.keep_secrets(plan)
    address = f"http://{plan.control_host}:{plan.http_port}/ari/asterisk/ping"

    async def pings() -> float | None:
        with contextlib.suppress(httpx2.HTTPError):
            async with httpx2.AsyncClient(auth=(known.user, known.ari), timeout=1) as client:
                if (await client.get(address)).status_code == 200:
                    return asyncio.get_running_loop().time()
        return None

    return await crowd.until(pings, "an answer of Asterisk", LIMIT_S)


async def served_again(place: Place) -> tuple[float, int]:
    """When a new caller heard the flow's first prompt; and how many before him were served by the dialplan alone."""
    for turn in range(50):
        with contextlib.suppress(NotAnswered):
            call = await place.callers.dial(crowd.stranger(40 + turn))
            heard = await call.until_any(("welcome", *tones.QUEUE_TONES), call.answered_at_s, PATIENCE_S)
            await call.hang_up()
            if heard.name == "welcome":
                return heard.begin_s, turn
    raise AssertionError("expected a call to be served by the flow, the dialplan served 50")


async def test_asterisk_is_killed_under_load_and_every_call_that_it_cut_has_an_end_and_a_callback(place: Place) -> None:
    loop, strangers = asyncio.get_running_loop(), iter(range(30, 40))
    assert place.cluster.switch is not None
    async with desks(place.nodes[0].url) as pages:
        cut = [await on_the_line(place, crowd.stranger(next(strangers)), talks) for _ in AGENTS]
        rest = [(crowd.stranger(next(strangers)), waits) for _ in range(4)]
        rest += [(number, is_in_the_menu) for number in crowd.customers()[-4:]]
        cut += await asyncio.gather(*(on_the_line(place, *each) for each in rest))
        assert [each.phone for each in pages] == ["in_use"] * len(AGENTS)
        place.cluster.switch.kill()
        booted_s = await answers_again(place)
        served_s, unserved = await served_again(place)
        await place.until_ready(WHOLE_S)
        ready_s = loop.time()
        books = await crowd.closed_books(place.db, cut, WHOLE_S)
        closed_s = loop.time()
        await crowd.until(partial(nobody_is_busy, place, pages), "no agent busy", WHOLE_S)
        idle_s = loop.time()
        await asyncio.gather(*(each.call.hang_up() for each in cut))
    LOG.info(
        "Asterisk killed with %d calls; after its boot: flow serves %.2f s (%d by the dialplan before), nodes ready %.2f s, books "
        "closed %.2f s, nobody busy %.2f s",
        len(cut), *(served_s - booted_s, unserved), *(each - booted_s for each in (ready_s, closed_s, idle_s)),
    )  # fmt: skip
    assert max(served_s, ready_s, closed_s, idle_s) - booted_s <= WHOLE_S
    crowd.each_once(books, cut)
    conversations = [books.one_of(each.number) for each in cut]
    ends = {(each.reason, each.cause) for each in books.of(CallEnded, conversations)}
    assert ends == {("lost", INTERRUPTED)}
    wanted = sorted((each.conversation, each.reason) for each in books.of(CallbackWanted, conversations))
    assert wanted == sorted((each, "interrupted") for each in conversations)


async def nobody_is_busy(place: Place, pages: list[Page]) -> bool | None:
    open_offers = (await place.db.read(crowd.read)).open_offers
    return True if not open_offers and not any(each.phone == "in_use" for each in pages) else None
