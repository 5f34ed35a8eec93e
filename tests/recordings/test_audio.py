"""Real files in, one stereo file out: whatever state the switch left them in."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from recordings.audio import BUCKETS_MAX, NoSound, NotWritten, combine
from tests.recordings.sounds import killed, loudest_hz, tone


def test_the_caller_is_left_and_what_he_hears_is_right(tmp_path: Path):
    caller, heard = tone(tmp_path / "r.wav", seconds=1, hz=440), tone(tmp_path / "t.wav", seconds=1, hz=1000)
    combine(caller, heard, tmp_path / "out.wav")
    samples, rate_hz = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert rate_hz == 8000
    assert loudest_hz(samples[:, 0]) == 440
    assert loudest_hz(samples[:, 1]) == 1000


def test_what_is_said_of_the_file_is_true(tmp_path: Path):
    out = tmp_path / "out.wav"
    made = combine(tone(tmp_path / "r.wav", seconds=2), tone(tmp_path / "t.wav", seconds=2), out)
    assert (made.duration_s, made.sides) == (2.0, 2)
    assert made.size_bytes == out.stat().st_size
    assert made.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert soundfile.info(out).subtype == "PCM_16"


def test_the_shorter_side_ends_in_silence(tmp_path: Path):
    made = combine(tone(tmp_path / "r.wav", seconds=3), tone(tmp_path / "t.wav", seconds=2.5), tmp_path / "out.wav")
    samples, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert made.duration_s == 3.0
    assert samples[20000:, 0].any()
    assert not samples[20000:, 1].any()


def test_a_killed_switch_loses_no_sound(tmp_path: Path):
    caller, heard = killed(tmp_path / "r.wav", seconds=2, hz=440), killed(tmp_path / "t.wav", seconds=2, hz=1000)
    assert soundfile.info(caller).frames == 0  # this is what everybody else sees
    made = combine(caller, heard, tmp_path / "out.wav")
    samples, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert (made.duration_s, made.sides) == (2.0, 2)
    assert loudest_hz(samples[:, 0]) == 440
    assert (samples[:, 0] == soundfile.read(tone(tmp_path / "whole.wav", seconds=2), dtype="int16")[0]).all()


def test_a_file_cut_off_in_the_middle_of_a_sample_gives_what_it_has(tmp_path: Path):
    caller = tone(tmp_path / "r.wav", seconds=2)
    caller.write_bytes(caller.read_bytes()[: 44 + 16001])
    assert combine(caller, None, tmp_path / "out.wav").duration_s == 1.0


@pytest.mark.parametrize("bad", ["missing", "empty", "half a header", "only a header", "no sound file"])
def test_a_side_that_cannot_be_read_is_silent(tmp_path: Path, bad: str):
    heard = tmp_path / "t.wav"
    header = tone(heard, seconds=1).read_bytes()[:44]
    match bad:
        case "missing":
            heard.unlink()
        case "empty":
            heard.write_bytes(b"")
        case "half a header":
            heard.write_bytes(header[:30])
        case "only a header":
            tone(heard, seconds=0)
        case _:
            heard.write_bytes(b"\0" * 1000)
    made = combine(tone(tmp_path / "r.wav", seconds=1), heard, tmp_path / "out.wav")
    assert (made.duration_s, made.sides) == (1.0, 1)
    with pytest.raises(NoSound):
        combine(heard, None, tmp_path / "none.wav")
    assert not (tmp_path / "none.wav").exists()


def test_two_rates_are_refused(tmp_path: Path):
    soundfile.write(tmp_path / "t.wav", [0.1] * 16000, 16000, "PCM_16")
    with pytest.raises(ValueError, match=r"one sample rate .* \[8000, 16000\] Hz"):
        combine(tone(tmp_path / "r.wav", seconds=1), tmp_path / "t.wav", tmp_path / "out.wav")


@pytest.mark.parametrize("seconds", [0.01, 1, 61.7])
def test_the_waveform_covers_the_whole_length(tmp_path: Path, seconds: float):
    caller = tone(tmp_path / "r.wav", seconds=seconds)
    peaks = combine(caller, None, tmp_path / "out.wav").peaks
    assert min(80, BUCKETS_MAX // 2) <= len(peaks) <= BUCKETS_MAX
    assert all(len(each) == 4 and each[2:] == [0, 0] for each in peaks)
    assert (min(each[0] for each in peaks), max(each[1] for each in peaks)) == (-32, 31)  # 8000 of 32768


def test_a_block_border_changes_no_sample(tmp_path: Path):
    caller = tone(tmp_path / "r.wav", seconds=20, hz=333)
    combine(caller, caller, tmp_path / "out.wav")
    samples, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    before, _ = soundfile.read(caller, dtype="int16")
    assert (samples[:, 0] == before).all()
    assert (samples[:, 1] == before).all()


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow over 100 kB: the same error for a writer as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, request: pytest.FixtureRequest):
    caller = tone(tmp_path / "r.wav", seconds=20)
    request.getfixturevalue("small_disk")
    with pytest.raises(NotWritten):
        combine(caller, caller, tmp_path / "out.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["r.wav"]
