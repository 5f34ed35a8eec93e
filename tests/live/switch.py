"""A real Asterisk on free ports, with SIPp as the carrier and as agents' phones. Nothing here knows what is tested."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cti.asterisk import debs, pbx, placeholders

CARRIER = "127.0.0.2"
PHONES = "127.0.0.3"
LIMIT_S = 30.0
ROOT = Path(__file__).parents[2]

SDP = """v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8 96
a=rtpmap:8 PCMA/8000
a=rtpmap:96 telephone-event/8000
a=fmtp:96 0-15"""

ANSWER = """[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port]>"""


def tools() -> Path:
    """Where the unpacked packages are; the test is skipped where there are none."""
    folder = Path(os.environ.get("SANTRAL_TOOLS_DIR") or ROOT / "var" / "tools")
    try:
        debs.find("asterisk", folder), debs.find("sipp", folder)
    except debs.DebsError as missing:
        pytest.fail(f"no Asterisk and SIPp to test with: {missing}")
    return folder


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, host: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def silence(path: Path, seconds: float) -> Path:
    """A .wav that says nothing; returns its path without extension, as a prompt is named."""
    path.parent.mkdir(parents=True, exist_ok=True)
    placeholders.save(path, array.array("h", bytes(2 * int(placeholders.RATE_HZ * seconds))))
    return path.with_suffix("")


@dataclass
class Switch:
    """A running Asterisk and what is needed to call it."""

    plan: pbx.Pbx
    secrets: pbx.Secrets
    folder: Path
    _scripts: int = field(default=0)
    _ports: dict[str, int] = field(default_factory=dict)  # a phone that registers again does so from the same place

    def ask(self, command: str) -> str:
        """What the console answers."""
        return pbx.ask(self.plan, command)

    def try_dialplan(self, extensions: str) -> None:
        """Calls from the carrier go through `extensions` from now on, as in a PBX that is not ours."""
        path = self.plan.conf.with_name("extensions.conf")
        ours = path.read_text(encoding="utf-8").replace("[from-trunk]", "[ours]")
        path.write_text(f"{ours}\n[from-trunk]\n{extensions}\n", encoding="utf-8")
        self.ask("dialplan reload")

    def clear(self) -> None:
        """Hang up everything; returns when no channel is left."""
        self.ask("channel request hangup all")
        until = time.monotonic() + LIMIT_S
        while "0 active channels" not in self.ask("core show channels count"):
            assert time.monotonic() < until, "expected all channels to hang up"

    def log(self) -> str:
        return (self.plan.home / "log" / "messages").read_text(errors="replace")

    async def sipp(self, scenario: str, *options: str, host: str, port: int = 0) -> asyncio.subprocess.Process:
        """Start SIPp with a scenario; it ends after one call, or after LIMIT_S."""
        self._scripts += 1
        path = self.folder / f"scenario-{self._scripts}.xml"
        path.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="x">\n{scenario}\n</scenario>\n')
        port = port or free_port(socket.SOCK_DGRAM, host)
        media = free_port(socket.SOCK_DGRAM, host) & ~1
        argv = [*debs.find("sipp", self.plan.tools), f"{self.plan.host}:{self.plan.sip_port}", "-sf", str(path)]
        argv += ["-i", host, "-p", str(port), "-mi", host, "-mp", str(media), "-m", "1", "-nostdin", "-timeout", "30s"]
        output = (self.folder / f"sipp-{self._scripts}.log").open("wb")
        with output:
            return await asyncio.create_subprocess_exec(
                *argv, *options, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder
            )

    async def call(
        self,
        to: str = "+908501112233",
        *,
        number: str = "+905321112233",
        name: str = "",
        then: str = "",
        hang_up: bool = True,
        headers: str = "",
    ) -> asyncio.subprocess.Process:
        """A call from the carrier. `then` are SIPp steps after the answer; without `hang_up` the switch must end it."""
        scenario = caller(number, name, then, hang_up=hang_up, headers=headers)
        return await self.sipp(scenario, "-s", to, host=CARRIER)

    async def phone(self, name: str, behaviour: str) -> asyncio.subprocess.Process:
        """Register agent `name`'s phone, which then behaves as `behaviour` says for one call."""
        port = self._ports.setdefault(name, free_port(socket.SOCK_DGRAM, PHONES))
        register = await self.sipp(REGISTER, *self._auth(name), host=PHONES, port=port)
        assert await register.wait() == 0, f"phone {name} could not register"
        return await self.sipp(behaviour, *self._auth(name), host=PHONES, port=port)

    def _auth(self, name: str) -> tuple[str, ...]:
        return ("-s", name, "-au", name, "-ap", self.secrets.phones[name])


@contextlib.contextmanager
def running(
    folder: Path, *, agents: tuple[str, ...] = ("ali", "bora"), ring_s: int = 2, **more: object
) -> Iterator[Switch]:
    """An Asterisk with one queue, `default`, in which the agents are rung one after the other."""
    for prompt in pbx.SAID_IN_FALLBACK:
        silence(folder / "prompts" / f"{prompt}.wav", 0.1)
    start = 20_000 + free_port() % 20_000
    plan = pbx.Pbx(
        data_dir=folder,
        tools_dir=tools(),
        dead_man_s=0,  # the half nodes of these tests renew nothing
        sip_port=free_port(socket.SOCK_DGRAM),
        http_port=free_port(),
        ami_port=free_port(),
        rtp_start=start,
        rtp_end=start + 200,
        phones=tuple(pbx.Phone(name) for name in agents),
        queues=(pbx.Queue("default", tuple((name, 0) for name in agents), ring_s=ring_s),),
        **more,  # type: ignore[arg-type]
    )
    with pbx.start(plan):
        yield Switch(plan, pbx.keep_secrets(plan), folder)


@contextlib.asynccontextmanager
async def ended(*processes: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Whatever is still running of these at the end is stopped."""
    try:
        yield
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


def _message(text: str, *, body: bool = False) -> str:
    content = f"Content-Type: application/sdp\nContent-Length: [len]\n\n{SDP}" if body else "Content-Length: 0"
    return f"<![CDATA[\n{text}\n{content}\n\n]]>"


def send(text: str, *, body: bool = False, retransmit: bool = False) -> str:
    again = ' retrans="500"' if retransmit else ""
    return f"<send{again}>{_message(text, body=body)}</send>"


def pause(seconds: float) -> str:
    return f'<pause milliseconds="{int(seconds * 1000)}"/>'


def dtmf(keys: str) -> str:
    """Keys as RFC 4733 events; SIPp sends them on payload type 96."""
    return f'<nop><action><exec play_dtmf="{keys}"/></action></nop>'


def voice(folder: Path, seconds: float) -> str:
    """The caller really sends sound: A-law, as a file that SIPp streams."""
    path = folder / f"voice-{seconds}.alaw"
    path.write_bytes(b"\x15\x95" * int(placeholders.RATE_HZ * seconds / 2))
    return f'<nop><action><exec rtp_stream="{path},1,8"/></action></nop>'


def _request(method: str, sequence: int, more: str = "", *, to_tag: str = "") -> str:
    return f"""{method} sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: {{caller}};tag=[pid]c[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>{to_tag}
Call-ID: [call_id]
CSeq: {sequence} {method}
Contact: <sip:carrier@[local_ip]:[local_port]>{more}"""


def caller(number: str, name: str, then: str, *, hang_up: bool, headers: str = "") -> str:
    """A caller's leg. `name` is put between quotes as it is: the place for hostile bytes."""
    address = f'"{name}" <sip:{number}@[local_ip]:[local_port]>' if name else f"<sip:{number}@[local_ip]:[local_port]>"

    def fill(text: str) -> str:
        return text.replace("{caller}", address)

    ok = '<recv response="100" optional="true"/><recv response="180" optional="true"/><recv response="183" optional="true"/>'
    parts = [
        send(fill(_request("INVITE", 1, headers)), body=True, retransmit=True),
        ok,
        '<recv response="200" rrs="true"/>',
    ]
    parts += [send(fill(_request("ACK", 1, to_tag="[peer_tag_param]"))), then]
    if hang_up:
        parts += [send(fill(_request("BYE", 2, to_tag="[peer_tag_param]")), retransmit=True), '<recv response="200"/>']
    else:
        parts.append(HEARS_BYE)
    return "\n".join(parts)


def _register(sequence: int, more: str = "") -> str:
    return send(
        f"""REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:[service]@[remote_ip]>;tag=[pid]r[call_number]
To: <sip:[service]@[remote_ip]>
Call-ID: [call_id]
CSeq: {sequence} REGISTER
Contact: <sip:[service]@[local_ip]:[local_port]>
Expires: 300{more}""",
        retransmit=True,
    )


REGISTER = (
    _register(1) + '<recv response="401" auth="true"/>' + _register(2, "\n[authentication]") + '<recv response="200"/>'
)

_INVITED = '<recv request="INVITE" rrs="true"/>'
_NAMES = """<action><ereg regexp=".*" search_in="hdr" header="To:" assign_to="ours"/>
<ereg regexp=".*" search_in="hdr" header="From:" assign_to="theirs"/></action>"""
_RINGING = send("SIP/2.0 180 Ringing\n" + ANSWER)
_OK = send("SIP/2.0 200 OK\n" + ANSWER, body=True, retransmit=True) + '<recv request="ACK" rrs="true"/>'
_OK_THEN_BYE = _OK.replace("/>", f">{_NAMES}</recv>")
HEARS_BYE = '<recv request="BYE"/>' + send("SIP/2.0 200 OK\n" + ANSWER.replace(";tag=[call_number]", ""))

_SAYS_BYE = (
    send(
        """BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From:[$ours]
To:[$theirs]
Call-ID: [call_id]
CSeq: 2 BYE""",
        retransmit=True,
    )
    + '<recv response="200"/>'
)

# What a phone does when it rings.
RINGS = (
    f'{_INVITED}{_RINGING}<recv request="CANCEL"/>'
    + send("SIP/2.0 200 OK\n" + ANSWER)
    + send("SIP/2.0 487 Request Terminated\n" + ANSWER.replace("[last_CSeq:]", "CSeq: [cseq] INVITE"))
    + '<recv request="ACK"/>'
)


def answers(after_s: float = 0.3, talk_s: float | None = None) -> str:
    """Ring, answer, talk; with `talk_s` the agent hangs up, without it the caller does."""
    ringing = f"{_INVITED}{_RINGING}{pause(after_s)}"
    return ringing + (f"{_OK_THEN_BYE}{pause(talk_s)}{_SAYS_BYE}" if talk_s else f"{_OK}{HEARS_BYE}")


def refuses(code: int, words: str) -> str:
    """Ring shortly, then refuse with a SIP code."""
    return (
        _INVITED
        + _RINGING
        + pause(0.3)
        + send(f"SIP/2.0 {code} {words}\n{ANSWER}", retransmit=True)
        + '<recv request="ACK"/>'
    )
