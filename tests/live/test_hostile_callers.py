"""What strangers write into a name or a number is text on the page, and never a command to the switch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pytest
from playwright.async_api import Browser, expect

from cti.demo.carrier import Caller
from cti.demo.phones import NEVER
from cti.events import CallArrived, CallDelivered, CallEnded
from tests.live.desk import LIMIT_MS, at_desk
from tests.live.site import ANSWERS, Site
from tests.live.wire import Request

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

MARK = "\ufffd"
TURKISH = "ŞığÜöçİ" * 36  # 504 bytes
HARMLESS = "Harmless"
NAMES = {
    "quotes": r"\" ,, SET VARIABLE X 1 \\ ; ${SHELL(id)}",
    "encoded line ends": "%0d%0aAction: Originate%0d%0aChannel: Local/1@x%0d%0a%0d%0aEvent: AgentCalled",
    "escape sequences": "red \x1b]0;title\x07\x1b[31m alarm",
    "control characters": "a\x01b\x02c\x08d\x0be\x0cf\x1fg\x7fh",
    "html": "<b>bold</b><img src=x onerror=window.hacked=1>",
    "script": "</script><script>window.hacked=1</script>",
    "right to left": "\u202egro.live\u202c \u2066x\u2069 \u200bfdp.exe",
    "500 bytes of Turkish": TURKISH,
}
NUMBER = "+905426667777"


def written(name: str, number: str = NUMBER) -> Caller:
    """The From header with these very bytes between the quotes."""
    return Caller(number, raw_from=f'"{name}" <sip:{number}@127.0.0.2>'.encode())


UPKEEP = {"GET asterisk/info", "GET asterisk/ping", "GET applications/santral-#"}
AMI_UPKEEP = {"Ping", "Setvar", "QueueStatus", "CoreShowChannels"}  # Setvar: the dead-man's switch of each call


def shapes(requests: Sequence[Request]) -> Counter[str]:
    """Requests without the ids in them: a call is the same few of them, whoever calls. What the node asks by the clock is left out."""
    asked = Counter(f"{each.method} {re.sub(r'[0-9][0-9.-]*', '#', each.uri)}" for each in requests)
    return Counter({each: many for each, many in asked.items() if each not in UPKEEP})


@pytest.fixture(scope="module")
def usual() -> dict[str, Counter[str]]:
    """What a harmless call makes us ask of the switch, once it is known."""
    return {}


async def requests_of(site: Site, caller: Caller) -> tuple[Counter[str], CallArrived]:
    """One call as far as the ringing phone and its end: what we asked of the switch over ARI."""
    begin = len(site.ari.requests)
    async with site.call(caller, ["0"]) as placed:
        await site.until(CallDelivered, placed.conversation)
    await site.until(CallEnded, placed.conversation)
    return shapes(site.ari.requests[begin:]), site.found(CallArrived, placed.conversation)[0]


@pytest.mark.parametrize("kind", NAMES)
async def test_hostile_name_is_text_on_the_page_and_no_command_to_the_switch(
    site: Site, browser: Browser, usual: dict[str, Counter[str]], kind: str
) -> None:
    await site.phones.set(NEVER, "1001")
    if not usual:
        usual["ari"], _ = await requests_of(site, written(HARMLESS))
    begin, actions, commands = len(site.ari.requests), len(site.ami.actions), len(site.agi.commands)
    async with at_desk(site, browser, "agent1001") as desk:
        async with site.call(written(NAMES[kind]), ["0"]) as placed:
            card = await desk.card(placed.conversation, "offered")
            shown = desk.page.locator("[data-pop] dd.untrusted")
            await expect(shown).to_have_count(1, timeout=LIMIT_MS)
            text = await shown.text_content() or ""
            inside = await shown.evaluate("it => [...it.querySelectorAll('*')].map(each => each.tagName)")
            assert await desk.page.evaluate("window.hacked") is None
        await site.until(CallEnded, placed.conversation)
        assert desk.troubles == []
    assert set(inside) <= {"BDI", "SPAN"}, "only our own elements"
    assert not any(each < " " or each in "\x7f\u202e\u202c\u2066\u2069\u200b" for each in text)
    arrived = site.found(CallArrived, placed.conversation)[0]
    assert (arrived.number, card["caller_name"]) == (NUMBER, arrived.caller_name)
    assert readable(text) == readable(arrived.caller_name)
    assert readable(text) == readable(NAMES[kind]), "what he wrote is what the agent reads, to the last letter"
    assert shapes(site.ari.requests[begin:]) == usual["ari"]
    assert set(site.ami.actions[actions:]) <= AMI_UPKEEP
    assert len(site.ami.actions) - site.ami.responses in range(4), "an answer for each action, but for those under way"
    assert len(site.agi.commands) == commands
    assert site.house.ami.suspicious == 0
    await site.phones.set(ANSWERS, "1001")


def readable(text: str) -> str:
    """Without the marks and blanks that stand for characters which hide or command."""
    return re.sub(
        rf"[\s{MARK}\x00-\x1f\x7f\u202e\u202c\u2066\u2069\u200b]+", "", text.replace('\\"', '"').replace("\\\\", "\\")
    )


async def test_hostile_number_is_no_command_either(site: Site, usual: dict[str, Counter[str]]) -> None:
    await site.phones.set(NEVER, "1001")
    actions = len(site.ami.actions)
    asserted = b'P-Asserted-Identity: "%0d%0aEvent: AgentCalled" <sip:90%0d%0aAction:%20Originate@127.0.0.2>'
    hostile = Caller(NUMBER, raw_from=b"<sip:+90%0d%0aEvent:%20AgentCalled%0d%0a%0d%0a@127.0.0.2>", headers=(asserted,))
    plain, _ = await requests_of(site, written(HARMLESS))
    asked, arrived = await requests_of(site, hostile)
    assert asked == plain
    assert arrived.raw.removeprefix("+").isalnum()
    assert arrived.number_kind == "malformed"
    assert set(site.ami.actions[actions:]) <= AMI_UPKEEP
    assert site.house.ami.suspicious == 0
    await site.phones.set(ANSWERS, "1001")
