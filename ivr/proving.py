"""What a caller keyed against what the records know, and his answer to the offer of a link: each a piece of database work.

Who has the call taken over from another node asks again: the same visit gets the same answer, and counts no second guess.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.orm import Session

from cti import numbers
from cti.identity import Level
from cti.proof import Factor
from cti.records import effects, proofs, proposals
from cti.records.conversations import Conversation
from cti.switchboard import Arrival
from ivr import caller, steps
from ivr.keeping import Wishes
from ivr.nodes import Value

log = structlog.get_logger(__name__)

UNHURRIED_S = 0.6  # a check takes as long as this, right or wrong; the records answer in a few milliseconds
CALLER = "caller"  # who settles a proposal by voice
IDENTIFIER = "identifier"  # a customer number, a subscription number or a landline: the records tell which
FURTHER = (Factor.BIRTH_DATE, Factor.PIN, Factor.ONE_TIME_CODE)  # what is asked once we know of whom to ask it


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
        level = _Attempt(session, row, self.settings, now).of(self.wanted.answers)
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


class _Attempt:
    """Answers of one caller, each held against the records whatever came of the one before: a miss does the same work as a hit."""

    def __init__(self, session: Session, row: Conversation, settings: Wishes, now: dt.datetime) -> None:
        self._session, self._row, self._now = session, row, now
        self._region = settings.default_region
        self._area = numbers.area_of(row.did, settings.default_region, settings.areas)

    def of(self, answers: Mapping[str, str]) -> int:
        """The level that the caller has reached; 0 when something was wrong, or nobody may try at the moment."""
        claim = self._claim(answers)
        customer = claim.customer if claim else None
        may = proofs.may_try(
            self._session, number=self._row.number, did=self._row.did, customer=customer, now=self._now
        )
        further = {Factor(question): answers[question] for question in FURTHER if answers.get(question)}
        persons = [self._answered(claim, factor, answer) for factor, answer in further.items()]
        if may and claim is not None and None not in persons:
            person = next(filter(None, persons), None)
            return self._right(replace(claim, person=person or claim.person), tuple(further))
        if may:
            proofs.wrong(self._session, number=self._row.number, did=self._row.did, customer=customer, now=self._now)
        asked = list(answers)[-1]
        proofs.refused(self._session, self._row.id, asked, "wrong" if may else "slowed", by=CALLER, now=self._now)
        return 0

    def _claim(self, answers: Mapping[str, str]) -> proofs.Claim | None:
        if IDENTIFIER in answers:
            return proofs.identify_by(
                self._session, answers[IDENTIFIER], area=self._area, region=self._region, now=self._now
            )
        if Factor.LAST_FOUR in answers:
            return proofs.narrow(self._session, answers[Factor.LAST_FOUR], self._now)
        return proofs.claim_of(self._row)

    def _answered(self, claim: proofs.Claim | None, factor: Factor, answer: str) -> str | None:
        return proofs.answered_by(
            self._session, claim, factor, answer, conversation=self._row.id, now=self._now, region=self._region,
            area=self._area,
        )  # fmt: skip

    def _right(self, claim: proofs.Claim, further: tuple[Factor, ...]) -> int:
        factors = tuple(dict.fromkeys((*claim.factors, *further)))
        claim = replace(claim, factors=factors)
        who = proofs.apply(self._session, self._row.id, claim, factor=factors[-1], by=CALLER, now=self._now)
        if not proofs.is_about(who, claim):
            return 0
        if further:
            proofs.right(self._session, customer=claim.customer)
        return int(who.level)


def standing(session: Session, arrival: Arrival) -> Arrival:
    """`arrival` with what has been proved in its call since; unchanged when nothing has."""
    found = proofs.standing(session, arrival.conversation)
    return arrival if found is None else replace(arrival, identification=found)


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
