"""Who calls, how sure that is and why: the identity on a card, read from the conversation's row and the records.

Which questions an agent may ask is told here; what he types is held against the records in commands.py, and what they know is never told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, case, select
from sqlalchemy.orm import Session

from cti import identity_texts, numbers, proof, proof_texts
from cti.events import CallIdentified, Recorded, value_of
from cti.events import Candidate as CandidateFact
from cti.identity import Level, may
from cti.proof import IDENTIFIERS, Factor
from cti.records import cards, claims
from cti.records.contact_points import Link
from cti.records.conversations import Conversation
from cti.records.parties import Household, Party, Subscription
from cti.records.proposals import LinkProposal
from screenpop import protocol

CANDIDATES_MAX = 6
ENDED = "ended"  # link_state of a link that is no more
WATCHED = ("hear_bill", "hear_address", "change_data", "link_number")  # of identity.MAY: what agents are asked for most
ASKED_BY_AGENTS = IDENTIFIERS | {Factor.BIRTH_DATE}  # a PIN is for keys alone: nobody says it aloud

# What every look asks is made once: making it costs more than running it.
LINK_STATES = select(Link.id, Link.state, Link.valid_to).where(Link.id.in_(bindparam("ids", expanding=True)))
PROPOSAL = (
    select(LinkProposal, Party.name, Household.label, Subscription.number)
    .outerjoin(Party, Party.id == LinkProposal.party_id)
    .outerjoin(Household, Household.id == LinkProposal.household_id)
    .outerjoin(Subscription, Subscription.id == LinkProposal.subscription_id)
    .where(
        (LinkProposal.conversation == bindparam("conversation"))
        | (LinkProposal.contact_point_id.in_(bindparam("points", expanding=True)) & (LinkProposal.state == "open"))
    )
    .order_by(
        case((LinkProposal.state == "open", 0), else_=1), LinkProposal.made_at.desc(), LinkProposal.id.desc()
    )
    .limit(1)
)  # fmt: skip


def identity(
    session: Session, row: Conversation, events: Iterable[Recorded], points: Sequence[str], language: str
) -> protocol.Identity:
    """`points`: the ids of the calling number's contact point, one or none."""
    method = "caller_id"
    for recorded in events:
        if isinstance(recorded.event, CallIdentified):
            method = recorded.event.method
    facts = [value_of(CandidateFact, each) for each in row.candidates[:CANDIDATES_MAX]]
    services = {  # those of one household are read once, however many live there
        ids: tuple(_subscription(each) for each in cards.services(session, ids))
        for ids in dict.fromkeys(fact.subscriptions for fact in facts)
    }
    bare = protocol.Identity(
        outcome=row.outcome, level=row.level, method=method, confirmed=row.party_id, evidence=_evidence(row),
        candidates=tuple(_candidate(session, each, services[each.subscriptions], language) for each in facts),
    )  # fmt: skip
    return surely(session, row, points, bare, language)


def surely(
    session: Session, row: Conversation, points: Sequence[str], before: protocol.Identity, language: str
) -> protocol.Identity:
    """`before` with what proofs and links say of the same candidates now."""
    states = _link_states(session, [each.link for each in before.candidates if each.link])
    return dataclasses.replace(
        before,
        level=row.level,
        proof=tuple(row.proof or ()),
        proposal=_proposal(session, row, points),
        withheld=tuple(what for what in WATCHED if not may(row.level, what)),
        questions=tuple(
            protocol.Question(factor=each, text=proof_texts.QUESTIONS[each][language]) for each in questions(row)
        ),
        candidates=tuple(
            dataclasses.replace(each, link_state=states.get(each.link or "", "")) for each in before.candidates
        ),
    )


def questions(row: Conversation) -> tuple[Factor, ...]:
    """What to ask next, the best first: what only he should know of whom the call is about, else about whom it is. Empty when nothing
    that an agent may ask would make it surer."""
    others = proof.next_questions((), Level.MATCHED, IDENTIFIERS)  # the call may be about somebody else
    if row.party_id is None and claims.claim_of(row) is None:
        return others
    shown = claims.factors_of(row) or (Factor.AGENT,)
    surer = proof.next_questions(shown, Level.KEYED, ASKED_BY_AGENTS)
    return tuple(dict.fromkeys((*surer, *others))) if surer else ()


def links(who: protocol.Identity) -> Iterable[str]:
    """Links whose events change what a card says."""
    return (each.link for each in who.candidates if each.link)


def _link_states(session: Session, ids: list[str]) -> dict[str, str]:
    if not ids:
        return {}
    rows = session.execute(LINK_STATES, {"ids": ids})
    return {row.id: ENDED if row.valid_to else row.state for row in rows}


def _proposal(session: Session, row: Conversation, points: Sequence[str]) -> protocol.Proposal | None:
    found = session.execute(PROPOSAL, {"conversation": row.id, "points": list(points)}).first()
    if found is None:
        return None
    made, *names = found
    return protocol.Proposal(
        id=made.id, role=made.role, reason=made.reason, whom=next(filter(None, names), ""), state=made.state
    )


def _evidence(row: Conversation) -> protocol.Evidence | None:
    said = row.evidence or {}
    if not said:
        return None
    return protocol.Evidence(
        asserted=_readable(said.get("asserted", "")),
        diverted_from=_readable(said.get("diverted_from", "")),
        attestation=said.get("attestation", ""),
    )


def _readable(number: str) -> str:
    return numbers.national(number) if numbers.E164.fullmatch(number) else number


def _candidate(
    session: Session, fact: CandidateFact, services: tuple[protocol.Subscription, ...], language: str
) -> protocol.Candidate:
    badge = cards.badge(session, fact.party) if fact.party else None
    return protocol.Candidate(
        party=fact.party,
        name=fact.party_name,
        role=fact.role,
        percent=round(fact.probability * 100),
        reasons=tuple(identity_texts.reason_text(each, language) for each in fact.reasons),
        household=badge.household if badge else "",
        subscriptions=services,
        customer_no=badge.customer_no if badge else "",
        tags=badge.tags if badge else (),
        link=fact.link,
    )


def _subscription(row: cards.Service) -> protocol.Subscription:
    return protocol.Subscription(
        id=row.id,
        number=row.number,
        kind=row.kind,
        area=row.area,
        line=numbers.national(row.line_number) if row.line_number else "",
        depends_on=row.depends_on,
    )
