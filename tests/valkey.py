"""A real Valkey (or Redis) for tests of the bus: the engine of cti.cluster on a free port, gone with the test."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cti.cluster import Engine, valkey
from cti.config import Settings


class Server:
    """A server on `port`, running or not."""

    def __init__(self, engine: Engine, port: int) -> None:
        self._engine = engine
        self.port = port

    @property
    def url(self) -> str:
        return valkey.url(self.port)

    def start(self) -> None:
        """Returns when it answers."""
        self._engine.begin()

    def kill(self) -> None:
        """As by kill -9: what it held in memory is gone."""
        self._engine.kill()

    def hang(self) -> None:
        """It still takes connections, for the kernel does that, and answers nothing."""
        self._engine.pause()

    def go_on(self) -> None:
        self._engine.resume()

    def say(self, command: str) -> bytes:
        """The first bytes of the answer to one command in plain words."""
        with socket.create_connection((valkey.HOST, self.port), timeout=2) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(4096)


@contextmanager
def running() -> Iterator[Server]:
    """Start a server on a free port, and end it. Raises debs.DebsError when there is none and none can be fetched."""
    with tempfile.TemporaryDirectory(prefix="santral-valkey-") as folder:
        port = _free_port()
        engine = valkey.engine(port, tools=Settings().tools, log=Path(folder) / "valkey.log", say=print)
        server = Server(engine, port)
        server.start()
        try:
            yield server
        finally:
            engine.end()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((valkey.HOST, 0))
        port: int = probe.getsockname()[1]
        return port
