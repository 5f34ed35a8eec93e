"""What a process has used, read from /proc (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Processor time of all its threads and of its children that have ended, in user and kernel mode."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return sum(map(int, after_name[11:15])) * TICK_S  # fields 14 to 17 of proc(5): utime stime cutime cstime


def rss_mb(pid: int) -> float:
    """Resident memory, in units of 1,000,000 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"expected VmRSS in the status of process {pid}, there is none")
