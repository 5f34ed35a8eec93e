"""The nodes of a flow, as frozen values: what each says, asks or does, and where it leads. The document that holds them is
`ivr.document`; how a call walks through them is `ivr.engine`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Value = str | int | float | bool | None
Facts = Mapping[str, Value]


@dataclass(frozen=True)
class Text:
    """Words and the language they are spoken in: "For English, press nine" stands among the Turkish prompts."""

    text: str
    language: str


@dataclass(frozen=True)
class Fact:
    """Stands for the value that the fact `name` has when the call comes by."""

    name: str


@dataclass(frozen=True)
class Condition:
    """`op` is is | is_not | in | above | below | known. A fact that is missing fulfils nothing but `known: false`."""

    fact: str
    op: str
    value: Any


@dataclass(frozen=True)
class Case:
    """All of `when` must hold."""

    when: tuple[Condition, ...]
    to: str


@dataclass(frozen=True)
class Choice:
    """One key of a menu: where it leads, what the caller wants by it, and which facts it sets."""

    to: str
    intent: str = ""
    set: tuple[tuple[str, Value | Fact], ...] = ()


@dataclass(frozen=True)
class Otherwise:
    """What follows when nothing (`noinput`) or nothing known (`nomatch`) was pressed: `to` leaves at once; without it `say`
    is spoken and the caller is asked again."""

    say: tuple[str, ...] = ()
    to: str = ""


@dataclass(frozen=True, kw_only=True)
class _Node:
    id: str
    label: Mapping[str, str] = field(default_factory=dict)  # shown in the agent's path; empty: not worth showing


@dataclass(frozen=True, kw_only=True)
class Say(_Node):
    """`report`: never cut off by a key, and kept word for word in the conversation's history."""

    say: tuple[str, ...]
    to: str
    report: bool = False


@dataclass(frozen=True, kw_only=True)
class Menu(_Node):
    """One key. `giveup` is where `tries_max` bad inputs lead; empty: the document's `person`."""

    say: tuple[str, ...]
    choices: Mapping[str, Choice]
    noinput: Otherwise = Otherwise()
    nomatch: Otherwise = Otherwise()
    giveup: str = ""
    tries_max: int = 3
    timeout_s: float = 5.0
    no_person: str = ""  # why there is no key 0


@dataclass(frozen=True, kw_only=True)
class Ask(_Node):
    """Several keys into a fact. `*` or a single 0 leads to `person`; what is `secret` is in no log and no event."""

    say: tuple[str, ...]
    fact: str
    to: str
    person: str
    keys_min: int = 1
    keys_max: int = 12
    noinput: Otherwise = Otherwise()
    nomatch: Otherwise = Otherwise()
    giveup: str = ""
    tries_max: int = 3
    timeout_s: float = 8.0
    secret: bool = False


@dataclass(frozen=True, kw_only=True)
class Branch(_Node):
    """The first case that holds; else `otherwise`."""

    cases: tuple[Case, ...]
    otherwise: str


@dataclass(frozen=True, kw_only=True)
class Language(_Node):
    language: str
    to: str


@dataclass(frozen=True, kw_only=True)
class Ticket(_Node):
    """Open a ticket of `matter` on the subscription that the fact `subscription` names. `text` is a prompt that agents read;
    it is never spoken. After `opened` and `existing` the fact `ticket_number` is there. `noted` follows when the ticket store
    is away but the matter is kept and becomes a ticket later; empty: `failed`."""

    matter: str
    subscription: str
    opened: str
    existing: str
    failed: str
    noted: str = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Message(_Node):
    """Record what the caller says (VoiceXML's <record>), until `#`, `silence_s` of quiet or `max_s`. Its name goes into `fact`, its
    length into the fact `<fact>_s`. `failed` follows when nothing was kept; empty: the document's `person`."""

    say: tuple[str, ...]
    to: str
    failed: str = ""
    fact: str = "message"
    max_s: float = 60.0
    silence_s: float = 3.0


@dataclass(frozen=True, kw_only=True)
class Prove(_Node):
    """Hold what the caller keyed against the records: `answers` says which fact holds the answer to which question (`identifier`,
    `last_four`, `birth_date`, `pin`, `one_time_code`; one whose fact is missing was not answered). `proved` follows when he reaches
    `level`, and the facts are then his; `wrong` when he does not, for whatever reason; `failed` when the records are away. What was
    keyed is forgotten afterwards."""

    answers: Mapping[str, str]
    proved: str
    wrong: str
    failed: str
    level: int = 1


@dataclass(frozen=True, kw_only=True)
class Code(_Node):
    """Send a one-time code to a telephone of the customer whom the call is about so far: one that was verified before and is not the one
    that calls. Whether there is one shows nowhere: `to` follows, after the same time. `failed` follows when the records are away."""

    to: str
    failed: str


@dataclass(frozen=True, kw_only=True)
class Link(_Node):
    """Take (`take`), or put away, the proposal that the number of this call becomes one of the customer's."""

    take: bool
    to: str
    failed: str


@dataclass(frozen=True, kw_only=True)
class Queue(_Node):
    """A person. An empty `intent` means the one that the caller's last choice named."""

    queue: str
    intent: str = ""
    say: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class End(_Node):
    say: tuple[str, ...] = ()


Node = Say | Menu | Ask | Branch | Language | Ticket | Message | Prove | Code | Link | Queue | End
