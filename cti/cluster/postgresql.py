"""A private PostgreSQL: found on the machine or fetched, with its data in a temporary folder that goes when it goes.

It listens on a socket file only, so no port can be taken. It refuses to run as root; root starts it as `nobody`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from cti.asterisk import debs
from cti.cluster import programs
from cti.cluster.engines import Command, Engine, NotStarted
from cti.cluster.programs import Say

NOBODY = 65534
USER = "santral"
INITDB_MAX_S = 120
END_MAX_S = 30.0
CONNECTIONS = ("-c", "max_connections=200")
# For tests only: what a power cut would destroy is thrown away afterwards anyway.
FAST = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")


class Postgresql(Engine):
    """PostgreSQL, stopped or running. `folder` holds its data and its socket."""

    def __init__(self, folder: Path, command: Command, log: Path) -> None:
        super().__init__("postgresql", command, log=log, answers=self._is_open)
        self.folder = folder

    def url(self, database: str) -> str:
        """SQLAlchemy's address of this database."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"

    def execute(self, command: str, database: str = "postgres") -> None:
        """One command, durable when this returns. Raises psycopg.Error."""
        with self._connect(database) as connection:
            connection.execute(command.encode())

    def _is_open(self) -> bool:
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(host=str(self.folder), user=USER, dbname=database, autocommit=True, connect_timeout=2)


@contextmanager
def prepared(tools: Path, *, say: Say, log: Path | None = None, options: Sequence[str] = ()) -> Iterator[Postgresql]:
    """A PostgreSQL with empty data, not started yet; at the end it is ended and its data are gone.

    Raises debs.DebsError when there is none and none can be fetched beside `tools`, NotStarted when its data cannot be made.
    """
    folder = Path(tempfile.mkdtemp(prefix="santral-pg-"))
    user = NOBODY if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, user, user)
    try:
        found = _reachable(_programs(tools, say), folder, user)
        _make_data(found, folder, user)
        argv = [
            str(found / "postgres"),
            "-D",
            str(folder / "data"),
            "-k",
            str(folder),
            "-h",
            "",
            *CONNECTIONS,
            *options,
        ]
        # INT: whoever is connected is thrown out, and what was committed is on disk.
        command = Command(argv, _environment(found), ends_by=signal.SIGINT, end_max_s=END_MAX_S, user=user)
        engine = Postgresql(folder, command, log or folder / "log")
        try:
            yield engine
        finally:
            engine.end()
    finally:
        shutil.rmtree(folder)


def _programs(tools: Path, say: Say) -> Path:
    """The folder of initdb and postgres: the machine's own, or one that is fetched from the machine's own suite."""
    own = _newest(Path("/"))
    if own is not None:
        return own
    if initdb := shutil.which("initdb"):
        return Path(initdb).resolve().parent
    root = debs.get(["postgresql"], suite=debs.own_suite(), root=tools.with_name("postgresql"), say=say)
    fetched = _newest(root)
    if fetched is None:
        raise debs.DebsError(f"expected initdb in {root}/usr/lib/postgresql/*/bin, it is not there")
    return fetched


def _newest(root: Path) -> Path | None:
    found = [path.parent for path in root.glob("usr/lib/postgresql/*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _reachable(found: Path, folder: Path, user: int | None) -> Path:
    """The same programs where `nobody` can run them: a checkout in root's home is closed to others, so they are copied out of it."""
    if user is None or all(parent.stat().st_mode & 0o001 for parent in found.parents):
        return found
    root = found.parents[4]
    shutil.copytree(root, folder / "root", symlinks=True)
    return folder / "root" / found.relative_to(root)


def _environment(found: Path) -> dict[str, str]:
    fetched = found.parents[4] != Path("/")
    return programs.environment(found.parents[4] if fetched else None)


def _make_data(found: Path, folder: Path, user: int | None) -> None:
    made = subprocess.run(
        [str(found / "initdb"), "-D", str(folder / "data"), "-U", USER, "--auth=trust", "--no-sync", "--encoding=UTF8",
         "--locale=C"],
        env=_environment(found), capture_output=True, text=True, timeout=INITDB_MAX_S, check=False, cwd="/",
        **programs.as_user(user),
    )  # fmt: skip
    if made.returncode != 0:
        raise NotStarted(f"expected initdb to end well, it said: {made.stderr.strip()[-1000:]}")
