"""The agents' demo phones: each registers by digest, rings, and answers by itself unless told otherwise.

Phones that behave alike share one SIPp process and one port. A phone that is told to behave otherwise moves to another
process; registering there first takes back every older address, so the switch never rings an empty chair.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cti.demo import rtp
from cti.demo.sipp import ENDED, Address, Sipp, free_port, scenario

PHONES = "127.0.0.3"
EXPIRES_S = 600
AGAIN_S = 240  # well before it expires
REGISTER_MAX_S = 10.0
FOREVER_MS = 24 * 3600 * 1000
MEDIA_PORTS = 400  # of one process
HEARD_MAX = 100_000
HUM = rtp.tone(300, 600, 1.0)  # quiet, but a recording has something on the agent's side


@dataclass(frozen=True)
class Behaviour:
    """What a phone does when it rings. `answer_s`: rings so long, None: never answers. `talk_s`: hangs up after so long,
    None: only the other side hangs up."""

    answer_s: float | None = 3.0
    talk_s: float | None = 60.0

    def __post_init__(self) -> None:
        for seconds in (self.answer_s, self.talk_s):
            if seconds is not None and not 0 < seconds * 1000 < FOREVER_MS:
                raise ValueError(f"expected more than 0 and less than {FOREVER_MS // 1000} seconds, got {seconds}")

    @property
    def ring_ms(self) -> int:
        return FOREVER_MS if self.answer_s is None else round(self.answer_s * 1000)

    @property
    def talk_ms(self) -> int:
        return FOREVER_MS if self.talk_s is None else round(self.talk_s * 1000)


NEVER = Behaviour(answer_s=None)


class NotRegistered(RuntimeError):
    """A phone could not register; the text says which, and what SIPp complained of."""


@dataclass(frozen=True)
class Group:
    """Phones that behave alike, and the process that is all of them."""

    sipp: Sipp
    names: frozenset[str]
    place: int  # which of our ports it has


@dataclass
class Phones:
    """All demo phones: `start`, `set` at any time, `stop`. `passwords` are those of SIP, by the phone's name."""

    sipp: Sequence[str]  # argv prefix, e.g. debs.find("sipp", tools)
    target: Address  # the switch
    passwords: Mapping[str, str] = field(repr=False)
    out_dir: Path
    behaviours: Mapping[str, Behaviour] = field(default_factory=dict)  # by name; Behaviour() for the others
    host: str = PHONES
    port: int = 0  # of SIP: each process takes the first free one from here on; 0: any
    media_port: int = 0  # likewise, MEDIA_PORTS for each process
    heard: list[tuple[str, str]] = field(default_factory=list)  # (registered | ringing | answered | over, name)

    def __post_init__(self) -> None:
        self._groups: dict[Behaviour, Group] = {}
        self._changed = asyncio.Event()

    @property
    def pids(self) -> list[int]:
        return [group.sipp.pid for group in self._groups.values()]

    async def start(self) -> None:
        """Register every phone; return when the switch knows them all. Begun once more when one was not heard. Raises NotRegistered."""
        for is_last in (False, True):
            try:
                return await self._begin(frozenset(self.passwords))
            except BaseException as error:
                await self.stop()
                if is_last or not isinstance(error, NotRegistered):
                    raise
        return None

    async def set(self, behaviour: Behaviour, *names: str) -> None:
        """From now on these phones (none named: all) behave so; returns when the switch knows. Do it between calls: talks
        on the processes that change break off without a BYE. Raises NotRegistered."""
        moved = frozenset(names or self.passwords)
        if unknown := moved - set(self.passwords):
            raise ValueError(f"expected phones out of {sorted(self.passwords)}, got {sorted(unknown)}")
        self.behaviours = {**self.behaviours, **dict.fromkeys(moved, behaviour)}
        touched = [each for each, group in self._groups.items() if group.names & moved or each == behaviour]
        for each in touched:
            group = self._groups.pop(each)
            await group.sipp.stop()
            moved |= group.names
        await self._begin(moved)

    async def until(self, word: str, name: str, *, count: int = 1, timeout_s: float = 15.0) -> None:
        """Wait until phone `name` was heard to be `word` (ringing, answered, over) `count` times in all. TimeoutError."""
        await self._until(lambda: self.heard.count((word, name)) >= count, timeout_s)

    async def stop(self) -> None:
        """Put every phone away; talks that they have are not hung up. Twice is fine."""
        while self._groups:
            _, group = self._groups.popitem()
            await group.sipp.stop()

    async def __aenter__(self) -> Phones:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _begin(self, names: frozenset[str]) -> None:
        """Start the processes that are these phones, and wait until all are registered."""
        wanted: dict[Behaviour, set[str]] = {}
        for name in names:
            wanted.setdefault(self.behaviours.get(name, Behaviour()), set()).add(name)
        before = {name: self.heard.count(("registered", name)) for name in names}
        for behaviour, alike in wanted.items():
            self._groups[behaviour] = await self._group(behaviour, frozenset(alike))

        def missing() -> list[str]:
            return sorted(name for name in names if self.heard.count(("registered", name)) == before[name])

        with contextlib.suppress(TimeoutError):  # told below
            await self._until(lambda: not missing() or not self._all_alive(), REGISTER_MAX_S)
        if missing():
            said = "\n".join(group.sipp.complaints for group in self._groups.values())
            raise NotRegistered(f"expected phones {missing()} to register at {self.target}; SIPp said: {said[-1000:]}")

    async def _group(self, behaviour: Behaviour, names: frozenset[str]) -> Group:
        taken = {group.place for group in self._groups.values()}
        place = next(each for each in range(len(self.passwords) + 1) if each not in taken)
        folder = self.out_dir / f"phones-{place}"
        media = free_port(self.host, self.media_port and self.media_port + place * MEDIA_PORTS)
        arguments = [
            *_scenarios(folder, behaviour, [(name, self.passwords[name]) for name in sorted(names)]),
            *("-i", self.host, "-p", str(free_port(self.host, self.port))),
            *("-mi", self.host, "-min_rtp_port", str(media), "-max_rtp_port", str(media + MEDIA_PORTS - 1)),
            *("-aa", "-m", str(len(names)), "-l", str(len(names)), "-r", "50"),
        ]
        sipp = await Sipp.start(self.sipp, self.target, arguments, log=folder / "sipp.log", hear=self._hear)
        return Group(sipp, names, place)

    def _all_alive(self) -> bool:
        return all(group.sipp.alive for group in self._groups.values())

    def _hear(self, word: str, value: str) -> None:
        if word != ENDED and len(self.heard) < HEARD_MAX:
            self.heard.append((word, value))
        self._changed.set()

    async def _until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


def _scenarios(folder: Path, behaviour: Behaviour, users: Sequence[tuple[str, str]]) -> list[str]:
    """The process registers its phones as its calls, for ever; what comes in besides is out of call: the telephone."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    voice = folder / "hum.ulaw"
    voice.write_bytes(HUM)
    lines = [f"{name};[authentication username={name} password={password}]" for name, password in users]
    _write_private(folder / "users.csv", "\n".join(["SEQUENTIAL", *lines, ""]))
    register = scenario("register", folder, expires_s=EXPIRES_S, again_ms=AGAIN_S * 1000)
    phone = scenario("phone", folder, ring_ms=behaviour.ring_ms, talk_ms=behaviour.talk_ms, voice=voice.name)
    return ["-sf", str(register), "-oocsf", str(phone), "-inf", str(folder / "users.csv")]


def _write_private(path: Path, text: str) -> None:
    """Passwords: readable by us alone from the first byte."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
