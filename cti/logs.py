"""One line per thing that happened, the call's id first. Numbers are masked and control characters escaped before they are written."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog

from cti.numbers import mask

# E.164, and what people key at home: 0532 … without spaces, 0090 …
NUMBER = re.compile(r"\+[1-9]\d{6,14}\b|(?<![\w.+-])0\d{9,14}\b")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def clean(_logger: Any, _method: str, fields: dict[str, Any]) -> dict[str, Any]:
    """No whole telephone number and no line break leaves for a log, whoever put it into a field."""
    return {key: _clean(value) for key, value in fields.items()}


def _clean(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)  # also of what has numbers inside: lists, errors
    escaped = CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)
    return NUMBER.sub(lambda found: mask(found.group()), escaped)


def _line(_logger: Any, _method: str, fields: dict[str, Any]) -> str:
    """`2026-11-20T07:30:00Z info call=1795311706.4 menu.heard node=welcome digits=2`"""
    at, level, event = fields.pop("timestamp"), fields.pop("level"), fields.pop("event")
    call = f"call={fields.pop('call')} " if "call" in fields else ""
    rest = " ".join(f"{key}={value}" for key, value in fields.items())
    return f"{at} {level} {call}{event} {rest}".rstrip()


def set_up(log_format: str, level: int = logging.INFO) -> None:
    """Configure structlog and the standard library's loggers: `console` for people, `json` for machines; to standard error."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        clean,
    ]
    last: Any = structlog.processors.JSONRenderer() if log_format == "json" else _line
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
