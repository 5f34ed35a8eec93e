"""A private Asterisk: get one, write its configuration, start it, stop it.

It runs as the user who starts it, in folders of its own, and dies with the process that started it. It is not about
calls: what happens on the line is read by ari.py and ami.py. The configuration's text is in `asterisk_conf/`.
"""

import base64
import hashlib
import http.client
import json
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cti.asterisk import debs, placeholders
from cti.asterisk.ami_facts import TELLERS
from cti.asterisk.plan import Pbx, PbxError, Phone, Queue, run_dir

__all__ = [
    "Pbx",
    "PbxError",
    "Phone",
    "Queue",
    "Running",
    "Secrets",
    "ask",
    "console",
    "get",
    "keep_secrets",
    "start",
    "write",
]

CONF = Path(__file__).parents[2] / "asterisk_conf"
USER = "santral"  # of ARI and of AMI
BOOT_MAX_S = 30.0
BOOT_POLL_S = 0.02
STOP_MAX_S = 5.0
CONSOLE_MAX_S = 10.0
FILES_MAX = 65_536
LOG_TAIL_CHARS = 3_000
SECRET_BYTES = 24
MODULES = ("/usr/lib/{0}/asterisk/modules", "/usr/lib/asterisk/modules", "/usr/lib64/asterisk/modules")
SHARES = ("/usr/share/asterisk", "/var/lib/asterisk")
NUMBERS = (
    *("sip_port", "http_port", "ami_port", "agi_port", "rtp_start", "rtp_end", "claim_timeout_ms", "dead_man_s"),
    *("ivr_calls_max", "calls_max", "queue_wait_s", "queue_tries_max", "announce_every_s", "qualify_s"),
)
SAID_IN_FALLBACK = {  # prompt -> words; the prompt builder may put better voices in the same files
    "fallback_tr": "Görüşmeniz kaydedilmektedir. Aradığınız için teşekkür ederiz. Sizi bir temsilcimize bağlıyoruz.",
    "fallback_en": "This call is recorded. Thank you for calling. We are connecting you to an agent.",
    "waiting_tr": "Temsilcilerimiz hâlâ meşgul. Lütfen hattan ayrılmayın.",
    "waiting_en": "All our agents are still busy. Please stay on the line.",
    "sorry_tr": "Şu anda size yardımcı olamıyoruz. Lütfen daha sonra tekrar arayın.",
    "sorry_en": "We cannot help you at the moment. Please call again later.",
}
# First in Asterisk's place: asks the kernel to end it with the thread that started it, then becomes Asterisk.
# Of our environment it keeps what a program needs; our secrets would be readable for a dialplan function.
LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the starting process is gone")
kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
os.execve(sys.argv[2], sys.argv[2:], {name: os.environ[name] for name in kept if name in os.environ})
"""


@dataclass(frozen=True)
class Secrets:
    """Passwords made for one Asterisk: the ARI user's, the AMI user's, the phones'."""

    ari: str = field(repr=False)
    ami: str = field(repr=False)
    phones: dict[str, str] = field(repr=False)
    user: str = USER


def get(data_dir: Path, say: Callable[[str], None]) -> list[str]:
    """The argv prefix of an Asterisk that will do, fetched into data_dir/tools when the machine has none.

    Raises debs.DebsError when there is none and none can be fetched.
    """
    tools = data_dir.absolute() / "tools"
    with suppress(debs.DebsError):
        return debs.find("asterisk", tools)
    return debs.command(debs.telephony(tools, say), "asterisk")


def write(plan: Pbx) -> Path:
    """Render the configuration into data_dir/asterisk/etc, make what it names; return its asterisk.conf.

    Secrets are made once and kept. Prompts that are missing are spoken by espeak-ng (or are a tone, without it).
    Raises PbxError, or debs.DebsError when there is no Asterisk to write for.
    """
    for folder in ("etc", "lib", "db", "keys", "spool/recording", "agi", "cache", "log"):
        (plan.home / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    plan.recordings.mkdir(parents=True, exist_ok=True, mode=0o700)
    _make_prompts(plan)
    values = _values(plan, keep_secrets(plan))
    environment = Environment(
        loader=FileSystemLoader(CONF),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # not a web page; plan.py lets only harmless values in
    )
    for template in sorted(CONF.glob("*.conf")):
        _write_private(plan.conf.with_name(template.name), environment.get_template(template.name).render(values))
    return plan.conf


def keep_secrets(plan: Pbx) -> Secrets:
    """The passwords in data_dir/asterisk/secrets.json (mode 0600); what is missing there is made now."""
    path = plan.home / "secrets.json"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    wanted = ["ari", "ami", *(f"phone:{phone.name}" for phone in plan.phones if not phone.password)]
    made = {name: kept.get(name) or secrets.token_urlsafe(SECRET_BYTES) for name in {**kept, **dict.fromkeys(wanted)}}
    if made != kept:
        _write_private(path, json.dumps(made, indent=1, sort_keys=True) + "\n")
    phones = {phone.name: phone.password or made[f"phone:{phone.name}"] for phone in plan.phones}
    return Secrets(ari=made["ari"], ami=made["ami"], phones=phones)


def start(plan: Pbx) -> "Running":
    """Write the configuration, start Asterisk, return when it is fully booted (0.5-2 s).

    It ends when this process ends, however that happens. Raises PbxError with the end of its log when it does not boot
    within BOOT_MAX_S, or when a port is taken.
    """
    write(plan)
    run_dir(plan, make=True)
    _refuse_taken_ports(plan)
    running = Running(plan)
    try:
        _wait_booted(running)
    except BaseException:
        running.stop()
        raise
    return running


def ask(plan: Pbx, command: str) -> str:
    """What the running Asterisk's console answers to `command`, e.g. "core show channels". Raises PbxError."""
    argv = [*_installation(plan).argv, "-C", str(plan.conf), "-rx", command]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=CONSOLE_MAX_S, check=False)
    except subprocess.TimeoutExpired as late:
        raise PbxError(f"expected an answer to {command!r} within {CONSOLE_MAX_S} s, none came") from late
    if done.returncode != 0:
        raise PbxError(f"expected an answer to {command!r}, came: {(done.stdout + done.stderr).strip()[-500:]}")
    return done.stdout


def console(plan: Pbx) -> NoReturn:
    """Become the interactive console of the running Asterisk; this process is replaced. Raises debs.DebsError."""
    argv = [*_installation(plan).argv, "-C", str(plan.conf), "-r"]
    os.execv(argv[0], argv)


class Running:
    """A started Asterisk: its pid, whether it lives, and stop()."""

    def __init__(self, plan: Pbx) -> None:
        """Start the process; `start` is what you want to call."""
        self.plan = plan
        self._ended = threading.Event()
        started: list[subprocess.Popen[bytes] | OSError] = []
        ready = threading.Event()
        # The kernel's "end with your parent" means the parent *thread*: so one thread starts Asterisk and stays.
        argv = [*_installation(plan).argv, "-f", "-C", str(plan.conf)]
        threading.Thread(target=self._live, args=(argv, started, ready), name="asterisk", daemon=True).start()
        ready.wait()
        if isinstance(started[0], OSError):
            raise PbxError(f"expected {argv[0]} to start, it did not: {started[0]}")
        self._process = started[0]
        self.pid: int = self._process.pid

    @property
    def alive(self) -> bool:
        """False when Asterisk has ended, by us or by itself."""
        return not self._ended.is_set()

    @property
    def ended_as_asked(self) -> bool:
        """True when Asterisk ended because somebody told it to on its console, rather than by dying."""
        return not self.alive and self._process.returncode == 0

    def stop(self) -> None:
        """End Asterisk: politely, and after STOP_MAX_S by force. Calls are hung up. Twice is fine."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if not self.alive:
                break
            with suppress(ProcessLookupError):
                os.killpg(self.pid, sign)
            self._ended.wait(STOP_MAX_S)

    def __enter__(self) -> "Running":
        """Nothing more to do: it runs."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def _live(self, argv: list[str], started: list[subprocess.Popen[bytes] | OSError], ready: threading.Event) -> None:
        launch = [sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid()), *argv]
        try:
            with (self.plan.home / "log" / "boot.log").open("wb") as log:
                process = subprocess.Popen(launch, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0)
        except OSError as problem:
            started.append(problem)
        else:
            started.append(process)
            ready.set()
            process.wait()
        finally:
            self._ended.set()
            ready.set()


@dataclass(frozen=True)
class _Installation:
    """Where the program, its modules and its data are."""

    argv: list[str]
    modules: Path
    share: Path


def _installation(plan: Pbx) -> _Installation:
    argv = debs.find("asterisk", plan.tools)
    above = plan.tools if len(argv) > 1 else Path("/")  # a bare path is the machine's own Asterisk
    library = debs.LOADERS.get(os.uname().machine, ("", ""))[1]
    return _Installation(
        argv,
        modules=_first([above / place.format(library).lstrip("/") for place in MODULES], "app_stasis.so"),
        share=_first([above / place.lstrip("/") for place in SHARES], "documentation"),
    )


def _first(folders: list[Path], holding: str) -> Path:
    for folder in folders:
        if (folder / holding).exists():
            return folder
    raise PbxError(f"expected {holding} in one of {', '.join(map(str, folders))}, it is in none")


def _values(plan: Pbx, known: Secrets) -> dict[str, object]:
    """Everything the templates ask for."""
    found = _installation(plan)
    turkish = plan.region.upper() == "TR"
    numbers = {name: getattr(plan, name) for name in NUMBERS}
    return numbers | {
        "etc": plan.conf.parent,
        "home": plan.home,
        "run": run_dir(plan),
        "modules_dir": found.modules,
        "share_dir": found.share,
        "modules": {module.stem for module in found.modules.glob("*.so")},
        "files_max": min(FILES_MAX, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        "entity_id": _entity_id(plan),
        "host": plan.host,
        "control_host": plan.control_host,
        "control_permit": plan.control_permit,
        "agi_host": plan.agi_host,
        "external_address": plan.external_address,
        "system_name": plan.system_name,
        "media_address": "" if plan.host in ("0.0.0.0", "::") else plan.host,
        "trunk_matches": plan.carriers,
        "trunk_contact": plan.trunk_contact,
        "phones": plan.phones,
        "phone_passwords": known.phones,
        "queues": plan.queues,
        "default_queue": plan.default_queue,
        "prompts_dir": plan.prompts,
        "hold_dir": plan.prompts / "hold",
        "recordings_dir": plan.recordings,
        "tone_country": "tr" if turkish else "us",
        "language": "tr" if turkish else "en",
        "announcements": ["tr", "en"] if turkish else ["en"],
        "ari_user": known.user,
        "ari_password": known.ari,
        "ami_user": known.user,
        "ami_password": known.ami,
        "ami_events": sorted(TELLERS),
    }


def _entity_id(plan: Pbx) -> str:
    """Six bytes that name this Asterisk among others, like a network card's address but locally made."""
    digest = hashlib.sha256(os.fsencode(plan.home)).digest()
    return ":".join(f"{byte:02x}" for byte in bytes([digest[0] & 0xFC | 0x02]) + digest[1:6])


def _make_prompts(plan: Pbx) -> None:
    """Put a chime and plain announcements where there are none yet; never overwrite better ones."""
    plan.prompts.mkdir(parents=True, exist_ok=True)
    held = plan.prompts / "hold"
    held.mkdir(exist_ok=True)
    if not any(held.iterdir()):
        placeholders.save(held / "chime.wav", placeholders.chime())
    speaker: list[str] = []
    with suppress(debs.DebsError):
        speaker = debs.find("espeak-ng", plan.tools)
    for name, words in SAID_IN_FALLBACK.items():
        if not (plan.prompts / f"{name}.wav").exists():
            placeholders.save(plan.prompts / f"{name}.wav", placeholders.spoken(speaker, name[-2:], words))


def _write_private(path: Path, text: str) -> None:
    """Replace the file at once, readable by us alone from its first byte."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def _refuse_taken_ports(plan: Pbx) -> None:
    """Asterisk itself only logs a taken port and goes on deaf."""
    tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM
    wanted = ((plan.host, plan.sip_port, udp), (plan.control_host, plan.http_port, tcp))
    for host, port, kind in (*wanted, (plan.control_host, plan.ami_port, tcp)):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, kind) as probe:
            if kind == tcp:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as problem:
                raise PbxError(f"expected {host}:{port} to be free for Asterisk: {problem}") from problem


def _wait_booted(running: Running) -> None:
    known = keep_secrets(running.plan)
    until = time.monotonic() + BOOT_MAX_S
    while time.monotonic() < until:
        if not running.alive:
            raise PbxError(f"expected Asterisk to boot, it ended. Its last words:\n{_last_words(running.plan)}")
        if _pings(running.plan, known):
            return
        time.sleep(BOOT_POLL_S)
    raise PbxError(f"expected Asterisk to boot within {BOOT_MAX_S} s. Its last words:\n{_last_words(running.plan)}")


def _pings(plan: Pbx, known: Secrets) -> bool:
    """ARI answers 503 until Asterisk is fully booted, and nobody answers before."""
    token = base64.b64encode(f"{known.user}:{known.ari}".encode()).decode()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(plan.control_host, plan.control_host)
    connection = http.client.HTTPConnection(host, plan.http_port, timeout=1)
    try:
        connection.request("GET", "/ari/asterisk/ping", headers={"Authorization": f"Basic {token}"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _last_words(plan: Pbx) -> str:
    logs = [plan.home / "log" / name for name in ("boot.log", "messages")]
    return "\n".join(log.read_text(errors="replace")[-LOG_TAIL_CHARS:] for log in logs if log.exists())
