"""A real PostgreSQL for a test session: found on the machine or fetched, started in a temporary folder, ended with the session.

It listens on a socket file only, so no port can be taken. It refuses to run as root; root starts it as `nobody`. A shell stands between
us and the server and ends it when we are gone, however we went.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from cti.asterisk import debs
from cti.config import Settings

NOBODY = 65534
START_WAIT_S = 30.0
STOP_WAIT_S = 30.0
# What a power cut would destroy is thrown away after the session anyway.
FAST = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "max_connections=200")
# Ends the server when our end of the pipe closes, be it that we stop it or that we were killed.
GUARD = 'trap "" INT; "$@" & server=$!; read -r end; kill -INT $server; wait $server'


@dataclass(frozen=True)
class Server:
    """A running server. `folder` holds its data and its socket."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://santral@/{database}?host={self.folder}"

    def create(self) -> str:
        """A new database without tables; returns its name."""
        name = f"test_{next(self._numbers)}"
        self._say(f"CREATE DATABASE {name}")
        return name

    def empty(self, database: str, tables: Iterable[str]) -> None:
        """Throw away every row of these tables: quicker than a new database. Numbers begin at 1 again."""
        named = ", ".join(f'"{table}"' for table in tables)
        self._say(f"SET lock_timeout = '5s'; TRUNCATE {named} RESTART IDENTITY", database)

    def _say(self, command: str, database: str = "postgres") -> None:
        with psycopg.connect(host=str(self.folder), user="santral", dbname=database, autocommit=True) as connection:
            connection.execute(command.encode())


@contextmanager
def running() -> Iterator[Server]:
    """Start a server, and end it. Raises debs.DebsError when there is none and none can be fetched."""
    folder = Path(tempfile.mkdtemp(prefix="santral-pg-"))
    user = NOBODY if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, user, user)
    try:
        programs = _reachable(_programs(), folder, user)
        _run(programs, ["initdb", "-D", str(folder / "data"), "-U", "santral", "--auth=trust", "--no-sync",
                        "--encoding=UTF8", "--locale=C"], user)  # fmt: skip
        process = _start(programs, folder, user)
        try:
            _wait_until_ready(process, folder)
            yield Server(folder)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(STOP_WAIT_S)
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    """The folder of initdb and postgres: the machine's own, or one that is fetched from the machine's own suite."""
    own = _newest(Path("/"))
    if own is not None:
        return own
    if initdb := shutil.which("initdb"):
        return Path(initdb).resolve().parent
    root = debs.get(["postgresql"], suite=debs.own_suite(), root=Settings().tools.with_name("postgresql"), say=print)
    fetched = _newest(root)
    if fetched is None:
        raise debs.DebsError(f"expected initdb in {root}/usr/lib/postgresql/*/bin, it is not there")
    return fetched


def _newest(root: Path) -> Path | None:
    found = [path.parent for path in root.glob("usr/lib/postgresql/*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _reachable(programs: Path, folder: Path, user: int | None) -> Path:
    """The same programs where `nobody` can run them: a checkout in root's home is closed to others, so they are copied out of it."""
    if user is None or all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    root = programs.parents[4]
    shutil.copytree(root, folder / "root", symlinks=True)
    return folder / "root" / programs.relative_to(root)


def _environment(programs: Path) -> dict[str, str]:
    """Programs out of a fetched folder find the libraries that came with them; the C library is the machine's."""
    libraries = [str(path) for path in programs.parents[3].glob("lib/*-linux-gnu")]
    path = os.pathsep.join(libraries) if programs.parents[4] != Path("/") else ""
    return {"PATH": os.defpath, "LC_ALL": "C", **({"LD_LIBRARY_PATH": path} if path else {})}


def _run(programs: Path, argv: list[str], user: int | None) -> None:
    command = [str(programs / argv[0]), *argv[1:]]
    done = subprocess.run(
        command, env=_environment(programs), capture_output=True, text=True, timeout=120, check=False, **_as(user)
    )
    if done.returncode != 0:
        raise RuntimeError(f"expected {argv[0]} to end well, it said: {done.stderr.strip()[-1000:]}")


def _start(programs: Path, folder: Path, user: int | None) -> subprocess.Popen[bytes]:
    server = [str(programs / "postgres"), "-D", str(folder / "data"), "-k", str(folder), "-h", "", *FAST]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            ["sh", "-c", GUARD, "sh", *server], env=_environment(programs), stdin=subprocess.PIPE, stdout=log, stderr=log,
            start_new_session=True, **_as(user),
        )  # fmt: skip


def _as(user: int | None) -> dict[str, Any]:
    return {"cwd": "/"} if user is None else {"cwd": "/", "user": user, "group": user, "extra_groups": []}


def _wait_until_ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + START_WAIT_S
    while True:
        try:
            psycopg.connect(host=str(folder), user="santral", dbname="postgres", connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > end:
                said = (folder / "log").read_text(errors="replace")[-1000:]
                raise RuntimeError(
                    f"expected PostgreSQL to start within {START_WAIT_S:g} s, it said: {said}"
                ) from error
            time.sleep(0.05)
        else:
            return
