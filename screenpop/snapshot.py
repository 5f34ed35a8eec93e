"""Reads the database into the very cards that a seat shows. The same function serves the first look, every push and a reload."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from cti import ledger, numbers
from cti.records import contact_points, outages, recordings, tickets, timeline
from cti.records.conversations import Conversation, Disposition, Offer
from screenpop import board, who
from screenpop.protocol import (
    Agent,
    Candidate,
    Card,
    Channel,
    Entry,
    Identity,
    Outage,
    Recording,
    Seat,
    Ticket,
)
from screenpop.protocol import Disposition as DispositionChoice
from screenpop.seat import Look, Only

TIMELINE_MAX = 40
WITHDRAWN_MAX = 5

# What every look asks is made once: making it costs more than running it.
VISIBLE = (
    select(Offer)
    .where(
        Offer.agent == bindparam("agent"),
        (Offer.state == "offered")
        | ((Offer.state == "answered") & Offer.wrapped_up_at.is_(None))
        | ((Offer.state == "withdrawn") & Offer.dismissed_at.is_(None) & (Offer.offered_at > bindparam("recent"))),
    )
    .order_by(Offer.offered_at.desc(), Offer.id.desc())
    .limit(board.CARDS_MAX * 4)
)
CALLS = select(timeline.Interaction.conversation).where(timeline.Interaction.id.in_(bindparam("ids", expanding=True)))


def look(session: Session, agent: Agent, language: str, *, before: Look | None, only: Only, now: dt.datetime) -> Look:
    """The seat as it is now. With `before` and `only`, what is not named there is taken over as it was."""
    offers = _visible(session, agent.agent, now) if agent.agent else []
    old = {card.id: card for card in before.seat.cards} if before and only is not None else {}
    cards: list[Card] = []
    ids: dict[str, frozenset[str]] = {}
    for offer in offers:
        name = offer.conversation_id
        kept = old.get(name)
        if before is None or only is None or kept is None or _is_another(offer, kept):
            card, ids[name] = _card(session, offer, language, now)
        else:
            card, ids[name] = _again(session, offer, language, now, kept, before.ids[name], only.get(name, frozenset()))
        cards.append(card)
    lists = (before.seat.dispositions, before.seat.channels) if before and only is not None else None
    dispositions, channels = lists or (_dispositions(session, language), _channels(session, language))
    seat = Seat(
        agent=dataclasses.replace(agent, phone=board.phone_state(agent.phone, cards)), cards=board.order(cards),
        dispositions=dispositions, channels=channels,
        lists=before.seat.lists if before and lists else board.lists_etag(dispositions, channels),
    )  # fmt: skip
    return Look(seat, ids, frozenset(offer.device_channel for offer in offers))


def same_cards(before: Look, agent: Agent) -> Look:
    """The seat when only the agent's own state is another."""
    agent = dataclasses.replace(agent, phone=board.phone_state(agent.phone, before.seat.cards))
    return dataclasses.replace(before, seat=dataclasses.replace(before.seat, agent=agent))


def _is_another(offer: Offer, card: Card) -> bool:
    """A further offer of the conversation, or one that shows less now than before (withdrawn)."""
    return offer.id != card.offer or (offer.state == "withdrawn") != (card.state == "withdrawn")


def _visible(session: Session, agent: str, now: dt.datetime) -> list[Offer]:
    """One offer a conversation, the newest: ringing, answered and not wrapped up, or missed and not put away."""
    recent = now - dt.timedelta(seconds=board.WITHDRAWN_KEPT_S)
    newest: dict[str, Offer] = {}
    for offer in session.scalars(VISIBLE, {"agent": agent, "recent": recent}):
        newest.setdefault(offer.conversation_id, offer)
    missed = [offer.id for offer in newest.values() if offer.state == "withdrawn"][WITHDRAWN_MAX:]
    return [offer for offer in newest.values() if offer.id not in missed][: board.CARDS_MAX]


def _card(session: Session, offer: Offer, language: str, now: dt.datetime) -> tuple[Card, frozenset[str]]:
    """The whole card, and the ids whose events concern it."""
    row = session.get_one(Conversation, offer.conversation_id)
    events = ledger.of_conversation(session, row.id)
    full = offer.state != "withdrawn"  # a missed offer says who it was, not everything about him
    points = _points(session, row)
    caller = who.identity(session, row, events, points, language)
    card = Card(
        id=row.id,
        version=board.version(events),
        offer=offer.id,
        number=numbers.national(row.number) if row.number else "",
        number_kind=row.number_kind,
        caller_name=row.caller_name,
        did=row.did,
        waited_s=board.waited_s(events, offer.id),
        arrived_at=board.when(row.arrived_at),
        offered_at=board.when(offer.offered_at),
        identity=caller,
        path=board.path(events, language) if full else (),
        **_call(session, row, offer),
        **_history(session, row, caller, points, full, now),
    )
    return board.sealed(card), _ids(session, row, points, card)


def _again(
    session: Session, offer: Offer, language: str, now: dt.datetime, card: Card, ids: frozenset[str], parts: board.Parts
) -> tuple[Card, frozenset[str]]:
    """`card` with these parts as they are now."""
    if not parts:
        return card, ids
    if board.WHO in parts:
        return _card(session, offer, language, now)
    row = session.get_one(Conversation, offer.conversation_id)
    full = offer.state != "withdrawn"
    points = _points(session, row)
    new: dict[str, Any] = {"version": ledger.newest(session, row.id, besides=board.QUIET)}
    if board.CALL in parts:
        new |= _call(session, row, offer)
    if board.PATH in parts and full:
        new["path"] = board.path(ledger.of_conversation(session, row.id), language)
    if board.SURE in parts:
        new["identity"] = who.surely(session, row, points, card.identity, language)
    if board.HISTORY in parts:
        new |= _history(session, row, card.identity, points, full, now)
    card = board.sealed(dataclasses.replace(card, **new))
    return card, _ids(session, row, points, card) if board.HISTORY in parts else ids


def _call(session: Session, row: Conversation, offer: Offer) -> dict[str, Any]:
    """The call as it stands."""
    mine = offer.state == "answered"
    return {
        "state": _state(offer),
        "reason": offer.reason,
        "language": row.language,
        "queue": row.queue,
        "intent": row.intent,
        "answered_at": board.when(row.answered_at) if row.answered_at and mine else None,
        "cleared_at": board.when(offer.ended_at) if offer.ended_at and mine else None,
        "note": row.note if offer.state != "withdrawn" else "",
        "recording": _recording(session, row) if offer.state != "withdrawn" else None,
    }


def _history(
    session: Session, row: Conversation, caller: Identity, points: list[str], full: bool, now: dt.datetime
) -> dict[str, Any]:
    """What was before, and what goes on beside the call: tickets, outages, the timeline of every channel."""
    if not full:
        return {"tickets": (), "outages": (), "timeline": ()}
    people, lines = _whose(caller)
    return {
        "tickets": _tickets(session, row, lines),
        "outages": _outages(session, lines, now),
        "timeline": _timeline(session, people, points, row.id),
    }


def _points(session: Session, row: Conversation) -> list[str]:
    point = contact_points.find(session, "phone", row.number) if row.number else None
    return [point.id] if point else []


def _ids(session: Session, row: Conversation, points: list[str], card: Card) -> frozenset[str]:
    """What an event may name that then concerns this card."""
    people, lines = _whose(card.identity)
    return frozenset([row.id, *people, *lines, *points, *who.links(card.identity), *_told_of(session, row, card)])


def _told_of(session: Session, row: Conversation, card: Card) -> Iterable[str]:
    """What else may change the card: its tickets (by number), the caller's further calls, and the calls that its timeline lists."""
    yield from (ticket.number for ticket in card.tickets)
    yield from (entry.ticket for entry in card.timeline if entry.ticket)
    if row.number:
        yield row.number
    calls = [entry.id for entry in card.timeline if entry.kind == "call"]
    yield from (conversation for conversation in session.scalars(CALLS, {"ids": calls}) if conversation)


def _whose(caller: Identity) -> tuple[list[str], list[str]]:
    """Parties and subscriptions whose history belongs on the card: the confirmed caller's; else those of the one household that the
    number leads to. Several customers on one number are never mixed: nothing of theirs is shown until somebody decides."""
    if caller.confirmed:
        chosen = [each for each in caller.candidates if each.party == caller.confirmed]
        return [caller.confirmed], _lines(chosen)
    if caller.outcome != "unique":
        return [], []
    return [each.party for each in caller.candidates if each.party], _lines(caller.candidates)


def _lines(candidates: Iterable[Candidate]) -> list[str]:
    return list(dict.fromkeys(line.id for each in candidates for line in each.subscriptions))


def _state(offer: Offer) -> str:
    if offer.state == "answered":
        return "wrap_up" if offer.ended_at else "talking"
    return offer.state


def _tickets(session: Session, row: Conversation, lines: list[str]) -> tuple[Ticket, ...]:
    found = tickets.open_for(session, lines)
    if row.ticket_id and all(each.id != row.ticket_id for each in found):
        found = [*tickets.by_ids(session, [row.ticket_id]), *found]
    return tuple(
        Ticket(
            number=each.number,
            matter=each.matter,
            state=each.state,
            opened_at=board.when(each.opened_at),
            contacts=each.contacts,
            text=each.text,
            this_call=each.id == row.ticket_id,
        )
        for each in found
    )


def _outages(session: Session, lines: list[str], at: dt.datetime) -> tuple[Outage, ...]:
    return tuple(
        Outage(
            area=each.area,
            kind=each.kind,
            started_at=board.when(each.started_at),
            estimate_at=board.when(each.estimate_at) if each.estimate_at else None,
        )
        for each in outages.hitting(session, lines, at)
    )


def _timeline(session: Session, people: list[str], points: list[str], conversation: str) -> tuple[Entry, ...]:
    found = timeline.entries(
        session, parties=people, contact_points=points, conversation=conversation, limit=TIMELINE_MAX
    )
    return tuple(_entry(each) for each in found)


def _entry(fact: timeline.Entry) -> Entry:
    shown = Entry(**{name: getattr(fact, name) for name in Entry.__dataclass_fields__})
    is_number = numbers.E164.fullmatch(shown.contact)
    return dataclasses.replace(shown, contact=numbers.national(shown.contact)) if is_number else shown


def _recording(session: Session, row: Conversation) -> Recording | None:
    found = recordings.of_conversation(session, row.id)
    return Recording(id=found[-1].id, state=found[-1].state, duration_s=found[-1].duration_s) if found else None


def _dispositions(session: Session, language: str) -> tuple[DispositionChoice, ...]:
    rows = session.scalars(select(Disposition).order_by(Disposition.position, Disposition.id))
    return tuple(DispositionChoice(id=row.id, name=row.name_tr if language == "tr" else row.name_en) for row in rows)


def _channels(session: Session, language: str) -> tuple[Channel, ...]:
    rows = session.scalars(select(timeline.Channel).order_by(timeline.Channel.id))
    return tuple(
        Channel(id=row.id, name=row.name_tr if language == "tr" else row.name_en, icon=row.icon) for row in rows
    )
