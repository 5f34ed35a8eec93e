"""The prompt store: every piece that a call may need as a file of sound, made ahead; on the call it is only looked up.

<folder>/tr-digit-4-1a2b3c4d.wav            a piece: language, key, and a hash of all that shaped its sound
<folder>/fallback_tr.wav ...                what the dialplan plays when none of our processes lives
<folder>/index.json                         file -> text, for people
<folder>/recordings/<language>/<key>.wav    an admin's own recording; it stands in for the piece with that key
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from ivr.numerals import WORDS
from ivr.prompts import Piece, digits

AT_ONCE = 2
SAY_EVERY = 50  # pieces
STATIC = {
    "fallback": {
        "tr": "Görüşmeniz kalite amacıyla kaydedilmektedir. Sizi hemen bir müşteri temsilcisine bağlıyoruz.",
        "en": "Your call is recorded for quality purposes. We are connecting you to a person right away.",
    },
    "waiting": {
        "tr": "Temsilcilerimizin hepsi görüşmede. Lütfen hatta kalın, sıranız korunuyor.",
        "en": "Everyone is helping another caller. Please hold; you keep your place.",
    },
    "sorry": {
        "tr": "Şu anda size cevap veremediğimiz için üzgünüz. Lütfen biraz sonra yeniden arayın.",
        "en": "We are sorry that we could not answer you now. Please call again a little later.",
    },
    "resumed": {
        "tr": "Kusura bakmayın, kısa bir aksaklık oldu. Devam ediyoruz.",
        "en": "Sorry, there was a short interruption. Let us go on.",
    },
    "resumed_keys": {"tr": "Şu ana kadar tuşladıklarınız:", "en": "So far you have keyed:"},
    "resumed_go_on": {"tr": "Lütfen kaldığınız yerden devam edin.", "en": "Please go on from there."},
}
DIGITS = tuple(piece for language in WORDS for piece in digits("0123456789", language))
Say = Callable[[str], None]


class PromptMissing(LookupError):
    """A piece was never built: the flow changed and `build` was not called for it."""


class Synth(Protocol):
    """An engine of `cti.speech`. `name` holds everything but voice and text that shapes its sound."""

    @property
    def name(self) -> str: ...

    def voice(self, language: str) -> str: ...

    async def speak(self, text: str, language: str, out: Path) -> None: ...

    async def convert(self, source: Path, out: Path) -> None: ...


class Voice:
    """Pieces -> files. `build` may be called again at any time; calls in progress keep what they have."""

    def __init__(self, folder: Path, synth: Synth) -> None:
        self._folder = folder.resolve()
        self._synth = synth
        self._media: dict[Piece, str] = {}

    def media(self, pieces: Iterable[Piece]) -> list[str]:
        """Absolute paths without extension, in order. Raises PromptMissing."""
        try:
            return [self._media[piece] for piece in pieces]
        except KeyError as error:
            piece = error.args[0]
            raise PromptMissing(f"expected {piece.key!r} in {piece.language!r} among the built prompts") from None

    def static(self, name: str, language: str) -> str:
        """One of STATIC, for a driver in trouble or one that took a call over; Turkish where the language has none."""
        return str(self._folder / f"{name}_{language if language in STATIC[name] else 'tr'}")

    def digits(self, keys: str, language: str) -> list[str]:
        """What a caller has keyed, read back to him key by key; `*` and `#` are passed over. Raises PromptMissing."""
        return self.media(digits(keys, language))

    async def build(self, pieces: Iterable[Piece], say: Say) -> None:
        """Make what is missing of `pieces`, DIGITS and STATIC. `say` gets a line of progress. Raises cti.speech.SpeechError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        static = {_static(name, language): f"{name}_{language}" for name in STATIC for language in STATIC[name]}
        wanted = {piece: self._source(piece) for piece in [*static, *DIGITS, *pieces]}
        await self._make({piece: where for piece, where in wanted.items() if not where[0].is_file()}, say)
        for piece, name in static.items():
            _copy(wanted[piece][0], self._folder / f"{name}.wav")
        self._ready(wanted)

    async def add(self, pieces: Iterable[Piece]) -> None:
        """These too from now on, while calls go on: each is there when it is spoken to its end. Raises cti.speech.SpeechError."""
        wanted = {piece: self._source(piece) for piece in pieces if piece not in self._media}
        if wanted:
            await self._make(
                {piece: where for piece, where in wanted.items() if not where[0].is_file()}, lambda line: None
            )
            self._ready(wanted)

    def _ready(self, wanted: dict[Piece, tuple[Path, Path | None]]) -> None:
        self._media |= {piece: str(path.with_suffix("")) for piece, (path, _) in wanted.items()}
        self._write_index()

    def _source(self, piece: Piece) -> tuple[Path, Path | None]:
        """The piece's file, and the own recording that it is made from."""
        own = self._folder / "recordings" / piece.language / f"{piece.key}.wav"
        if own.is_file():
            shaped_by, kind = own.read_bytes(), "own-"
        else:
            text = unicodedata.normalize("NFC", piece.text)
            parts = (self._synth.name, self._synth.voice(piece.language), piece.language, text)
            shaped_by, kind = "\0".join(parts).encode(), ""
        mark = hashlib.sha256(shaped_by).hexdigest()[:8]
        return self._folder / f"{piece.language}-{piece.key}-{kind}{mark}.wav", own if kind else None

    async def _make(self, missing: dict[Piece, tuple[Path, Path | None]], say: Say) -> None:
        room, made = asyncio.Semaphore(AT_ONCE), 0

        async def one(piece: Piece, out: Path, own: Path | None) -> None:
            nonlocal made
            async with room:
                await (self._synth.convert(own, out) if own else self._synth.speak(piece.text, piece.language, out))
            made += 1
            if made % SAY_EVERY == 0 or made == len(missing):
                say(f"prompts: {made} of {len(missing)}")

        try:
            async with asyncio.TaskGroup() as group:
                for piece, (out, own) in missing.items():
                    group.create_task(one(piece, out, own))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors  # the others say the same: an engine that does not speak

    def _write_index(self) -> None:
        index = {
            f"{Path(path).name}.wav": piece.text for piece, path in sorted(self._media.items(), key=lambda it: it[1])
        }
        making = self._folder / f".making-{os.getpid()}-index.json"
        making.write_text(json.dumps(index, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        making.replace(self._folder / "index.json")


def _static(name: str, language: str) -> Piece:
    return Piece(name, STATIC[name][language], language)


def _copy(source: Path, out: Path) -> None:
    making = out.with_name(f".making-{os.getpid()}-{out.name}")  # two nodes may start at once
    shutil.copyfile(source, making)
    making.replace(out)


def names(media: Sequence[str]) -> list[str]:
    """The file names' readable part: what a person (or a test) sees of what was played."""
    return [Path(path).name.rpartition("-")[0] or Path(path).name for path in media]
