"""One caller's handset: a UDP port that says a packet each 20 ms and hears what came, without a task or a timer of its own.

Whoever owns many of them calls `say` and `heard` of each in turn; the kernel has stamped every packet with its arrival, so it does
not matter how late one asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator

from cti.demo import rtp
from cti.demo.sip import Media
from cti.demo.sipp import free_port

SO_TIMESTAMPNS = 35  # Linux; Python has no name for it
STAMP = struct.Struct("@ll")  # a timespec: seconds and nanoseconds
PACKET_MAX_BYTES = 2048
AT_ONCE_MAX = 250  # packets heard in one turn, five seconds of voice; the kernel keeps no more
KEYS_WAITING_MAX = 400
TRIES_MAX = 20  # for a port that somebody takes between looking and binding

_Event = tuple[bytes, int, bool]


class Handset:
    """Open from the beginning, so that the offer can name `port`; `connect` it when the call is answered."""

    def __init__(self, host: str) -> None:
        self._socket, self.port = _bound(host)
        self._remote: tuple[str, int] | None = None
        self._dtmf: int | None = None
        self._keys: deque[tuple[deque[_Event | None], asyncio.Future[None]]] = deque()
        self._sound = b""  # said over and over; empty: silence
        self._ssrc, self._frame, self._event_at = secrets.randbits(32), 0, 0

    def connect(self, media: Media) -> None:
        """Say it there from now on, and hear nobody else."""
        self._remote, self._dtmf = (media.host, media.port), media.dtmf

    def close(self) -> None:
        """Keys that were not pressed yet fail with ConnectionError. Twice is fine."""
        self._socket.close()
        for _, done in self._keys:
            if not done.done():
                done.set_exception(ConnectionError("expected the call to go on while a key is pressed, it ended"))
        self._keys.clear()

    def speak(self, sound: bytes) -> None:
        """Say this µ-law sound over and over from now on; empty: silence."""
        self._sound = sound

    def press(self, keys: str) -> asyncio.Future[None]:
        """Press keys; done when the last one is up. ValueError for a key that no telephone has; ConnectionError when the
        other side takes none (any more)."""
        if self._dtmf is None or len(self._keys) >= KEYS_WAITING_MAX:
            raise ConnectionError("expected a side that takes keys as telephone-event, and takes them in time")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        frames: deque[_Event | None] = deque(rtp.key_events(keys))
        if frames:
            self._keys.append((frames, done))
        else:
            done.set_result(None)
        return done

    def say(self) -> None:
        """One packet: a key's, or voice."""
        if self._remote is None:
            return
        stamp, event = self._frame * rtp.FRAME, self._next_event()
        if event is None:
            packet = rtp.Packet(rtp.ULAW, self._frame, stamp, self._ssrc, self._slice(), self._frame == 0)
        else:
            payload, _, is_first = event
            self._event_at = stamp if is_first else self._event_at
            packet = rtp.Packet(self._dtmf or 0, self._frame, self._event_at, self._ssrc, payload, is_first)
        self._frame += 1
        with contextlib.suppress(BlockingIOError):  # a full buffer: a packet lost, as on any network
            self._socket.sendto(packet.to_bytes(), self._remote)

    def heard(self) -> Iterator[tuple[float, rtp.Packet]]:
        """What came since the last time, with its arrival by the loop's clock."""
        for _ in range(AT_ONCE_MAX):
            try:
                data, stamps, _, sender = self._socket.recvmsg(PACKET_MAX_BYTES, 64)
            except BlockingIOError:
                return
            if sender != self._remote:
                continue  # RTCP of a neighbour, or the voice of the call that had this port before
            with contextlib.suppress(rtp.MalformedRtp):
                yield time.monotonic() - _age_s(stamps), rtp.read(data)

    def _next_event(self) -> _Event | None:
        if not self._keys:
            return None
        frames, done = self._keys[0]
        event = frames.popleft()
        if not frames:
            self._keys.popleft()
            if not done.done():
                done.set_result(None)
        return event

    def _slice(self) -> bytes:
        if not self._sound:
            return rtp.SILENCE
        at = self._frame * rtp.FRAME % len(self._sound)
        return (self._sound * (2 + rtp.FRAME // len(self._sound)))[at : at + rtp.FRAME]


def _bound(host: str) -> tuple[socket.socket, int]:
    """A socket on an even port: the switch sends RTCP to the next one."""
    for _ in range(TRIES_MAX):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with contextlib.suppress(OSError):
            port = free_port(host)
            made.bind((host, port))
            made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            return made, port
        made.close()
    raise OSError(f"expected a free port for voice on {host}, {TRIES_MAX} were taken")


def _age_s(ancillary: list[tuple[int, int, bytes]]) -> float:
    """How long ago the kernel took the packet in; 0 when it did not say."""
    for _, kind, data in ancillary:
        if kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = STAMP.unpack(data[: STAMP.size])
            age_s: float = time.time() - seconds - nanoseconds / 1e9
            return max(0.0, age_s)
    return 0.0
