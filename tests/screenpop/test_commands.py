"""What an agent may do, on which of his conversations, and what the switch is asked to do after the commit."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
import pytest_asyncio

from cti import ledger
from cti.line import LineFailed
from cti.switchboard import of_channel
from screenpop import commands
from screenpop.commands import By
from screenpop.protocol import Command
from screenpop.refused import Refused
from tests.fakes import company, story
from tests.fakes.story import Teller, row_of

RINGS = [
    {"flow": "arrives", "number": company.SHARED},
    {"flow": "queues", "intent": "fault"},
    {"fact": "DeviceRinging", "agent": "zeynep"},
]
ANSWERS = {"fact": "DeviceAnswered", "agent": "zeynep"}
ENDS = {"fact": "TalkEnded", "agent": "zeynep"}


@pytest_asyncio.fixture
async def teller(any_db, now):
    """Zeynep's device rings."""
    teller = await story.begin(any_db, now)
    await teller.tell(RINGS)
    return teller


async def refused(work: Awaitable[object]) -> str:
    with pytest.raises(Refused) as refusal:
        await work
    return refusal.value.code


async def events(teller: Teller, name: str) -> list[Any]:
    return [each.event for each in await teller.db.read(ledger.since, 0) if each.event.type == name]


async def test_a_note_is_kept_as_it_was_written(teller):
    await teller.step(ANSWERS)
    await teller.command("note", by="zeynep", text="Modem\nışığı <b>yanmıyor</b>\0")
    assert (await teller.db.read(of_channel, "c1")).note == "Modem\nışığı <b>yanmıyor</b>"


async def test_the_same_note_again_is_no_news(teller):
    await teller.step(ANSWERS)
    for _ in range(2):
        await teller.command("note", by="zeynep", text="Modem")
    assert len(await events(teller, "note.written")) == 1


DECISIONS = ["confirm_party", "link", "refuse_link", "dispute", "prove"]


@pytest.mark.parametrize("name", ["note", "wrap_up", "hang_up", *DECISIONS])
async def test_who_did_not_answer_may_not(teller, name):
    assert await refused(teller.command(name, by="zeynep", text="x", value="information")) == "not_answered"


@pytest.mark.parametrize("name", ["note", "wrap_up", "hang_up", "dismiss", *DECISIONS])
@pytest.mark.parametrize("by", ["murat", ""])
async def test_a_conversation_of_somebody_else_is_not_touched(teller, name, by):
    await teller.step(ANSWERS)
    assert await refused(teller.command(name, by=by, text="x", value="information")) == "not_yours"


async def test_the_caller_is_who_the_agent_says(teller):
    await teller.step(ANSWERS)
    before = (await teller.seat("zeynep")).seat.cards[0]
    party = before.identity.candidates[1].party
    for _ in range(2):
        await teller.command("confirm_party", by="zeynep", value=party)
    card = (await teller.seat("zeynep")).seat.cards[0]
    assert (before.identity.confirmed, card.identity.confirmed) == (None, party)
    assert {each.party for each in card.timeline} == {party}
    assert len(await events(teller, "party.confirmed")) == 1


async def test_nobody_is_confirmed_whom_we_do_not_know(teller):
    await teller.step(ANSWERS)
    assert await refused(teller.command("confirm_party", by="zeynep", value="somebody")) == "party"


async def test_wrap_up_waits_for_the_end_of_the_talk(teller):
    await teller.step(ANSWERS)
    assert await refused(teller.command("wrap_up", by="zeynep", value="information")) == "still_talking"
    await teller.step(ENDS)
    await teller.command("wrap_up", by="zeynep", value="information")
    assert (await teller.seat("zeynep")).seat.cards == ()


async def test_wrap_up_asks_for_a_reason_that_there_is(teller):
    await teller.tell([ANSWERS, ENDS])
    assert await refused(teller.command("wrap_up", by="zeynep", value="no such reason")) == "disposition"


async def test_wrapped_up_twice_is_told_once(teller):
    await teller.tell([ANSWERS, ENDS])
    for _ in range(2):
        await teller.command("wrap_up", by="zeynep", value="information", text="Bitti")
    assert [each.note for each in await events(teller, "call.wrapped_up")] == ["Bitti"]


async def test_wrap_up_carries_the_whole_note_so_that_it_can_be_emptied(teller):
    await teller.step(ANSWERS)
    await teller.command("note", by="zeynep", text="Modem")
    await teller.step(ENDS)
    await teller.command("wrap_up", by="zeynep", value="information", text="")
    assert (await teller.db.read(of_channel, "c1")).note == ""


async def test_only_a_missed_offer_can_be_put_away(teller):
    assert await refused(teller.command("dismiss", by="zeynep")) == "not_withdrawn"
    await teller.step({"fact": "DeviceStopped", "agent": "zeynep"})
    await teller.command("dismiss", by="zeynep")
    assert (await teller.seat("zeynep")).seat.cards == ()


async def test_hanging_up_ends_the_agent_s_own_leg(teller):
    await teller.step(ANSWERS)
    await teller.command("hang_up", by="zeynep")
    assert teller.controls.hung_up == ["zeynep-1"]


async def test_the_first_result_is_given_again_under_the_same_key(teller):
    await teller.step(ANSWERS)
    for _ in range(2):
        await teller.command("note", by="zeynep", text="Modem", key="one-and-the-same")
    assert len(await events(teller, "note.written")) == 1


# --- at the switch ---


class DeafSwitch(story.FakeControls):
    async def pause(self, device: str, paused: bool, reason: str) -> None:
        raise LineFailed("no answer within 5 s")

    hang_up = pause  # type: ignore[assignment]


def perform(
    teller: Teller, name: Any, *, paused_for: str = "", device: str = "PJSIP/zeynep", **given: str
) -> Awaitable[object]:
    command = Command(type="command", key="key-at-the-switch", name=name, **given)
    by = By("user-zeynep", "zeynep", device, paused_for)
    return commands.perform(command, by, db=teller.db, controls=teller.controls, clock=lambda: teller.now)


async def test_a_pause_keeps_calls_away_until_the_agent_is_ready(teller):
    await perform(teller, "pause", text="lunch")
    assert teller.controls.paused == {"PJSIP/zeynep": "lunch"}
    await perform(teller, "ready")
    assert teller.controls.paused == {}


async def test_who_has_no_phone_cannot_pause_it(teller):
    assert await refused(perform(teller, "pause", device="")) == "no_phone"


async def test_a_switch_that_does_not_answer_is_told(teller):
    teller.controls = DeafSwitch()
    assert await refused(perform(teller, "ready")) == "switch"


async def wrapped_up(teller: Teller, paused_for: str) -> None:
    await teller.tell([ANSWERS, ENDS])
    row = await teller.db.read(row_of, "c1")
    await perform(teller, "wrap_up", conversation=row.id, value="information", paused_for=paused_for)


@pytest.mark.parametrize(("paused_for", "ready"), [("wrap_up", True), ("lunch", False)])
async def test_after_wrap_up_calls_come_again_unless_the_pause_was_the_agent_s_own(teller, paused_for, ready):
    teller.controls.paused["PJSIP/zeynep"] = paused_for
    await wrapped_up(teller, paused_for)
    assert (teller.controls.paused == {}) == ready


async def test_a_wrap_up_is_kept_though_the_switch_does_not_answer(teller):
    teller.controls = DeafSwitch()
    await wrapped_up(teller, "wrap_up")
    assert (await teller.db.read(of_channel, "c1")).disposition == "information"
