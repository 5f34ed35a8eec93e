"""The message that asks somebody at home whether a new number is really theirs, and what is made of the answer.

It goes to a telephone of theirs that was verified before, never to the number that it is about: whoever only pretends to call from a
number neither reads it nor can answer it.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from cti import numbers
from cti.names import fold
from cti.records import codes, links, outbox
from cti.records.contact_points import ContactPoint, Link
from cti.records.parties import HouseholdMember, Party, Subscription

CHANNEL = "sms"
PURPOSE = "link"
METHOD = "sms"
BY = "sms"  # the name under which an answer stands in the ledger
REVOKED = "revoked"
CODE_VALID_S = outbox.WORTH_S  # people answer an SMS of the evening the next day, or when they are back

TEXTS: dict[str, str] = {
    "tr": "{number} numaralı telefon hanenize eklendi. Siz eklemediyseniz IPTAL {code}, onaylamak için ONAY {code} yazıp gönderin.",
    "en": "The phone {number} was added to your household. If this was not you, reply STOP {code}; to confirm, reply YES {code}.",
}  # fmt: skip
WORDS = {"onay": True, "yes": True, "iptal": False, "stop": False}
REPLY = re.compile(rf"({'|'.join(WORDS)})[ :.,-]*([0-9]{{6}})[ .!]*")
NOTICES_A_DAY_MAX = 5  # to one telephone; somebody who adds number after number must not make it ring all day
REPLY_MAX = 80  # characters; whoever writes more writes to somebody

# Whose verified telephones may vouch for a link: those of the party, of who lives with it, and of a line's holder.
HOMES = select(HouseholdMember.household_id).where(HouseholdMember.party_id.in_(bindparam("people", expanding=True)))
AT_HOME = select(HouseholdMember.party_id).where(HouseholdMember.household_id.in_(bindparam("homes", expanding=True)))


def notify(session: Session, link: Link, now: dt.datetime) -> str | None:
    """Put the message into the outbox, once for each link. None: nobody at home has a verified telephone, or that was asked too often
    today; nobody is asked then."""
    to = _voucher(session, link)
    point = session.get_one(ContactPoint, link.contact_point_id)
    if to is None or point.kind != "phone":
        return None
    day_ago = now - dt.timedelta(days=1)
    if codes.made_since(session, to.contact_point_id, purpose=PURPOSE, since=day_ago) >= NOTICES_A_DAY_MAX:
        return None
    code = codes.make(
        session, purpose=PURPOSE, subject=link.id, contact_point=to.contact_point_id, now=now, valid_s=CODE_VALID_S
    )
    text = TEXTS[_language(session, to)].format(number=numbers.national(point.value), code=code)
    return outbox.put(
        session, key=f"link:{link.id}", channel=CHANNEL, contact_point=to.contact_point_id, purpose=PURPOSE, text=text,
        now=now,
    )  # fmt: skip


def reply(session: Session, *, contact_point: str, text: str, now: dt.datetime) -> bool:
    """An SMS came from `contact_point` (id). One that answers our message verifies its link, or disputes it; every other text is for
    people to read. Whether it was one."""
    answer = read(text)
    if answer is None:
        return False
    is_theirs, code = answer
    link = codes.use(session, purpose=PURPOSE, contact_point=contact_point, code=code, now=now)
    if link is None:
        return False
    if is_theirs:
        links.verify(session, link, method=METHOD, by=BY, now=now)
    else:
        links.dispute(session, link, reason=REVOKED, by=BY, now=now)
    return True


def read(text: str) -> tuple[bool, str] | None:
    """Whether it says yes, and the code; None when it is something else."""
    found = REPLY.fullmatch(fold(text)) if len(text) <= REPLY_MAX else None
    return (WORDS[found.group(1)], found.group(2)) if found else None


def _voucher(session: Session, link: Link) -> Link | None:
    """The verified link whose telephone is asked: the party's own before the others', the last verified before older ones."""
    people, homes = _around(session, link)
    own = Link.party_id == link.party_id if link.party_id else Link.household_id == link.household_id
    theirs = Link.party_id.in_(people) | Link.household_id.in_(homes) | (Link.subscription_id == link.subscription_id)
    query: Select[Any] = (
        select(Link)
        .join(ContactPoint, ContactPoint.id == Link.contact_point_id)
        .where(theirs, Link.state == "verified", Link.valid_to.is_(None), Link.role.in_(links.OWN_ROLES))
        .where(ContactPoint.kind == "phone", ContactPoint.id != link.contact_point_id)
        .order_by(own.desc(), Link.verified_at.desc(), Link.id)
    )
    found: Link | None = session.scalars(query.limit(1)).first()
    return found


def _around(session: Session, link: Link) -> tuple[set[str], set[str]]:
    """The people and the households that a link leads to."""
    people, homes = ({each} if each else set() for each in (link.party_id, link.household_id))
    line = session.get(Subscription, link.subscription_id) if link.subscription_id else None
    if line is not None:
        people.add(line.holder_id)
        homes |= {line.household_id} if line.household_id else set()
    if people:
        homes |= set(session.scalars(HOMES, {"people": list(people)}))
    if homes:
        people |= set(session.scalars(AT_HOME, {"homes": list(homes)}))
    return people, homes


def _language(session: Session, to: Link) -> str:
    party = session.get(Party, to.party_id) if to.party_id else None
    return party.language if party is not None and party.language in TEXTS else "tr"
