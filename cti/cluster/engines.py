"""A program that runs beside us as a process of its own: started, killed, paused, ended, and never left behind.

A shell stands between us and the program. It ends the program orderly when our end of a pipe closes, be it that we asked for it or that
we were killed; so there is no way for us to go and for it to stay. Starting waits until the program answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cti.cluster.programs import as_user

START_MAX_S = 60.0
KILL_MAX_S = 5.0
LOOK_EVERY_S = 0.02
TAIL_CHARS = 1500
# $1: the signal that ends the program orderly; $2: twentieths of a second until it is ended by force; then the program.
# What it started itself is ended with it, and what was paused is woken so that it can end.
GUARD = """
end=$1 patience=$2; shift 2
"$@" < /dev/null >&2 & server=$!
trap "" HUP INT TERM
echo "$server"; exec > /dev/null 2>&1
family() { echo "$server" $(cat /proc/"$server"/task/*/children); }
read -r nothing
all=$(family)
kill -s CONT $all; kill -s "$end" "$server"
while kill -0 "$server" && [ "$patience" -gt 0 ]; do sleep 0.05; patience=$((patience - 1)); done
kill -s KILL $(family) || kill -s KILL $all
wait "$server"
"""


class NotStarted(Exception):
    """A program did not come to answer; the text says which, and what it said last."""


@dataclass(frozen=True)
class Command:
    """What to run. `ends_by`: the signal after which it ends orderly, within `end_max_s`; then it is ended by force.
    `user`: the number of the user and group it runs as; None: ours."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    ends_by: signal.Signals = signal.SIGTERM
    end_max_s: float = 10.0
    user: int | None = None
    cwd: Path = Path("/")


class Engine:
    """One program of the cluster. `start` and `stop` may be called from the loop, `begin` and `end` (the same, blocking) from a
    thread; a program that died or was killed can be started again."""

    def __init__(self, name: str, command: Command, *, log: Path, answers: Callable[[], bool]) -> None:
        self.name = name
        self.command = command
        self.log = log
        self.pid = 0  # of the program, not of the shell before it; 0: never started
        self.ended_with: int | None = None  # the exit code of its last life, once `stop` has taken leave of it
        self._answers = answers
        self._guard: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()
        self._wanted = False

    @property
    def alive(self) -> bool:
        return self.pid != 0 and _lives(self.pid)

    async def start(self) -> None:
        """Run it; returns when it answers. Nothing happens when it is running. Raises NotStarted."""
        self._wanted = True
        await asyncio.to_thread(self._begin)

    async def stop(self) -> None:
        """End it orderly, by force when it takes too long. Twice is fine."""
        self._wanted = False
        await asyncio.to_thread(self.end)

    def kill(self) -> None:
        """kill -9, for it and what it started: it has no time for anything. When this returns, they are gone."""
        family = self._signal(signal.SIGKILL)
        until = time.monotonic() + KILL_MAX_S
        while any(map(_lives, family)) and time.monotonic() < until:
            time.sleep(0.001)  # the kernel needs some milliseconds for a large process

    def pause(self) -> None:
        """It hangs: it keeps its sockets and answers nobody, until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def begin(self) -> None:
        """`start`, blocking."""
        self._wanted = True
        self._begin()

    def end(self) -> None:
        """`stop`, blocking."""
        self._wanted = False
        with self._turn:
            self._let_go()

    def _begin(self) -> None:
        with self._turn:
            if self.alive:
                return
            self._let_go()
            if self._wanted:  # who gave up while we waited for our turn wants nothing to be started behind his back
                self._launch()
                self._wait_until_it_answers()

    def _launch(self) -> None:
        patience = str(round(self.command.end_max_s * 20))
        argv = ["sh", "-c", GUARD, "sh", self.command.ends_by.name.removeprefix("SIG"), patience, *self.command.argv]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._guard = subprocess.Popen(
                argv, env=dict(self.command.environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True, cwd=self.command.cwd, **as_user(self.command.user),
            )  # fmt: skip
        assert self._guard.stdout is not None
        self.pid = int(self._guard.stdout.readline())

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + START_MAX_S
        while not self._answers():
            if not self._wanted or not self.alive or time.monotonic() > until:
                ended = "it takes longer" if self.alive else "it ended"
                self._let_go()
                raise NotStarted(
                    f"expected {self.name} to answer within {START_MAX_S:g} s, {ended}. It said:\n{self._last_words()}"
                )
            time.sleep(LOOK_EVERY_S)

    def _let_go(self) -> None:
        """End what runs, and take leave of what has ended."""
        if self._guard is None:
            return
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        self._guard.stdin.close()
        self.ended_with = self._guard.wait(self.command.end_max_s + 10)
        self._guard.stdout.close()
        self._guard = None

    def _last_words(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-TAIL_CHARS:].strip() or "nothing"

    def _signal(self, sign: signal.Signals) -> list[int]:
        """To the program and to all that it started; returns who they were."""
        family = _family(self.pid) if self.alive else []
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        return family


def _lives(pid: int) -> bool:
    """Is there such a process, other than as the memory of one that ended?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _family(pid: int) -> list[int]:
    """The process and all that it started, the eldest first."""
    family = [pid]
    for each in family:
        family += children(each)
    return family


def children(pid: int) -> list[int]:
    """The processes that this one started and that have not been taken leave of."""
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, listed.read_text().split())
    return sorted(found)
