"""A node of the cluster: `santral serve` as a process of its own, with settings of its own."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from cti.cluster.engines import Command, Engine
from cti.cluster.haproxy import Back
from cti.config import Settings

END_MARGIN_S = 30.0  # beside the time that it may take to hand its calls over
ANSWER_MAX_S = 3.0


class Node(Engine):
    """One node, running or not. `settings` are the ones its process was given."""

    def __init__(self, settings: Settings, log: Path) -> None:
        argv = [sys.executable, "-m", "cti", "serve"]
        command = Command(argv, environment(settings), end_max_s=settings.drain_s + END_MARGIN_S)
        super().__init__(f"node {settings.node}", command, log=log, answers=self._is_ready)
        self.settings = settings

    @property
    def url(self) -> str:
        """Its own address, past the balancer."""
        return f"http://{self.settings.http_host}:{self.settings.http_port}"

    @property
    def back(self) -> Back:
        """What the balancer must know of it."""
        own = self.settings
        return Back(f"node{own.node}", own.http_host, own.http_port, own.agi_port)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(self.settings.http_host, self.settings.http_port, timeout=ANSWER_MAX_S)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def planned(settings: Settings, ports: Sequence[tuple[int, int]], *, passwords: tuple[str, str]) -> list[Settings]:
    """The settings of each node: a name, a port for pages and one for dialplans (`ports`), and what all have in common."""
    ari, ami = passwords
    return [
        settings.model_copy(
            update={
                "node": str(number), "http_port": http_port, "agi_port": agi_port, "http_host": "127.0.0.1",
                "agi_host": "127.0.0.1", "ari_password": SecretStr(ari), "ami_password": SecretStr(ami),
            }
        )
        for number, (http_port, agi_port) in enumerate(ports, 1)
    ]  # fmt: skip


def environment(settings: Settings) -> dict[str, str]:
    """These settings as a process is given them, and nothing of our own environment but what a program cannot do without."""
    named = {f"SANTRAL_{name.upper()}": _plain(getattr(settings, name)) for name in Settings.model_fields}
    needed = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    return needed | {name: value for name, value in named.items() if value is not None}


def _plain(value: object) -> str | None:
    match value:
        case None:
            return None
        case SecretStr():
            return value.get_secret_value()
        case bool():
            return str(value).lower()
        case Path():
            return str(value.resolve())
    return str(value)
