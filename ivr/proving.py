"""What a caller keyed against what the records know, and his answer to the offer of a link: each a piece of database work.

Who has the call taken over from another node asks again: the same visit gets the same answer, and counts no second guess.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypedDict
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
        level = _Attempt(session, row, self.settings, now).of(self.wanted.answers, self.wanted.level)
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


class _By(TypedDict):
    """What an attempt is counted by, beside the customer."""

    number: str | None
    did: str
    now: dt.datetime
    how: proofs.How


class _Attempt:
    """Answers of one caller, each held against the records whatever came of the one before: a miss does the same work as a hit."""

    def __init__(self, session: Session, row: Conversation, settings: Wishes, now: dt.datetime) -> None:
        self._session, self._row, self._now = session, row, now
        self._region = settings.default_region
        self._area = numbers.area_of(row.did, settings.default_region, settings.areas)
        self._unseen_days = settings.link_unseen_days

    def of(self, answers: Mapping[str, str], wanted: int) -> int:
        """The level that the caller has reached; 0 when something was wrong, nobody may try at the moment, or it is below `wanted`. That
        counts as wrong like any other, whoever has the number that he keyed: otherwise his own count would tell whether anybody has."""
        claim = self._claim(answers)
        ids = proofs.counted(self._session, claim)
        by = self._counted_by(answers)
        may = proofs.may_try(self._session, **by, customers=ids)
        held = {Factor(each): self._answered(claim, Factor(each), answers[each]) for each in FURTHER if each in answers}
        given = {factor: answer for factor, answer in held.items() if answers[factor]}
        shown = _shown(claim, given)
        if may and shown is not None and proofs.would_reach(self._row, shown) >= max(wanted, Level.MATCHED):
            return self._right(shown, ids if given else ())
        if may:
            guessed = any(each.possible for each in given.values())
            proofs.wrong(self._session, **by, customers=ids if guessed else ())
        asked = list(answers)[-1]
        proofs.refused(self._session, self._row.id, asked, "wrong" if may else "slowed", by=CALLER, now=self._now)
        return 0

    def _counted_by(self, answers: Mapping[str, str]) -> _By:
        narrows = Factor.LAST_FOUR in answers and not any(each in answers for each in FURTHER)
        how = proofs.How.LAST_FOUR if narrows else proofs.How.KEYS
        return {"number": self._row.number, "did": self._row.did, "now": self._now, "how": how}

    def _claim(self, answers: Mapping[str, str]) -> proofs.Claim | None:
        if IDENTIFIER in answers:
            return proofs.identify_by(
                self._session, answers[IDENTIFIER], area=self._area, region=self._region, now=self._now
            )
        if Factor.LAST_FOUR in answers:
            return proofs.narrow(self._session, answers[Factor.LAST_FOUR], self._now)
        return proofs.claim_of(self._row)

    def _answered(self, claim: proofs.Claim | None, factor: Factor, answer: str) -> proofs.Answer:
        return proofs.answered(
            self._session, claim, factor, answer, conversation=self._row.id, now=self._now, region=self._region,
            area=self._area,
        )  # fmt: skip

    def _right(self, claim: proofs.Claim, ids: tuple[str, ...]) -> int:
        who = proofs.apply(
            self._session, self._row.id, claim, factor=claim.factors[-1], by=CALLER, now=self._now,
            unseen_days=self._unseen_days,
        )  # fmt: skip
        if ids and who.level >= Level.KEYED:
            proofs.right(self._session, customers=proofs.cleared(claim, ids))
        return int(who.level)


def _shown(claim: proofs.Claim | None, given: Mapping[Factor, proofs.Answer]) -> proofs.Claim | None:
    """The claim with the answers that were given; None when one of them was wrong."""
    whose = [each.whose for each in given.values()]
    if claim is None or None in whose:
        return None
    person = next(filter(None, whose), None) or claim.person
    return replace(claim, person=person, factors=tuple(dict.fromkeys((*claim.factors, *given))))


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
