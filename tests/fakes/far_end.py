"""The other end of a caller's line: rings, answers, plays tones, takes keys and asks things, over real UDP on loopback."""

from __future__ import annotations

import asyncio
import itertools
from array import array
from dataclasses import dataclass, field

from cti.demo import rtp, sip
from cti.demo.ear import Ear
from cti.demo.sipp import Address

HOST = "127.0.0.1"
TAG = ";tag=far"


class Mouth(Ear):
    """An ear that also notes which keys were pressed."""

    def __init__(self) -> None:
        super().__init__(HOST)
        self.pressed: dict[int, str] = {}  # time stamp -> key

    @property
    def keys(self) -> str:
        return "".join(self.pressed.values())

    def play(self, samples: array[int]) -> None:
        self.speak(bytes(map(rtp.ulaw, samples)))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        packet = rtp.read(data)
        if packet.payload_type == sip.DTMF:
            self.pressed[packet.timestamp] = rtp.KEYS[packet.payload[0]]
        super().datagram_received(data, addr)


@dataclass
class FarEnd(asyncio.DatagramProtocol):
    """`answers`: what to say to an INVITE; `deaf_to`: so many messages are lost first."""

    answers: tuple[str, ...] = ("100 Trying", "180 Ringing", "200 OK")
    deaf_to: int = 0
    more: tuple[str, ...] = ()  # headers of the answers to INVITE
    got: list[sip.Message] = field(default_factory=list)
    mouth: Mouth = field(default_factory=Mouth)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: int = 0

    async def __aenter__(self) -> FarEnd:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(HOST, 0))
        self.address = Address(HOST, self._transport.get_extra_info("sockname")[1])
        await self.mouth.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()
        await self.mouth.close()

    async def until(self, method: str, status: int = 0, *, count: int = 1) -> sip.Message:
        """The `count`th message of this kind that came."""
        async with asyncio.timeout(5):
            while len(found := [each for each in self.got if (each.method, each.status) == (method, status)]) < count:
                self._news.clear()
                await self._news.wait()
        return found[count - 1]

    def ask(self, method: str, body: str = "", *more: str) -> None:
        """A request in the call that stands, or outside of every call when there is none."""
        self._asked += 1
        invite = next((each for each in self.got if each.method == "INVITE"), None)
        lines = [
            f"{method} sip:caller@{HOST} SIP/2.0", f"Via: SIP/2.0/UDP {self.address};branch=z9hG4bKfar{self._asked}",
            f"From: {invite.header('To') if invite else '<sip:far@end>'}{TAG}",
            f"To: {invite.header('From') if invite else '<sip:caller@here>'}",
            f"Call-ID: {invite.header('Call-ID') if invite else 'nobody'}", f"CSeq: {self._asked} {method}", *more,
            f"Content-Length: {len(body)}",
        ]  # fmt: skip
        self._say("\r\n".join([*lines, "", body]).encode())

    def description(self, *attributes: str) -> str:
        lines = ("v=0", f"c=IN IP4 {HOST}", f"m=audio {self.mouth.port} RTP/AVP 0 {sip.DTMF}")
        keys = f"a=rtpmap:{sip.DTMF} telephone-event/8000"
        return "".join(f"{line}\r\n" for line in (*lines, keys, *attributes))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._caller = addr
        if self.deaf_to > 0:
            self.deaf_to -= 1
            return
        message = sip.read(data)
        self.got.append(message)
        self._news.set()
        if message.method == "INVITE" and message.status == 0:
            self._answer_invite(message)
        elif message.method in ("BYE", "CANCEL") and message.status == 0:
            self._say(sip.answer(message, "200 OK"))

    def _answer_invite(self, invite: sip.Message) -> None:
        media = sip.read_media(invite.body)
        assert media is not None
        self.mouth.connect(media.host, media.port)
        for status in self.answers:
            headers, body = (f"Contact: <sip:far@{self.address}>", *self.more), ""
            if status.startswith("200"):
                body = self.description()
            said = sip.answer(invite, status, headers, body)
            self._say(said.replace(b"\r\nCall-ID", TAG.encode() + b"\r\nCall-ID", 1))

    def _say(self, data: bytes) -> None:
        self._transport.sendto(data, self._caller)


def sequence(*parts: array[int]) -> array[int]:
    return array("h", itertools.chain.from_iterable(parts))
