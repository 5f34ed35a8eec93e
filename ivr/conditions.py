"""Do a branch's conditions hold for what is known of a call? What they may say is `ivr.document.Condition`."""

from __future__ import annotations

from ivr.nodes import Case, Condition, Facts, Value


def holds(case: Case, known: Facts) -> bool:
    """Whether every condition of `case` is fulfilled; a case without conditions always is."""
    return all(_fulfilled(condition, known.get(condition.fact)) for condition in case.when)


def _fulfilled(condition: Condition, value: Value) -> bool:
    if condition.op == "known":
        return (value is not None and value != "") is condition.value
    if value is None:
        return False
    match condition.op:
        case "is":
            return bool(value == condition.value)
        case "is_not":
            return bool(value != condition.value)
        case "in":
            return bool(value in condition.value)
        case "above":
            return isinstance(value, int | float) and bool(value > condition.value)
        case "below":
            return isinstance(value, int | float) and bool(value < condition.value)
    return False
