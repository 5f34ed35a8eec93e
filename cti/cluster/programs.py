"""Programs of the cluster: the machine's own, or fetched from the machine's own Debian suite into a folder beside the tools."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cti.asterisk import debs

Say = Callable[[str], None]

ADMIN_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  # not everybody's PATH has them


@dataclass(frozen=True)
class Program:
    """A program and what it needs around it to run."""

    path: Path
    environment: Mapping[str, str]


def find(name: str, *, package: str, root: Path, say: Say) -> Program:
    """The program `name`: on this machine, or out of Debian's `package`, fetched into `root`.

    Raises debs.DebsError when there is none and none can be fetched.
    """
    own = shutil.which(name) or shutil.which(name, path=ADMIN_FOLDERS)
    if own:
        return Program(Path(own), environment(None))
    root = debs.get([package], suite=debs.own_suite(), root=root, say=say)
    for folder in ("usr/bin", "usr/sbin"):
        if (root / folder / name).is_file():
            return Program(root / folder / name, environment(root))
    raise debs.DebsError(f"expected {name} in {root}/usr/bin or usr/sbin, it is in neither")


def environment(root: Path | None) -> dict[str, str]:
    """What a program needs: nothing of ours. Out of a fetched folder (`root`) it finds the libraries that came with it; the C library
    is the machine's."""
    libraries = [str(path) for path in root.glob("usr/lib/*-linux-gnu")] if root else []
    path = {"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {}
    return {"PATH": os.defpath, "LC_ALL": "C", **path}


def as_user(user: int | None) -> dict[str, Any]:
    """For subprocess: run as this user and group, in no other group; None: as ourselves."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}
