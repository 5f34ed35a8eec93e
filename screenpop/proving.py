"""What an agent decides about who calls: who it is, whether the number is his, and answers held against the records.

Pieces of work for commands.py. A right answer is never told, in no result and no event: an agent hears right or wrong.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Set
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from cti import ledger, numbers, proof
from cti.events import CallIdentified, Candidate, PartyConfirmed, plain_of, value_of
from cti.identity import UNSEEN_DAYS, Evidence, Identification, Level, matches
from cti.numbers import Kind, Number
from cti.proof import Factor
from cti.records import contact_points, links, parties, proofs, proposals, timeline
from cti.records.contact_points import ContactPoint
from cti.records.conversations import Conversation
from cti.records.parties import Party
from cti.records.proposals import LinkProposal
from screenpop.protocol import Proved
from screenpop.refused import Refused
from screenpop.who import ASKED_BY_AGENTS

ROLE = "user"  # of the link that a confirmed caller on an unlinked number is proposed
ANSWER_MAX = 64  # letters
REASON_MAX = 64
NOT_THEIRS = "not_theirs"  # why a link is disputed, when nobody says more


@dataclass(frozen=True)
class Spoken:
    """How numbers that people say are read: in which region, and in which area when they called one of our own numbers; and for how many
    days a link matches on which nobody was met."""

    region: str = "TR"
    areas: numbers.Areas = field(default_factory=lambda: numbers.NO_AREAS)
    unseen_days: int = UNSEEN_DAYS


AT_HOME = Spoken()

# --- who it is ---


def confirm(
    session: Session, row: Conversation, party: str, *, by: str, now: dt.datetime, unseen_days: int = UNSEEN_DAYS
) -> None:
    """The agent says that it is this party who calls. Refused when nobody knows that party."""
    if session.get(Party, party) is None:
        raise Refused("party", f"expected a party we know, got {party!r}")
    if row.party_id == party:
        return
    row.party_id = party
    ledger.append(session, PartyConfirmed(conversation=row.id, agent=by, party=party), now=now)
    timeline.record_call(session, row, now)
    point = _point(session, row)
    if point is None:
        return
    links.seen(session, point.id, now=now, party=party)
    if not _leads_to(session, point, {party}, now, unseen_days):
        proposals.propose(
            session, contact_point=point.id, party=party, role=ROLE, reason="agent", conversation=row.id, now=now
        )


def _point(session: Session, row: Conversation) -> ContactPoint | None:
    """Only a telephone that can be called back is somebody's."""
    return contact_points.find(session, "phone", row.number) if row.number else None


def _leads_to(session: Session, point: ContactPoint, people: Set[str], now: dt.datetime, unseen_days: int) -> bool:
    """Would the next call from there be matched to one of these?"""
    found = contact_points.links_of(session, point.value, now=now)
    return any(person.id in people for link in found if matches(link, now, unseen_days) for person in link.people)


# --- whether the number is his ---


def accept(session: Session, row: Conversation, proposal: str, *, by: str, now: dt.datetime) -> None:
    """The number is linked as proposed: for more than a match when the caller proved to be that customer, in the call of the proposal.
    Accepted twice is accepted once; Refused when somebody else refused it meanwhile, or the number is disputed."""
    _proposal(session, row, proposal)
    method = proposals.AGENT_PROOF if row.level >= Level.VERIFIED else ""
    try:
        proposals.accept(session, proposal, by=by, now=now, method=method)
    except ValueError as error:
        raise Refused("proposal", str(error)) from error


def refuse(session: Session, row: Conversation, proposal: str, *, by: str, now: dt.datetime) -> None:
    """The number stays nobody's, and is not proposed again for a year. Settled before: nothing more happens."""
    _proposal(session, row, proposal)
    proposals.refuse(session, proposal, by=by, now=now)


def _proposal(session: Session, row: Conversation, proposal: str) -> LinkProposal:
    """Of this call or its number; any other one is not this agent's to settle."""
    found, point = session.get(LinkProposal, proposal), _point(session, row)
    if found is None or (found.conversation != row.id and (point is None or found.contact_point_id != point.id)):
        raise Refused("proposal", f"expected a proposal about {row.id}, got {proposal!r}")
    return found


def dispute(
    session: Session,
    row: Conversation,
    link: str,
    reason: str,
    *,
    by: str,
    now: dt.datetime,
    unseen_days: int = UNSEEN_DAYS,
) -> None:
    """The number is not his of whom the link says so; it matches him no longer, and the call is matched anew."""
    point = _point(session, row)
    if point is None or all(each.id != link for each in contact_points.links_to(session, point.value)):
        raise Refused("link", f"expected a link of the number of {row.id}, got {link!r}")
    if not links.dispute(session, link, reason=reason[:REASON_MAX] or NOT_THEIRS, by=by, now=now):
        return
    if not row.proof:
        _match_anew(session, row, now, unseen_days)
    elif Factor.CALLER_ID in row.proof:
        _prove_anew(session, row, point, now, unseen_days)


def _prove_anew(session: Session, row: Conversation, point: ContactPoint, now: dt.datetime, unseen_days: int) -> None:
    """The number was part of the proof. Unless it leads to the same customer still, he has proved what is left without it."""
    if _leads_to(session, point, {each["party"] for each in row.candidates}, now, unseen_days):
        return
    left = [each for each in row.proof or () if each != Factor.CALLER_ID]
    level = proof.level(left)
    if level < Level.MATCHED:
        row.proof = None
        _match_anew(session, row, now, unseen_days)
        return
    row.proof, row.level = left, int(level)
    who = value_of(tuple[Candidate, ...], row.candidates)
    ledger.append(session, CallIdentified(
        conversation=row.id, outcome=row.outcome, level=row.level, method="agent", candidates=who,
    ), now=now)  # fmt: skip


def _match_anew(session: Session, row: Conversation, now: dt.datetime, unseen_days: int) -> None:
    """As if the call came now, without the link that was disputed."""
    confirmed, row.party_id = row.party_id, None  # what was confirmed in this very call says nothing about it
    session.flush()
    said = row.evidence or {}
    given = Evidence(
        now=now, attestation=said.get("attestation", ""), diverted_from=said.get("diverted_from", ""),
        unseen_days=unseen_days,
    )  # fmt: skip
    who = contact_points.identify(session, Number(row.raw, Kind(row.number_kind), row.number, None), now, given)
    row.party_id = confirmed
    row.outcome, row.level, row.candidates = who.outcome.value, int(who.level), plain_of(who.candidates)
    row.subscription_id = _line_of(session, row, who)
    timeline.record_call(session, row, now)
    ledger.append(session, CallIdentified(
        conversation=row.id, outcome=row.outcome, level=row.level, method="caller_id", candidates=who.candidates,
    ), now=now)  # fmt: skip


def _line_of(session: Session, row: Conversation, who: Identification) -> str | None:
    """What the call is about: what it was about, while that is somebody's who may be calling, or the confirmed party's."""
    theirs = {line for each in who.candidates for line in each.subscriptions}
    if row.party_id:
        theirs |= {each.id for each in parties.subscriptions_of(session, row.party_id)}
    if row.subscription_id in theirs:
        return row.subscription_id
    return who.carriers[0] if len(who.carriers) == 1 else None


# --- proof by asking ---


def prove(
    session: Session, row: Conversation, factor: str, answer: str, *, by: str, spoken: Spoken, now: dt.datetime
) -> dict[str, Any]:
    """Hold what the caller answered against the records; a wrong answer counts as a guess."""
    if factor not in ASKED_BY_AGENTS:
        raise Refused("factor", f"expected one of {', '.join(sorted(ASKED_BY_AGENTS))}, got {factor[:32]!r}")
    area = numbers.area_of(row.did, spoken.region, spoken.areas)
    verdict = proofs.ask(
        session,
        row.id,
        Factor(factor),
        answer[:ANSWER_MAX],
        by=by,
        region=spoken.region,
        area=area,
        now=now,
        unseen_days=spoken.unseen_days,
    )
    return asdict(Proved(right=verdict.right, slowed=verdict.slowed, level=verdict.level))
