"""The area of the number that was called, and what the carrier says beside the caller's number, from the wire to the ledger."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy.orm import Session

from cti.demo.carrier import Caller
from cti.events import CallArrived, CallEnded, CallIdentified, FlowEntered
from cti.records import contact_points, links, parties
from cti.records.conversations import Conversation
from tests.live.site import STORY, STRANGER, Site

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

ISTANBUL, ANKARA = "02125550100", "03125550100"
DIGITS = "5550101"
VOUCHED = "<sip:+905339998877;verstat=TN-Validation-Passed@carrier.example>"
DIVERTED = "<sip:02125550199@carrier.example>;reason=no-answer;counter=1"
UPKEEP = {"Ping", "Setvar", "QueueStatus", "CoreShowChannels"}
HOSTILE = {
    "line ends": b"<sip:+90%0d%0aEvent:%20AgentCalled%0d%0aAction:%20Originate@x>",
    "dialplan": b'"):5:3,${SHELL(id)},${EXTEN},$[1+1]:did=+900000:from=1" <sip:+905339998877@x>',
    "forged": b'"his own \\" <tel:+905426667777;verstat=TN-Validation-Passed-A>):0:900" <sip:+905339998877@x>',
    "controls": b'"\x01\x1b]0;red\x07\x7f" <sip:+905339998877\x0b@x>',
    "no encoding": b"<sip:\xff\xfe\xc3\x28@x>;reason=\xf0\x9f\x98\x80",
    "long": b'"' + "ŞığÜ:,|".encode() * 100 + b'" <sip:+905339998877@x>',
    "signs": b":,=()|&;{}[]\\'" * 30,
}


def landline_in_ankara(session: Session, now: dt.datetime) -> str:
    holder = parties.add_party(session, name="Derya Tunç", now=now, source="test")
    number = f"+90312{DIGITS}"
    line = parties.add_subscription(
        session, number="L-312", kind="landline", holder=holder, line_number=number, now=now
    )
    point = contact_points.ensure(session, "phone", number, now=now)
    links.link(session, point, subscription=line.id, role="line_number", source="test", by="test", now=now)
    return line.id


async def arrived(site: Site, caller: Caller, *, to: str = ISTANBUL) -> CallArrived:
    async with site.call(caller, to=to) as placed:
        await site.until(FlowEntered, placed.conversation)
    await site.until(CallEnded, placed.conversation)
    return site.found(CallArrived, placed.conversation)[0]


async def evidence(site: Site, arrival: CallArrived) -> dict[str, str] | None:
    return await site.house.db.read(lambda session: session.get_one(Conversation, arrival.conversation).evidence)


async def test_the_same_seven_digits_at_two_numbers_of_ours_are_two_subscriptions(site: Site) -> None:
    ankara = await site.house.db.work(landline_in_ankara, site.house.clock())
    found = {}
    for did, area in ((ISTANBUL, "212"), (ANKARA, "312")):
        arrival = await arrived(site, Caller(DIGITS), to=did)
        assert (arrival.raw, arrival.number) == (DIGITS, f"+90{area}{DIGITS}")
        who = site.found(CallIdentified, arrival.conversation)[0]
        found[area] = {line for candidate in who.candidates for line in candidate.subscriptions}
    assert await site.subscription() in found["212"]
    assert found["312"] == {ankara}


async def test_what_the_carrier_says_beside_the_number_is_in_the_ledger(site: Site) -> None:
    headers = (f"P-Asserted-Identity: {VOUCHED}", f"Diversion: {DIVERTED}", "P-Attestation-Indicator: B;")
    arrival = await arrived(site, Caller(STORY, headers=tuple(each.encode() for each in headers)))
    assert arrival.number == f"+9{STORY}", "the number in From is the caller's"
    assert (arrival.asserted, arrival.diverted_from, arrival.attestation) == ("+905339998877", "+902125550199", "B")
    assert await evidence(site, arrival) == {
        "asserted": "+905339998877", "diverted_from": "+902125550199", "attestation": "B"
    }  # fmt: skip


async def test_a_withheld_number_is_matched_to_nobody_although_the_carrier_knows_it(site: Site) -> None:
    for caller in (
        Caller("", withheld=True, asserted=STORY),
        Caller("", raw_from=b"<sip:anonymous@anonymous.invalid>", asserted=STORY),
    ):
        arrival = await arrived(site, caller)
        assert (arrival.number_kind, arrival.number, arrival.asserted) == ("withheld", None, f"+9{STORY}")
        assert site.found(CallIdentified, arrival.conversation)[0].candidates == ()
        assert await evidence(site, arrival) is None


async def test_who_shows_another_number_than_the_carrier_vouches_for_is_matched_by_what_he_shows(site: Site) -> None:
    arrival = await arrived(site, Caller(STRANGER, asserted=STORY))
    assert (arrival.number, arrival.asserted) == (f"+9{STRANGER}", f"+9{STORY}")
    assert site.found(CallIdentified, arrival.conversation)[0].outcome == "none"


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_bytes_in_the_carriers_headers_do_no_harm(site: Site, kind: str) -> None:
    actions, junk = len(site.ami.actions), HOSTILE[kind]
    names = (b"P-Asserted-Identity", b"Diversion", b"P-Attestation-Indicator", b"Attestation-Info")
    arrival = await arrived(site, Caller(STORY, name="Şule", headers=tuple(name + b": " + junk for name in names)))
    assert (arrival.number, arrival.did, arrival.caller_name) == (f"+9{STORY}", ISTANBUL, "Şule")
    assert arrival.asserted in {"", "+905339998877"}
    assert arrival.attestation == ""
    assert len(arrival.diverted_from) <= 80
    assert not any(ord(letter) < 32 or ord(letter) == 127 for letter in arrival.diverted_from)
    assert set(site.ami.actions[actions:]) <= UPKEEP
    assert site.house.ami.suspicious == 0
