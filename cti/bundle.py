"""Bundles the islands, the small browser components, of every room: `python -m cti.bundle`, and the wheel's build hook.

Each file that stands directly in `<room>/islands/` (`pop.tsx`, `pop.css`; not `_shared.ts`) becomes
`<room>/static/dist/pop-<hash>.js`, and `manifest.json` beside it says which: {"pop.js": "pop-4F2A.js"}.
`socket.worker.ts` becomes a script that stands alone, as workers must. A room also gets its copy of htmx.
Nothing happens when no source has changed. It runs before the package is installed, so it imports none of it.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

ROOMS = ("ivr", "screenpop", "recordings")
HTMX = Path("node_modules/htmx.org/dist/htmx.min.js")
ENTRY_SUFFIXES = {".ts": ".js", ".tsx": ".js", ".css": ".css"}
ESBUILD_WAIT_S = 120
TARGET = "es2022"


class CannotBundle(Exception):
    """What is missing or wrong, and what to do about it."""


class Built(NamedTuple):
    room: str
    files: dict[str, str]
    fresh: bool  # False: nothing had changed


def bundle(root: Path, *, force: bool = False) -> list[Built]:
    rooms = [room for room in ROOMS if (root / room / "islands").is_dir() or (root / room / "templates").is_dir()]
    if not rooms:
        return []
    mark = fingerprint(root)
    return [build(root, room, mark, force=force) for room in rooms]


def build(root: Path, room: str, mark: str, *, force: bool) -> Built:
    dist = root / room / "static" / "dist"
    manifest_file, mark_file = dist / "manifest.json", dist / ".sources"
    if not force and manifest_file.is_file() and mark_file.is_file() and mark_file.read_text() == mark:
        return Built(room, json.loads(manifest_file.read_text()), fresh=False)
    entries = entries_of(root / room / "islands")
    workers = [entry for entry in entries if entry.stem.endswith(".worker")]
    pages = [entry for entry in entries if entry not in workers]
    dist.mkdir(parents=True, exist_ok=True)
    files = {"htmx.min.js": copy_htmx(root, dist)}
    made = {files["htmx.min.js"]}
    for some, options in ((pages, ["--format=esm", "--splitting"]), (workers, ["--format=iife"])):
        outputs = esbuild(root, dist, some, options) if some else {}
        made |= {Path(path).name for path in outputs}
        files |= named(outputs)
    # The hashed files are there first, the manifest that names them second, the old ones go last:
    # a page that is being served meanwhile finds everything it asks for.
    replace(manifest_file, json.dumps(files, indent=2, sort_keys=True) + "\n")
    replace(mark_file, mark)
    for old in dist.iterdir():
        if old.name not in made | {manifest_file.name, mark_file.name}:
            old.unlink(missing_ok=True)
    return Built(room, files, fresh=True)


def entries_of(islands: Path) -> list[Path]:
    if not islands.is_dir():
        return []
    entries = [
        path
        for path in sorted(islands.iterdir())
        if path.suffix in ENTRY_SUFFIXES and not path.name.startswith("_") and not path.name.endswith(".d.ts")
    ]
    names = [asset_name(entry) for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CannotBundle(f"{islands}: two files would both become {', '.join(twice)}")
    return entries


def asset_name(entry: Path) -> str:
    return entry.stem + ENTRY_SUFFIXES[entry.suffix]


def named(outputs: dict[str, dict[str, Any]]) -> dict[str, str]:
    """From esbuild's metafile: which entry became which file. CSS that an island imports is called like the island."""
    files: dict[str, str] = {}
    for path, output in outputs.items():
        if "entryPoint" in output:
            entry = Path(output["entryPoint"])
            files[asset_name(entry)] = Path(path).name
            if "cssBundle" in output:
                files[entry.stem + ".css"] = Path(output["cssBundle"]).name
    return files


def esbuild(root: Path, dist: Path, entries: list[Path], options: list[str]) -> dict[str, dict[str, Any]]:
    """Runs esbuild's own binary, so that bundling needs no Node; returns what it wrote."""
    with tempfile.TemporaryDirectory() as scratch:
        meta = Path(scratch) / "meta.json"
        command = [
            str(esbuild_binary(root)),
            *(str(entry.relative_to(root)) for entry in entries),
            *options,
            "--bundle",
            "--minify",
            "--charset=utf8",
            f"--target={TARGET}",
            "--entry-names=[name]-[hash]",
            "--chunk-names=chunk-[hash]",
            "--asset-names=[name]-[hash]",
            "--loader:.svg=file",
            "--loader:.woff2=file",
            "--define:process.env.NODE_ENV=\"production\"",
            "--log-level=warning",
            f"--outdir={dist.relative_to(root)}",
            f"--metafile={meta}",
        ]  # fmt: skip
        done = subprocess.run(
            command,
            cwd=root,
            capture_output=True,
            text=True,
            timeout=ESBUILD_WAIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode or done.stderr.strip():
            # A warning (a duplicate key, a missing import) is a mistake too, and cheaper here than in a browser.
            raise CannotBundle(f"esbuild refused {dist.parent.parent.name}/islands:\n{done.stderr.strip()}")
        outputs: dict[str, dict[str, Any]] = json.loads(meta.read_text())["outputs"]
        return outputs


def esbuild_binary(root: Path) -> Path:
    # npm installs the one package that fits this machine; its binary is run as it is, no install script needed.
    found = sorted(root.glob("node_modules/@esbuild/*/bin/esbuild"))
    if not found:
        raise CannotBundle("esbuild is not there: `npm ci --ignore-scripts` (or any `make` target) brings it")
    return found[0]


def copy_htmx(root: Path, dist: Path) -> str:
    source = root / HTMX
    if not source.is_file():
        raise CannotBundle("htmx is not there: `npm ci --ignore-scripts` (or any `make` target) brings it")
    content = source.read_bytes()
    name = f"htmx.min-{hashlib.sha256(content).hexdigest()[:8].upper()}.js"
    (dist / name).write_bytes(content)
    return name


def fingerprint(root: Path) -> str:
    """One mark over everything that decides what comes out."""
    total = hashlib.sha256()
    for path in sources(root):
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()


def sources(root: Path) -> Iterable[Path]:
    yield from (root / "package-lock.json", root / "tsconfig.json", root / "cti" / "bundle.py")
    for room in ROOMS:
        yield from sorted((root / room / "islands").rglob("*"))


def replace(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)


def get_build_hook() -> type:
    """hatchling asks for this by name while it builds a wheel. An editable install is bundled by make instead."""
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class BundleIslands(BuildHookInterface):  # type: ignore[type-arg]
        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            root = Path(self.root)
            manifests = [
                root / room / "static/dist/manifest.json" for room in ROOMS if (root / room / "islands").is_dir()
            ]
            if version != "editable" and ((root / "node_modules").is_dir() or not all(m.is_file() for m in manifests)):
                bundle(root)

    return BundleIslands


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cti.bundle", description="Bundle the islands of every room.")
    parser.add_argument("--force", action="store_true", help="bundle even if no source has changed")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="the checkout")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        built = bundle(options.root.resolve(), force=options.force)
    except CannotBundle as trouble:
        print(f"bundle: {trouble}", file=sys.stderr)
        return 1
    for room in built:
        size_kb = (
            sum((options.root / room.room / "static/dist" / name).stat().st_size for name in room.files.values()) / 1024
        )
        print(f"bundle: {room.room}: {len(room.files)} files, {size_kb:.0f} KB" + ("" if room.fresh else ", unchanged"))
    if any(room.fresh for room in built):
        print(f"bundle: done in {time.perf_counter() - started:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
