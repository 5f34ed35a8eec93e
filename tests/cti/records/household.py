"""A household for proofs: DSL and the landline over it, two adults and a child, and calls that reach us from anywhere."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cti import ledger
from cti.events import Event, ProofRefused
from cti.identity import Level
from cti.ledger import EventRow
from cti.line import Caller
from cti.records import contact_points, lines, links, parties, standing
from cti.records.attempts import IDENTIFIER, Attempt
from cti.records.conversations import Conversation
from cti.records.parties import Party
from cti.switchboard import facts

NOW = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)
DID = "02125550100"
HIS, UNKNOWN = "0532 555 01 23", "0544 555 01 99"
HIS_BIRTHDAY, HERS, CHILDS = "1980-12-31", "1984-03-05", "2015-06-01"


@dataclass(frozen=True)
class Home:
    ali: str
    ayse: str
    household: str
    dsl: str
    phone: str


def build(session: Session) -> Home:
    """Ali (customer 1000123, mobile verified), Ayşe and a child; DSL 8001 and the landline 8002 over it. Somebody else has 8100."""
    standing.load(session)
    ali = parties.add_party(
        session, name="Ali Yılmaz", customer_no="1000123", birth_date=HIS_BIRTHDAY, now=NOW, source="test"
    )
    ayse = parties.add_party(session, name="Ayşe Yılmaz", birth_date=HERS, now=NOW, source="test")
    child = parties.add_party(session, name="Can Yılmaz", birth_date=CHILDS, now=NOW, source="test")
    home = parties.add_household(session, label="Yılmaz", now=NOW)
    for party, role in ((ali, "holder"), (ayse, "spouse"), (child, "child")):
        parties.add_member(session, home, party, role)
    dsl = parties.add_subscription(
        session, number="8001", kind="dsl", holder=ali, household=home, area="Kadıköy-3", now=NOW
    )
    phone = parties.add_subscription(
        session, number="8002", kind="landline", holder=ali, household=home, line_number="+902125550101", depends_on=dsl,
        area="Kadıköy-3", now=NOW,
    )  # fmt: skip
    link(session, HIS, party=ali.id, role="owner", state="verified", method="sms")
    other = stranger(session, "Naz Kaya", "1000124", "1975-01-02")
    parties.add_subscription(
        session, number="8100", kind="landline", holder=other, line_number="+902125550199", now=NOW
    )
    return Home(ali.id, ayse.id, home.id, dsl.id, phone.id)


def stranger(session: Session, name: str, customer_no: str, birth_date: str) -> Party:
    return parties.add_party(session, name=name, customer_no=customer_no, birth_date=birth_date, now=NOW, source="test")


def second_home(session: Session, home: Home) -> tuple[str, str]:
    """Ali moved out, and is still written down in the old one: his new household, and its line 9001."""
    new, ali = parties.add_household(session, label="Yılmaz, yeni ev", now=NOW), session.get_one(Party, home.ali)
    parties.add_member(session, new, ali, "holder")
    line = parties.add_subscription(session, number="9001", kind="dsl", holder=ali, household=new, now=NOW)
    return new.id, line.id


def link(session: Session, raw: str, *, role: str = "user", state: str = "unverified", **whose: Any) -> str:
    point = contact_points.ensure(session, "phone", raw, now=NOW)
    return links.link(session, point, role=role, state=state, source="test", by="test", now=NOW, **whose).id


def call(session: Session, raw: str = UNKNOWN, *, now: dt.datetime = NOW, did: str = DID) -> str:
    """A call that reaches us; the conversation's id."""
    caller = Caller(f"channel-{ledger.uuid7(now)}", did, raw, "")
    return facts.arrived(session, caller, region="TR", now=now).conversation


def line_down(session: Session, subscription: str, now: dt.datetime = NOW) -> None:
    lines.set_state(session, subscription=subscription, state="down", since=now, source="test", now=now)


def row(session: Session, conversation: str) -> Conversation:
    return session.get_one(Conversation, conversation)


def happened(session: Session, kind: type[Event]) -> list[Event]:
    """Everything of this kind in the ledger, oldest first."""
    found = session.scalars(select(EventRow).where(EventRow.type == kind.type).order_by(EventRow.seq))
    return [kind.of(each.body) for each in found]


def by_keys(
    session: Session,
    conversation: str,
    who: str,
    secret: str = "",
    *,
    now: dt.datetime = NOW,
    factor: str = "birth_date",
) -> int:
    """One attempt as the flow makes it: `who` is a number of the bill, or the last four digits of a line, or nobody named anew; of who
    keyed a secret more than a match is wanted. The level."""
    narrows = len(who) == 4 and who.startswith("0")
    answers = ({"last_four" if narrows else IDENTIFIER: who} if who else {}) | ({factor: secret} if secret else {})
    attempt = Attempt(session, row(session, conversation), region="TR", now=now)
    return attempt.of(answers, Level.KEYED if secret else Level.MATCHED)


def heard(session: Session) -> int:
    """Wrong answers that were looked at."""
    return sum(each.why == "wrong" for each in happened(session, ProofRefused) if isinstance(each, ProofRefused))
