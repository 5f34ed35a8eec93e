"""The folder of recordings: loose files of the switch at its top, finished ones below yyyy/mm/dd/. No database here.

The switch writes `<stem>.wav` (both sides mixed), `<stem>-r.wav` (what the caller says) and `<stem>-t.wav` (what the caller hears).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LOOSE = re.compile(r"(?P<stem>[A-Za-z0-9.-]{1,64}?)(-[rt])?\.wav")


class Outside(ValueError):
    """A path that leads out of the folder, or to something that is not a plain file."""


@dataclass(frozen=True)
class Parts:
    """The switch's three files of one recording; None for each that is not there."""

    caller: Path | None
    heard: Path | None
    mix: Path | None


@dataclass(frozen=True)
class Folder:
    root: Path

    def stems(self) -> list[str]:
        """The names under which the switch has left files, finished or being written."""
        if not self.root.is_dir():
            return []
        names = (LOOSE.fullmatch(path.name) for path in self.root.iterdir() if path.is_file())
        return sorted({name["stem"] for name in names if name})

    def stem_of(self, candidates: Iterable[str]) -> str | None:
        """The first of these names that has files."""
        return next((stem for stem in candidates if any(path.is_file() for path in self._loose(stem))), None)

    def parts(self, stem: str) -> Parts:
        return Parts(*(path if path.is_file() else None for path in self._loose(stem)))

    def out(self, recording: str, created_at: dt.datetime, attempt: int) -> Path:
        """Where an attempt writes the finished file. Each has a name of its own: a worker that was thought dead cannot spoil what
        its successor stored."""
        name = recording if attempt == 1 else f"{recording}-{attempt}"
        return self._day(created_at) / f"{name}.wav"

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def resolve(self, relative: str) -> Path:
        """The file of a row. Raises Outside when it is not inside the folder, FileNotFoundError when it is gone."""
        root = self.root.resolve()
        path = (root / relative).resolve(strict=True)
        if not path.is_relative_to(root) or not path.is_file():
            raise Outside(f"expected a file in the folder of recordings, got {relative!r}")
        return path

    def tidy(self, recording: str, created_at: dt.datetime, *, keep: str, stem: str) -> None:
        """Remove what a finished recording does not need: first other attempts, then the switch's files, so that whoever comes after
        a crash in between still sees that there is something to tidy. `keep` empty: everything goes."""
        for path in self._day(created_at).glob(f"{recording}*"):
            if self.relative(path) != keep:
                path.unlink(missing_ok=True)
        for name in filter(None, (recording, stem)):
            for path in self._loose(name):
                path.unlink(missing_ok=True)

    def _day(self, created_at: dt.datetime) -> Path:
        return self.root / created_at.astimezone(dt.UTC).strftime("%Y/%m/%d")

    def _loose(self, stem: str) -> list[Path]:
        """Caller, heard, mix: where they would be."""
        if not LOOSE.fullmatch(f"{stem}.wav"):
            raise Outside(f"expected a name of letters, digits, dots and dashes, got {stem!r}")
        return [self.root / f"{stem}{end}.wav" for end in ("-r", "-t", "")]
