"""The real Asterisk, started, called and stopped: what pbx.py and asterisk_conf/ promise.

Needs an Asterisk and sipp: on PATH, or unpacked in SANTRAL_TOOLS_DIR (default var/tools).
"""

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import wave
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from cti.asterisk import pbx, placeholders
from tests.cti.asterisk.exchange import CARRIER, STRANGER, TOOLS, WAIT_S, Ami, call, final, invite, live, phone, plan_in


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pbx.Running]:
    folder = tmp_path_factory.mktemp("pbx")
    for name in pbx.SAID_IN_FALLBACK:  # a tenth of a second each: what is measured is the way, not the words
        (folder / "prompts").mkdir(exist_ok=True)
        placeholders.save(folder / "prompts" / f"{name}.wav", array("h", bytes(1_600)))
    with pbx.start(plan_in(folder)) as asterisk:
        yield asterisk


@pytest.fixture
def ami(running: pbx.Running) -> Iterator[Ami]:
    reader = Ami(running.plan, pbx.keep_secrets(running.plan).ami)
    yield reader
    reader.close()


def ari(plan: pbx.Pbx, path: str, *, method: str = "GET", password: str = "") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", plan.http_port, timeout=WAIT_S)
    connection.request(method, f"/ari/{path}", headers=token(password or pbx.keep_secrets(plan).ari))
    status = connection.getresponse().status
    connection.close()
    return status


def token(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{pbx.USER}:{password}'.encode()).decode()}"}


@contextmanager
def application(plan: pbx.Pbx, name: str) -> Iterator[ClientConnection]:
    """A bridge node's socket, with nothing behind it but the test."""
    url = f"ws://127.0.0.1:{plan.http_port}/ari/events?app={name}"
    with connect(url, additional_headers=token(pbx.keep_secrets(plan).ari), compression=None, proxy=None) as node:
        yield node


@live
def test_ari_answers_to_its_password_only(running: pbx.Running) -> None:
    assert ari(running.plan, "asterisk/ping") == 200
    assert ari(running.plan, "asterisk/ping", password="guess") == 401


@live
def test_boot_leaves_no_error_in_the_log(running: pbx.Running) -> None:
    log = (running.plan.home / "log" / "messages").read_text()
    assert not [line for line in log.splitlines() if " ERROR[" in line or "declined" in line]
    wanted = set(
        re.findall(r"^load = (\S+\.so)", (running.plan.conf.parent / "modules.conf").read_text(), re.MULTILINE)
    )
    shown = pbx.ask(running.plan, "module show")
    assert wanted == set(re.findall(r"^(\S+\.so) .* Running ", shown, re.MULTILINE))


@live
def test_every_application_of_the_dialplan_is_loaded(running: pbx.Running) -> None:
    """A missing one would drop the caller in the middle: Asterisk notices only when a call gets there."""
    dialplan = (running.plan.conf.parent / "extensions.conf").read_text()
    for name in sorted(
        set(re.findall(r"^(?: same|exten) => [^;]*?,(?:\w+(?:\(\w+\))?,)?(\w+)\(", dialplan, re.MULTILINE))
    ):
        assert "Synopsis" in pbx.ask(running.plan, f"core show application {name}"), name
    for name in sorted(set(re.findall(r"\$\{([A-Z_]+)\(|Set\(([A-Z_]+)\(", dialplan))):
        assert "Synopsis" in pbx.ask(running.plan, f"core show function {''.join(name)}"), name


@live
def test_ami_pauses_and_looks_but_neither_dials_nor_commands(ami: Ami) -> None:
    assert ami.login["Response"] == "Success"
    for action, keys in {
        "Originate": {"Channel": "PJSIP/1001", "Application": "Echo"},
        "Command": {"Command": "core show version"},
        "GetConfig": {"Filename": "manager.conf"},
        "UserEvent": {"UserEvent": "x"},
    }.items():
        assert ami.ask(action, **keys)["Message"] == "Permission denied", action
    assert ami.ask("QueueStatus")["Response"] == "Success"
    assert ami.wait("Event", "QueueMember")["Name"] == "1001"
    ami.wait("Event", "QueueStatusComplete")
    assert ami.ask("CoreShowChannels")["Response"] == "Success"
    for paused in ("true", "false"):
        assert ami.ask("QueuePause", Interface="PJSIP/1001", Paused=paused)["Response"] == "Success"
    added = ami.ask("QueueAdd", Queue="faults", Interface="PJSIP/1001", MemberName="1001")
    assert added["Response"] == "Success"
    assert ami.ask("QueueRemove", Queue="faults", Interface="PJSIP/1001")["Response"] == "Success"


@live
def test_ami_refuses_a_wrong_password(running: pbx.Running) -> None:
    stranger = Ami(running.plan, "guess")
    assert stranger.login["Response"] == "Error"
    stranger.close()


@live
@pytest.mark.parametrize("user", ["anonymous", "trunk", "1001", "nobody"])
def test_a_stranger_never_reaches_the_dialplan(running: pbx.Running, user: str) -> None:
    """Not as anonymous, not by calling itself the carrier, not by naming a phone without its password."""
    before = pbx.ask(running.plan, "core show calls")
    with invite(running.plan, source=STRANGER, user=user) as stranger:
        assert final(stranger) == "SIP/2.0 401 Unauthorized"
    assert pbx.ask(running.plan, "core show calls") == before


@live
def test_with_no_application_a_caller_is_in_the_queue_within_a_second(
    running: pbx.Running, ami: Ami, tmp_path: Path
) -> None:
    placed = time.monotonic()  # SIPp's own start counts too
    with call(running.plan, tmp_path, 300, name='"Şule Öz, A/S:1"') as carrier:
        joined = ami.wait("Event", "QueueCallerJoin")
        queued = time.monotonic()
        assert carrier.wait(WAIT_S) == 0
    assert joined["Queue"] == "default"
    assert joined["CallerIDNum"] == "+905321234567"
    assert joined["CallerIDName"] in ("", "<unknown>"), "a name from the wire does not travel on"
    assert queued - placed < running.plan.claim_timeout_ms / 1000 + 1.0


@live
def test_a_claimed_call_goes_to_the_queue_that_the_bridge_names(running: pbx.Running, ami: Ami, tmp_path: Path) -> None:
    plan = running.plan
    with application(plan, "santral-test") as node, call(plan, tmp_path, 300, name='"Şule Öz, A:1"') as carrier:
        offer = json.loads(node.recv(timeout=WAIT_S))
        channel = offer["channel"]["id"]
        assert offer["type"] == "CallBroadcast"
        assert ari(plan, f"events/claim?channelId={channel}&application=santral-test", method="POST") == 204
        begun = json.loads(node.recv(timeout=WAIT_S))
        assert begun["type"] == "StasisStart"
        did, number, name = begun["args"][:3]  # what the trunk vouches for comes after these
        assert (did, number) == ("did=+908502220000", "from=+905321234567")
        assert name.startswith("name=%22%C5%9Eule%20%C3%96z%2C%20A%3A1%22%20%3Csip%3A"), "the From header, encoded"
        given = {"CALL": "c-77", "NEXT": "queue", "QUEUE": "faults", "RECORDING": "../0199-ab", "PRIORITY": "3"}
        for name, value in given.items():
            said = f"channels/{channel}/variable?variable=SANTRAL_{name}&value={value}"
            assert ari(plan, said, method="POST") == 204
        assert ari(plan, f"channels/{channel}/continue", method="POST") == 204
        joined = ami.wait("Event", "QueueCallerJoin")
        assert carrier.wait(WAIT_S) == 0
    assert (joined["Queue"], joined["ChanVariable"]) == ("faults", "SANTRAL_CALL=c-77")
    assert (plan.recordings / "0199-ab.wav").exists(), "a path in a recording's id is filtered out"


@live
def test_a_queue_that_does_not_exist_is_not_the_callers_problem(running: pbx.Running, ami: Ami, tmp_path: Path) -> None:
    plan = running.plan
    with application(plan, "santral-test") as node, call(plan, tmp_path, 300) as carrier:
        channel = json.loads(node.recv(timeout=WAIT_S))["channel"]["id"]
        ari(plan, f"events/claim?channelId={channel}&application=santral-test", method="POST")
        node.recv(timeout=WAIT_S)
        for name, value in {"NEXT": "queue", "QUEUE": "nosuch", "RECORDING": "off"}.items():
            ari(plan, f"channels/{channel}/variable?variable=SANTRAL_{name}&value={value}", method="POST")
        ari(plan, f"channels/{channel}/continue", method="POST")
        assert ami.wait("Event", "QueueCallerJoin")["Queue"] == "default"
        assert carrier.wait(WAIT_S) == 0
    assert not list(plan.recordings.glob("off*")), "off means not recorded"


@live
def test_agents_phones_reach_colleagues_and_nobody_else(running: pbx.Running) -> None:
    for number, found in {"1002": True, "*43": True, "05321234567": False, "0900": False, "s": False}.items():
        try:
            shown = pbx.ask(running.plan, f"dialplan show {number}@from-phones")
        except pbx.PbxError as problem:
            shown = str(problem)
        assert ("Dial(" in shown or "Echo(" in shown) is found, number


@live
@pytest.mark.parametrize(
    ("user", "headers", "raw", "shown"),
    [
        ("anonymous", "", "anonymous", ""),
        ("+905321234567", "P-Asserted-Identity: <sip:+905321234567@carrier>\r\nPrivacy: id\r\n", "anonymous", ""),
        ("+905321234567", "Privacy: critical;id\r\n", "anonymous", ""),
        ("+905321234567", "Privacy: none\r\n", "+905321234567", "+905321234567"),
        ("+905321234567", "Remote-Party-ID: <sip:1@x>;party=calling;privacy=full\r\n", "anonymous", ""),
        ("+905321234567", "P-Asserted-Identity: <sip:+905339998877@carrier>\r\n", "+905321234567", "+905321234567"),
        ("anonymous", "P-Asserted-Identity: <sip:+905339998877@carrier>\r\n", "anonymous", ""),
        ("+90532%0d%0aEvent%3a%20AgentCalled", "", "+90532EventAgentCalled", "+90532"),
        ("%24%7bSHELL(id)%7d", "", "SHELLid", ""),
        ("1" * 90, "", "1" * 40, "1" * 32),
    ],
)
def test_a_number_is_harmless_before_anybody_reads_it(
    running: pbx.Running, ami: Ami, user: str, headers: str, raw: str, shown: str
) -> None:
    plan = running.plan
    with application(plan, "santral-test") as node, invite(plan, source=CARRIER, user=user, headers=headers) as carrier:
        offer = json.loads(node.recv(timeout=WAIT_S))["channel"]
        assert ari(plan, f"channels/{offer['id']}", method="DELETE") == 204
        assert not final(carrier).startswith("SIP/2.0 2")
        hangup = ami.wait("Event")
        while hangup["Event"] != "Hangup":
            assert hangup.keys() >= {"Event", "Privilege"}
            assert (hangup["Event"], "call,all") != ("AgentCalled", hangup["Privilege"])
            assert hangup["Event"] != "Newchannel", "it carries the number as sent, before the dialplan cleans it"
            hangup = ami.wait("Event")
    assert offer["channelvars"]["SANTRAL_RAW"] == raw
    assert offer["caller"] == {"name": "", "number": shown}


@live
def test_talk_is_recorded_from_the_agents_hello_on(running: pbx.Running, ami: Ami, tmp_path: Path) -> None:
    said = tmp_path / "said.ulaw"
    said.write_bytes(bytes([0x80, 0x00] * 8_000))  # the loudest tone ulaw knows, at 4 kHz
    with phone(running.plan, "1001") as agent, call(running.plan, tmp_path, 4_000, play=said) as carrier:
        talk = ami.wait("Event", "AgentConnect")
        assert carrier.wait(WAIT_S) == 0
        assert agent.wait(WAIT_S) == 0
    done = ami.wait("Event", "AgentComplete")
    assert talk["Interface"] == "PJSIP/1001"
    name = talk["Linkedid"].replace(".", "-")
    seconds, loudest = {}, {}
    for part in ("", "-r", "-t"):
        with wave.open(str(running.plan.recordings / f"{name}{part}.wav")) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (8_000, 1, 2)
            seconds[part] = sound.getnframes() / 8_000
            loudest[part] = max(map(abs, array("h", sound.readframes(sound.getnframes()))))
    assert abs(seconds[""] - int(done["TalkTime"])) <= 1.0
    assert seconds[""] == seconds["-r"] == seconds["-t"], "the three stay in step"
    assert loudest["-r"] > 20_000 > 2_000 > loudest["-t"], "the caller is in -r, what the caller hears in -t"


@live
def test_parent_killed_means_asterisk_ends(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, phones=(), queues=(pbx.Queue("default"),))
    numbers = {name: getattr(plan, name) for name in ("sip_port", "http_port", "ami_port", "rtp_start", "rtp_end")}
    code = (
        "import json, pathlib, sys, time\nfrom cti.asterisk import pbx\n"
        "plan = pbx.Pbx(pathlib.Path(sys.argv[1]), tools_dir=pathlib.Path(sys.argv[2]), **json.loads(sys.argv[3]))\n"
        "print(pbx.start(plan).pid, flush=True)\ntime.sleep(60)\n"
    )
    argv = [sys.executable, "-c", code, str(tmp_path), str(TOOLS), json.dumps(numbers)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=pbx.CONF.parent) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
    wait_gone(pid)


@live
def test_stop_leaves_no_process(tmp_path: Path) -> None:
    asterisk = pbx.start(plan_in(tmp_path))
    asterisk.stop()
    asterisk.stop()
    assert not asterisk.alive
    wait_gone(asterisk.pid)
    pbx.start(asterisk.plan).stop()  # and its ports are free again


def wait_gone(pid: int) -> None:
    """Returns when the process and its group are gone; kills them and fails when they stay."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return  # ended; whoever adopted it has not looked yet
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    pytest.fail(f"process {pid} stayed")
