"""A small switch that speaks ARI over one WebSocket: it keeps channels and playbacks, and answers as Asterisk 22.10 does.

It decides nothing by itself: prompts end and callers press keys or hang up when the test says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

TRUNK = {
    "did": "+908501112233",
    "from": "+905321112233",
    "name": "%22%C5%9Eule%22%20%3Csip%3A%2B905321112233%40carrier%3E",
}


@dataclass
class FakeChannel:
    id: str
    args: list[str]
    variables: dict[str, str] = field(default_factory=dict)
    application: str = ""
    up: bool = False
    playing: str = ""
    recording: str = ""

    def plain(self) -> dict[str, Any]:
        return {"id": self.id, "name": "PJSIP/trunk-00000000", "state": "Up", "channelvars": dict(self.variables)}


class FakeAri:
    """`async with FakeAri() as switch:` listens on `switch.port`."""

    def __init__(self) -> None:
        self.channels: dict[str, FakeChannel] = {}
        self.requests: list[str] = []  # "POST channels/1.0/answer", in order
        self.bodies: list[dict[str, Any]] = []
        self.in_dialplan: list[FakeChannel] = []
        self.winner: str | None = None  # somebody else who claims first
        self.silent: set[str] = set()  # requests that are never answered, by their last word
        self.knows_variables = True
        self.socket: ServerConnection | None = None
        self.connections = 0
        self._news = asyncio.Condition()

    async def __aenter__(self) -> FakeAri:
        self._server = await serve(self._serve, "127.0.0.1", 0, compression=None)
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    # --- what a test does ---

    async def call(self, channel: str = "1.0", *more: str) -> FakeChannel:
        """A caller comes in, and every application hears of it."""
        args = [f"{key}={value}" for key, value in TRUNK.items()]
        new = self.channels[channel] = FakeChannel(channel, [*args, *more])
        await self.say({"type": "CallBroadcast", "channel": new.plain()})
        return new

    async def press(self, keys: str, channel: str = "1.0") -> None:
        for key in keys:
            event = {"type": "ChannelDtmfReceived", "digit": key, "channel": self.channels[channel].plain()}
            await self.say(event)

    async def finish(self, channel: str = "1.0", state: str = "done") -> None:
        """What plays has come to its end."""
        playing, self.channels[channel].playing = self.channels[channel].playing, ""
        if playing:
            playback = {"id": playing, "target_uri": f"channel:{channel}", "state": state}
            await self.say({"type": "PlaybackFinished", "playback": playback})

    async def recorded(self, channel: str = "1.0", duration_s: int = 3) -> None:
        recording = {
            "name": self.channels[channel].recording,
            "target_uri": f"channel:{channel}",
            "duration": duration_s,
        }
        await self.say({"type": "RecordingFinished", "recording": recording})

    async def hang_up(self, channel: str = "1.0") -> None:
        """The caller says BYE."""
        gone = self.channels.pop(channel)
        await self.say({"type": "ChannelHangupRequest", "cause": 16, "channel": gone.plain()})
        if gone.application:
            await self.say({"type": "StasisEnd", "channel": gone.plain()})

    async def say(self, event: dict[str, Any]) -> None:
        await self.say_raw(json.dumps(event))

    async def say_raw(self, text: str) -> None:
        if self.socket:
            await self.socket.send(text)

    async def drop(self) -> None:
        """The socket breaks."""
        if self.socket:
            self.socket.transport.abort()

    async def asked(self, request: str) -> None:
        """Wait until a request that ends like this was made."""
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: any(each.endswith(request) for each in self.requests))

    async def connected(self, times: int) -> None:
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: self.connections >= times)

    # --- how it answers ---

    async def _serve(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.connections += 1
        await self._tell()
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                await self._hear(socket, message)

    async def _hear(self, socket: ServerConnection, message: str | bytes) -> None:
        request = json.loads(message)
        uri = f"{request['method']} {request['uri']}"
        query = {each["name"]: each["value"] for each in request.get("query_strings", ())}
        body = json.loads(request["message_body"]) if "message_body" in request else {}
        self.bodies.append(body)
        if not any(uri.endswith(word) for word in self.silent):
            status, answer = await self._do(uri, query, body)
            response = {"type": "RESTResponse", "request_id": request["request_id"], "status_code": status}
            await socket.send(json.dumps({**response, "message_body": json.dumps(answer)}))
        self.requests.append(uri)
        await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _do(self, uri: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, object]:
        match uri.split("/"):
            case ["POST events", "claim"]:
                return await self._claim(query["channelId"], query["application"])
            case ["PUT applications", _, "eventFilter"]:
                return 200, {}
            case ["GET applications", name]:
                ids = [each.id for each in self.channels.values() if each.application == name]
                return 200, {"name": name, "channel_ids": ids}
            case ["GET playbacks", playback]:
                return (200 if any(each.playing == playback for each in self.channels.values()) else 404), {}
            case ["DELETE playbacks", playback]:
                for channel in self.channels.values():
                    if channel.playing == playback:
                        await self.finish(channel.id)
                        return 204, {}
                return 404, {}
            case [_, channel, *what] if channel in self.channels:
                return await self._to_channel(self.channels[channel], uri.split(" ")[0], what, query, body)
        return 404, {"message": "Channel not found"}

    async def _to_channel(
        self, channel: FakeChannel, method: str, what: list[str], query: dict[str, str], body: dict[str, Any]
    ) -> tuple[int, object]:
        match method, what:
            case "GET", []:
                return 200, channel.plain()
            case "DELETE", []:
                await self.hang_up(channel.id)
            case "POST", ["move"]:
                await self.say({"type": "StasisEnd", "channel": channel.plain()})
                await self._start(channel, query["app"], [query["appArgs"]])
            case "POST", _ if not channel.application:
                return 409, {"message": "Channel not in Stasis application"}
            case "POST", ["answer"]:
                channel.up = True
            case "POST", ["play", playback]:
                channel.playing = playback
            case "POST", ["record"]:
                channel.recording = body["name"]
            case "POST", ["variables"] if self.knows_variables:
                channel.variables |= body["variables"]
            case "POST", ["variable"]:
                channel.variables[body["variable"]] = body["value"]
            case "POST", ["continue"]:
                await self.say({"type": "StasisEnd", "channel": channel.plain()})
                channel.application = ""
                self.in_dialplan.append(channel)
            case _:
                return 404, {"message": "Resource not found"}
        return 204, None

    async def _claim(self, channel: str, application: str) -> tuple[int, object]:
        if channel not in self.channels:
            return 404, {"message": "Channel not found"}
        if self.winner or self.channels[channel].application:
            return 409, {"message": "Channel has already been claimed by another application"}
        await self._start(self.channels[channel], application, self.channels[channel].args)
        return 204, None

    async def _start(self, channel: FakeChannel, application: str, args: list[str]) -> None:
        channel.application = application
        await self.say({"type": "StasisStart", "args": args, "channel": channel.plain()})
