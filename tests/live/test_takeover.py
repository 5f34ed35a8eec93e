"""A node dies, hangs or leaves while callers are with it, and the other one goes on: in the real switch, heard by the callers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from benchmarks.chaos.place import say
from cti.cluster import Node
from cti.demo.hearing import digit_runs
from cti.demo.tones import QUEUE_TONES
from cti.events import FlowHeard, FlowResumed, FlowStarted, TicketAppended, TicketOpened
from tests.live import cluster
from tests.live.cluster import LIMIT_S, Axe, Called, Pair, until
from tests.live.wire import Passing

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

STRANGER = "05425559999"
TAKEOVER_MAX_S = 3.0  # from the kill to the first word of whoever goes on
DEAD_MAN_MAX_S = 4.0
SILENCE_MAX_S = 3.0
READS = frozenset({"GET"})
PAGES = "santral_ws_clients"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    async with cluster.pair_of_nodes(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest_asyncio.fixture(loop_scope="module")
async def pair(started: Pair) -> Pair:
    """Both nodes live, and nobody is on the line."""
    await started.both()
    return started


# --- the ticket's number, killed at each step of saying it ---


class Report:
    """Follows the messages that say a ticket's number to one caller."""

    def __init__(self) -> None:
        self._request = self._playback = ""
        self._over = False

    def moment(self, passing: Passing) -> str:
        """ordered: the switch is asked to say it, the ticket is durable and nobody has heard of it; accepted: the switch answers that
        it does; finished: it tells that it was said to its end; next: that is kept, and the next question leaves the node. Empty for
        any other message."""
        said = passing.message
        if passing.is_play:
            return self._asked(passing)
        if not passing.up and self._request and said.get("request_id") == self._request:
            return "accepted"
        if said.get("type") == "PlaybackFinished" and said["playback"]["id"] == self._playback:
            self._over = True
            return "finished"
        return ""

    def _asked(self, passing: Passing) -> str:
        if self._over:
            return "next"
        if "digit-" not in passing.message.get("message_body", ""):
            return ""
        self._request, self._playback = passing.message["request_id"], passing.uri.rpartition("/")[2]
        return "ordered"


@dataclass(frozen=True)
class Step:
    """A moment between "opened" and "spoken". `at`: of Report.moment; empty: when the caller hears the number's third digit.
    `through`: the message of that moment still arrives."""

    name: str
    at: str = ""
    through: bool = False


STEPS = (
    Step("committed, and the order to say it has not left", "ordered"),
    Step("the order to say it has left", "ordered", through=True),
    Step("the order was accepted, and the node does not know", "accepted"),
    Step("in the middle of the digits"),
    Step("said, and the node does not know", "finished"),
    Step("said, and the node just heard so", "finished", through=True),
    Step("kept as said, and the next question has not left", "next"),
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
async def test_number_that_the_caller_hears_exists_whenever_its_node_dies(pair: Pair, step: Step) -> None:
    report = Report()
    axe = Axe(pair, lambda passing: step.at == report.moment(passing) != "", through=step.through)
    pair.wire.on_message = axe
    async with pair.call(heard="menu") as called:
        await opens_ticket(called)
        if not step.at:
            await until_digits(called, 3)
            axe.strike(called.node)
        await asyncio.wait_for(axe.fallen.wait(), LIMIT_S)
        assert axe.node is called.node
        (opened,) = [each for each in await pair.story(called.channel) if isinstance(each, TicketOpened)]
        sorry = await called.hears("resumed", since_s=axe.fell_at_s)
        pair.mend(called.node)
        await called.hears("after_ticket", since_s=sorry.end_s)
        runs = digit_runs(called.live.tones)
    say(f"{step.name}: the other node is heard {sorry.begin_s - axe.fell_at_s:.2f} s after the kill; heard {runs}")
    number = opened.number
    assert number in runs, "he heard it whole"
    assert all(number.startswith(run) for run in runs), "and no other one"
    assert sorry.begin_s - axe.fell_at_s < TAKEOVER_MAX_S
    assert await pair.tickets(opened.conversation or "") == [number]
    kinds = Counter(type(each) for each in await pair.story(called.channel))
    assert (kinds[TicketOpened], kinds[TicketAppended], kinds[FlowResumed]) == (1, 0, 1)


async def opens_ticket(called: Called, since_s: float = 0.0) -> None:
    await called.press("1", at="menu", since_s=since_s)
    await called.press("1", at="restarted", since_s=since_s)


async def until_digits(called: Called, many: int) -> None:
    """So many digits of the number have been heard."""
    heard_s = 0.0
    for _ in range(many):
        heard_s = (await called.hears(*(f"digit-{each}" for each in range(10)), since_s=heard_s)).begin_s + 0.13


async def test_key_whose_ticket_was_not_yet_opened_is_asked_for_again(pair: Pair) -> None:
    async with pair.call(heard="menu") as called:
        await called.press("1", at="menu")
        await called.hears("restarted")
        axe = pair.wire.on_message = Axe(pair, silences, through=False)
        await called.live.press("1")
        await asyncio.wait_for(axe.fallen.wait(), LIMIT_S)
        assert not any(isinstance(each, TicketOpened) for each in await pair.story(called.channel))
        sorry = await called.hears("resumed", since_s=axe.fell_at_s)
        pair.mend(called.node)
        await called.press("1", at="restarted", since_s=sorry.end_s)
        await called.hears("after_ticket", since_s=sorry.end_s)
        opened = await pair.told(called.channel, TicketOpened)
    say(f"key pressed, ticket not opened: the other node is heard {sorry.begin_s - axe.fell_at_s:.2f} s after the kill")
    assert set(digit_runs(called.live.tones)) == {opened.number}
    assert await pair.tickets(opened.conversation or "") == [opened.number]


def silences(passing: Passing) -> bool:
    """A node stops a prompt because a key has cut it off: the first thing it does with a key."""
    return passing.up and passing.method == "DELETE" and "playbacks/" in passing.uri


# --- a node that hangs ---


async def test_node_that_hung_touches_the_call_no_more_when_it_wakes(pair: Pair) -> None:
    async with pair.call(heard="menu") as called:
        hung, survivor = called.node, pair.other(called.node)
        since, paused_at_s = len(pair.wire.passed), asyncio.get_running_loop().time()
        hung.pause()
        await called.live.press("3")  # it lies in the hung node's socket, and is read when it wakes
        try:
            await pair.came_to(survivor, called.channel, since)
            sorry = await called.hears("resumed", since_s=paused_at_s)
        finally:
            since = len(pair.wire.passed)
            hung.resume()
        await opens_ticket(called, since_s=sorry.end_s)
        await called.hears("after_ticket", since_s=sorry.end_s)
        await until(lambda: is_back(pair, hung), "the node that hung to serve again")
        orders = [each for each in pair.wire.passed[since:] if commands(each, called.channel)]
    say(f"the other node is heard {sorry.begin_s - paused_at_s:.2f} s after SIGSTOP")
    assert sorry.begin_s - paused_at_s < TAKEOVER_MAX_S
    assert {each.node for each in orders} == {survivor.settings.application}, [each.message for each in orders]
    assert [each.long_s for each in called.live.gaps if each.begin_s > sorry.begin_s] == []
    kinds = Counter(type(each) for each in await pair.story(called.channel))
    assert (kinds[FlowStarted], kinds[FlowResumed], kinds[TicketOpened]) == (1, 1, 1)


def commands(passing: Passing, channel: str) -> bool:
    """Whether a node orders something for this channel or its playbacks, more than to read."""
    return passing.up and channel in passing.uri and passing.method not in READS


async def is_back(pair: Pair, node: Node) -> bool:
    return await pair.gauge(node, "santral_calls_driven") == 0


# --- half a number ---


async def test_half_keyed_customer_number_is_read_back_and_gone_on_with(pair: Pair) -> None:
    async with pair.call(STRANGER, heard="stranger") as called:
        since = len(pair.wire.passed)
        await called.live.press("1")
        await pair.wire.until(
            lambda each: each.is_play and "customer_number" in str(each.message.get("message_body")), since=since
        )
        await called.live.press("1234")
        conversation = (await pair.told(called.channel, FlowStarted)).conversation or ""
        await until(lambda: keeps(pair, conversation, "1234"), "1234 to be kept")
        called.node.kill()
        killed_at_s = asyncio.get_running_loop().time()
        sorry = await called.hears("resumed", since_s=killed_at_s)
        pair.mend(called.node)
        await called.hears("digit-1", since_s=killed_at_s)
        await called.live.press(
            "567##"
        )  # he does not wait for the end of what is read back to him, nor says when he was born
        heard = await pair.told(called.channel, FlowHeard, where=lambda event: event.node == "customer_number")
        await called.hears("to_queue", since_s=killed_at_s)
        read_back = digit_runs(called.live.tones, killed_at_s)
    say(f"half a number: heard again after {sorry.begin_s - killed_at_s:.2f} s, read back {read_back}")
    assert read_back == ["1234"]
    assert heard.digits == "1234567"


async def keeps(pair: Pair, conversation: str, keys: str) -> bool:
    return await pair.keyed(conversation) == keys


# --- nothing was kept yet ---


async def test_call_of_which_nothing_was_kept_begins_anew_with_an_apology(pair: Pair) -> None:
    axe = Axe(pair, lambda passing: passing.up and passing.uri.endswith("/answer"), through=True)
    pair.wire.on_message = axe
    async with pair.call() as called:
        sorry = await called.hears("resumed")
        pair.mend(called.node)
        await called.hears("welcome", since_s=sorry.end_s)
        await opens_ticket(called, since_s=sorry.end_s)
        opened = await pair.told(called.channel, TicketOpened)
    say(f"nothing was kept: the other node is heard {sorry.begin_s - axe.fell_at_s:.2f} s after the kill")
    assert await pair.tickets(opened.conversation or "") == [opened.number]
    kinds = Counter(type(each) for each in await pair.story(called.channel))
    assert kinds[FlowStarted] == 1


# --- an orderly end ---


async def test_node_that_is_asked_to_end_hands_calls_and_pages_over(pair: Pair) -> None:
    await until(lambda: all_connected(pair), "all pages")
    on_each = {node.name: await pair.gauge(node, PAGES) for node in pair.nodes}
    leaving = max(pair.nodes, key=lambda node: on_each[node.name])
    async with pair.calls_on(leaving, 3) as callers:
        since, ended_at_s = len(pair.wire.passed), asyncio.get_running_loop().time()
        ending = asyncio.create_task(cluster.terminated(leaving))
        waits = [await called.hears("resumed", since_s=ended_at_s) for called in callers]
        for called, sorry in zip(callers, waits, strict=True):
            await pair.came_to(pair.other(leaving), called.channel, since)
            await called.press("1", at="menu", since_s=sorry.end_s)
            await called.hears("restarted", since_s=sorry.end_s)
        code = await ending
        await until(lambda: all_connected(pair), "all pages on the node that stays")
        tones = [each.name for called in callers for each in called.live.tones]
    after = ", ".join(f"{each.begin_s - ended_at_s:.2f}" for each in waits)
    desks = await asyncio.gather(*(desk.told() for desk in pair.place.desks))
    moved, pages = sum(each.what == "moved" for desk in desks for each in desk.moments), on_each[leaving.name]
    say(f"SIGTERM: exit code {code}; callers hear the other node after {after} s; pages told to move: {moved}")
    assert code == 0
    assert all(each.begin_s - ended_at_s < TAKEOVER_MAX_S for each in waits)
    assert not QUEUE_TONES & set(tones)
    assert moved >= pages > 0


async def all_connected(pair: Pair) -> bool:
    """Every agent's page is open at one of the nodes that live."""
    open_pages = [await pair.gauge(node, PAGES) for node in pair.nodes if node.alive]
    return sum(open_pages) == len(pair.place.desks)


# --- nobody is left ---


async def test_caller_reaches_the_queue_when_whoever_takes_him_over_dies_too(pair: Pair) -> None:
    async with pair.call(heard="menu") as called:
        heir = pair.other(called.node)
        axe = pair.wire.on_message = Axe(
            pair, lambda each: each.is_play and each.node == heir.settings.application, through=False
        )
        called.node.kill()
        killed_at_s = asyncio.get_running_loop().time()
        await asyncio.wait_for(axe.fallen.wait(), LIMIT_S)
        saved = await called.hears_queue(since_s=killed_at_s)
        silences = [gap.long_s for gap in called.live.gaps if gap.end_s > killed_at_s]
    say(f"both nodes killed: {saved.name} heard {saved.begin_s - axe.fell_at_s:.2f} s after the second one's end")
    assert saved.begin_s - axe.fell_at_s < DEAD_MAN_MAX_S
    assert max(silences, default=0.0) <= SILENCE_MAX_S


async def test_callers_of_the_only_node_reach_the_queue_when_it_dies(pair: Pair) -> None:
    only = await left_alone(pair)
    async with pair.calls_on(only, 2) as callers:
        only.kill()
        killed_at_s = asyncio.get_running_loop().time()
        saved = [await called.hears_queue(since_s=killed_at_s) for called in callers]
        silences = [gap.long_s for called in callers for gap in called.live.gaps if gap.end_s > killed_at_s]
    after = [each.begin_s - killed_at_s for each in saved]
    say(f"only node killed: {saved[0].name} heard after {', '.join(f'{each:.2f}' for each in after)} s")
    assert max(after) < DEAD_MAN_MAX_S
    assert max(silences, default=0.0) <= SILENCE_MAX_S


async def test_callers_of_the_only_node_are_served_again_when_it_comes_back_at_once(pair: Pair) -> None:
    only = await left_alone(pair)
    async with pair.calls_on(only, 2) as callers:
        only.kill()
        killed_at_s = asyncio.get_running_loop().time()
        starting = asyncio.create_task(only.start())
        served = [await called.hears("resumed", *QUEUE_TONES, since_s=killed_at_s) for called in callers]
        await starting
    after = ", ".join(f"{each.name} after {each.begin_s - killed_at_s:.2f} s" for each in served)
    say(f"only node killed and started again: {after}")
    assert all(each.begin_s - killed_at_s < DEAD_MAN_MAX_S for each in served)


async def left_alone(pair: Pair) -> Node:
    """One of the nodes, after the other one has ended in order."""
    only, leaving = pair.nodes
    await leaving.stop()
    return only
