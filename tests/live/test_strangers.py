"""Numbers: every written form of a known one, and the callers of whom we know nothing, or too much."""

from __future__ import annotations

import asyncio
import csv
from collections import Counter
from pathlib import Path

import pytest

from cti.demo import load
from cti.demo.carrier import Caller
from cti.events import CallArrived, CallEnded, CallIdentified, CallQueued, FlowEntered, FlowFailed, FlowHeard
from cti.switchboard import open_channels
from ivr import document
from ivr import nodes as node_kinds
from ivr import store as flows
from tests.live.site import STRANGER, Site

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

FORMS = Path(__file__).parents[1] / "cti" / "data" / "written_forms.csv"
HOUSEHOLD = {"+902125550101", "+905325550123", "+905335550145"}  # the dead landline, and its two linked mobiles
AT_ONCE = 4
FLOOD = 1000
FLOOD_RATE = 20.0
STRANGERS = {
    # With the number as it comes and what it says; who is unknown is asked for the line in the demo's outage first.
    "unknown": (Caller(STRANGER), "none"),
    "ambiguous": (Caller("02165550200"), "ambiguous"),
    "withheld": (Caller("05325550123", withheld=True), "withheld"),
    "foreign": (Caller("+442079460123"), "none"),
    "malformed": (Caller("12ab34"), "malformed"),
    "without any number": (Caller("", raw_from=b"<sip:127.0.0.2>"), "withheld"),
}


def forms(*, by_sip: bool) -> list[tuple[str, str]]:
    """(as written, E.164) of those that can, or cannot, stand in a SIP address."""
    with FORMS.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["sip"] == "yes") == by_sip]
    return [(row["written"], row["e164"]) for row in rows]


async def test_every_form_that_a_carrier_may_send_is_the_same_subscription(site: Site) -> None:
    since, sent = len(site.heard), forms(by_sip=True)
    plain = [each for each in sent if load.NUMBER.fullmatch(each[0])]
    calls = load.calls(site.carrier, [load.Row(written) for written, _ in plain], rate=10, hold_s=0.1)
    odd = asyncio.Semaphore(AT_ONCE)

    async def call(written: str) -> None:
        async with odd, site.call(written):
            pass

    await asyncio.gather(calls, *(call(written) for written, e164 in sent if (written, e164) not in plain))
    await site.until(CallEnded, count=len(sent), since=since)
    arrived = site.found(CallArrived, since=since)
    assert Counter(each.number for each in arrived) == Counter(e164 for _, e164 in sent)
    subscription = await site.subscription()
    for each in arrived:
        who = site.found(CallIdentified, each.conversation)[0]
        lines = {line for candidate in who.candidates for line in candidate.subscriptions}
        assert (subscription in lines) == (each.number in HOUSEHOLD), each
        assert who.outcome == ("unique" if each.number in HOUSEHOLD else "none"), each


async def test_every_form_that_people_write_is_the_same_subscription(site: Site) -> None:
    subscription, written = await site.subscription(), forms(by_sip=False)
    ours = [each for each in [*written, *forms(by_sip=True)] if each[1] in HOUSEHOLD]
    assert len(ours) >= 200
    async with site.signed_in("agent1001") as client:
        for form, e164 in ours:
            found = (await client.get("/api/v1/identify", params={"number": form, "did": "+902125550100"})).json()
            assert (found["number"], found["outcome"]) == (e164, "unique"), form
            assert subscription in {line for each in found["candidates"] for line in each["subscriptions"]}, form


@pytest.mark.parametrize("kind", STRANGERS)
async def test_caller_without_a_known_subscription_goes_through_the_whole_flow_to_a_person(
    site: Site, kind: str
) -> None:
    caller, outcome = STRANGERS[kind]
    parties, since = await site.parties(), len(site.heard)
    asked = ["last_four"] if outcome == "none" else []
    async with site.call(caller, ["1", *("#" for _ in asked), "123456#", "#"]) as placed:
        queued = await site.until(CallQueued, placed.conversation)
    await site.until(CallEnded, placed.conversation)
    assert site.found(CallIdentified, placed.conversation)[0].outcome == outcome
    assert (queued.queue, queued.intent) == ("technical", "fault")
    assert [each.digits for each in site.found(FlowHeard, placed.conversation) if each.digits] == ["1", "123456"]
    nodes = [each.node for each in site.found(FlowEntered, placed.conversation)]
    assert nodes == ["stranger", *asked, "customer_number", "birth_date", "technical"]
    assert len(site.found(CallArrived, since=since)) == 1
    assert await site.parties() == parties


async def test_no_menu_has_only_sales_behind_it() -> None:
    """For every menu that the calls above can come to: some key, and saying nothing, lead elsewhere."""
    flow = document.read(flows.shipped("main"))
    menus = {name: node for name, node in flow.nodes.items() if isinstance(node, node_kinds.Menu)}
    assert "stranger" in menus
    for name, menu in menus.items():
        assert {choice.to for choice in menu.choices.values()} - {"sales"}, name
        assert "0" in menu.choices, f"{name}: a person is one key away"


async def test_a_thousand_unknown_calls_leave_no_party_and_no_open_conversation(site: Site) -> None:
    parties, since = await site.parties(), len(site.heard)
    rows = [load.Row(f"0542666{each:04d}") for each in range(FLOOD)]
    result = await load.calls(site.carrier, rows, rate=FLOOD_RATE, hold_s=0.1)
    await site.until(CallEnded, count=FLOOD, since=since)
    ended = Counter(each.conversation for each in site.found(CallEnded, since=since))
    assert (result.answered, result.failed) == (FLOOD, 0)
    assert {each.conversation for each in site.found(CallArrived, since=since)} == set(ended)
    assert set(ended.values()) == {1}
    assert all(each.outcome == "none" for each in site.found(CallIdentified, since=since))
    assert site.found(FlowFailed, since=since) == [], "a caller who hangs up is no failure of ours"
    assert await site.parties() == parties
    assert await site.house.db.read(open_channels) == []
