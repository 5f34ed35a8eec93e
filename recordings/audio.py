"""The door to sound files: two mono files of the switch become one stereo WAV, in blocks, however long the call was.

Knows nothing of calls, rows or folders.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

BLOCK_FRAMES = 65536
BUCKETS_MAX = 1200  # of the waveform: about one a pixel
HEADER_MAX_BYTES = 4096  # a WAV's "data" chunk begins within these; Asterisk's always at byte 36

Samples = npt.NDArray[np.int16]
Peaks = list[list[int]]  # a bucket: left min, left max, right min, right max; -128..127


class NoSound(ValueError):
    """Neither side holds a single sample."""


class NotWritten(OSError):
    """The stereo file could not be written to its end, mostly because the disk is full."""


@dataclass(frozen=True)
class Audio:
    """A stereo file that is durable on disk. `sides` counts those that had sound: 1 means that the other one is silence."""

    duration_s: float
    size_bytes: int
    sha256: str
    peaks: Peaks
    sides: int


def combine(left: Path | None, right: Path | None, out: Path) -> Audio:
    """Write `out`, 16-bit stereo; a shorter side ends in silence. `out` is there whole or not at all.

    A side that is None, not there, unreadable or empty counts as silent. Raises NoSound when both are, ValueError when their rates
    differ, NotWritten (or another OSError) when the disk says no.
    """
    with contextlib.ExitStack() as stack:
        sides = [stack.enter_context(_opened(path)) for path in (left, right)]
        rate_hz = _rate_hz(sides, left, right)
        frames = max(side.frames for side in sides if side)
        part = out.with_name(f"{out.name}.part")
        stack.callback(part.unlink, missing_ok=True)
        peaks = _write(sides, part, rate_hz, frames)
        _make_durable(part, out)
    with out.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Audio(frames / rate_hz, out.stat().st_size, sha256, peaks, sum(1 for side in sides if side))


@dataclass(frozen=True)
class _Side:
    file: Any  # soundfile.SoundFile, at its first sample
    frames: int

    def read(self, frames: int) -> Samples:
        """The next `frames` samples, filled up with silence after the end."""
        block: Samples = self.file.read(frames, dtype="int16", always_2d=True)[:, 0]
        return np.pad(block, (0, frames - len(block)))


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[_Side | None]:
    if path is None or not path.is_file():
        yield None
        return
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError:  # not a sound file: cut off inside its header, or empty
        yield None
        return
    with file, _repaired(path, file) as side:
        yield side if side.frames else None


@contextlib.contextmanager
def _repaired(path: Path, file: Any) -> Iterator[_Side]:
    """A killed Asterisk leaves "0 bytes" in the header: then everything behind the header is sound."""
    data_at = _data_at(path)
    if file.frames or file.subtype != "PCM_16" or path.stat().st_size < data_at + 2:
        yield _Side(file, file.frames)
        return
    raw = {"format": "RAW", "subtype": "PCM_16", "endian": "LITTLE"}
    with soundfile.SoundFile(path, samplerate=file.samplerate, channels=file.channels, **raw) as unwrapped:
        header_frames = data_at // (2 * file.channels)
        unwrapped.seek(header_frames)
        yield _Side(unwrapped, unwrapped.frames - header_frames)


def _data_at(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(HEADER_MAX_BYTES).find(b"data") + 8


def _rate_hz(sides: list[_Side | None], left: Path | None, right: Path | None) -> int:
    rates = {side.file.samplerate for side in sides if side}
    if not rates:
        raise NoSound(f"expected sound in {left} or {right}, found none")
    if len(rates) > 1:
        raise ValueError(f"expected one sample rate in {left} and {right}, got {sorted(rates)} Hz")
    return int(rates.pop())


def _write(sides: list[_Side | None], part: Path, rate_hz: int, frames: int) -> Peaks:
    """Write all blocks and return the waveform. A block holds whole buckets, so that no bucket crosses two blocks."""
    bucket = -(-frames // BUCKETS_MAX)
    step = bucket * max(1, BLOCK_FRAMES // bucket)
    peaks: Peaks = []
    try:
        with soundfile.SoundFile(part, "w", rate_hz, 2, "PCM_16", format="WAV") as file:
            for start in range(0, frames, step):
                block = _stereo(sides, min(step, frames - start))
                file.write(block)
                peaks += _peaks(block, bucket)
    except (soundfile.LibsndfileError, AssertionError) as error:  # soundfile asserts that all of a block was written
        raise NotWritten(f"could not write {part}") from error
    if part.stat().st_size < frames * 4:
        raise NotWritten(f"expected at least {frames * 4} bytes in {part}, got {part.stat().st_size}")
    return peaks


def _stereo(sides: list[_Side | None], frames: int) -> Samples:
    silence = np.zeros(frames, np.int16)
    return np.column_stack([side.read(frames) if side else silence for side in sides])


def _peaks(block: Samples, bucket: int) -> Peaks:
    whole = np.pad(block, ((0, -len(block) % bucket), (0, 0)), mode="edge").reshape(-1, bucket, 2)
    low, high = whole.min(axis=1) >> 8, whole.max(axis=1) >> 8
    rows: Peaks = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1).tolist()
    return rows


def _make_durable(part: Path, out: Path) -> None:
    """Content first, then the name, then the folder that holds the name."""
    _sync(part)
    part.replace(out)
    _sync(out.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
