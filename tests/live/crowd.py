"""People on a bad day: callers who want something and go on until they have it, pages that keep what they are told, and the books that
are read afterwards. Prompts are tones, so that a caller knows which one he hears.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from sqlalchemy import select
from sqlalchemy.orm import Session
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from cti import ledger
from cti.db import Database
from cti.demo import people, rtp, tones
from cti.demo.callers import Callers, CallOver, LiveCall
from cti.events import CallArrived, CallEnded, Event, Recorded
from cti.records.callbacks import Callback
from cti.records.conversations import Offer
from cti.records.tickets import Ticket
from screenpop.protocol import SUBPROTOCOL
from tests.live.site import PASSWORD

LOG = logging.getLogger(__name__)
PATIENCE_S = 25.0  # of a caller, for one prompt
SILENCE_MAX_S = 3.0
SAME_TONE_S = 0.3  # a prompt that goes on for so long after the key has not heard it
MESSAGE_S = 1.2  # spoken; shorter than what would count as dead air
QUIET_S = 0.2
LOOK_S = 0.05
TALKS_S = 2.0
BACK_S = 30.0  # until all that was noted is where it belongs
EARLY = 5  # callers who are in the menu when the records go
HIS_VOICE = rtp.tone(450, 3000, 1.0)

REPORTS: Mapping[str, str] = {"menu": "1", "restarted": "1", "degraded": "1"}  # the prompt heard -> the key pressed
WANTS_A_PERSON: Mapping[str, str] = {"menu": "0", "stranger": "0", "degraded": "0"}
KEPT = ("opened", "existing", "noted", "message_kept")
WITH_PEOPLE = (*tones.QUEUE_TONES, tones.AGENT)

T = TypeVar("T")
E = TypeVar("E", bound=Event)


def customers() -> list[str]:
    """One number of each home that is known by it, has one line and no outage, as the carrier sends it."""
    holders = [home.people[0].mobile for home in people.homes()[len(people.BY_HAND) :] if home.area != "Ümraniye-1"]
    return [f"0{number.removeprefix('+90')}" for number in holders]


def stranger(each: int) -> str:
    return f"0542555{4000 + each}"


async def until_s(at_s: float) -> None:
    """Return at this moment of the loop's clock."""
    loop = asyncio.get_running_loop()
    come: asyncio.Future[None] = loop.create_future()
    loop.call_at(at_s, come.set_result, None)
    await come


async def until(question: Callable[[], Awaitable[T | None]], wanted: str, within_s: float) -> T:
    """Ask another process until it has an answer. AssertionError."""
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + within_s
    while loop.time() < give_up_s:
        if (answer := await question()) is not None:
            return answer
        await until_s(loop.time() + LOOK_S)
    raise AssertionError(f"expected {wanted} within {within_s} s")


# --- callers ---


@dataclass
class Person:
    """Somebody who calls, and what he heard at last: one of KEPT, or of those who wait or talk."""

    number: str
    call: LiveCall
    outcome: str = ""

    async def stays(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await self.call.until_ended(seconds)

    async def follow(self, keys: Mapping[str, str], goals: Collection[str]) -> str:
        """Press the key for each prompt that asks for one, until one of `goals` is heard."""
        since_s = self.call.answered_at_s
        while True:
            heard = await self.call.until_any((*keys, *goals), since_s, PATIENCE_S)
            if heard.name in goals:
                self.outcome = heard.name
                return heard.name
            await self.call.press(keys[heard.name])
            since_s = SAME_TONE_S + next(tone.end_s for tone in reversed(self.call.tones) if tone.name == heard.name)

    async def report(self, *, ends_by: str = "#") -> None:
        """Report a fault by keys, or in his own words where he is asked for them; `ends_by` "": he hangs up when he has spoken."""
        if await self.follow(REPORTS, (*KEPT, "message")) != "message":
            return
        await self.call.until_quiet(QUIET_S, PATIENCE_S)
        self.call.speak(HIS_VOICE)
        await self.stays(MESSAGE_S)
        if not ends_by:
            await self.call.hang_up()
            return
        self.call.speak(b"")
        await self.call.press(ends_by)
        self.outcome = (await self.call.until_tone("message_kept", self.call.answered_at_s, PATIENCE_S)).name

    async def reach_a_person(self) -> None:
        await self.follow(WANTS_A_PERSON, WITH_PEOPLE)

    @property
    def silence_max_s(self) -> float:
        return max((gap.long_s for gap in self.call.gaps), default=0.0)


Wish = Callable[[Person], Awaitable[None]]


async def one_call(callers: Callers, number: str, wish: Wish, *, at_s: float = 0.0) -> Person:
    """A whole call, begun at `at_s` of the loop's clock. AssertionError with the call's story when it does not go as it should."""
    await until_s(at_s)
    person = Person(number, await callers.dial(number))
    try:
        await wish(person)
    except (TimeoutError, CallOver) as broken:
        raise AssertionError(f"{broken}\n{person.call.story()}") from broken
    finally:
        await person.call.hang_up()
    return person


def judge(crowd: Sequence[Person], *, silence_max_s: float = SILENCE_MAX_S) -> float:
    """Nobody was cut off and nobody heard nothing for too long. The longest silence of all is returned and said."""
    worst = max(crowd, key=lambda person: person.silence_max_s)
    LOG.info("%d callers, longest silence %.2f s", len(crowd), worst.silence_max_s)
    assert [each.call.story() for each in crowd if each.call.ended_by != "us"] == []
    assert worst.silence_max_s <= silence_max_s, f"{worst.call.gaps}\n{worst.call.story()}"
    return worst.silence_max_s


# --- books ---


@dataclass(frozen=True)
class Books:
    """The ledger and the records at one moment."""

    events: list[Recorded]
    tickets: list[Ticket]
    callbacks: list[Callback]
    open_offers: list[Offer]

    def of(self, kind: type[E], conversations: Collection[str] | None = None) -> list[E]:
        found = [each.event for each in self.events if isinstance(each.event, kind)]
        return [each for each in found if conversations is None or getattr(each, "conversation", None) in conversations]

    def conversations(self, numbers: Collection[str]) -> list[str]:
        return [each.conversation for each in self.of(CallArrived) if each.raw in numbers]

    def one_of(self, number: str) -> str:
        """The only conversation with this number."""
        found = self.conversations((number,))
        assert len(found) == 1, f"expected one conversation with {number}, found {len(found)}"
        return found[0]


def read(session: Session) -> Books:
    offers = select(Offer).where(Offer.state.in_(("offered", "answered")), Offer.ended_at.is_(None))
    return Books(
        ledger.since(session, 0, 100_000), list(session.scalars(select(Ticket))), list(session.scalars(select(Callback))),
        list(session.scalars(offers)),
    )  # fmt: skip


async def closed_books(db: Database, crowd: Sequence[Person], within_s: float) -> Books:
    """Once every call of these has an end there. AssertionError."""
    numbers = {each.number for each in crowd}

    async def all_ended() -> Books | None:
        books = await db.read(read)
        calls = books.conversations(numbers)
        ended = {each.conversation for each in books.of(CallEnded)}
        return books if len(calls) >= len(numbers) and ended >= set(calls) else None

    return await until(all_ended, f"an end of each of {len(numbers)} calls in the ledger", within_s)


def each_once(books: Books, crowd: Sequence[Person]) -> None:
    """Each call arrived once and ended once."""
    for person in crowd:
        conversation = books.one_of(person.number)
        assert len(books.of(CallEnded, (conversation,))) == 1, conversation


def each_report_is_a_ticket(books: Books, reporters: Sequence[Person]) -> dict[str, int]:
    """Exactly one ticket each; whoever heard no number of it is called back. Returns how many heard what."""
    heard: dict[str, int] = {}
    for person in reporters:
        conversation = books.one_of(person.number)
        heard[person.outcome] = heard.get(person.outcome, 0) + 1
        tickets = [each.id for each in books.tickets if each.conversation == conversation]
        assert len(tickets) == 1, f"{person.outcome}: {len(tickets)} tickets of {conversation}\n{person.call.story()}"
        wanted = [(each.reason, each.ticket_id) for each in books.callbacks if each.conversation == conversation]
        reasons = {"noted": "noted", "message": "message", "message_kept": "message"}
        if person.outcome in reasons:
            assert wanted == [(reasons[person.outcome], tickets[0])], person.call.story()
    LOG.info("reports: %s", heard)
    return heard


# --- pages ---


@dataclass
class Page:
    """A socket as a page has it: every message, with the wall clock's second at which it came."""

    socket: ClientConnection
    cookie: str
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        async for text in self.socket:
            message = json.loads(text)
            self.messages.append((time.time(), message))
            self._news.set()
            if message["type"] == "ping":
                await self.socket.send('{"type":"pong","seq":0}')

    async def until(
        self, holds: Callable[[dict[str, Any]], bool], wanted: str, within_s: float, since: int = 0
    ) -> float:
        """When the first message after the first `since` came that `holds` likes."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for at, message in self.messages[since:]:
                        if holds(message):
                            return at
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"expected {wanted} within {within_s} s, came {self.messages[-5:]}") from None

    @property
    def degraded(self) -> list[list[str]]:
        """What the page was told to be away, each time."""
        return [message["degraded"] for _, message in self.messages if message["type"] == "state"]

    def cards(self, state: str) -> list[tuple[float, dict[str, Any]]]:
        """Cards that were pushed in this state."""
        changes = [(at, each) for at, message in self.messages for each in message.get("changes", ())]
        return [(at, each["card"]) for at, each in changes if each["part"] == "card" and each["card"]["state"] == state]

    @property
    def phone(self) -> str:
        """The agent's phone as the page shows it."""
        shown = ""
        for _, message in self.messages:
            if message["type"] == "snapshot":
                shown = message["seat"]["agent"]["phone"]
            for change in message.get("changes", ()):
                if change["part"] in ("agent", "seat"):
                    shown = (change.get("seat") or change)["agent"]["phone"]
        return shown


@contextlib.asynccontextmanager
async def page(url: str, user: str) -> AsyncIterator[Page]:
    """This user's page at the node with this address; its snapshot has come."""
    async with httpx2.AsyncClient(base_url=url, headers={"origin": url}, timeout=PATIENCE_S) as client:
        answer = await client.post("/api/v1/session", json={"user": user, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    address = f"ws{url.removeprefix('http')}/api/v1/stream"
    async with connect(
        address, additional_headers={"cookie": cookie}, origin=Origin(url), subprotocols=[Subprotocol(SUBPROTOCOL)],
        max_size=None, proxy=None,
    ) as socket:  # fmt: skip
        await socket.send('{"type":"hello","v":1,"epoch":null,"seq":null,"language":"tr"}')
        made = Page(socket, cookie)
        listening = asyncio.create_task(made.listen())
        try:
            await made.until(lambda message: message["type"] == "snapshot", "a snapshot", PATIENCE_S)
            yield made
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


# --- a day without records ---


@dataclass(frozen=True)
class Office:
    """Where a crowd calls. `url`: of a node whose page is watched; `journals`: of all nodes."""

    callers: Callers
    db: Database
    url: str
    journals: Sequence[Path]

    async def until_replayed(self) -> None:
        async def empty() -> bool | None:
            return True if not any(each.exists() and each.stat().st_size for each in self.journals) else None

        await until(empty, "journals without an entry", BACK_S)

    async def until_heard(self, tone: str, many: int) -> None:
        async def heard() -> bool | None:
            lately = [each for each in self.callers.live if each.tones and each.tones[-1].name == tone]
            return True if len(lately) >= many else None

        await until(heard, f"{many} callers who hear {tone}", BACK_S)


async def waits_in_the_menu(person: Person, *, broken: asyncio.Event) -> None:
    """Hears the menu before the records go, and chooses afterwards."""
    await person.call.until_tone("menu", person.call.answered_at_s, PATIENCE_S)
    await broken.wait()
    await person.report()


async def reaches_a_person(person: Person) -> None:
    await person.reach_a_person()
    await person.stays(TALKS_S)


async def hangs_up_after_speaking(person: Person) -> None:
    await person.report(ends_by="")


LATER: Sequence[Wish] = (Person.report, reaches_a_person, hangs_up_after_speaking)
Act = Callable[[], Awaitable[None]]


async def a_day_without_records(office: Office, numbers: Sequence[str], away_s: float, stop: Act, start: Act) -> Page:
    """The first EARLY callers are in the menu when the records go, the others call while they are away. Nobody hears silence, every
    call is in the ledger once, and every report of that day is a ticket. Returns the page that agent1001 had all the while."""
    loop = asyncio.get_running_loop()
    async with page(office.url, "agent1001") as shown:
        broken = asyncio.Event()
        early = [
            asyncio.create_task(one_call(office.callers, each, partial(waits_in_the_menu, broken=broken)))
            for each in numbers[:EARLY]
        ]
        await office.until_heard("menu", EARLY)
        began_s = loop.time()
        await stop()
        broken.set()
        step_s = (away_s - SILENCE_MAX_S) / len(numbers[EARLY:])
        late = [
            asyncio.create_task(one_call(office.callers, number, LATER[each % 3], at_s=began_s + each * step_s))
            for each, number in enumerate(numbers[EARLY:])
        ]
        await until_s(began_s + away_s)
        await start()
        back_s = loop.time()
        everybody = await asyncio.gather(*early, *late)
        await office.until_replayed()
        LOG.info("records away %.1f s, all noted in them %.1f s later", back_s - began_s, loop.time() - back_s)
        await shown.until(lambda said: said.get("degraded") == [], "a page that works with everything", BACK_S)
    judge(everybody)
    books = await closed_books(office.db, everybody, BACK_S)
    each_once(books, everybody)
    for_people = everybody[EARLY + 1 :: 3]
    assert {each.outcome for each in for_people} <= set(WITH_PEOPLE)
    each_report_is_a_ticket(books, [each for each in everybody if each not in for_people])
    assert {each.outcome for each in everybody[:EARLY]} <= {"noted", "opened"}
    return shown
