"""The load balancer's configuration: HAProxy itself says whether it is one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cti.cluster import haproxy, programs
from cti.cluster.haproxy import Back
from cti.config import Settings

NODES = [Back("node1", "127.0.0.1", 8101, 4601), Back("node2", "127.0.0.1", 8102, 4602)]


@pytest.mark.parametrize("name_server", ["", "127.0.0.11:53"])
def test_haproxy_takes_the_configuration_without_a_warning(tmp_path: Path, name_server: str):
    found = programs.find("haproxy", package="haproxy", root=Settings().tools.with_name("haproxy"), say=print)
    file = tmp_path / "haproxy.cfg"
    text = haproxy.config(NODES, pages="127.0.0.1:8080", agi="127.0.0.1:4573", name_server=name_server)
    file.write_text(text, encoding="utf-8")
    checked = subprocess.run(
        [found.path, "-c", "-f", file],
        env=dict(found.environment),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_pages_and_dialplans_know_every_node():
    text = haproxy.config(NODES, pages="0.0.0.0:8080", agi="127.0.0.1:4573")
    servers = [line.split()[1:] for line in text.splitlines() if line.strip().startswith("server ")]
    assert servers == [
        ["node1", "127.0.0.1:8101", "check"],
        ["node2", "127.0.0.1:8102", "check"],
        ["node1", "127.0.0.1:4601", "check", "port", "8101"],
        ["node2", "127.0.0.1:4602", "check", "port", "8102"],
    ]
