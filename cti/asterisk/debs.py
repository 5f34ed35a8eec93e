"""Debian packages unpacked into a folder of ours: no root, the machine's own apt and dpkg untouched.

Asterisk 22, sipp and espeak-ng come from a newer Debian than the machine's and run through the loader that came with
them; Chromium comes from the machine's own suite and runs on the machine's own libc. Nothing is installed: no
maintainer script runs. The archive's address is the one the machine's apt already uses; none is written down here.
"""

import fcntl
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
STAMP = ".santral-packages"
ASTERISK_MIN = (22, 10)  # the first 22 with StasisBroadcast
DOWNLOAD_TIMEOUT_S = 900
UNPACK_TIMEOUT_S = 120
UNTRANSLATED = ("env", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")  # we read what apt says
SAY_EVERY_PACKAGES = 20
NOT_NEEDED = (  # 90 MB of text and interpreters that neither Asterisk, sipp, espeak-ng nor Chromium open
    *("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian"),
    *("usr/share/perl", "usr/share/perl5", "usr/lib/*/perl", "usr/lib/*/perl-base", "usr/lib/python3*"),
)
MERGED = (
    "bin",
    "sbin",
    "lib",
    "lib64",
)  # Debian's top-level links into usr/, made by base-files, which we do not fetch
TELEPHONY = ("asterisk", "asterisk-core-sounds-en-gsm", "sip-tester", "espeak-ng")
TELEPHONY_SUITE = "forky"  # the first Debian suite with Asterisk 22.10
BROWSER = ("chromium", "fonts-dejavu-core", "fontconfig-config")
LOADERS = {
    "x86_64": ("lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu"),
    "aarch64": ("lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu"),
}

Say = Callable[[str], None]


class DebsError(Exception):
    """Packages could not be fetched, unpacked or found; the text says what was expected and what came."""


def get(packages: Iterable[str], *, suite: str, root: Path, say: Say) -> Path:
    """Make `root` hold `packages` of Debian `suite` with all they need; return `root`, absolute.

    Doing it again costs nothing: the stamp in `root` names what is there. Packages that an earlier call put there
    stay. The new content is unpacked beside `root` and renamed into place, so a broken download leaves `root` as it
    was. `say` gets a line of progress now and then. Raises DebsError.
    """
    root = root.absolute()
    root.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(root.with_name(f".{root.name}.lock")):
        have = stamped(root, suite)
        wanted = have | set(packages)
        if have != wanted or not have:
            _build(sorted(wanted), suite, root, say)
    return root


def telephony(root: Path, say: Say) -> Path:
    """Asterisk with its English sounds, sipp and espeak-ng in `root`; return `root`. Raises DebsError."""
    return get(TELEPHONY, suite=TELEPHONY_SUITE, root=root, say=say)


def browser(root: Path, say: Say) -> Path:
    """Chromium of the machine's own suite in `root`; return the wrapper that starts it. Raises DebsError."""
    return chromium(get(BROWSER, suite=own_suite(), root=root, say=say))


def find(program: str, root: Path) -> list[str]:
    """The argv prefix that runs `program`: the machine's own when it will do, else the one in `root`.

    A machine's Asterisk will do from version 22.10 on. Raises DebsError when neither is there.
    """
    own = shutil.which(program)
    if own and (program != "asterisk" or _is_new_enough(own)):
        return [own]
    return command(root, program)


def command(root: Path, program: str) -> list[str]:
    """The argv prefix that runs `program` out of `root` through the loader it came with. Raises DebsError."""
    binary = _binary(root, program)
    loader, library = LOADERS.get(platform.machine(), ("", ""))
    if not loader:
        raise DebsError(f"expected a machine of type {' or '.join(LOADERS)}, this one is {platform.machine()}")
    libraries = root / "usr/lib" / library
    path = os.pathsep.join(str(folder) for folder in (libraries, libraries / "pulseaudio", root / "usr/lib"))
    return [str(root / loader), "--library-path", path, str(binary), *_own_data(root, program)]


def chromium(root: Path) -> Path:
    """Write (again) and return the executable script that starts Chromium out of `root` on the machine's own libc.

    It takes Chromium's own arguments, so it can be Playwright's `executable_path`. Raises DebsError.
    """
    program = root / "usr/lib/chromium/chromium"
    if not program.is_file():
        raise DebsError(f"expected Chromium at {program}, it is not there: fetch it first")
    fonts = root / "fonts.conf"
    fonts.write_text(fonts_conf(root), encoding="utf-8")
    script = root / "chromium.sh"
    script.write_text(chromium_script(root, fonts), encoding="utf-8")
    script.chmod(0o755)
    return script


# --- texts, decided without touching the machine ---


def archive_address(indextargets: str, sources: str = "") -> str:
    """The Debian archive's address, out of what `apt-get indextargets` printed (`origin|address|codename` lines).

    `sources` is the text of the machine's sources.list files, of either format, for a machine whose lists were never
    updated. Security and other archives are passed over. Raises DebsError when no Debian archive is named.
    """
    for line in indextargets.splitlines():
        origin, _, rest = line.partition("|")
        address = rest.partition("|")[0]
        if origin == "Debian" and _is_main_archive(address):
            return address.rstrip("/")
    found: list[str] = re.findall(r"^(?:deb\s+(?:\[[^\]]*\]\s+)?|URIs:\s*)(\S+)", sources, re.MULTILINE)
    for address in found:
        if _is_main_archive(address):
            return address.rstrip("/")
    raise DebsError("expected a Debian archive in this machine's apt sources, found none: is this machine a Debian?")


def source_line(address: str, suite: str) -> str:
    """The one line of our own sources.list.

    `check-valid-until=no`: a frozen mirror's index may be older than its promise; its signature is still checked.
    """
    return f"deb [signed-by={KEYRING} check-valid-until=no] {address} {suite} main\n"


def apt_conf(state: Path) -> str:
    """An apt configuration that keeps everything it reads and writes in `state` and calls none of the host's hooks."""
    return f"""\
Dir::State "{state}/state";
Dir::State::lists "{state}/state/lists";
Dir::State::status "{state}/status";
Dir::State::extended_states "{state}/extended_states";
Dir::Cache "{state}/cache";
Dir::Cache::archives "{state}/cache/archives";
Dir::Etc::sourcelist "{state}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Log "{state}";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Periodic;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
"""


def fonts_conf(root: Path) -> str:
    """A fontconfig file that knows the fonts in `root` and the machine's own."""
    return f"""\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir>{root}/usr/share/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>{root}/var/cache/fontconfig</cachedir>
</fontconfig>
"""


def chromium_script(root: Path, fonts: Path) -> str:
    """The shell script that starts Chromium; libraries of `root` first, libc from the machine."""
    lib = root / "usr/lib" / LOADERS.get(platform.machine(), ("", f"{platform.machine()}-linux-gnu"))[1]
    return f"""\
#!/bin/sh
export LD_LIBRARY_PATH='{lib}:{lib}/pulseaudio:{root}/usr/lib/chromium'
export FONTCONFIG_FILE='{fonts}'
export XDG_DATA_DIRS='{root}/usr/share:/usr/share'
exec '{root}/usr/lib/chromium/chromium' "$@"
"""


def stamped(root: Path, suite: str) -> set[str]:
    """The packages somebody asked for that `root` holds; empty when there is none or it is of another suite."""
    try:
        first, *packages = (root / STAMP).read_text(encoding="utf-8").split()
    except (FileNotFoundError, ValueError):
        return set()
    return set(packages) if first == suite else set()


def version_of(text: str) -> tuple[int, int]:
    """Major and minor out of "Asterisk 22.10.1~dfsg…"; (0, 0) when there is no such number."""
    found = re.search(r"Asterisk (?:certified[-/])?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def own_suite(os_release: str | None = None) -> str:
    """This machine's Debian suite, e.g. "bookworm". Raises DebsError on another kind of machine."""
    text = Path("/etc/os-release").read_text(encoding="utf-8") if os_release is None else os_release
    values: dict[str, str] = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    if values.get("ID") != "debian" or not values.get("VERSION_CODENAME"):
        raise DebsError(f"expected a Debian machine with a code name, /etc/os-release says {values.get('ID', '?')!r}")
    return values["VERSION_CODENAME"]


# --- the acts ---


def _build(packages: Sequence[str], suite: str, root: Path, say: Say) -> None:
    """Fetch and unpack beside `root`, then put the result in its place."""
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-") as temporary:
        work = Path(temporary)
        archives = _download(packages, suite, work / "apt", say)
        fresh = work / "root"
        _unpack(archives, fresh, say, skip=_borrowed(suite))
        _tidy(fresh)
        (fresh / STAMP).write_text("\n".join([suite, *packages]) + "\n", encoding="utf-8")
        if root.exists():
            root.rename(work / "old")
        fresh.rename(root)
    say(f"{root.name}: {' '.join(packages)} ready in {root}")


def _download(packages: Sequence[str], suite: str, state: Path, say: Say) -> list[Path]:
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    (state / "sources.list").write_text(source_line(_address(), suite), encoding="utf-8")
    (state / "apt.conf").write_text(apt_conf(state), encoding="utf-8")
    say(f"reading the package index of {suite}")
    _apt(["update"], state, say, f"the package index of {suite}")
    _apt(["--yes", "--download-only", "install", *packages], state, say, " ".join(packages))
    archives = sorted((state / "cache/archives").glob("*.deb"))
    if not archives:
        raise DebsError(f"expected packages for {' '.join(packages)}, apt-get downloaded none")
    return archives


def _apt(arguments: Sequence[str], state: Path, say: Say, what: str) -> None:
    """Run apt-get on our own state, saying now and then how far it is. Raises DebsError with apt's own words."""
    argv = [*UNTRANSLATED, "apt-get", "-c", str(state / "apt.conf"), *arguments]
    # A file, not a pipe, takes the errors: nobody has to read two streams at once.
    with (state / "errors").open("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        try:
            with process.stdout:
                _count(process.stdout, say)
            code = process.wait(timeout=DOWNLOAD_TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        said = errors.read().strip()
    # `update` reports an unreachable index as a warning and exit code 0.
    if code != 0 or "Failed to fetch" in said:
        raise DebsError(f"expected apt-get to fetch {what}, it said (exit code {code}): {said[-1500:] or 'nothing'}")


def _count(lines: Iterable[str], say: Say) -> None:
    fetched = 0
    for line in lines:
        if line.startswith("Need to get"):
            say(line.strip())
        if line.startswith("Get:"):
            fetched += 1
            if fetched % SAY_EVERY_PACKAGES == 0:
                say(f"fetched {fetched} packages")


def _unpack(archives: Sequence[Path], into: Path, say: Say, skip: frozenset[str]) -> None:
    for name in MERGED:
        (into / "usr" / name).mkdir(parents=True)
        (into / name).symlink_to(f"usr/{name}")
    for number, archive in enumerate(archives, 1):
        if archive.name.partition("_")[0] in skip:
            continue
        argv = ["dpkg-deb", "-x", str(archive), str(into)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=UNPACK_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise DebsError(f"expected {archive.name} to unpack, dpkg-deb said: {done.stderr.strip()[-500:]}")
        if number % (2 * SAY_EVERY_PACKAGES) == 0 or number == len(archives):
            say(f"unpacked {number} of {len(archives)} packages")


def _tidy(root: Path) -> None:
    """Drop what nobody reads, and make the links that a maintainer script would have made."""
    for pattern in NOT_NEEDED:
        for folder in root.glob(pattern):
            shutil.rmtree(folder)
    for name in MERGED:  # a package that ships e.g. lib/ as a folder replaces our link: fold it back in
        if not (root / name).is_symlink():
            shutil.copytree(root / name, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(root / name)
            (root / name).symlink_to(f"usr/{name}")
    english = root / "usr/share/asterisk/sounds"
    if (english / "en_US_f_Allison").is_dir() and not (english / "en").exists():
        (english / "en").symlink_to("en_US_f_Allison")  # else digits and prompts are silent


def _borrowed(suite: str) -> frozenset[str]:
    """Packages not unpacked: a root of the machine's own suite runs on the machine's own libc and loader."""
    try:
        return frozenset({"libc6"}) if suite == own_suite() else frozenset()
    except DebsError:
        return frozenset()


def _address() -> str:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise DebsError("expected apt-get and dpkg-deb on this machine, found none: install the programs yourself")
    if not KEYRING.is_file():
        raise DebsError(f"expected Debian's archive keyring at {KEYRING}, it is not there")
    asked = [*UNTRANSLATED, "apt-get", "indextargets", "--format", "$(ORIGIN)|$(REPO_URI)|$(CODENAME)"]
    listed = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    return archive_address(listed.stdout, _sources())


def _sources() -> str:
    apt = Path("/etc/apt")
    files = [
        apt / "sources.list",
        *sorted(apt.glob("sources.list.d/*.list")),
        *sorted(apt.glob("sources.list.d/*.sources")),
    ]
    return "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file())


def _is_main_archive(address: str) -> bool:
    return re.search(r"/debian/?$", address) is not None


def _is_new_enough(asterisk: str) -> bool:
    try:
        said = subprocess.run([asterisk, "-V"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return version_of(said) >= ASTERISK_MIN


def _binary(root: Path, program: str) -> Path:
    for folder in ("usr/bin", "usr/sbin", "usr/games"):
        if (root / folder / program).is_file():
            return root / folder / program
    raise DebsError(f"expected {program} on PATH or in {root}, it is in neither: run the fetch first")


def _own_data(root: Path, program: str) -> list[str]:
    """Arguments that tell a program where its data is when it is not under /usr."""
    if program != "espeak-ng":
        return []
    found = sorted(root.glob("usr/lib/*/espeak-ng-data")) + sorted(root.glob("usr/share/espeak-ng-data"))
    return [f"--path={found[0]}"] if found else []


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Hold the lock file; a second process waits here and then finds the work done."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
