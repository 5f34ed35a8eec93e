"""Programs outside that a node tells and asks, where the settings name them: the SMS gateway and the CRM. Close it at the end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from cti.config import Settings
from cti.crm import Resolver
from cti.db import Database
from cti.enquiry import Enquiry
from cti.sender import Sender
from cti.sms import HttpGateway


class Neighbours:
    def __init__(self, settings: Settings, db: Database, clock: Callable[[], dt.datetime]) -> None:
        token = settings.sms_token.get_secret_value()
        self._gateway = HttpGateway(settings.sms_url, token) if settings.sms_url else None
        self.sender = Sender(db, self._gateway, clock)
        timeout_s, token = settings.crm_timeout_ms / 1000, settings.crm_token.get_secret_value()
        self._resolver = Resolver(settings.crm_url, token, timeout_s=timeout_s) if settings.crm_url else None
        self.enquiry = Enquiry(db, self._resolver, clock, settings.link_unseen_days) if self._resolver else None

    @property
    def crm_answers(self) -> bool:
        """False while the CRM is not asked because it failed."""
        return self._resolver is None or self._resolver.answers

    async def close(self) -> None:
        if self.enquiry is not None:
            await self.enquiry.close()
        if self._gateway is not None:
            await self._gateway.close()
