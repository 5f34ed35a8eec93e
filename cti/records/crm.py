"""What an outside CRM says of a number: a candidate more, with its source, and a link to be proposed. Never more than that.

The CRM heard no proof, so its answer counts as little as a caller ID: no level above matched, no word against what we know ourselves.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cti import calls, ledger
from cti.events import CallIdentified, Candidate, Reason, plain_of
from cti.identity import UNSEEN_DAYS, Evidence, Identification, LinkFact, Outcome, Person, decide, matches
from cti.numbers import Kind, Number
from cti.records import contact_points, parties, proposals
from cti.records.contact_points import ContactPoint, Link
from cti.records.conversations import Conversation
from cti.records.evidence import evidence
from cti.records.parties import Party
from cti.records.reach import fact, reached

SOURCE = "crm"  # of parties, of candidates without a link, and the method of the identification
ROLE = "owner"
TAGS_MAX = 200  # characters of a party's tags
UNSURE = (Outcome.NONE, Outcome.AMBIGUOUS)  # outcomes that an answer can add to


@dataclass(frozen=True, kw_only=True)
class CrmParty:
    """Somebody as the CRM knows him, checked by `cti.crm`: short plain text without control characters."""

    external_id: str  # the CRM's own, by which he is recognised the next time
    name: str
    kind: str = "person"  # person | organisation
    customer_no: str | None = None
    tags: tuple[str, ...] = ()  # words


@dataclass(frozen=True)
class Question:
    e164: str
    did: str  # the number of ours that was called, as the trunk wrote it


def question(session: Session, conversation: str) -> Question | None:
    """What to ask about this call; None when an answer would add nothing any more."""
    row = session.get(Conversation, conversation)
    return Question(row.number, row.did) if row is not None and row.number and _is_open(row) else None


def apply(
    session: Session, conversation: str, answer: CrmParty, now: dt.datetime, unseen_days: int = UNSEEN_DAYS
) -> bool:
    """Put `answer` among the call's candidates, and propose the link. False when it adds nothing: the call is over, somebody has proved
    or confirmed who calls, the number is somebody's already, this link was disputed, or the answer was there before. `unseen_days`:
    see identity.expired."""
    row = session.get(Conversation, conversation)
    if row is None or row.number is None or not _is_open(row):
        return False
    point = contact_points.find(session, "phone", row.number)
    party = _ensure(session, answer, now)
    if point is None or _disputed(session, point, party):
        return False
    who = _with(session, row, party, _given(row, now, unseen_days))
    event = CallIdentified(
        conversation=row.id, outcome=who.outcome.value, level=int(who.level), method=SOURCE, candidates=who.candidates
    )
    if not ledger.append(session, event, now=now, key=f"crm:{row.id}:{party.id}"):
        return False
    row.outcome, row.level, row.candidates = who.outcome.value, int(who.level), plain_of(who.candidates)
    if row.subscription_id is None and len(who.carriers) == 1:
        row.subscription_id = who.carriers[0]
    proposals.propose(
        session, contact_point=point.id, party=party.id, role=ROLE, reason=SOURCE, conversation=row.id, now=now
    )
    return True


def _is_open(row: Conversation) -> bool:
    return row.state != calls.State.ENDED and row.party_id is None and row.proof is None and row.outcome in UNSURE


def _disputed(session: Session, point: ContactPoint, party: Party) -> bool:
    """Somebody said that this number is not his: the CRM has not heard of it."""
    query = select(Link.id).where(
        Link.contact_point_id == point.id, Link.party_id == party.id, Link.state == "disputed"
    )
    return session.scalar(query.limit(1)) is not None


# --- the party --------------------------------------------------------------------------------------------------------


def _ensure(session: Session, answer: CrmParty, now: dt.datetime) -> Party:
    """The party of the CRM's id, or else of its customer number, as it stands after merges; added when it is new. What we have of a
    party stays as it is: names are changed by people and imports."""
    known = session.scalar(select(Party).where(Party.external_id == answer.external_id))
    holder = _of_customer_no(session, answer.customer_no)
    if known is None and holder is not None and holder.external_id is None:
        known = holder
    if known is not None:
        return session.get_one(Party, parties.current(session, known.id))
    return parties.add_party(
        session, name=answer.name, now=now, source=SOURCE, kind=answer.kind, tags=" ".join(answer.tags)[:TAGS_MAX],
        customer_no=None if holder else answer.customer_no, external_id=answer.external_id,
    )  # fmt: skip


def _of_customer_no(session: Session, customer_no: str | None) -> Party | None:
    return session.scalar(select(Party).where(Party.customer_no == customer_no)) if customer_no else None


# --- the candidates ---------------------------------------------------------------------------------------------------


def _given(row: Conversation, now: dt.datetime, unseen_days: int) -> Evidence:
    said = row.evidence or {}
    return Evidence(
        now=now, attestation=said.get("attestation", ""), diverted_from=said.get("diverted_from", ""), unseen_days=unseen_days
    )  # fmt: skip


def _with(session: Session, row: Conversation, party: Party, given: Evidence) -> Identification:
    """Our own links, and beside them what the CRM says, as if it were a link that nobody verified. A party to whom our links lead
    already only gets one reason more."""
    number = Number(row.raw, Kind(row.number_kind), row.number, None)
    value = row.number or ""
    links = contact_points.links_of(session, value, now=given.now)
    counted = [link for link in links if matches(link, given.now, given.unseen_days)]
    if not any(person.id == party.id for link in counted for person in link.people):
        links = [*links, _as_link(session, value, party, given.now)]
    who = decide(number, links, evidence(session, value, links, given))
    return dataclasses.replace(who, candidates=_told(who.candidates, party))


def _as_link(session: Session, value: str, party: Party, now: dt.datetime) -> LinkFact:
    reach = reached(session, parties={party.id}, households=(), lines=())
    homes = reach.homes.get(party.id, [])
    return LinkFact(
        link=SOURCE, value=value, party=party.id, party_name=party.name, people=(Person(party.id, party.name),),
        household=homes[0] if len(homes) == 1 else None, subscriptions=tuple(map(fact, reach.subscriptions.values())),
        role=ROLE, source=SOURCE, valid_from=now,
    )  # fmt: skip


def _told(candidates: Sequence[Candidate], party: Party) -> tuple[Candidate, ...]:
    """The candidates, the CRM's one with its reason. It stands on no link of ours, so it names none."""
    reason = Reason(key=SOURCE)
    return tuple(
        each
        if each.party != party.id
        else dataclasses.replace(each, link=None, reasons=(reason, *each.reasons[1:]))
        if each.link == SOURCE
        else dataclasses.replace(each, reasons=(*each.reasons, reason))
        for each in candidates
    )
