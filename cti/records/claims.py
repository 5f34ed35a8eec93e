"""Whom a call is about, as far as the caller has shown it: by a number that he keyed, by his line that is down, by his caller ID.

What a stranger keys is looked up by the same statements whether it exists or not, and nothing ends early: neither the answer nor the
time that it takes tells which numbers there are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BindParameter, Integer, Row, Select, bindparam, literal_column, or_, select
from sqlalchemy.orm import Session

from cti import proof
from cti.identity import Level, Outcome
from cti.proof import Factor
from cti.records import lines
from cti.records.conversations import Conversation
from cti.records.parties import MERGED_MAX, SUBSCRIPTIONS_MAX, HouseholdMember, Party, Subscription, current

NOTHING = "-"  # what no id, no number and no date is
HOMES_MAX = 3  # of one party that are looked at


@dataclass(frozen=True)
class Claim:
    """`level` is what `factors` reach. It becomes a call's own only by proofs.apply."""

    subscription: str | None  # where a fault would be reported: what carries the line; None: there are several, or none
    party: str | None  # the holder
    household: str | None
    factors: tuple[str, ...]  # proof.Factor
    level: int
    person: str | None = None  # party who gave an answer that only he knows (proofs.answered)

    def is_of(self, household: str | None, party: str | None) -> bool:
        """Whether these are the claim's customer: the same home, or of who has none here the same party. Somebody who belongs to two
        homes makes them no more one customer than a name that both have on the door."""
        if self.household is None and household is None:
            return self.party is not None and self.party == party
        return self.household == household


@dataclass(frozen=True)
class _Hit:
    """One row that bears the number."""

    factor: Factor
    holder: str
    household: str | None  # of the subscription
    subscription: str | None


VALUE: BindParameter[str] = bindparam("value")


def _of_customer() -> Select[str]:
    """Who bears the customer number, or stands for him by now: the end of the chain of merges, by one statement however long it is."""
    bears = select(Party.id, Party.merged_into_id.label("kept"), literal_column("0", Integer).label("steps"))
    chain = bears.where(Party.customer_no == VALUE).cte("chain", recursive=True)
    further = select(Party.id, Party.merged_into_id, chain.c.steps + 1).join(chain, chain.c.kept == Party.id)
    ends = chain.union_all(further.where(chain.c.steps < MERGED_MAX))
    return select(ends.c.id).where(ends.c.kept.is_(None))


# Asked for every answer, so they are made once, and run past the ORM: making one costs more than running it.
OF_CUSTOMER = _of_customer()
BORNE = select(Subscription.id, Subscription.holder_id, Subscription.household_id).where(Subscription.status != "ended")
OF_NUMBER = BORNE.where(Subscription.number == VALUE)
OF_LINE = BORNE.where(Subscription.line_number == VALUE).order_by(Subscription.id).limit(SUBSCRIPTIONS_MAX)
HOMES = (
    select(HouseholdMember.household_id)
    .where(HouseholdMember.party_id == VALUE)
    .order_by(HouseholdMember.household_id)
    .limit(HOMES_MAX)
)
SERVICES = (
    select(Subscription.id, Subscription.depends_on_id)
    .where(or_(Subscription.holder_id == bindparam("holder"), Subscription.household_id == bindparam("household")))
    .where(Subscription.status != "ended")
    .limit(SUBSCRIPTIONS_MAX)
)


def identify_by(session: Session, digits: str, *, area: str, region: str, now: dt.datetime) -> Claim | None:
    """The customer whose customer number, subscription number or landline this is; told apart by the records. None: nobody's, or more
    than one customer's. Always the same five statements."""
    bare = proof.read_answer(Factor.CUSTOMER_NUMBER, digits) or NOTHING
    line = proof.read_answer(Factor.LANDLINE, digits, region=region, area=area) or NOTHING
    connection = session.connection()
    party = connection.scalar(OF_CUSTOMER, {"value": bare})
    billed = connection.execute(OF_NUMBER, {"value": bare}).all()
    wired = connection.execute(OF_LINE, {"value": line}).all()
    hits = [_Hit(Factor.SUBSCRIPTION_NUMBER, row.holder_id, row.household_id, row.id) for row in billed]
    hits += [_Hit(Factor.LANDLINE, row.holder_id, row.household_id, row.id) for row in wired]
    hits += [_Hit(Factor.CUSTOMER_NUMBER, party, None, None)] if party else []
    return _claim(session, hits[0] if len({hit.holder for hit in hits}) == 1 else None)


def narrow(session: Session, last_four: str, now: dt.datetime) -> Claim | None:
    """The one line that is down now and ends with these digits. None: there is none, it is up, there are several, or two customers have
    it; always the same statements, and which of these it was shows nowhere."""
    down = lines.ending_with(session, last_four, now)
    only = down[0] if len({(each.line_number, each.holder_id) for each in down}) == 1 else None
    return _claim(session, _Hit(Factor.LAST_FOUR, only.holder_id, only.household_id, only.id) if only else None)


def claim_of(row: Conversation) -> Claim | None:
    """Whom the call is about already, by its caller ID or by what was proved since. None: nobody, or more than one customer."""
    if row.outcome != Outcome.UNIQUE or not row.candidates:
        return None
    homes = {each["household"] for each in row.candidates}
    return _of(row, row.candidates[0]["party"], homes.pop() if len(homes) == 1 else None)


def about(session: Session, row: Conversation, party: str) -> Claim | None:
    """The claim that the caller is `party`, whom an agent chose: one of the call's candidates, or somebody whom he found by what the
    caller told him. None: there is no such party."""
    known = session.get(Party, party)
    if known is None:
        return None
    chosen = next((each for each in row.candidates if each["party"] == party), None)
    if chosen is not None:
        return _of(row, party, chosen["household"])
    return _claim(session, _Hit(Factor.AGENT, current(session, party), None, None))


def counted(session: Session, claim: Claim | None) -> tuple[str, ...]:
    """Ids against which wrong answers about the claim's customer are counted, all of them: his household, he himself, and his other
    homes; a line that is nobody's is one of its own. Empty for no claim, after the same statement."""
    party = claim.party if claim and claim.party else NOTHING
    homes = session.connection().scalars(HOMES, {"value": party}).all()
    if claim is None:
        return ()
    named = [each for each in (claim.household, claim.party, *homes) if each] or [claim.subscription or NOTHING]
    return tuple(dict.fromkeys(named))


def cleared(claim: Claim, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `ids` (see `counted`) that a proof of the claim ends the counting for: all of them when the holder himself gave it, else
    none of his other homes, which whoever lives with him here says nothing about."""
    if claim.person is not None and claim.person == claim.party:
        return ids
    return tuple(each for each in (claim.household, claim.party, claim.person) if each)


def factors_of(row: Conversation) -> tuple[str, ...]:
    """What the caller has shown of his candidates: what he proved, or his number alone. A number whose signature does not hold shows
    nothing."""
    forged = (row.evidence or {}).get("attestation") == "failed"
    return tuple(row.proof or ()) or (() if forged or row.level < Level.MATCHED else (Factor.CALLER_ID,))


def _claim(session: Session, hit: _Hit | None) -> Claim | None:
    """The hit's household and the service at the bottom of it. Nothing is left out when there was no hit."""
    holder = hit.holder if hit else NOTHING
    connection = session.connection()
    homes = connection.scalars(HOMES, {"value": holder}).all()
    household = hit.household if hit and hit.subscription else homes[0] if len(homes) == 1 else None
    services = connection.execute(SERVICES, {"holder": holder, "household": household or NOTHING}).all()
    if hit is None:
        return None
    carrier = _carrier(services, hit.subscription)
    return Claim(carrier, hit.holder, household, (hit.factor,), int(proof.level((hit.factor,))))


def _carrier(services: Sequence[Row[str, str | None]], subscription: str | None) -> str | None:
    """What carries `subscription`, or the only one that carries the others."""
    below = {row.id: row.depends_on_id for row in services}
    if subscription is None:
        carriers = [each for each, under in below.items() if under not in below]
        return carriers[0] if len(carriers) == 1 else None
    met = {subscription}
    while (under := below.get(subscription)) and under in below and under not in met:
        met.add(under)
        subscription = under
    return subscription


def _of(row: Conversation, party: str | None, household: str | None) -> Claim:
    factors = factors_of(row)
    return Claim(row.subscription_id, party, household, factors, int(proof.level(factors)))
