"""One caller's leg on the real switch: `cti.line.Line` spoken as ARI requests, a handful per call.

The socket's reader tells the line what happened (`heard`, never waits, bounded); the call's one task waits here for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, assert_never

from cti.asterisk.ari_events import Answered, Entered, HangupSeen, Key, Played, Recorded
from cti.asterisk.wire import path
from cti.line import Ask, Caller, Digits, HungUp, LineFailed, Silence, ToQueue

KEYS_MAX = 64  # keys ahead of the questions; more come from a stuck key, and are dropped
PLAY_MAX_S = 300.0
PLAYBACKS = (
    3  # names of a line's playbacks, used in turn: whoever takes the call over knows them and can stop what plays
)
RECORD_GRACE_S = 5.0  # over the length asked for, until the switch must have said that it ended
LAST_WORDS_S = (
    1.0  # who hangs up instead of pressing # has left a message all the same; the switch says so a moment later
)
SCHEMES = ("sound:", "recording:", "digits:", "number:", "characters:", "tone:")


class Refused(LineFailed):
    """The switch answered a request with an error; `status` is HTTP's."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


class Gone(Refused):
    """404: no such channel, playback, application or request."""


class Conflict(Refused):
    """409: not in our application (any more), claimed by somebody else, or in the wrong state."""


class Request(Protocol):
    """How a line asks the switch. Raises LineFailed, Gone, Conflict."""

    def __call__(
        self,
        method: str,
        uri: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout_s: float = 2.0,
    ) -> Awaitable[Answered]: ...


async def _at_once() -> None:
    """Nothing has to be waited for."""


class AriLine:
    """A call in our application, driven by one task. `why` it came: new | after (its talk, for a survey) | takeover."""

    def __init__(
        self, entered: Entered, request: Request, before_release: Callable[[], Awaitable[None]] = _at_once
    ) -> None:
        """`before_release` is awaited before the line is given back to the dialplan: by then nothing of ours may touch it any more."""
        self._before_release = before_release
        self.on_keyed: Callable[[str], None] = lambda keys: None  # hears what is keyed and not consumed, after each key
        self._asked = ""  # keys of the question that is on
        self._caller = entered.caller
        self.conversation = entered.conversation  # empty on a new call
        self.why = entered.why
        self.hung_up: str | None = None  # the cause, once nobody is on the line
        self.released = False  # we gave it back to the dialplan, or hung it up
        self.leaving = False  # it may be in the dialplan already: nothing of ours may renew its time there
        self._request = request
        self._news = asyncio.Event()
        self._keys: deque[str] = deque(maxlen=KEYS_MAX)
        self._in_question = False
        self._missed = False  # keys of the question that is on may have been lost
        self._spent = ""  # the terminator that may still follow an answer which was complete without it
        self._plays = 0
        self._playing = ""  # the playback that is on, by id
        self._unplayable = False
        self._recorded: Recorded | None = None

    @property
    def caller(self) -> Caller:
        return self._caller

    @property
    def keyed(self) -> str:
        """Keys that were pressed and that no answer has consumed: of the question that is on, then those ahead of the next one."""
        return self._asked + "".join(self._keys)

    def key_ahead(self, keys: str) -> None:
        """As if the caller had pressed these before all others: for whoever takes the call over. He may have gone on keying since."""
        self._keys.extendleft(reversed(keys))
        self._wake()

    @property
    def playing(self) -> str:
        """The id of the playback that is on; empty when none is."""
        return self._playing

    # --- what the driver asks ---

    async def answer(self) -> None:
        await self._command("POST", "answer")

    async def play(self, media: Sequence[str]) -> None:
        if media:
            await self._start(media)
            await self._until_played(barge_in=False)

    async def ask(self, media: Sequence[str], ask: Ask) -> Digits | Silence:
        self._in_question, self._missed = True, False
        try:
            return await self._ask(media, ask)
        finally:
            self._in_question = False

    async def _ask(self, media: Sequence[str], ask: Ask) -> Digits | Silence:
        if media and not (ask.barge_in and self._keys):
            await self._start(media)
            await self._until_played(barge_in=ask.barge_in)
        return await self._collect(ask)

    async def record(self, name: str, max_s: float, silence_s: float) -> float:
        self._recorded = None
        limits = {"maxDurationSeconds": math.ceil(max_s), "maxSilenceSeconds": math.ceil(silence_s)}
        body = {"name": name, "format": "wav", "ifExists": "overwrite", "terminateOn": "#", "beep": True, **limits}
        await self._quiet()
        await self._command("POST", "record", body=body)
        until = _clock() + max_s + RECORD_GRACE_S
        try:
            while not (recorded := self._recorded_as(name)):
                if not await self._wait(until):
                    raise LineFailed(f"expected the recording {name} to end within {max_s} s, it did not")
        except HungUp:
            if not (recorded := await self._last_words(name)):
                raise
        self._keys.clear()  # the key that ended it answers nothing
        if recorded.problem:
            raise LineFailed(f"expected a recording {name}, the switch says: {recorded.problem}")
        return recorded.duration_s

    async def to_queue(self, to: ToQueue) -> None:
        await self._set(
            {
                "SANTRAL_CALL": to.conversation,
                "SANTRAL_QUEUE": to.queue,
                "SANTRAL_PRIORITY": str(to.priority),
                "SANTRAL_RECORDING": to.recording,
                "SANTRAL_LANGUAGE": to.language,
                "SANTRAL_NEXT": "queue",
            }
        )
        await self.let_go()

    async def hang_up(self) -> None:
        self.released = True
        if self.hung_up is None:
            try:
                await self._request("DELETE", path("channels", self._caller.channel), query={"reason": "normal"})
            except Gone:
                self._end("")

    async def let_go(self) -> None:
        """Back to the dialplan, which goes on where it was: to the queue when `to_queue` said so, else to its fallback."""
        await self._quiet()
        self.released = self.leaving = True  # before the request: StasisEnd comes before its answer
        try:
            await self._before_release()
            await self._command("POST", "continue")
        except LineFailed as failed:
            self.released = False
            self.leaving = not isinstance(failed, Refused)  # no answer: the switch may have done it
            raise

    def abandon(self) -> None:
        self.released = True

    # --- what the socket's reader tells ---

    def heard(self, said: HangupSeen | Key | Played | Recorded) -> None:
        """Something happened on this line. Receiving it twice changes nothing, except for keys, which have no id."""
        match said:
            case Key(key=key):
                self._pressed(key)
            case Played(playback=playback, failed=failed):
                if playback != self._playing:
                    return
                self._playing, self._unplayable = "", failed
            case Recorded():
                self._recorded = said
            case HangupSeen(cause=cause):
                self._end(cause)
            case _:
                assert_never(said)
        self._wake()

    def unheard(self) -> None:
        """We did not listen for a moment, and keys have no memory: a question that has no key yet is asked again at once."""
        self._missed = self._in_question
        self._wake()

    def played_unheard(self, playback: str) -> None:
        """The switch no longer knows `playback`: it ended while we were not listening."""
        self.heard(Played(self._caller.channel, playback, failed=False))

    def _pressed(self, key: str) -> None:
        spent, self._spent = self._spent, ""
        if key != spent and len(self._keys) < KEYS_MAX:
            self._keys.append(key)
            self.on_keyed(self.keyed)

    def _end(self, cause: str) -> None:
        if self.hung_up is None:
            self.hung_up = cause

    def _wake(self) -> None:
        self._news.set()
        self._news.clear()

    # --- how it is done ---

    async def _collect(self, ask: Ask) -> Digits | Silence:
        self._asked, until = "", _clock() + ask.first_s
        while len(self._asked) < ask.keys_max:
            while not self._keys:
                if (self._missed and not self._asked) or not await self._wait(until):
                    return self._answer() if self._asked else Silence()
            key = self._keys.popleft()
            if key == ask.terminator:
                return self._answer()
            self._asked, until = self._asked + key, _clock() + ask.between_s
        if ask.keys_max > 1:
            self._forgive(ask.terminator)
        return self._answer()

    def _answer(self) -> Digits:
        keys, self._asked = self._asked, ""
        return Digits(keys)

    def _forgive(self, terminator: str) -> None:
        """Somebody who typed all the digits may end them with `#` all the same; it must not answer the next question."""
        if not self._keys:
            self._spent = terminator
        elif self._keys[0] == terminator:
            self._keys.popleft()

    async def _start(self, media: Sequence[str]) -> None:
        uris = [_uri(name) for name in media]
        await self._quiet()
        self._plays += 1
        self._playing, self._unplayable = playbacks(self._caller.channel)[self._plays % PLAYBACKS], False
        playback = self._playing
        try:
            await self._command("POST", "play", playback, body={"media": uris})
        except Refused:
            self._playing = ""
            raise

    async def _until_played(self, *, barge_in: bool) -> None:
        until = _clock() + PLAY_MAX_S
        while self._playing and not (barge_in and self._keys):
            if not await self._wait(until):
                await self._quiet()
                raise LineFailed(f"expected a prompt to end within {PLAY_MAX_S} s, it did not")
        await self._quiet()
        if self._unplayable:
            await self._command("GET")  # a caller who hangs up as a prompt begins makes it fail too (22.10)
            if self.hung_up is not None:
                raise HungUp(self.hung_up)
            raise LineFailed("expected a prompt to be played, the switch could not: is the file there?")

    async def _quiet(self) -> None:
        """Stop what is playing: the switch lets other requests wait until a prompt's end (3 s seen, Asterisk 22.10)."""
        playing, self._playing = self._playing, ""
        if playing and self.hung_up is None:
            try:
                await self._request("DELETE", path("playbacks", playing))
            except Gone:
                return  # it ended by itself a moment ago

    async def _last_words(self, name: str) -> Recorded | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                while not self._recorded_as(name):
                    await self._news.wait()
        recorded = self._recorded_as(name)
        return recorded if recorded and not recorded.problem else None

    def _recorded_as(self, name: str) -> Recorded | None:
        return self._recorded if self._recorded and self._recorded.name == name else None

    async def _set(self, variables: Mapping[str, str]) -> None:
        await self._quiet()
        try:
            await self._send("POST", "variables", body={"variables": variables})
        except Gone:  # before Asterisk 22.10, 20.20 and 23.4 there was only one at a time
            for name, value in variables.items():
                await self._command("POST", "variable", body={"variable": name, "value": value})

    async def _command(self, method: str, *what: str, body: Mapping[str, Any] | None = None) -> None:
        try:
            await self._send(method, *what, body=body)
        except Gone:
            self._end("")
            raise HungUp(self.hung_up or "") from None

    async def _send(self, method: str, *what: str, body: Mapping[str, Any] | None = None) -> None:
        if self.hung_up is not None:
            raise HungUp(self.hung_up)
        await self._request(method, path("channels", self._caller.channel, *what), body=body)

    async def _wait(self, until: float) -> bool:
        """True when something happened on the line, False when the loop's clock reached `until`. Raises HungUp."""
        if self.hung_up is not None:
            raise HungUp(self.hung_up)
        try:
            async with asyncio.timeout_at(until):
                await self._news.wait()
        except TimeoutError:
            return False
        if self.hung_up is not None:
            raise HungUp(self.hung_up)
        return True


def playbacks(channel: str) -> tuple[str, ...]:
    """The names that playbacks of this channel may have."""
    return tuple(f"{channel}-{number}" for number in range(PLAYBACKS))


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _uri(name: str) -> str:
    """ARI's name of a prompt: files are absolute paths without extension."""
    if name.startswith("/"):
        return f"sound:{name}"
    if name.startswith(SCHEMES):
        return name
    raise LineFailed(f"expected a prompt as an absolute path or one of {' '.join(SCHEMES)}, got {name!r:.80}")
