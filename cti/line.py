"""The words spoken to a call: what a flow's driver may ask of a telephone line, and what comes back.

Pure: a door (`cti.asterisk.ari`) implements `Line` for the real switch, a ten-line fake implements it for tests. A `Line` is one
caller's leg. Every method may raise `HungUp`; none waits longer than the time it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class HungUp(Exception):
    """The caller is gone. `cause` is the switch's word for it, empty when it gave none."""

    def __init__(self, cause: str = "") -> None:
        super().__init__(cause or "the caller hung up")
        self.cause = cause


class LineFailed(Exception):
    """The switch refused or did not answer in time; the caller may still be there."""


@dataclass(frozen=True)
class Digits:
    """Keys that were pressed, in order, as many as asked for or fewer when time ran out between them or `#` ended them."""

    keys: str


@dataclass(frozen=True)
class Silence:
    """Nothing was pressed in the time given."""


@dataclass(frozen=True)
class Ask:
    """How many keys are wanted, and how long we wait: first for any key (after the prompt's end), then between keys."""

    keys_max: int
    first_s: float
    between_s: float = 3.0
    terminator: str = "#"
    barge_in: bool = True  # a key during the prompt ends the prompt and counts


@dataclass(frozen=True)
class Caller:
    """What the switch knows of a caller when the call reaches us; all of it but `channel` and `attestation` is hostile text."""

    channel: str
    did: str
    raw: str
    name: str
    asserted: str = ""  # the address that the trunk vouches for (P-Asserted-Identity), whatever the caller shows
    diverted_from: str = ""  # the address that sent the call on to us (Diversion)
    attestation: str = ""  # A | B | C, how sure the caller's carrier is of the number (STIR/SHAKEN); "": nobody says


@dataclass(frozen=True)
class ToQueue:
    """Hand the caller over to the switch's queue. The names end up as channel variables and travel with the queue's events."""

    queue: str
    conversation: str
    recording: str
    priority: int = 0
    language: str = ""  # of what the queue says; "" leaves it to the dialplan


class Line(Protocol):
    """One caller's leg, as its driver sees it."""

    on_keyed: Callable[[str], None]  # hears `keyed` after each key; must not wait

    @property
    def caller(self) -> Caller: ...

    @property
    def keyed(self) -> str:
        """Keys that were pressed and that no answer has consumed yet."""

    def key_ahead(self, keys: str) -> None:
        """As if the caller had pressed these before those that wait for an answer."""

    async def answer(self) -> None: ...

    async def play(self, media: Sequence[str]) -> None:
        """Play files (absolute paths without extension) one after the other; returns when the last one was heard."""

    async def ask(self, media: Sequence[str], ask: Ask) -> Digits | Silence:
        """Play like `play`, then wait for keys as `ask` says. Keys pressed before the call to `ask` since the last one count."""

    async def record(self, name: str, max_s: float, silence_s: float) -> float:
        """Record a message under `name` after a tone; returns its length in seconds, also when the caller ended it by hanging up: then
        the next thing asked of the line raises `HungUp`."""

    async def to_queue(self, to: ToQueue) -> None:
        """Give the caller to the queue; the line is no longer ours when this returns."""

    async def hang_up(self) -> None: ...

    def abandon(self) -> None:
        """Another driver has this call: nothing more is asked of the line, not even to let go of it."""


# --- facts: what the switch tells us of queues, agents and channels; the doors make them, the switchboard takes them ---


@dataclass(frozen=True)
class Fact:
    """One thing that the switch said. `read_at_s` is our clock (Unix seconds) when the door read it; when that was late, because we
    were stopped or overloaded, the switch's. `reconstructed`: nobody heard it, it was found by comparing afterwards."""

    read_at_s: float
    reconstructed: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class QueueJoined(Fact):
    """A caller waits in a queue. `conversation` is empty when the dialplan put him there without us (the fallback)."""

    channel: str
    conversation: str
    queue: str
    number_raw: str = ""
    did: str = ""
    waited_s: float = 0.0  # already, when we read it while reconciling


@dataclass(frozen=True)
class QueueLeft(Fact):
    """The caller gave up waiting (hung up in the queue)."""

    channel: str
    queue: str


@dataclass(frozen=True)
class DeviceRinging(Fact):
    """An agent's device is being called for a queued caller: `channel` is the caller's leg, `device_channel` the agent's."""

    channel: str
    conversation: str
    queue: str
    agent: str
    device: str
    device_channel: str
    waited_s: float = 0.0
    number_raw: str = ""  # the caller's, for who cannot look it up


@dataclass(frozen=True)
class DeviceStopped(Fact):
    """It stopped ringing without an answer: `reason` is no_answer | busy | rejected | answered_elsewhere | caller_left | lost."""

    channel: str
    agent: str
    device_channel: str
    reason: str


@dataclass(frozen=True)
class DeviceAnswered(Fact):
    channel: str
    agent: str
    device_channel: str
    waited_s: float
    rang_s: float


@dataclass(frozen=True)
class TalkEnded(Fact):
    channel: str
    agent: str
    device_channel: str
    talked_s: float
    by: str  # agent | caller | transfer | unknown


@dataclass(frozen=True)
class ChannelGone(Fact):
    """A channel of the switch is no more (caller's or agent's leg); `cause` is the switch's text."""

    channel: str
    cause: str


@dataclass(frozen=True)
class MemberChanged(Fact):
    """An agent's place in a queue: `state` is ready | ringing | in_use | unavailable, paused with its reason."""

    agent: str
    device: str
    queue: str
    state: str
    paused: bool
    reason: str = ""


class Controls(Protocol):
    """What an agent's seat may ask of the switch."""

    async def pause(self, device: str, paused: bool, reason: str) -> None:
        """Keep queue calls away from a device, or let them come again."""

    async def hang_up(self, channel: str) -> None:
        """End a leg. A leg that is gone already is not an error."""
