"""Twenty callers at once, in one process, who hear what the real switch plays and press keys when they hear it."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

import pytest

from cti.demo import people, tones
from cti.demo.callers import Callers, LiveCall, spoken_digits
from cti.demo.hearing import digit_runs
from cti.demo.sipp import Address
from tests.live.site import STRANGER, Site
from tests.live.test_ticket_by_keys import open_tickets

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

LOG = logging.getLogger(__name__)
CROWD = 20
PATIENCE_S = 20.0  # for one prompt, on two busy cores
CPU_MAX_PERCENT = 1.0  # of a core, for each call


@pytest.fixture(scope="module")
def company(company: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo company, every prompt of which is a tone."""
    folder = tmp_path_factory.mktemp("tones") / "company"
    shutil.copytree(company, folder)
    tones.tone_prompts(folder / "prompts", tones.PROMPTS)
    return folder


def customers() -> list[str]:
    """One number of each home that is known by it and has no outage, as the carrier sends it."""
    holders = [home.people[0].mobile for home in people.homes()[len(people.BY_HAND) :] if home.area != "Ümraniye-1"]
    return [f"0{number.removeprefix('+90')}" for number in holders]


async def report_fault(callers: Callers, number: str) -> LiveCall:
    """Presses 1 for a fault, 1 for "restarted", and listens until the number was said twice."""
    call = await callers.dial(number)
    await call.until_tone("menu", call.answered_at_s, PATIENCE_S)
    await call.press("1")
    asked = await call.until_tone("restarted", call.answered_at_s, PATIENCE_S)
    await call.press("1")
    await call.until_tone("after_ticket", asked.begin_s, PATIENCE_S)
    await call.hang_up()
    return call


async def test_twenty_callers_at_once_hear_the_number_of_the_ticket_that_is_stored(site: Site) -> None:
    async with Callers(Address(site.settings.sip_host, site.settings.sip_port)) as callers:
        calls = await asyncio.gather(*(report_fault(callers, each) for each in customers()[:CROWD]))
    stored = open_tickets(site.database)
    heard = [spoken_digits(call, call.answered_at_s) for call in calls]
    assert sorted(heard) == sorted(stored), "each heard his own, and nothing else was opened"
    assert all(digit_runs(call.tones) == [number] * 2 for call, number in zip(calls, heard, strict=True))
    assert {(call.ended_by, tuple(call.gaps)) for call in calls} == {("us", ())}
    on_the_line_s = sum((call.ended_at_s or 0.0) - call.answered_at_s for call in calls)
    percent = 100 * callers.busy_s / on_the_line_s
    LOG.info("CPU per call %.2f %% of a core, the beat late by %.0f ms at most", percent, callers.late_max_s * 1000)
    LOG.info(calls[0].story())
    assert percent < CPU_MAX_PERCENT


async def test_who_wants_a_person_hears_the_music_of_waiting_callers_and_then_the_agent(site: Site) -> None:
    async with Callers(Address(site.settings.sip_host, site.settings.sip_port)) as callers:
        call = await callers.dial(STRANGER)
        await call.until_tone("stranger", call.answered_at_s, PATIENCE_S)
        await call.press("0")
        left = await call.until_tone("to_queue", call.answered_at_s, PATIENCE_S)
        waits = await call.until_tone("hold", left.begin_s, PATIENCE_S)
        assert call.queue_heard(left.begin_s)
        assert call.is_held(waits.end_s)
        talks = await call.until_tone(tones.AGENT, waits.begin_s, PATIENCE_S)
        assert not call.is_held(talks.end_s)
        await site.ask("channel request hangup all")
        await call.until_ended(PATIENCE_S)
    assert call.ended_by == "them"
    assert "cause=" in call.end_reason
