"""Any value that a dataclass of ours may be, made from the types of its fields (for Hypothesis)."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(
    st.characters(exclude_categories=["Cs"]), max_size=20
)  # Cs: halves of characters, which JSON cannot carry
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may hold."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([st.none() if each is type(None) else values(each) for each in arguments])
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, values(arguments[1]), max_size=3)
    if dataclasses.is_dataclass(hint):
        return whole(typing.cast(type, hint))
    return PLAIN[hint]


def whole(cls: type, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any `cls`; `known` says more about some of its fields."""
    hints = typing.get_type_hints(cls)
    rest = {field.name: values(hints[field.name]) for field in dataclasses.fields(cls) if field.name not in known}
    return st.builds(cls, **known, **rest)
