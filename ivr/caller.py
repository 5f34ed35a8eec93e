"""What a flow may know of the caller, read from the records in one go. The facts' meanings stand in `ivr.facts`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from cti.identity import Outcome, may
from cti.records import lines, outages, tickets
from cti.records.outages import OutageRow
from cti.records.parties import Subscription
from cti.switchboard import Arrival
from ivr import facts
from ivr.nodes import Value

FAULT = "fault"


def outside(arrival: Arrival, *, region: str, zone: ZoneInfo, now: dt.datetime) -> dict[str, Value]:
    """What is known without asking the records: all there is when the database does not answer."""
    who, local = arrival.identification, now.astimezone(zone)
    return facts.NOBODY | {
        "outcome": who.outcome.value,
        "level": int(who.level),
        "role": who.role,
        "foreign": arrival.number.e164 is not None and arrival.number.country != region,
        "now": _local(now, zone),
        "hour": local.hour,
        "weekday": local.isoweekday(),
    }


def may_be_known(arrival: Arrival) -> bool:
    """Whether `inside` can know anything: of his own lines, or, of a number that nobody has, of the lines that are down."""
    who = arrival.identification
    return arrival.written and (bool(who.subscriptions) or (who.outcome is Outcome.NONE and bool(arrival.number.e164)))


def inside(session: Session, arrival: Arrival, *, zone: ZoneInfo, now: dt.datetime) -> dict[str, Value]:
    """His lines, their open tickets and outages, when the number belongs to exactly one customer; of an unknown number only whether it
    makes sense to ask him for the last digits of his line."""
    who = arrival.identification
    if not who.subscriptions:
        return {"lines_down": lines.lines_down(session, now)}
    hitting = outages.hitting(session, who.subscriptions, now) if may(who.level, "hear_outage") else []
    faults = {each.subscription for each in tickets.open_for(session, who.carriers) if each.matter == FAULT}
    return _of_lines(session, who.carriers, faults) | _of_outages(hitting, zone, now)


def party(arrival: Arrival) -> str | None:
    """The person, when the number leads to only one. One customer can be several people; then nobody is guessed."""
    candidates = arrival.identification.candidates
    return candidates[0].party if len(candidates) == 1 else None


def _of_lines(session: Session, carriers: Sequence[str], faults: set[str | None]) -> dict[str, Value]:
    found: dict[str, Value] = {"lines": len(carriers)}
    for at, each in enumerate(carriers[: facts.LINES_MAX], 1):
        line = session.get_one(Subscription, each)
        found |= facts.line(at, line.id, line.kind, _tail(line.number), line.id in faults)
    if len(carriers) == 1:
        found |= {"subscription": carriers[0], "open_ticket": carriers[0] in faults}
    return found


def _of_outages(hitting: list[OutageRow], zone: ZoneInfo, now: dt.datetime) -> dict[str, Value]:
    """The latest estimate counts. One that has passed, or is missing for one of several, is none: we promise nothing."""
    found: dict[str, Value] = {"outage": bool(hitting)}
    estimates = [each.estimate_at for each in hitting]
    latest = max((each for each in estimates if each), default=None)
    if latest is not None and None not in estimates and latest > now:
        found["outage_estimate"] = _local(latest, zone)
    return found


def _tail(number: str) -> str:
    """Enough to tell two lines of one kind apart, too little to tell a stranger anything."""
    return "".join(filter(str.isdigit, number))[-2:] or "0"


def _local(moment: dt.datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%dT%H:%M")
