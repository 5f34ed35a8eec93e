"""What happens to what we keep: tickets, outages, parties, links, interactions; and who signed in, looked, or changed state."""

from __future__ import annotations

from dataclasses import dataclass

from cti.events.base import Event

# --- tickets, outages ---


@dataclass(frozen=True, kw_only=True)
class TicketOpened(Event):
    type = "ticket.opened"
    ticket: str
    number: str  # as it is read to the caller: digits with a check digit at the end
    subscription: str | None
    party: str | None
    matter: str  # fault | billing | ...
    channel: str
    conversation: str | None = None
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class TicketAppended(Event):
    """A further contact about a matter that already has an open ticket."""

    type = "ticket.appended"
    ticket: str
    number: str
    channel: str
    conversation: str | None = None
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class OutageOpened(Event):
    type = "outage.opened"
    outage: str
    area: str
    estimate_at: str | None


@dataclass(frozen=True, kw_only=True)
class OutageClosed(Event):
    type = "outage.closed"
    outage: str


# --- callbacks ---


@dataclass(frozen=True, kw_only=True)
class CallbackWanted(Event):
    """Somebody is to be called back: his call was cut, or what he said could only be taken down."""

    type = "callback.wanted"
    callback: str
    conversation: str
    reason: str  # interrupted | message | noted
    party: str | None
    subscription: str | None
    ticket: str | None


@dataclass(frozen=True, kw_only=True)
class CallbackSettled(Event):
    """The callback needs nobody any more."""

    type = "callback.settled"
    callback: str
    conversation: str
    state: str  # done | dropped
    by: str


# --- agents and people at their screens ---


@dataclass(frozen=True, kw_only=True)
class AgentStateChanged(Event):
    """What the switch says of an agent's place in his queues."""

    type = "agent.state_changed"
    agent: str
    state: str  # ready | paused | wrap_up | unavailable
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class SignedIn(Event):
    type = "session.opened"
    user: str
    role: str


@dataclass(frozen=True, kw_only=True)
class SignInRefused(Event):
    type = "session.refused"
    user: str


@dataclass(frozen=True, kw_only=True)
class SignedOut(Event):
    type = "session.closed"
    user: str


# --- records ---


@dataclass(frozen=True, kw_only=True)
class PartyAdded(Event):
    type = "party.added"
    party: str
    source: str


@dataclass(frozen=True, kw_only=True)
class LinkMade(Event):
    type = "link.made"
    link: str
    contact_point: str
    party: str | None
    household: str | None
    subscription: str | None
    role: str
    source: str
    by: str


@dataclass(frozen=True, kw_only=True)
class LinkEnded(Event):
    type = "link.ended"
    link: str
    reason: str
    by: str


@dataclass(frozen=True, kw_only=True)
class InteractionReceived(Event):
    """One contact on one channel. `party` is the confirmed one; without it the contact point alone says whom it may concern."""

    type = "interaction.received"
    interaction: str
    channel: str
    direction: str  # in | out
    contact_point: str
    party: str | None
    external_id: str


@dataclass(frozen=True, kw_only=True)
class RecordsRead(Event):
    """Somebody looked at personal data: who, what, whose. `what` is party | timeline | recording | interactions | tickets |
    calls | callbacks | message | number | link_proposals | merges | imports."""

    type = "records.read"
    user: str
    what: str
    subject: str
