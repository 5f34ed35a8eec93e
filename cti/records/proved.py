"""Who a caller is once he has proved something, and the code that proves more: sent to a telephone of his that is verified already."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.orm import Session

from cti import proof
from cti.events import Candidate, Reason
from cti.identity import UNSEEN_DAYS, LinkFact, Outcome, matches
from cti.ledger import uuid7
from cti.proof import SECRETS, Factor
from cti.records import codes, contact_points, outbox
from cti.records.claims import NOTHING, Claim
from cti.records.contact_points import ContactPoint, Link
from cti.records.conversations import Conversation
from cti.records.parties import HouseholdMember
from cti.records.reach import Reach, Service, reached

PURPOSE = "proof"  # of the codes
CHANNEL, MESSAGE = "sms", "code"  # by which they go, and what the outbox calls them
RESEND_S = 60  # asked for again within this, the code that is on its way is the answer
ROLE = "user"

# How much likelier a person of the household is to be the one who calls. Somebody else may know it too.
PERSON, HOLDER, MEMBER, SOMEBODY_ELSE = 20.0, 2.0, 1.0, 0.5


@dataclass(frozen=True)
class Proved:
    """The claim's household as candidates. `unlinked`: the number that he calls from leads to none of them."""

    outcome: Outcome
    candidates: tuple[Candidate, ...]
    carriers: tuple[str, ...]
    unlinked: bool


def identification(
    session: Session, row: Conversation, claim: Claim, now: dt.datetime, unseen_days: int = UNSEEN_DAYS
) -> Proved:
    """Everybody who may be meant by the claim, the likeliest first: who gave a secret of his own, then the holder, then the others.
    `unseen_days`: see identity.expired."""
    reach = reached(
        session,
        parties={each for each in (claim.party, claim.person) if each},
        households={claim.household} if claim.household else (),
        lines={claim.subscription} if claim.subscription else (),
    )
    people = _people(claim, reach)
    leading = _links(session, row.number, claim, list(people), now, unseen_days)
    services = _services(claim, reach)
    total = sum(people.values()) + SOMEBODY_ELSE
    ranked = sorted(people, key=lambda each: (-people[each], each))
    candidates = tuple(_candidate(each, people[each] / total, claim, reach, services, leading) for each in ranked)
    here = {service.id for service in services}
    carriers = tuple(service.id for service in services if service.depends_on_id not in here)
    only = (claim.subscription,) if claim.subscription else carriers
    return Proved(Outcome.UNIQUE, candidates, only, unlinked=row.number is not None and not leading)


def _candidate(
    party: str,
    share: float,
    claim: Claim,
    reach: Reach,
    services: Sequence[Service],
    leading: Sequence[LinkFact],
) -> Candidate:
    """The link is the one by which the number leads to this person; without one the role is what a link of his would have."""
    his = next((each for each in leading if each.party == party), None)
    link = his or next((each for each in leading if each.party is None), None)
    return Candidate(
        party=party, party_name=reach.names.get(party, ""), household=claim.household,
        subscriptions=tuple(each.id for each in services), link=link.link if link else None,
        role=link.role if link else ROLE, probability=share, reasons=_reasons(claim, party),
    )  # fmt: skip


def _people(claim: Claim, reach: Reach) -> dict[str, float]:
    people = dict.fromkeys(reach.members.get(claim.household or "", []), MEMBER)
    if claim.party:
        people[claim.party] = HOLDER
    if claim.person:
        people[claim.person] = PERSON
    return people


def _services(claim: Claim, reach: Reach) -> list[Service]:
    """The household's, or the party's; first the one that the claim names."""
    theirs = [
        each
        for each in reach.subscriptions.values()
        if each.id == claim.subscription
        or (each.household_id == claim.household if claim.household else each.holder_id == claim.party)
    ]
    return sorted(theirs, key=lambda each: each.id != claim.subscription)


def _reasons(claim: Claim, party: str) -> tuple[Reason, ...]:
    """What was shown; a secret speaks for the one whose it is, or for all of them when it tells nobody from another."""
    shown = [each for each in claim.factors if each not in SECRETS or claim.person in (None, party)]
    reasons = [Reason(key=f"proved_{each}") for each in shown if each != Factor.CALLER_ID]
    return (*reasons, Reason(key="holder")) if party == claim.party and party != claim.person else tuple(reasons)


def _links(
    session: Session, number: str | None, claim: Claim, people: Sequence[str], now: dt.datetime, unseen_days: int
) -> list[LinkFact]:
    """The links of the calling number that lead to the claim's customer."""
    if number is None:
        return []
    found = [each for each in contact_points.links_of(session, number, now=now) if matches(each, now, unseen_days)]
    return [
        each
        for each in found
        if each.party in people or (claim.household is not None and each.household == claim.household)
        or (each.line is not None and each.line == claim.subscription)
    ]  # fmt: skip


# --- one-time codes ---------------------------------------------------------------------------------------------------

TEXTS = {
    "tr": "{name}: doğrulama kodunuz {code}. {minutes} dakika geçerlidir. Kodu yalnızca aradığınız telefonda tuşlayın, kimseye "
    "söylemeyin. Bizi aramıyorsanız bu mesajı dikkate almayın.",
    "en": "{name}: your code is {code}. It is valid for {minutes} minutes. Key it only on the telephone you are calling from and tell "
    "nobody. If you are not calling us, ignore this message.",
}
REACHABLE = (
    select(ContactPoint.id)
    .join(Link, Link.contact_point_id == ContactPoint.id)
    .where(
        ContactPoint.kind == "phone", ContactPoint.value != bindparam("calling"), Link.state == "verified",
        Link.valid_to.is_(None), Link.role.in_(("owner", "user")),
        or_(
            Link.party_id == bindparam("party"),
            Link.household_id == bindparam("household"),
            Link.party_id.in_(
                select(HouseholdMember.party_id).where(
                    HouseholdMember.household_id == bindparam("household"), HouseholdMember.role != "child"
                )
            ),
        ),
    )
    .order_by(Link.verified_at.desc(), Link.id)
    .limit(1)
)  # fmt: skip


def request_code(
    session: Session,
    conversation: str,
    claim: Claim | None,
    *,
    now: dt.datetime,
    name: str = "Santral",
    language: str = "",
) -> None:
    """Send a code to a telephone of the claim's household that is verified and not the one that calls. Says nothing of whether there is
    one: tell every caller the same. At most CODES_PER_HOUR to one telephone, and none while one is RESEND_S young; at most
    CODES_PER_CALLER_AND_HOUR for calls from one number, so that nobody troubles many households (calls without a number count as one).
    `name` is how the message calls us, `language` the one in which the caller is spoken to; empty: his conversation's. LookupError
    when there is no such conversation."""
    row = session.get(Conversation, conversation)
    if row is None:
        raise LookupError(f"expected the id of a conversation, got {conversation!r}")
    point = code_target(session, row, claim)
    hour, minute = (
        codes.made_since(session, point or NOTHING, purpose=PURPOSE, since=now - dt.timedelta(seconds=each))
        for each in (proof.HOUR_S, RESEND_S)
    )
    of_caller = _asked_from(session, row.number, now - dt.timedelta(seconds=proof.HOUR_S))
    if point is None or minute or hour >= proof.CODES_PER_HOUR or of_caller >= proof.CODES_PER_CALLER_AND_HOUR:
        return
    code = codes.make(session, purpose=PURPOSE, subject=conversation, contact_point=point, now=now)
    text = TEXTS.get(language or row.language, TEXTS["en"]).format(
        name=name, code=code, minutes=codes.VALID_S // proof.MINUTE_S
    )
    outbox.put(
        session, key=f"code:{uuid7(now)}", channel=CHANNEL, contact_point=point, purpose=MESSAGE, text=text, now=now
    )


def _asked_from(session: Session, number: str | None, since: dt.datetime) -> int:
    """How many codes calls from `number` had sent since then."""
    query = select(func.count()).join(Conversation, Conversation.id == codes.OneTimeCode.subject).where(
        Conversation.number == number if number else Conversation.number.is_(None),
        codes.OneTimeCode.purpose == PURPOSE, codes.OneTimeCode.made_at > since,
    )  # fmt: skip
    return session.scalar(query.select_from(codes.OneTimeCode)) or 0


def code_target(session: Session, row: Conversation, claim: Claim | None) -> str | None:
    """The contact point (id) to which a code would go, the one that was verified last."""
    return session.scalar(REACHABLE, {
        "calling": row.number or NOTHING,
        "party": claim.party if claim and claim.party else NOTHING,
        "household": claim.household if claim and claim.household else NOTHING,
    })  # fmt: skip
