"""A ringing that could not be written because the records are away: the seat gets at least the number, at once."""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass

from cti import numbers
from screenpop import board
from screenpop.protocol import Card, Identity

OUTCOME = "unwritten"  # Identity.outcome of such a card


@dataclass(frozen=True, kw_only=True)
class UnwrittenOffer:
    """What the switch alone says about a ringing: whose device, for which caller's channel, since when."""

    device_channel: str
    channel: str
    agent: str
    number_raw: str
    queue: str
    rang_at: dt.datetime


def card_id(device_channel: str) -> str:
    return f"unwritten:{device_channel}"


def card(offer: UnwrittenOffer, region: str) -> Card:
    """The card of a call of which nothing but the number is known."""
    name, at = card_id(offer.device_channel), board.when(offer.rang_at)
    number = numbers.parse(offer.number_raw, region, from_trunk=True)
    return board.sealed(
        Card(
            id=name, version=0, offer=name, state="offered", reason="", number=_readable(number), number_kind=number.kind.value,
            caller_name="", did="", language="", queue=offer.queue, intent="", waited_s=0.0, arrived_at=at, offered_at=at,
            answered_at=None, cleared_at=None, identity=Identity(outcome=OUTCOME, level=0, method="", candidates=(), confirmed=None),
            tickets=(), outages=(), path=(), timeline=(), note="", recording=None,
        )
    )  # fmt: skip


def answered(card: Card, at: dt.datetime) -> Card:
    """The same card when the agent has taken the call."""
    return board.sealed(dataclasses.replace(card, state="talking", answered_at=board.when(at)))


def _readable(number: numbers.Number) -> str:
    if number.kind is numbers.Kind.WITHHELD:
        return ""
    return numbers.national(number.e164) if number.e164 else number.raw
