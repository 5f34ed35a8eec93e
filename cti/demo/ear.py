"""The caller's end of the voice: hears what the exchange plays, knows when it goes quiet, speaks and presses keys.

So that a test can press a key when a prompt has ended, and not at a fixed time. It is one UDP port; the call itself is
SIPp's (carrier.py), whose offer names this port.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import wave
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from cti.demo import rtp

QUIET_S = 0.3  # a pause in speech is shorter, the end of a prompt is longer
SAME_VOICE_S = 0.06  # jitter between packets is no gap
KEPT_MAX_S = 3600.0  # voice that is kept for `wav`
VOICES_MAX = 10_000
KEYS_WAITING_MAX = 400
DTMF = 101  # payload type that scenarios/call.xml offers for keys
TONE = rtp.tone(400, 3000, 1.0)


@dataclass(frozen=True)
class Voice:
    """A stretch of sound without a gap, in seconds since the ear was opened."""

    begin_s: float
    end_s: float


@dataclass
class _Key:
    frames: deque[tuple[bytes, int, bool] | None]
    done: asyncio.Future[None]


class Ear(asyncio.DatagramProtocol):
    """Open it with `async with Ear(host) as ear:`; then `ear.port` is what the offer must name."""

    def __init__(self, host: str = "127.0.0.2", port: int = 0, *, dtmf: int = DTMF) -> None:
        self.host = host
        self.port = port
        self._dtmf = dtmf
        self._remote: tuple[str, int] | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._clock: asyncio.Task[None] | None = None
        self._keys: deque[_Key] = deque()
        self._sound = b""  # played round and round; empty: silence
        self._heard = asyncio.Event()  # set with every packet
        self._kept: list[tuple[float, bytes]] = []
        self._begun = 0.0
        self._closed_at: float | None = None
        self.voices: list[Voice] = []
        self.packets = 0
        self.first_at: float | None = None  # seconds after opening, of the first packet

    async def open(self) -> Ear:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self.host, self.port))
        self.port = int(self._transport.get_extra_info("sockname")[1])
        self._begun = loop.time()
        return self

    async def close(self) -> None:
        """Stop sending and hearing; what was heard stays. Twice is fine."""
        if self._closed_at is None:
            self._closed_at = self._at()
        if self._clock is not None:
            self._clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._clock
            self._clock = None
        for key in self._keys:
            if not key.done.done():
                key.done.set_exception(ConnectionError("expected the call to go on while a key is pressed, it ended"))
        self._keys.clear()
        if self._transport is not None:
            self._transport.close()

    async def __aenter__(self) -> Ear:
        return await self.open()

    async def __aexit__(
        self, _type: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        await self.close()

    # --- hearing ---

    @property
    def quiet_s(self) -> float:
        """How long nothing has been heard until now."""
        return self._at() - (self.voices[-1].end_s if self.voices else 0.0)

    async def until_voice(self, *, since_s: float | None = None, timeout_s: float = 10.0) -> None:
        """Return when there is sound after `since_s` (default: from now on). TimeoutError."""
        since = self._at() if since_s is None else since_s
        async with asyncio.timeout(timeout_s):
            while not (self.voices and self.voices[-1].end_s > since):
                self._heard.clear()
                await self._heard.wait()

    async def until_silent(
        self, *, quiet_s: float = QUIET_S, since_s: float | None = None, timeout_s: float = 30.0
    ) -> None:
        """Return when a prompt has ended: sound (after `since_s`, default: at any time) and then `quiet_s` of nothing.

        No packet at all is silence too. TimeoutError when it never begins or never ends.
        """
        async with asyncio.timeout(timeout_s):
            await self.until_voice(since_s=0.0 if since_s is None else since_s, timeout_s=timeout_s)
            while (missing_s := quiet_s - self.quiet_s) > 0:  # noqa: ASYNC110  silence makes no event
                await asyncio.sleep(missing_s)

    def gaps(self) -> list[float]:
        """The silences between sounds in seconds, the longest first; the time before the first sound and the time since
        the last one count."""
        edges = [0.0, *(at for voice in self.voices for at in (voice.begin_s, voice.end_s)), self._at()]
        return sorted((max(0.0, edges[i + 1] - edges[i]) for i in range(0, len(edges), 2)), reverse=True)

    @property
    def voice_s(self) -> float:
        """How much sound there was."""
        return sum(voice.end_s - voice.begin_s for voice in self.voices)

    @property
    def now_s(self) -> float:
        """Seconds since the ear was opened: for `since_s`."""
        return self._at()

    def wav(self, path: Path) -> Path:
        """Write what was heard, as it lay in time: 8 kHz, one channel, 16 bits."""
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, rtp.RATE_HZ, 0, "NONE", ""))
            written = 0
            for at_s, payload in self._kept:
                gap = round(at_s * rtp.RATE_HZ) - written
                if gap > 2 * rtp.FRAME:  # less is jitter
                    file.writeframes(bytes(2 * gap))
                    written += gap
                file.writeframes(rtp.to_linear(payload))
                written += len(payload)
        return path

    # --- speaking ---

    def connect(self, host: str, port: int) -> None:
        """Send there from now on, a packet each 20 ms: silence, until `speak`. Asterisk takes voice only from an address
        that it has learned, and records what comes."""
        self._remote = (host, port)
        if self._clock is None:
            self._clock = asyncio.create_task(self._send(), name=f"ear-{self.port}")

    def speak(self, sound: bytes = TONE) -> None:
        """Send this µ-law sound over and over; empty: silence."""
        self._sound = sound

    async def press(self, keys: str) -> None:
        """Press keys one after the other; return when the last one is up. ValueError for a key that no telephone has;
        ConnectionError when there is no answered call, or it ends meanwhile."""
        if self._clock is None or len(self._keys) >= KEYS_WAITING_MAX:
            raise ConnectionError("expected an answered call to press keys in, there is none")
        key = _Key(deque(rtp.key_events(keys)), asyncio.get_running_loop().create_future())
        if key.frames:
            self._keys.append(key)
            await key.done

    async def _send(self) -> None:
        """A packet each 20 ms by an absolute clock: being late once does not make the rest late."""
        loop = asyncio.get_running_loop()
        ssrc, start, frame, event_at = secrets.randbits(32), loop.time(), 0, 0
        while True:
            event = self._next_event()
            stamp = frame * rtp.FRAME
            if event is None:
                packet = rtp.Packet(rtp.ULAW, frame, stamp, ssrc, self._slice(frame), frame == 0)
            else:
                payload, _, is_first = event
                event_at = stamp if is_first else event_at
                packet = rtp.Packet(self._dtmf, frame, event_at, ssrc, payload, is_first)
            if self._transport is not None and self._remote is not None and not self._transport.is_closing():
                self._transport.sendto(packet.to_bytes(), self._remote)
            frame += 1
            await asyncio.sleep(max(0.0, start + frame * rtp.FRAME_S - loop.time()))

    def _next_event(self) -> tuple[bytes, int, bool] | None:
        if not self._keys:
            return None
        key = self._keys[0]
        event = key.frames.popleft()
        if not key.frames:
            self._keys.popleft()
            if not key.done.done():
                key.done.set_result(None)
        return event

    def _slice(self, frame: int) -> bytes:
        if not self._sound:
            return rtp.SILENCE
        at = frame * rtp.FRAME % len(self._sound)
        return (self._sound + self._sound)[at : at + rtp.FRAME]

    # --- asyncio.DatagramProtocol ---

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            packet = rtp.read(data)
        except rtp.MalformedRtp:
            return  # a stray datagram; the test that expects voice will miss it
        if packet.payload_type != rtp.ULAW:
            return
        at = self._at()
        self.packets += 1
        self.first_at = at if self.first_at is None else self.first_at
        if at < KEPT_MAX_S:
            self._kept.append((at, packet.payload))
        if rtp.level(packet.payload) > rtp.VOICE_LEVEL:
            self._hear(at)

    def error_received(self, exc: Exception) -> None:
        """The other side closed its port: what follows a hang-up, and no error of ours."""

    def _hear(self, at: float) -> None:
        last = self.voices[-1] if self.voices else None
        if last is not None and at - last.end_s <= SAME_VOICE_S:
            self.voices[-1] = Voice(last.begin_s, at + rtp.FRAME_S)
        elif len(self.voices) < VOICES_MAX:
            self.voices.append(Voice(at, at + rtp.FRAME_S))
        self._heard.set()

    def _at(self) -> float:
        return self._closed_at if self._closed_at is not None else asyncio.get_running_loop().time() - self._begun
