"""A talk is recorded on both sides, listed, and heard by those who may; who listened is written down."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from playwright.async_api import Browser, expect

from cti.events import CallAnswered, CallEnded, RecordingStored, RecordsRead
from tests.live.desk import LIMIT_MS, at_desk
from tests.live.site import STORY, Site

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

TALK_S = 2.5
LOUD = 300  # of 32767: what is more than the noise of a quiet line


def sides(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The left and the right channel of a WAV."""
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        both = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    return both[:, 0], both[:, 1]


async def test_talk_is_recorded_listed_and_heard_by_those_who_may(site: Site, browser: Browser) -> None:
    async with at_desk(site, browser, "agent1001") as desk:
        async with site.call(STORY, ["0"]) as placed:
            conversation = placed.conversation
            await site.until(CallAnswered, conversation)
            placed.ear.speak()
            assert await placed.call.stays(TALK_S)
        await site.until(CallEnded, conversation)
        stored = await site.until(RecordingStored, conversation)
        await desk.until(
            "id => window.santral.seat().cards.find(it => it.id === id)?.recording?.state === 'stored'", conversation
        )
        player = desk.page.locator("[data-pop] audio")
        await expect(player).to_have_attribute("src", f"/api/v1/recordings/{stored.recording}/audio", timeout=LIMIT_MS)
        assert stored.duration_s == pytest.approx(TALK_S, abs=1.5)
        await listens_in_the_list_of_calls(site, browser, conversation, "agent1001")
        assert desk.troubles == []
    since = len(site.heard)
    await listens_in_the_list_of_calls(site, browser, conversation, "supervisor")
    heard = await audio(site, "agent1001", stored.recording)
    assert heard[0] == 200
    left, right = sides(heard[1])
    assert len(left) / 8000 == pytest.approx(stored.duration_s, abs=0.1)
    assert np.abs(left).max() > LOUD, "the caller"
    assert np.abs(right).max() > LOUD, "what the caller heard"
    assert (await audio(site, "agent1002", stored.recording))[0] == 403
    async with at_desk(site, browser, "agent1002", "/calls") as other:
        await expect(other.page.locator(f'[data-call="{conversation}"]')).to_have_count(1)
        await expect(other.page.locator(f'[data-call="{conversation}"] audio')).to_have_count(0)
    reads = [each for each in site.found(RecordsRead, since=since) if each.what == "recording"]
    assert {each.user for each in reads} == {"supervisor", "agent1001"}
    assert {each.subject for each in reads} == {stored.recording}


async def audio(site: Site, user: str, recording: str) -> tuple[int, bytes]:
    async with site.signed_in(user) as client:
        answer = await client.get(f"/api/v1/recordings/{recording}/audio")
    return answer.status_code, answer.content


async def listens_in_the_list_of_calls(site: Site, browser: Browser, conversation: str, user: str) -> None:
    async with at_desk(site, browser, user, "/calls") as desk:
        player = desk.page.locator(f'[data-call="{conversation}"] audio')
        await player.evaluate("it => it.play()")
        await desk.until("id => document.querySelector(`[data-call='${id}'] audio`).currentTime > 0.2", conversation)
        assert desk.troubles == []
