"""Whole calls: what the switch says goes in, what the ledger keeps and what the seats show comes out.

A story names the types of all events in order, parts of the conversation's row, and for each seat parts of its cards, newest first.
Each is told as it is on both engines, and with every fact heard twice; nothing may differ.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from cti.db import Database
from cti.switchboard import of_channel
from screenpop import board
from tests.fakes import story

TOLD = pytest.mark.parametrize("path", story.stories(), ids=lambda path: path.stem)


@TOLD
async def test_story(path, any_db, now):
    await happens(path, any_db, now)


@TOLD
async def test_story_in_which_every_fact_is_heard_twice(path, db, now):
    await happens(path, db, now, twice=True)


async def happens(path: Path, db: Database, now: dt.datetime, *, twice: bool = False) -> None:
    expected = story.read(path)
    teller = await story.begin(db, now, twice=twice)
    await teller.tell(expected["steps"])
    assert [each.event.type for each in await story.told(db)] == expected["events"]
    row = await db.read(of_channel, expected.get("channel", "c1"))
    assert row is not None
    assert {name: getattr(row, name) for name in expected["conversation"]} == expected["conversation"]
    for agent, cards in expected["seats"].items():
        shown = board.plain((await teller.seat(agent)).seat)["cards"]
        assert [picked(card, wanted) for card, wanted in zip(shown, cards, strict=True)] == cards


def picked(shown: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The parts of `shown` that `wanted` names: `a.b` goes into a value, and lists become the parts of their elements."""
    return {path: at(shown, path.split(".")) for path in wanted}


def at(value: Any, names: list[str]) -> Any:
    if not names:
        return value
    if isinstance(value, list):
        return [at(each, names) for each in value]
    return at(value[names[0]], names[1:])
