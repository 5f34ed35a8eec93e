"""The sounds Asterisk cannot do without when nobody made better ones: plain announcements and a chime for waiting.

Everything is 8 kHz mono 16 bit, what Asterisk calls .wav. The real prompts are made elsewhere and overwrite these.
"""

from __future__ import annotations  # array[int] is written only from Python 3.12 on

import io
import math
import subprocess
import wave
from array import array
from pathlib import Path

RATE_HZ = 8_000
CHIME_S = 4  # its rest is shorter than the 3 s of silence after which a caller thinks that he was cut off
NOTE_S = 3
CHIME_HZ = (523.25, 659.25, 783.99)  # c, e, g
CHIME_LEVEL = 1_400  # of 32767: it must not tire a caller who waits
SPEAK_MAX_S = 20


def chime() -> array[int]:
    """Three soft notes that fade, then a short rest; played in a loop it says "still here"."""
    samples = array("h", bytes(2 * RATE_HZ * CHIME_S))
    for note, pitch_hz in enumerate(CHIME_HZ):
        start = note * RATE_HZ // 2
        for index in range(RATE_HZ * NOTE_S):
            at = index / RATE_HZ
            soft = min(1.0, at / 0.02) * math.exp(-1.2 * at)
            samples[start + index] += round(CHIME_LEVEL * soft * math.sin(math.tau * pitch_hz * at))
    return samples


def spoken(speaker: list[str], language: str, words: str) -> array[int]:
    """`words` said by espeak-ng (`speaker` is its argv prefix); the chime when there is none or it fails."""
    if not speaker:
        return chime()
    argv = [*speaker, "-v", language, "-s", "150", "--stdout", words]
    try:
        said = subprocess.run(argv, capture_output=True, timeout=SPEAK_MAX_S, check=True).stdout
        with wave.open(io.BytesIO(said)) as sound:
            # Written to a pipe, espeak-ng's header claims no length: take what is there.
            frames = said[44:]
            return at_8_khz(array("h", frames[: len(frames) // 2 * 2]), sound.getframerate())
    except (OSError, subprocess.SubprocessError, wave.Error, EOFError):
        return chime()


def at_8_khz(samples: array[int], rate_hz: int) -> array[int]:
    """The same sound at 8 kHz: each new sample is the mean of the old ones it stands for, which is filter enough."""
    step = rate_hz / RATE_HZ
    parts = (samples[int(at * step) : int((at + 1) * step) + 1] for at in range(int(len(samples) / step)))
    return array("h", (sum(part) // len(part) for part in parts))


def save(path: Path, samples: array[int]) -> None:
    """Write a .wav; the file appears whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    with wave.open(str(fresh), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE_HZ)
        sound.writeframes(samples.tobytes())
    fresh.replace(path)
