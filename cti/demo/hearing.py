"""What one caller hears, packet by packet: silences, stretches of known tones, and the digits that they spell.

Pure: packets and the times of their arrival come in; nothing here has a socket or a clock. All times are seconds of the clock
that the packets were stamped with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cti.demo import rtp, tones

GAP_MIN_S = 1.0  # a shorter silence is a pause
TONE_FRAMES_MIN = 3  # packets; fewer are a chance likeness in a voice
LOST_MAX = 3  # packets missing in one tone; two digits are three silent packets apart
TONE_BREAK_S = 0.25  # without a packet: a new stretch
JUMP_MAX = 50  # packets; more is a new stream
RUN_BREAK_S = 0.8  # between two digits of one number
GAPS_MAX = 10_000
TONES_MAX = 10_000


@dataclass(frozen=True)
class Gap:
    """A silence of more than GAP_MIN_S in an answered call."""

    begin_s: float
    end_s: float

    @property
    def long_s(self) -> float:
        return self.end_s - self.begin_s


@dataclass(frozen=True)
class Tone:
    """A stretch of one known tone; `name` is of `tones.TONES`."""

    name: str
    begin_s: float
    end_s: float


@dataclass
class _Run:
    """Packets of one tone in a row; `last` is the newest one's sequence number."""

    name: str
    begin_s: float
    end_s: float
    last: int
    frames: int = 1
    silent: int = 0  # packets of silence since the newest one
    noted: bool = False  # is the last of `tones`


class Hearing:
    """Begin it when the call is answered, `hear` every packet, `end` it with the call. `gaps` and `tones` only grow; the
    last tone's end moves while it is heard."""

    def __init__(self, begin_s: float) -> None:
        self.gaps: list[Gap] = []
        self.tones: list[Tone] = []
        self.packets = 0
        self.voiced_s: float | None = None  # the end of the last packet with voice
        self._quiet_from_s = begin_s
        self._end_s: float | None = None
        self._ssrc: int | None = None
        self._run: _Run | None = None

    def silence_s(self, now_s: float) -> float:
        """How long nothing but silence, or nothing at all, has been heard."""
        return max(0.0, (now_s if self._end_s is None else self._end_s) - self._quiet_from_s)

    def hear(self, at_s: float, packet: rtp.Packet) -> Tone | None:
        """Take in a packet that came at `at_s`. A tone that is recognised with this packet is returned, once."""
        if packet.payload_type != rtp.ULAW or self._end_s is not None:
            return None
        self.packets += 1
        if packet.ssrc != self._ssrc:
            self._ssrc, self._run = packet.ssrc, None
        heard = tones.sound(packet.payload)
        if heard.voiced:
            self._hear_voice(at_s)
        elif self._run is not None:
            self._run.silent += 1
        return self._hear_tone(heard.tone, at_s, packet.sequence) if heard.tone else None

    def end(self, at_s: float) -> None:
        """The call is over; a silence that lasted until then counts. Twice is fine."""
        if self._end_s is None:
            self._close_gap(at_s)
            self._end_s = at_s

    def _hear_voice(self, at_s: float) -> None:
        self._close_gap(at_s)
        self._quiet_from_s = self.voiced_s = max(self._quiet_from_s, at_s + rtp.FRAME_S)

    def _close_gap(self, at_s: float) -> None:
        if at_s - self._quiet_from_s > GAP_MIN_S and len(self.gaps) < GAPS_MAX:
            self.gaps.append(Gap(self._quiet_from_s, at_s))

    def _hear_tone(self, name: str, at_s: float, sequence: int) -> Tone | None:
        run = self._run
        if run is None or not _goes_on(run, name, at_s, sequence):
            self._run = _Run(name, at_s, at_s + rtp.FRAME_S, sequence)
            return None
        run.frames, run.silent, run.last, run.end_s = run.frames + 1, 0, sequence, at_s + rtp.FRAME_S
        return self._note_tone(run)

    def _note_tone(self, run: _Run) -> Tone | None:
        known = Tone(run.name, run.begin_s, run.end_s)
        if run.noted:
            self.tones[-1] = known
            return None
        if run.frames < TONE_FRAMES_MIN or len(self.tones) >= TONES_MAX:
            return None
        run.noted = True
        self.tones.append(known)
        return known


def _goes_on(run: _Run, name: str, at_s: float, sequence: int) -> bool:
    """Whether this packet belongs to the same stretch: a lost packet makes no second tone, a pause between digits does."""
    between = (sequence - run.last - 1) & 0xFFFF
    if name != run.name or between > JUMP_MAX or at_s - run.end_s > TONE_BREAK_S:
        return False
    return between <= 1 or (run.silent == 0 and between <= LOST_MAX)


def digit_runs(heard: Iterable[Tone], since_s: float = 0.0) -> list[str]:
    """The numbers that were spelled since then, whole or cut off, in order; any other tone ends one, and so does a pause."""
    runs: list[str] = []
    end_s: float | None = None  # of the digit before; None: the next one begins a number
    for each in heard:
        if not each.name.startswith(tones.DIGIT):
            end_s = None
        elif each.begin_s >= since_s:
            digit = each.name.removeprefix(tones.DIGIT)
            if end_s is not None and each.begin_s - end_s <= RUN_BREAK_S:
                runs[-1] += digit
            else:
                runs.append(digit)
            end_s = each.end_s
    return runs


def number_of(runs: Iterable[str]) -> str:
    """The number that a caller writes down: the longest run, the latest of equal ones; empty when there is none."""
    return max(reversed(list(runs)), key=len, default="")
