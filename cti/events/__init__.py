"""Everything that can happen, as frozen values; name <-> class; to and from plain JSON.

An event says what was true at a moment and is never changed afterwards: a new meaning gets a new name and an example in
docs/events.md. Import events from here; the files beside this one hold them by subject.
"""

from typing import Any

from cti.events.base import CallEvent, Event, Recorded, UnknownEvent, plain_of, value_of
from cti.events.calls import (
    CallAnswered,
    CallArrived,
    CallCleared,
    CallDelivered,
    CallDiverted,
    CallEnded,
    CallIdentified,
    CallQueued,
    CallWrappedUp,
    Candidate,
    FlowEntered,
    FlowFailed,
    FlowHeard,
    FlowLanguageChosen,
    FlowLeft,
    FlowResumed,
    FlowSpoke,
    FlowStarted,
    NoteWritten,
    OfferPainted,
    OfferSeen,
    PartyConfirmed,
    Reason,
    RecordingErased,
    RecordingStarted,
    RecordingStored,
)
from cti.events.identity import (
    GuessingAlarmed,
    ImportEnded,
    ImportUndone,
    InteractionsRelinked,
    LineStateChanged,
    LinkDisputed,
    LinkProposalSettled,
    LinkProposed,
    LinkVerified,
    MergeRefused,
    MessageSettled,
    PartiesMerged,
    PartiesUnmerged,
    PinSet,
    ProofGiven,
    ProofRefused,
)
from cti.events.records import (
    AgentStateChanged,
    CallbackSettled,
    CallbackWanted,
    InteractionReceived,
    LinkEnded,
    LinkMade,
    OutageClosed,
    OutageOpened,
    PartyAdded,
    RecordsRead,
    SignedIn,
    SignedOut,
    SignInRefused,
    TicketAppended,
    TicketOpened,
)

__all__ = [
    "REGISTRY",
    "AgentStateChanged",
    "CallAnswered",
    "CallArrived",
    "CallCleared",
    "CallDelivered",
    "CallDiverted",
    "CallEnded",
    "CallEvent",
    "CallIdentified",
    "CallQueued",
    "CallWrappedUp",
    "CallbackSettled",
    "CallbackWanted",
    "Candidate",
    "Event",
    "FlowEntered",
    "FlowFailed",
    "FlowHeard",
    "FlowLanguageChosen",
    "FlowLeft",
    "FlowResumed",
    "FlowSpoke",
    "FlowStarted",
    "GuessingAlarmed",
    "ImportEnded",
    "ImportUndone",
    "InteractionReceived",
    "InteractionsRelinked",
    "LineStateChanged",
    "LinkDisputed",
    "LinkEnded",
    "LinkMade",
    "LinkProposalSettled",
    "LinkProposed",
    "LinkVerified",
    "MergeRefused",
    "MessageSettled",
    "NoteWritten",
    "OfferPainted",
    "OfferSeen",
    "OutageClosed",
    "OutageOpened",
    "PartiesMerged",
    "PartiesUnmerged",
    "PartyAdded",
    "PartyConfirmed",
    "PinSet",
    "ProofGiven",
    "ProofRefused",
    "Reason",
    "Recorded",
    "RecordingErased",
    "RecordingStarted",
    "RecordingStored",
    "RecordsRead",
    "SignInRefused",
    "SignedIn",
    "SignedOut",
    "TicketAppended",
    "TicketOpened",
    "UnknownEvent",
    "plain_of",
    "read",
    "value_of",
]

REGISTRY: dict[str, type[Event]] = {}


def _register(cls: type[Event]) -> None:
    for sub in cls.__subclasses__():
        if sub.type:
            REGISTRY[sub.type] = sub
        _register(sub)


_register(Event)


def read(name: str, body: dict[str, Any]) -> Event:
    """The event stored as (name, body)."""
    if name not in REGISTRY:
        raise UnknownEvent(f"expected one of {len(REGISTRY)} known event names, got {name!r}")
    return REGISTRY[name].of(body)
