"""Ten times as many callers at once as a node may have: those it takes are served as ever, the others reach the queue, nobody hears
silence, and afterwards the node is as big as before.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import statistics
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from pydantic import SecretStr

from cti.asterisk import pbx
from cti.cluster import Node
from cti.demo import tones
from cti.demo.callers import Callers
from cti.demo.sipp import Address
from tests.live import crowd
from tests.live import site as live
from tests.live.crowd import PATIENCE_S, Person

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

LOG = logging.getLogger(__name__)
CALLS_MAX = 10
AT_ONCE = 10 * CALLS_MAX
USUAL = 5
ROUNDS = 2  # of usual load, to compare with
LISTENS_S = 4.0
SLOWER_MAX = 10.0  # generous: callers, switch and node may share two cores
GROWN_MAX_BYTES = 24 << 20


@dataclass
class Place:
    """One node in a process of its own on SQLite, its switch, and the carrier. No phones: whoever is in a queue stays there."""

    node: Node
    callers: Callers
    driven_max: int = 0

    async def driven(self) -> int:
        """How many calls the node has in the flow, as it says itself."""
        async with httpx2.AsyncClient(timeout=PATIENCE_S) as client:
            text = (await client.get(f"{self.node.url}/metrics")).text
        found = re.search(r"^santral_calls_driven (\d+)", text, re.MULTILINE)
        assert found is not None, text
        return int(found[1])

    async def watch(self) -> None:
        while True:
            self.driven_max = max(self.driven_max, await self.driven())
            await crowd.until_s(asyncio.get_running_loop().time() + crowd.LOOK_S)

    @property
    def memory_bytes(self) -> int:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.node.pid}/status").read_text())
        assert found is not None
        return int(found[1]) << 10

    async def until_idle(self) -> None:
        async def idle() -> bool | None:
            return True if await self.driven() == 0 else None

        await crowd.until(idle, "no call in the flow", PATIENCE_S)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory, company: Path) -> AsyncIterator[Place]:
    toned = tmp_path_factory.mktemp("tones") / "company"
    shutil.copytree(company, toned)
    tones.tone_prompts(toned / "prompts", tones.PROMPTS)
    settings = live.settings_in(tmp_path_factory.mktemp("overload"), calls_max=CALLS_MAX)
    async with live.switch(settings, toned, tapped=False) as plan:
        known = pbx.keep_secrets(plan)
        own = {
            "ari_port": plan.http_port, "ami_port": plan.ami_port, "agi_port": plan.agi_port,
            "ari_password": SecretStr(known.ari), "ami_password": SecretStr(known.ami),
        }  # fmt: skip
        node = Node(settings.model_copy(update=own), settings.data_dir / "node.log")
        await node.start()
        try:
            async with Callers(Address(settings.sip_host, settings.sip_port)) as callers:
                yield Place(node, callers)
        finally:
            await node.stop()


async def listens(person: Person) -> None:
    """Hears who serves him, the flow or the dialplan alone, and stays a little."""
    heard = await person.call.until_any(("welcome", *tones.QUEUE_TONES), person.call.answered_at_s, PATIENCE_S)
    person.outcome = heard.name
    await person.stays(LISTENS_S)


async def storm(place: Place, first: int, many: int, within_s: float = 0.0) -> list[Person]:
    """So many callers, evenly within this time, 0: all at once."""
    numbers = [crowd.stranger(first + each) for each in range(many)]
    now_s = asyncio.get_running_loop().time()
    calls = [
        crowd.one_call(place.callers, number, listens, at_s=now_s + within_s * each / many)
        for each, number in enumerate(numbers)
    ]
    come = await asyncio.gather(*calls)
    await place.until_idle()
    return come


def answered_s(people: Sequence[Person]) -> float:
    """From INVITE to 200, the median."""
    return statistics.median(each.call.answered_at_s - each.call.invite_at_s for each in people)


def served(people: Sequence[Person]) -> list[Person]:
    return [each for each in people if each.outcome == "welcome"]


def passed_by(people: Sequence[Person]) -> list[Person]:
    """Whom the switch sent to the queue by itself: how long they wait for an answer is its own time."""
    return [each for each in people if each.outcome in tones.QUEUE_TONES]


async def usual_s(place: Place, first: int) -> float:
    people = await storm(place, first, USUAL)
    assert len(served(people)) == USUAL
    return answered_s(people)


@pytest.mark.parametrize(("within_s", "first"), [(0.0, 100), (3.0, 300)], ids=["at once", "in three seconds"])
async def test_ten_times_the_limit_and_those_accepted_are_served_as_ever(
    place: Place, within_s: float, first: int
) -> None:
    usual = statistics.median([await usual_s(place, first + USUAL * turn) for turn in range(ROUNDS)])
    before_bytes = place.memory_bytes
    watching = asyncio.create_task(place.watch())
    people = await storm(place, first + 50, AT_ONCE, within_s)
    watching.cancel()
    afterwards = await usual_s(place, first + 50 + AT_ONCE)
    accepted, others = served(people), passed_by(people)
    LOG.info(
        "%d in %.0f s, limit %d: %d in the flow (%d at most at a time), %d straight to the queue; INVITE to 200, median: usual %.0f ms, "
        "accepted %.0f ms, past the node %.0f ms, afterwards %.0f ms; node %.1f MB before, %.1f MB after; callers late by %.0f ms at most",
        AT_ONCE, within_s, CALLS_MAX, len(accepted), place.driven_max, len(others), 1000 * usual, 1000 * answered_s(accepted),
        1000 * answered_s(others), 1000 * afterwards, before_bytes / 1e6, place.memory_bytes / 1e6, 1000 * place.callers.late_max_s,
    )  # fmt: skip
    crowd.judge(people)
    assert len(accepted) + len(others) == AT_ONCE
    assert 0 < place.driven_max <= CALLS_MAX <= len(accepted)
    assert answered_s(accepted) <= SLOWER_MAX * max(usual, answered_s(others))
    assert place.memory_bytes - before_bytes <= GROWN_MAX_BYTES
