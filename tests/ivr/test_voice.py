from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from cti.speech import Espeak
from ivr import prompts, voice
from ivr.prompts import Piece
from ivr.voice import Voice
from tests.fakes.synth import FakeSynth

FOUR = Piece("digit-4", "dört", "tr")
HELLO = Piece("welcome", "Merhaba.", "tr")


def silent(line: str) -> None:
    pass


def contents(media: list[str]) -> list[str]:
    return [Path(f"{path}.wav").read_text(encoding="utf-8") for path in media]


def size_bytes(media: str) -> int:
    return Path(f"{media}.wav").stat().st_size


async def test_a_file_name_says_what_is_played(tmp_path):
    store = Voice(tmp_path, FakeSynth())
    await store.build([FOUR, HELLO], silent)
    media = store.media([HELLO, FOUR, FOUR])
    assert voice.names(media) == ["tr-welcome", "tr-digit-4", "tr-digit-4"]
    assert contents(media) == ["Merhaba.", "dört", "dört"]
    index = json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))
    assert index[f"{Path(media[1]).name}.wav"] == "dört"


async def test_only_what_is_missing_is_made(tmp_path):
    await Voice(tmp_path, FakeSynth()).build([FOUR], silent)
    again = FakeSynth()
    await Voice(tmp_path, again).build([FOUR, HELLO], silent)
    assert again.spoken == ["Merhaba."]


async def test_pieces_are_added_while_calls_go_on_and_made_once(tmp_path):
    synth = FakeSynth()
    store = Voice(tmp_path, synth)
    await store.build([HELLO], silent)
    before = store.media([HELLO])
    synth.spoken.clear()
    moda = Piece("name-moda", "Moda", "tr")
    for _ in range(2):
        await store.add([HELLO, moda])
    assert synth.spoken == ["Moda"]
    assert contents(store.media([HELLO, moda])) == ["Merhaba.", "Moda"]
    assert store.media([HELLO]) == before
    index = json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))
    assert {"Moda", "Merhaba."} <= set(index.values())


async def test_another_text_or_engine_is_another_file(tmp_path):
    store = Voice(tmp_path, FakeSynth())
    newer = FakeSynth()
    newer.name = "fake 2"
    await store.build([FOUR, Piece("digit-4", "dööört", "tr")], silent)
    second = Voice(tmp_path, newer)
    await second.build([FOUR], silent)
    assert len({*store.media([FOUR, Piece("digit-4", "dööört", "tr")]), *second.media([FOUR])}) == 3


async def test_an_own_recording_stands_in(tmp_path):
    own = tmp_path / "recordings" / "tr" / "digit-4.wav"
    own.parent.mkdir(parents=True)
    own.write_text("a human's four", encoding="utf-8")
    store = Voice(tmp_path, FakeSynth())
    await store.build([FOUR], silent)
    media = store.media([FOUR])
    assert contents(media) == ["a human's four"]
    assert voice.names(media) == ["tr-digit-4-own"]


async def test_the_dialplan_finds_its_files_by_plain_names(tmp_path):
    store = Voice(tmp_path, FakeSynth())
    await store.build([], silent)
    for name in ("fallback", "waiting", "sorry", "resumed", "resumed_keys", "resumed_go_on"):
        for language in ("tr", "en"):
            assert (tmp_path / f"{name}_{language}.wav").read_text(encoding="utf-8") == voice.STATIC[name][language]
    assert store.static("fallback", "de") == str(tmp_path / "fallback_tr")


async def test_a_piece_that_was_never_built_is_named(tmp_path):
    with pytest.raises(voice.PromptMissing, match="'digit-4' in 'tr'"):
        Voice(tmp_path, FakeSynth()).media([FOUR])


async def test_progress_is_said(tmp_path):
    lines: list[str] = []
    await Voice(tmp_path, FakeSynth()).build([Piece(f"p-{at}", f"{at}", "tr") for at in range(50)], lines.append)
    in_all = 50 + 2 * len(voice.STATIC) + len(voice.DIGITS)
    assert lines == ["prompts: 50 of 82", f"prompts: {in_all} of {in_all}"]


async def test_what_was_keyed_can_be_read_back_whatever_the_flow_speaks(tmp_path):
    store = Voice(tmp_path, FakeSynth())
    await store.build([], silent)
    assert contents(store.digits("40*7#", "tr")) == ["dört", "sıfır", "yedi"]
    assert contents(store.digits("47", "en")) == ["four", "seven"]
    assert contents(store.digits("4", "de")) == ["dört"]
    assert store.digits("", "tr") == []


async def test_a_real_voice_speaks_every_piece_of_the_shipped_flow(tmp_path, espeak, main_flow):
    synth = Espeak(espeak)
    store = Voice(tmp_path, synth)
    pieces = prompts.all_pieces(main_flow)
    await store.build(pieces, silent)
    began = time.perf_counter()
    media = store.media(pieces)
    assert time.perf_counter() - began < 0.01
    assert min(map(size_bytes, media)) > 1000
    synth.close()
