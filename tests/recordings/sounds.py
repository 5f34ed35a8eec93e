"""Files as the switch leaves them, good and bad."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 8000


def tone(path: Path, *, seconds: float, hz: float = 440.0) -> Path:
    """A whole 8 kHz mono WAV."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    soundfile.write(path, (8000 * np.sin(2 * np.pi * hz * times)).astype(np.int16), RATE_HZ, "PCM_16")
    return path


def killed(path: Path, *, seconds: float, hz: float = 440.0) -> Path:
    """The switch died before it wrote the lengths into the header."""
    content = bytearray(tone(path, seconds=seconds, hz=hz).read_bytes())
    content[4:8] = content[40:44] = struct.pack("<I", 0)
    path.write_bytes(content)
    return path


def loudest_hz(samples: np.ndarray) -> float:
    """The frequency that stands out, to the nearest of the transform's."""
    spectrum = np.abs(np.fft.rfft(samples.astype(float)))
    return float(np.fft.rfftfreq(len(samples), 1 / RATE_HZ)[int(spectrum.argmax())])
