"""What tests of a real Asterisk share: where it is, a plan on free ports, a carrier (sipp), a small AMI reader."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cti.asterisk import debs, pbx

TOOLS = Path(os.environ.get("SANTRAL_TOOLS_DIR", Path(__file__).parents[3] / "var" / "tools"))
CARRIER, PHONE, STRANGER = "127.0.0.2", "127.0.0.3", "127.0.0.9"
WAIT_S = 10.0
SCENARIOS = Path(__file__).parent


def programs() -> bool:
    try:
        return all(debs.find(program, TOOLS) for program in ("asterisk", "sipp"))
    except debs.DebsError:
        return False


live = pytest.mark.skipif(not programs(), reason="no Asterisk 22.10 or no sipp here, nor in SANTRAL_TOOLS_DIR")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, host: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def plan_in(folder: Path, **changes: object) -> pbx.Pbx:
    values: dict[str, object] = {
        "tools_dir": TOOLS,
        "sip_port": free_port(socket.SOCK_DGRAM),
        "http_port": free_port(),
        "ami_port": free_port(),
        "rtp_start": 20_000 + 200 * (os.getpid() % 50),
        "rtp_end": 20_199 + 200 * (os.getpid() % 50),
        "claim_timeout_ms": 300,
        "dead_man_s": 0,  # nodes of these tests are half ones that renew nothing
        "phones": (pbx.Phone("1001", "secret-1001"), pbx.Phone("1002"), pbx.Phone("web1", browser=True)),
        "queues": (pbx.Queue("default", (("1001", 0), ("1002", 1)), ring_s=5), pbx.Queue("faults", (("1002", 0),))),
    }
    return pbx.Pbx(folder, **(values | changes))  # type: ignore[arg-type]


class Ami:
    """The smallest AMI reader a test can do with."""

    def __init__(self, plan: pbx.Pbx, secret: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", plan.ami_port), timeout=WAIT_S)
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        self.login = self.ask("Login", Username=pbx.USER, Secret=secret)

    def ask(self, action: str, **keys: str) -> dict[str, str]:
        text = "".join(f"{key}: {value}\r\n" for key, value in {"Action": action, "ActionID": action, **keys}.items())
        self.socket.sendall(f"{text}\r\n".encode())
        return self.wait("Response")

    def wait(self, key: str, value: str | None = None) -> dict[str, str]:
        while True:
            block: dict[str, str] = {}
            while line := self.lines.readline().decode(errors="replace").strip():
                name, _, rest = line.partition(": ")
                block.setdefault(name, rest)
            if key in block and value in (None, block[key]):
                return block

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


@contextmanager
def invite(
    plan: pbx.Pbx, *, source: str, user: str, number: str = "+902121234567", headers: str = ""
) -> Iterator[socket.socket]:
    """One INVITE as it may come from anybody; `headers`: more SIP lines. Read the answers with `final`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind((source, 0))
        phone.settimeout(WAIT_S)
        port, once = phone.getsockname()[1], time.monotonic_ns()
        sdp = f"v=0\r\no=- 1 1 IN IP4 {source}\r\ns=-\r\nc=IN IP4 {source}\r\nt=0 0\r\nm=audio 30000 RTP/AVP 8\r\n"
        head = (
            f"INVITE sip:{number}@127.0.0.1:{plan.sip_port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {source}:{port};branch=z9hG4bK{once}\r\n"
            f"From: <sip:{user}@{source}>;tag={port}\r\nTo: <sip:{number}@127.0.0.1>\r\n"
            f"Call-ID: {once}@{source}\r\nCSeq: 1 INVITE\r\nContact: <sip:x@{source}:{port}>\r\n{headers}"
            f"Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n"
        )
        phone.sendto((head + sdp).encode(), ("127.0.0.1", plan.sip_port))
        yield phone


def final(phone: socket.socket) -> str:
    """The first line of the final answer."""
    while (answer := phone.recv(4_096).decode().partition("\r\n")[0]).startswith("SIP/2.0 1"):
        pass
    return answer


@contextmanager
def sipp(plan: pbx.Pbx, scenario: Path, source: str, port: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """sipp with one call of a scenario, ended at the end of the block at the latest."""
    argv = [*debs.find("sipp", TOOLS), f"127.0.0.1:{plan.sip_port}", "-sf", str(scenario), "-i", source]
    argv += ["-p", str(port), "-m", "1", "-nostdin", "-timeout", "30s", "-timeout_error", *more]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(argv, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def call(
    plan: pbx.Pbx,
    folder: Path,
    talk_ms: int,
    *,
    name: str = "",
    number: str = "+905321234567",
    play: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A caller behind the carrier who says `play` (raw ulaw) and hangs up after `talk_ms`."""
    speak = f'<nop><action><exec rtp_stream="{play},-1,0"/></action></nop>' if play else ""
    text = (SCENARIOS / "caller.xml").read_text(encoding="utf-8")
    for mark, words in (("SPEAK", speak), ("TALK_MS", str(talk_ms))):
        text = text.replace(mark, words)
    scenario = folder / "caller.xml"
    scenario.write_text(text, encoding="utf-8")
    keys = ("-key", "name", name, "-key", "number", number)
    with sipp(plan, scenario, CARRIER, free_port(socket.SOCK_DGRAM, CARRIER), *keys) as carrier:
        yield carrier


@contextmanager
def phone(plan: pbx.Pbx, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """An agent's registered phone that answers its one call and waits for the end of it."""
    port = free_port(socket.SOCK_DGRAM, PHONE)
    password = pbx.keep_secrets(plan).phones[name]
    who = ("-key", "phone", name, "-au", name, "-ap", password)
    with sipp(plan, SCENARIOS / "register.xml", PHONE, port, *who) as registering:
        assert registering.wait(WAIT_S) == 0, f"{name} could not register"
    with sipp(plan, SCENARIOS / "agent.xml", PHONE, port) as agent:
        yield agent
