"""Proof by keys or by answers: what somebody keyed against what the records know, and what follows for his call.

The order in one piece of work: `identify_by` or `narrow`, `counted`, `may_try` and `answered`, whatever came of the step before; then, if
the call `would_reach` what was wanted, `apply` and `right`, else `wrong` and `refused`. A claim of None is checked like any other, so that
a miss costs what a hit costs. Who claims what is in claims.py, the counting in guesses.py; what an agent asks goes through `ask`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from cti import ledger, proof
from cti.events import CallIdentified, Candidate, ProofGiven, ProofRefused, plain_of, value_of
from cti.identity import UNSEEN_DAYS, Identification, Level, Outcome
from cti.proof import IDENTIFIERS, Factor
from cti.records import codes, contact_points, links, pins, proposals, proved
from cti.records.claims import NOTHING, Claim, about, claim_of, cleared, counted, factors_of, identify_by, narrow
from cti.records.conversations import Conversation
from cti.records.guesses import How, may_try, right, wrong
from cti.records.parties import HouseholdMember, Party
from cti.records.proved import request_code

__all__ = [
    "Answer", "Claim", "How", "Verdict", "about", "answered", "apply", "ask", "check", "claim_of", "cleared", "counted",
    "identify_by", "may_try", "narrow", "refused", "request_code", "right", "standing", "would_reach", "wrong",
]  # fmt: skip

ADULT_YEARS = 18
ADULTS_MAX = 20  # of a household that are looked at
CHILD = "child"  # role in a household whose birth date opens nothing
ROLE = "user"  # of a link to whoever proved himself on that number
CALLER = "caller"  # who proves by keys; everybody else is an agent who asked

ADULTS = (
    select(Party.id, Party.birth_date)
    .where(
        or_(
            Party.id == bindparam("party"),
            Party.id.in_(
                select(HouseholdMember.party_id).where(
                    HouseholdMember.household_id == bindparam("household"), HouseholdMember.role != CHILD
                )
            ),
        ),
        Party.birth_date <= bindparam("latest"),
    )
    .order_by(Party.id)
    .limit(ADULTS_MAX)
)


@dataclass(frozen=True)
class Answer:
    """`whose` it was: a party's id, or "" when it does not tell one person from another. None: it was wrong; not `possible`: nothing
    would have been right, so it was no guess at the customer."""

    whose: str | None
    possible: bool = True


@dataclass(frozen=True)
class Verdict:
    """What an agent hears of an answer that he wrote down: never what the right one was."""

    right: bool
    level: int  # that the call has now
    slowed: bool = False  # not looked at: too many were wrong in this call


# --- against the records ----------------------------------------------------------------------------------------------


def check(
    session: Session,
    claim: Claim | None,
    factor: Factor,
    answer: str,
    *,
    conversation: str,
    now: dt.datetime,
    region: str = "TR",
    area: str = "",
) -> bool:
    """Whether `answer`, as he keyed or said it, is right of the claim's customer: any adult's birth date, the party's PIN, the code that
    was sent in this conversation (used up by it), or another number of his. Without a claim it is wrong after the same work. ValueError
    for a factor that is no answer."""
    held = answered(session, claim, factor, answer, conversation=conversation, now=now, region=region, area=area)
    return held.whose is not None


def answered(
    session: Session,
    claim: Claim | None,
    factor: Factor,
    answer: str,
    *,
    conversation: str,
    now: dt.datetime,
    region: str = "TR",
    area: str = "",
) -> Answer:
    """The same, and whose answer it was."""
    given = proof.read_answer(factor, answer, region=region, area=area) or NOTHING
    match factor:
        case Factor.BIRTH_DATE:
            return _born(session, claim, given, now)
        case Factor.PIN:
            party = claim.party if claim and claim.party else NOTHING
            has_one = session.scalar(pins.HASH_OF, {"party": party}) is not None
            return Answer(party if pins.is_pin(session, party, given) else None, has_one)
        case Factor.ONE_TIME_CODE:
            if given == NOTHING:  # who keyed none has not tried one
                return Answer(None)
            used = codes.use(session, purpose=proved.PURPOSE, subject=conversation, code=given, now=now)
            return Answer("" if used is not None and claim is not None else None)
        case Factor.CUSTOMER_NUMBER | Factor.SUBSCRIPTION_NUMBER | Factor.LANDLINE:
            found = identify_by(session, given, area=area, region=region, now=now)
            same = found is not None and claim is not None and claim.is_of(found.household, found.party)
            return Answer("" if same else None)
    raise ValueError(f"expected a factor that is an answer, got {factor}")


def _born(session: Session, claim: Claim | None, answer: str, now: dt.datetime) -> Answer:
    who = {
        "party": claim.party if claim and claim.party else NOTHING,
        "household": claim.household if claim and claim.household else NOTHING,
        "latest": f"{now.year - ADULT_YEARS:04}-{now:%m-%d}",
    }
    adults = session.connection().execute(ADULTS, who).all()
    whose = next((row.id for row in adults if proof.born(row.birth_date, answer)), None)
    return Answer(whose, possible=bool(adults))


# --- what follows -----------------------------------------------------------------------------------------------------


def apply(
    session: Session,
    conversation: str,
    claim: Claim,
    *,
    factor: str,
    by: str,
    now: dt.datetime,
    unseen_days: int = UNSEEN_DAYS,
) -> Identification:
    """The caller proved `factor`, beside the claim's other ones: write it down, and make the claim's customer the call's.

    What was proved of one customer never counts for another: a claim about somebody else begins anew, and does not replace what reached
    a higher level. Once a KEYED caller's number turns out to be nobody's of his, a link is proposed. The same again changes nothing.
    `unseen_days`: see identity.expired. LookupError when there is no such conversation.
    """
    row = session.get(Conversation, conversation, with_for_update=True)
    if row is None:
        raise LookupError(f"expected the id of a conversation, got {conversation!r}")
    same = _is_about(row, claim)
    factors, level = _together(row, claim, factor)
    if level < row.level or (same and set(factors) <= set(row.proof or ())):
        return _stands(row)
    claim = replace(claim, factors=factors, level=int(level))
    who = proved.identification(session, row, claim, now, unseen_days)
    row.subscription_id = claim.subscription or (row.subscription_id if same else None)
    row.outcome, row.level, row.proof = who.outcome.value, int(level), list(factors)
    row.candidates = plain_of(who.candidates)
    _tell(session, row, who, claim, factor, by, now)
    if level >= Level.KEYED:
        _link(session, row, claim, who, by, now)
    return Identification(who.outcome, level, who.candidates, who.carriers)


def would_reach(row: Conversation, claim: Claim, *further: str) -> Level:
    """The level at which `apply` would make the call the claim's customer's: NONE when it stays another's, of whom more was proved."""
    level = _together(row, claim, *further)[1]
    return level if level >= row.level else Level.NONE


def _is_about(row: Conversation, claim: Claim) -> bool:
    """Whether the call's candidates are the claim's customer, or he is one of them."""
    return any(claim.is_of(each["household"], each["party"]) for each in row.candidates)


def _together(row: Conversation, claim: Claim, *further: str) -> tuple[tuple[str, ...], Level]:
    """The claim's factors with what the call has shown of the same customer, and what they reach."""
    same = _is_about(row, claim)
    factors = tuple(dict.fromkeys((*(factors_of(row) if same else ()), *claim.factors, *further)))
    return factors, max(proof.level(factors), Level(row.level) if same else Level.NONE)


def _tell(
    session: Session, row: Conversation, who: proved.Proved, claim: Claim, factor: str, by: str, now: dt.datetime
) -> None:
    method = "agent" if by != CALLER else "narrowing" if factor == Factor.LAST_FOUR else "keys"
    ledger.append_all(session, [
        ProofGiven(
            conversation=row.id, factor=factor, factors=claim.factors, level=claim.level,
            subscription=row.subscription_id, by=by,
        ),
        CallIdentified(
            conversation=row.id, outcome=row.outcome, level=row.level, method=method, candidates=who.candidates,
            unlinked=who.unlinked,
        ),
    ], now=now)  # fmt: skip


def _link(session: Session, row: Conversation, claim: Claim, who: proved.Proved, by: str, now: dt.datetime) -> None:
    """The number was seen with him; or, when it is nobody's of his, whether it shall be is asked."""
    if row.number is None:
        return
    point = contact_points.ensure_form(session, "phone", row.number, raw=row.raw, now=now).id
    if not who.unlinked:
        links.seen(
            session, point, now=now, party=claim.person, household=claim.household, subscription=claim.subscription
        )
        return
    reason = "agent" if by != CALLER else "narrowing" if Factor.LAST_FOUR in claim.factors else "keyed"
    party = claim.person or (claim.party if claim.household is None else None)
    proposals.propose(
        session, contact_point=point, party=party, household=None if party else claim.household, role=ROLE, reason=reason,
        conversation=row.id, now=now,
    )  # fmt: skip


def refused(session: Session, conversation: str, factor: str, why: str, *, by: str, now: dt.datetime) -> None:
    """An answer was wrong, or (`slowed`) not looked at; the latter is written once for each question of a call, however often he tries."""
    key = f"slowed:{conversation}:{factor}:{by}"[:200] if why == "slowed" else None
    ledger.append(session, ProofRefused(conversation=conversation, factor=factor, why=why, by=by), now=now, key=key)


def standing(session: Session, conversation: str) -> Identification | None:
    """Who the caller is by what was proved in this conversation; None when nothing was."""
    row = session.get(Conversation, conversation)
    return None if row is None or not row.proof else _stands(row)


def _stands(row: Conversation) -> Identification:
    candidates = value_of(tuple[Candidate, ...], row.candidates)
    carriers = (row.subscription_id,) if row.subscription_id else ()
    return Identification(Outcome(row.outcome), Level(row.level), candidates, carriers)


# --- an agent asks ----------------------------------------------------------------------------------------------------


def ask(
    session: Session,
    conversation: str,
    factor: Factor,
    text: str,
    *,
    by: str,
    region: str,
    area: str,
    now: dt.datetime,
    unseen_days: int = UNSEEN_DAYS,
) -> Verdict:
    """What the caller answered to an agent (`by`): about the party whom an agent confirmed, or else about whom the call is already.

    Heard also while the customer's keys are slowed, so that strangers can keep nobody out, but only AGENT_WRONG_MAX wrong times in a call,
    and as often as proof.SLOW says of one customer in all calls. LookupError when there is no such conversation, ValueError for a factor
    that is no answer.
    """
    row = session.get(Conversation, conversation)
    if row is None:
        raise LookupError(f"expected the id of a conversation, got {conversation!r}")
    claim = about(session, row, row.party_id) if row.party_id else claim_of(row)
    ids = counted(session, claim)
    heard = may_try(session, number=row.number, did=row.did, customers=ids, now=now, how=How.AGENT)
    if not heard or _wrong_here(session, conversation) >= proof.AGENT_WRONG_MAX:
        refused(session, conversation, factor, "slowed", by=by, now=now)
        return Verdict(False, row.level, slowed=True)
    shown, possible = _shown(session, row, claim, factor, text, region=region, area=area, now=now)
    if shown is None or would_reach(row, shown, factor) == Level.NONE:
        at_whom = ids if possible else ()
        wrong(session, number=row.number, did=row.did, customers=at_whom, now=now, how=How.AGENT)
        refused(session, conversation, factor, "wrong", by=by, now=now)
        return Verdict(False, row.level)
    who = apply(session, conversation, shown, factor=factor, by=by, now=now, unseen_days=unseen_days)
    if who.level >= Level.KEYED:
        right(session, customers=cleared(shown, ids))
    return Verdict(True, int(who.level))


def _shown(
    session: Session,
    row: Conversation,
    claim: Claim | None,
    factor: Factor,
    text: str,
    *,
    region: str,
    area: str,
    now: dt.datetime,
) -> tuple[Claim | None, bool]:
    """The claim with this answer, and whether one could have been right. A number of the bill may as well say that the call is about
    another customer, unless an agent said who it is. None: wrong."""
    if factor in IDENTIFIERS:
        found = identify_by(session, text, area=area, region=region, now=now)
        if found and row.party_id and not (claim and claim.is_of(found.household, found.party)):
            found = None
        return found, True
    held = answered(session, claim, factor, text, conversation=row.id, now=now, region=region, area=area)
    shown = None if held.whose is None or claim is None else replace(claim, person=held.whose or None)
    return shown, held.possible


def _wrong_here(session: Session, conversation: str) -> int:
    """Wrong answers that agents wrote down in this conversation."""
    told = (each.event for each in ledger.of_conversation(session, conversation))
    return sum(isinstance(each, ProofRefused) and each.why == "wrong" and each.by != CALLER for each in told)
