"""The door to synthesis: text -> a file that the switch can play, by espeak-ng run as a program.

Every prompt leaves here alike: 8 kHz mono 16 bit WAV, silence trimmed, active speech at LEVEL_DBOV, no peak above PEAK_DBFS, soft
ends. Whoever builds prompts asks ahead of time; nothing is synthesised while a caller waits.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

RATE_HZ = 8000
LEVEL_DBOV = -24.0  # of the frames in which somebody speaks (ITU-T P.56's idea, in 20 ms frames)
PEAK_DBFS = -3.0
FADE_S = 0.010
FRAME_S = 0.020
ACTIVE_BELOW_PEAK_DB = 35.0  # a frame quieter than the loudest one by more than this is not speech
KEEP_AROUND_S = 0.030  # of silence before and after speech: without it words run together
TIMEOUT_S = 20.0
WORDS_PER_MINUTE = 150  # espeak's 175 is too fast for a telephone
TEXT_MAX = 1000
VOICES = {"tr": "tr", "en": "en-gb"}
PIPELINE = f"1:{RATE_HZ}:{LEVEL_DBOV:g}:{PEAK_DBFS:g}:{WORDS_PER_MINUTE}"  # part of every file's name: change it with the sound

Samples = np.ndarray[Any, np.dtype[np.float32]]


class SpeechError(Exception):
    """Nothing was synthesised; the text says what was expected and what came."""


class Espeak:
    """espeak-ng, called as a program. `argv` starts it (with its loader and data folder where it needs them)."""

    def __init__(self, argv: Sequence[str], *, at_once: int = 2) -> None:
        self._argv = tuple(argv)
        self._pool = concurrent.futures.ThreadPoolExecutor(at_once, thread_name_prefix="speech")
        self.name = f"{_version(self._argv)}|{PIPELINE}"

    def voice(self, language: str) -> str:
        """The voice that speaks `language`. Raises SpeechError."""
        if language not in VOICES:
            raise SpeechError(f"expected a language of {', '.join(VOICES)}, got {language!r}")
        return VOICES[language]

    async def speak(self, text: str, language: str, out: Path) -> None:
        """Write `text` to `out`, which is there complete or not at all. Raises SpeechError."""
        voice = self.voice(language)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, _speak, self._argv, text, voice, out)

    async def convert(self, source: Path, out: Path) -> None:
        """Write somebody's own recording to `out` as the switch wants it; its length and level stay. Raises SpeechError."""
        await asyncio.get_running_loop().run_in_executor(self._pool, _convert, source, out)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


# --- what the pool's threads do -----------------------------------------------------------------------------------------


def _speak(argv: Sequence[str], text: str, voice: str, out: Path) -> None:
    if not 0 < len(text) <= TEXT_MAX:
        raise SpeechError(f"expected 1 to {TEXT_MAX} characters of text, got {len(text)}")
    with tempfile.TemporaryDirectory(prefix="santral-speech-") as folder:
        raw = Path(folder) / "raw.wav"
        _run([*argv, "-v", voice, "-s", str(WORDS_PER_MINUTE), "-w", str(raw), "--stdin"], text)
        samples, rate_hz = _read(raw)
    _write(faded(levelled(trimmed(resampled(samples, rate_hz)))), out)


def _convert(source: Path, out: Path) -> None:
    samples, rate_hz = _read(source)
    _write(resampled(samples, rate_hz), out)


def _run(argv: Sequence[str], text: str) -> None:
    try:
        subprocess.run(argv, input=text.encode(), capture_output=True, timeout=TIMEOUT_S, check=True)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()[-200:]
        raise SpeechError(f"expected speech, espeak-ng ended with {error.returncode}: {said}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpeechError(f"expected speech within {TIMEOUT_S:g} s: {error}") from error


def _read(path: Path) -> tuple[Samples, int]:
    """Mono samples of -1 to 1, and their rate in Hz."""
    try:
        samples, rate_hz = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise SpeechError(f"expected a sound file at {path.name}: {error}") from error
    return samples.mean(axis=1), int(rate_hz)


def _write(samples: Samples, out: Path) -> None:
    """Beside the target first, then in its place at once, so that the switch never plays half a file."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=out.parent, prefix=".making-", suffix=".wav")
        os.close(handle)
        soundfile.write(name, np.clip(samples, -1.0, 1.0), RATE_HZ, subtype="PCM_16")
        Path(name).chmod(0o644)  # mkstemp's 0600 would keep an Asterisk that runs as another user from reading it
        Path(name).replace(out)
    except (OSError, soundfile.LibsndfileError) as error:
        raise SpeechError(f"expected to write {out.name}: {error}") from error


def _version(argv: Sequence[str]) -> str:
    """ "eSpeak NG text-to-speech: 1.52.0  Data at: ..." -> "espeak-ng 1.52.0"."""
    try:
        said = subprocess.run([*argv, "--version"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpeechError(f"expected espeak-ng at {argv[-1] if argv else 'nowhere'}: {error}") from error
    words = said.stdout.partition(":")[2].split()
    if not words:
        raise SpeechError(f"expected espeak-ng to say its version, got {said.stdout or said.stderr!r}")
    return f"espeak-ng {words[0]}"


# --- samples to samples -------------------------------------------------------------------------------------------------


def resampled(samples: Samples, rate_hz: int) -> Samples:
    return samples if rate_hz == RATE_HZ else np.asarray(soxr.resample(samples, rate_hz, RATE_HZ), dtype=np.float32)


def trimmed(samples: Samples) -> Samples:
    """Without the silence before and after, but for KEEP_AROUND_S. Silence alone becomes one frame."""
    active = np.flatnonzero(_active(samples))
    if not active.size:
        return samples[: int(FRAME_S * RATE_HZ)]
    frame, around = int(FRAME_S * RATE_HZ), int(KEEP_AROUND_S * RATE_HZ)
    return samples[max(0, active[0] * frame - around) : (active[-1] + 1) * frame + around]


def levelled(samples: Samples) -> Samples:
    """With active speech at LEVEL_DBOV, or lower where a peak would pass PEAK_DBFS."""
    level, peak = active_level_dbov(samples), float(np.abs(samples).max(initial=0.0))
    if peak == 0.0:
        return samples
    gain_db = min(LEVEL_DBOV - level, PEAK_DBFS - 20 * np.log10(peak))
    return np.asarray(samples * 10 ** (gain_db / 20), dtype=np.float32)


def faded(samples: Samples) -> Samples:
    """With ends that do not click."""
    size = min(int(FADE_S * RATE_HZ), len(samples) // 2)
    ramp = np.linspace(0.0, 1.0, size, dtype=np.float32)
    faded_samples = samples.copy()
    faded_samples[:size] *= ramp
    faded_samples[len(samples) - size :] *= ramp[::-1]
    return faded_samples


def active_level_dbov(samples: Samples) -> float:
    """The mean power of the frames in which somebody speaks; -100 when nobody does."""
    powers = _powers(samples)[_active(samples)]
    return float(10 * np.log10(powers.mean())) if powers.size else -100.0


def _powers(samples: Samples) -> Samples:
    """Mean power of each frame; the last one is filled up with silence."""
    frame = int(FRAME_S * RATE_HZ)
    padded = np.pad(samples, (0, -len(samples) % frame))
    return np.asarray((padded.reshape(-1, frame) ** 2).mean(axis=1), dtype=np.float32)


def _active(samples: Samples) -> np.ndarray[Any, np.dtype[np.bool_]]:
    powers = _powers(samples)
    loudest = float(powers.max(initial=0.0))
    return np.asarray((powers > loudest * 10 ** (-ACTIVE_BELOW_PEAK_DB / 10)) & (powers > 0))
