"""What a node's process is told, and how the balancer knows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from cti.cluster import nodes
from cti.config import Settings


def test_a_process_reads_the_very_settings_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given = Settings(
        data_dir=tmp_path, recordings_dir=tmp_path / "elsewhere", demo=False, demo_answer_s=-1.0, http_port=8123,
        ari_password=SecretStr("büyük sır"), database_url="postgresql+psycopg://santral@/santral?host=/tmp/here",
    )  # fmt: skip
    for name, value in nodes.environment(given).items():
        monkeypatch.setenv(name, value)
    assert Settings() == given


def test_nothing_else_of_our_environment_reaches_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOMEBODYS_SECRET", "x")
    others = {name for name in nodes.environment(Settings(data_dir=tmp_path)) if not name.startswith("SANTRAL_")}
    assert others == {"PATH", "LANG", "PYTHONUNBUFFERED"}


def test_nodes_share_all_but_name_and_ports(tmp_path: Path):
    common = Settings(data_dir=tmp_path, http_host="0.0.0.0")
    first, second = nodes.planned(common, [(8101, 4601), (8102, 4602)], passwords=("ari", "ami"))
    assert (first.node, second.node) == ("1", "2")
    assert (first.http_port, second.http_port) == (8101, 8102)
    assert (first.agi_port, second.agi_port) == (4601, 4602)
    assert first.http_host == "127.0.0.1"
    same = {"node": "1", "http_port": 8101, "agi_port": 4601}
    assert second.model_copy(update=same) == first
    assert second.ari_password.get_secret_value() == "ari"
    assert second.ami_password.get_secret_value() == "ami"
