"""The life of a link: made, verified, disputed, ended, seen, expired; and what it makes of the contacts that came before it was sure.

A link is a row that ends, never a row that is deleted. What the tables of links look like and what they lead to is in
contact_points.py; whose an unlinked number may be is in proposals.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import ColumnElement, Select, bindparam, case, func, select
from sqlalchemy.orm import Session

from cti.events import Event, InteractionsRelinked, LinkDisputed, LinkEnded, LinkMade, LinkVerified
from cti.identity import MATCHING_ROLES, MATCHING_STATES, VERIFIED_LIVES
from cti.ledger import EventRow, append, uuid7
from cti.records import timeline
from cti.records.contact_points import STATES, ContactPoint, Link
from cti.records.parties import current

# Whose it never was: what the link told us of earlier contacts was wrong. After every other end it stays true of its time.
NEVER_HELD = frozenset({"not_theirs", "mistake", "revoked", "undone"})
REPLACED, EXPIRED = "replaced", "expired"
OWN_ROLES = frozenset({"owner", "user"})  # of a link to a party: who writes from there is the party itself
TURNS_MAX = 20  # verifications and disputes of one link that the page of its life shows
ASKED_AT_ONCE = 500  # contact points in one question: SQLite and PostgreSQL take some thousand parameters
DISPUTED = "disputed"


class Disowned(ValueError):
    """Somebody said that the number is not his, or nobody was met on it for too long: only proof or a person brings such a link back."""


def link(
    session: Session,
    contact_point: ContactPoint,
    *,
    role: str,
    source: str,
    by: str,
    now: dt.datetime,
    party: str | None = None,
    household: str | None = None,
    subscription: str | None = None,
    state: str = "unverified",
    method: str = "",
    exclusivity: str = "unknown",
    again: bool = False,
) -> Link:
    """Say whose `contact_point` is: exactly one of party, household and subscription, by id. The same open link again changes nothing;
    one that is worth more than the open one (see STATES) ends that and takes its place. Disowned when it would match again what was
    disowned, in whatever role: a verified one does, and one with `again`, by which a person (or a caller's proof) insists."""
    if sum(each is not None for each in (party, household, subscription)) != 1:
        raise ValueError("expected exactly one of party, household and subscription")
    if state not in STATES:
        raise ValueError(f"expected a state of {', '.join(STATES)}, got {state!r}")
    party = current(session, party) if party else None
    new = Link(
        id=uuid7(now), contact_point_id=contact_point.id, party_id=party, household_id=household,
        subscription_id=subscription, role=role, exclusivity=exclusivity, source=source, state=state, method=method,
        verified_at=now if state == "verified" else None, verified_by=by if state == "verified" else "", valid_from=now,
    )  # fmt: skip
    there = open_link(session, contact_point, party=party, household=household, subscription=subscription, role=role)
    insists = again and there is not None and there.state == DISPUTED
    if there is not None and STATES.index(there.state) >= STATES.index(state) and not insists:
        return _unless_disputed(there, state)
    if state == "unverified" and role in MATCHING_ROLES and not again:
        _refuse_disowned(session, contact_point, party or household or subscription or "")
    if there is not None:
        end_link(session, there.id, reason=REPLACED, by=by, now=now)
    session.add(new)
    session.flush()
    _happened(session, new.id, LinkMade(
        link=new.id, contact_point=contact_point.id, party=party, household=household, subscription=subscription,
        role=role, source=source, by=by,
    ), now)  # fmt: skip
    if there is not None:
        timeline.inherit(session, contact_point.id, there.id, new.id)
    if state == "verified":
        relink(session, new.id, now)
    return new


def open_link(
    session: Session,
    contact_point: ContactPoint,
    *,
    role: str,
    party: str | None = None,
    household: str | None = None,
    subscription: str | None = None,
) -> Link | None:
    """The link of these ends and this role that has not ended."""
    query = select(Link).where(
        Link.contact_point_id == contact_point.id,
        Link.party_id == party,
        Link.household_id == household,
        Link.subscription_id == subscription,
        Link.role == role,
        Link.valid_to.is_(None),
    )
    return session.scalars(query.order_by(Link.id)).first()


# --- disowned ---------------------------------------------------------------------------------------------------------

WHOSE = func.coalesce(Link.party_id, Link.household_id, Link.subscription_id)
# What was said of the links of some contact points, but for those that just hold, or just ended.
SAID_OF = select(Link.id, Link.contact_point_id, WHOSE, Link.state, Link.valid_to).where(
    Link.contact_point_id.in_(bindparam("points", expanding=True)),
    (Link.state == DISPUTED) | (Link.state == "verified") | Link.valid_to.is_not(None),
)
EXPIRED_ONES = select(EventRow.key).where(
    EventRow.key.in_(bindparam("keys", expanding=True)), EventRow.body["reason"].as_string() == EXPIRED
)


def disowned(session: Session, pairs: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of `pairs` (contact point; party, household or subscription; ids) of which a link in any role was disputed, never held
    (NEVER_HELD) or expired, and no open one is verified. Two statements for each ASKED_AT_ONCE of them, only reading."""
    return {pair for pair, _ in objections(session, pairs)}


def objections(session: Session, pairs: Collection[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], str]]:
    """The same with the reason: DISPUTED (also what never held), or else EXPIRED."""
    wanted = set(pairs)
    points = sorted({point for point, _ in wanted})
    for first in range(0, len(points), ASKED_AT_ONCE):
        rows = session.execute(SAID_OF, {"points": points[first : first + ASKED_AT_ONCE]}).all()
        said = [((point, whose), id_, state, end is None) for id_, point, whose, state, end in rows]
        said = [each for each in said if each[0] in wanted]
        held = {pair for pair, _, state, is_open in said if state == "verified" and is_open}
        disputed = {pair for pair, _, state, _ in said if state == DISPUTED} - held
        ended = {_key(LinkEnded.type, id_): pair for pair, id_, _, is_open in said if not is_open}
        gone = {ended[key] for key in session.scalars(EXPIRED_ONES, {"keys": list(ended)}) if key} - held - disputed
        yield from ((pair, DISPUTED) for pair in disputed)
        yield from ((pair, EXPIRED) for pair in gone)


def objection(session: Session, contact_point: str, whose: str) -> str | None:
    """Why a link of these two (ids) would bring back what was disowned: DISPUTED or EXPIRED. None: nothing is against it."""
    return next((why for _, why in objections(session, {(contact_point, whose)})), None)


def _refuse_disowned(session: Session, contact_point: ContactPoint, whose: str) -> None:
    why = objection(session, contact_point.id, whose)
    if why is not None:
        raise Disowned(
            f"expected a {contact_point.kind} that was not disowned, got one whose link to {whose} was {why}: "
            "verify it, or insist (again)"
        )


def _unless_disputed(there: Link, state: str) -> Link:
    """The link that there is; one that is disputed is no answer to who wants a match."""
    if there.state == DISPUTED and state == "unverified":
        raise Disowned(f"expected a contact point that nobody disputes, got one whose link {there.id} is disputed")
    return there


# --- what becomes of a link -------------------------------------------------------------------------------------------


def verify(session: Session, link_id: str, *, method: str, by: str, now: dt.datetime) -> bool:
    """Somebody proved that it holds, also after a dispute: it counts for more than a match, and earlier contacts from there are his.
    False: it is verified already, or has ended. LookupError when there is no such link."""
    row = _locked(session, link_id)
    if row.valid_to is not None or row.state == "verified":
        return False
    row.state, row.method, row.verified_at, row.verified_by, row.last_seen_at = "verified", method, now, by, now
    _happened(session, link_id, LinkVerified(link=link_id, method=method, by=by), now)
    relink(session, link_id, now)
    return True


def dispute(session: Session, link_id: str, *, reason: str, by: str, now: dt.datetime) -> bool:
    """It does not hold, says somebody: neither it nor its twins match anybody from this moment on, and the contacts that they made
    somebody's are nobody's again. False: it is disputed already, or has ended. LookupError when there is no such link."""
    row = _locked(session, link_id)
    if row.valid_to is not None or row.state == "disputed":
        return False
    for each in (row, *_twins(session, row)):
        each.state = "disputed"
        _happened(session, each.id, LinkDisputed(link=each.id, reason=reason, by=by), now)
        unlink(session, each.id, now)
    return True


def end_link(session: Session, link_id: str, *, reason: str, by: str, now: dt.datetime) -> bool:
    """The link no longer holds from `now` on; contacts are opened again when it never did (NEVER_HELD). False: it had ended before.
    LookupError when there is no such link."""
    row = _locked(session, link_id)
    if row.valid_to is not None:
        return False
    for each in (row, *(_twins(session, row) if reason in NEVER_HELD else ())):
        each.valid_to = now
        _happened(session, each.id, LinkEnded(link=each.id, reason=reason, by=by), now)
        if reason in NEVER_HELD:
            each.state = "disputed"
            unlink(session, each.id, now)
    return True


def _twins(session: Session, row: Link) -> Sequence[Link]:
    """Further open links of the same two ends, in another role or left over by a merge: who says that a number is not his says it of all
    of them."""
    same = select(Link).where(
        Link.contact_point_id == row.contact_point_id,
        Link.party_id == row.party_id,
        Link.household_id == row.household_id,
        Link.subscription_id == row.subscription_id,
    )
    still = same.where(Link.valid_to.is_(None), Link.state != "disputed", Link.id != row.id)
    return session.scalars(still.order_by(Link.id).with_for_update()).all()


def seen(
    session: Session,
    contact_point_id: str,
    *,
    now: dt.datetime,
    party: str | None = None,
    household: str | None = None,
    subscription: str | None = None,
) -> int:
    """Who calls from there was confirmed, or proved who he is: the links that lead to him held at this moment. Returns how many."""
    named = ((Link.party_id, party), (Link.household_id, household), (Link.subscription_id, subscription))
    his: ColumnElement[bool] | None = None
    for column, wanted in named:
        if wanted is not None:
            his = column == wanted if his is None else his | (column == wanted)
    if his is None:
        return 0
    rows = session.scalars(select(Link).where(Link.contact_point_id == contact_point_id, Link.valid_to.is_(None), his))
    held = [row for row in rows if row.state in MATCHING_STATES]
    for row in held:
        row.last_seen_at = max(now, row.last_seen_at or now)
    return len(held)


# --- numbers that are given out again ---------------------------------------------------------------------------------


def unseen(session: Session, now: dt.datetime, *, unseen_days: int, limit: int = 500) -> list[str]:
    """The open links of telephones by which nobody was met for so long, at most `limit`. It goes through all links; ask it of a reader,
    at night. A line's own number is not given out again while the line is there, so it does not grow old."""
    return list(session.scalars(_unseen(now, unseen_days).limit(limit)))


def expire(
    session: Session, now: dt.datetime, *, unseen_days: int, limit: int = 500, among: Sequence[str] | None = None
) -> int:
    """End such links, of `among` when it is given; returns how many. Once more does no harm."""
    old = _unseen(now, unseen_days).limit(limit)
    if among is not None:
        old = old.where(Link.id.in_(among))
    return sum(end_link(session, each, reason=EXPIRED, by="policy", now=now) for each in session.scalars(old).all())


def _unseen(now: dt.datetime, unseen_days: int) -> Select[str]:
    """As `identity.expired` says it."""
    lives = dt.timedelta(days=unseen_days)
    before: ColumnElement[dt.datetime] = case(
        (Link.state == "verified", now - lives * VERIFIED_LIVES), else_=now - lives
    )
    seen_at = (
        Link.valid_from,
        func.coalesce(Link.verified_at, Link.valid_from),
        func.coalesce(Link.last_seen_at, Link.valid_from),
    )
    return (
        select(Link.id)
        .join(ContactPoint, ContactPoint.id == Link.contact_point_id)
        .where(ContactPoint.kind == "phone", Link.valid_to.is_(None), Link.role != "line_number")
        .where(*(each < before for each in seen_at))
    )


# --- earlier contacts -------------------------------------------------------------------------------------------------


def relink(session: Session, link_id: str, now: dt.datetime) -> int:
    """Contacts from there that are nobody's become the party's: only by a verified link to a party, in a role of its own, while no
    other matching link leaves it open who it was; and none from a time when the number was somebody else's. Returns how many."""
    row = session.get_one(Link, link_id)
    if row.party_id is None or row.valid_to is not None or row.state != "verified":
        return 0
    others = session.scalars(select(Link).where(Link.contact_point_id == row.contact_point_id, Link.id != row.id)).all()
    if row.role not in OWN_ROLES or row.exclusivity == "shared" or any(_leaves_open(each, row) for each in others):
        return 0
    count = timeline.attribute(session, row.contact_point_id, row.party_id, row.id, since=_last_owners_end(row, others))
    _relinked(session, row, row.party_id, count, now)
    return count


def unlink(session: Session, link_id: str, now: dt.datetime) -> int:
    """The contacts that this link made somebody's are nobody's again, and of no line; what somebody confirmed or proved stays. Returns
    how many."""
    row = session.get_one(Link, link_id)
    timeline.forget_lines(session, row.contact_point_id, row.id)
    count = timeline.reopen(session, row.contact_point_id, row.id)
    _relinked(session, row, None, count, now)
    return count


def _leaves_open(other: Link, link_: Link) -> bool:
    return other.valid_to is None and other.state in MATCHING_STATES and other.role != "former" and (
        other.party_id != link_.party_id or other.role == "neighbour" or other.exclusivity == "shared"
    )  # fmt: skip


def _last_owners_end(link_: Link, others: Sequence[Link]) -> dt.datetime | None:
    """When somebody else gave the number up the last time; None: nobody did, as far as we know."""
    held = [each for each in others if each.party_id != link_.party_id and each.state != "disputed"]
    ends = [each.valid_to for each in held if each.valid_to]
    return max(ends, default=None)


def _relinked(session: Session, row: Link, party: str | None, count: int, now: dt.datetime) -> None:
    if count:
        event = InteractionsRelinked(link=row.id, contact_point=row.contact_point_id, party=party, count=count)
        _happened(session, row.id, event, now)


# --- its page in the ledger -------------------------------------------------------------------------------------------

ONCE = (LinkMade.type, LinkEnded.type)
AGAIN = (LinkVerified.type, LinkDisputed.type, InteractionsRelinked.type)


def keys(link_id: str) -> list[str]:
    """The keys under which the ledger keeps what happened to a link."""
    turns = [_key(kind, link_id, turn) for kind in AGAIN for turn in range(1, TURNS_MAX + 1)]
    return [*(_key(kind, link_id) for kind in ONCE), *turns]


def _happened(session: Session, link_id: str, event: Event, now: dt.datetime) -> None:
    """Write it under a key of the link: its events are found again without going through millions of others."""
    if event.type in ONCE:
        append(session, event, now=now, key=_key(event.type, link_id))
    elif not any(
        append(session, event, now=now, key=_key(event.type, link_id, turn)) for turn in range(1, TURNS_MAX + 1)
    ):
        append(session, event, now=now)


def _key(kind: str, link_id: str, turn: int = 1) -> str:
    return f"{kind}:{link_id}:{turn}"


def _locked(session: Session, link_id: str) -> Link:
    row = session.get(Link, link_id, with_for_update=True)
    if row is None:
        raise LookupError(f"expected the id of a link, got {link_id[:64]!r}")
    return row
