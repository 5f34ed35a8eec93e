"""What a node kept in its journal while the database was away, brought into the database: each entry is one piece of work.

The same entry twice is the same as once, also when we died between the commit and `Journal.forget`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import assert_never

from sqlalchemy.orm import Session

from cti.identity import Identification
from cti.journal import CallNoted, Entry, ReportNoted
from cti.line import Caller
from cti.numbers import NO_AREAS, Areas
from cti.records import callbacks, tickets
from cti.records.parties import Party, Subscription
from cti.records.tickets import Opened
from cti.switchboard import Arrival, arrived


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What an entry has become."""

    conversation: str  # the entry's own, unless the call was written down under another one meanwhile
    opened: Opened | None = None  # of a report
    callback: str = ""  # of a report


def replay(session: Session, entry: Entry, *, region: str, now: dt.datetime, areas: Areas = NO_AREAS) -> Replayed:
    """Write down what the entry says as of the moment when it happened. Twice is once.

    IntegrityError: another node wrote the same call at this very moment; nothing was done, ask again.
    """
    at = min(entry.at, now)  # a clock that went back must not put a fact into the future
    match entry:
        case CallNoted():
            return Replayed(conversation=_arrival(session, entry, _caller(entry), region, areas, at).conversation)
        case ReportNoted():
            caller = Caller(entry.channel, entry.did, entry.raw, "")
            return _report(session, entry, _arrival(session, entry, caller, region, areas, at), at)
        case _:
            assert_never(entry)


def _caller(entry: CallNoted) -> Caller:
    return Caller(
        entry.channel, entry.did, entry.raw, entry.name,
        asserted=entry.asserted, diverted_from=entry.diverted_from, attestation=entry.attestation,
    )  # fmt: skip


def _arrival(session: Session, entry: Entry, caller: Caller, region: str, areas: Areas, at: dt.datetime) -> Arrival:
    """The conversation of the entry's channel: there already, or new from now on."""
    found = arrived(session, caller, region=region, areas=areas, now=at, conversation=entry.conversation)
    session.flush()  # what comes next goes past the ORM
    return found


def _report(session: Session, entry: ReportNoted, arrival: Arrival, at: dt.datetime) -> Replayed:
    subscription = _subscription(session, entry, arrival.identification)
    party = entry.party if entry.party and session.get(Party, entry.party) else None
    opened = tickets.open_for_visit(
        session, visit=entry.visit, subscription=subscription, party=party, matter=entry.matter, channel="phone",
        conversation=arrival.conversation, text=entry.text, now=at,
    )  # fmt: skip
    callback = callbacks.want_once(
        session, conversation=arrival.conversation, reason="message" if entry.message else "noted",
        number=arrival.number.e164, party=party, subscription=subscription, ticket=opened.ticket, message=entry.message,
        text=entry.text, now=at,
    )  # fmt: skip
    return Replayed(conversation=arrival.conversation, opened=opened, callback=callback)


def _subscription(session: Session, entry: ReportNoted, who: Identification) -> str | None:
    """What the node knew, if it is still there; else the one line that the caller's number leads to."""
    if entry.subscription and session.get(Subscription, entry.subscription):
        return entry.subscription
    return who.carriers[0] if len(who.carriers) == 1 else None
