"""One-time codes: sent to a contact point, keyed or written back once, worthless soon after.

A code of six digits is no secret to whoever reads the database while it is worth something: its hash only keeps it out of sight. What
protects it is that it lives for minutes, is heard CODE_TRIES times, and went to one telephone.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets

from sqlalchemy import ForeignKey, Index, String, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cti.db import Base
from cti.ledger import uuid7
from cti.proof import CODE_DIGITS

CODE_TRIES = 5
HEARD_MAX = 100  # codes of one contact point that are looked through
VALID_S = 600


class OneTimeCode(Base):
    """Only the code's hash is kept. `subject` is what it is for: a link's id, or a conversation's."""

    __tablename__ = "one_time_codes"
    __table_args__ = (
        Index("ix_one_time_codes_subject", "subject"),
        Index("ix_one_time_codes_contact_point", "contact_point_id", "state"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))  # link | proof
    subject: Mapped[str] = mapped_column(String(36))
    contact_point_id: Mapped[str] = mapped_column(ForeignKey("contact_points.id"))
    code_hash: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))  # open | used | revoked | lapsed
    tries: Mapped[int]
    made_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime]
    settled_at: Mapped[dt.datetime | None]


def make(
    session: Session,
    *,
    purpose: str,
    subject: str,
    contact_point: str,
    now: dt.datetime,
    digits: int = CODE_DIGITS,
    valid_s: int = VALID_S,
) -> str:
    """A new code for `subject` (id of a link or a conversation) that goes to `contact_point` (id). The open ones of the same purpose and
    subject are revoked: only the newest message counts. No two open ones of a contact point are alike."""
    for old in _open(session, purpose, now, subject=subject):
        _settle(old, "revoked", now)
    others = _open(session, purpose, now, contact_point=contact_point)
    if len(others) >= 10**digits:
        raise ValueError(f"expected fewer open codes than {digits} digits can tell apart, there are {len(others)}")
    code = _random(digits)
    while any(_is(other, code) for other in others):
        code = _random(digits)
    id_ = uuid7(now)
    session.add(OneTimeCode(
        id=id_, purpose=purpose, subject=subject, contact_point_id=contact_point, code_hash=_hash(id_, code), state="open",
        tries=0, made_at=now, expires_at=now + dt.timedelta(seconds=valid_s), settled_at=None,
    ))  # fmt: skip
    session.flush()
    return code


def use(
    session: Session,
    *,
    purpose: str,
    code: str,
    now: dt.datetime,
    subject: str | None = None,
    contact_point: str | None = None,
) -> str | None:
    """The subject of the code that somebody keyed or wrote back, which is used up by it. Looked for among the open ones of `subject`, of
    `contact_point`, or of both; each of them has heard one wrong code more when it was none of them, and CODE_TRIES are its last.
    None: wrong, used, too late or too often; nobody is told which. ValueError when neither is given."""
    if subject is None and contact_point is None:
        raise ValueError("expected a subject, a contact point or both, got neither")
    found = _open(session, purpose, now, subject=subject, contact_point=contact_point)
    right = [each for each in found if _is(each, code)]
    for each in right or found:
        each.tries += 1
        if right:
            _settle(each, "used", now)
        elif each.tries >= CODE_TRIES:
            _settle(each, "revoked", now)
    session.flush()
    return right[0].subject if right else None


def heard_of(session: Session, contact_point: str, *, purpose: str, now: dt.datetime) -> list[OneTimeCode]:
    """The codes that this contact point was sent and whose time is not over, also those that are used or revoked; the newest first."""
    query = select(OneTimeCode).where(
        OneTimeCode.contact_point_id == contact_point, OneTimeCode.purpose == purpose, OneTimeCode.expires_at > now
    )
    return list(session.scalars(query.order_by(OneTimeCode.id.desc()).limit(HEARD_MAX)))


def is_of(row: OneTimeCode, code: str) -> bool:
    """Whether `code` is the one that was sent; asks nothing of its state and counts as no try."""
    return _is(row, code)


def made_since(session: Session, contact_point: str, *, purpose: str, since: dt.datetime) -> int:
    """How many codes this contact point was sent since then."""
    query = select(func.count()).where(
        OneTimeCode.contact_point_id == contact_point, OneTimeCode.purpose == purpose, OneTimeCode.made_at > since
    )
    return session.scalar(query) or 0


def _open(
    session: Session, purpose: str, now: dt.datetime, *, subject: str | None = None, contact_point: str | None = None
) -> list[OneTimeCode]:
    """The codes that still count, locked; those whose time is over lapse on the way."""
    query = select(OneTimeCode).where(OneTimeCode.state == "open", OneTimeCode.purpose == purpose)
    if subject is not None:
        query = query.where(OneTimeCode.subject == subject)
    if contact_point is not None:
        query = query.where(OneTimeCode.contact_point_id == contact_point)
    rows = session.scalars(query.order_by(OneTimeCode.id).with_for_update()).all()
    for row in rows:
        if row.expires_at <= now:
            _settle(row, "lapsed", now)
    return [row for row in rows if row.state == "open"]


def _settle(row: OneTimeCode, state: str, now: dt.datetime) -> None:
    row.state, row.settled_at = state, now


def _random(digits: int) -> str:
    return f"{secrets.randbelow(10**digits):0{digits}}"


def _is(row: OneTimeCode, code: str) -> bool:
    return hmac.compare_digest(row.code_hash, _hash(row.id, code))


def _hash(id_: str, code: str) -> str:
    """Salted with the row's id."""
    return hashlib.blake2b(code.encode(), digest_size=32, key=id_.encode()).hexdigest()
