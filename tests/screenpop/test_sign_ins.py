"""One question about all sign-ins of a node."""

from __future__ import annotations

import pytest

from cti.db import DatabaseTimeout
from screenpop.sign_ins import TOUCH_S, Watched
from tests.fakes.sign_ins import FakeSignIns


def watched(sign_ins: FakeSignIns, session: str, *, lively: bool = False) -> list[str]:
    """A browser; what is returned gets its session when it is signed out."""
    ended: list[str] = []
    sign_ins.watch(Watched(session, lambda: lively, lambda: ended.append(session)))
    return ended


async def test_all_are_asked_about_at_once_and_each_browser_of_a_sign_in_that_ended_is_out():
    sign_ins = FakeSignIns()
    stays, first, second = (watched(sign_ins, session) for session in ("a", "b", "b"))
    sign_ins.out.add("b")
    await sign_ins.check(0)
    assert sign_ins.asked == [{"a", "b"}]
    assert (stays, first, second) == ([], ["b"], ["b"])


async def test_nobody_is_asked_about_when_nobody_is_here():
    sign_ins = FakeSignIns()
    await sign_ins.check(0)
    assert sign_ins.asked == []


async def test_signs_of_life_are_written_down_together_and_rarely():
    sign_ins = FakeSignIns()
    for session, lively in (("a", True), ("b", False), ("c", True)):
        watched(sign_ins, session, lively=lively)
    for now_s in (0, 5, TOUCH_S - 1, TOUCH_S):
        await sign_ins.check(now_s)
    assert sign_ins.seen == [{"a", "c"}, {"a", "c"}]


async def test_who_worked_while_the_records_were_away_is_written_down_before_he_is_asked_about():
    sign_ins = FakeSignIns()
    browser = Watched("a", iter([True, False]).__next__, lambda: None)
    sign_ins.watch(browser)
    sign_ins.trouble = DatabaseTimeout("10 s")
    with pytest.raises(DatabaseTimeout):
        await sign_ins.check(0)
    sign_ins.trouble = None
    await sign_ins.check(5)
    assert sign_ins.seen == [{"a"}]
