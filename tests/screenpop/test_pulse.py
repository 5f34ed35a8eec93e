"""One clock for all browsers: who is asked, and whose connection ends."""

from __future__ import annotations

import asyncio

import pytest

from screenpop import pulse
from screenpop.pulse import PARTS, SEND_WAIT_S, SILENCE_S, Line, Pulse, judge
from screenpop.seat import QUEUE_MAX, Socket


def line(heard_s: float = 0.0, sending_since_s: float | None = None) -> Line:
    return Line(Socket(), heard_s=heard_s, sending_since_s=sending_since_s)


@pytest.mark.parametrize(
    ("seen", "now_s", "why"),
    [
        ({"heard_s": 10.0}, 10 + SILENCE_S, None),
        ({"heard_s": 10.0}, 10 + SILENCE_S + 0.1, "not heard of for 6 s"),
        ({"heard_s": 10.0, "sending_since_s": 10.0}, 10 + SEND_WAIT_S, None),
        ({"heard_s": 15.0, "sending_since_s": 10.0}, 10 + SEND_WAIT_S + 0.1, "a message was not taken in time"),
    ],
)
def test_who_says_nothing_or_takes_nothing_is_ended(seen, now_s, why):
    judged = line(**seen)
    judge([judged], now_s)
    assert judged.over.is_set() is (why is not None)
    assert (judged.why and (judged.why.code, str(judged.why))) == (why and (4408, why))


def test_whose_queue_ran_over_is_ended():
    judged = line()
    for _ in range(QUEUE_MAX + 1):
        judged.socket.send("x")
    judge([judged], 0)
    assert "does not keep up" in str(judged.why)


async def test_every_browser_is_asked_once_in_a_round_and_not_all_at_the_same_moment(monkeypatch):
    monkeypatch.setattr(pulse, "PING_S", 0.2)
    node, asked, round_over = Pulse(lambda: 1.0), [], asyncio.Event()

    def ask(lines: set[Line]) -> None:
        asked.append(len(lines))
        if len(asked) == PARTS:
            round_over.set()

    monkeypatch.setattr(node, "ask", ask)
    lines = [line() for _ in range(2 * PARTS)]
    for each in lines:
        node.watch(each)
    node.forget(lines[0])
    beating = asyncio.create_task(node.run())
    await asyncio.wait_for(round_over.wait(), 5)
    beating.cancel()
    assert sorted(asked[:PARTS]) == [1, *[2] * (PARTS - 1)]


async def test_a_node_that_stood_still_does_not_hold_it_against_its_browsers():
    node, browser = Pulse(lambda: 1.0), line()
    node.watch(browser)
    heard_s = browser.heard_s
    node.stood_still(10.0)
    judge([browser], heard_s + SILENCE_S + 1)
    assert not browser.over.is_set()
