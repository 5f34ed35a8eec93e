"""An event as an entry of the engine's stream, and back. Pure.

Two fields: `seq`, so that an entry told already costs no parsing, and `news`, JSON with node, id, at, type and body. (One field each
would cost a node twice as much to read.)
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping

from cti.events import Recorded, read

SEQ_MAX = 2**63 - 1  # the ledger's numbers are BIGINT


class Garbled(ValueError):
    """An entry that no node of this version wrote."""


def entry(recorded: Recorded, node: str) -> dict[str, str | int]:
    """The fields of the entry that tells of this event. `node` is for whoever looks into the stream."""
    news = {
        "node": node, "id": recorded.id, "at": recorded.at.isoformat(), "type": recorded.event.type,
        "body": recorded.event.plain(),
    }  # fmt: skip
    return {"seq": recorded.seq, "news": json.dumps(news, ensure_ascii=False, separators=(",", ":"))}


def number(fields: Mapping[bytes, bytes]) -> int:
    """The event's number in the ledger. Raises Garbled."""
    try:
        seq = int(fields[b"seq"])
    except (KeyError, ValueError) as error:
        raise Garbled(f"expected a whole number as seq, got {fields.get(b'seq', b'nothing')[:40]!r}") from error
    if not 0 < seq <= SEQ_MAX:
        raise Garbled(f"expected a seq from 1 to {SEQ_MAX}, got {seq}")
    return seq


def recorded(fields: Mapping[bytes, bytes]) -> Recorded:
    """The event, as the ledger would give it. Raises Garbled, for an event of a newer version too."""
    seq = number(fields)
    try:
        news = json.loads(fields[b"news"])
        at = dt.datetime.fromisoformat(news["at"])
        if at.tzinfo is None:
            raise ValueError(f"expected a time with a zone, got {news['at']}")
        return Recorded(seq=seq, id=str(news["id"]), at=at.astimezone(dt.UTC), event=read(news["type"], news["body"]))
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Garbled(f"expected the news of event {seq}, got {type(error).__name__}: {str(error)[:200]}") from error
