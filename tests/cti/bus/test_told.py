"""However own, foreign and read events come together, each is told once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.bus import told
from cti.bus.told import Told

NUMBERS = st.integers(0, 30)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.just(0)),
        st.tuples(st.just("undo"), st.just(0)),
        st.tuples(st.just("hint"), NUMBERS),  # of this node or another: there is no difference
        st.tuples(st.just("begin"), st.just(0)),
        st.tuples(st.just("read"), st.integers(1, 5)),
    ),
    max_size=80,
)


class Node:
    """A ledger, and what one node told of it."""

    def __init__(self) -> None:
        self.numbers = Told()
        self.committed: list[int] = []
        self.heard: list[int] = []
        self.began_at: int | None = None
        self._last = 0

    def commit(self, _: int) -> None:
        self.undo(0)
        self.committed.append(self._last)

    def undo(self, _: int) -> None:
        self._last += 1

    def hint(self, which: int) -> None:
        if self.committed:
            self._take(self.committed[which % len(self.committed)])

    def begin(self, _: int) -> None:
        if self.began_at is None:
            self.began_at = max(self.committed, default=0)
            self.numbers.pass_to(self.began_at)

    def read(self, most: int) -> None:
        if self.began_at is None:
            return
        low = self.numbers.low
        assert low is not None
        for seq in [seq for seq in self.committed if seq > low][:most]:
            self.numbers.pass_to(seq - 1)
            self._take(seq)

    def _take(self, seq: int) -> None:
        if self.numbers.take(seq):
            self.heard.append(seq)


@pytest.mark.parametrize("room", [1, 3, 1000])
@given(actions=ACTIONS)
def test_each_event_is_told_once_in_any_interleaving(room, actions):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(told, "ABOVE_MAX", room)
        node = Node()
        for name, argument in actions:
            getattr(node, name)(argument)
        node.begin(0)
        node.read(len(node.committed))
    assert node.began_at is not None
    assert len(node.heard) == len(set(node.heard))
    assert {seq for seq in node.committed if seq > node.began_at} <= set(node.heard)
    assert not node.numbers.hole


def test_before_the_ledger_has_answered_news_is_told_and_not_told_again():
    numbers = Told()
    assert numbers.take(7)
    assert not numbers.take(7)
    numbers.pass_to(9)
    assert not numbers.take(7)
    assert not numbers.take(9)
    assert numbers.take(10)


def test_a_hole_closes_when_its_number_comes():
    numbers = Told()
    numbers.pass_to(4)
    assert [(numbers.take(seq), numbers.hole, numbers.low) for seq in (6, 5)] == [(True, True, 4), (True, False, 6)]


def test_without_room_an_event_is_left_to_the_ledger(monkeypatch):
    monkeypatch.setattr(told, "ABOVE_MAX", 2)
    numbers = Told()
    numbers.pass_to(0)
    assert [numbers.take(seq) for seq in (3, 4, 5)] == [True, True, False]
    for seq in (1, 2, 3, 4):
        numbers.pass_to(seq - 1)
        numbers.take(seq)
    assert numbers.take(5)
