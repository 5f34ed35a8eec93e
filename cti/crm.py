"""Asks an outside CRM who has a number. The contract that a CRM keeps is in docs/outside.md.

`Resolver` bears a CRM that is slow, dead or talks nonsense: answers are remembered, one number is asked for once at a time, and after
FAILURES_MAX failures in a row nobody asks for OPEN_S. Who asks when, and what becomes of the answer, is in enquiry.py.
"""

from __future__ import annotations

import asyncio
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from cti import numbers
from cti.outside import Answer, NoAnswer, Outside
from cti.records.crm import CrmParty

TIMEOUT_S = 0.3  # for whoever waits
GIVE_UP_S = 5.0  # for the request itself
KNOWN_S, UNKNOWN_S = 600.0, 60.0  # how long "it is this one" and "nobody" are remembered
REMEMBERED_MAX = 10_000  # numbers
AT_ONCE_MAX = 20  # requests
FAILURES_MAX = 5  # in a row
OPEN_S = 30.0  # then one request goes out to see
TAGS_MAX = 20

log = structlog.get_logger(__name__)


class Garbage(ValueError):
    """An answer that is none: the text says what was expected, never what came."""


# --- what is asked, and what counts as an answer ------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Control characters and what turns text around or into markup are no part of a name."""
    if any(letter in "<>" or unicodedata.category(letter).startswith("C") for letter in text):
        raise ValueError("expected plain text")
    return text


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_plain)]
Key = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(_plain)]
CustomerNo = Annotated[str, StringConstraints(min_length=1, max_length=32), AfterValidator(_plain)]
Tag = Annotated[str, StringConstraints(pattern=r"^\S{1,40}$"), AfterValidator(_plain)]


class _Party(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    external_id: Key
    name: Name
    kind: Literal["person", "organisation"] = "person"
    customer_no: CustomerNo | None = None
    tags: list[Tag] = []


class _Told(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    party: _Party | None


def read(answer: Answer) -> CrmParty | None:
    """Who it is; None: the CRM knows nobody. Raises Garbage for everything else that may come."""
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise Garbage(f"expected HTTP 200 or 404, got {answer.status}")
    if answer.body is None:
        raise Garbage("expected a short plain answer, got a long, packed or cut one")
    try:
        party = _Told.model_validate_json(answer.body).party
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise Garbage(f"{where}: {first['type']}") from None
    if party is None:
        return None
    return CrmParty(
        external_id=party.external_id, name=party.name, kind=party.kind, customer_no=party.customer_no,
        tags=tuple(party.tags[:TAGS_MAX]),
    )  # fmt: skip


# --- what is remembered -------------------------------------------------------------------------------------------------


class Memory:
    """The last answers by number. Times are seconds of a clock that never goes back."""

    def __init__(self, most: int = REMEMBERED_MAX) -> None:
        self._most = most
        self._answers: OrderedDict[str, tuple[float, CrmParty | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def keep(self, e164: str, party: CrmParty | None, now: float) -> None:
        self._answers[e164] = (now + (KNOWN_S if party else UNKNOWN_S), party)
        self._answers.move_to_end(e164)
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def find(self, e164: str, now: float) -> tuple[CrmParty | None] | None:
        """The answer in a tuple, for "nobody" is one too; None when there is none that still holds."""
        until, party = self._answers.get(e164, (now, None))
        return (party,) if now < until else None


class Breaker:
    """Closed until FAILURES_MAX failures in a row; then open for OPEN_S; then it lets one through, whose fate decides."""

    def __init__(self) -> None:
        self._failures = 0
        self._open_until: float | None = None

    def is_closed(self) -> bool:
        return self._open_until is None

    def lets_through(self, now: float) -> bool:
        """Ask only when going at once: when open, the next one is kept out for OPEN_S from now."""
        if self._open_until is None:
            return True
        if now < self._open_until:
            return False
        self._open_until = now + OPEN_S
        return True

    def answered(self) -> None:
        self._failures, self._open_until = 0, None

    def failed(self, now: float) -> None:
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._open_until = now + OPEN_S


# --- asking ---------------------------------------------------------------------------------------------------------------


@dataclass
class _Request:
    """On its way. `late`: conversations that did not wait for it any longer."""

    answer: asyncio.Future[CrmParty | None]
    late: list[str] = field(default_factory=list)


Late = Callable[[str, CrmParty], Awaitable[None]]


async def _nowhere(_conversation: str, _party: CrmParty) -> None:
    pass


class Resolver:
    """`on_late` hears (conversation, party) for each who did not wait long enough; nothing when nobody is known. Raises
    outside.BadAddress when `url` is none. `clock`: seconds that never go back."""

    def __init__(
        self, url: str, token: str = "", *, timeout_s: float = TIMEOUT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._outside = Outside(url, token)
        self._timeout_s, self._clock = timeout_s, clock
        self._memory, self._breaker = Memory(), Breaker()
        self._requests: dict[str, _Request] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_late: Late = _nowhere
        self.asked = self.failed = self.late = self.kept_out = 0  # for /metrics

    @property
    def answers(self) -> bool:
        """False while nobody asks, because it failed too often."""
        return self._breaker.is_closed()

    async def resolve(self, e164: str, *, did: str = "", conversation: str = "") -> CrmParty | None:
        """Who has this number. None after `timeout_s` at the latest, and when nobody has it or nobody can be asked. Never raises."""
        if known := self._memory.find(e164, self._clock()):
            return known[0]
        request = self._requests.get(e164) or self._go(e164, did, conversation)
        if request is None:
            return None
        await asyncio.wait([request.answer], timeout=self._timeout_s)
        if request.answer.done():
            return request.answer.result()
        self.late += 1
        request.late.append(conversation)
        return None

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._outside.close()

    def _go(self, e164: str, did: str, conversation: str) -> _Request | None:
        """Send a request on its way, unless too many are or it failed too often."""
        if len(self._requests) >= AT_ONCE_MAX or not self._breaker.lets_through(self._clock()):
            self.kept_out += 1
            return None
        request = _Request(asyncio.get_running_loop().create_future())
        self._requests[e164] = request
        task = asyncio.create_task(self._fly(request, e164, did, conversation), name="crm")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return request

    async def _fly(self, request: _Request, e164: str, did: str, conversation: str) -> None:
        party: CrmParty | None = None
        try:
            party = await self._ask(e164, did, conversation)
        finally:
            del self._requests[e164]
            if not request.answer.done():
                request.answer.set_result(party)
        if party is not None:
            for each in filter(None, request.late):
                await self.on_late(each, party)

    async def _ask(self, e164: str, did: str, conversation: str) -> CrmParty | None:
        self.asked += 1
        body = {"e164": e164, "did": did, "conversation": conversation}
        try:
            party = read(await self._outside.post(body, within_s=GIVE_UP_S))
        except (NoAnswer, Garbage) as error:
            self.failed += 1
            self._breaker.failed(self._clock())
            log.warning("crm.no_answer", number=numbers.mask(e164), call=conversation, error=str(error))
            return None
        self._breaker.answered()
        self._memory.keep(e164, party, self._clock())
        return party
