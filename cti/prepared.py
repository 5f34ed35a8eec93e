"""Statements that are asked for every call, made into SQL once.

SQLAlchemy's own way to a statement that it has made before takes some 0.1 ms, four times as long as the driver and SQLite together need
for an answer by an index; identifying a caller asks seven. What comes back are plain rows, never objects of the session.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import CompoundSelect, Dialect, Select
from sqlalchemy.orm import Session

Row = TypeVar("Row")
Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class _Slot:
    """Where a value goes: that of a parameter, or of the parameter's list the one at `place`."""

    name: str
    place: int | None
    convert: Convert | None

    def of(self, values: dict[str, Any]) -> Any:
        value = values[self.name] if self.place is None else values[self.name][self.place]
        return self.convert(value) if self.convert else value


@dataclass(frozen=True)
class _Made:
    """The SQL of one engine, for lists of one length each."""

    sql: str
    slots: tuple[tuple[str, Any], ...]  # the driver's name of each value, in its order, and the value or its _Slot
    by_place: bool  # the driver takes values by their place, not by their name
    converts: tuple[tuple[int, Convert], ...]  # columns that the driver brings in another form than ours

    def parameters(self, values: dict[str, Any]) -> Any:
        filled = [(name, slot.of(values) if isinstance(slot, _Slot) else slot) for name, slot in self.slots]
        return tuple(value for _, value in filled) if self.by_place else dict(filled)


class Prepared(Generic[Row]):
    """A statement whose parameters are `bindparam`s, those of an IN with `expanding=True`; `row` makes what is wanted of its columns."""

    def __init__(
        self, statement: Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]], row: Callable[..., Row]
    ) -> None:
        self._statement, self._row = statement, row
        self._made = functools.lru_cache(maxsize=64)(self._make)

    def rows(self, session: Session, **values: Any) -> list[Row]:
        """Run it in the session's transaction; what the session has not written yet is written first. Lists must not be empty."""
        session.flush()
        connection = session.connection()
        values = {name: _padded(value) if isinstance(value, list) else value for name, value in values.items()}
        lengths = tuple((name, len(value)) for name, value in values.items() if isinstance(value, list))
        made = self._made(connection.dialect, lengths)
        found: Sequence[Any] = connection.exec_driver_sql(made.sql, made.parameters(values)).all()
        if made.converts:
            found = [_converted(each, made.converts) for each in found]
        return [self._row(*each) for each in found]

    def _make(self, dialect: Dialect, lengths: tuple[tuple[str, int], ...]) -> _Made:
        compiled = self._statement.compile(dialect=dialect)
        lists = {name: [None] * length for name, length in lengths}
        asked = {name for name, bind in compiled.binds.items() if bind.required}
        state = compiled.construct_expanded_state(dict.fromkeys(asked) | lists)
        places = {
            each: (name, place) for name, all_ in state.parameter_expansion.items() for place, each in enumerate(all_)
        }

        def slot(name: str) -> Any:
            of, place = places.get(name, (name, None))
            if of not in asked:
                return state.parameters[name]
            return _Slot(of, place, compiled.binds[of].type.dialect_impl(dialect).bind_processor(dialect))

        columns = enumerate(self._statement.selected_columns)
        brought = ((place, each.type.dialect_impl(dialect).result_processor(dialect, None)) for place, each in columns)
        return _Made(
            sql=state.statement,
            slots=tuple((name, slot(name)) for name in (state.positiontup or state.parameters)),
            by_place=compiled.positional,
            converts=tuple((place, convert) for place, convert in brought if convert is not None),
        )


def _padded(values: list[Any]) -> list[Any]:
    """Up to the next power of two with the last one again, so that few lengths are ever made."""
    wanted = 1 << (len(values) - 1).bit_length()
    return values + values[-1:] * (wanted - len(values))


def _converted(row: Any, converts: tuple[tuple[int, Convert], ...]) -> list[Any]:
    values = list(row)
    for place, convert in converts:
        values[place] = convert(values[place])
    return values
