"""Voice and keys as RTP packets (RFC 3550, RFC 4733), and µ-law (ITU-T G.711) as levels. Pure: no socket, no clock."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

RATE_HZ = 8000
FRAME = 160  # samples, and bytes, of a 20 ms packet
FRAME_S = FRAME / RATE_HZ
ULAW = 0  # payload type, RFC 3551
HEADER = struct.Struct("!BBHII")
EVENT = struct.Struct("!BBH")
KEYS = "0123456789*#ABCD"  # a key's place is its event code
KEY_FRAMES = 5  # 100 ms; Asterisk takes 80 and more for a key
PAUSE_FRAMES = 4  # between two keys
VOLUME = 10  # -10 dBm0
VOICE_LEVEL = 200  # mean amplitude (of 32124) above which a packet holds voice; Asterisk's silence is below 10


class MalformedRtp(ValueError):
    """The bytes are no RTP packet."""


@dataclass(frozen=True)
class Packet:
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    def to_bytes(self) -> bytes:
        first, second = 0x80, self.payload_type | (0x80 if self.marker else 0)
        head = HEADER.pack(first, second, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc)
        return head + self.payload


def read(data: bytes) -> Packet:
    """One packet off the wire. Raises MalformedRtp."""
    if len(data) < HEADER.size or data[0] >> 6 != 2:
        raise MalformedRtp(f"expected an RTP packet of version 2, got {data[:16]!r}")
    first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    start = HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:  # a header extension
        if len(data) < start + 4:
            raise MalformedRtp(f"expected a header extension after {start} bytes, got {len(data)} bytes in all")
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
    end = len(data) - (data[-1] if first & 0x20 else 0)
    if end < start:
        raise MalformedRtp(f"expected a payload after {start} bytes, got {len(data)} bytes in all")
    return Packet(second & 0x7F, sequence, timestamp, ssrc, data[start:end], bool(second & 0x80))


def key_events(keys: str) -> Iterator[tuple[bytes, int, bool] | None]:
    """What to send in each 20 ms while `keys` are pressed: (payload, frames since the key went down, is the first), or
    None for a frame of silence. The end of a key is sent three times (RFC 4733 section 2.5.1.4)."""
    for key in keys.upper():
        if key not in KEYS:
            raise ValueError(f"expected keys out of {KEYS}, got {key!r}")
        for frame in range(KEY_FRAMES):
            yield EVENT.pack(KEYS.index(key), VOLUME, (frame + 1) * FRAME), frame, frame == 0
        for again in range(3):
            yield EVENT.pack(KEYS.index(key), VOLUME | 0x80, KEY_FRAMES * FRAME), KEY_FRAMES + again, False
        yield from [None] * PAUSE_FRAMES


def linear(code: int) -> int:
    """A µ-law byte as a sample of 16 bits."""
    inverted = ~code & 0xFF
    sample = (((inverted & 0x0F) << 3) + 0x84 << ((inverted >> 4) & 0x07)) - 0x84
    return -sample if inverted & 0x80 else sample


def ulaw(sample: int) -> int:
    """A sample of 16 bits as a µ-law byte."""
    sign = 0x80 if sample < 0 else 0
    biased = min(abs(sample), 32635) + 0x84
    exponent = biased.bit_length() - 8
    return ~(sign | exponent << 4 | (biased >> (exponent + 3)) & 0x0F) & 0xFF


LINEAR = tuple(linear(code) for code in range(256))
LEVEL = tuple(abs(sample) for sample in LINEAR)
SILENCE = bytes([ulaw(0)]) * FRAME


def level(payload: bytes) -> float:
    """The mean amplitude of a µ-law payload, 0 ... 32124."""
    return sum(map(LEVEL.__getitem__, payload)) / len(payload) if payload else 0.0


def tone(frequency_hz: float, amplitude: int, seconds: float) -> bytes:
    """A sine in µ-law; whole periods make it loop without a click."""
    step = 2 * math.pi * frequency_hz / RATE_HZ
    return bytes(ulaw(round(amplitude * math.sin(step * n))) for n in range(round(seconds * RATE_HZ)))


def to_linear(payload: bytes) -> bytes:
    """µ-law as little-endian samples of 16 bits, as a WAV file wants them."""
    return struct.pack(f"<{len(payload)}h", *map(LINEAR.__getitem__, payload))
