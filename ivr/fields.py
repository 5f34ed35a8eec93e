"""One JSON object, read field by field, with errors that say where, what was expected and what came."""

from __future__ import annotations

from typing import Any


class DocumentError(ValueError):
    """The JSON is not a flow document; the text says where, what was expected and what came."""


class Fields:
    """One JSON object, read field by field; `done` complains about a field that nobody asked for."""

    def __init__(self, where: str, plain: Any) -> None:
        if not isinstance(plain, dict):
            raise DocumentError(f"{where}: expected an object, got {plain!r}")
        self.where = where
        self.plain = plain
        self.asked: set[str] = set()

    def get(self, key: str, kinds: type | tuple[type, ...], expected: str, default: Any) -> Any:
        self.asked.add(key)
        if key not in self.plain and default is not None:
            return default
        value = self.plain.get(key)
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise DocumentError(f"{self.where}: expected {expected} as {key!r}, got {value!r}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return str(self.get(key, str, "a text", default))

    def flag(self, key: str) -> bool:
        return bool(self.get(key, bool, "true or false", False))

    def number(self, key: str, default: float, low: float = 0, high: float = 1000) -> float:
        value = self.get(key, (int, float), "a number", default)
        if not low <= value <= high:
            raise DocumentError(f"{self.where}: expected {low:g} to {high:g} as {key!r}, got {value!r}")
        return float(value)

    def count(self, key: str, default: int, low: int, high: int) -> int:
        return int(self.number(key, default, low, high))

    def words(self, key: str, default: list[str] | None = None) -> tuple[str, ...]:
        value = self.get(key, list, "a list of texts", default)
        if not all(isinstance(each, str) for each in value):
            raise DocumentError(f"{self.where}: expected a list of texts as {key!r}, got {value!r}")
        return tuple(value)

    def mapping(self, key: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        return dict(self.get(key, dict, "an object", default))

    def labels(self, key: str, default: dict[str, str] | None = None) -> dict[str, str]:
        value = self.mapping(key, default)
        if not all(isinstance(each, str) for each in value.values()):
            raise DocumentError(f"{self.where}: expected a text for each language as {key!r}, got {value!r}")
        return value

    def done(self) -> None:
        if extra := sorted(set(self.plain) - self.asked):
            raise DocumentError(
                f"{self.where}: expected only {', '.join(sorted(self.asked))}; got also {', '.join(extra)}"
            )
