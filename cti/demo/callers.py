"""Many callers in one process: each speaks real SIP and RTP, hears what is played to him, and may press a key when he hears it.

carrier.py starts a SIPp for each call, which carries anything a stranger could write; this one is for crowds. One task turns
round every 20 ms: each handset says a packet, hears what came, and whoever waits for something is asked whether it is there.
All times are of the loop's clock.

    async with Callers(Address("127.0.0.1", 5060)) as callers:
        call = await callers.dial("05325550123")
        await call.until_tone("menu", since_s=call.answered_at_s, timeout_s=5)
        await call.press("1")
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Collection
from typing import TypeVar

from cti.demo import hearing, rtp, sip, tones
from cti.demo.carrier import CARRIER, DID
from cti.demo.handset import Handset
from cti.demo.hearing import Gap, Hearing, Tone
from cti.demo.sipp import Address

T1_S = 0.5  # RFC 3261 section 17.1.1.1
T2_S = 4.0  # between two BYEs at most
NO_ANSWER_S = 64 * T1_S  # timer B: nothing at all came
RING_MAX_S = 60.0
GOODBYE_MAX_S = 5.0  # for the answer to BYE: whom a dead switch keeps waiting has hung up all the same
CALL_MAX_S = 3600.0
LATE_MAX_S = 0.5  # behind by more, the beat begins anew instead of catching up
NOTES_MAX = 2_000
GONE_MAX = 1_000  # calls
TIMED_OUT = 408

T = TypeVar("T")


class NotAnswered(Exception):
    """The call was refused or not answered. `status`: the final SIP answer; 408 when none came in time. `cause`: the
    header Reason, empty when there was none."""

    def __init__(self, status: int, reason: str = "", cause: str = "") -> None:
        super().__init__(f"expected an answered call, got {status} {reason}".rstrip())
        self.status = status
        self.cause = cause


class CallOver(ConnectionError):
    """What was waited for cannot come any more: the call has ended. `ended_by` is "us" or "them"."""

    def __init__(self, wanted: str, ended_by: str | None) -> None:
        super().__init__(f"expected {wanted}, the call was ended by {ended_by}")
        self.ended_by = ended_by


class LiveCall:
    """One caller on the line. Made by `Callers.dial`, which returns it answered."""

    def __init__(self, dialog: sip.Dialog, handset: Handset, send: Callable[[bytes], None]) -> None:
        self.number = dialog.number
        self.call_id = dialog.call_id
        self.invite_at_s = asyncio.get_running_loop().time()
        self.answered_at_s = self.invite_at_s  # until the answer: nobody but `dial` has the call before
        self.ended_at_s: float | None = None
        self.ended_by: str | None = None  # "us" | "them"
        self.notes: list[tuple[float, str]] = []
        self._dialog = dialog
        self._handset = handset
        self._send = send
        self._hearing = Hearing(self.invite_at_s)
        self._ringing, self._decided = asyncio.Event(), asyncio.Event()
        self._over, self._goodbye = asyncio.Event(), asyncio.Event()
        self._asks: list[Callable[[float], None]] = []  # of those who wait for something

    # --- doing ---

    async def press(self, keys: str) -> None:
        """Press keys one after the other; returns when the last one is up. ValueError for a key that no telephone has;
        ConnectionError when the switch takes none, CallOver."""
        if self.ended_by is not None:
            raise CallOver(f"{keys!r} to be pressed", self.ended_by)
        self._note(f"pressing {keys}")
        try:
            await self._handset.press(keys)
        except ConnectionError as error:
            if self._over.is_set():
                raise CallOver(f"{keys!r} to be pressed", self.ended_by) from error
            raise

    def speak(self, sound: bytes) -> None:
        """Say this µ-law sound over and over from now on (rtp.tone makes one); empty: silence."""
        self._handset.speak(sound)

    async def hang_up(self) -> None:
        """Say BYE and wait for its answer, GOODBYE_MAX_S at most; while it rings, give up. Twice is fine."""
        if self._dialog.status == 0:
            self.give_up()
        elif self.ended_by is None:
            goodbye = self._dialog.bye()
            self._end("us")
            await self._repeat(goodbye, self._goodbye, GOODBYE_MAX_S, step_max_s=T2_S)

    async def until_ended(self, timeout_s: float = CALL_MAX_S) -> None:
        """Return when somebody has hung up. TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._over.wait()

    @property
    def end_reason(self) -> str:
        """The header Reason of their BYE, such as "Q.850;cause=16"; empty when there was none."""
        return self._dialog.end_reason

    # --- hearing ---

    @property
    def gaps(self) -> list[Gap]:
        """Silences of more than a second since the answer; one that still goes on is not among them before the call ends."""
        return self._hearing.gaps

    @property
    def tones(self) -> list[Tone]:
        """Stretches of known tones in order; the last one's end moves while it is heard."""
        return self._hearing.tones

    @property
    def packets(self) -> int:
        """How many packets of voice came, silent ones too."""
        return self._hearing.packets

    def silence_s(self, now: float) -> float:
        """How long nothing but silence, or no packet at all, has been heard until `now`, or until the end of the call."""
        return self._hearing.silence_s(now)

    def queue_heard(self, since_s: float) -> bool:
        """Whether he has heard since then what only waiting callers hear: music, or the fallback announcement."""
        return any(each.name in tones.QUEUE_TONES and each.end_s > since_s for each in self.tones)

    def is_held(self, now: float, quiet_max_s: float = 3.0) -> bool:
        """Whether he is waiting at `now`: such was the last that he recognised, and the line is not dead."""
        last = self.tones[-1] if self.tones else None
        return last is not None and last.name in tones.QUEUE_TONES and self.silence_s(now) <= quiet_max_s

    async def until_tone(self, name: str, since_s: float, timeout_s: float) -> Tone:
        """Return when the tone is recognised, or goes on, after `since_s`: 60 ms after it begins. TimeoutError, CallOver."""
        return await self.until_any((name,), since_s, timeout_s)

    async def until_any(self, names: Collection[str], since_s: float, timeout_s: float) -> Tone:
        """The first of these tones after `since_s`. ValueError for a name that is no tone, TimeoutError, CallOver."""
        if unknown := set(names) - set(tones.TONES):
            raise ValueError(f"expected tones out of {', '.join(tones.TONES)}, got {', '.join(sorted(unknown))}")

        def found(now: float) -> Tone | None:
            return next((each for each in self.tones if each.name in names and each.end_s > since_s), None)

        return await self._until(found, f"the tone {' or '.join(names)}", timeout_s)

    async def until_voice(self, since_s: float, timeout_s: float) -> None:
        """Return when anything that is not silence is heard after `since_s`. TimeoutError, CallOver."""

        def found(now: float) -> bool | None:
            last_s = self._hearing.voiced_s
            return True if last_s is not None and last_s > since_s else None

        await self._until(found, "voice", timeout_s)

    async def until_quiet(self, quiet_s: float, timeout_s: float = CALL_MAX_S) -> None:
        """Return when there has been nothing but silence for `quiet_s`. TimeoutError, CallOver."""
        await self._until(lambda now: True if self.silence_s(now) >= quiet_s else None, "silence", timeout_s)

    def story(self) -> str:
        """The call's life, a line for each note: seconds since its INVITE, and what happened."""
        lines = (f"{at - self.invite_at_s:8.3f} {what}" for at, what in sorted(self.notes))
        return "\n".join((f"{self.call_id} {self.number}", *lines))

    # --- what Callers does with it ---

    async def ring(self) -> None:
        """INVITE until something comes, then wait for the answer. Raises NotAnswered."""
        self._note("invite")
        if await self._repeat(self._dialog.invite(), self._ringing, NO_ANSWER_S, step_max_s=NO_ANSWER_S):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RING_MAX_S):
                    await self._decided.wait()
        if not 200 <= self._dialog.status < 300:
            raise NotAnswered(self._dialog.status or TIMED_OUT, self._dialog.reason, self._dialog.end_reason)

    def give_up(self) -> None:
        """Nobody waits for the answer any more: CANCEL, or BYE where it has come already."""
        if self.ended_by is None and self._dialog.status == 0:
            self._send(self._dialog.cancel())
        elif self.ended_by is None and self._dialog.status < 300:
            self._send(self._dialog.bye())
        self._end("us")

    def take(self, message: sip.Message) -> None:
        """A message of this call came in."""
        for each in self._dialog.hear(message):
            self._send(each)
        if message.status == 0 and message.method != "ACK":
            self._note(f"they say {message.method}")
        if self._dialog.ringing:
            self._ringing.set()
        if self._dialog.status and not self._decided.is_set():
            self._decide()
        if self._dialog.media is not None:
            self._handset.connect(self._dialog.media)
        if self._dialog.they_ended:
            self._end("them")
        if self._dialog.goodbye_done:
            self._goodbye.set()

    def turn(self, now: float) -> None:
        """What happens every 20 ms: a packet out, packets in, and whoever waits is answered."""
        self._handset.say()
        for at_s, packet in self._handset.heard():
            if tone := self._hearing.hear(at_s, packet):
                self._note(f"hears {tone.name}", tone.begin_s)
        for ask in tuple(self._asks):
            ask(now)

    def _decide(self) -> None:
        self._note(f"{self._dialog.status} {self._dialog.reason}")
        self._decided.set()
        if self._dialog.status < 300:
            self.answered_at_s = asyncio.get_running_loop().time()
            self._hearing = Hearing(self.answered_at_s)

    def _end(self, by: str) -> None:
        if self.ended_by is not None:
            return
        now = asyncio.get_running_loop().time()
        self.ended_by, self.ended_at_s = by, now
        self._note(f"ended by {by} {self.end_reason}".rstrip())
        self._hearing.end(now)
        self._handset.close()
        for event in (self._over, self._ringing, self._decided):
            event.set()
        for ask in tuple(self._asks):
            ask(now)

    async def _repeat(self, request: bytes, answered: asyncio.Event, limit_s: float, *, step_max_s: float) -> bool:
        """Send a request again and again, each time after a longer while, until it is answered; False: it was not, in time."""
        wait_s, give_up_at = T1_S, asyncio.get_running_loop().time() + limit_s
        while not answered.is_set() and (left_s := give_up_at - asyncio.get_running_loop().time()) > 0:
            self._send(request)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, left_s)):
                    await answered.wait()
            wait_s = min(2 * wait_s, step_max_s)
        return answered.is_set()

    async def _until(self, question: Callable[[float], T | None], wanted: str, timeout_s: float) -> T:
        """Wait until the question has an answer; it is asked again every 20 ms, for silence makes no event."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def ask(now: float) -> None:
            if answer.done():
                return
            if (found := question(now)) is not None:
                answer.set_result(found)
            elif self.ended_by is not None:
                answer.set_exception(CallOver(wanted, self.ended_by))

        self._asks.append(ask)
        try:
            ask(loop.time())
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise TimeoutError(f"expected {wanted} within {timeout_s:g} s, {self._lately()}") from None
        finally:
            self._asks.remove(ask)

    def _lately(self) -> str:
        """For an error: what was heard instead."""
        silent_s = self.silence_s(asyncio.get_running_loop().time())
        return f"heard {[each.name for each in self.tones[-6:]]}, nothing for {silent_s:.1f} s"

    def _note(self, what: str, at_s: float | None = None) -> None:
        if len(self.notes) < NOTES_MAX:
            self.notes.append((asyncio.get_running_loop().time() if at_s is None else at_s, what))


class Callers(asyncio.DatagramProtocol):
    """All callers of one carrier: one SIP port, and a handset for each call. Whoever is on the line at the end hangs up.

    `busy_s`: CPU time spent on all calls; `late_max_s`: the latest that the beat of 20 ms came, for whoever has to judge whether
    reactions were slowed down by a busy machine. Hearing is not: the kernel stamps what comes."""

    def __init__(self, target: Address, host: str = CARRIER) -> None:
        self.target = target
        self.host = host
        self.busy_s = 0.0
        self.late_max_s = 0.0
        self._live: dict[str, LiveCall] = {}
        self._gone: dict[str, LiveCall] = {}  # who is told so when the switch repeats itself; the newest GONE_MAX

    async def __aenter__(self) -> Callers:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self.host, 0))
        self._local = Address(self.host, int(self._transport.get_extra_info("sockname")[1]))
        self._beat = asyncio.create_task(self._keep_beat(), name=f"callers-{self._local.port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await asyncio.gather(*(call.hang_up() for call in self.live))
        finally:
            self._beat.cancel()
            self._transport.close()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beat

    @property
    def live(self) -> tuple[LiveCall, ...]:
        """Who is on the line, or ringing."""
        return tuple(self._live.values())

    async def dial(self, number: str, to: str = DID) -> LiveCall:
        """Ring in as this number; return answered. Raises NotAnswered with the final answer, after RING_MAX_S at the latest;
        cancelled, it gives the call up."""
        call = self._pick_up(number, to)
        try:
            await call.ring()
        except BaseException:
            call.give_up()
            self._retire(call)
            raise
        return call

    def _pick_up(self, number: str, to: str) -> LiveCall:
        handset = Handset(self.host)
        names = secrets.token_hex(12), secrets.token_hex(4)
        call = LiveCall(sip.Dialog(number, to, self._local, self.target, handset.port, *names), handset, self._send)
        self._live[call.call_id] = call
        return call

    def _send(self, message: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(message, (self.target.host, self.target.port))

    def _retire(self, call: LiveCall) -> None:
        self._live.pop(call.call_id, None)
        self._gone[call.call_id] = call
        while len(self._gone) > GONE_MAX:
            self._gone.pop(next(iter(self._gone)))

    async def _keep_beat(self) -> None:
        """A turn each 20 ms by an absolute clock: being late once does not make the rest late."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            begun, now = time.thread_time(), loop.time()
            self.late_max_s = max(self.late_max_s, now - due_s)
            for call in self.live:
                if call.ended_by is None:
                    call.turn(now)
                else:
                    self._retire(call)
            self.busy_s += time.thread_time() - begun
            due_s = max(due_s + rtp.FRAME_S, now - LATE_MAX_S)
            await asyncio.sleep(max(0.0, due_s - loop.time()))

    # --- asyncio.DatagramProtocol ---

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            message = sip.read(data)
        except sip.MalformedSip:
            return  # a stray datagram, or a keep-alive of two line ends
        name = message.header("Call-ID")
        call = self._live.get(name) or self._gone.get(name)
        if call is not None:
            call.take(message)
        elif message.status == 0 and (answer := sip.stray(message)) is not None:
            self._send(answer)

    def error_received(self, exc: Exception) -> None:
        """The switch's port is closed, as while it restarts: requests are repeated, and that has an end."""


def spoken_digits(call: LiveCall, since_s: float) -> str:
    """The number that the caller has heard since then, when the digits are tones (tones.tone_prompts): the longest, and the
    latest of those. Empty when there is none; `hearing.digit_runs` tells each, whole or cut off."""
    return hearing.number_of(hearing.digit_runs(call.tones, since_s))
