"""What happens to a conversation by phone: the call, the flow, the offers to agents, and its end."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from cti.events.base import CallEvent, SwitchEvent

# --- the call ---


@dataclass(frozen=True, kw_only=True)
class CallArrived(CallEvent):
    """A caller reached us. `channel` is the switch's id of the caller's leg; `raw` is what the carrier sent, cut to 80 characters."""

    type = "call.arrived"
    channel: str
    did: str
    raw: str
    number: str | None  # E.164, or None when withheld, malformed or a short code
    number_kind: str  # numbers.Kind: e164 | short | withheld | malformed
    caller_name: str = ""
    claimed: bool = True  # False: the dialplan served the caller without us, and the facts were read afterwards
    asserted: str = ""  # E.164 that the trunk vouches for (P-Asserted-Identity, RFC 3325), when it is another one
    diverted_from: str = ""  # who sent the call on to us (Diversion, RFC 5806), as E.164 or as it came
    attestation: str = (
        ""  # A | B | C: how sure the caller's carrier is of the number (STIR/SHAKEN, RFC 8588); "": it does not say
    )


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a candidate is one: a key of the catalogue (`identity.reason.<key>`) and the values that its text names."""

    key: str
    values: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Somebody who may be calling, and the subscriptions that this would make the matter."""

    party: str | None
    party_name: str
    household: str | None
    subscriptions: tuple[str, ...]
    link: str | None  # the contact point link that led here
    role: str  # of the link: owner | user | line_number | work | neighbour | former
    probability: float  # 0..1 that it is this person; what is missing to 1 is somebody whom no link names
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, kw_only=True)
class CallIdentified(CallEvent):
    """What the number, or a later proof, says about the caller. A later one with a higher level replaces an earlier one."""

    type = "call.identified"
    outcome: str  # identity.Outcome: unique | ambiguous | none | withheld | malformed
    level: int  # identity.Level: 0 none, 1 matched, 2 keyed, 3 verified, 4 strong
    method: str  # caller_id | narrowing | keys | agent | crm
    candidates: tuple[Candidate, ...]
    unlinked: bool = False  # he is known now, but the number that he calls from is not


@dataclass(frozen=True, kw_only=True)
class CallQueued(SwitchEvent):
    type = "call.queued"
    queue: str
    intent: str  # fault | billing | person | unknown ...
    by: str = "flow"  # flow | fallback (the dialplan did it without us)


@dataclass(frozen=True, kw_only=True)
class CallDelivered(SwitchEvent):
    """The agent's device rings (CSTA delivered). One offer is one ringing of one device."""

    type = "call.delivered"
    offer: str
    agent: str
    queue: str
    device: str  # PJSIP/1001
    device_channel: str
    waited_s: float
    read_at: str  # when our socket read the switch's event: the zero of the pop's delay


@dataclass(frozen=True, kw_only=True)
class CallDiverted(SwitchEvent):
    """The device stopped ringing without an answer here; the offer is withdrawn."""

    type = "call.diverted"
    offer: str
    agent: str
    reason: str  # no_answer | busy | rejected | answered_elsewhere | caller_left | lost


@dataclass(frozen=True, kw_only=True)
class CallAnswered(SwitchEvent):
    """Agent and caller are talking (CSTA established)."""

    type = "call.answered"
    offer: str
    agent: str
    waited_s: float
    rang_s: float


@dataclass(frozen=True, kw_only=True)
class CallCleared(SwitchEvent):
    """The agent's part of the talk ended (CSTA connection cleared)."""

    type = "call.cleared"
    offer: str
    agent: str
    talked_s: float
    by: str  # agent | caller | transfer | unknown


@dataclass(frozen=True, kw_only=True)
class CallEnded(SwitchEvent):
    """The caller's leg is gone. Every call.arrived gets exactly one."""

    type = "call.ended"
    reason: str  # answered | abandoned_in_ivr | abandoned_in_queue | served_in_ivr | lost
    cause: str = ""  # the switch's own word


# --- the flow ---


@dataclass(frozen=True, kw_only=True)
class FlowStarted(CallEvent):
    type = "flow.started"
    flow: str
    version: int
    language: str


@dataclass(frozen=True, kw_only=True)
class FlowResumed(CallEvent):
    """Another driver (a node, or the same one after its restart) goes on with the call, at this node of the flow."""

    type = "flow.resumed"
    node: str


@dataclass(frozen=True, kw_only=True)
class FlowEntered(CallEvent):
    """The caller came to a node. `label` is the node's title, in both languages, for whoever reads the path."""

    type = "flow.entered"
    node: str
    label: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FlowHeard(CallEvent):
    """What the caller gave at a wait. `digits` is empty for secret nodes, however many keys there were."""

    type = "flow.heard"
    node: str
    kind: str  # digits | noinput | nomatch | words
    digits: str = ""


@dataclass(frozen=True, kw_only=True)
class FlowSpoke(CallEvent):
    """A prompt with facts in it (a ticket number, an estimate) was heard to its end, as text in the caller's language."""

    type = "flow.spoke"
    node: str
    text: str


@dataclass(frozen=True, kw_only=True)
class FlowLanguageChosen(CallEvent):
    type = "flow.language_chosen"
    language: str


@dataclass(frozen=True, kw_only=True)
class FlowLeft(CallEvent):
    """The flow ended: at a queue, at its end, or because the caller hung up."""

    type = "flow.left"
    node: str
    to: str  # queue | end | hangup


@dataclass(frozen=True, kw_only=True)
class FlowFailed(CallEvent):
    """Something of ours broke inside the call; the caller was sent to a person."""

    type = "flow.failed"
    node: str
    error: str


# --- the pop ---


@dataclass(frozen=True, kw_only=True)
class OfferPainted(CallEvent):
    """A browser of the offer's agent drew it. Both delays count from `CallDelivered.read_at`; the first by the server's clock
    when the acknowledgement came (network back included), the second without the way back, from the browser's own measure."""

    type = "offer.painted"
    offer: str
    agent: str
    acked_ms: float
    browser_ms: float


@dataclass(frozen=True, kw_only=True)
class OfferSeen(CallEvent):
    """The page was visible and the offer on it for the agent's eye."""

    type = "offer.seen"
    offer: str
    agent: str
    acked_ms: float


@dataclass(frozen=True, kw_only=True)
class CallWrappedUp(CallEvent):
    type = "call.wrapped_up"
    agent: str
    disposition: str
    note: str


@dataclass(frozen=True, kw_only=True)
class NoteWritten(CallEvent):
    """An agent's running note; the newest replaces the one before on the screen, all stay in the ledger."""

    type = "note.written"
    agent: str
    text: str


@dataclass(frozen=True, kw_only=True)
class PartyConfirmed(CallEvent):
    """An agent said who is calling."""

    type = "party.confirmed"
    agent: str
    party: str


# --- recordings ---


@dataclass(frozen=True, kw_only=True)
class RecordingStarted(CallEvent):
    type = "recording.started"
    recording: str


@dataclass(frozen=True, kw_only=True)
class RecordingStored(CallEvent):
    type = "recording.stored"
    recording: str
    duration_s: float
    size_bytes: int
    state: str  # stored | partial | missing


@dataclass(frozen=True, kw_only=True)
class RecordingErased(CallEvent):
    """The sound is gone for good, by the retention policy; that it was there stays known."""

    type = "recording.erased"
    recording: str
