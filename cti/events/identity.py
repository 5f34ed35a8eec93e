"""What happens to what we know of callers: links and their proposals, proofs and guesses, merged parties, messages about it, imports."""

from __future__ import annotations

from dataclasses import dataclass

from cti.events.base import CallEvent, Event

# --- links ---


@dataclass(frozen=True, kw_only=True)
class LinkVerified(Event):
    """Somebody proved that the link holds; from now on it is more than a match."""

    type = "link.verified"
    link: str
    method: str  # sms | agent | document | api
    by: str


@dataclass(frozen=True, kw_only=True)
class LinkDisputed(Event):
    """Somebody says that it does not hold: it matches nobody from now on, and what it told us of earlier contacts is open again."""

    type = "link.disputed"
    link: str
    reason: str
    by: str


@dataclass(frozen=True, kw_only=True)
class LinkProposed(Event):
    """An unlinked number belongs, so it seems, to a party, a household or a subscription. Exactly one of the three is set."""

    type = "link.proposed"
    proposal: str
    contact_point: str
    party: str | None
    household: str | None
    subscription: str | None
    role: str
    reason: str  # keyed | narrowing | agent | message | crm
    conversation: str | None = None


@dataclass(frozen=True, kw_only=True)
class LinkProposalSettled(Event):
    type = "link.proposal_settled"
    proposal: str
    contact_point: str
    state: str  # accepted | refused | lapsed
    by: str  # caller | sms | an agent's or machine's name
    link: str | None = None  # that was made
    conversation: str | None = None


@dataclass(frozen=True, kw_only=True)
class InteractionsRelinked(Event):
    """Earlier contacts of a contact point are a party's since its link was confirmed; or no longer, since it was disputed."""

    type = "interactions.relinked"
    link: str
    contact_point: str
    party: str | None  # None: they are nobody's again
    count: int


# --- proof ---


@dataclass(frozen=True, kw_only=True)
class ProofGiven(CallEvent):
    """The caller proved something. What he keyed or said is nowhere written."""

    type = "proof.given"
    factor: str  # proof.Factor
    factors: tuple[str, ...]  # all that he has proved in this call
    level: int  # identity.Level reached by them
    subscription: str | None
    by: str = "caller"  # caller (by keys) | the agent who asked him


@dataclass(frozen=True, kw_only=True)
class ProofRefused(CallEvent):
    """An answer was wrong, or nobody may try at the moment. It never says which part of it was wrong."""

    type = "proof.refused"
    factor: str
    why: str  # wrong | slowed
    by: str = "caller"


@dataclass(frozen=True, kw_only=True)
class GuessingAlarmed(Event):
    """So many wrong answers that somebody seems to be guessing. Once a day for each key."""

    type = "guessing.alarmed"
    scope: str  # a key of cti.proof.SLOW
    subject: str  # masked number; DID; id of the household, party or subscription whom the answers were about; ""
    count: int
    window_s: int


@dataclass(frozen=True, kw_only=True)
class PinSet(Event):
    """A party has another secret to key from now on, or none any more (`cleared`). The secret is nowhere written."""

    type = "party.pin_set"
    party: str
    by: str
    cleared: bool = False


# --- lines ---


@dataclass(frozen=True, kw_only=True)
class LineStateChanged(Event):
    """The network says that one line went down, or is up again."""

    type = "line.state_changed"
    subscription: str
    state: str  # up | down
    since: str
    source: str


# --- parties ---


@dataclass(frozen=True, kw_only=True)
class PartiesMerged(Event):
    """Two parties turned out to be one: what was `gone`'s is `kept`'s. Both stay in the records."""

    type = "parties.merged"
    merge: str
    kept: str
    gone: str
    reason: str
    by: str


@dataclass(frozen=True, kw_only=True)
class PartiesUnmerged(Event):
    """They were two after all: each has again what it had."""

    type = "parties.unmerged"
    merge: str
    kept: str
    gone: str
    by: str


@dataclass(frozen=True, kw_only=True)
class MergeRefused(Event):
    """Somebody looked at a proposal and said that they are two; it is not made again."""

    type = "merge.refused"
    proposal: str
    by: str


# --- messages that we send, and imports ---


@dataclass(frozen=True, kw_only=True)
class MessageSettled(Event):
    """A message of ours left by its channel, or never will."""

    type = "message.settled"
    message: str  # outbox id
    channel: str
    contact_point: str
    purpose: str  # link | code | ticket
    state: str  # sent | failed


@dataclass(frozen=True, kw_only=True)
class ImportEnded(Event):
    type = "import.ended"
    batch: int
    file: str
    rows: int
    rejected: int
    by: str


@dataclass(frozen=True, kw_only=True)
class ImportUndone(Event):
    """What it brought is ended or gone, but for what somebody has used since."""

    type = "import.undone"
    batch: int
    removed: int
    kept: int
    by: str
