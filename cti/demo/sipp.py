"""One SIPp process: started quietly, heard while it runs, never left behind.

Scenarios speak to us through `<log message="santral WORD VALUE"/>`; those lines and SIPp's own complaints come on its
standard error. A complaint goes into the log file in the folder that was given; nothing goes to the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

SCENARIOS = Path(__file__).with_name("scenarios")
SAID = "santral "
ENDED = "ended"  # the word that is heard last, when the process is over
LINE_MAX_BYTES = 1 << 20  # a complaint quotes a whole SIP message
LOG_MAX_BYTES = 4 << 20
STOP_MAX_S = 3.0
PORTS_TRIED_MAX = 500
# In SIPp's place first: asks the kernel to end it with the thread that started it, then becomes SIPp.
LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the starting process is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""

Hear = Callable[[str, str], None]


@dataclass(frozen=True)
class Address:
    """Host and UDP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


_given: deque[int] = deque(maxlen=100)  # SIPp needs some 30 ms until it has its port: two calls at once want two


def free_port(host: str, first: int = 0) -> int:
    """An even UDP port of `host` that nobody has at this moment and that was not given out here a moment ago: from `first`
    on, or any when that is 0. OSError when PORTS_TRIED_MAX are taken."""
    for each in range(PORTS_TRIED_MAX):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, first + 2 * each if first else 0))
            port = int(probe.getsockname()[1])
            if port not in _given and (first or port % 2 == 0):
                _given.append(port)
                return port
    raise OSError(errno.EADDRINUSE, f"expected a free UDP port of {host} from {first} on, {PORTS_TRIED_MAX} are taken")


def scenario(name: str, out_dir: Path, as_name: str = "", /, **values: object) -> Path:
    """The shipped scenario; with values, a copy in `out_dir` in which they stand for their $names (our own numbers and
    paths only: texts of others go through `-key`)."""
    shipped = SCENARIOS / f"{name}.xml"
    if not values:
        return shipped
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / f"{as_name or name}.xml"
    path.write_text(Template(shipped.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
    return path


def keywords(values: Mapping[str, str | bytes]) -> list[str | bytes]:
    """`-key` arguments: SIPp sends the values byte for byte, so they may be hostile."""
    return [part for name, value in values.items() for part in ("-key", name, value)]


class Sipp:
    """A running SIPp. `hear(word, value)` is called on the loop for everything the scenario says, and with
    ENDED when it is over."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        said: asyncio.StreamReader,
        pipe: asyncio.ReadTransport,
        log: Path,
        hear: Hear,
    ) -> None:
        self._process = process
        self._said = said
        self._pipe = pipe
        self._log = log
        self._hear = hear
        self.complaints = ""  # the last ones
        self.alive = True
        self._listening = asyncio.create_task(self._listen(), name=f"sipp-{process.pid}")

    @classmethod
    async def start(
        cls, sipp: Sequence[str], target: Address, arguments: Sequence[str | bytes], *, log: Path, hear: Hear
    ) -> Sipp:
        """Start it. It ends with this thread at the latest, however that ends. A program that is not there is a complaint
        and an early end."""
        log.parent.mkdir(parents=True, exist_ok=True)
        argv = [*sipp, str(target), *arguments, "-nostdin", "-trace_logs", "-log_file", "/dev/stderr", "-f", "3600"]
        # A pipe of our own: uvloop would give it a socket, which /dev/stderr cannot open a second time.
        said, into = os.pipe()
        reader = asyncio.StreamReader(limit=LINE_MAX_BYTES)
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(said, "rb", buffering=0)
        )
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid()), *argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,  # its screen, painted again and again
                stderr=into,
                cwd=log.parent,
                env={"PATH": os.defpath, "TERM": "dumb"},
            )
        except BaseException:
            pipe.close()
            raise
        finally:
            os.close(into)
        return cls(process, reader, pipe, log, hear)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        """Its exit code; everything it said has been heard."""
        await self._listening
        return await self._process.wait()

    async def stop(self) -> None:
        """End it now. Calls that it has are not hung up: do that first. Twice is fine."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(STOP_MAX_S):
            await self.wait()

    async def _listen(self) -> None:
        with self._log.open("ab") as log:
            while line := await self._said.readline():
                text = line.decode(errors="replace").strip()
                if text.startswith(SAID):
                    word, _, value = text.removeprefix(SAID).partition(" ")
                    self._hear(word, value.strip())
                elif text:
                    self.complaints = f"{self.complaints}\n{text}"[-4000:].strip()
                    if log.tell() < LOG_MAX_BYTES:
                        log.write(line)
                        log.flush()
        self._pipe.close()
        self.alive = False
        self._hear(ENDED, "")
