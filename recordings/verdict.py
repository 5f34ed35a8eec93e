"""Is a recording what it should be? The ledger says how long was talked, the file how long it is; both go in, a state comes out. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from cti.events import CallAnswered, CallCleared, CallEnded, Recorded, RecordingStarted

TOLERANCE_S = 1.0  # the queue counts talk in whole seconds
TOLERANCE_SHARE = 0.02

REASONS: dict[str, dict[str, str]] = {
    "no_file": {"tr": "Santral ses dosyası bırakmamış.", "en": "The switch left no audio file."},
    "empty": {"tr": "Ses dosyası boş.", "en": "The audio file is empty."},
    "one_side": {"tr": "Yalnızca bir tarafın sesi var.", "en": "Only one side of the talk is there."},
    "mix_only": {"tr": "Taraflar ayrı değil, sesler karışık.", "en": "Both sides are mixed, not apart."},
    "shorter": {"tr": "Kayıt, görüşmeden kısa.", "en": "The recording is shorter than the talk."},
    "longer": {"tr": "Kayıt, görüşmeden uzun.", "en": "The recording is longer than the talk."},
    "end_unknown": {
        "tr": "Görüşmenin ne zaman bittiği bilinmiyor.",
        "en": "It is not known when the talk ended.",
    },
    "talk_unknown": {
        "tr": "Ses var, ama görüşme kaydedilmemiş.",
        "en": "There is sound, but no talk was noted.",
    },
    "not_written": {
        "tr": "Kayıt yazılamadı; ham dosyalar duruyor.",
        "en": "The recording could not be written; its raw files are kept.",
    },
}


@dataclass(frozen=True)
class Talk:
    """The time that the caller spent with agents while one recording ran; `certain` is false when an end was never reported."""

    started_at: dt.datetime
    ended_at: dt.datetime
    seconds: float
    certain: bool = True


@dataclass(frozen=True)
class Sound:
    """What was found on disk: how long, and `of` what: both sides, one_side, mix_only, empty (files without sound) or no_file."""

    of: str
    duration_s: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """A state of the row and, unless all is well, a key of REASONS."""

    state: str  # stored | partial | missing | none
    reason: str = ""


def judge(sound: Sound, talk: Talk | None) -> Verdict:
    """Every recording gets one of four states; whatever is not exactly right says why."""
    if sound.duration_s == 0:
        return Verdict("missing", sound.of) if talk else Verdict("none")
    if talk is None:
        return Verdict("partial", "talk_unknown")
    if abs(sound.duration_s - talk.seconds) > max(TOLERANCE_S, TOLERANCE_SHARE * talk.seconds):
        return Verdict("partial", _mismatch(sound, talk))
    return Verdict("stored") if sound.of == "both" else Verdict("partial", sound.of)


def talk_of(events: Sequence[Recorded], recording: str) -> Talk | None:
    """The talk that `recording` should hold, from the ledger's events of its conversation, oldest first. None: nobody answered.

    A talk belongs to the newest recording started before it. What was talked before the first one (a file adopted after the
    call) belongs to the first.
    """
    owner = next((each.event.recording for each in events if isinstance(each.event, RecordingStarted)), None)
    answered: dict[str, dt.datetime] = {}
    talks: list[Talk] = []
    for each in events:
        match each.event:
            case RecordingStarted():
                owner = each.event.recording
            case CallAnswered() if owner == recording:
                answered[each.event.offer] = each.at
            case CallCleared() if each.event.offer in answered:
                talks.append(Talk(answered.pop(each.event.offer), each.at, each.event.talked_s))
    talks += [_until_the_end(start, events) for start in answered.values()]
    return _together(talks) if talks else None


def _mismatch(sound: Sound, talk: Talk) -> str:
    if not talk.certain:
        return "end_unknown"
    return "shorter" if sound.duration_s < talk.seconds else "longer"


def _until_the_end(start: dt.datetime, events: Sequence[Recorded]) -> Talk:
    """A talk whose end nobody reported (the switch died) lasted until the call ended, at most."""
    end = next((each.at for each in events if isinstance(each.event, CallEnded)), events[-1].at)
    return Talk(start, end, (end - start).total_seconds(), certain=False)


def _together(talks: Sequence[Talk]) -> Talk:
    return Talk(
        started_at=min(talk.started_at for talk in talks),
        ended_at=max(talk.ended_at for talk in talks),
        seconds=sum(talk.seconds for talk in talks),
        certain=all(talk.certain for talk in talks),
    )
