"""Prompts replaced by pure tones, so that a machine on the line hears which prompt is played, and reads spoken digits back.

An admin's own recording stands in for a prompt (ivr/voice.py): `tone_prompts` writes such recordings, `sound` tells from
one packet what it holds. Pure but for the files that are written.

Every tone is a multiple of 25 Hz: a whole number of periods in one packet of 20 ms or two, so that a steady tone is the same few
bytes again and again, and is analysed once. They lie 75 Hz and more apart, and 20 Hz and more beside the keys' tones (ITU-T Q.23),
the tones of asterisk_conf/indications.conf and the notes of the waiting chime (cti/asterisk/placeholders.py).
"""

from __future__ import annotations

import math
import operator
import wave
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cti.demo import rtp

AMPLITUDE = 8_000  # of 32,767
RAMP_S = 0.01
TONE_S = 1.0  # where `tone_prompts` is told no length
DIGIT_S = 0.12
DIGIT_GAP_S = 0.06  # of silence after each digit, part of its recording
OFF_MAX_HZ = 15.0
PURE_MIN = 0.8  # share of a packet's energy that one tone holds
SOUNDS_MAX = 8_192  # packets remembered
LANGUAGES = ("tr", "en")
DIGIT = "digit-"
AGENT = "agent"  # no prompt: what the agents' demo phones hum (cti/demo/phones.py)

TONES: dict[str, int] = {
    AGENT: 300, "failed": 400, "welcome": 500, "menu": 600, "restarted": 750, "opened": 900, "resumed": 1000,
    "existing": 1100, "number_again": 1250, "again": 1425, "after_ticket": 1500, "greeting": 1600, "stranger": 1700,
    "fallback": 1850, "waiting": 1925, "hold": 2000, "to_queue": 2075, "goodbye": 2150, "noted": 2225,
    "degraded": 2300, "message": 2375, "message_kept": 2450, "message_menu": 2525, "anything_else": 2600,
    **{f"{DIGIT}{each}": 2725 + 75 * each for each in range(10)},
}  # fmt: skip
QUEUE_TONES = frozenset({"fallback", "waiting", "hold"})

# For `tone_prompts`: what the shipped flow (ivr/flows/main.json) says on the ways that need few keys, and STATIC of ivr/voice.py.
PROMPTS: Mapping[str, str] = {
    "welcome": "welcome 0.4", "other_language": "welcome 0.2", "greet_person": "greeting 0.3",
    "greet_line": "greeting 0.3", "greet_work": "greeting 0.3", "menu": "menu 3", "stranger": "stranger 3",
    "still_there": "again 0.4", "not_understood": "again 0.4", "restarted": "restarted 3", "opened": "opened 0.5",
    "existing": "existing 0.5", "number_again": "number_again 0.5", "after_ticket": "after_ticket 3",
    "noted": "noted 0.5", "noted_again": "noted 0.5", "anything_else": "anything_else 3",
    "ticket_failed": "failed 0.5", "notice_failed": "failed 0.5", "message_failed": "failed 0.5",
    "degraded": "degraded 0.5", "degraded_menu": "degraded 3", "leave_message": "message 0.5",
    "message_kept": "message_kept 0.5", "call_back_here": "message_kept 0.3", "call_back_given": "message_kept 0.3",
    "message_menu": "message_menu 3", "to_technical": "to_queue 0.3", "to_billing": "to_queue 0.3",
    "to_sales": "to_queue 0.3", "to_person": "to_queue 0.3", "consent": "to_queue 0.3", "goodbye": "goodbye 0.5",
    "resumed": "resumed 0.3", "resumed_keys": "resumed 0.3", "resumed_go_on": "resumed 0.3",
    "fallback": "fallback 1", "waiting": "waiting 1", "sorry": "goodbye 1", "hold": "hold 2",
    **{f"{DIGIT}{each}": f"{DIGIT}{each}" for each in range(10)},
}  # fmt: skip


@dataclass(frozen=True)
class Sound:
    """What one packet holds. `tone`: a name of TONES; empty: silence, or a voice that is none of them."""

    voiced: bool
    tone: str = ""


def tone_prompts(folder: Path, keys: Mapping[str, str]) -> None:
    """Write own recordings into the prompt store at `folder`, in each language: `keys` says key of the prompt -> a name of
    TONES and, after a space, seconds: {"menu": "menu 2.5"}; see PROMPTS. A digit has its own length and a gap after it.

    The key `hold` is the music of waiting callers: it takes the chime's place. Call it before the prompts are built.
    ValueError for a tone that is not among TONES, or a length that is no number."""
    for key, wanted in keys.items():
        samples = recording(wanted)
        if key == "hold":
            _save(folder / "hold" / "chime.wav", samples)
            continue
        for language in LANGUAGES:
            _save(folder / "recordings" / language / f"{key}.wav", samples)


def recording(wanted: str) -> array[int]:
    """The samples of "menu 2.5"; a digit is followed by its gap. ValueError."""
    name, _, seconds = wanted.partition(" ")
    if name not in TONES:
        raise ValueError(f"expected a tone out of {', '.join(TONES)}, got {name!r}")
    if not name.startswith(DIGIT):
        return tone(TONES[name], float(seconds or TONE_S))
    return tone(TONES[name], float(seconds or DIGIT_S)) + array("h", bytes(2 * round(DIGIT_GAP_S * rtp.RATE_HZ)))


def tone(frequency_hz: int, seconds: float) -> array[int]:
    """A sine of moderate level with soft ends, 8 kHz."""
    count, ramp, step = round(seconds * rtp.RATE_HZ), RAMP_S * rtp.RATE_HZ, math.tau * frequency_hz / rtp.RATE_HZ
    soft = (min(1.0, at / ramp, (count - at) / ramp) for at in range(count))
    return array("h", (round(AMPLITUDE * each * math.sin(step * at)) for at, each in enumerate(soft)))


@lru_cache(SOUNDS_MAX)
def sound(payload: bytes) -> Sound:
    """What a µ-law packet holds: voice by its level, a tone by its frequency and by how little else there is."""
    if rtp.level(payload) <= rtp.VOICE_LEVEL:
        return Sound(voiced=False)
    samples = [rtp.LINEAR[code] for code in payload]
    frequency_hz = _frequency_hz(samples)
    name, nearest_hz = min(TONES.items(), key=lambda item: abs(item[1] - frequency_hz))
    if abs(nearest_hz - frequency_hz) > OFF_MAX_HZ or _share(samples, nearest_hz) < PURE_MIN:
        return Sound(voiced=True)
    return Sound(voiced=True, tone=name)


def _frequency_hz(samples: list[int]) -> float:
    """Of a sine, by least squares over its own law x[n-1] + x[n+1] = 2 cos(w) x[n]; anything else gives some frequency."""
    if len(samples) < 3:
        return 0.0
    here = samples[1:-1]
    beside = map(operator.add, samples[2:], samples)
    energy = 2 * _dot(here, here)
    cosine = _dot(here, beside) / energy if energy else 1.0
    return math.acos(max(-1.0, min(1.0, cosine))) * rtp.RATE_HZ / math.tau


def _share(samples: list[int], frequency_hz: int) -> float:
    """The share of the energy that lies at one frequency, 0 to 1: one step of a discrete Fourier transform."""
    cosines, sines = _wave(frequency_hz, len(samples))
    at = _dot(samples, cosines) ** 2 + _dot(samples, sines) ** 2
    return 2 * at / (len(samples) * _dot(samples, samples))


def _dot(one: Iterable[float], other: Iterable[float]) -> float:
    total: float = sum(map(operator.mul, one, other))
    return total


@lru_cache(2 * len(TONES))
def _wave(frequency_hz: int, count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    angles = [math.tau * frequency_hz * at / rtp.RATE_HZ for at in range(count)]
    return tuple(map(math.cos, angles)), tuple(map(math.sin, angles))


def _save(path: Path, samples: array[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rtp.RATE_HZ, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
