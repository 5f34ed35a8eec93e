"""The page of whose numbers are whose, a number's life, and what can be done on a customer's page."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from cti import auth, duplicates, ledger
from cti.db import Database
from cti.duplicates import Score
from cti.events import (
    Event,
    GuessingAlarmed,
    LinkDisputed,
    LinkEnded,
    LinkMade,
    LinkProposalSettled,
    LinkProposed,
    PartiesMerged,
)
from cti.identity import MATCHING_ROLES, MAY, Level
from cti.proof import POLICY, SLOW, Factor
from cti.records import contact_points, links, merge_proposals, merges, proposals
from cti.records.outbox import OutMessage
from cti.records.parties import Party
from cti.weights import names
from screenpop import customers, identity
from screenpop.pages import ROOM, error_page
from tests.fakes import company
from tests.fakes.house import FakeHouse, application, browser

EVIL = "\u202e<script>alert(1)</script>"
STRANGE = "+905421112233"


@pytest_asyncio.fixture
async def house(db: Database, now: Any) -> FakeHouse:
    await db.work(company.load, now)
    return FakeHouse(db, now)


async def signed_in(house: FakeHouse, role: Any, language: str = "en") -> httpx2.AsyncClient:
    def prepare(session):
        user = auth.add_user(
            session, name=role, display_name=role.title(), role=role, agent="", password_hash="none", language=language,
            now=house.now,
        )  # fmt: skip
        return auth.open_session(session, user, idle_s=1800, max_s=9000, now=house.now)

    app = application(house, identity.router, customers.router)
    app.state.error_page = error_page("Europe/Istanbul")
    client = browser(app)
    client.cookies.set(auth.cookie_name("http"), await house.db.work(prepare))
    return client


@pytest_asyncio.fixture(params=["tr", "en"])
async def selin(house: FakeHouse, request: pytest.FixtureRequest) -> AsyncIterator[httpx2.AsyncClient]:
    """A supervisor."""
    async with await signed_in(house, "supervisor", request.param) as client:
        yield client


@pytest_asyncio.fixture
async def zeynep(house: FakeHouse) -> AsyncIterator[httpx2.AsyncClient]:
    """An agent."""
    async with await signed_in(house, "agent") as client:
        yield client


async def party(house: FakeHouse, name: str = "Ali Yılmaz") -> str:
    return await house.db.read(lambda session: session.query(Party).where(Party.name == name).one().id)


async def events(house: FakeHouse, kind: type[Event]) -> list[Any]:
    return [each.event for each in await house.db.read(ledger.since, 0) if isinstance(each.event, kind)]


async def proposed(house: FakeHouse, name: str = "Ali Yılmaz") -> str:
    """A proposal of the strange number for this party."""
    whose = await party(house, name)

    def prepare(session):
        point = contact_points.ensure(session, "phone", STRANGE, now=house.now)
        made = proposals.propose(
            session, contact_point=point.id, party=whose, role="user", reason="agent", conversation=None, now=house.now
        )
        assert made is not None
        return made.id

    return await house.db.work(prepare)


async def alike(house: FakeHouse) -> str:
    reasons = (duplicates.Reason(next(iter(duplicates.BITS))),)
    one, other = await party(house, "Can Öz"), await party(house, "Deniz Işık")

    def prepare(session):
        made = merge_proposals.propose(session, one, other, Score(0.91, reasons), source="online", now=house.now)
        assert made is not None
        return made.id

    return await house.db.work(prepare)


def clean(html: str) -> None:
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", html)
    assert "\u202e" not in html


# --- who may ---

PAGES = ("/identity", "/identity/number?value=05421112233")
DECISIONS = (
    "/identity/links/x/accept", "/identity/links/x/refuse", "/identity/merges/x/merge", "/identity/merges/x/refuse",
    "/identity/merged/x/undo", "/identity/number/x/verify", "/identity/number/x/dispute", "/identity/number/x/end",
)  # fmt: skip


async def test_a_stranger_is_sent_to_sign_in(house):
    async with browser(application(house, identity.router, customers.router)) as stranger:
        for address in PAGES:
            answer = await stranger.get(address)
            assert (answer.status_code, answer.headers["location"][:15]) == (303, "/sign-in?next=/")
        forms = (*DECISIONS, "/customers/x/contacts", "/customers/x/links/y/end", "/customers/x/merge")
        for address in forms:
            answer = await stranger.post(address, data={"kind": "phone", "value": "x", "other": "y"})
            assert (answer.status_code, answer.headers["location"][:14]) == (303, "/sign-in?next=")


async def test_an_agent_neither_sees_nor_decides(house, zeynep):
    for address in PAGES:
        assert (await zeynep.get(address)).status_code == 403
    for address in (*DECISIONS, "/customers/x/merge"):
        assert (await zeynep.post(address, data={"other": "y"})).status_code == 403
    assert "/identity" not in (await zeynep.get(f"/customers/{await party(house)}")).text


@pytest.mark.parametrize("address", DECISIONS)
async def test_what_is_not_there_is_not_found(selin, address):
    assert (await selin.post(address)).status_code == 404


async def test_another_site_decides_nothing(house, selin):
    proposal = await proposed(house)
    answer = await selin.post(f"/identity/links/{proposal}/accept", headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    assert (await house.db.read(proposals.by_id, proposal)).state == "open"


# --- the page ---


async def test_nothing_waits(selin):
    answer = await selin.get("/identity")
    assert answer.status_code == 200
    assert "data-proposal" not in answer.text
    clean(answer.text)


async def test_the_policies_are_those_of_the_code(selin, house):
    html = (await selin.get("/identity")).text
    body = re.sub(r".*id=\"policies-title\"", "", html, flags=re.DOTALL)
    assert body.count("<tr>") >= len(MAY) + len(POLICY) + sum(len(each.windows) for each in SLOW.values()) + len(
        names()
    )
    assert str(house.settings.link_unseen_days) in body


@pytest.mark.parametrize("language", ["tr", "en"])
def test_every_word_of_the_records_has_a_text(language):
    texts = json.loads((ROOM / "texts" / f"{language}.json").read_text(encoding="utf-8"))
    words = {
        "weight": names(), "identity.reason": proposals.REASONS, "factor": Factor, "link": (*contact_points.STATES, "ended"),
        "happening": (*links.ONCE, *links.AGAIN, LinkProposed.type, LinkProposalSettled.type), "role": MATCHING_ROLES,
        "contact": customers.KINDS, "level": map(int, Level), "proposal": ("open", "accepted", "refused", "lapsed"),
    }  # fmt: skip
    assert [
        f"{prefix}.{each}" for prefix, all_of in words.items() for each in all_of if f"{prefix}.{each}" not in texts
    ] == []


async def test_a_link_that_is_proposed_is_accepted_with_a_button(house, selin):
    proposal = await proposed(house)
    html = (await selin.get("/identity")).text
    assert f"/identity/links/{proposal}/accept" in html
    assert "0542 111 22 33" in html
    assert "Ali Yılmaz" in html
    answer = await selin.post(f"/identity/links/{proposal}/accept")
    assert (answer.status_code, answer.headers["location"]) == (303, "/identity?said=done#main")
    assert proposal not in (await selin.get("/identity")).text
    (link,) = await house.db.read(contact_points.links_to, STRANGE)
    assert (link.state, link.party_id) == ("unverified", await party(house))


async def test_a_link_that_was_refused_meanwhile_is_said(house, selin):
    proposal = await proposed(house)
    await selin.post(f"/identity/links/{proposal}/refuse")
    answer = await selin.post(f"/identity/links/{proposal}/accept")
    assert answer.headers["location"] == "/identity?said=late#main"
    assert 'class="said error"' in (await selin.get(answer.headers["location"])).text


async def test_two_records_are_merged_and_parted_again(house, selin):
    proposal = await alike(house)
    html = (await selin.get("/identity")).text
    assert "Can Öz" in html
    assert (percent := re.search(r"%91|91%", html)), percent
    kept = await party(house, "Deniz Işık")
    await selin.post(f"/identity/merges/{proposal}/merge", data={"kept": kept})
    (made,) = await events(house, PartiesMerged)
    assert (made.kept, made.by) == (kept, "supervisor")
    assert f"/identity/merged/{made.merge}/undo" in (await selin.get("/identity")).text
    await selin.post(f"/identity/merged/{made.merge}/undo")
    (merged,) = await house.db.read(merges.recent)
    assert merged.undone_by == "supervisor"


async def test_two_that_are_two_are_no_longer_proposed(house, selin):
    proposal = await alike(house)
    await selin.post(f"/identity/merges/{proposal}/refuse")
    assert proposal not in (await selin.get("/identity")).text


async def test_alarms_say_about_whom(house, selin):
    def alarm(session):
        subject = session.query(Party).where(Party.name == "Ali Yılmaz").one().id
        for scope, whom in (("subscription", subject), ("number", "+90******33")):
            event = GuessingAlarmed(scope=scope, subject=whom, count=7, window_s=86_400)
            ledger.append(session, event, now=house.now)

    await house.db.work(alarm)
    html = (await selin.get("/identity")).text
    assert re.search(r'data-alarm="subscription".*?Ali Yılmaz', html, re.DOTALL)
    assert "+90******33" in html


# --- a number's life ---


@pytest.mark.parametrize("written", ["0532 555 01 23", "+905325550123", "(0532) 555-01-23"])
async def test_a_number_is_found_in_any_writing_with_all_that_was(house, selin, written):
    html = (await selin.get("/identity/number", params={"value": written})).text
    assert re.search(r'data-link="[^"]+".*?Ali Yılmaz', html, re.DOTALL)
    clean(html)


async def test_a_link_is_disputed_on_the_page_of_its_number(house, selin):
    (link,) = await house.db.read(contact_points.links_to, company.HIS)
    answer = await selin.post(f"/identity/number/{link.id}/dispute")
    assert answer.headers["location"] == f"/identity/number?link={link.id}&said=done#main"
    html = (await selin.get(answer.headers["location"])).text
    assert f"/identity/number/{link.id}/verify" in html
    assert [each.by for each in await events(house, LinkDisputed)] == ["supervisor"]
    await selin.post(f"/identity/number/{link.id}/verify")
    await selin.post(f"/identity/number/{link.id}/end")
    html = (await selin.get(answer.headers["location"])).text
    assert f"/identity/number/{link.id}/" not in html, "what has ended is not decided again"


@pytest.mark.parametrize("value", ["", "no number", EVIL, "9" * 200])
async def test_what_is_no_number_is_said(selin, value):
    answer = await selin.get("/identity/number", params={"value": value})
    assert answer.status_code == 200
    assert ("number-trouble" in answer.text) == bool(value)
    clean(answer.text)


async def test_a_number_that_nobody_ever_saw(selin):
    assert "data-link" not in (await selin.get("/identity/number?value=05429998877")).text


# --- a customer's page ---


@pytest.mark.parametrize(("kind", "value"), [
    ("postal", "Moda Caddesi 12/4"), ("email", "ali@example.com"), ("phone", "0542 111 22 33"), ("social", "@ali"), ("chat", "web-ali"),
])  # fmt: skip
async def test_a_contact_point_of_any_kind_is_added(house, zeynep, kind, value):
    page = f"/customers/{await party(house)}"
    answer = await zeynep.post(f"{page}/contacts", data={"kind": kind, "value": value, "role": "owner"})
    assert answer.headers["location"] == f"{page}?said=done#main"
    assert value in (await zeynep.get(page)).text
    assert (await events(house, LinkMade))[-1].by == "agent"


@pytest.mark.parametrize(("kind", "value"), [("phone", "beş yüz"), ("email", "nobody"), ("Shoe!", "42")])
async def test_what_cannot_be_one_is_said_and_not_added(house, zeynep, kind, value):
    page = f"/customers/{await party(house)}"
    answer = await zeynep.post(f"{page}/contacts", data={"kind": kind, "value": value})
    assert answer.headers["location"] == f"{page}?said=invalid#main"
    html = (await zeynep.get(answer.headers["location"])).text
    assert 'id="contact-invalid"' in html
    clean(html)


async def test_what_was_taken_from_him_is_added_again_only_when_somebody_insists(house, zeynep):
    (link,) = await house.db.read(contact_points.links_to, company.HIS)
    page = f"/customers/{await party(house)}"
    await zeynep.post(f"{page}/links/{link.id}/dispute")
    answer = await zeynep.post(f"{page}/contacts", data={"kind": "phone", "value": company.HIS, "role": "user"})
    assert answer.headers["location"] == f"{page}?said=disowned#main"
    html = (await zeynep.get(answer.headers["location"])).text
    assert ('id="contact-disowned"' in html, 'name="again"' in html) == (True, True)
    clean(html)
    given = {"kind": "phone", "value": company.HIS, "role": "user", "again": "true"}
    assert (await zeynep.post(f"{page}/contacts", data=given)).headers["location"] == f"{page}?said=done#main"
    links_now = await house.db.read(contact_points.links_to, company.HIS)
    assert sorted((each.role, each.state) for each in links_now) == [("owner", "disputed"), ("user", "unverified")]


async def test_somebody_at_home_is_asked_about_a_number_that_an_agent_adds(house, zeynep):
    page = f"/customers/{await party(house, 'Ayşe Yılmaz')}"
    await zeynep.post(f"{page}/contacts", data={"kind": "phone", "value": STRANGE})
    asked = await house.db.read(lambda session: session.query(OutMessage).one())
    (link,) = await house.db.read(contact_points.links_to, company.HIS)
    assert asked.contact_point_id == link.contact_point_id


@pytest.mark.parametrize(("decision", "kind"), [("dispute", LinkDisputed), ("end", LinkEnded)])
async def test_a_contact_that_is_not_his_is_disputed_or_ends(house, zeynep, decision, kind):
    (link,) = await house.db.read(contact_points.links_to, company.HIS)
    page = f"/customers/{await party(house)}"
    assert (await zeynep.post(f"{page}/links/{link.id}/{decision}")).status_code == 303
    assert [each.link for each in await events(house, kind)] == [link.id]
    other = f"/customers/{await party(house, 'Can Öz')}/links/{link.id}/{decision}"
    assert (await zeynep.post(other)).status_code == 404, "only on the page of whose it is"


async def test_a_second_record_is_found_and_merged(house, selin):
    page, other = f"/customers/{await party(house, 'Can Öz')}", await party(house, "Deniz Işık")
    html = (await selin.get(page, params={"q": "isik"})).text
    assert f'data-other="{other}"' in html
    answer = await selin.post(f"{page}/merge", data={"other": other})
    assert answer.headers["location"] == f"{page}?said=done#main"
    gone = await selin.get(f"/customers/{other}")
    assert (gone.status_code, gone.headers["location"]) == (303, page)


async def test_somebody_is_not_merged_with_himself_or_nobody(house, selin):
    himself = await party(house)
    answers = [await selin.post(f"/customers/{himself}/merge", data={"other": each}) for each in (himself, "nobody")]
    assert answers[0].headers["location"].endswith("said=late#main")
    assert answers[1].status_code == 404


async def test_an_agent_does_not_search_for_second_records(house, zeynep):
    html = (await zeynep.get(f"/customers/{await party(house)}?q=Deniz")).text
    assert "data-other" not in html
    assert 'id="merge"' not in html


async def test_a_customer_that_there_is_not(zeynep):
    assert (await zeynep.get("/customers/nobody")).status_code == 404
    assert (
        await zeynep.post("/customers/nobody/contacts", data={"kind": "phone", "value": "0542 111 22 33"})
    ).status_code == 404
