"""What every event is: a frozen value with a name, to and from plain JSON; and the envelope in which the ledger keeps it.

An event says what was true at a moment and is never changed afterwards: a new meaning gets a new name and an example in
docs/events.md. Times and ids of the envelope (`Recorded`) are given by the ledger; inside a body every time is ISO 8601 in UTC and
every duration names its unit. Where CSTA (ECMA-269) has a word for a thing that happens to a call, it is ours too.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import types
import typing
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self


class UnknownEvent(ValueError):
    """A stored name that this version of the code does not know: expected one of the names in `REGISTRY`."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened. `conversation` is the id that joins every leg and transfer of one contact by phone."""

    type: ClassVar[str] = ""

    def plain(self) -> dict[str, Any]:
        """The body as plain JSON values (dict, list, str, number, bool, None)."""
        return typing.cast(dict[str, Any], plain_of(self))

    @classmethod
    def of(cls, body: dict[str, Any]) -> Self:
        """The event that `plain()` wrote. Keys of a newer version are ignored; a missing key without default raises TypeError."""
        return typing.cast(Self, value_of(cls, body))


@dataclass(frozen=True, kw_only=True)
class CallEvent(Event):
    """Anything that happens to one conversation by phone."""

    conversation: str


@dataclass(frozen=True, kw_only=True)
class SwitchEvent(CallEvent):
    """Something that the switch did. `reconstructed`: nobody heard it happen; it was found afterwards, by comparing the switch with
    the ledger, and the envelope's time is when it was found."""

    reconstructed: bool = False


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An event in its envelope, as the ledger keeps it: `seq` grows by commit order and is never reused."""

    seq: int
    id: str  # UUIDv7
    at: dt.datetime  # UTC
    event: Event

    @property
    def conversation(self) -> str | None:
        return getattr(self.event, "conversation", None)


def plain_of(value: Any) -> Any:
    """An event, or a part of one, as plain JSON values."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain_of(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain_of(item) for item in value]
    return value


@cache
def _fields(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields by name; working them out is slow, and a page reads thousands of events."""
    return typing.get_type_hints(kind)


def value_of(hint: Any, plain: Any) -> Any:
    """`plain` as the type that `hint` says: dataclasses and tuples of them, unions with None, everything else unchanged."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        inner = [each for each in typing.get_args(hint) if each is not type(None)]
        return None if plain is None else value_of(inner[0], plain)
    if origin is tuple:
        return tuple(value_of(typing.get_args(hint)[0], item) for item in plain)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        known = _fields(hint)
        return hint(**{key: value_of(known[key], item) for key, item in plain.items() if key in known})
    return plain
