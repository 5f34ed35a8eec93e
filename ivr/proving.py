"""What a caller keyed against what the records know, the code that he is sent, and his answer to the offer of a link: each a piece of
database work.

Who has the call taken over from another node asks again: the same visit gets the same answer, and counts no second guess.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.orm import Session

from cti.identity import Level
from cti.records import effects, proofs, proposals
from cti.records.attempts import Attempt
from cti.records.conversations import Conversation
from cti.switchboard import Arrival
from ivr import caller, steps
from ivr.keeping import Wishes
from ivr.nodes import Value

log = structlog.get_logger(__name__)

UNHURRIED_S = 0.6  # a check takes as long as this, right or wrong, and a code, sent or not; the records answer in a few milliseconds
CALLER = "caller"  # who settles a proposal by voice


@dataclass(frozen=True)
class Checked:
    """`arrival`: who he is now, and `facts` what the flow may know of him; None when he did not reach what was asked for."""

    level: int
    arrival: Arrival | None = None
    facts: dict[str, Value] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def unhurried() -> AsyncIterator[None]:
    """The block takes UNHURRIED_S, unless it takes longer."""
    loop = asyncio.get_running_loop()
    until = loop.time() + UNHURRIED_S
    yield
    await asyncio.sleep(max(0.0, until - loop.time()))


@dataclass(frozen=True)
class Check:
    """One attempt of one caller, as a piece of work."""

    arrival: Arrival
    wanted: steps.CheckProof
    visit: str
    settings: Wishes

    def __call__(self, session: Session, now: dt.datetime) -> Checked:
        once = effects.once(session, f"proof:{self.visit}", lambda same: self._try(same, now), now=now)
        if not once["proved"]:
            return Checked(once["level"])
        arrival = standing(session, self.arrival)
        return Checked(once["level"], arrival, self._facts(session, arrival, now))

    def _try(self, session: Session, now: dt.datetime) -> dict[str, int | bool]:
        row = session.get_one(Conversation, self.arrival.conversation)
        attempt = Attempt(
            session, row, region=self.settings.default_region, areas=self.settings.areas,
            unseen_days=self.settings.link_unseen_days, now=now,
        )  # fmt: skip
        level = attempt.of(self.wanted.answers, self.wanted.level)
        return {"proved": level >= self.wanted.level, "level": level}

    def _facts(self, session: Session, arrival: Arrival, now: dt.datetime) -> dict[str, Value]:
        zone, who = ZoneInfo(self.settings.time_zone), arrival.identification
        offer = proposals.of_conversation(session, arrival.conversation)
        return {
            "outcome": who.outcome.value,
            "level": int(who.level),
            "role": who.role,
            "link_offer": offer is not None and offer.state == "open" and who.level >= Level.KEYED,
            **caller.inside(session, arrival, zone=zone, now=now),
        }


def standing(session: Session, arrival: Arrival) -> Arrival:
    """`arrival` with what has been proved in its call since; unchanged when nothing has."""
    found = proofs.standing(session, arrival.conversation)
    return arrival if found is None else replace(arrival, identification=found)


def send_code(
    session: Session, conversation: str, wanted: steps.SendCode, visit: str, *, name: str, now: dt.datetime
) -> bool:
    """Have a code sent to the customer whom the call is about so far, once for each visit, and say nothing of whether anybody gets one.
    `name` is how the message calls us. NoResultFound when there is no such conversation."""

    def send(same: Session) -> dict[str, bool]:
        claim = proofs.claim_of(same.get_one(Conversation, conversation))
        proofs.request_code(same, conversation, claim, now=now, name=name, language=wanted.language)
        return {"asked": True}

    return bool(effects.once(session, f"code:{visit}", send, now=now)["asked"])


def settle(conversation: str, take: bool) -> Callable[[Session, dt.datetime], bool]:
    """Accept or refuse the proposal of this call for the caller. False: there is none any more, or it may not be taken."""

    def work(session: Session, now: dt.datetime) -> bool:
        proposal = proposals.of_conversation(session, conversation)
        if proposal is None:
            return False
        if not take:
            proposals.refuse(session, proposal.id, by=CALLER, now=now)
            return True
        try:
            proposals.accept(session, proposal.id, by=CALLER, now=now)
        except (LookupError, ValueError) as refused:
            log.warning("link.not_made", conversation=conversation, why=str(refused))
            return False
        return True

    return work
