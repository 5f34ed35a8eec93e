"""What ARI says, read into our own values; held to the switch's own description of it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.asterisk import ari_events
from cti.asterisk.ari_events import Garbled
from cti.asterisk.wire import Unsafe, path
from cti.line import Caller

# --- the codec ---

FIELDS = st.sampled_from(
    [
        "id",
        "channel",
        "args",
        "channelvars",
        "playback",
        "target_uri",
        "state",
        "digit",
        "recording",
        "name",
        "request_id",
        "status_code",
    ]
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(ari_events.READERS)), st.dictionaries(FIELDS, plain, max_size=5))
def test_any_json_is_an_event_or_garbled(kind, fields):
    with contextlib.suppress(Garbled):
        ari_events.read(json.dumps({"type": kind, **fields}))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_garbled(message):
    with contextlib.suppress(Garbled):
        ari_events.read(message)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_no_text_makes_two_segments_or_a_query(segments):
    with contextlib.suppress(Unsafe):
        address = path(*segments)
        assert address.count("/") == len(segments) - 1
        assert not {"?", "#", "\r", "\n", " "} & set(address)


@given(st.text(max_size=100))
def test_hostile_caller_is_only_text(name):
    channel = {"id": "1.0", "channelvars": {"SANTRAL_NAME": name}}
    said = ari_events.read(json.dumps({"type": "StasisStart", "args": [name], "channel": channel}))
    assert isinstance(said, ari_events.Entered)
    for text in (said.caller.name, said.caller.raw, said.caller.did):
        assert len(text) <= 80
        assert not any(ord(letter) < 32 for letter in text)


def entered(*args: str) -> Caller:
    said = ari_events.read(json.dumps({"type": "StasisStart", "args": args, "channel": {"id": "1.0"}}))
    assert isinstance(said, ari_events.Entered)
    return said.caller


def test_what_the_trunk_vouches_for_comes_with_the_caller():
    vouched = quote("<sip:+905339998877;verstat=TN-Validation-Passed@carrier:5060>")
    diverted = quote("<sip:+902125550199@carrier>;reason=unconditional")
    caller = entered(
        "did=+902125550100", "from=+905321112233", f"asserted={vouched}", f"diverted={diverted}", "attested=B"
    )
    assert caller.asserted == "sip:+905339998877;verstat=TN-Validation-Passed@carrier:5060"
    assert caller.diverted_from == "sip:+902125550199@carrier"
    assert caller.attestation == "B"


def test_a_trunk_that_says_nothing_vouches_for_nobody():
    caller = entered("did=+902125550100", "from=+905321112233", "asserted=", "diverted=", "attested=")
    assert (caller.asserted, caller.diverted_from, caller.attestation) == ("", "", "")


@given(st.text(max_size=400), st.text(max_size=400), st.text(max_size=400))
def test_hostile_words_of_a_trunk_are_only_text(vouched, diverted, attested):
    caller = entered(f"asserted={vouched}", f"diverted={diverted}", f"attested={attested}")
    for text in (caller.asserted, caller.diverted_from):
        assert len(text) <= ari_events.ADDRESS_CHARS_MAX
        assert not any(ord(letter) < 32 for letter in text)
    assert caller.attestation in {"", "A", "B", "C"}


def rest_api() -> Path:
    tools = Path(os.environ.get("SANTRAL_TOOLS_DIR") or Path(__file__).parents[3] / "var" / "tools")
    folder = tools / "usr" / "share" / "asterisk" / "rest-api"
    if not folder.exists():
        pytest.fail("no Asterisk's own description of ARI here")
    return folder


def test_events_are_called_what_asterisk_calls_them():
    models = json.loads((rest_api() / "events.json").read_text())["models"]
    assert set(ari_events.READERS) <= set(models)
    fields = {
        "RESTResponse": {"request_id", "status_code", "message_body"},
        "StasisStart": {"args", "channel"},
        "ChannelDtmfReceived": {"digit", "channel"},
        "ChannelDestroyed": {"cause_txt", "channel"},
        "PlaybackFinished": {"playback"},
        "RecordingFinished": {"recording"},
    }
    for event, used in fields.items():
        assert used <= set(models[event]["properties"]), event


def test_requests_are_called_what_asterisk_calls_them():
    used = {
        "channels.json": {
            "answer",
            "playWithId",
            "record",
            "setChannelVars",
            "setChannelVar",
            "continueInDialplan",
            "hangup",
            "move",
            "get",
        },
        "playbacks.json": {"stop", "get"},
        "events.json": {"claimChannel"},
        "applications.json": {"filter", "get"},
    }
    for file, names in used.items():
        apis = json.loads((rest_api() / file).read_text())["apis"]
        assert names <= {operation["nickname"] for api in apis for operation in api["operations"]}, file
