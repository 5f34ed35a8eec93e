"""Links that are proposed: an unlinked number and whose it seems to be. Each is asked about once, and a refusal is remembered."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import ForeignKey, Index, Select, String, distinct, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti.db import Base
from cti.events import CallIdentified, LinkProposalSettled, LinkProposed
from cti.identity import MATCHING_ROLES, Level
from cti.ledger import EventRow, append, uuid7
from cti.records import homes, link_notices, links
from cti.records.contact_points import ContactPoint, Link
from cti.records.conversations import Conversation
from cti.records.parties import Household, Party, Subscription, current

REFUSAL_REMEMBERED = dt.timedelta(days=365)
LAPSES_AFTER = dt.timedelta(days=30)  # nobody decided; whoever proves himself again is asked again
OPEN_MAX = 200
CALLER = "caller"  # `by` of what was keyed on the telephone
VOICELESS = frozenset({CALLER, link_notices.BY})  # `by` of nobody of ours
AGENT_PROOF = "agent_proof"  # method: an agent had him prove who he is, up to Level.VERIFIED
# Reasons by which the caller himself said whose he is. The others only guess from his number, which can be forged.
PROVEN_REASONS = frozenset({"keyed", "narrowing", "agent"})
REASONS = PROVEN_REASONS | {"message", "crm"}


class NotProven(ValueError):
    """Whoever calls has not proved enough for this. He may have forged the number that he calls from."""


class LinkProposal(Base):
    """`state`: open until somebody accepts or refuses it, or nobody did in time (lapsed)."""

    __tablename__ = "link_proposals"
    __table_args__ = (
        Index("ix_link_proposals_contact_point", "contact_point_id", "state"),
        Index("ix_link_proposals_state_made", "state", "made_at"),
        Index("ix_link_proposals_conversation", "conversation"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    contact_point_id: Mapped[str] = mapped_column(ForeignKey("contact_points.id"))
    party_id: Mapped[str | None] = mapped_column(ForeignKey("parties.id"))
    household_id: Mapped[str | None] = mapped_column(ForeignKey("households.id"))
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))
    role: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(16))  # keyed | narrowing | agent | message | crm
    conversation: Mapped[str | None] = mapped_column(String(36))
    state: Mapped[str] = mapped_column(String(16))  # open | accepted | refused | lapsed
    made_at: Mapped[dt.datetime]
    settled_at: Mapped[dt.datetime | None]
    settled_by: Mapped[str] = mapped_column(String(64))
    link_id: Mapped[str | None] = mapped_column(ForeignKey("links.id"))


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Exactly one of party, household and subscription is set."""

    id: str
    contact_point: str  # id
    kind: str
    value: str  # canonical
    party: str | None
    household: str | None
    subscription: str | None
    whom: str  # the party's name, the household's label or the subscription's number
    role: str
    reason: str  # keyed | narrowing | agent | message | crm
    conversation: str | None  # the last call in which it was made
    state: str  # open | accepted | refused | lapsed
    made_at: dt.datetime
    settled_at: dt.datetime | None
    settled_by: str
    link: str | None  # that was made


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of callers whom we know by proof and not by their number."""

    identified_unlinked: int  # calls
    offered: int  # proposals made
    accepted: int
    refused: int
    lapsed: int
    open: int  # at present, whenever they were made


# --- making and settling ----------------------------------------------------------------------------------------------


def propose(
    session: Session,
    *,
    contact_point: str,
    role: str,
    reason: str,
    conversation: str | None,
    now: dt.datetime,
    party: str | None = None,
    household: str | None = None,
    subscription: str | None = None,
) -> Proposal | None:
    """The contact point (id) belongs, so it seems, to exactly one of party, household and subscription. An open proposal of the same is
    returned again, from now on as this call's. None: they are linked already, somebody refused it within REFUSAL_REMEMBERED, or said
    once that it is not his; or the caller may have forged the number (_maybe_forged)."""
    if sum(each is not None for each in (party, household, subscription)) != 1:
        raise ValueError("expected exactly one of party, household and subscription")
    if reason not in REASONS or role not in MATCHING_ROLES:
        raise ValueError(f"expected a known reason and role, got {reason[:32]!r} and {role[:32]!r}")
    party = current(session, party) if party else None
    _take_turn(session, contact_point)
    ends = _Ends(contact_point, party, household, subscription)
    if _linked(session, ends) is not None or _refused_lately(session, ends, now) or _disputed(session, ends):
        return None
    if reason in PROVEN_REASONS and _maybe_forged(session, ends, conversation, now):
        return None
    row = session.scalars(_like(ends).where(LinkProposal.state == "open")).first()
    if row is None:
        row = _made(session, ends, role=role, reason=reason, conversation=conversation, now=now)
    elif reason in PROVEN_REASONS or row.reason not in PROVEN_REASONS:
        row.reason, row.conversation = reason, conversation or row.conversation
    session.flush()
    return by_id(session, row.id)


def accept(session: Session, proposal_id: str, *, by: str, now: dt.datetime, method: str = "") -> Link:
    """Make the link, once: accepted again, it is the same. It counts as a match until it is confirmed by SMS; at once for more with the
    method AGENT_PROOF, when its customer was proved in the call of the proposal up to Level.VERIFIED.

    NotProven: the caller accepts without having proved in the call in which he was asked that he is this customer, or from another
    number, or one that he may have forged. LookupError when there is no such proposal; ValueError when it was refused or has lapsed, or
    the number was disputed meanwhile.
    """
    row = _locked(session, proposal_id)
    if row.state == "accepted" and row.link_id:
        return session.get_one(Link, row.link_id)
    if row.state != "open":
        raise ValueError(f"expected an open proposal, got one that is {row.state}")
    state = _allowed_state(session, row, by, method, now)
    link, is_disputed = _linked(session, _ends(row)), _disputed(session, _ends(row))
    if is_disputed or (link is not None and link.state == "disputed"):
        raise ValueError(
            "expected a number that nobody disputes, got one whose link was disputed: verify that link instead"
        )
    link = link or _link(session, row, by, state, method, now)
    row.link_id = link.id
    _settle(session, row, "accepted", by, now)
    link_notices.notify(session, link, now)
    return link


def refuse(session: Session, proposal_id: str, *, by: str, now: dt.datetime) -> bool:
    """No, that is not his, or he does not want it: not proposed again within REFUSAL_REMEMBERED. False: it was settled before."""
    row = _locked(session, proposal_id)
    if row.state != "open":
        return False
    _settle(session, row, "refused", by, now)
    return True


def lapse(session: Session, now: dt.datetime, *, limit: int = 500) -> int:
    """Close what nobody decided within LAPSES_AFTER, at most `limit`; returns how many."""
    old = (
        select(LinkProposal)
        .where(LinkProposal.state == "open", LinkProposal.made_at < now - LAPSES_AFTER)
        .order_by(LinkProposal.made_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.scalars(old).all()
    for row in rows:
        _settle(session, row, "lapsed", "policy", now)
    return len(rows)


# --- reading ----------------------------------------------------------------------------------------------------------

WITH_NAMES = (
    select(LinkProposal, ContactPoint, func.coalesce(Party.name, Household.label, Subscription.number))
    .join(ContactPoint, ContactPoint.id == LinkProposal.contact_point_id)
    .outerjoin(Party, Party.id == LinkProposal.party_id)
    .outerjoin(Household, Household.id == LinkProposal.household_id)
    .outerjoin(Subscription, Subscription.id == LinkProposal.subscription_id)
)


def by_id(session: Session, proposal_id: str) -> Proposal:
    """LookupError when there is no such proposal."""
    found = _values(session, WITH_NAMES.where(LinkProposal.id == proposal_id))
    if not found:
        raise LookupError(f"expected the id of a proposal of a link, got {proposal_id[:64]!r}")
    return found[0]


def of_conversation(session: Session, conversation: str) -> Proposal | None:
    """What was proposed in this call, the newest if there were several."""
    newest = WITH_NAMES.where(LinkProposal.conversation == conversation).order_by(LinkProposal.id.desc()).limit(1)
    return next(iter(_values(session, newest)), None)


def of_contact_point(session: Session, contact_point: str) -> list[Proposal]:
    """All that was ever proposed for a contact point (id), oldest first."""
    return _values(session, WITH_NAMES.where(LinkProposal.contact_point_id == contact_point).order_by(LinkProposal.id))


def open_ones(session: Session, limit: int = 50) -> list[Proposal]:
    """Newest first."""
    query = WITH_NAMES.where(LinkProposal.state == "open").order_by(LinkProposal.made_at.desc(), LinkProposal.id.desc())
    return _values(session, query.limit(min(limit, OPEN_MAX)))


def counts(session: Session, since: dt.datetime) -> Counts:
    """What happened since then. Calls count by when they came, proposals by when they were made or settled."""
    is_unlinked = (EventRow.type == CallIdentified.type) & EventRow.body["unlinked"].as_boolean()
    calls = (
        select(func.count(distinct(Conversation.id)))
        .join(EventRow, EventRow.conversation == Conversation.id)
        .where(Conversation.arrived_at >= since, Conversation.level >= Level.KEYED, is_unlinked)
    )
    settled = (
        select(LinkProposal.state, func.count().label("count"))
        .where(LinkProposal.settled_at >= since)
        .group_by(LinkProposal.state)
    )
    ended = {state: count for state, count in session.execute(settled)}  # noqa: C416  rows are no pairs to mypy
    return Counts(
        identified_unlinked=session.scalar(calls) or 0,
        offered=session.scalar(select(func.count()).where(LinkProposal.made_at >= since)) or 0,
        accepted=ended.get("accepted", 0), refused=ended.get("refused", 0), lapsed=ended.get("lapsed", 0),
        open=session.scalar(select(func.count()).where(LinkProposal.state == "open")) or 0,
    )  # fmt: skip


def _values(session: Session, query: Select[LinkProposal, ContactPoint, str]) -> list[Proposal]:
    return [
        Proposal(
            id=row.id, contact_point=point.id, kind=point.kind, value=point.value, party=row.party_id,
            household=row.household_id, subscription=row.subscription_id, whom=whom, role=row.role, reason=row.reason,
            conversation=row.conversation, state=row.state, made_at=row.made_at, settled_at=row.settled_at,
            settled_by=row.settled_by, link=row.link_id,
        )
        for row, point, whom in session.execute(query)
    ]  # fmt: skip


# --- steps ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ends:
    """What a link joins, by id: a contact point, and exactly one of the three."""

    contact_point: str
    party: str | None
    household: str | None
    subscription: str | None

    @property
    def whose(self) -> str:
        return self.party or self.household or self.subscription or ""


def _ends(row: LinkProposal) -> _Ends:
    return _Ends(row.contact_point_id, row.party_id, row.household_id, row.subscription_id)


def keys(proposal_id: str) -> list[str]:
    """The keys under which the ledger keeps what happened to a proposal."""
    return [_key(kind, proposal_id) for kind in (LinkProposed.type, LinkProposalSettled.type)]


def _key(kind: str, proposal_id: str) -> str:
    return f"{kind}:{proposal_id}"


def _take_turn(session: Session, contact_point: str) -> None:
    """Whoever proposes or accepts for a contact point waits for who does so already; so there is one proposal, and one link."""
    if session.get(ContactPoint, contact_point, with_for_update=True) is None:
        raise LookupError(f"expected the id of a contact point, got {contact_point[:64]!r}")


def _linked(session: Session, ends: _Ends) -> Link | None:
    """The open link of the same two that says more than a proposal does, in whatever role; also a disputed one."""
    query = select(Link).where(
        Link.contact_point_id == ends.contact_point, Link.party_id == ends.party, Link.household_id == ends.household,
        Link.subscription_id == ends.subscription, Link.valid_to.is_(None), Link.state != "proposed",
        Link.role.in_(MATCHING_ROLES),
    )  # fmt: skip
    return session.scalars(query.order_by(Link.id)).first()


def _like(ends: _Ends) -> Select[LinkProposal]:
    return select(LinkProposal).where(
        LinkProposal.contact_point_id == ends.contact_point, LinkProposal.party_id == ends.party,
        LinkProposal.household_id == ends.household, LinkProposal.subscription_id == ends.subscription,
    )  # fmt: skip


def _refused_lately(session: Session, ends: _Ends, now: dt.datetime) -> bool:
    lately = LinkProposal.settled_at > now - REFUSAL_REMEMBERED
    return session.scalars(_like(ends).where(LinkProposal.state == "refused", lately).limit(1)).first() is not None


def _made(
    session: Session, ends: _Ends, *, role: str, reason: str, conversation: str | None, now: dt.datetime
) -> LinkProposal:
    row = LinkProposal(
        id=uuid7(now), contact_point_id=ends.contact_point, party_id=ends.party, household_id=ends.household,
        subscription_id=ends.subscription, role=role, reason=reason, conversation=conversation, state="open",
        made_at=now, settled_by="",
    )  # fmt: skip
    session.add(row)
    append(session, LinkProposed(
        proposal=row.id, contact_point=ends.contact_point, party=ends.party, household=ends.household,
        subscription=ends.subscription, role=role, reason=reason, conversation=conversation,
    ), now=now, key=_key(LinkProposed.type, row.id))  # fmt: skip
    return row


def _allowed_state(session: Session, row: LinkProposal, by: str, method: str, now: dt.datetime) -> str:
    """Which state the link may begin in, by what was proved of its customer in the call in which it was proposed; NotProven."""
    call = session.get(Conversation, row.conversation) if row.conversation else None
    level = call.level if call is not None and _is_proved(call, row) else Level.NONE
    if by == CALLER:
        _refuse_unproven(session, row, call, level, now)
    if method != AGENT_PROOF:
        return "unverified"
    if by in VOICELESS:
        raise NotProven(f"expected an agent who had him prove who he is, got {by}")
    return "verified" if level >= Level.VERIFIED else "unverified"


def _refuse_unproven(
    session: Session, row: LinkProposal, call: Conversation | None, level: int, now: dt.datetime
) -> None:
    point = session.get_one(ContactPoint, row.contact_point_id)
    if level < Level.KEYED or row.reason not in PROVEN_REASONS:
        raise NotProven(
            f"expected a caller who proved to be this customer (level {Level.KEYED:d}), got level {level:d}"
        )
    if call is None or call.number != point.value:
        raise NotProven("expected the caller to accept for the number that he calls from, got another one")
    if _maybe_forged(session, _ends(row), call.id, now):
        raise NotProven("expected a number that is surely the caller's, got one that he may have forged")


def _is_proved(call: Conversation, row: LinkProposal) -> bool:
    """Whether what was proved in this call was proved of the proposal's customer: whom an agent merely confirmed proved nothing."""
    whose = {row.party_id, row.household_id, row.subscription_id} - {None}
    return bool(call.proof) and any(
        whose & {each["party"], each["household"], *each["subscriptions"]} for each in call.candidates
    )


def _disputed(session: Session, ends: _Ends) -> bool:
    """Somebody said that it is not his, in whatever role. What only expired is proposed again: he is met there now."""
    return links.objection(session, ends.contact_point, ends.whose) == links.DISPUTED


def _maybe_forged(session: Session, ends: _Ends, conversation: str | None, now: dt.datetime) -> bool:
    """Whoever proved who he is did not show that the number is his. It is surely not when its signature does not hold; and when it is
    another customer's by a verified link, an agent may say so by hand."""
    call = session.get(Conversation, conversation) if conversation else None
    if call is not None and (call.evidence or {}).get("attestation") == "failed":
        return True
    named = {"party": ends.party, "household": ends.household, "subscription": ends.subscription}
    return homes.is_anothers(session, session.get_one(ContactPoint, ends.contact_point), **named, now=now)


def _link(session: Session, row: LinkProposal, by: str, state: str, method: str, now: dt.datetime) -> Link:
    return links.link(
        session, session.get_one(ContactPoint, row.contact_point_id), party=row.party_id, household=row.household_id,
        subscription=row.subscription_id, role=row.role, source="ivr" if by == CALLER else "agent", by=by, state=state,
        method=method if state == "verified" else "", now=now, again=True,
    )  # fmt: skip


def _settle(session: Session, row: LinkProposal, state: str, by: str, now: dt.datetime) -> None:
    row.state, row.settled_at, row.settled_by = state, now, by[:64]
    append(session, LinkProposalSettled(
        proposal=row.id, contact_point=row.contact_point_id, state=state, by=row.settled_by, link=row.link_id,
        conversation=row.conversation,
    ), now=now, key=_key(LinkProposalSettled.type, row.id))  # fmt: skip


def _locked(session: Session, proposal_id: str) -> LinkProposal:
    """With its contact point, which is locked first: as `propose` does, or two would wait for each other."""
    row = session.get(LinkProposal, proposal_id)
    if row is None:
        raise LookupError(f"expected the id of a proposal of a link, got {proposal_id[:64]!r}")
    _take_turn(session, row.contact_point_id)
    return session.get_one(LinkProposal, proposal_id, with_for_update=True)
