"""The three doors against the real Asterisk, with SIPp as the carrier and as agents' phones."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cti.asterisk.agi import Agi, identify_script
from cti.asterisk.ami import Ami
from cti.asterisk.ari import Ari
from cti.asterisk.ari_line import AriLine
from cti.line import Ask, Digits, Fact, HungUp, MemberChanged, QueueJoined, ToQueue
from tests.live import switch
from tests.live.switch import Switch

pytestmark = pytest.mark.live

QUEUE = ToQueue(queue="default", conversation="0199-call", recording="off", priority=1)
MENU = Ask(keys_max=3, first_s=5, between_s=3)
LIMIT_S = 20.0
HOSTILE = {
    "quotes": r"\" ,, SET VARIABLE X 1",
    "line ends": "%0d%0aAction: Command%0d%0aCommand: core show version",
    "escapes": "\x1b]0;red\x07%1b;red%00",  # SIPp reads [31m as a keyword of its own
    "html": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "long": "Şıöçğü" * 45,
    "dialplan": "${SHELL(id)},1,2:did=+900000",
}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    with switch.running(tmp_path_factory.mktemp("asterisk")) as running:
        yield running


@pytest.fixture
def asterisk(started: Switch) -> Iterator[Switch]:
    """The running switch, without calls at the beginning of each test."""
    yield started
    started.clear()


@dataclass
class Bridge:
    """All doors of one node, and everything they told."""

    ari: Ari
    ami: Ami
    facts: list[Fact] = field(default_factory=list)
    heard: list[object] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, fact: Fact) -> None:
        self.facts.append(fact)
        self._news.set()

    def story(self) -> list[str]:
        """The facts in short, one leg's end left out: the two legs of a talk hang up in either order."""
        words = [(type(each).__name__, getattr(each, "agent", ""), getattr(each, "reason", "")) for each in self.facts]
        return [" ".join(filter(None, each)) for each in words if each[0] not in ("MemberChanged", "ChannelGone")]

    async def until(self, last: str) -> list[str]:
        async with asyncio.timeout(LIMIT_S):
            while last not in self.story():
                self._news.clear()
                await self._news.wait()
        return self.story()


@contextlib.asynccontextmanager
async def bridge(asterisk: Switch, life: Callable[[AriLine, Bridge], object]) -> AsyncIterator[Bridge]:
    """A node whose calls live as `life` says."""

    async def on_call(line: AriLine) -> None:
        try:
            await life(line, made)  # type: ignore[misc]
        except HungUp as gone:
            made.heard.append(gone)

    host, user, secrets = asterisk.plan.control_host, asterisk.secrets.user, asterisk.secrets
    made = Bridge(
        Ari(host, asterisk.plan.http_port, user, secrets.ari, "santral-1", on_call=on_call, may_claim=lambda: True),
        Ami(host, asterisk.plan.ami_port, user, secrets.ami, on_fact=lambda fact: made.note(fact)),
    )
    running = [asyncio.create_task(made.ari.run()), asyncio.create_task(made.ami.run())]
    try:
        async with asyncio.timeout(LIMIT_S):
            await made.ari.connected.wait()
            await made.ami.connected.wait()
        yield made
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def prompt(asterisk: Switch, seconds: float) -> str:
    return str(switch.silence(asterisk.folder / f"prompt-{seconds}.wav", seconds))


async def straight_to_queue(line: AriLine, made: Bridge) -> None:
    made.heard.append(line.caller)
    await line.answer()
    await line.to_queue(QUEUE)


async def test_caller_hears_a_prompt_presses_keys_and_talks_to_an_agent(asterisk):
    async def life(line: AriLine, made: Bridge) -> None:
        await line.answer()
        began = time.monotonic()
        await line.play([prompt(asterisk, 0.3), prompt(asterisk, 0.2)])
        made.heard.append(round(time.monotonic() - began, 1))
        made.heard.append(await line.ask([prompt(asterisk, 60)], MENU))
        await line.to_queue(QUEUE)

    async with bridge(asterisk, life) as made:
        phone = await asterisk.phone("ali", switch.answers(0.2))
        caller = await asterisk.call(then=switch.pause(1.0) + switch.dtmf("12#") + switch.pause(5))
        async with switch.ended(phone, caller):
            assert await made.until("TalkEnded ali") == [
                "QueueJoined",
                "DeviceRinging ali",
                "DeviceAnswered ali",
                "TalkEnded ali",
            ]
            assert await caller.wait() == 0
    assert 0.4 <= made.heard[0] <= 1.5  # type: ignore[operator]
    assert made.heard[1] == Digits("12")
    joined = next(fact for fact in made.facts if isinstance(fact, QueueJoined))
    assert (joined.conversation, joined.queue, joined.number_raw) == ("0199-call", "default", "+905321112233")


async def test_nobody_answers_then_the_next_agent_does(asterisk):
    async with bridge(asterisk, straight_to_queue) as made:
        phones = [
            await asterisk.phone("ali", switch.RINGS),
            await asterisk.phone("bora", switch.answers(0.2, talk_s=0.5)),
        ]
        caller = await asterisk.call(hang_up=False)
        async with switch.ended(caller, *phones):
            assert await made.until("TalkEnded bora") == [
                "QueueJoined",
                "DeviceRinging ali",
                "DeviceStopped ali no_answer",
                "DeviceRinging bora",
                "DeviceAnswered bora",
                "TalkEnded bora",
            ]


async def test_caller_hangs_up_while_a_phone_rings(asterisk):
    async with bridge(asterisk, straight_to_queue) as made:
        phone = await asterisk.phone("ali", switch.RINGS)
        caller = await asterisk.call(then=switch.pause(1.0))
        async with switch.ended(caller, phone):
            assert await made.until("QueueLeft") == [
                "QueueJoined",
                "DeviceRinging ali",
                "DeviceStopped ali caller_left",
                "QueueLeft",
            ]


async def test_caller_hangs_up_in_a_prompt(asterisk):
    gone = asyncio.Event()

    async def life(line: AriLine, made: Bridge) -> None:
        await line.answer()
        try:
            await line.play([prompt(asterisk, 60)])
        finally:
            gone.set()

    async with bridge(asterisk, life) as made:
        caller = await asterisk.call(then=switch.pause(0.5))
        async with switch.ended(caller), asyncio.timeout(LIMIT_S):
            await gone.wait()
    assert isinstance(made.heard[0], HungUp)


async def test_message_is_recorded(asterisk):
    recorded = asyncio.Event()

    async def life(line: AriLine, made: Bridge) -> None:
        await line.answer()
        made.heard.append(await line.record("message-1", max_s=2, silence_s=0))
        recorded.set()

    async with bridge(asterisk, life) as made:
        caller = await asterisk.call(then=switch.voice(asterisk.folder, 4) + switch.pause(4))
        async with switch.ended(caller), asyncio.timeout(LIMIT_S):
            await recorded.wait()
    assert made.heard == [2.0]


async def test_node_that_lost_its_socket_goes_on_with_the_call(asterisk):
    async def life(line: AriLine, made: Bridge) -> None:
        await line.answer()
        socket = made.ari._socket._socket
        assert socket is not None
        socket.transport.abort()
        await line.play([prompt(asterisk, 0.2)])
        await line.to_queue(QUEUE)

    async with bridge(asterisk, life) as made:
        caller = await asterisk.call(then=switch.pause(1.5))
        async with switch.ended(caller):
            assert (await made.until("QueueJoined"))[0] == "QueueJoined"


async def test_call_of_a_node_that_died_is_taken_over_by_its_successor(asterisk):
    async def silent(line: AriLine, made: Bridge) -> None:
        await line.answer()
        answered.set()
        await asyncio.Event().wait()

    async def resume(line: AriLine, made: Bridge) -> None:
        made.heard.append((line.why, line.caller.raw, line.caller.name))
        await line.to_queue(QUEUE)

    answered = asyncio.Event()
    async with bridge(asterisk, silent):
        caller = await asterisk.call(name="Şule", then=switch.pause(3))
        async with asyncio.timeout(LIMIT_S):
            await answered.wait()
    async with switch.ended(caller), bridge(asterisk, resume) as successor:
        await successor.until("QueueJoined")
    assert successor.heard == [("takeover", "+905321112233", "Şule")]


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_caller_is_only_text(asterisk, kind):
    async with bridge(asterisk, straight_to_queue) as made:
        caller = await asterisk.call(name=HOSTILE[kind], then=switch.pause(1))
        async with switch.ended(caller):
            assert (await made.until("QueueJoined"))[0] == "QueueJoined"
        assert made.ami.suspicious == 0
        known = made.heard[0]
        assert known.raw == "+905321112233"  # type: ignore[attr-defined]
        assert known.did == "+908501112233"  # type: ignore[attr-defined]
        assert len(known.name) <= 500  # type: ignore[attr-defined]


async def test_hostile_number_is_only_letters_and_digits(asterisk):
    async with bridge(asterisk, straight_to_queue) as made:
        asserted = '\nP-Asserted-Identity: "%0d%0aEvent: AgentCalled" <sip:90%0d%0aAction:%20Command@127.0.0.2>'
        caller = await asterisk.call(number="+90%0d%0aAction:%20Command", then=switch.pause(1), headers=asserted)
        async with switch.ended(caller):
            assert (await made.until("QueueJoined"))[0] == "QueueJoined"  # ali may ring already
        assert made.ami.suspicious == 0
        assert made.heard[0].raw.removeprefix("+").isalnum()  # type: ignore[attr-defined]


async def test_agent_is_paused_and_the_fact_comes_back(asterisk):
    async with bridge(asterisk, straight_to_queue) as made:
        await made.ami.queue_pause("PJSIP/ali", True, "öğle arası")
        members, _ = await made.ami.queue_status()
        assert ("ali", True, "öğle arası") in [(each.agent, each.paused, each.reason) for each in members]
        async with asyncio.timeout(LIMIT_S):
            while not any(isinstance(fact, MemberChanged) and fact.paused for fact in made.facts):
                made._news.clear()
                await made._news.wait()
        await made.ami.queue_pause("PJSIP/ali", False, "")


async def test_dialplan_of_somebody_else_asks_who_is_calling(tmp_path: Path):
    asked: list[tuple[str, str]] = []

    async def identify(number: str, did: str) -> Mapping[str, str]:
        asked.append((number, did))
        return {"SANTRAL_OUTCOME": "unique", "SANTRAL_PARTY": 'Şule "VIP" \\ Öz'}

    server = Agi("127.0.0.1", 0, {"identify": identify_script(identify)})
    await server.start()
    with switch.running(tmp_path, agi_port=server.port) as asterisk:
        asterisk.try_dialplan(
            f"""exten => _[+0-9]!,1,AGI(agi://127.0.0.1:{server.port}/identify)
 same => n,Log(NOTICE,result=${{SANTRAL_RESULT}} party=${{SANTRAL_PARTY}} outcome=${{SANTRAL_OUTCOME}})
 same => n,Answer(,i)
 same => n,Hangup(16)"""
        )
        caller = await asterisk.call(name='x\\" EXEC System id', hang_up=False)
        async with switch.ended(caller), asyncio.timeout(LIMIT_S):
            await caller.wait()
        assert 'result=OK party=Şule "VIP" \\ Öz outcome=unique' in asterisk.log()
    await server.stop()
    assert asked == [("+905321112233", "+908501112233")]
