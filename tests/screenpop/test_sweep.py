"""How often a seat is looked at because time went by."""

from __future__ import annotations

from screenpop.hub import EMPTY_SWEEP, SWEEP_PARTS, is_due
from tests.fakes import company


def due(seat) -> int:
    """How often in ten rounds."""
    return sum(is_due(seat, turn) for turn in range(SWEEP_PARTS * EMPTY_SWEEP))


async def test_a_seat_with_a_card_is_looked_at_in_every_round_and_an_empty_one_rarely(desk):
    zeynep, murat = (desk.hub.seats[agent] for agent in ("zeynep", "murat"))
    await desk.teller.tell([
        {"flow": "arrives", "number": company.HIS}, {"flow": "queues", "intent": "fault"},
        {"fact": "DeviceRinging", "agent": "zeynep"},
    ])  # fmt: skip
    await desk.settle()
    assert (due(zeynep), due(murat)) == (EMPTY_SWEEP, 1)


async def test_a_seat_without_browsers_is_looked_at_in_every_round_so_that_it_is_forgotten_in_time(desk):
    desk.pages["murat"].leave()
    assert due(desk.hub.seats["murat"]) == EMPTY_SWEEP
