from __future__ import annotations

import asyncio
import contextlib
import datetime as dt

import pytest

from cti.db import Database, Overloaded
from cti.records import outages
from cti.speech import SpeechError
from ivr import named_areas, prompts
from ivr.named_areas import NamedAreas
from ivr.voice import PromptMissing, Voice
from tests.fakes.synth import FakeSynth


class Patient(FakeSynth):
    """Speaks when it is let; `broken`: not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.begun = asyncio.Event(), asyncio.Event()
        self.may.set()
        self.broken = False

    async def speak(self, text, language, out):
        self.begun.set()
        await self.may.wait()
        if self.broken:
            raise SpeechError("expected speech, the disk is full")
        await super().speak(text, language, out)


@pytest.fixture
def synth():
    return Patient()


@pytest.fixture
async def voice(tmp_path, synth):
    built = Voice(tmp_path / "prompts", synth)
    await built.build([], lambda line: None)
    synth.spoken.clear()
    synth.begun.clear()
    return built


@pytest.fixture
def areas(db, voice, now):
    return NamedAreas(db, voice, lambda: now)


async def goes_down(db: Database, now: dt.datetime, area: str) -> str:
    row = await db.work(outages.open_outage, area=area, started_at=now, estimate_at=None, now=now)
    return row.id


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ((), ""), (("Moda",), "Moda"), (("Moda", "Kars"), "Moda\nKars"), (("a", "b", "c"), "a\nb\nc"), (("a", "b", "c", "d"), ""),
        (("Moda", ""), ""), (("Moda", " - "), ""), (("Moda", "x" * 41), ""), (("  Kadıköy \n\t 3",), "Kadıköy 3"),
        (("a  b", "a b"), "a b"),
    ],
)  # fmt: skip
def test_all_areas_are_named_or_none(found, named):
    assert named_areas.fact(found) == named


async def test_areas_are_named_once_every_piece_is_there_in_each_language(db, areas, voice, synth, now):
    assert await areas.look()
    assert areas.spoken == ""
    await goes_down(db, now, "Moda")
    outage = await goes_down(db, now + dt.timedelta(seconds=-1), "Kars")
    assert await areas.look()
    assert areas.spoken == "Moda\nKars"
    assert sorted(synth.spoken) == ["Kars", "Kars", "Moda", "Moda", "and", "ve"]
    for language in ("tr", "en"):
        assert len(voice.media(prompts.names(areas.spoken, language))) == 3
    await db.work(outages.close, outage, now)
    assert await areas.look()
    assert areas.spoken == "Moda"
    assert len(synth.spoken) == 6, "spoken once"


async def test_while_a_name_is_being_spoken_none_is_named(db, areas, voice, synth, now):
    await goes_down(db, now, "Moda")
    await areas.look()
    synth.may.clear()
    synth.begun.clear()
    await goes_down(db, now, "Kars")
    looking = asyncio.create_task(areas.look())
    await synth.begun.wait()
    assert areas.spoken == ""
    synth.may.set()
    await looking
    assert "Kars" in areas.spoken


async def test_a_name_that_cannot_be_spoken_is_not_named_and_tried_again(db, areas, voice, synth, now):
    await goes_down(db, now, "Moda")
    synth.broken = True
    assert not await areas.look()
    assert areas.spoken == ""
    with pytest.raises(PromptMissing):
        voice.media(prompts.names("Moda", "tr"))
    synth.broken = False
    assert await areas.look()
    assert areas.spoken == "Moda"


async def test_what_is_not_known_for_certain_is_not_named(db, areas, now, monkeypatch):
    await goes_down(db, now, "Moda")
    await areas.look()

    async def away(*args, **kwargs):
        raise Overloaded("expected room, there is none")

    monkeypatch.setattr(db, "read", away)
    assert not await areas.look()
    assert areas.spoken == ""


async def test_it_looks_again_and_again(db, areas, now, monkeypatch):
    monkeypatch.setattr(named_areas, "EVERY_S", 0.0)
    monkeypatch.setattr(named_areas, "REST", 0)
    looked, look = asyncio.Event(), areas.look

    async def seen():
        well = await look()
        if areas.spoken:
            looked.set()
        return well

    monkeypatch.setattr(areas, "look", seen)
    running = asyncio.create_task(areas.run())
    await goes_down(db, now, "Moda")
    async with asyncio.timeout(10):
        await looked.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert areas.spoken == "Moda"
