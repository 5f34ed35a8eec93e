"""What a caller's level lets him do in the records: the flow may ask for anything, the table of levels decides."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cti.identity import Identification, Level, Outcome
from ivr import steps
from ivr.deeds import Deeds


def deeds_of(level: Level) -> Deeds:
    async def kept(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing is asked of the records")

    keeper: Any = SimpleNamespace(
        arrival=SimpleNamespace(identification=Identification(Outcome.UNIQUE, level)), visit=lambda wanted: "c:n:1"
    )
    means: Any = SimpleNamespace()
    return Deeds(keeper, means, keep=kept, text=str)


@pytest.mark.parametrize("matter", ["fault", "notice"])
async def test_who_is_nobody_opens_no_ticket_on_anybodys_line(matter: str) -> None:
    heard = await deeds_of(Level.NONE).do(steps.OpenTicket(matter, "s1", "", "n", 1))
    assert heard == steps.Failed(f"a caller of this level may not ask for {matter}")


async def test_a_matter_that_the_table_does_not_name_needs_more_than_a_match() -> None:
    heard = await deeds_of(Level.KEYED).do(steps.OpenTicket("move_house", "s1", "", "n", 1))
    assert isinstance(heard, steps.Failed)


async def test_a_match_links_no_number() -> None:
    heard = await deeds_of(Level.MATCHED).do(steps.SettleLink(True, "n", 1))
    assert heard == steps.Failed("a caller of this level may not link a number")
