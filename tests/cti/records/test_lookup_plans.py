"""Identifying a caller never reads a table from one end to the other, on either engine: with ten million numbers it would take seconds."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from cti import numbers
from cti.records.contact_points import identify
from tests.fakes import company


def plans(session: Session, raw: str, now: Any) -> dict[str, str]:
    """Each statement that a look at `raw` asks, with what the database would do for it."""
    connection = session.connection()
    asked: list[tuple[str, Any]] = []

    def heard(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", heard)
    found = identify(session, numbers.parse(raw, "TR"), now)
    event.remove(connection, "before_cursor_execute", heard)
    assert found.candidates, "a number that leads to somebody asks everything"
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:  # small tables are read whole because they are small
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
    return {
        statement: "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + statement, parameters))
        for statement, parameters in asked
    }


def read_whole(plan: str) -> list[str]:
    """The steps that go from one end of a table or an index to the other."""
    steps = [step.strip() for step in plan.split("->")]
    return [
        step
        for step in steps
        if "Seq Scan on" in step or ("Index" in step.partition("(")[0] and "Index Cond" not in step)
    ] + [line for line in plan.splitlines() if line.startswith("SCAN ") and not any(each in line for each in MADE)]


MADE = ("SUBQUERY", "CONSTANT", "anon_", "talks")  # what the statement itself brought together


@pytest.mark.parametrize("raw", [company.HIS, company.LANDLINE, company.SHARED])
async def test_every_statement_goes_by_an_index(any_db, now, raw):
    await any_db.work(company.load, now)
    found = await any_db.read(plans, raw, now)
    assert 3 <= len(found) <= 5
    for statement, plan in found.items():
        assert not read_whole(plan), f"{statement}\n{plan}"
