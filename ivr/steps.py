"""What the interpreter and its driver say to one another: the effects of a step, what it waits for, and what may be heard there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cti.events import plain_of, value_of
from cti.line import Digits, Silence
from ivr.nodes import Value

# --- what the driver is to do -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speak:
    """Play these prompts in the session's language. `report`: no key cuts them off, and what was said is kept."""

    prompts: tuple[str, ...]
    node: str
    report: bool = False


@dataclass(frozen=True)
class SetLanguage:
    language: str


@dataclass(frozen=True)
class OpenTicket:
    """`subscription` is an id, or None when the flow does not know whose it is. (node, visit) names this request in the call."""

    matter: str
    subscription: str | None
    text: str  # the prompt that is to be rendered as the ticket's text; empty: none
    node: str
    visit: int


@dataclass(frozen=True)
class CheckProof:
    """`answers`: question -> what was keyed; empty when he keyed nothing. (node, visit) names this attempt in the call."""

    answers: Mapping[str, str] = field(repr=False)  # nobody's log
    level: int
    node: str
    visit: int


@dataclass(frozen=True)
class SendCode:
    """To the customer whom the call is about, in the `language` that the caller hears. (node, visit) names this request in the call."""

    language: str
    node: str
    visit: int


@dataclass(frozen=True)
class SettleLink:
    """The caller wants, or does not want, his number to be known next time."""

    take: bool
    node: str
    visit: int


@dataclass(frozen=True)
class ToQueue:
    queue: str
    intent: str


@dataclass(frozen=True)
class HangUp:
    pass


Effect = Speak | SetLanguage | OpenTicket | ToQueue | HangUp
EFFECTS: dict[str, type[Effect]] = {
    "speak": Speak, "set_language": SetLanguage, "open_ticket": OpenTicket, "to_queue": ToQueue, "hang_up": HangUp,
}  # fmt: skip


def plain_effects(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    """Effects as plain JSON values, for whoever has to perform the rest of a step in our place."""
    kinds = {effect: kind for kind, effect in EFFECTS.items()}
    return [{"kind": kinds[type(effect)], **plain_of(effect)} for effect in effects]


def effects_of(plain: Sequence[Mapping[str, Any]]) -> tuple[Effect, ...]:
    """What `plain_effects` wrote; kinds and fields of a newer version are passed over."""
    return tuple(value_of(EFFECTS[each["kind"]], each) for each in plain if each.get("kind") in EFFECTS)


# --- what it waits for, and what it may hear ----------------------------------------------------------------------------


@dataclass(frozen=True)
class WaitKeys:
    """Play the prompts and collect keys. What is heard: Digits or Silence."""

    node: str
    prompts: tuple[str, ...]
    keys_max: int
    first_s: float
    secret: bool = False


@dataclass(frozen=True)
class WaitDone:
    """Do the effect. What is heard: Done or Failed; of a ticket also Noted, of a proof also Refused."""

    effect: OpenTicket | CheckProof | SendCode | SettleLink


@dataclass(frozen=True)
class WaitMessage:
    """Play the prompts and record what the caller says, until `#`, `silence_s` of quiet or `max_s`. What is heard, once it is kept
    for good: Done with `message` (its name) and `message_s`; Failed when nothing was said or it could not be kept."""

    node: str
    prompts: tuple[str, ...]
    max_s: float
    silence_s: float
    visit: int  # (node, visit) names this message in the call


Wait = WaitKeys | WaitDone | WaitMessage


@dataclass(frozen=True)
class Done:
    """The effect is durable. `values` become facts; `new` says whether the thing was not there before."""

    values: Mapping[str, Value]
    new: bool = True


@dataclass(frozen=True)
class Noted:
    """The ticket store is away. The matter is kept for good beside it and becomes a ticket later; there is no number to tell."""


@dataclass(frozen=True)
class Refused:
    """The caller did not prove who he is. Nobody is told why."""


@dataclass(frozen=True)
class Failed:
    reason: str


@dataclass(frozen=True)
class Gone:
    """The caller hung up."""


Heard = Digits | Silence | Done | Noted | Refused | Failed | Gone
