"""When which part is broken: a plan made from a seed, before anything runs. Pure; faults.py carries it out.

No two faults overlap, and between two there is time to heal: the promise is about any *one* part.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.chaos.evidence import (
    ASTERISK,
    BUS_KILL,
    BUS_PAUSE,
    DATABASE,
    DISK,
    KILL,
    PAUSE,
    SOCKETS,
    STALL,
)

FIRST_S = 6.0  # calls are under way by then
# How long each fault lasts; what is killed is started again by then at the latest.
LASTS_S = {
    KILL: 4.0, PAUSE: 5.0, SOCKETS: 0.0, STALL: 5.0, DATABASE: 10.0, BUS_KILL: 3.0, BUS_PAUSE: 5.0, ASTERISK: 5.0, DISK: 8.0,
}  # fmt: skip
HEAL_S = 5.0  # from the end of one fault to the beginning of the next
OF_NODES = frozenset({KILL, PAUSE})


@dataclass(frozen=True)
class Planned:
    """A fault to come, in seconds from the first call."""

    at_s: float
    kind: str
    target: str
    lasts_s: float


def steady(kind: str, nodes: Sequence[str], *, every_s: float, until_s: float) -> list[Planned]:
    """One kind of fault again and again, the nodes in turn: never both at once."""
    if every_s <= LASTS_S[kind] + 1.0:
        raise ValueError(
            f"expected more than {LASTS_S[kind] + 1:g} s between two faults of kind {kind}, got {every_s:g}"
        )
    times = itertools.takewhile(lambda at_s: at_s < until_s, itertools.count(FIRST_S, every_s))
    return [Planned(at_s, kind, node, LASTS_S[kind]) for at_s, node in zip(times, itertools.cycle(nodes), strict=False)]


def mixed(kinds: Sequence[str], nodes: Sequence[str], *, seed: int, until_s: float) -> list[Planned]:
    """All kinds, each once before any comes again, in an order and on nodes that the seed decides."""
    chance = random.Random(seed)
    planned: list[Planned] = []
    at_s = FIRST_S
    for kind in _rounds(kinds, chance):
        if at_s >= until_s:
            return planned
        planned.append(Planned(at_s, kind, chance.choice(list(nodes)) if kind in OF_NODES else "", LASTS_S[kind]))
        at_s += LASTS_S[kind] + HEAL_S + chance.uniform(0, 2)
    return planned


def _rounds(kinds: Sequence[str], chance: random.Random) -> Iterator[str]:
    while kinds:
        yield from chance.sample(list(kinds), len(kinds))
