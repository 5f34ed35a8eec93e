from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.demo import rtp


def test_mulaw_knows_the_values_of_the_standard() -> None:
    """G.711 table 2a: the extremes, and both zeros."""
    assert [rtp.linear(code) for code in (0x80, 0x00, 0xFF, 0x7F)] == [32124, -32124, 0, 0]
    assert rtp.ulaw(0) == 0xFF
    assert rtp.ulaw(32767) == 0x80
    assert rtp.ulaw(-32768) == 0x00


@given(st.integers(0, 255))
def test_every_mulaw_byte_survives_the_way_there_and_back(code: int) -> None:
    assert rtp.linear(rtp.ulaw(rtp.linear(code))) == rtp.linear(code)


def test_silence_is_quiet_and_a_tone_is_not() -> None:
    assert rtp.level(rtp.SILENCE) == 0
    assert rtp.level(rtp.tone(400, 3000, 0.02)) > rtp.VOICE_LEVEL
    assert rtp.level(b"") == 0


@given(st.integers(0, 127), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.binary(max_size=320), st.booleans())
def test_a_packet_survives_the_wire(kind: int, sequence: int, stamp: int, payload: bytes, marker: bool) -> None:
    packet = rtp.Packet(kind, sequence, stamp, 7, payload, marker)
    assert rtp.read(packet.to_bytes()) == packet


@given(st.binary(max_size=60))
def test_any_bytes_are_a_packet_or_malformed(data: bytes) -> None:
    with contextlib.suppress(rtp.MalformedRtp):
        assert len(rtp.read(data).payload) <= len(data)


def test_contributors_extension_and_padding_are_not_voice() -> None:
    head = bytes([0x80 | 0x20 | 0x10 | 1, 0]) + bytes(10)
    packet = head + b"csrc" + b"\xbe\xde\x00\x01" + b"xtra" + b"voice" + b"\0\0\x03"
    assert rtp.read(packet).payload == b"voice"


def test_a_key_is_one_event_that_grows_and_ends_three_times() -> None:
    frames = list(rtp.key_events("5"))
    events = [frame[0] for frame in frames if frame is not None]
    assert {event[0] for event in events} == {5}
    durations = [int.from_bytes(event[2:]) for event in events]
    assert durations == [160, 320, 480, 640, 800, 800, 800, 800]
    assert [bool(event[1] & 0x80) for event in events] == [False] * 5 + [True] * 3
    assert [frame[2] for frame in frames if frame is not None] == [True] + [False] * 7
    assert frames[-1] is None, "and then a pause"


def test_a_key_that_no_telephone_has_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'X'"):
        list(rtp.key_events("1x"))
