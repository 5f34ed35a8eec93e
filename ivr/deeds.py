"""What a caller's wish does in the records, at a wait of the flow: a ticket, a proof, a code, a link. Durable before anybody says so."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Protocol, assert_never

from sqlalchemy.orm import Session

from cti import identity
from cti.records import tickets
from ivr import caller, proving, steps
from ivr.keeping import Keeper, Means, Report

TICKET_S = 2.0  # deadlines of the call path, each for one piece of database work
PROOF_S = 2.0
NEEDED = {"fault": "open_fault_ticket", "notice": "ask_for_notice"}  # matter -> what of identity.MAY it is


class Keep(Protocol):
    """The call as it stands, and `then` in the same piece of work; `visit` names an effect that happens once."""

    async def __call__(self, wait_s: float, then: Callable[[Session, dt.datetime], Any], *, visit: str) -> Any: ...


class Deeds:
    """Of one call. `text` is a prompt of its flow as it reads now; "" for no prompt."""

    def __init__(self, keeper: Keeper, means: Means, *, keep: Keep, text: Callable[[str], str]) -> None:
        self._keeper, self._means, self._keep, self._text = keeper, means, keep, text

    async def do(self, wanted: steps.OpenTicket | steps.CheckProof | steps.SendCode | steps.SettleLink) -> steps.Heard:
        match wanted:
            case steps.OpenTicket():
                return await self.open(wanted)
            case steps.CheckProof():
                return await self.prove(wanted)
            case steps.SendCode():
                return await self.send_code(wanted)
            case steps.SettleLink():
                return await self.settle(wanted)
            case _:
                assert_never(wanted)

    async def open(self, wanted: steps.OpenTicket) -> steps.Heard:
        """What has no answer in time was not opened, as far as the caller is told. It is noted in the journal then; should it have been
        opened all the same, the replay finds that out."""
        keeper, visit = self._keeper, self._keeper.visit(wanted)
        if wanted.subscription and not self._may(NEEDED.get(wanted.matter, "change_data")):
            return steps.Failed(f"a caller of this level may not ask for {wanted.matter}")
        opened: tickets.Opened | None = None
        with keeper.patience("ticket"):
            opened = await self._keep(TICKET_S, self._opening(wanted), visit=visit)
        if opened is None:
            report = Report(wanted.matter, visit, wanted.subscription, self._text(wanted.text))
            return steps.Noted() if await keeper.noted(report) else steps.Failed("the ticket store did not answer")
        keeper.log.info("ticket.opened", node=wanted.node, number=opened.number, new=opened.new)
        return steps.Done({"ticket_number": opened.number}, new=opened.new)

    def _opening(self, wanted: steps.OpenTicket) -> Callable[[Session, dt.datetime], tickets.Opened]:
        keeper, text = self._keeper, self._text(wanted.text)
        return lambda session, now: tickets.open_for_visit(
            session, visit=keeper.visit(wanted), subscription=wanted.subscription, party=caller.party(keeper.arrival),
            matter=wanted.matter, channel="phone", conversation=keeper.conversation, text=text, now=now,
        )  # fmt: skip

    def _may(self, what: str) -> bool:
        return identity.may(self._keeper.arrival.identification.level, what)

    async def prove(self, wanted: steps.CheckProof) -> steps.Heard:
        """Whether an answer was right is told by what follows alone: neither by words nor by the time until they come."""
        keeper, visit = self._keeper, self._keeper.visit(wanted)
        checked: proving.Checked | None = None
        async with proving.unhurried():
            with keeper.patience("proof"):
                check = proving.Check(keeper.arrival, wanted, visit, self._means.settings)
                checked = await self._keep(PROOF_S, check, visit=visit)
        if checked is None:
            return steps.Failed("the records did not answer")
        keeper.log.info("proof.checked", node=wanted.node, questions=sorted(wanted.answers), reached=checked.level)
        if checked.arrival is None:
            return steps.Refused()
        keeper.arrival = checked.arrival
        return steps.Done(checked.facts)

    async def send_code(self, wanted: steps.SendCode) -> steps.Heard:
        """Whether there was a telephone to send it to is told by nothing: neither by what follows nor by the time until it does."""
        keeper, name, visit = self._keeper, self._means.settings.public_name, self._keeper.visit(wanted)
        asked = False
        async with proving.unhurried():
            with keeper.patience("code"):
                asked = await self._keep(
                    PROOF_S,
                    # When this runs, the call has the id under which it was written down.
                    lambda session, now: proving.send_code(
                        session, keeper.conversation, wanted, visit, name=name, now=now
                    ),
                    visit=visit,
                )
        keeper.log.info("code.asked", node=wanted.node, done=asked)
        return steps.Done({}) if asked else steps.Failed("the records did not answer")

    async def settle(self, wanted: steps.SettleLink) -> steps.Heard:
        """Whether the caller's number is to be known next time."""
        keeper, settled = self._keeper, False
        if wanted.take and not self._may("link_number"):
            return steps.Failed("a caller of this level may not link a number")
        with keeper.patience("link"):
            settle = proving.settle(keeper.conversation, wanted.take)
            settled = await self._keep(TICKET_S, settle, visit=keeper.visit(wanted))
        keeper.log.info("link.settled", take=wanted.take, done=settled)
        return steps.Done({"link_offer": False}) if settled else steps.Failed("the link was not made")
