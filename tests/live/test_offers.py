"""Whose page shows what while phones ring: the offer, its withdrawal, the answer, and nothing at anybody else's."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from cti.demo.phones import NEVER
from cti.events import (
    AgentStateChanged,
    CallAnswered,
    CallCleared,
    CallDelivered,
    CallDiverted,
    CallEnded,
    CallQueued,
    CallWrappedUp,
)
from tests.live.desk import at_desk, bare_seat
from tests.live.site import ANSWERS, STRANGER, Site

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_two_phones_ring_in_turn_and_only_their_pages_know(site: Site, browser: Browser) -> None:
    await site.phones.set(NEVER, "1001")
    site.ami.doubled = True
    async with (
        at_desk(site, browser, "agent1001") as first,
        at_desk(site, browser, "agent1002") as second,
        bare_seat(site, "agent1003") as third,
    ):
        async with site.call(STRANGER, ["0"]) as placed:
            conversation = placed.conversation
            assert (await first.card(conversation, "offered"))["queue"] == "customer_care"
            assert (await first.card(conversation, "withdrawn"))["reason"] == "no_answer"
            talking = await second.card(conversation, "talking")
            assert talking["waited_s"] > 0
        await second.card(conversation, "wrap_up")
        await site.until(AgentStateChanged, where=lambda event: event.agent == "1002" and event.reason == "wrap_up")
        await second.wrap_up(conversation, "fault_solved", "Modemi yeniden başlattık, düzeldi.")
        wrapped = await site.until(CallWrappedUp, conversation)
        await second.until("() => !window.santral.seat().agent.paused")
        await site.until(CallEnded, conversation)
        assert [first.troubles, second.troubles] == [[], []]
        assert site.ami.doubles > 20
        assert third.beyond_own_state() == [], "about a call that is not his"
        assert conversation not in str(third.messages)
    offers = site.found(CallDelivered, conversation)
    assert [each.agent for each in offers] == ["1001", "1002"], "one pop each, with every event delivered twice"
    assert len({each.offer for each in offers}) == 2
    assert [(each.agent, each.reason) for each in site.found(CallDiverted, conversation)] == [("1001", "no_answer")]
    assert [each.agent for each in site.found(CallAnswered, conversation)] == ["1002"]
    assert [each.agent for each in site.found(CallCleared, conversation)] == ["1002"]
    assert (wrapped.agent, wrapped.disposition, wrapped.note) == (
        "1002",
        "fault_solved",
        "Modemi yeniden başlattık, düzeldi.",
    )
    assert [len(site.found(kind, conversation)) for kind in (CallQueued, CallEnded, CallWrappedUp)] == [1, 1, 1]
    await site.phones.set(ANSWERS, "1001")


async def test_caller_who_hangs_up_while_it_rings_takes_the_offer_with_him(site: Site, browser: Browser) -> None:
    await site.phones.set(NEVER, "1001")
    site.ami.doubled = True
    async with at_desk(site, browser, "agent1001") as desk:
        async with site.call(STRANGER, ["0"]) as placed:
            await desk.card(placed.conversation, "offered")
        card = await desk.card(placed.conversation, "withdrawn")
        ended = await site.until(CallEnded, placed.conversation)
    assert (card["reason"], ended.reason) == ("caller_left", "abandoned_in_queue")
    assert (
        len(site.found(CallDelivered, placed.conversation)) == len(site.found(CallDiverted, placed.conversation)) == 1
    )
    await site.phones.set(ANSWERS, "1001")
