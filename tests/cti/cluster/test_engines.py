"""A program that runs beside us: killed, paused, started again, and gone in every case. The programs here are small, and real."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cti.cluster import ports, programs
from cti.cluster.engines import Command, Engine, NotStarted

SECOND_S = 1.0
GONE_MAX_S = 10.0
# Answers everybody with its parent's number, and has a child of its own.
PROGRAM = """
import os, signal, socketserver, subprocess, sys
child = subprocess.Popen(["sleep", "1000"])
class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(f"{child.pid}".encode())
def end(*_):
    print("ended orderly", flush=True)
    child.kill()
    os._exit(0)
if sys.argv[2:] == ["stubborn"]:
    end = signal.SIG_IGN
signal.signal(signal.SIGTERM, end)
socketserver.TCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
# Starts programs, pauses the second, says their numbers and those of their children, and waits to be killed.
PARENT = """
import signal, sys
from pathlib import Path
from tests.cti.cluster.test_engines import Program
engines = [Program(Path(sys.argv[1]), each) for each in ("", "", "stubborn")]
for each in engines:
    each.begin()
print(*(f"{each.pid} {each.heard()}" for each in engines), flush=True)
engines[1].pause()
print("paused", flush=True)
signal.pause()
"""


class Program(Engine):
    """PROGRAM on a port of its own."""

    def __init__(self, folder: Path, how: str = "", *, end_max_s: float = SECOND_S) -> None:
        (self.port,) = ports.free(1)
        argv = [sys.executable, "-c", PROGRAM, str(self.port), *([how] if how else [])]
        command = Command(argv, programs.environment(None), end_max_s=end_max_s)
        super().__init__("the program", command, log=folder / f"{self.port}.log", answers=lambda: self.heard() != "")

    def heard(self, within_s: float = SECOND_S) -> str:
        """What it says: the number of its child; empty: nothing."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), within_s) as connection:
                return connection.recv(100).decode()
        except OSError:
            return ""


def wait_until_gone(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    watching = select.poll()
    watching.register(handle, select.POLLIN)
    gone = watching.poll(GONE_MAX_S * 1000)
    os.close(handle)
    assert gone, f"expected process {pid} to end within {GONE_MAX_S:g} s"


@pytest_asyncio.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    made = Program(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_it_answers_when_start_returns_and_starting_twice_changes_nothing(program: Program):
    assert program.alive
    assert program.heard()
    before = program.pid
    await program.start()
    assert program.pid == before


async def test_stopped_it_ends_orderly_with_what_it_started_and_can_start_again(program: Program):
    before, child = program.pid, int(program.heard())
    await program.stop()
    await program.stop()
    assert not program.alive
    wait_until_gone(child)
    assert program.log.read_text() == "ended orderly\n"
    await program.start()
    assert program.heard()
    assert program.pid != before


async def test_killed_it_is_gone_at_once_with_what_it_started_and_can_start_again(program: Program):
    child = int(program.heard())
    program.kill()
    assert not program.alive
    wait_until_gone(child)
    assert program.log.read_text() == ""
    await program.start()
    assert program.heard()


async def test_paused_it_takes_connections_and_says_nothing_until_it_is_resumed(program: Program):
    program.pause()
    assert program.alive
    assert program.heard(within_s=0.2) == ""
    program.resume()
    assert program.heard()


async def test_paused_it_can_be_stopped(program: Program):
    child = int(program.heard())
    program.pause()
    await program.stop()
    assert not program.alive
    wait_until_gone(child)


async def test_one_that_does_not_end_when_asked_is_ended_by_force(tmp_path: Path):
    stubborn = Program(tmp_path, "stubborn", end_max_s=0.2)
    await stubborn.start()
    child = int(stubborn.heard())
    await stubborn.stop()
    assert not stubborn.alive
    wait_until_gone(child)


async def test_killing_or_pausing_what_does_not_run_does_nothing(tmp_path: Path):
    never = Program(tmp_path)
    never.kill()
    never.pause()
    assert not never.alive
    await never.stop()


async def test_one_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path):
    command = Command(["sh", "-c", "echo no such thing >&2; exit 3"], programs.environment(None))
    broken = Engine("the broken one", command, log=tmp_path / "log", answers=lambda: False)
    with pytest.raises(NotStarted, match=r"expected the broken one .* it ended.*\n.*no such thing"):
        await broken.start()
    assert not broken.alive


def test_however_we_end_no_program_stays(tmp_path: Path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(each) for each in parent.stdout.readline().split()]
        assert parent.stdout.readline() == "paused\n"
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert len(pids) == 6
    for pid in pids:
        wait_until_gone(pid)


def test_free_ports_are_different_and_outside_the_kernels_range():
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    found = ports.free(20)
    assert len(set(found)) == 20
    assert not [port for port in found if first <= port <= last]


def test_a_taken_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"expected 127.0.0.1:{port} to be free"):
            ports.refuse_taken(("127.0.0.1", port))


def test_a_program_of_the_machine_is_taken_as_it_is(tmp_path: Path):
    found = programs.find("sh", package="dash", root=tmp_path / "none", say=print)
    assert str(found.path) == shutil.which("sh")
    assert "LD_LIBRARY_PATH" not in found.environment
