"""The story of the mission: his line is down, his landline with it, and he calls from a mobile that nobody knows."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
import soundfile
from sqlalchemy import delete, select, update

from cti.app import utc_now
from cti.events import (
    CallEnded,
    CallIdentified,
    FlowEntered,
    FlowHeard,
    FlowSpoke,
    InteractionsRelinked,
    LinkMade,
    LinkProposalSettled,
    LinkProposed,
    ProofGiven,
    ProofRefused,
    TicketOpened,
)
from cti.identity import Level
from cti.records import contact_points, guesses, lines, links
from cti.records.contact_points import Link
from cti.records.outages import Outage
from cti.records.outbox import OutMessage
from cti.speech import Espeak, SpeechError
from ivr import voice
from tests.live.site import LIMIT_S, Placed, Site

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

DSL = "DSL-100101"
LANDLINE_TAIL, OTHER_TAIL, NOBODYS_TAIL = "0101", "0161", "9876"  # of the story's line; of one that is up; of none
BORN = "23041980"
MOBILES = iter(f"0542555{each:04d}" for each in range(7000, 7999))
TIMED = 5
NOISE_S = 0.25
SHORT_S = 0.2  # no piece of a prompt is as short


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def all_lines_up(site: Site) -> AsyncIterator[None]:
    """No outage, no line down, nobody slowed, and no number linked by a test before."""
    await site.house.db.work(_all_up)
    yield


def _all_up(session) -> None:
    now = utc_now()
    session.execute(update(Outage).where(Outage.closed_at.is_(None)).values(closed_at=now))
    for row in session.scalars(select(lines.LineState).where(lines.LineState.state == "down")):
        lines.set_state(session, subscription=row.subscription_id, state="up", since=now, source="test", now=now)
    session.execute(delete(guesses.GuessCount))


async def goes_down(site: Site, number: str = DSL) -> str:
    """The network says so, as its monitoring would: by the API."""
    subscription = await site.subscription(number)
    async with site.signed_in("admin") as client:
        answer = await client.put(
            f"/api/v1/lines/{subscription}/state",
            json={"state": "down", "since": utc_now().isoformat(), "source": "dslam"},
        )
        assert answer.status_code in (200, 204), answer.text
    return subscription


def keyed(site: Site, placed: Placed) -> list[str]:
    return [each.node for each in site.found(FlowHeard, placed.conversation) if each.kind == "digits"]


def path(site: Site, placed: Placed) -> list[str]:
    return [each.node for each in site.found(FlowEntered, placed.conversation)]


async def test_the_story_ends_well(site: Site) -> None:
    mobile, subscription = next(MOBILES), await goes_down(site)
    async with site.call(mobile, ["1", LANDLINE_TAIL, BORN, "1"]) as placed:
        opened = await site.until(TicketOpened, placed.conversation)
        await site.until(FlowEntered, placed.conversation, where=lambda event: event.node == "offer_link")
        assert len(keyed(site, placed)) <= 4, "inputs until the ticket"
        await placed.call.press_each(["1"])
        made = await site.until(LinkMade)
        said = await site.until(FlowSpoke, placed.conversation, where=lambda event: event.node == "linked")
    await site.until(CallEnded, placed.conversation)
    assert opened.subscription == subscription
    assert "Bu telefonu ekledik" in said.text
    proved = [each.factor for each in site.found(ProofGiven, placed.conversation)]
    assert proved == ["last_four", "birth_date"]
    levels = [(each.method, each.level) for each in site.found(CallIdentified, placed.conversation)]
    assert levels[0] == ("caller_id", Level.NONE)
    assert levels[-1][1] == Level.KEYED
    (proposed,) = site.found(LinkProposed, placed.conversation)
    settled = await site.until(LinkProposalSettled, placed.conversation)
    assert (settled.proposal, settled.state, settled.by, settled.link) == (
        proposed.proposal,
        "accepted",
        "caller",
        made.link,
    )

    async with site.call(mobile, []) as again:
        who = await site.until(CallIdentified, again.conversation)
        await site.until(FlowEntered, again.conversation, where=lambda event: event.node == "menu")
    assert who.outcome == "unique"
    assert subscription in {line for each in who.candidates for line in each.subscriptions}
    assert "stranger" not in path(site, again)


async def test_the_household_is_told_on_a_number_that_it_had_before_and_by_voice_alone_the_link_is_no_proof(
    site: Site,
) -> None:
    point, at = await verified_mobile(site), len(site.heard)
    await goes_down(site)
    async with site.call(next(MOBILES), ["1", LANDLINE_TAIL, BORN, "1"]) as placed:
        await site.until(FlowEntered, placed.conversation, where=lambda event: event.node == "offer_link")
        await placed.call.press_each(["1"])
        made = await site.until(LinkMade, since=at, where=lambda event: event.by == "caller")
    row = await site.house.db.read(lambda session: session.get_one(Link, made.link))
    assert row.state == "unverified"
    messages = await site.house.db.read(
        lambda session: session.scalars(select(OutMessage).where(OutMessage.purpose == "link")).all()
    )
    assert point in {each.contact_point_id for each in messages}
    assert made.contact_point not in {each.contact_point_id for each in messages}


async def verified_mobile(site: Site) -> str:
    def verify(session) -> str:
        point = contact_points.find(session, "phone", "+905325550123")
        assert point is not None
        for row in contact_points.links_to(session, point.value):
            links.verify(session, row.id, method="document", by="test", now=utc_now())
        return point.id

    return await site.house.db.work(verify)


async def test_with_no_line_down_the_same_call_takes_the_ordinary_way_to_proof(site: Site) -> None:
    subscription = await site.subscription(DSL)
    async with site.call(next(MOBILES), ["1", "02125550101#", BORN, "1"]) as placed:
        opened = await site.until(TicketOpened, placed.conversation)
        await site.until(FlowEntered, placed.conversation, where=lambda event: event.node == "offer_link")
        await placed.call.press_each(["2"])
        settled = await site.until(LinkProposalSettled, placed.conversation)
    assert "last_four" not in path(site, placed)
    assert opened.subscription == subscription
    assert settled.state == "refused"


async def test_a_wrong_date_of_birth_opens_nothing_and_reaches_a_person(site: Site) -> None:
    async with site.call(next(MOBILES), ["1", "02125550101#", "01011970"]) as placed:
        await site.until(ProofRefused, placed.conversation)
        await site.until(FlowEntered, placed.conversation, where=lambda event: event.node == "technical")
    await site.until(CallEnded, placed.conversation)
    assert site.found(ProofGiven, placed.conversation) == []
    assert site.found(TicketOpened, placed.conversation) == []
    assert BORN not in str([each.event for each in await site.ledger(placed.conversation)])
    assert "01011970" not in str([each.event for each in await site.ledger(placed.conversation)])


async def test_wrong_last_four_cannot_be_told_from_those_of_a_line_that_is_up(site: Site) -> None:
    await goes_down(site)
    heard = {tail: [await answer_to(site, tail) for _ in range(TIMED)] for tail in (OTHER_TAIL, NOBODYS_TAIL)}
    (said,) = {tuple(prompts) for answers in heard.values() for prompts, _ in answers}
    assert any("no_such_line" in each for each in said)
    up, nobodys = (statistics.median(after_s for _, after_s in answers) for answers in heard.values())
    assert abs(up - nobodys) < NOISE_S, f"{up:.3f} s of a line that is up, {nobodys:.3f} s of none"


async def answer_to(site: Site, tail: str) -> tuple[Sequence[str], float]:
    """What is played after these four digits, and how long after they were keyed."""
    loop = asyncio.get_running_loop()
    played = loop.create_future()

    def witness(request) -> None:
        if "/play/" in request.uri and any("no_such_line" in each for each in request.media) and not played.done():
            played.set_result((request.media, loop.time()))

    site.ari.before = witness
    async with site.call(next(MOBILES), ["1", tail]) as placed:
        since_s = loop.time()
        refused = await site.until(ProofRefused, placed.conversation)
        media, at_s = await asyncio.wait_for(played, LIMIT_S)
    site.ari.before = lambda request: None
    assert refused.why == "wrong"
    return media, at_s - since_s


async def test_the_question_names_the_area_of_the_lines_that_are_down(site: Site) -> None:
    await goes_down(site, "FBR-100300")
    async with asyncio.timeout(LIMIT_S):
        while site.house.reception.areas.spoken != "Şişli-4":  # the node's own task looks every few seconds
            await site.ask("core show uptime")
    files, after_s = await question(site)
    assert voice.names([each.stem for each in files]) == [
        "tr-lines_down_in-1", "tr-name-sisli-4", "tr-lines_down_in-2", "tr-last_four",
    ]  # fmt: skip
    lengths_s = [soundfile.info(str(each)).duration for each in files]
    assert min(lengths_s) > SHORT_S
    assert after_s > sum(lengths_s) - SHORT_S, "Asterisk left one of them out"


async def test_an_area_that_was_not_spoken_yet_is_not_named_and_nobody_waits_for_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def mute(self: Espeak, text: str, language: str, out: Path) -> None:
        raise SpeechError("expected speech, the test wants none")

    monkeypatch.setattr(Espeak, "speak", mute)
    await goes_down(site, "FBR-100314")
    assert not await site.house.reception.areas.look()
    files, _ = await question(site)
    assert voice.names([each.stem for each in files]) == ["tr-lines_down", "tr-last_four"]


async def question(site: Site) -> tuple[list[Path], float]:
    """What a stranger with a fault is asked, and how many seconds Asterisk took to play it to its end."""
    since = len(site.ari.passed)
    async with site.call(next(MOBILES), ["1"]):
        asked = await site.ari.until(lambda each: each.is_play and "last_four" in str(each.message), since=since)
        played = await site.ari.until(
            lambda each: each.message["type"] == "PlaybackFinished" and "last_four" in str(each.message), since=since
        )
    media = json.loads(asked.message["message_body"])["media"]
    return [Path(each.removeprefix("sound:") + ".wav") for each in media], played.at_s - asked.at_s


async def test_a_disputed_link_stops_at_once_and_what_it_told_is_open_again(site: Site) -> None:
    mobile, since = next(MOBILES), len(site.heard)
    async with site.call(mobile, []) as unknown:  # before anybody knows it
        await site.until(CallIdentified, unknown.conversation)
    async with site.call(mobile, ["1", "02125550101#", BORN, "1"]) as placed:
        await site.until(FlowEntered, placed.conversation, where=lambda event: event.node == "offer_link")
        await placed.call.press_each(["1"])
        made = await site.until(LinkMade, since=since)
    async with site.signed_in("admin") as client:
        answer = await client.post(f"/api/v1/links/{made.link}/verify", json={"method": "document"})
        assert answer.status_code in (200, 204), answer.text
    told = await site.until(InteractionsRelinked, where=lambda event: event.link == made.link)
    assert (told.party, told.count > 0) == (made.party, True)
    async with site.signed_in("agent1001") as client:
        answer = await client.post(f"/api/v1/links/{made.link}/dispute", json={"reason": "not_theirs"})
        assert answer.status_code in (200, 204), answer.text
    undone = await site.until(InteractionsRelinked, where=lambda event: event.link == made.link, count=2)
    assert (undone.party, undone.count) == (None, told.count)
    async with site.call(mobile, []) as again:
        who = await site.until(CallIdentified, again.conversation)
        await site.until(FlowEntered, again.conversation, where=lambda event: event.node == "stranger")
    assert who.outcome == "none"


async def test_who_only_has_a_number_of_the_household_is_offered_nothing(site: Site) -> None:
    """A forged caller ID is a match, and a match proves nothing: no link, no proposal, and no new number."""
    since = len(site.heard)
    async with site.call("05325550123", ["1", "1"]) as placed:
        await site.until(TicketOpened, placed.conversation)
        await site.until(FlowEntered, placed.conversation, where=lambda event: event.node == "after_ticket")
    await site.until(CallEnded, placed.conversation)
    assert "offer_link" not in path(site, placed)
    assert (site.found(LinkProposed, since=since), site.found(LinkMade, since=since)) == ([], [])


async def test_five_wrong_dates_of_birth_and_nobody_is_heard_about_this_household_for_a_while(site: Site) -> None:
    for day in range(1, 6):
        async with site.call(next(MOBILES), ["1", "02125550101#", f"0{day}011970"]) as placed:
            refused = await site.until(ProofRefused, placed.conversation)
            assert refused.why == "wrong"
    since = len(site.heard)
    async with site.call(next(MOBILES), ["1", "02125550101#", BORN]) as placed:  # the right one, too late
        refused = await site.until(ProofRefused, placed.conversation)
        await site.until(FlowEntered, placed.conversation, where=lambda event: event.node == "technical")
    assert refused.why == "slowed"
    assert site.found(ProofGiven, since=since) == []
