"""A synthesiser that writes text instead of sound."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path


class FakeSynth:
    name = "fake 1"

    def __init__(self) -> None:
        self.spoken: list[str] = []

    def voice(self, language: str) -> str:
        return language

    async def speak(self, text: str, language: str, out: Path) -> None:
        self.spoken.append(text)
        await asyncio.to_thread(out.write_text, text, encoding="utf-8")

    async def convert(self, source: Path, out: Path) -> None:
        await asyncio.to_thread(shutil.copyfile, source, out)
