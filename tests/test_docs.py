"""The docs are held to the code: every setting, event, message, route and node is named, every example loads, no link is dead."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter

from benchmarks.chaos import auditor, schedule
from cti import events, run
from cti.config import Settings
from cti.records import imports
from cti.web import PROBLEMS
from ivr import checks, document, nodes
from screenpop import protocol
from screenpop.board import plain

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
MISSION = sorted(set(range(1, 71)) - {15})  # the numbers of the mission's lines; it has no 15
IMAGE_MAX_BYTES = 300_000
ROOMS = ("cti", "ivr", "recordings", "screenpop")
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fenced(text: str, language: str = "json") -> list[Any]:
    return [json.loads(body) for kind, body in FENCE.findall(text) if kind == language]


def rows(text: str) -> list[list[str]]:
    """The cells of every table line, without headings' rules."""
    lines = (line for line in text.splitlines() if line.startswith("| "))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def sections(text: str, mark: str) -> dict[str, str]:
    """Heading -> what stands below it."""
    parts = re.split(rf"^{mark} (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# --- settings ---


def shown(default: Any) -> str:
    value = default.get_secret_value() if isinstance(default, SecretStr) else default
    if value is None or value == "":
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_every_setting_is_described_with_its_default():
    told = {
        cells[0].strip("`"): cells[1:] for cells in rows(page("docs/settings.md")) if cells[0].startswith("`SANTRAL_")
    }
    real = {
        f"SANTRAL_{name.upper()}": [shown(each.default), (each.description or "").replace("|", "/")]
        for name, each in Settings.model_fields.items()
    }
    assert told == real


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_setting_that_is_named_exists(path: Path):
    ours = {f"SANTRAL_{name.upper()}" for name in Settings.model_fields}
    dialplan = set(re.findall(r"SANTRAL_[A-Z_]+", page("asterisk_conf/extensions.conf") + page("cti/asterisk/agi.py")))
    compose = set(re.findall(r"\$\{(SANTRAL_[A-Z_]+)", page("docker-compose.yml")))
    named = set(re.findall(r"SANTRAL_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")))
    assert named <= ours | dialplan | compose


# --- events ---

EVENTS = sections(page("docs/events.md"), "###")


def test_every_event_is_described():
    assert set(EVENTS) == set(events.REGISTRY)


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_an_events_example_is_that_event(name: str):
    (example,) = fenced(EVENTS[name])
    assert json.loads(json.dumps(events.read(name, example).plain())) == example
    assert re.search(r"^[A-Z].*\.$", EVENTS[name], re.MULTILINE), "expected a sentence"


# --- the pages' socket ---

SOCKET = sections(page("docs/protocol.md"), "##")
SERVER = {
    "snapshot": {"type", "v", "epoch", "seq", "leader", "seat"},
    "event": {"type", "seq", "changes"},
    "resumed": {"type", "epoch", "seq", "leader", "changes"},
    "state": {"type", "degraded", "leader"},
    "move": {"type", "after_ms"},
    "ping": {"type", "at_ms"},
    "result": {"type", "key", "ok"},
}
PARTS: dict[str, tuple[str, TypeAdapter[Any]] | None] = {
    "agent": ("agent", TypeAdapter(protocol.Agent)),
    "card": ("card", TypeAdapter(protocol.Card)),
    "seat": ("seat", TypeAdapter(protocol.Seat)),
    "card_gone": None,
    "lists": None,
}


def test_every_client_message_is_shown_and_taken():
    taken = [protocol.INCOMING.validate_python(each) for each in fenced(SOCKET["From the browser"])]
    assert {each.type for each in taken} == {"hello", "pong", "bye", "painted", "seen", "command"}
    commands = protocol.Command.model_fields["name"].annotation
    assert {each.name for each in taken if isinstance(each, protocol.Command)} == set(commands.__args__)  # type: ignore[union-attr]


def test_every_server_message_is_shown_as_it_is_sent():
    shown_ones = fenced(SOCKET["From the server"])
    assert {each["type"] for each in shown_ones} == set(SERVER)
    for message in shown_ones:
        more = {"error"} if message.get("ok") is False else {"value"} & set(message)
        assert set(message) == SERVER[message["type"]] | more
        for change in message.get("changes", ()):
            check_part(change)
        if message["type"] == "snapshot":
            assert message["v"] == protocol.VERSION
            is_plain(TypeAdapter(protocol.Seat), message["seat"])


def check_part(change: dict[str, Any]) -> None:
    expected = PARTS[change["part"]]
    if expected is not None:
        is_plain(expected[1], change[expected[0]])


def is_plain(adapter: TypeAdapter[Any], value: Any) -> None:
    """`value` is what board.plain writes for such a value: no field more, no field less."""
    assert plain(adapter.validate_python(value)) == value


def test_every_close_code_is_named():
    ours = {str(value) for name, value in vars(protocol).items() if name.startswith("CLOSE_")}
    assert ours <= {cells[0] for cells in rows(SOCKET["Close codes"])}


# --- the API ---


def test_every_route_is_in_the_table():
    told = {cells[0].strip("`") for cells in rows(page("docs/api.md")) if cells[0].startswith("`")}
    real = {f"{method.upper()} {path}" for path, each in run.api_description()["paths"].items() for method in each}
    assert told == real


def test_every_problem_is_named():
    assert all(f"`{kind}`" in page("docs/api.md") for kind in PROBLEMS)


# --- flows ---


def test_the_flow_in_the_docs_is_a_sound_one():
    (example,) = fenced(page("docs/flows.md"))
    flow = document.read(example)
    assert [issue.text("en") for issue in checks.check(flow)] == []


def test_every_kind_of_node_and_each_of_its_fields_is_named():
    told = {cells[0].strip("`"): cells for cells in rows(page("docs/flows.md")) if len(cells) == 3}
    kinds = {kind.__name__.lower(): kind for kind in nodes.Node.__args__}
    assert set(kinds) <= set(told)
    for name, kind in kinds.items():
        fields = {each.name for each in dataclasses.fields(kind)} - {"id", "label"}
        renamed = {"otherwise": "else"}
        text = told[name][2] if "as for menu" not in told[name][2] else told[name][2] + told["menu"][2]
        assert {f for f in fields if f"`{renamed.get(f, f)}`" not in text} == set(), f"fields of {name}"


# --- status ---


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse(page(path))
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


STATUS = [cells for cells in rows(page("docs/status.md")) if re.fullmatch(r"M\d+", cells[0])]


def test_status_has_one_row_for_each_line_of_the_mission():
    assert [cells[0] for cells in STATUS] == [f"M{number}" for number in MISSION]
    assert {cells[2] for cells in STATUS} <= {"works", "partly", "not yet"}


@pytest.mark.parametrize("cells", STATUS, ids=lambda cells: cells[0])
def test_what_is_said_to_work_names_tests_that_exist(cells: list[str]):
    _, _, state, text = cells
    assert "::" in text or state != "works"
    assert "Missing:" in text or state != "partly"


# --- reliability ---

FAULTS = rows(sections(page("docs/reliability.md"), "##")["Fault by fault"])[1:]
PLACE = re.compile(r"`([\w/]+\.py)`")
NUMBER = re.compile(r"`([A-Z][A-Z_]+) = ([\d_.]+)`")


@pytest.mark.parametrize("cells", FAULTS, ids=lambda cells: cells[0])
def test_each_fault_says_who_sees_what_and_what_shows_it(cells: list[str]):
    assert len(cells) == 5
    assert all(cells), "expected a word about the caller, the agent, the data and the proof"
    assert re.search(r"`tests/[^`]+::|`make chaos`|Shown by nothing yet", cells[-1]), cells[-1]


def test_every_fault_of_the_bench_is_explained():
    told = page("docs/reliability.md"), page("docs/chaos.md")
    assert [kind for kind in schedule.LASTS_S for text in told if f"`{kind}`" not in text] == []


def test_every_invariant_of_the_bench_is_told_in_its_words():
    told = rows(sections(page("docs/chaos.md"), "##")["What the auditor looks at"])[1:]
    assert [(cells[0], cells[1].replace("`", "")) for cells in told] == [each[:2] for each in auditor.INVARIANTS]


def numbers() -> list[tuple[str, str, str]]:
    """(where it is said to stand, name, value) of every `NAME = value`; a paragraph or a table's row names the file first."""
    blocks = re.split(r"\n\n|\n(?=[|-])", page("docs/reliability.md"))
    return [
        (place, name, value)
        for block in blocks
        for place, tail in zip(PLACE.findall(block), PLACE.split(block)[2::2], strict=True)
        for name, value in NUMBER.findall(tail)
    ]


@pytest.mark.parametrize(("place", "name", "value"), numbers())
def test_a_number_that_is_named_is_the_code_s(place: str, name: str, value: str):
    module = importlib.import_module(place.removesuffix(".py").replace("/", "."))
    ours = (
        Settings.model_fields[name.removeprefix("SANTRAL_").lower()].default
        if name.startswith("SANTRAL_")
        else getattr(module, name)
    )
    assert ours == float(value)


def test_every_log_line_that_is_explained_is_written_somewhere():
    code = "".join(each.read_text(encoding="utf-8") for room in ROOMS for each in (ROOT / room).rglob("*.py"))
    for name in ("docs/operations.md", "docs/reliability.md"):
        (table,) = re.findall(r"^\| line \|.*?(?=\n\n)", page(name), re.MULTILINE | re.DOTALL)
        lines = re.findall(r"`([a-z_]+\.[a-z_]+)`", " ".join(cells[0] for cells in rows(table)))
        assert [line for line in lines if f'"{line}"' not in code] == []
        assert lines


def test_every_number_has_its_file():
    assert len(numbers()) == len(NUMBER.findall(page("docs/reliability.md"))) > 0


# --- figures ---


def test_every_figure_is_explained():
    named = re.findall(r'"(santral_\w+)"', page("cti/app.py") + page("cti/metrics.py"))
    assert [name for name in named if f"`{name}" not in page("docs/operations.md")] == []


# --- the house ---


def test_every_file_of_the_middle_room_is_named_and_the_layers_are_those_that_are_checked():
    told = page("docs/architecture.md")
    (layers,) = (body.splitlines() for kind, body in FENCE.findall(told) if kind == "text")
    assert layers == tomllib.loads(page("pyproject.toml"))["tool"]["importlinter"]["contracts"][0]["layers"]
    files = {each.name for each in (ROOT / "cti").glob("*.py")} - {"__init__.py"}
    rooms = {f"{each.parent.name}/" for each in (ROOT / "cti").glob("*/__init__.py")}
    assert [name for name in sorted(files | rooms) if f"`{name}`" not in told and f"`cti/{name}`" not in told] == []


# --- every page ---


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_and_images_lead_somewhere(path: Path):
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        file, _, place = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.is_file(), target
        if place:
            headings = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in [anchor(each) for each in headings], target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_tests_that_are_named_exist(path: Path):
    """`cti/…`, `tests/…::test_…` and the like, in backquotes, unless they stand for many (…, *, <…>)."""
    top = "asterisk_conf|benchmarks|cti|docs|ivr|recordings|screenpop|tests"
    text = path.read_text(encoding="utf-8")
    for name in re.findall(rf"`((?:{top})/[\w./-]+)(?:::\w+)?`", text):
        exists = (ROOT / name).exists() or name.startswith("recordings/")  # also a folder of the data folder
        assert exists, f"{path.name}: {name}"
    tests = re.findall(r"`(tests/[^`:]+)::(\w+)`", text)
    assert [f"{file}::{name}" for file, name in tests if name not in names_in(file)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_make_target_that_is_named_exists(path: Path):
    targets = set(re.findall(r"^(\w+):", page("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)) <= targets


def test_images_are_small():
    sizes = {each.name: each.stat().st_size for each in (ROOT / "docs/images").iterdir()}
    assert sizes
    assert all(size < IMAGE_MAX_BYTES for size in sizes.values()), sizes


def test_readme_names_both_commands_and_the_story():
    readme = page("README.md")
    assert all(f"make {each} " in readme for each in ("run", "test"))
    assert "The one number the company knows is the one number that cannot call during a fault" in readme
    assert "![" in readme
    assert "docs/images/" in readme


def test_readme_names_every_column_of_an_import():
    assert [name for name in imports.COLUMNS if f"`{name}`" not in page("README.md")] == []


def test_every_page_is_reached_from_the_readme_or_another():
    linked = {
        (path.parent / target.partition("#")[0]).resolve()
        for path in PAGES
        for target in re.findall(r"\]\(([^)\s]+\.md[^)\s]*)\)", path.read_text(encoding="utf-8"))
    }
    alone = [each.name for each in PAGES if each.parent.name == "docs" and each not in linked]
    assert alone == []


def test_decisions_say_what_enforces_them():
    for path in sorted((ROOT / "docs/decisions").glob("*.md")):
        words = re.findall(r"^\*\*(.+?)\.\*\*", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert words == ["Context", "Decision", "Cost", "What enforces it"], path.name
