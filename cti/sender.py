"""Sends what waits in the outbox. Every node runs one; a message is claimed, so that only one sends it at a time.

The answer is written down after the gateway gave it. A node that dies in between leaves the message to another after the claim's time,
which sends it again under the same id.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable

import structlog

from cti.db import AWAY, Database
from cti.records import outbox
from cti.records.outbox import Held
from cti.sms import Gateway, Taken

LOOK_EVERY_S = 1.0
LOOK_WITHOUT_GATEWAY_S = 30.0
AT_ONCE = 8  # messages on their way at the same time, on each node

log = structlog.get_logger(__name__)


class Sender:
    """`gateway` None: nothing is sent, and messages wait until they are worthless. `waiting` is for /metrics."""

    def __init__(
        self, db: Database, gateway: Gateway | None, clock: Callable[[], dt.datetime], *, channel: str = "sms"
    ) -> None:
        self._db, self._gateway, self._clock, self._channel = db, gateway, clock, channel
        self._said = False
        self.waiting = 0  # as of the last look

    async def run(self) -> None:
        """Until cancelled; outlives every absence of gateway and database."""
        while True:
            try:
                while await self.send_due():
                    pass
            except AWAY as error:
                log.warning("messages.not_looked", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001  the end of a job: its messages come back when their claim is over
                log.error("messages.failed", error=type(error).__name__)  # no traceback: texts are secret
            await asyncio.sleep(LOOK_EVERY_S if self._gateway else LOOK_WITHOUT_GATEWAY_S)

    async def send_due(self) -> int:
        """Send what is due now, at most AT_ONCE. Returns how many were tried."""
        now = self._clock()
        self.waiting, due = await self._db.read(outbox.look, now)
        if not due:
            return 0
        await self._db.work(outbox.drop_worthless, now)
        if self._gateway is None:
            self._say_once()
            return 0
        held = await self._db.work(outbox.claim, channel=self._channel, now=now, limit=AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for each in held:
                group.create_task(self._send(self._gateway, each))
        return len(held)

    async def _send(self, gateway: Gateway, held: Held) -> None:
        outcome = await gateway.send(id=held.id, to=held.to, text=held.text)
        now = self._clock()
        try:
            if isinstance(outcome, Taken):
                await self._db.work(outbox.sent, held, external_id=outcome.external_id, now=now)
                log.info("message.sent", message=held.id, attempt=held.attempt)
            else:
                await self._db.work(outbox.failed, held, error=outcome.why, final=outcome.final, now=now)
                log.warning("message.not_sent", message=held.id, attempt=held.attempt, error=outcome.why)
        except AWAY as error:  # it goes out again under its id when the claim is over
            log.warning("message.answer_not_kept", message=held.id, error=type(error).__name__)

    def _say_once(self) -> None:
        if not self._said:
            log.warning("messages.no_gateway", waiting=self.waiting, hint="set SANTRAL_SMS_URL")
        self._said = True
