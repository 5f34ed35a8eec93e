"""Figures for the person on duty, counted from whole calls; never with a caller in a label."""

from __future__ import annotations

import re

import pytest

from cti import ledger
from cti.events import CallEnded, Recorded
from cti.metrics import Metrics
from tests.fakes import company, story


async def counted(db, now, *names: str) -> str:
    """What /metrics says after these stories (each by a house of its own)."""
    metrics = Metrics()
    teller = await story.begin(db, now)
    for name in names:
        await teller.tell(story.read(story.STORIES / f"{name}.json")["steps"])
    for recorded in await db.read(ledger.since, 0):
        metrics.hear(recorded)
    return metrics.text().decode()


def figure(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, f"no {name} in\n{text}"
    return float(found[1])


async def test_a_whole_call_is_counted(db, now):
    text = await counted(db, now, "wrap_up")
    assert figure(text, 'santral_calls_arrived_total{claimed="yes"}') == 1
    assert figure(text, 'santral_calls_total{result="answered"}') == 1
    assert figure(text, "santral_calls_active") == 0
    assert figure(text, 'santral_identify_total{outcome="unique"}') == 1
    assert figure(text, 'santral_offers_total{result="answered"}') == 1
    assert figure(text, "santral_queue_wait_seconds_count") == 1


async def test_a_call_that_goes_on_is_active_and_its_ticket_is_counted(db, now):
    text = await counted(db, now, "recognised")
    assert figure(text, "santral_calls_active") == 1
    assert figure(text, 'santral_tickets_opened_total{channel="phone"}') == 1


async def test_offers_are_counted_by_how_they_ended(db, now):
    text = await counted(db, now, "second_agent_answers")
    assert figure(text, 'santral_offers_total{result="offered"}') == 2
    assert figure(text, 'santral_offers_total{result="no_answer"}') == 1
    assert figure(text, 'santral_offers_total{result="answered"}') == 1


async def test_a_call_that_was_served_without_us_is_counted_apart(db, now):
    assert figure(await counted(db, now, "fallback"), 'santral_calls_arrived_total{claimed="no"}') == 1


@pytest.mark.parametrize("name", ["recognised", "malformed"])
async def test_no_caller_stands_in_a_label(db, now, name):
    text = await counted(db, now, name)
    for private in (company.HIS, "5550123", "Ali", "script", "zeynep"):
        assert private not in text


def test_a_figure_that_is_read_when_asked():
    metrics, open_sockets = Metrics(), [3.0]
    metrics.gauge("santral_ws_clients", "Open sockets of pages.", lambda: open_sockets[0])
    assert figure(metrics.text().decode(), "santral_ws_clients") == 3
    open_sockets[0] = 4.0
    assert figure(metrics.text().decode(), "santral_ws_clients") == 4


def test_two_nodes_in_one_process_count_apart(now):
    one, two = Metrics(), Metrics()
    one.hear(Recorded(seq=1, id="1", at=now, event=CallEnded(conversation="c", reason="lost")))
    assert figure(one.text().decode(), 'santral_calls_total{result="lost"}') == 1
    assert 'result="lost"' not in two.text().decode()
