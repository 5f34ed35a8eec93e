"""Asks the outside CRM about callers whom our own records do not know for sure, beside the call: a caller never waits for it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable

import structlog

from cti.crm import Resolver
from cti.db import AWAY, Database
from cti.events import CallIdentified, Recorded
from cti.identity import UNSEEN_DAYS
from cti.records import crm
from cti.records.crm import CrmParty

log = structlog.get_logger(__name__)


class Enquiry:
    """Writes down what comes, early or late: the agent's page shows it as soon as it is there. Subscribe `hear` to what this node
    commits. `unseen_days`: see identity.expired."""

    def __init__(
        self, db: Database, resolver: Resolver, clock: Callable[[], dt.datetime], unseen_days: int = UNSEEN_DAYS
    ) -> None:
        self._db, self._resolver, self._clock, self._unseen_days = db, resolver, clock, unseen_days
        self._tasks: set[asyncio.Task[None]] = set()
        resolver.on_late = self._came

    def hear(self, recorded: Recorded) -> None:
        """A subscriber of the ledger: a call of which our own records do not know for sure whose it is."""
        match recorded.event:
            case CallIdentified(conversation=conversation, method="caller_id", outcome="none" | "ambiguous"):
                self.begin(conversation)
            case _:
                pass

    def begin(self, conversation: str) -> None:
        """Returns at once."""
        task = asyncio.create_task(self._run(conversation), name="enquiry")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Until nobody waits for an answer; late ones may still come."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._resolver.close()

    async def _run(self, conversation: str) -> None:
        try:
            asked = await self._db.read(crm.question, conversation)
        except AWAY as error:
            log.warning("crm.not_asked", call=conversation, error=type(error).__name__)
            return
        if asked is None:
            return
        party = await self._resolver.resolve(asked.e164, did=asked.did, conversation=conversation)
        if party is not None:
            await self._came(conversation, party)

    async def _came(self, conversation: str, party: CrmParty) -> None:
        try:
            added = await self._db.work(crm.apply, conversation, party, self._clock(), self._unseen_days)
        except AWAY as error:
            log.warning("crm.not_written", call=conversation, error=type(error).__name__)
        except Exception as error:  # noqa: BLE001  the end of a job: what others say must not break a call or the next answer
            log.error("crm.not_written", call=conversation, error=type(error).__name__)
        else:
            log.info("crm.answered", call=conversation, added=added)
