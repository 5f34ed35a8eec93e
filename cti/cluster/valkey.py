"""The bus's engine: Valkey, or Redis where the machine's suite has no Valkey. Nothing of it is on disk: the ledger is the truth."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from cti.asterisk import debs
from cti.cluster import programs
from cti.cluster.engines import Command, Engine
from cti.cluster.programs import Program, Say

HOST = "127.0.0.1"
WITHOUT_VALKEY = frozenset({"bookworm"})  # Debian 12; from trixie on every suite has it
SETTINGS = ("--bind", HOST, "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", "/")
ANSWER_MAX_S = 1.0


def engine(port: int, *, tools: Path, log: Path, say: Say) -> Engine:
    """Not started yet. Raises debs.DebsError when there is none and none can be fetched beside `tools`."""
    found = _program(tools, say)
    command = Command([str(found.path), "--port", str(port), *SETTINGS], found.environment)
    return Engine("valkey", command, log=log, answers=lambda: _pongs(port))


def url(port: int) -> str:
    return f"redis://{HOST}:{port}"


def _program(tools: Path, say: Say) -> Program:
    has_redis = shutil.which("redis-server") and not shutil.which("valkey-server")
    name = "redis-server" if has_redis or debs.own_suite() in WITHOUT_VALKEY else "valkey-server"
    return programs.find(name, package=name, root=tools.with_name("valkey"), say=say)


def _pongs(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), ANSWER_MAX_S) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
