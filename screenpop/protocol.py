"""Messages between server and browser, typed and versioned (docs/protocol.md shows each once).

The server pushes one *seat*: everything that one agent's page shows. `snapshot` carries all of it, `event` the parts that changed, each
with the sequence number that the browser repeats when it comes back. Cards are self-contained and replace the card of the same id; each
carries an `etag`, so that a browser can say what it has and another node sends only what differs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

VERSION = 1
SUBPROTOCOL = "santral.v1.json"
MESSAGE_MAX_BYTES = 64 * 1024  # of what a browser may send

# Close codes of our own (RFC 6455 section 7.4.2 leaves 4000-4999 to applications).
CLOSE_NOT_SIGNED_IN = 4401
CLOSE_TOO_SLOW = 4408  # does not read, or has not been heard of
CLOSE_BAD_MESSAGE = 4400


class Closed(Exception):
    """This connection is over: with which close code, and why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


LEFT = frozenset((1000, 1001))  # codes of a browser that closes because somebody wants it to: done, going away
OFFER_MAX = 200  # letters in an offer's id: ours are short, that of an unwritten one carries a channel's name
HAVE_MAX = 64  # cards that a browser may say it has


# --- what a seat shows ---


@dataclass(frozen=True, kw_only=True)
class Subscription:
    id: str
    number: str
    kind: str
    area: str
    line: str  # national form, "" without a line
    depends_on: str | None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    party: str | None
    name: str
    role: str
    percent: int
    reasons: tuple[str, ...]  # in the seat's language
    household: str
    subscriptions: tuple[Subscription, ...]
    customer_no: str
    tags: tuple[str, ...]
    link: str | None = None  # by which the calling number leads to him
    link_state: str = ""  # of that link now: unverified | verified | disputed | ended; "" without one


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The calling number seems to belong to somebody it is not linked to."""

    id: str
    role: str
    reason: str  # keyed | narrowing | agent | message | crm
    whom: str  # name of the party, label of the household, number of the subscription
    state: str  # open | accepted | refused | lapsed


@dataclass(frozen=True, kw_only=True)
class Question:
    """What an agent may ask to be surer, as he reads it aloud; never an answer."""

    factor: str  # proof.Factor
    text: str  # in the seat's language


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the trunk said beside the number; numbers as people write them, "" for what it did not say."""

    asserted: str
    diverted_from: str
    attestation: str  # STIR/SHAKEN: A | B | C, or what the trunk calls it


@dataclass(frozen=True, kw_only=True)
class Identity:
    outcome: str  # unique | ambiguous | none | withheld | malformed | unwritten (the records could not be asked)
    level: int  # cti.identity.Level
    method: str
    candidates: tuple[Candidate, ...]
    confirmed: str | None  # party id
    proof: tuple[str, ...] = ()  # proof.Factor of every right answer, by keys or to an agent
    proposal: Proposal | None = None  # this call's
    evidence: Evidence | None = None
    questions: tuple[Question, ...] = ()  # that the agent may ask next, the best first
    withheld: tuple[str, ...] = ()  # keys of cti.identity.MAY: what a caller of this level may not hear or do yet


@dataclass(frozen=True, kw_only=True)
class Ticket:
    number: str
    matter: str
    state: str
    opened_at: str
    contacts: int
    text: str
    this_call: bool  # opened or asked for in this conversation


@dataclass(frozen=True, kw_only=True)
class Step:
    """One place on the caller's way through the flow, with what was keyed there."""

    at: str
    node: str
    label: str  # in the seat's language
    heard: str  # digits | noinput | nomatch | ""
    digits: str


@dataclass(frozen=True, kw_only=True)
class Outage:
    area: str
    kind: str
    started_at: str
    estimate_at: str | None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the timeline: an interaction on any channel, a phone conversation, or a ticket."""

    id: str
    kind: str  # interaction | call | ticket
    channel: str
    direction: str
    at: str
    subject: str
    text: str
    contact: str
    author: str
    ticket: str
    party: str | None
    party_name: str


@dataclass(frozen=True, kw_only=True)
class Recording:
    id: str
    state: str
    duration_s: float | None


@dataclass(frozen=True, kw_only=True)
class Card:
    """One conversation as one seat sees it. `id` is the conversation; `version` the ledger's seq of the newest fact in it."""

    id: str
    version: int
    offer: str
    state: str  # offered | talking | wrap_up | withdrawn
    reason: str  # of a withdrawal: no_answer | busy | rejected | answered_elsewhere | caller_left | lost
    number: str  # as people write it, "" when withheld
    number_kind: str
    caller_name: str  # what the carrier sent: hostile text
    did: str
    language: str
    queue: str
    intent: str
    waited_s: float  # when the offer was made; it does not change at the answer
    arrived_at: str
    offered_at: str
    answered_at: str | None
    cleared_at: str | None
    identity: Identity
    tickets: tuple[Ticket, ...]
    outages: tuple[Outage, ...]
    path: tuple[Step, ...]
    timeline: tuple[Entry, ...]
    note: str
    recording: Recording | None
    etag: str = ""  # of all the rest, board.sealed makes it


@dataclass(frozen=True, kw_only=True)
class Disposition:
    id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Channel:
    id: str
    name: str
    icon: str


@dataclass(frozen=True, kw_only=True)
class Agent:
    """The seat's own state. `phone`: ready | ringing | in_use | unavailable | none; `paused` keeps new calls away."""

    user: str
    name: str
    agent: str
    phone: str
    paused: bool
    pause_reason: str


@dataclass(frozen=True, kw_only=True)
class Seat:
    """All that one page shows; equal for every tab of the agent, and equal after a reload."""

    agent: Agent
    cards: tuple[Card, ...]  # newest offer first
    dispositions: tuple[Disposition, ...] = field(default=())
    channels: tuple[Channel, ...] = field(default=())
    lists: str = ""  # etag of dispositions and channels, board.lists_etag makes it


# --- server -> browser: dicts built by board.py and hub.py ---
# {"type":"snapshot","v":1,"epoch":…,"seq":…,"leader":…,"seat":{…}}
# `seq` has no gaps: a browser that sees one asks for a snapshot. `leader`: of the agent's browsers this is the one that rings.
# {"type":"event","seq":…,"changes":[{"part":"card","card":{…}} | {"part":"card_gone","id":…} | {"part":"agent","agent":{…}} |
#                                   {"part":"seat","seat":{…}} |
#                                   {"part":"lists","dispositions":[…],"channels":[…],"lists":…}]}
# {"type":"resumed","epoch":…,"seq":…,"leader":…,"changes":[…]}   of the same epoch: no changes, the missed events follow; of another
#                                                one: the changes that make what the browser has (Hello.have) what this seat shows
# {"type":"state","degraded":[…],"leader":…}     what of ours is away (database, switch, bus), and whether this browser still rings
# {"type":"move","after_ms":…}                   close after so long, and come back at once: the balancer leads to another node
# {"type":"ping","at_ms":…}                      every 2 s; the browser answers pong; 8 s without any message: the line is dead
# {"type":"result","key":…,"ok":true,"value":{…}} or {"type":"result","key":…,"ok":false,"error":{"code":…,"text":…}}; `value` only
#                                                where a command has something to say: prove answers Proved


@dataclass(frozen=True, kw_only=True)
class Proved:
    """What an agent hears of an answer: whether it was right, and nothing of the right one."""

    right: bool
    slowed: bool  # it was not even looked at: too many wrong ones
    level: int  # reached by now


Message = dict[str, Any]


# --- browser -> server ---


class _Incoming(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hello(_Incoming):
    """The first message. `epoch` and `seq` of the last message that this browser took, or null for a fresh page. `have` and `lists`
    are the etags of what it still shows; a node that never had this browser then sends only the difference. `browser` is the same on
    each of its sockets: the older one is dead then, whatever the network says."""

    type: Literal["hello"]
    v: int
    epoch: str | None = None
    seq: int | None = None
    language: Literal["tr", "en"] | None = None
    have: dict[str, str] | None = Field(None, max_length=HAVE_MAX)
    lists: str = ""
    browser: str = Field("", max_length=64)


class Pong(_Incoming):
    type: Literal["pong"]
    seq: int


class Bye(_Incoming):
    """The last tab of this browser is being closed on purpose; the socket ends next."""

    type: Literal["bye"]


class Painted(_Incoming):
    """`ms`: from the arrival of the message in the browser to the frame after the card was drawn."""

    type: Literal["painted"]
    offer: str = Field(max_length=OFFER_MAX)
    ms: float = Field(ge=0, le=600_000)


class Seen(_Incoming):
    type: Literal["seen"]
    offer: str = Field(max_length=OFFER_MAX)


class Command(_Incoming):
    """Something the agent wants. `key` makes a repetition harmless: the first result is given again."""

    type: Literal["command"]
    key: str = Field(min_length=8, max_length=64)
    name: Literal[
        "note", "wrap_up", "dismiss", "confirm_party", "link", "refuse_link", "dispute", "prove", "pause", "ready", "hang_up"
    ]  # fmt: skip
    conversation: str = Field("", max_length=64)
    # note, wrap_up: the whole note; pause, dispute: the reason; prove: what the caller answered
    text: str = Field("", max_length=20_000)
    # wrap_up: disposition; confirm_party: party id; dismiss: offer id; link, refuse_link: proposal id; dispute: link id; prove: factor
    value: str = Field("", max_length=64)


Incoming = Annotated[Hello | Pong | Bye | Painted | Seen | Command, Field(discriminator="type")]
INCOMING: TypeAdapter[Hello | Pong | Bye | Painted | Seen | Command] = TypeAdapter(Incoming)
