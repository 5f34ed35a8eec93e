"""The demo carrier: places real SIP calls from the trunk's address, as a person with an ear and keys, or many at a rate.

A single call is one SIPp process for the signalling and one `Ear` for the voice. What a stranger could write into his
name, number or headers can be written here too: it goes to the wire byte for byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cti.demo.ear import QUIET_S, Ear
from cti.demo.sipp import ENDED, Address, Sipp, free_port, keywords, scenario

DID = "02125550100"
CARRIER = "127.0.0.2"
ANSWER_MAX_S = 15.0
GOODBYE_MAX_S = 5.0  # for the answer to BYE or CANCEL
ORDER_AGAIN_S = 0.25  # an order that came before SIPp had its port is lost
CALL_MAX_S = 3600.0
BARGE_IN_S = 2.5  # a key is pressed after so long, however much the prompt still has to say
FINAL = re.compile(r"received 'SIP/2\.0 (\d{3}) ?([^'\r\n]*)")
CAUSE = re.compile(r"Q\.850\s*;.*?cause\s*=\s*(\d+)")
ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'  # RFC 3323


@dataclass(frozen=True)
class Caller:
    """What the carrier says about the caller.

    `name` is put between quotes, escaped as RFC 3261 wants it; `raw_from` replaces the whole From value with your own
    bytes, whatever they are. `withheld` makes From anonymous and asks for privacy; `asserted` is a number for
    P-Asserted-Identity. `headers` are further header lines, as they are.
    """

    number: str
    name: str = ""
    withheld: bool = False
    asserted: str = ""
    raw_from: bytes | None = None
    headers: tuple[bytes, ...] = ()

    def from_value(self, host: Address) -> bytes:
        if self.raw_from is not None:
            return self.raw_from
        if self.withheld:
            return ANONYMOUS.encode()
        quoted = self.name.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ")
        display = f'"{quoted}" ' if quoted else ""
        return f"{display}<sip:{self.number}@{host}>".encode().replace(b"\0", b"")

    def more_headers(self, host: Address) -> bytes:
        """Lines that follow another one: each begins with a line end."""
        lines = list(self.headers)
        if self.withheld:
            lines.append(b"Privacy: id")
        if self.asserted:
            lines.append(f"P-Asserted-Identity: <sip:{self.asserted}@{host}>".encode())
        return b"".join(b"\r\n" + line for line in lines)


@dataclass(frozen=True, kw_only=True)
class CallResult:
    """How a call went. `status`: the final SIP answer (200; 0: none came). `ended_by`: caller | switch | refused | lost.
    `cause`: Q.850 cause of the switch's hang-up ("16" normal), or the words of its refusal. Seconds from the INVITE
    to the answer, and from the answer to the end."""

    answered: bool
    status: int
    ended_by: str
    cause: str
    answer_s: float | None
    talk_s: float
    log: Path


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """Where calls come from, where they go, and what places them."""

    sipp: Sequence[str]  # argv prefix, e.g. debs.find("sipp", tools)
    target: Address  # the switch
    out_dir: Path  # logs
    host: str = CARRIER
    port: int = 0  # of SIP: each call takes the first free one from here on; 0: any
    media_port: int = 0  # likewise

    async def dial(self, caller: Caller | str, to: str = DID) -> Call:
        """Begin a call; await `answered()` of it. The Ear is open; close the call with `hang_up` or `async with`."""
        who = Caller(caller) if isinstance(caller, str) else caller
        ear = await Ear(self.host, free_port(self.host, self.media_port)).open()
        call = Call(self, ear, Address(self.host, free_port(self.host, self.port)))
        try:
            await call.begin(who, to)
        except BaseException:
            await ear.close()
            raise
        return call


@dataclass
class _Facts:
    """What SIPp has said so far."""

    begun_at: float
    answered_at: float | None = None
    ended_at: float | None = None
    hung_up: bool = False  # by us
    their_reason: str | None = None


@dataclass
class Call:
    """A call that is being made or going on."""

    carrier: Carrier
    ear: Ear
    local: Address
    id: str = field(default_factory=lambda: secrets.token_hex(12))

    async def begin(self, caller: Caller, to: str) -> None:
        self._facts = _Facts(asyncio.get_running_loop().time())
        self._answered_or_over = asyncio.Event()
        self.log = self.carrier.out_dir / f"call-{self.id}.log"
        said: dict[str, str | bytes] = {
            "from": caller.from_value(self.local), "more": caller.more_headers(self.local),
            "ear_host": self.ear.host, "ear_port": str(self.ear.port),
        }  # fmt: skip
        self._sipp = await Sipp.start(
            self.carrier.sipp,
            self.carrier.target,
            [
                *("-sf", str(scenario("call", self.carrier.out_dir)), "-s", to, "-m", "1", "-cid_str", self.id),
                *("-i", self.local.host, "-p", str(self.local.port), *keywords(said)),
            ],
            log=self.log,
            hear=self._hear,
        )
        self._watch = asyncio.create_task(self._until_end(), name=f"call-{self.id}")

    async def answered(self, *, timeout_s: float = ANSWER_MAX_S) -> bool:
        """Wait for the answer; False: refused, or it ended before. From here on the Ear sends silence. TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._answered_or_over.wait()
        return self._facts.answered_at is not None

    async def press_each(self, keys: Sequence[str], *, within_s: float = BARGE_IN_S, quiet_s: float = QUIET_S) -> None:
        """Press each of `keys` (one or several digits) when the prompt before it has ended, or after `within_s`."""
        for each in keys:
            heard_from = self.ear.now_s
            with contextlib.suppress(TimeoutError):
                await self.ear.until_silent(since_s=heard_from, quiet_s=quiet_s, timeout_s=within_s)
            if self._watch.done():
                return
            await self.ear.press(each)

    async def hang_up(self) -> CallResult:
        """Hang up, or give up while it rings; the result either way. Twice is fine."""
        tries = round(GOODBYE_MAX_S / ORDER_AGAIN_S)
        while tries > 0 and not self._watch.done():
            self._facts.hung_up = True
            self._tell_hang_up()
            await self.stays(ORDER_AGAIN_S)
            tries -= 1
        return await self.ended(timeout_s=0.0)

    async def stays(self, seconds: float) -> bool:
        """Stay on the line until the switch hangs up, `seconds` at most. True: the call goes on."""
        await asyncio.wait([self._watch], timeout=seconds)
        return not self._watch.done()

    async def ended(self, *, timeout_s: float = CALL_MAX_S) -> CallResult:
        """Wait until somebody has hung up. After `timeout_s` SIPp is ended and the call counts as lost."""
        if await self.stays(timeout_s):
            await self._sipp.stop()
            await self._watch
        await self.ear.close()
        return self._result()

    async def __aenter__(self) -> Call:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hang_up()

    # --- between us and SIPp ---

    def _hear(self, word: str, value: str) -> None:
        now = asyncio.get_running_loop().time()
        if word == "answered":
            self._facts.answered_at = now
            self.ear.connect(self.carrier.target.host, int(value))
        elif word == "switch_hung_up":
            self._facts.their_reason = value
        if word in ("answered", ENDED):
            self._answered_or_over.set()

    async def _until_end(self) -> None:
        await self._sipp.wait()
        self._facts.ended_at = asyncio.get_running_loop().time()

    def _tell_hang_up(self) -> None:
        """SIPp takes no orders while a call goes on; but its scenario waits for an INFO with this Call-ID."""
        here = f"{self.local.host}:9"
        order = (
            f"INFO sip:{self.local} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{self.id}o\r\n"
            f"From: <sip:order@{here}>;tag=o\r\nTo: <sip:{self.local}>\r\nCall-ID: {self.id}\r\nCSeq: 1 INFO\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
            door.bind((self.local.host, 0))
            door.sendto(order.encode(), (self.local.host, self.local.port))

    def _result(self) -> CallResult:
        facts, refusal = self._facts, FINAL.search(self._sipp.complaints)
        answered, ended_at = facts.answered_at is not None, facts.ended_at or facts.begun_at
        cause = CAUSE.search(facts.their_reason or "")
        if facts.their_reason is not None:
            ended_by = "switch"
        elif refusal and not answered:
            ended_by = "refused"
        else:
            ended_by = "caller" if facts.hung_up else "lost"
        return CallResult(
            answered=answered,
            status=200 if answered else int(refusal[1]) if refusal else 0,
            ended_by=ended_by,
            cause=cause[1] if cause else refusal[2] if refusal and not answered else "",
            answer_s=facts.answered_at - facts.begun_at if facts.answered_at is not None else None,
            talk_s=ended_at - facts.answered_at if facts.answered_at is not None else 0.0,
            log=self.log,
        )


async def call(
    carrier: Carrier,
    caller: Caller | str,
    *,
    to: str = DID,
    keys: Sequence[str] = (),
    within_s: float = BARGE_IN_S,
    hold_s: float | None = None,
    wav: Path | None = None,
) -> CallResult:
    """One whole call: wait for the answer, press each key after its prompt, hang up `hold_s` after that; without
    `hold_s`, stay until the switch hangs up (CALL_MAX_S at most). `wav` keeps what was heard."""
    placed = await carrier.dial(caller, to)
    try:
        with contextlib.suppress(TimeoutError):  # not answered: the result says so
            if await placed.answered():
                await placed.press_each(keys, within_s=within_s)
                await placed.stays(CALL_MAX_S if hold_s is None else hold_s)
    finally:
        result = await placed.hang_up()
        if wav is not None:
            placed.ear.wav(wav)
    return result
