"""What seats may ask of the switch, by AMI (queue membership) and ARI (legs)."""

from __future__ import annotations

from cti.asterisk.ami import Ami, AmiDown, AmiRefused
from cti.asterisk.ari import Ari
from cti.asterisk.wire import Unsafe
from cti.line import LineFailed


class SwitchControls:
    """`cti.line.Controls` at one switch."""

    def __init__(self, ami: Ami, ari: Ari) -> None:
        self._ami = ami
        self._ari = ari

    async def pause(self, device: str, paused: bool, reason: str) -> None:
        try:
            await self._ami.queue_pause(device, paused, reason)
        except (AmiDown, AmiRefused, Unsafe) as error:
            raise LineFailed(str(error)) from error

    async def hang_up(self, channel: str) -> None:
        await self._ari.hang_up(channel)
