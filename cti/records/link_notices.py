"""The messages that ask whether a new number is really theirs, and what is made of the answers.

Two are asked, one after the other. First somebody at home, on a telephone of theirs that was verified before: whoever only pretends to
call from a number neither reads that nor can answer it. Then the new number itself: somebody at home may have made it up. A no of either
is the end of it.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, not_, or_, select
from sqlalchemy.orm import Session

from cti import numbers
from cti.identity import MATCHING_ROLES
from cti.names import fold
from cti.records import codes, homes, links, outbox
from cti.records.contact_points import ContactPoint, Link
from cti.records.outbox import OutMessage
from cti.records.parties import HouseholdMember, Party

CHANNEL = "sms"
PURPOSE = "link"
METHOD = "sms"
BY = "sms"  # the name under which an answer stands in the ledger
REVOKED = "revoked"
CODE_VALID_S = outbox.WORTH_S  # people answer an SMS of the evening the next day, or when they are back

TEXTS: dict[str, str] = {
    "tr": "{number} numaralı telefon kayıtlarınıza eklendi. Siz eklemediyseniz IPTAL {code}, onaylamak için ONAY {code} yazıp gönderin.",
    "en": "The phone {number} was added to your records. If this was not you, reply STOP {code}; to confirm, reply YES {code}.",
}  # fmt: skip
# To the new number: it names no customer, for it may be a stranger's.
OWN_TEXTS: dict[str, str] = {
    "tr": "Bu telefonu {name} kayıtlarına eklemek için ONAY {code} yazıp gönderin. Siz istemediyseniz IPTAL {code} yazıp gönderin.",
    "en": "To add this phone to the records of {name}, reply YES {code}. If you did not ask for this, reply STOP {code}.",
}
YES = re.compile(r"(?:onay|yes)[ :.,-]*([0-9]{6})[ .!]*")
NO = re.compile(r"(?<![a-z])(?:iptal|stop(?![a-z]))")
BETWEEN_DIGITS = re.compile(r"(?<=[0-9])[ .-]+(?=[0-9])")
CODE = re.compile(r"(?<![0-9])[0-9]{6}(?![0-9])")
NOTICES_A_DAY_MAX = 5  # to one telephone; somebody who adds number after number must not make it ring all day
YES_MAX, NO_MAX = 80, 320  # characters; whoever writes more writes to somebody
CHILD = "child"  # role in a household; a child vouches for nobody


@dataclass(frozen=True)
class Answer:
    """`code` is empty when a no came without one."""

    yes: bool
    code: str


# --- asking -----------------------------------------------------------------------------------------------------------


def notify(session: Session, link: Link, now: dt.datetime) -> str | None:
    """Ask at home about a link that is a mere match: put the message into the outbox, once for each link. None: it is about no telephone,
    nobody at home has a verified one, or that was asked too often today; nobody is asked then."""
    point = session.get_one(ContactPoint, link.contact_point_id)
    to = _voucher(session, link) if point.kind == "phone" and _is_open(link) else None
    if to is None:
        return None
    words = {"number": numbers.national(point.value)}
    text = TEXTS[_language(session, to.party_id)]
    return _ask(session, link, to.contact_point_id, key=f"link:{link.id}", text=text, words=words, now=now)


def _ask_there(session: Session, link: Link, name: str, now: dt.datetime) -> None:
    """Ask the new number itself."""
    text = OWN_TEXTS[_language(session, link.party_id)]
    key = f"link:{link.id}:own"
    _ask(session, link, link.contact_point_id, key=key, text=text, words={"name": name}, now=now)


def _ask(
    session: Session, link: Link, to: str, *, key: str, text: str, words: dict[str, str], now: dt.datetime
) -> str | None:
    known = session.scalar(select(OutMessage.id).where(OutMessage.key == key))
    if known is not None:
        return known  # its code is on its way, another one would only make that worthless
    day_ago = now - dt.timedelta(days=1)
    if codes.made_since(session, to, purpose=PURPOSE, since=day_ago) >= NOTICES_A_DAY_MAX:
        return None
    code = codes.make(session, purpose=PURPOSE, subject=link.id, contact_point=to, now=now, valid_s=CODE_VALID_S)
    text = text.format(code=code, **words)
    return outbox.put(session, key=key, channel=CHANNEL, contact_point=to, purpose=PURPOSE, text=text, now=now)


def _is_open(link: Link) -> bool:
    """Whether it is still asked about."""
    return link.valid_to is None and link.state == "unverified" and link.role in MATCHING_ROLES


# --- answers ----------------------------------------------------------------------------------------------------------


def reply(session: Session, *, contact_point: str, text: str, now: dt.datetime, name: str = "Santral") -> bool:
    """An SMS came from `contact_point` (id). A yes from home has the new number asked (`name`: how we are called there), a yes from that
    verifies the link, a no from either disputes it; every other text is for people to read. Whether it was one."""
    answer = read(text)
    if answer is None:
        return False
    if not answer.yes:
        return _no(session, contact_point, answer.code, now)
    found = codes.use(session, purpose=PURPOSE, contact_point=contact_point, code=answer.code, now=now)
    link = session.get(Link, found, with_for_update=True) if found else None
    if link is None or not _is_open(link):
        return False
    if link.contact_point_id == contact_point:
        links.verify(session, link.id, method=METHOD, by=BY, now=now)
    else:
        _ask_there(session, link, name, now)
    return True


def _no(session: Session, contact_point: str, code: str, now: dt.datetime) -> bool:
    """A no counts also after a yes, and however often a wrong code came before: strangers must not keep anybody from saying it. Without
    the right code it counts when it can mean one link only."""
    asked = codes.heard_of(session, contact_point, purpose=PURPOSE, now=now)
    meant = {each.subject for each in asked if code and codes.is_of(each, code)}
    if not meant:
        about = [session.get(Link, each) for each in {each.subject for each in asked}]
        meant = {each.id for each in about if each is not None and _is_open(each)}
    if len(meant) != 1:
        return False
    return links.dispute(session, meant.pop(), reason=REVOKED, by=BY, now=now)


def read(text: str) -> Answer | None:
    """What an SMS says. A yes is nothing but the word and the code. A no may stand anywhere, with whatever around it, and counts for more
    than a yes in the same text. None: it is something else."""
    if len(text) > NO_MAX:
        return None
    folded = fold(text)
    if NO.search(folded):
        found = CODE.search(BETWEEN_DIGITS.sub("", _western(folded)))
        return Answer(False, found.group() if found else "")
    yes = YES.fullmatch(folded) if len(text) <= YES_MAX else None
    return Answer(True, yes.group(1)) if yes else None


def _western(text: str) -> str:
    """With the digits of every script as 0 to 9."""
    return "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in text)


# --- whom to ask ------------------------------------------------------------------------------------------------------

CHILDREN = select(HouseholdMember.party_id).where(HouseholdMember.role == CHILD)


def _voucher(session: Session, link: Link) -> Link | None:
    """The verified link whose telephone is asked: the party's own before the others', the last verified before older ones."""
    people, home = homes.around(session, link.party_id, link.household_id, link.subscription_id)
    own = _named(link.party_id, link.household_id, link.subscription_id)
    theirs = [own, Link.party_id.in_(people), *([Link.household_id == home] if home else [])]
    query: Select[Any] = (
        select(Link)
        .join(ContactPoint, ContactPoint.id == Link.contact_point_id)
        .where(or_(*theirs), Link.state == "verified", Link.valid_to.is_(None), Link.role.in_(links.OWN_ROLES))
        .where(ContactPoint.kind == "phone", ContactPoint.id != link.contact_point_id, not_(_childs()))
        .order_by(case((own, 0), else_=1), Link.verified_at.desc(), Link.id)
    )
    found: Link | None = session.scalars(query.limit(1)).first()
    return found


def _named(party: str | None, household: str | None, subscription: str | None) -> ColumnElement[bool]:
    """Links to the very same."""
    if party is not None:
        return Link.party_id == party
    return Link.household_id == household if household is not None else Link.subscription_id == subscription


def _childs() -> ColumnElement[bool]:
    return func.coalesce(Link.party_id, "").in_(CHILDREN)


def _language(session: Session, party_id: str | None) -> str:
    party = session.get(Party, party_id) if party_id else None
    return party.language if party is not None and party.language in TEXTS else "tr"
