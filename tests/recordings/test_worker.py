"""From the switch's loose files to a stored recording: with real files, a real database, and a clock that we turn."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile

from cti import ledger
from cti.bus import MemoryBus
from cti.db import Database
from cti.records import recordings
from cti.records.recordings import Recording
from recordings.retention import Policy
from recordings.worker import LEASE_S, Worker
from tests.recordings.calls import talked
from tests.recordings.sounds import killed, loudest_hz, tone


@dataclass
class Place:
    """A worker, its folder, and the clock."""

    db: Database
    folder: Path
    now: dt.datetime

    def worker(self, **kwargs: Any) -> Worker:
        return Worker(self.db, self.folder, lambda: self.now, **({"settle_s": 0} | kwargs))

    def later(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)

    def sides(self, stem: str, *, caller_s: float = 10, heard_s: float = 10) -> None:
        tone(self.folder / f"{stem}-r.wav", seconds=caller_s, hz=440)
        tone(self.folder / f"{stem}-t.wav", seconds=heard_s, hz=1000)
        tone(self.folder / f"{stem}.wav", seconds=max(caller_s, heard_s), hz=600)

    async def row(self, recording: str) -> Recording:
        row = await self.db.read(recordings.by_id, recording)
        assert row is not None
        return row

    def loose(self) -> list[str]:
        return [path.name for path in self.folder.glob("*.wav")]

    def finished(self) -> list[str]:
        return [path.relative_to(self.folder).as_posix() for path in self.folder.glob("*/**/*.wav")]

    async def stored_events(self, conversation: str) -> list[dict[str, Any]]:
        events = await self.db.read(ledger.of_conversation, conversation)
        return [each.event.plain() for each in events if each.event.type == "recording.stored"]


@pytest.fixture
def place(db: Database, tmp_path: Path, now: dt.datetime) -> Place:
    folder = tmp_path / "recordings"
    folder.mkdir()
    return Place(db, folder, now)


async def test_a_good_call_is_stored_and_the_loose_files_are_gone(place: Place):
    conversation, recording = await place.db.work(talked, place.now, seconds=10)
    place.sides(recording)
    await place.worker().scan()
    row = await place.row(recording)
    out = place.folder / row.path
    assert (row.state, row.reason, row.duration_s, row.talk_s, row.channels) == ("stored", "", 10.0, 10.0, 2)
    assert row.path == f"2026/11/20/{recording}.wav"
    assert row.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert row.started_at == place.now - dt.timedelta(seconds=10)
    waveform = await place.db.read(recordings.peaks, recording)
    assert len(waveform or []) > 1000
    samples, _ = soundfile.read(out, dtype="int16")
    assert (loudest_hz(samples[:, 0]), loudest_hz(samples[:, 1])) == (440, 1000)
    assert place.loose() == []
    stored = {"conversation": conversation, "recording": recording, "duration_s": 10.0, "state": "stored"}
    assert await place.stored_events(conversation) == [stored | {"size_bytes": out.stat().st_size}]


@pytest.mark.parametrize(
    ("caller_s", "heard_s", "state", "reason"),
    [(10, 9.9, "stored", ""), (6, 6, "partial", "shorter"), (14, 14, "partial", "longer")],
)
async def test_the_length_is_compared_with_the_talk(
    place: Place, caller_s: float, heard_s: float, state: str, reason: str
):
    _, recording = await place.db.work(talked, place.now, seconds=10)
    place.sides(recording, caller_s=caller_s, heard_s=heard_s)
    await place.worker().scan()
    row = await place.row(recording)
    assert (row.state, row.reason, row.duration_s) == (state, reason, caller_s)
    assert row.path


async def test_a_killed_switch_still_leaves_a_whole_recording(place: Place):
    _, recording = await place.db.work(talked, place.now, seconds=10)
    killed(place.folder / f"{recording}-r.wav", seconds=10)
    killed(place.folder / f"{recording}-t.wav", seconds=10)
    await place.worker().scan()
    assert (await place.row(recording)).state == "stored"


async def test_one_side_is_better_than_none(place: Place):
    _, recording = await place.db.work(talked, place.now, seconds=10)
    tone(place.folder / f"{recording}-t.wav", seconds=10)
    await place.worker().scan()
    row = await place.row(recording)
    assert (row.state, row.reason, row.duration_s) == ("partial", "one_side", 10.0)


async def test_the_mix_is_kept_when_the_sides_are_lost(place: Place):
    _, recording = await place.db.work(talked, place.now, seconds=10)
    tone(place.folder / f"{recording}.wav", seconds=10)
    (place.folder / f"{recording}-r.wav").touch()
    await place.worker().scan()
    row = await place.row(recording)
    samples, _ = soundfile.read(place.folder / row.path, dtype="int16")
    assert (row.state, row.reason) == ("partial", "mix_only")
    assert (samples[:, 0] == samples[:, 1]).all()


async def test_a_talk_without_files_is_missing(place: Place):
    conversation, recording = await place.db.work(talked, place.now, seconds=10)
    await place.worker().scan()
    row = await place.row(recording)
    assert (row.state, row.reason, row.path) == ("missing", "no_file", "")
    assert [each["state"] for each in await place.stored_events(conversation)] == ["missing"]


async def test_nobody_answered_so_there_is_nothing_to_keep(place: Place):
    conversation, recording = await place.db.work(talked, place.now, seconds=None)
    place.sides(recording, caller_s=0, heard_s=0)
    await place.worker().scan()
    assert (await place.row(recording)).state == "none"
    assert await place.stored_events(conversation) == []
    assert place.loose() == []


async def test_two_workers_make_one_recording_of_each_call(place: Place):
    calls = [await place.db.work(talked, place.now, seconds=10, channel=f"1.{each}") for each in range(5)]
    for _, recording in calls:
        place.sides(recording)
    await asyncio.gather(place.worker().scan(), place.worker().scan())
    for conversation, recording in calls:
        assert ((await place.row(recording)).state, (await place.row(recording)).tries) == ("stored", 1)
        assert len(await place.stored_events(conversation)) == 1
    assert len(place.finished()) == 5


async def test_a_crash_between_the_file_and_the_row_is_picked_up(place: Place):
    _, recording = await place.db.work(talked, place.now, seconds=10)
    place.sides(recording)
    dying = place.worker()
    held = await place.db.work(recordings.claim, now=place.now, settle_s=0, lease_s=LEASE_S)
    assert held is not None
    await asyncio.to_thread(dying._make, held)  # and then the power goes
    assert place.finished() == [f"2026/11/20/{recording}.wav"]
    await place.worker().scan()
    assert (await place.row(recording)).state == "recording"  # the lease of the dead one
    place.later(LEASE_S)
    await place.worker().scan()
    row = await place.row(recording)
    assert (row.state, row.tries) == ("stored", 2)
    assert place.finished() == [row.path]
    assert place.loose() == []


async def test_a_crash_between_the_row_and_the_tidying_is_tidied(place: Place):
    _, recording = await place.db.work(talked, place.now, seconds=10)
    place.sides(recording)
    await place.worker().scan()
    place.sides(recording)  # as if they had never been deleted
    await place.worker().scan()
    assert place.loose() == []
    assert place.finished() == [(await place.row(recording)).path]


async def test_a_worker_thought_dead_cannot_spoil_what_its_successor_stored(place: Place):
    _, recording = await place.db.work(talked, place.now, seconds=10)
    place.sides(recording)
    slow = await place.db.work(recordings.claim, now=place.now, settle_s=0, lease_s=LEASE_S)
    place.later(LEASE_S)
    await place.worker().scan()
    row = await place.row(recording)
    tone(place.folder / f"{recording}-r.wav", seconds=1)
    assert slow is not None
    await place.worker()._store(slow)
    assert place.finished() == [row.path]
    assert hashlib.sha256((place.folder / row.path).read_bytes()).hexdigest() == row.sha256


async def test_a_disk_that_refuses_is_tried_three_times_and_keeps_the_raw_files(place: Place):
    conversation, recording = await place.db.work(talked, place.now, seconds=60)
    place.sides(recording, caller_s=60, heard_s=60)
    (place.folder / "2026").write_bytes(b"")  # a file where a folder must be: nothing can be written below
    for _ in range(3):
        await place.worker().scan()
        place.later(600)
    row = await place.row(recording)
    assert (row.state, row.reason, row.tries) == ("missing", "not_written", 3)
    assert len(place.loose()) == 3
    assert [each["state"] for each in await place.stored_events(conversation)] == ["missing"]


async def test_a_recording_that_kills_its_workers_is_given_up(place: Place):
    _, recording = await place.db.work(talked, place.now, seconds=10)
    place.sides(recording)
    for _ in range(3):
        assert await place.db.work(recordings.claim, now=place.now, settle_s=0, lease_s=LEASE_S) is not None
        place.later(LEASE_S)
    await place.worker().scan()
    assert (await place.row(recording)).reason == "not_written"


@pytest.mark.parametrize("stem", ["1795311706-4", "1795311706.4"])
async def test_a_call_without_us_is_adopted_by_its_channel(place: Place, stem: str):
    conversation, _ = await place.db.work(talked, place.now, seconds=10, promised=False)
    place.sides(stem)
    await place.worker().scan()
    await place.worker().scan()
    (row,) = await place.db.read(recordings.of_conversation, conversation)
    assert (row.state, row.stem, row.talk_s) == ("stored", stem, 10.0)
    assert place.loose() == []


async def test_a_promised_recording_finds_the_fallbacks_file(place: Place):
    conversation, recording = await place.db.work(talked, place.now, seconds=10)
    place.sides("1795311706-4")
    await place.worker().scan()
    await place.worker().scan()
    (row,) = await place.db.read(recordings.of_conversation, conversation)
    assert (row.id, row.state, row.stem) == (recording, "stored", "1795311706-4")


async def test_a_file_that_belongs_to_no_call_is_left_alone(place: Place):
    place.sides("1795311706-4")
    await place.worker().scan()
    assert len(place.loose()) == 3


async def test_what_was_kept_long_enough_is_erased_and_leaves_a_tombstone(place: Place):
    _, recording = await place.db.work(talked, place.now, seconds=10)
    place.sides(recording)
    worker = place.worker(policy=Policy(keep_days=30))
    await worker.scan()
    place.later(29 * 86400)
    await worker.scan()
    assert (await place.row(recording)).state == "stored"
    place.later(86400)
    await worker.scan()
    row = await place.row(recording)
    assert (row.state, row.path, row.erased_at) == ("erased", "", place.now)
    assert await place.db.read(recordings.peaks, recording) is None
    assert place.finished() == []


async def test_the_end_of_a_call_wakes_the_worker_even_after_a_scan_that_failed(place: Place):
    news, failed, stored = MemoryBus(), asyncio.Event(), asyncio.Event()

    def clock() -> dt.datetime:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("this scan fails")
        return place.now

    place.db.on_commit = news.publish
    worker = Worker(place.db, place.folder, clock, settle_s=0)
    news.subscribe(worker.hear)
    news.subscribe(lambda recorded: stored.set() if recorded.event.type == "recording.stored" else None)
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(10):
        await failed.wait()
        _, recording = await place.db.work(talked, place.now, seconds=10)
        await stored.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await place.row(recording)).state == "missing"
