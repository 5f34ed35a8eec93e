"""Sign-ins without a database: `out` are those that ended, `trouble` is what asking raises."""

from __future__ import annotations

from collections.abc import Collection

from screenpop.sign_ins import SignIns


class FakeSignIns(SignIns):
    def __init__(self) -> None:
        super().__init__(self._ask, self._note)
        self.out: set[str] = set()
        self.trouble: Exception | None = None
        self.asked: list[Collection[str]] = []
        self.seen: list[Collection[str]] = []

    async def _ask(self, asked: Collection[str]) -> Collection[str]:
        self.asked.append(asked)
        if self.trouble is not None:
            raise self.trouble
        return set(asked) - self.out

    async def _note(self, seen: Collection[str]) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.seen.append(seen)
