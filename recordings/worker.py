"""Makes the switch's loose files into stored recordings, and erases what has been kept long enough.

A worker claims a row for a time; if it dies, the row is free again afterwards. Nothing of the switch is deleted before the row that
replaces it is durable. Which state a recording deserves is decided in `verdict`, what is erased in `retention`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from cti import ledger
from cti.db import Database
from cti.events import CallEnded, Recorded
from cti.records import recordings
from cti.records.recordings import Claim, Result
from recordings import audio, retention
from recordings.audio import Audio
from recordings.retention import Kept, Policy
from recordings.store import Folder, Parts
from recordings.verdict import Sound, Talk, Verdict, judge, talk_of

SCAN_EVERY_S = 60.0  # leftovers of a crash are handled after LEASE_S + SCAN_EVERY_S at the latest: within 5 minutes
LEASE_S = 180.0  # a three-hour call takes about 20 s on a slow disk
SETTLE_S = 2.0  # after the call's end: the switch closes its files, and its last facts arrive
RETRY_S = 30.0  # times the attempt: a full disk is mostly made room on by a person
TRIES_MAX = 3
ERASE_MAX = 200  # rows looked at in one scan

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Made:
    """What one attempt brought: the stereo file, unless there was no sound, and what it was made of."""

    sound: Sound
    stem: str = ""
    out: Path | None = None
    audio: Audio | None = None


class Worker:
    """One per node. Subscribe `hear` to the ledger and keep `run` as a task; `clock` gives aware UTC times."""

    def __init__(
        self, db: Database, folder: Path, clock: Callable[[], dt.datetime], *, policy: Policy | None = None,
        settle_s: float = SETTLE_S,
    ) -> None:  # fmt: skip
        self._db = db
        self._folder = Folder(folder)
        self._clock = clock
        self._policy = policy or Policy()
        self._settle_s = settle_s
        self._woken = asyncio.Event()

    def hear(self, recorded: Recorded) -> None:
        """A subscriber of the ledger: a call's end makes its recording due."""
        if isinstance(recorded.event, CallEnded):
            self._woken.set()

    async def run(self) -> None:
        """Scan at once, after every call's end, and every SCAN_EVERY_S; ends only when cancelled."""
        while True:
            self._woken.clear()
            try:
                await self.scan()
            except Exception:  # the end of a job: its row comes back when the lease is over, at most TRIES_MAX times
                log.exception("recordings.scan_failed")
            await self._wait()

    async def scan(self) -> None:
        """Everything that is due now: rows for adopted files, recordings to store, files to tidy, recordings to erase."""
        stems = await asyncio.to_thread(self._folder.stems)
        await self._db.work(recordings.adopt, stems, now=self._clock())
        while held := await self._db.work(
            recordings.claim, now=self._clock(), settle_s=self._settle_s, lease_s=LEASE_S
        ):
            await self._store(held)
        await self._tidy_leftovers()
        await self._erase()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(SCAN_EVERY_S):
                await self._woken.wait()
                await asyncio.sleep(self._settle_s)
        except TimeoutError:
            pass

    async def _store(self, held: Claim) -> None:
        talk = talk_of(await self._db.read(ledger.of_conversation, held.conversation), held.id)
        try:
            made = await asyncio.to_thread(self._make, held)
        except (OSError, ValueError) as error:
            await self._failed(held, talk, error)
            return
        result = _result(held, made, talk, self._folder.relative(made.out) if made.out else "")
        if await self._db.work(recordings.finish, held, result, now=self._clock()):
            log.info("recording.stored", recording=held.id, state=result.state, reason=result.reason)
            if result.path or result.state == "none":
                await self._tidy(held.id, held.created_at, keep=result.path, stem=result.stem)
        elif made.out:
            made.out.unlink(missing_ok=True)

    async def _failed(self, held: Claim, talk: Talk | None, error: Exception) -> None:
        """Try again later, or say in the row that it did not work; the switch's files stay where they are."""
        log.warning("recording.failed", recording=held.id, attempt=held.attempt, error=str(error))
        now = self._clock()
        if held.attempt < TRIES_MAX:
            await self._db.work(recordings.postpone, held, now + dt.timedelta(seconds=RETRY_S * held.attempt))
        else:
            gave_up = _without_sound(held, talk, Verdict("missing", "not_written"))
            await self._db.work(recordings.finish, held, gave_up, now=now)

    def _make(self, held: Claim) -> _Made:
        """In a thread: find the switch's files and combine them."""
        if held.attempt > TRIES_MAX:
            raise OSError(f"expected at most {TRIES_MAX} attempts; all of them died")
        stem = self._folder.stem_of(_names(held))
        if stem is None:
            return _Made(Sound("no_file"))
        parts = self._folder.parts(stem)
        out = self._folder.out(held.id, held.created_at, held.attempt)
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            made, of = _combined(parts, out)
        except audio.NoSound:
            return _Made(Sound("empty"), stem)
        return _Made(Sound(of, made.duration_s), stem, out, made)

    async def _tidy_leftovers(self) -> None:
        """Loose files of finished rows: somebody crashed between storing a row and deleting them."""
        stems = await asyncio.to_thread(self._folder.stems)
        for row in await self._db.read(recordings.finished, stems):
            await self._tidy(row.id, row.created_at, keep=row.path, stem=row.stem)

    async def _erase(self) -> None:
        now = self._clock()
        oldest = await self._db.read(recordings.oldest_kept, ERASE_MAX, besides=self._policy.held)
        rows = {row.id: row for row in oldest}
        kept = [Kept(row.id, row.conversation, row.state, row.created_at) for row in rows.values()]
        for recording in retention.due(kept, now, self._policy):
            row = rows[recording]
            await self._tidy(row.id, row.created_at, keep="", stem=row.stem)
            await self._db.work(recordings.erase, row.id, now=now)
            log.info("recording.erased", recording=row.id)

    async def _tidy(self, recording: str, created_at: dt.datetime, *, keep: str, stem: str) -> None:
        await asyncio.to_thread(self._folder.tidy, recording, created_at, keep=keep, stem=stem)


def _names(held: Claim) -> list[str]:
    """The names that the switch may have used: ours, or the caller's channel as the dialplan's fallback writes it."""
    channel = "".join(each for each in held.channel if (each.isalnum() and each.isascii()) or each in ".-")[:64]
    return [each for each in (held.id, held.stem, channel.replace(".", "-"), channel) if each]


def _combined(parts: Parts, out: Path) -> tuple[Audio, str]:
    """Both sides apart; one and silence; or, when neither has sound, the mix in both ears."""
    try:
        made = audio.combine(parts.caller, parts.heard, out)
    except audio.NoSound:
        return audio.combine(parts.mix, parts.mix, out), "mix_only"
    return made, "both" if made.sides == 2 else "one_side"


def _result(held: Claim, made: _Made, talk: Talk | None, path: str) -> Result:
    verdict = judge(made.sound, talk)
    result = _without_sound(held, talk, verdict, stem=made.stem)
    if made.audio is None:
        return result
    return dataclasses.replace(
        result,
        path=path,
        channels=2,
        duration_s=made.audio.duration_s,
        size_bytes=made.audio.size_bytes,
        sha256=made.audio.sha256,
        peaks=made.audio.peaks,
    )


def _without_sound(held: Claim, talk: Talk | None, verdict: Verdict, *, stem: str = "") -> Result:
    result = Result(state=verdict.state, reason=verdict.reason, stem=held.stem if stem in ("", held.id) else stem)
    if talk is None:
        return result
    return dataclasses.replace(result, started_at=talk.started_at, ended_at=talk.ended_at, talk_s=talk.seconds)
