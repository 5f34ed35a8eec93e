"""Prompts as tones: written, coded as the switch codes them, partly lost, and recognised again."""

from __future__ import annotations

import itertools
import math
import wave
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cti.asterisk import placeholders
from cti.demo import hearing, phones, rtp, tones
from cti.demo.hearing import Gap, Hearing, Tone, digit_runs, number_of
from ivr import document, prompts, voice
from ivr import store as flows
from tests.fakes.far_end import sequence

KEYS_HZ = (697, 770, 852, 941, 1209, 1336, 1477, 1633)
PROGRESS_HZ = (350, 425, 440, 450, 480, 620, 950, 1400, 1800)
OTHER = [name for name in tones.TONES if not name.startswith(tones.DIGIT)]


def packets(
    samples: Sequence[int], *, shift: int = 0, lost: frozenset[int] = frozenset()
) -> Iterator[tuple[float, rtp.Packet]]:
    """As the switch sends it: µ-law, 20 ms each, from any sample on; the lost ones are not there."""
    coded = bytes(map(rtp.ulaw, itertools.chain([0] * shift, samples)))
    for count, at in enumerate(range(0, len(coded), rtp.FRAME)):
        if count not in lost:
            payload = coded[at : at + rtp.FRAME].ljust(rtp.FRAME, b"\xff")
            yield count * rtp.FRAME_S, rtp.Packet(rtp.ULAW, count + 65_500, at, 7, payload)  # the sequence wraps


def heard(samples: Sequence[int], *, shift: int = 0, lost: frozenset[int] = frozenset()) -> Hearing:
    made = Hearing(0.0)
    for at_s, packet in packets(samples, shift=shift, lost=lost):
        made.hear(at_s, rtp.read(packet.to_bytes()))
    return made


def spoken(number: str) -> array[int]:
    return sequence(*(tones.recording(f"digit-{each}") for each in number))


def test_no_tone_is_near_another_or_near_what_the_network_sounds_like() -> None:
    frequencies = sorted(tones.TONES.values())
    assert min(high - low for low, high in itertools.pairwise(frequencies)) >= 60
    assert (frequencies[0], frequencies[-1]) == (300, 3400)
    others = (*KEYS_HZ, *PROGRESS_HZ, *placeholders.CHIME_HZ)
    assert min(abs(each - other) for each in frequencies for other in others) > tones.OFF_MAX_HZ


@pytest.mark.parametrize("name", tones.TONES)
def test_each_tone_is_recognised_as_itself_and_once(name: str) -> None:
    (only,) = heard(tones.recording(f"{name} 0.4")).tones
    assert only.name == name
    assert only.end_s - only.begin_s == pytest.approx(0.4, abs=0.03)


@settings(deadline=None)
@given(
    st.text("0123456789", min_size=1, max_size=10),
    st.integers(0, rtp.FRAME - 1),
    st.sets(st.integers(0, 100), max_size=20),
    st.sampled_from(OTHER),
)
@example("1111111111", 80, {4, 13, 22, 31}, "opened")
def test_a_number_is_read_back_though_packets_are_lost_here_and_there(
    number: str, shift: int, lost: set[int], before: str
) -> None:
    alone = frozenset(each for each in lost if not lost & {each - 1, each - 2, each - 3})
    said = heard(sequence(tones.recording(f"{before} 0.3"), spoken(number)), shift=shift, lost=alone)
    assert digit_runs(said.tones) == [number]
    assert said.tones[0].name == before


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(1, 12))
def test_a_voice_of_several_frequencies_is_no_tone(seed: int, parts: int) -> None:
    step = [math.tau * (200 + (37 * seed + 311 * part) % 3000) / rtp.RATE_HZ for part in range(parts + 1)]
    mixed = [round(4000 * sum(math.sin(each * at) for each in step) / len(step)) for at in range(1600)]
    assert heard(mixed).tones == []


def test_two_tones_at_once_such_as_a_key_are_voice_and_no_tone() -> None:
    key = [
        round(4000 * (math.sin(math.tau * 770 * n / 8000) + math.sin(math.tau * 1336 * n / 8000))) for n in range(1600)
    ]
    made = heard(key)
    assert made.tones == []
    assert made.silence_s(0.2) == pytest.approx(0.0, abs=1e-6)


def test_the_waiting_chime_is_voice_and_no_prompt() -> None:
    made = heard(placeholders.chime())
    assert made.tones == []
    assert made.voiced_s is not None


def test_the_hum_of_the_demo_phones_says_that_an_agent_is_there() -> None:
    assert tones.sound(phones.HUM[: rtp.FRAME]) == tones.Sound(voiced=True, tone=tones.AGENT)


def test_a_silence_of_more_than_a_second_is_a_gap_and_the_last_one_counts_when_the_call_ends() -> None:
    made = heard(sequence(tones.recording("menu 0.2"), array("h", bytes(2 * 9600)), tones.recording("menu 0.2")))
    assert [(gap.begin_s, gap.end_s) for gap in made.gaps] == [pytest.approx((0.2, 1.4), abs=0.021)]
    assert [each.name for each in made.tones] == ["menu", "menu"]
    assert made.silence_s(2.0) == pytest.approx(0.4, abs=0.021)
    made.end(4.0)
    made.end(9.0)
    assert [round(gap.long_s, 1) for gap in made.gaps] == [1.2, 2.4]
    assert made.silence_s(9.0) == pytest.approx(2.4, abs=0.021), "time stands still when the call is over"


def test_no_packet_at_all_is_silence_since_the_answer() -> None:
    made = Hearing(10.0)
    assert made.silence_s(13.5) == 3.5
    made.end(14.0)
    assert made.gaps == [Gap(10.0, 14.0)]


def test_another_tone_or_a_pause_ends_a_number_and_the_longest_is_written_down() -> None:
    said = [
        *(Tone(f"digit-{each}", at / 5, at / 5 + 0.12) for at, each in enumerate("123")),
        Tone("resumed", 1.0, 1.3), Tone("opened", 1.3, 1.5),
        *(Tone(f"digit-{each}", 1.6 + at / 5, 1.72 + at / 5) for at, each in enumerate("1234")),
        Tone("digit-9", 4.0, 4.12),
    ]  # fmt: skip
    assert digit_runs(said) == ["123", "1234", "9"]
    assert digit_runs(said, since_s=1.5) == ["1234", "9"]
    assert number_of(digit_runs(said)) == "1234"
    assert number_of([]) == ""


def test_own_recordings_are_written_where_the_prompt_store_takes_them(tmp_path: Path) -> None:
    tones.tone_prompts(tmp_path, {"menu": "menu 2.5", "digit-4": "digit-4", "hold": "hold 1", "fallback": "fallback"})
    written = {path.relative_to(tmp_path).as_posix(): length_s(path) for path in tmp_path.rglob("*.wav")}
    languages = {f"recordings/{each}/{key}.wav": s for each in ("tr", "en") for key, s in
                 {"menu": 2.5, "digit-4": 0.18, "fallback": 1.0}.items()}  # fmt: skip
    assert written == {"hold/chime.wav": 1.0, **languages}


def length_s(path: Path) -> float:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        return int(file.getnframes()) / 8000


def test_a_prompt_cannot_be_a_tone_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a tone out of .* got 'whistle'"):
        tones.tone_prompts(tmp_path, {"menu": "whistle 2"})


def test_the_prompts_that_become_tones_are_those_that_are_spoken() -> None:
    flow = document.read(flows.shipped("main"))
    there = {piece.key for piece in prompts.all_pieces(flow)} | set(voice.STATIC) | {"hold"}
    assert set(tones.PROMPTS) <= there
    assert {each.split()[0] for each in tones.PROMPTS.values()} == set(tones.TONES) - {tones.AGENT}, (
        "every tone is used"
    )
    assert hearing.TONE_FRAMES_MIN * rtp.FRAME_S < tones.DIGIT_S
