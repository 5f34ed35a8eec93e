"""Where lines are down, by name, for the question that names it: looked up and spoken ahead, so that no call waits for either."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence

import structlog

from cti.db import AWAY, Database
from cti.records import lines
from cti.speech import SpeechError
from ivr import prompts
from ivr.numerals import WORDS
from ivr.voice import Voice

AREAS_MAX = 3  # nobody listens to more of them
NAME_MAX = 40  # characters; a longer one is no name that one hears on the telephone
EVERY_S = 3.0
REST = 20  # times as long as the look took: where a hundred thousand lines are down, it is not the database's main work
AGAIN_S = 30.0  # after one that failed

log = structlog.get_logger(__name__)


class NamedAreas:
    """`spoken` is the fact `areas_down`: empty, or names whose every piece is there in each language. `run()` never ends."""

    def __init__(self, db: Database, voice: Voice, clock: Callable[[], dt.datetime]) -> None:
        self._db, self._voice, self._clock = db, voice, clock
        self.spoken = ""

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            well = await self.look()
            await asyncio.sleep(max(EVERY_S, REST * (loop.time() - began_s)) if well else AGAIN_S)

    async def look(self) -> bool:
        """Once. While new names are being spoken, and when one could not be (False), none is named."""
        try:
            found = fact(await self._db.read(lines.areas_down, self._clock()))
            if found != self.spoken:
                self.spoken = ""
                await self._speak(found)
                self.spoken = found
        except (*AWAY, SpeechError) as error:
            self.spoken = ""
            log.warning("areas.unnamed", error=f"{type(error).__name__}: {error}"[:160])
            return False
        return True

    async def _speak(self, found: str) -> None:
        if found:
            await self._voice.add(piece for language in WORDS for piece in prompts.names(found, language))


def fact(areas: Sequence[str]) -> str:
    """The fact `areas_down` of these areas. None is named when one cannot be: whose line lies there would think that he is not meant."""
    found = list(dict.fromkeys(" ".join(each.split()) for each in areas))
    nameable = len(found) <= AREAS_MAX and all(map(_nameable, found))
    return prompts.BETWEEN_NAMES.join(found) if nameable else ""


def _nameable(name: str) -> bool:
    return len(name) <= NAME_MAX and any(map(str.isalnum, name))
