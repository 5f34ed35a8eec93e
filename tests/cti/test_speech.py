from __future__ import annotations

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cti import speech
from cti.asterisk import debs
from cti.speech import RATE_HZ, Espeak, SpeechError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def espeak():
    root = Path(os.environ.get("SANTRAL_TOOLS_DIR") or ROOT / "var" / "tools")
    try:
        engine = Espeak(debs.find("espeak-ng", root))
    except debs.DebsError as error:
        pytest.fail(str(error))
    yield engine
    engine.close()


def tone(seconds: float, level: float, rate_hz: int = RATE_HZ) -> speech.Samples:
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    return np.asarray(level * np.sin(2 * np.pi * 440 * at), dtype=np.float32)


@pytest.mark.parametrize(("language", "text"), [("tr", "Arıza kaydınız açıldı."), ("en", "Your ticket is open.")])
async def test_text_becomes_a_telephone_file(espeak, tmp_path, language, text):
    out = tmp_path / "new" / "out.wav"
    await espeak.speak(text, language, out)
    samples, rate_hz = soundfile.read(str(out), dtype="float32")
    assert (rate_hz, samples.ndim, soundfile.info(str(out)).subtype) == (8000, 1, "PCM_16")
    assert speech.active_level_dbov(samples) == pytest.approx(-24, abs=1)
    assert 20 * np.log10(np.abs(samples).max()) <= -2.9
    assert 0.5 < len(samples) / rate_hz < 4
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.wav"]


async def test_many_at_once_are_all_made(espeak, tmp_path):
    await asyncio.gather(*(espeak.speak(f"{at}", "tr", tmp_path / f"{at}.wav") for at in range(8)))
    assert len(list(tmp_path.iterdir())) == 8


async def test_text_that_looks_like_an_option_is_spoken(espeak, tmp_path):
    await espeak.speak("--version; $(reboot)", "en", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").stat().st_size > 8000


def test_the_name_tells_engine_and_version(espeak):
    assert espeak.name.startswith("espeak-ng 1.")


async def test_a_place_that_cannot_be_written_to_is_said(espeak, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SpeechError, match=r"expected to write out\.wav"):
        await espeak.speak("Moda", "tr", tmp_path / "file" / "out.wav")


async def test_what_cannot_be_spoken_leaves_no_file(espeak, tmp_path):
    for text, language in (("x" * 1001, "tr"), ("", "tr"), ("merhaba", "xx")):
        with pytest.raises(SpeechError, match="expected"):
            await espeak.speak(text, language, tmp_path / "a.wav")
    assert not list(tmp_path.iterdir())


def test_a_program_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SpeechError, match="expected espeak-ng at"):
        Espeak([str(tmp_path / "nothing")])


async def test_an_own_recording_of_any_rate_is_converted(espeak, tmp_path):
    stereo = np.stack([tone(1, 0.3, 44_100), tone(1, 0.3, 44_100)], axis=1)
    soundfile.write(str(tmp_path / "own.wav"), stereo, 44_100)
    await espeak.convert(tmp_path / "own.wav", tmp_path / "out.wav")
    samples, rate_hz = soundfile.read(str(tmp_path / "out.wav"))
    assert (rate_hz, samples.shape) == (8000, (8000,))


async def test_a_recording_that_is_no_sound_is_refused(espeak, tmp_path):
    (tmp_path / "own.wav").write_text("not a sound", encoding="utf-8")
    with pytest.raises(SpeechError, match=r"expected a sound file at own\.wav"):
        await espeak.convert(tmp_path / "own.wav", tmp_path / "out.wav")


def test_silence_around_speech_is_trimmed():
    silence = np.zeros(RATE_HZ, dtype=np.float32)
    trimmed = speech.trimmed(np.concatenate([silence, tone(0.5, 0.5), silence]))
    assert 0.5 <= len(trimmed) / RATE_HZ < 0.62


def test_the_level_is_set_and_a_peak_is_not_passed():
    assert speech.active_level_dbov(speech.levelled(tone(1, 0.9))) == pytest.approx(-24, abs=0.1)
    click = tone(1, 0.001)
    click[4000] = 1.0
    assert np.abs(speech.levelled(click)).max() <= 10 ** (-2.99 / 20)


def test_silence_alone_stays_silence():
    silence = np.zeros(RATE_HZ, dtype=np.float32)
    assert len(speech.trimmed(silence)) < RATE_HZ
    assert not speech.levelled(silence).any()


def test_ends_are_faded():
    faded = speech.faded(np.ones(1000, dtype=np.float32))
    assert (faded[0], faded[500], faded[-1]) == (0.0, 1.0, 0.0)
