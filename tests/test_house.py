"""The house's rules that a machine can check: what lies where, who imports whom, and what may never be written down."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("cti", "ivr", "screenpop", "recordings")
LINES_MAX = 400

TOP_LEVEL = {
    # fixed by the product's owner
    "cti", "ivr", "screenpop", "recordings", "tests", "asterisk_conf", "docker-compose.yml", "README.md",
    # what tools and readers expect beside it
    "docs", "benchmarks", "LICENSE", "THIRD_PARTY.md", "Makefile", "Dockerfile", ".dockerignore", ".ci", ".gitignore",
    ".gitattributes", ".npmrc", "pyproject.toml", "package.json", "package-lock.json", "tsconfig.json",
    "requirements.lock", "requirements-dev.lock", "requirements-build.lock", "requirements-node.lock", "requirements-dedup.lock",
}  # fmt: skip

PURE = {
    "cti.numbers", "cti.events", "cti.line", "cti.identity", "cti.identity_texts", "cti.calls", "cti.bus.told", "cti.bus.hints",
    "cti.weights", "cti.proof", "cti.proof_texts", "cti.calibration", "cti.duplicates", "cti.names", "cti.number_fast",
    "ivr.conditions", "ivr.document", "ivr.engine", "ivr.graph", "ivr.checks", "ivr.prompts", "ivr.facts", "ivr.fields", "ivr.nodes",
    "ivr.numerals", "ivr.steps",
    "screenpop.protocol", "screenpop.board", "screenpop.heard", "screenpop.unwritten", "screenpop.kpis", "screenpop.staffing",
    "recordings.retention", "recordings.verdict",
}  # fmt: skip

NAMES_THAT_ACCEPT_ANYTHING = {"service", "services", "util", "utils", "helper", "helpers", "manager", "common", "misc"}

# Written in pieces, so that this file does not find itself.
ADDRESSES = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (("registry", "npmjs"), ("registry", "yarnpkg"), ("pypi", "org"), ("files", "pythonhosted"),
                      ("deb", "debian", "org"), ("proxy", "golang", "org"))
    )
)  # fmt: skip


def tracked() -> list[Path]:
    """Everything that is or would be in a commit: files just written count before they are added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def python_files(*tops: str) -> Iterator[tuple[str, ast.Module]]:
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py" and name.split("/")[0] in tops:
            yield name, ast.parse(path.read_text(encoding="utf-8"), filename=name)


def test_top_level_holds_only_what_the_house_allows():
    there = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert there <= TOP_LEVEL, f"not a place of this house: {sorted(there - TOP_LEVEL)}"


def test_imports_point_downwards():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_pure_file_is_in_the_contract_for_pure_files():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["id"]: contract for contract in settings["tool"]["importlinter"]["contracts"]}
    named = set(contracts["pure"]["source_modules"])
    built = {name for name in PURE if exists(name)}
    assert named == built, (
        f"in pyproject.toml's contract 'pure', add {built - named or '-'}, remove {named - built or '-'}"
    )


def exists(module: str) -> bool:
    path = ROOT / module.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_only_config_reads_the_environment():
    readers = {name for name, tree in python_files(*ROOMS) if any(map(reads_environment, ast.walk(tree)))}
    assert readers <= {"cti/config.py"}


def reads_environment(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv" | "getenvb" | "putenv"):
            return True
        case ast.ImportFrom(module="os", names=names):
            return any(alias.name in {"environ", "environb", "getenv", "getenvb"} for alias in names)
    return False


def test_only_db_commits():
    committers = {name for name, tree in python_files(*ROOMS) if any(map(commits, ast.walk(tree)))}
    assert committers <= {"cti/db.py"}


def commits(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit"


def test_no_file_has_a_name_that_accepts_anything():
    # Only our own sources: Asterisk's manager.conf is called what Asterisk calls it.
    paths = [
        path.relative_to(ROOT) for path in tracked() if path.suffix in {".py", ".ts", ".tsx", ".js", ".css", ".html"}
    ]
    assert not [str(path) for path in paths if NAMES_THAT_ACCEPT_ANYTHING & {path.stem.lstrip("_"), *path.parts[:-1]}]


def test_no_python_file_is_too_long_to_read():
    lengths = {path.relative_to(ROOT).as_posix(): count_lines(path) for path in tracked() if path.suffix == ".py"}
    assert not {name: lines for name, lines in lengths.items() if lines > LINES_MAX}


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_place_of_one_machine_is_written_down():
    """Registries and mirrors differ from desk to desk, and so does the folder the checkout lies in."""
    # A short path such as /app could stand anywhere (Dockerfile); only a folder in a folder tells a machine.
    here = str(ROOT) if len(ROOT.parts) > 2 else None
    found = {
        path.relative_to(ROOT).as_posix(): hits
        for path in tracked()
        if (hits := machine_places(path.read_bytes().decode("utf-8", "replace"), here))
    }
    assert not found


def machine_places(text: str, here: str | None) -> set[str]:
    return set(ADDRESSES.findall(text)) | ({here} if here and here in text else set())


@pytest.mark.parametrize(
    "name",
    [
        "requirements.lock",
        "requirements-dev.lock",
        "requirements-build.lock",
        "requirements-node.lock",
        "requirements-dedup.lock",
    ],
)
def test_every_locked_package_has_hashes_and_no_address(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    pins = re.findall(r"(?m)^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.DOTALL)
    assert pins
    assert not [pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin]
    assert "://" not in text
