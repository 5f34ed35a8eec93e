"""The plan of one private Asterisk: a value, and what may stand in it. Nothing here runs anything; pbx.py does."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

SOCKET_PATH_MAX = 100  # sun_path holds 107 bytes and a zero
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
PASSWORD = re.compile(r"[A-Za-z0-9._~+-]{1,128}")
ADDRESS = re.compile(r"[0-9A-Za-z.:\[\]/-]{0,128}")
UNSAFE_IN_PATH = frozenset(",&;|<>(){}[]$\"'`\\")  # would mean something in a dialplan or a configuration line
RESERVED = frozenset({"trunk", "udp", "ws", "global", "system", "plain", "phone", "place", "password"})

Strategy = Literal["ringall", "leastrecent", "fewestcalls", "random", "rrmemory", "rrordered", "linear", "wrandom"]


class PbxError(Exception):
    """The private Asterisk cannot be made, started or asked; the text says what was expected and what came."""


@dataclass(frozen=True)
class Phone:
    """An agent's phone. An empty password means: make one and keep it in secrets.json. `browser`: WebRTC over ws."""

    name: str
    password: str = field(default="", repr=False)
    browser: bool = False


@dataclass(frozen=True)
class Queue:
    """A queue: its members as (phone's name, penalty), how long each rings, and their rest after a talk."""

    name: str
    members: tuple[tuple[str, int], ...] = ()
    ring_s: int = 15
    strategy: Strategy = "linear"
    wrapup_s: int = 0


@dataclass(frozen=True)
class Pbx:
    """The plan of one private Asterisk. Raises PbxError when a value could not stand safely in its configuration."""

    data_dir: Path
    host: str = "127.0.0.1"  # SIP and voice
    control_host: str = "127.0.0.1"  # ARI, browser phones, AMI
    control_permit: tuple[str, ...] = ("127.0.0.0/255.0.0.0",)  # who may log in to AMI
    sip_port: int = 5060
    http_port: int = 8088
    ami_port: int = 5038
    agi_host: str = "127.0.0.1"
    agi_port: int = 4573
    rtp_start: int = 10_000
    rtp_end: int = 10_999
    external_address: str = ""  # what the carrier sees, behind NAT
    trunk_match: str = "127.0.0.2"  # the carrier's addresses or networks, separated by commas
    trunk_contact: str = ""  # the carrier's host:port for calls to customers; empty: none
    claim_timeout_ms: int = 400
    dead_man_s: float = 2.8  # a call that nobody drives goes to the queue after this; 0: it waits for ever
    system_name: str = ""  # among several Asterisk servers; every channel's id begins with it
    ivr_calls_max: int = 200
    calls_max: int = 400
    queue_wait_s: int = 1_800  # then an apology and the end of the call
    queue_tries_max: int = 3  # when the default queue lets nobody in at all
    announce_every_s: int = 60  # "please stay on the line"
    qualify_s: int = 0  # how often to ask phones whether they live; 0: never
    region: str = "TR"  # tones, and the language of the announcements
    phones: tuple[Phone, ...] = ()
    queues: tuple[Queue, ...] = (Queue("default"),)
    default_queue: str = "default"
    prompts_dir: Path | None = None  # None: data_dir/prompts
    recordings_dir: Path | None = None  # None: data_dir/recordings
    tools_dir: Path | None = None  # None: data_dir/tools

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise PbxError(problem)

    @property
    def home(self) -> Path:
        """All of this Asterisk's own files."""
        return self.data_dir.absolute() / "asterisk"

    @property
    def conf(self) -> Path:
        """The rendered asterisk.conf."""
        return self.home / "etc" / "asterisk.conf"

    @property
    def prompts(self) -> Path:
        """The announcements' folder; the chime for waiting callers is in its folder `hold`."""
        return (self.prompts_dir or self.data_dir / "prompts").absolute()

    @property
    def recordings(self) -> Path:
        """Where talks are recorded."""
        return (self.recordings_dir or self.data_dir / "recordings").absolute()

    @property
    def tools(self) -> Path:
        """The folder of unpacked packages, used when the machine has no Asterisk that will do."""
        return (self.tools_dir or self.data_dir / "tools").absolute()

    @property
    def carriers(self) -> list[str]:
        """The addresses that are the carrier's."""
        return [address.strip() for address in self.trunk_match.split(",") if address.strip()]


def run_dir(plan: Pbx, *, make: bool = False) -> Path:
    """The folder of the control socket: in data_dir, or a short private one when data_dir's path is too long.

    With `make` it is there afterwards. Raises PbxError when somebody else owns that short name.
    """
    run = plan.home / "run"
    if len(os.fsencode(run / "asterisk.ctl")) > SOCKET_PATH_MAX:
        name = hashlib.sha256(os.fsencode(plan.home)).hexdigest()[:12]
        run = Path(tempfile.gettempdir()) / f"santral-{os.getuid()}-{name}"
    if len(os.fsencode(run / "asterisk.ctl")) > SOCKET_PATH_MAX:
        raise PbxError(f"expected a folder for the control socket with a path under {SOCKET_PATH_MAX} bytes, got {run}")
    if make:
        run.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = run.lstat()
        if run.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise PbxError(f"expected {run} to be a folder of ours that nobody else may write, it is not")
    return run


def _problems(plan: Pbx) -> Iterator[str]:
    """What could not stand in Asterisk's configuration: it knows no quoting, so only harmless characters get in."""
    yield from _wrong_names(plan)
    addresses = (plan.host, plan.control_host, plan.agi_host, plan.external_address, plan.trunk_contact)
    for address in (*addresses, *plan.control_permit, *plan.carriers):
        if not ADDRESS.fullmatch(address):
            yield f"expected an address, got {address!r}"
    for folder in (plan.home, plan.prompts, plan.recordings, plan.tools):
        if not str(folder).isprintable() or UNSAFE_IN_PATH & set(str(folder)):
            yield f"expected a path without any of {' '.join(sorted(UNSAFE_IN_PATH))}, got {str(folder)!r}"
    if not 1024 <= plan.rtp_start < plan.rtp_end <= 65_000:
        yield f"expected 1024 <= rtp_start < rtp_end <= 65000, got {plan.rtp_start} and {plan.rtp_end}"
    if plan.system_name and not NAME.fullmatch(plan.system_name):
        yield f"expected a system_name of letters, digits, _ and -, got {plan.system_name!r}"
    if not 0 <= plan.claim_timeout_ms <= 60_000:
        yield f"expected claim_timeout_ms from 0 to 60000, got {plan.claim_timeout_ms}"
    if not 0 <= plan.dead_man_s <= 60:
        yield f"expected dead_man_s from 0 to 60, got {plan.dead_man_s}"


def _wrong_names(plan: Pbx) -> Iterator[str]:
    members = [name for queue in plan.queues for name, _ in queue.members]
    for name in (*(phone.name for phone in plan.phones), *(queue.name for queue in plan.queues), *members):
        if not NAME.fullmatch(name):
            yield f"expected a name of letters, digits, _ and -, got {name!r}"
    for phone in plan.phones:
        if phone.password and not PASSWORD.fullmatch(phone.password):
            yield f"phone {phone.name}: expected a password of letters, digits and ._~+-, got other characters"
        if phone.name in RESERVED:
            yield f"expected another name for a phone than {phone.name!r}, which pjsip.conf uses itself"
    for kind, names in (
        ("phone", [phone.name for phone in plan.phones]),
        ("queue", [each.name for each in plan.queues]),
    ):
        if len(set(names)) != len(names):
            yield f"expected every {kind} once"
    if {"general", "plain"} & {queue.name for queue in plan.queues}:
        yield "expected other names for queues than 'general' and 'plain', which queues.conf uses itself"
    if plan.default_queue not in {queue.name for queue in plan.queues}:
        yield f"expected the default queue {plan.default_queue!r} among the queues"
