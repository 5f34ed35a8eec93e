"""Facts from the line -> events, idempotently (facts.py), and the desk at which they are taken in order (desk.py)."""

from cti.switchboard.desk import Member, Switchboard
from cti.switchboard.facts import (
    INTERRUPTED,
    UNHEARD,
    Arrival,
    arrived,
    of_channel,
    open_channels,
    open_devices,
    queued,
    take,
    withdraw,
)

__all__ = [
    "INTERRUPTED",
    "UNHEARD",
    "Arrival",
    "Member",
    "Switchboard",
    "arrived",
    "of_channel",
    "open_channels",
    "open_devices",
    "queued",
    "take",
    "withdraw",
]
