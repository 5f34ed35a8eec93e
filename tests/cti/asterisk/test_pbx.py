"""A private Asterisk: what is written for it. The real one is started in test_pbx_live.py."""

import re
import socket
import wave
from array import array
from pathlib import Path

import pytest

from cti.asterisk import pbx, placeholders
from cti.asterisk.plan import SOCKET_PATH_MAX, run_dir
from tests.cti.asterisk.exchange import plan_in


@pytest.fixture
def fake_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like an unpacked Asterisk, so that writing can be tested without one."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    root = tmp_path / "tools"
    for folder in ("usr/sbin", "usr/lib/asterisk/modules", "usr/share/asterisk/documentation"):
        (root / folder).mkdir(parents=True)
    (root / "usr/sbin/asterisk").touch()
    for module in ("app_stasis", "codec_opus_open_source"):
        (root / f"usr/lib/asterisk/modules/{module}.so").touch()
    return root


def test_every_placeholder_is_filled_and_asterisks_own_are_left_alone(tmp_path: Path, fake_tools: Path) -> None:
    plan = plan_in(tmp_path / "data", tools_dir=fake_tools, trunk_contact="carrier.invalid:5060")
    pbx.write(plan)
    written = {path.name: path.read_text() for path in plan.conf.parent.glob("*.conf")}
    assert written.keys() == {path.name for path in pbx.CONF.glob("*.conf")}
    for name, text in written.items():
        assert not re.search(r"\{\{|\}\}\s*$|\{%|%\}|\bNone\b|Undefined", text, re.MULTILINE), name
    dialplan = written["extensions.conf"]
    assert "StasisBroadcast(300,^santral,did=${SANTRAL_DID}:from=${SANTRAL_RAW}:name=${SANTRAL_NAME}:" in dialplan
    assert "${STRREPLACE(UNIQUEID,.,-)}" in dialplan
    assert "$[${GROUP_COUNT(ivr@stage)} > 200]" in dialplan
    assert "member => PJSIP/1002,1,1002,PJSIP/1002" in written["queues.conf"]
    assert "contact = sip:carrier.invalid:5060" in written["pjsip.conf"]
    assert "load = codec_opus_open_source.so" in written["modules.conf"]


def test_nothing_that_runs_commands_or_fetches_addresses_is_loaded() -> None:
    loaded = re.findall(r"^load = (\w+)\.so", (pbx.CONF / "modules.conf").read_text(), re.MULTILINE)
    refused = {"func_curl", "res_curl", "func_env", "func_shell", "app_system", "func_db"}
    assert len(loaded) == len(set(loaded))
    assert not refused & set(loaded)
    assert "res_pjsip_endpoint_identifier_anonymous" not in loaded


def test_secrets_are_fresh_private_and_kept(tmp_path: Path, fake_tools: Path) -> None:
    one, other = (plan_in(tmp_path / name, tools_dir=fake_tools) for name in ("one", "other"))
    pbx.write(one)
    first = pbx.keep_secrets(one)
    pbx.write(one)
    assert pbx.keep_secrets(one) == first
    assert pbx.keep_secrets(other).ari != first.ari
    assert first.phones["1001"] == "secret-1001"
    assert len({first.ari, first.ami, first.phones["1002"], first.phones["web1"]}) == 4
    assert min(len(first.ari), len(first.ami), len(first.phones["1002"])) >= 32
    for path in (one.home / "secrets.json", *one.conf.parent.iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path
    assert first.ari not in repr(first)
    assert "secret-1001" not in repr(one)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"phones": (pbx.Phone("10\n[admin]"),)}, "expected a name"),
        ({"phones": (pbx.Phone("1001", "a;b"),)}, "password"),
        ({"phones": (pbx.Phone("trunk"),)}, "another name"),
        ({"phones": (pbx.Phone("1001"), pbx.Phone("1001"))}, "every phone once"),
        ({"queues": (pbx.Queue("a"),), "default_queue": "b"}, "default queue 'b'"),
        ({"trunk_match": "127.0.0.2\nallow=all"}, "expected an address"),
        ({"recordings_dir": Path("/tmp/a,b")}, "expected a path"),
        ({"rtp_start": 20_000, "rtp_end": 10_000}, "rtp_start < rtp_end"),
        ({"claim_timeout_ms": 90_000}, "claim_timeout_ms"),
    ],
)
def test_what_could_not_stand_in_the_configuration_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(pbx.PbxError, match=said):
        plan_in(tmp_path, **changes)


def test_control_socket_stays_reachable_in_a_deep_folder(tmp_path: Path) -> None:
    plan = plan_in(tmp_path / ("deep" * 30))
    run = run_dir(plan, make=True)
    try:
        assert len(str(run / "asterisk.ctl")) <= SOCKET_PATH_MAX
        assert run.stat().st_mode & 0o077 == 0
        assert run_dir(plan) == run
        run.chmod(0o777)
        with pytest.raises(pbx.PbxError, match="nobody else may write"):
            run_dir(plan, make=True)
    finally:
        run.rmdir()


def test_better_prompts_are_not_overwritten(tmp_path: Path, fake_tools: Path) -> None:
    plan = plan_in(tmp_path / "data", tools_dir=fake_tools)
    plan.prompts.mkdir(parents=True)
    (plan.prompts / "fallback_tr.wav").write_bytes(b"a better voice")
    pbx.write(plan)
    assert (plan.prompts / "fallback_tr.wav").read_bytes() == b"a better voice"
    assert (plan.prompts / "sorry_en.wav").exists()
    with wave.open(str(plan.prompts / "hold" / "chime.wav")) as chime:
        assert (chime.getframerate(), chime.getnchannels(), chime.getsampwidth()) == (8_000, 1, 2)


def test_sound_keeps_its_length_when_it_becomes_8_khz() -> None:
    second = array("h", [1_000] * 22_050)
    made = placeholders.at_8_khz(second, 22_050)
    assert abs(len(made) - 8_000) <= 1
    assert set(made) == {1_000}


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        plan = plan_in(tmp_path, ami_port=other.getsockname()[1])
        with pytest.raises(pbx.PbxError, match=f":{plan.ami_port} to be free"):
            pbx._refuse_taken_ports(plan)
