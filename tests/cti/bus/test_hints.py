"""What one node writes another reads; what nobody of ours wrote is named and passed over."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from cti.bus import hints
from cti.events import FlowFailed, Recorded


def fields_of(entry: Mapping[str, str | int]) -> dict[bytes, bytes]:
    """As they come out of the engine."""
    return {str(key).encode(): str(value).encode() for key, value in entry.items()}


@pytest.fixture
def recorded(now):
    return Recorded(seq=12, id="0190", at=now, event=FlowFailed(conversation="c", node="giriş", error="ağ\r\nyok"))


def test_an_event_comes_out_as_it_went_in(recorded):
    fields = fields_of(hints.entry(recorded, "1"))
    assert hints.number(fields) == 12
    assert hints.recorded(fields) == recorded


@pytest.mark.parametrize(
    "change",
    [
        {"seq": None}, {"seq": "x"}, {"seq": "0"}, {"seq": "-1"}, {"seq": str(2**63)}, {"seq": "9" * 5000},
        {"news": None}, {"news": ""}, {"news": "\udcff"}, {"news": "[]"}, {"news": "7"}, {"news": "[" * 100_000},
    ],
)  # fmt: skip
def test_a_broken_entry_is_garbled(recorded, change):
    entry = {key: value for key, value in {**hints.entry(recorded, "1"), **change}.items() if value is not None}
    fields = {key.encode(): str(value).encode("utf-8", "surrogateescape") for key, value in entry.items()}
    with pytest.raises(hints.Garbled):
        hints.recorded(fields)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "flow.invented"},
        {"type": []},
        {"at": "noon"},
        {"at": "2026-11-20T07:30:00"},
        {"at": 5},
        {"body": []},
        {"body": {}},
    ],
)
def test_news_of_another_shape_is_garbled(recorded, change):
    entry = hints.entry(recorded, "1")
    news = json.loads(str(entry["news"])) | change
    with pytest.raises(hints.Garbled, match="event 12"):
        hints.recorded(fields_of({**entry, "news": json.dumps(news)}))
