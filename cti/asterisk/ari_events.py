"""What is said over the ARI socket, as our own values. Pure: text in, value out; no other file knows ARI's JSON.

Names are those of `rest-api/events.json` and `channels.json` of Asterisk 22.10; a test holds the two together.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from cti.asterisk.wire import asserted, attestation, display_name, diverter, shown
from cti.line import Caller, LineFailed

RAW_CHARS_MAX = 80
NAME_CHARS_MAX = 500
ADDRESS_CHARS_MAX = 200
CHANNELS_LISTED_MAX = 10_000
ID_CHARS_MAX = 160  # Asterisk's AST_MAX_UNIQUEID is 150
TAKEOVER = "takeover"  # our own argument when we move a channel to ourselves
AFTER = "after"  # the dialplan's: the agent hung up first, the caller is back for the survey


class Garbled(LineFailed):
    """Not what ARI is documented to say: expected a JSON object with a type and its fields."""


@dataclass(frozen=True)
class Answered:
    """The answer to one of our requests. `body` is JSON as text, empty when there was none."""

    request: str
    status: int
    body: str


@dataclass(frozen=True)
class Offered:
    """CallBroadcast: a caller waits for whoever claims it first."""

    channel: str


@dataclass(frozen=True)
class Entered:
    """StasisStart: the channel is ours. `why` is new | after | takeover; `conversation` is empty on a new call."""

    channel: str
    caller: Caller
    conversation: str
    why: str


@dataclass(frozen=True)
class Left:
    """StasisEnd: the channel is no longer in our application, because it went on, was moved or is gone."""

    channel: str


@dataclass(frozen=True)
class HangupSeen:
    """ChannelHangupRequest or ChannelDestroyed: nobody is on that line any more."""

    channel: str
    cause: str


@dataclass(frozen=True)
class Key:
    """ChannelDtmfReceived."""

    channel: str
    key: str


@dataclass(frozen=True)
class Played:
    """PlaybackFinished: all of it was heard, it was stopped, or (`failed`) a file could not be played."""

    channel: str
    playback: str
    failed: bool


@dataclass(frozen=True)
class Recorded:
    """RecordingFinished, or with `problem` RecordingFailed."""

    channel: str
    name: str
    duration_s: float
    problem: str


@dataclass(frozen=True)
class Replaced:
    """ApplicationReplaced: another socket has our name, this one will never hear anything again."""


Said = Answered | Offered | Entered | Left | HangupSeen | Key | Played | Recorded | Replaced


def read(message: str | bytes) -> Said | None:
    """One frame of the socket; None for an event that we do not use. Raises Garbled."""
    try:
        event = json.loads(message)
        reader = READERS.get(event["type"])
        return reader(event) if reader else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise Garbled(f"expected an ARI message, got {len(message)} characters with {problem!r:.80}") from problem


def _answered(event: Mapping[str, Any]) -> Answered:
    return Answered(str(event["request_id"]), int(event["status_code"]), str(event.get("message_body") or ""))


def _offered(event: Mapping[str, Any]) -> Offered:
    return Offered(_id(event["channel"]["id"]))


def _entered(event: Mapping[str, Any]) -> Entered:
    channel = event["channel"]
    given: dict[str, str] = dict(_text(each).partition("=")[::2] for each in event["args"])
    known: Mapping[str, Any] = channel.get("channelvars") or {}
    vouched = unquote(given.get("asserted", ""))
    caller = Caller(
        channel=_id(channel["id"]),
        did=shown(given.get("did") or _text(known.get("SANTRAL_DID", "")), RAW_CHARS_MAX),
        raw=shown(given.get("from") or _text(known.get("SANTRAL_RAW", "")), RAW_CHARS_MAX),
        name=shown(display_name(unquote(given.get("name") or _text(known.get("SANTRAL_NAME", "")))), NAME_CHARS_MAX),
        asserted=shown(asserted(vouched), ADDRESS_CHARS_MAX),
        diverted_from=shown(diverter(unquote(given.get("diverted", ""))), ADDRESS_CHARS_MAX),
        attestation=attestation(vouched, unquote(given.get("attested", ""))),
    )
    why = TAKEOVER if TAKEOVER in given else AFTER if AFTER in given else "new"
    return Entered(caller.channel, caller, shown(_text(known.get("SANTRAL_CALL", "")), RAW_CHARS_MAX), why)


def _left(event: Mapping[str, Any]) -> Left:
    return Left(_id(event["channel"]["id"]))


def _hung_up(event: Mapping[str, Any]) -> HangupSeen:
    cause = event.get("cause_txt") or event.get("cause") or ""
    return HangupSeen(_id(event["channel"]["id"]), shown(str(cause), RAW_CHARS_MAX))


def _key(event: Mapping[str, Any]) -> Key:
    return Key(_id(event["channel"]["id"]), _text(event["digit"])[:1])


def _played(event: Mapping[str, Any]) -> Played:
    playback = event["playback"]
    return Played(_target(playback), _id(playback["id"]), playback["state"] == "failed")


def _recorded(event: Mapping[str, Any]) -> Recorded:
    recording = event["recording"]
    failed = event["type"] == "RecordingFailed"
    problem = shown(str(recording.get("cause") or "unknown"), RAW_CHARS_MAX) if failed else ""
    return Recorded(_target(recording), _text(recording["name"]), float(recording.get("duration") or 0), problem)


def _replaced(event: Mapping[str, Any]) -> Replaced:
    return Replaced()


def _target(thing: Mapping[str, Any]) -> str:
    """The channel of a playback or recording: `target_uri` is `channel:ID`."""
    return _id(_text(thing["target_uri"]).removeprefix("channel:"))


def _id(value: object) -> str:
    """The switch's name of a channel or playback: it will stand in addresses, so it must look like one."""
    text = _text(value)
    if not 0 < len(text) <= ID_CHARS_MAX or not text.isascii() or not text.isprintable() or text in (".", ".."):
        raise ValueError("expected a channel's id to be printable ASCII")
    return text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


READERS: Mapping[str, Callable[[Mapping[str, Any]], Said]] = {
    "RESTResponse": _answered,
    "CallBroadcast": _offered,
    "StasisStart": _entered,
    "StasisEnd": _left,
    "ChannelHangupRequest": _hung_up,
    "ChannelDestroyed": _hung_up,
    "ChannelDtmfReceived": _key,
    "PlaybackFinished": _played,
    "RecordingFinished": _recorded,
    "RecordingFailed": _recorded,
    "ApplicationReplaced": _replaced,
}


def channel_name(body: str) -> str:
    """The name in the switch's description of a channel, "" when there is none."""
    try:
        described = json.loads(body)
    except ValueError:
        return ""
    name = described.get("name", "") if isinstance(described, dict) else ""
    return name if isinstance(name, str) else ""


def started_at(body: str) -> dt.datetime:
    """When the switch was started, from its own description (`GET asterisk/info`)."""
    try:
        return dt.datetime.fromisoformat(json.loads(body)["status"]["startup_time"]).astimezone(dt.UTC)
    except (ValueError, KeyError, TypeError) as problem:
        raise Garbled(f"expected the switch's startup_time, got {body:.80}") from problem


def channel_ids(body: str) -> list[str]:
    """The channel ids that an application's description lists."""
    try:
        listed = json.loads(body)["channel_ids"]
    except (ValueError, KeyError, TypeError) as problem:
        raise Garbled(f"expected an application with channel_ids, got {body:.80}") from problem
    return [str(channel) for channel in listed][:CHANNELS_LISTED_MAX]


# --- what we say ---


def rest_request(
    number: str, method: str, uri: str, query: Mapping[str, str] | None, body: Mapping[str, Any] | None
) -> str:
    """One request, as a frame of the socket; `number` comes back in its answer."""
    request: dict[str, Any] = {
        "type": "RESTRequest",
        "transaction_id": number,
        "request_id": number,
        "method": method,
        "uri": uri,
    }
    if query:
        request["query_strings"] = [{"name": name, "value": value} for name, value in query.items()]
    if body is not None:
        request |= {"content_type": "application/json", "message_body": json.dumps(body)}
    return json.dumps(request)
