"""After a gap, and every few seconds: the switch is compared with the ledger, and what is missing there is written, marked as such.

Beginnings (callers who wait, devices that ring, talks) come from the door itself (asterisk.ami_facts); here are the ends that nobody
heard. What the switch does not carry any more is over: no agent stays busy, no offer stays on a page without a live channel.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Sequence

import structlog

from cti.db import AWAY, Database
from cti.line import ChannelGone, LineFailed
from cti.switchboard import INTERRUPTED, UNHEARD, Switchboard, open_channels, open_devices

log = structlog.get_logger(__name__)

TAKEN_FOR = dt.timedelta(seconds=30)  # an end that is not in the ledger after this long is handed on again
MARGIN = dt.timedelta(
    seconds=3
)  # what began this shortly before may be newer than the list of channels; its end will be heard

Open = Sequence[tuple[str, dt.datetime]]


def ended(
    open_calls: Open, open_legs: Sequence[str], alive: frozenset[str], started_at: dt.datetime, now: dt.datetime
) -> Iterator[ChannelGone]:
    """The ends of all that is open in the ledger and no more in the switch, which was started at `started_at`."""
    for channel in open_legs:
        if channel not in alive:
            yield ChannelGone(now.timestamp(), channel, "", reconstructed=True)
    for channel, arrived_at in open_calls:
        if channel in alive:
            continue
        if arrived_at < started_at:
            yield ChannelGone(now.timestamp(), channel, INTERRUPTED, reconstructed=True)
        elif arrived_at < now - MARGIN:
            yield ChannelGone(now.timestamp(), channel, UNHEARD, reconstructed=True)


class Reconciler:
    """`compare` after each reading of the switch. `prefix`: channels of other switches have other names and are not ours to end."""

    def __init__(
        self,
        db: Database,
        switchboard: Switchboard,
        *,
        clock: Callable[[], dt.datetime],
        switch_started_at: Callable[[], Awaitable[dt.datetime]],
        prefix: str = "",
    ) -> None:
        self._db, self._switchboard, self._clock = db, switchboard, clock
        self._switch_started_at = switch_started_at
        self._prefix = prefix
        self._turn = asyncio.Lock()
        self._taken: dict[str, dt.datetime] = {}  # ends that were handed on, and when

    async def compare(self, alive: frozenset[str]) -> None:
        """`alive`: the ids of all channels that the switch has."""
        if not self._switchboard.leads or self._turn.locked():
            return  # `alive` would be old by the time of our turn
        async with self._turn:
            try:
                now, started_at = self._clock(), await self._switch_started_at()
                calls = [each for each in await self._db.read(open_channels) if each[0].startswith(self._prefix)]
                legs = [
                    each for each in await self._db.read(open_devices, now - MARGIN) if each.startswith(self._prefix)
                ]
            except (LineFailed, *AWAY) as problem:
                log.warning("reconcile.not_now", problem=f"{type(problem).__name__}: {problem}"[:160])
                return
            for gone in ended(calls, legs, alive, started_at, now):
                if gone.channel not in self._taken:  # it may still wait to be written
                    log.info("reconcile.ended", call=gone.channel, cause=gone.cause)
                    self._switchboard.take(gone)
                    self._taken[gone.channel] = now
            self._taken = {each: at for each, at in self._taken.items() if now - at < TAKEN_FOR}

    async def unheard(self, gone: ChannelGone) -> None:
        """An end that a door only infers, because the channel is not there any more: a switch that was started since then has cut the
        call. When that cannot be asked now, the next comparison finds the end again."""
        try:
            started_at = await self._switch_started_at()
            arrived_at = dict(await self._db.read(open_channels)).get(gone.channel)
        except (LineFailed, *AWAY) as problem:
            log.warning("reconcile.not_now", problem=f"{type(problem).__name__}: {problem}"[:160])
            return
        if arrived_at is not None and arrived_at < started_at:
            gone = dataclasses.replace(gone, cause=INTERRUPTED, reconstructed=True)
        self._switchboard.take(gone)
