"""A real Valkey (or Redis) for tests of the bus: found on the machine or fetched, on a port of loopback, gone with the test.

It can be killed, stopped like a hung process, and started again on the same port. A shell stands between us and the server and ends it
when we are gone, however we went.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cti.asterisk import debs
from cti.config import Settings

START_WAIT_S = 10.0
STOP_WAIT_S = 10.0
PROGRAMS = ("valkey-server", "redis-server")
# Nothing on disk: what the bus carries stands in the ledger.
SETTINGS = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning")
# Says the server's number, and ends it when our end of the pipe closes, be it that we stop it or that we were killed.
GUARD = 'trap "" INT; "$@" >&2 & server=$!; echo $server; read -r end; kill -KILL $server; wait $server'


@dataclass
class Server:
    """A server on `port`, running or not."""

    program: Path
    port: int
    _guard: subprocess.Popen[bytes] | None = None
    _pid: int = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers."""
        argv = ["sh", "-c", GUARD, "sh", str(self.program), "--port", str(self.port), *SETTINGS]
        self._guard = subprocess.Popen(
            argv, env=_environment(self.program), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True, cwd="/",
        )  # fmt: skip
        assert self._guard.stdout is not None
        self._pid = int(self._guard.stdout.readline())
        self._wait_until_ready()

    def kill(self) -> None:
        """As by kill -9: what it held in memory is gone."""
        if self._guard is not None:
            self._guard.communicate(b"\n", timeout=STOP_WAIT_S)
            self._guard = None

    def hang(self) -> None:
        """It still takes connections, for the kernel does that, and answers nothing."""
        os.kill(self._pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def say(self, command: str) -> bytes:
        """The first bytes of the answer to one command in plain words."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(4096)

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_WAIT_S
        while True:
            try:
                if self.say("PING") == b"+PONG\r\n":
                    return
            except OSError:
                pass
            if time.monotonic() > end:
                raise RuntimeError(f"expected {self.program.name} to answer on port {self.port} in {START_WAIT_S:g} s")
            time.sleep(0.01)


@contextmanager
def running() -> Iterator[Server]:
    """Start a server on a free port, and end it. Raises debs.DebsError when there is none and none can be fetched."""
    server = Server(_program(), _free_port())
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _program() -> Path:
    """The machine's own, or one that is fetched from the machine's own suite."""
    for name in PROGRAMS:
        if own := shutil.which(name):
            return Path(own)
    root = debs.get(["redis-server"], suite=debs.own_suite(), root=Settings().tools.with_name("valkey"), say=print)
    return root / "usr/bin/redis-server"


def _environment(program: Path) -> dict[str, str]:
    """A program out of a fetched folder finds the libraries that came with it; the C library is the machine's."""
    root = program.parents[2]
    libraries = [str(path) for path in root.glob("usr/lib/*-linux-gnu")] if root != Path("/") else []
    return {"PATH": os.defpath, **({"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {})}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
