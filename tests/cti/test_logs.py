"""What leaves for a log: one line, the call first, no whole telephone number and nothing that could pretend to be a second line."""

from __future__ import annotations

import json
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from cti import logs


@pytest.fixture(autouse=True)
def as_before():
    """Logging is set up once a process: give it back as it was."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def cleaned(**fields: Any) -> dict[str, Any]:
    return logs.clean(None, "info", fields)


@pytest.mark.parametrize("number", ["+905325550123", "05325550123", "00905325550123", "+4930123456"])
def test_numbers_are_masked_wherever_they_stand(number):
    told = cleaned(event="call.arrived", error=f"got {number!r}", many=[number, "x"], broken=ValueError(number))
    assert number not in str(told)
    assert "*******" in told["error"]


@pytest.mark.parametrize(
    "harmless", ["1795311706.4", "santral-1", "019abcde-1234-7abc-8def-012345678901", "2026-11-20"]
)
def test_ids_and_times_are_left_as_they_are(harmless):
    assert cleaned(call=harmless) == {"call": harmless}


def test_figures_stay_figures():
    assert cleaned(tries=3, took_s=0.5, ok=True, who=None) == {"tries": 3, "took_s": 0.5, "ok": True, "who": None}


@given(st.text())
def test_no_text_makes_a_second_line(text):
    assert len(str(cleaned(name=text)["name"]).splitlines()) <= 1


def test_a_hostile_name_cannot_turn_the_line_around():
    assert cleaned(name="Ali\u202e\x1b[2J\ninfo call=1 forged")["name"] == "Ali\\u202e\\x1b[2J\\ninfo call=1 forged"


def test_a_line_begins_with_the_call(capsys):
    logs.set_up("console")
    structlog.get_logger().info("menu.heard", node="welcome", digits=2, call="1795311706.4")
    at, rest = capsys.readouterr().err.split(" ", 1)
    assert at.endswith("Z")
    assert rest == "info call=1795311706.4 menu.heard node=welcome digits=2\n"


def test_an_error_with_its_traceback_is_one_line(capsys):
    logs.set_up("console")
    try:
        raise ValueError("+905325550123")
    except ValueError:
        structlog.get_logger().exception("flow.failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "Traceback" in line
    assert "+905325550123" not in line


def test_machines_get_json(capsys):
    logs.set_up("json")
    structlog.get_logger().warning("ami.lost", call="1.2", error="+905325550123")
    told = json.loads(capsys.readouterr().err)
    assert (told["event"], told["level"], told["call"]) == ("ami.lost", "warning", "1.2")
    assert told["error"] == "+90*******23"
