"""The dead-man's switch of each call: the dialplan gives a call 2.8 s before it lets go of its driver, and we renew them while we live.

Nothing of ours has to run for it to work: a node that is dead, hung or cut off renews nothing, and Asterisk itself sends its callers to
the queue (extensions.conf, extension T). Renewed over AMI, because ARI lets such a request wait until the prompt's end (22.10). No
renewal may come after a call was given back: it would pull a caller out of the queue, or out of his talk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from cti.asterisk.ami import Ami, AmiDown, AmiRefused

RENEW_S = 0.6
VARIABLE = "TIMEOUT(absolute)"


class DeadMan:
    """`driven` are the channels that are ours at this moment, and certainly so. `after_s` 0: this dialplan has no such switch."""

    def __init__(self, ami: Ami, driven: Callable[[], Sequence[str]], after_s: float) -> None:
        self._ami, self._driven, self._after_s = ami, driven, after_s
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        while self._after_s:
            await asyncio.sleep(RENEW_S)
            await self.renew(self._driven())

    async def renew(self, channels: Sequence[str]) -> None:
        """From now on these have their whole time again. Returns when the switch has done it, or is not there."""
        if not channels or not self._after_s:
            return
        async with self._sending:
            self._ami.tell(
                "Setvar", ({"Channel": each, "Variable": VARIABLE, "Value": f"{self._after_s:g}"} for each in channels)
            )
            try:
                await self._ami.settled()
            except (AmiDown, AmiRefused):
                return  # what was sent may still be done, or not; the next renewal is soon

    def let_go(self, channel: str) -> None:
        """It went away from us by itself: a renewal that is still under way must not follow it into the queue. Whoever has it now
        renews it again within RENEW_S."""
        if self._after_s:
            self._ami.tell("Setvar", [{"Channel": channel, "Variable": VARIABLE, "Value": "0"}])

    async def released(self) -> None:
        """Nothing that was sent for a channel before this was asked is still under way."""
        async with self._sending:
            return
