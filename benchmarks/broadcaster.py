"""The rival of the pop: what plain connectors do. Every manager event goes to every browser, whose page renders a line of text.

A process of its own, `python -m benchmarks.broadcaster HOST AMI_PORT USER HTTP_PORT`, the secret on standard input. Prints
"ready", and then for each ringing a page painted "painted MS".
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

PAGE = b"""<!doctype html><meta charset="utf-8"><title>calls</title><ul id="calls"></ul><script>
const socket = new WebSocket(`ws://${location.host}/events`);
socket.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  if (event.Event !== "AgentCalled") return;
  const line = document.createElement("li");
  line.textContent = `${event.CallerIDNum} rings at ${event.MemberName}`;
  document.getElementById("calls").prepend(line);
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => socket.send(String(event.read_at));
  requestAnimationFrame(() => port2.postMessage(null));
};
</script>"""
browsers: set[ServerConnection] = set()


def page(connection: ServerConnection, request: Request) -> Response | None:
    """The one page, for whoever does not ask for the socket."""
    if request.path == "/events":
        return None
    return Response(HTTPStatus.OK, "OK", Headers({"content-type": "text/html"}), PAGE)


async def browser(connection: ServerConnection) -> None:
    browsers.add(connection)
    try:
        async for read_at in connection:
            print(f"painted {(time.time() - float(read_at)) * 1000:.2f}", flush=True)
    finally:
        browsers.discard(connection)


async def main(host: str, ami_port: int, user: str, http_port: int, secret: str) -> None:
    reader, writer = await asyncio.open_connection(host, ami_port)
    await reader.readuntil(b"\r\n")
    login = f"Action: Login\r\nUsername: {user}\r\nSecret: {secret}\r\nEvents: call,agent\r\n\r\n"
    writer.write(login.encode())
    async with serve(browser, host, http_port, process_request=page, compression=None):
        print("ready", flush=True)
        while True:
            block = (await reader.readuntil(b"\r\n\r\n")).decode(errors="replace")
            event = dict(line.partition(": ")[::2] for line in block.split("\r\n") if ": " in line)
            broadcast(browsers, json.dumps(event | {"read_at": time.time()}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.stdin.readline().strip()))
