"""The secret that a customer may key: set by somebody of ours, kept as its hash.

Four to eight digits are found within minutes by whoever has the database, whatever the hash costs: what protects a PIN is that a
stranger on the telephone is heard ten times a month (cti.proof.SLOW). So the hash is a cheap one, some 4 ms of scrypt, because it is
worked out in the database's only writer, where everybody waits; argon2 as cti.auth has it would hold them up for 180 ms. A party without
a PIN costs the same work.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from cti import proof
from cti.events import PinSet
from cti.ledger import append
from cti.proof import Factor
from cti.records.parties import Party

COST, BLOCK, LANES = 1024, 8, 1  # scrypt's n, r, p (RFC 7914): 1 MB of memory
SALT_BYTES, HASH_BYTES = 16, 32
NOBODYS = f"scrypt${'00' * SALT_BYTES}${'00' * HASH_BYTES}"  # what an answer is held against where there is no PIN

HASH_OF = select(Party.pin_hash).where(Party.id == bindparam("party"))


class WeakPin(ValueError):
    """One of the PINs that anybody would try first."""


def set_pin(session: Session, party: str, pin: str, *, by: str, now: dt.datetime) -> None:
    """Give `party` (id) a new PIN. ValueError when it is no PIN, WeakPin when it is easily guessed; LookupError when there is no such
    party. What it is stays out of every message."""
    row = session.get(Party, party)
    if row is None:
        raise LookupError(f"expected the id of a party, got {party!r}")
    if proof.read_answer(Factor.PIN, pin) != pin:
        raise ValueError(f"expected {proof.PIN_MIN} to {proof.PIN_MAX} digits, got {len(pin)} characters")
    if proof.is_weak(pin, row.birth_date):
        raise WeakPin("expected a PIN that is not guessed at once: no run, no repetition, no year, no birthday")
    salt = secrets.token_bytes(SALT_BYTES)
    row.pin_hash = f"scrypt${salt.hex()}${_hash(pin, salt).hex()}"
    session.flush()
    append(session, PinSet(party=party, by=by), now=now)


def clear_pin(session: Session, party: str, *, by: str, now: dt.datetime) -> bool:
    """The party has no PIN from now on. False: it had none."""
    row = session.get(Party, party)
    if row is None or row.pin_hash is None:
        return False
    row.pin_hash = None
    append(session, PinSet(party=party, by=by, cleared=True), now=now)
    return True


def is_pin(session: Session, party: str, answer: str) -> bool:
    """Whether `answer` is the PIN of `party`; as slow when there is no such party or it has none."""
    stored = session.scalar(HASH_OF, {"party": party}) or NOBODYS
    _, salt, wanted = stored.split("$")
    got = _hash(answer, bytes.fromhex(salt))
    return hmac.compare_digest(got, bytes.fromhex(wanted)) and stored != NOBODYS


def _hash(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, n=COST, r=BLOCK, p=LANES, dklen=HASH_BYTES)
