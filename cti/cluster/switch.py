"""The private Asterisk of a cluster: one that dies is started again, as `cti.run.exchange` does it, and it can be killed and paused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from cti.asterisk import pbx
from cti.asterisk.plan import Pbx, PbxError
from cti.cluster.programs import Say

ALIVE_CHECK_S = 0.2


class Switch:
    """Asterisk, running or not. `plan` is what `pbx.ask(plan, command)` wants."""

    name = "asterisk"

    def __init__(self, plan: Pbx, say: Say) -> None:
        self.plan = plan
        self._say = say
        self._running: pbx.Running | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """0: never started."""
        return self._running.pid if self._running else 0

    @property
    def alive(self) -> bool:
        return self._running is not None and self._running.alive

    @property
    def log(self) -> Path:
        return self.plan.home / "log" / "messages"

    async def start(self) -> None:
        """Run it, and keep it running from now on; returns when it is booted. Raises PbxError."""
        if not self.alive:
            self._running = await asyncio.to_thread(pbx.start, self.plan)
        self._keeper = self._keeper or asyncio.create_task(self._keep_alive(), name="asterisk")

    async def stop(self) -> None:
        """End it, and let it stay so. Calls are hung up. Twice is fine."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        if self._running is not None:
            self.resume()
            await asyncio.to_thread(self._running.stop)

    def kill(self) -> None:
        """kill -9; it is started again."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, sign: signal.Signals) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, sign)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(ALIVE_CHECK_S)
            if not self.alive:
                self._say("Asterisk died: starting it again")
                with contextlib.suppress(PbxError):  # tried again at the next look
                    self._running = await asyncio.to_thread(pbx.start, self.plan)
