"""One attempt by keys: all that a caller keyed is held against the records together, counted once, and answered once.

The questions are `identifier` (a customer number, a subscription number or a landline: the records tell which), `last_four`, and what only
he should know. What an agent asks goes through proofs.ask.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict

from sqlalchemy.orm import Session

from cti import numbers
from cti.identity import UNSEEN_DAYS, Level
from cti.numbers import NO_AREAS, Areas
from cti.proof import Factor
from cti.records import proofs
from cti.records.conversations import Conversation
from cti.records.proofs import CALLER

IDENTIFIER = "identifier"
FURTHER = (Factor.BIRTH_DATE, Factor.PIN, Factor.ONE_TIME_CODE)  # what is asked once we know of whom to ask it


class _By(TypedDict):
    """What an attempt is counted by, beside the customer."""

    number: str | None
    did: str
    now: dt.datetime
    how: proofs.How


class Attempt:
    """Answers of one caller, each held against the records whatever came of the one before: a miss does the same work as a hit."""

    def __init__(
        self,
        session: Session,
        row: Conversation,
        *,
        region: str,
        areas: Areas = NO_AREAS,
        unseen_days: int = UNSEEN_DAYS,
        now: dt.datetime,
    ) -> None:
        self._session, self._row, self._now = session, row, now
        self._region, self._area = region, numbers.area_of(row.did, region, areas)
        self._unseen_days = unseen_days

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
