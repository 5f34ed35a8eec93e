"""The caller's side of one SIP call over UDP (RFC 3261): messages as values, and a dialog that says what to send.

Pure: no socket, no clock; who owns the socket also repeats requests (timers A, B, E and F). Enough for a carrier that rings in:
INVITE, CANCEL, ACK, BYE, and polite answers to whatever the switch asks during the call.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cti.demo.sipp import Address

DTMF = 101  # the payload type offered for keys
SHORT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type"}
ECHOED = ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq")  # of a request, in the answer (section 8.2.6.2)
KNOWN = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, NOTIFY, MESSAGE"
# What we may still do when the other side holds the call (RFC 3264 section 6.1).
MIRRORED = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
STATUS = re.compile(r"SIP/2\.0 ([1-6]\d\d)(?: (.*))?")
REQUEST = re.compile(r"([A-Z]+) (\S+) SIP/2\.0")
URI = re.compile(r"<([^>]+)>|^\s*([^;\s]+)")


class MalformedSip(ValueError):
    """The bytes are no SIP message."""


@dataclass(frozen=True)
class Message:
    """A request or a response. `status` is 0 for a request; `method` of a response is the one that it answers."""

    method: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]  # names in lower case, long form
    body: str

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name.lower()]

    def header(self, name: str) -> str:
        """The first one's value; empty when there is none."""
        return next(iter(self.all(name)), "")


@dataclass(frozen=True)
class Media:
    """Where the other side hears, and its payload type for keys (None: it takes none)."""

    host: str
    port: int
    dtmf: int | None


def read(data: bytes) -> Message:
    """One message off the wire. Raises MalformedSip."""
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    start, *lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
    pairs = tuple(_header(line) for line in lines if ":" in line)
    if answer := STATUS.fullmatch(start):
        method = next((value.split()[-1] for name, value in pairs if name == "cseq" and value), "")
        return Message(method, int(answer[1]), answer[2] or "", pairs, body)
    if request := REQUEST.fullmatch(start):
        return Message(request[1], 0, "", pairs, body)
    raise MalformedSip(f"expected a SIP request or response, got {start[:60]!r}")


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    low = name.strip().lower()
    return SHORT.get(low, low), value.strip()


def read_media(sdp: str) -> Media | None:
    """The voice of a session description (RFC 4566); None when it holds none."""
    audio = re.search(r"(?m)^m=audio (\d+)", sdp)
    hosts = re.findall(r"(?m)^c=IN IP4 (\S+)", sdp)
    keys = re.search(r"(?m)^a=rtpmap:(\d+) telephone-event/8000", sdp)
    if not audio or not hosts or int(audio[1]) == 0:
        return None
    return Media(hosts[-1], int(audio[1]), int(keys[1]) if keys else None)


def answer(request: Message, status: str, headers: tuple[str, ...] = (), body: str = "") -> bytes:
    """A response such as "200 OK" to `request`."""
    echoed = [f"{name}: {value}" for name in ECHOED for value in request.all(name)]
    return _bytes(f"SIP/2.0 {status}", [*echoed, *headers], body)


def stray(request: Message) -> bytes | None:
    """The answer to a request outside of every call; None for an ACK."""
    if request.method == "ACK":
        return None
    known = request.method == "OPTIONS" and "tag=" not in request.header("To")
    return answer(request, "200 OK" if known else "481 Call/Transaction Does Not Exist", (f"Allow: {KNOWN}",))


@dataclass
class Dialog:
    """One call from its INVITE to its end. `hear` takes what came and returns what is to be sent now; the fields say how
    far it is."""

    number: str  # the caller's
    to: str  # the number dialled
    local: Address
    target: Address
    media_port: int
    call_id: str
    tag: str
    ringing: bool = False  # some answer came: no more INVITEs
    status: int = 0  # the final answer to INVITE; 0: none yet
    reason: str = ""  # of the final answer, in its words
    media: Media | None = None
    over: bool = False  # somebody has said BYE
    they_ended: bool = False
    end_reason: str = ""  # header Reason of their BYE or refusal; empty: none
    goodbye_done: bool = False  # our BYE was answered
    unwanted: bool = False  # we have given up: should it be answered after all, hang up
    _to: str = field(init=False)
    _uri: str = field(init=False)
    _routes: tuple[str, ...] = ()
    _cseq: int = 1
    _version: int = 1  # of our session description: one that changes without it is passed over (RFC 3264 section 8)

    def __post_init__(self) -> None:
        self._uri = f"sip:{self.to}@{self.target}"
        self._to = f"<{self._uri}>"

    # --- what we ask ---

    def invite(self) -> bytes:
        contact, kind = f"Contact: <sip:{self.number}@{self.local}>", "Content-Type: application/sdp"
        return self._request("INVITE", 1, "i", contact, f"Allow: {KNOWN}", kind, body=self._description())

    def cancel(self) -> bytes:
        """Give up while it rings: in INVITE's transaction, so under the same branch (section 9.1)."""
        self.unwanted = True
        return self._request("CANCEL", 1, "i")

    def bye(self) -> bytes:
        """Hang up; the same bytes again when it has to be repeated."""
        if not self.over:
            self.over, self._cseq = True, self._cseq + 1
        return self._request("BYE", self._cseq, "b")

    # --- what comes ---

    def hear(self, message: Message) -> list[bytes]:
        if message.status == 0:
            return self._asked(message)
        if message.method == "INVITE":
            return self._ring(message)
        if message.method == "BYE" and message.status >= 200:
            self.goodbye_done = True
        return []

    def _ring(self, response: Message) -> list[bytes]:
        self.ringing = True
        if response.status < 200:
            return []
        if self.status == 0:
            self.status, self.reason, self.end_reason = response.status, response.reason, response.header("Reason")
            self._to = response.header("To")
            self._establish(response)
        if self.status >= 300:
            return [self._request("ACK", 1, "i")]  # of the same transaction, section 17.1.1.3
        ack = self._request("ACK", 1, "a")
        return [ack, self.bye()] if self.unwanted else [ack]

    def _establish(self, response: Message) -> None:
        if response.status >= 300:
            return
        self.media = read_media(response.body)
        self._routes = tuple(reversed(response.all("Record-Route")))
        if found := URI.search(response.header("Contact")):
            self._uri = found[1] or found[2]

    def _asked(self, request: Message) -> list[bytes]:
        match request.method:
            case "ACK":
                return []
            case "BYE":
                if not self.over:
                    self.over, self.they_ended, self.end_reason = True, True, request.header("Reason")
                return [answer(request, "200 OK")]
            case "INVITE" | "UPDATE":
                return [self._renewed(request)]
            case "OPTIONS" | "INFO" | "NOTIFY" | "MESSAGE" | "CANCEL":
                return [answer(request, "200 OK", (f"Allow: {KNOWN}",))]
        return [answer(request, "405 Method Not Allowed", (f"Allow: {KNOWN}",))]

    def _renewed(self, request: Message) -> bytes:
        """The session as the other side wants it now: another address for the voice, or on hold."""
        contact = f"Contact: <sip:{self.number}@{self.local}>"
        if not request.body and request.method == "UPDATE":
            return answer(request, "200 OK", (contact,))
        self.media, self._version = read_media(request.body) or self.media, self._version + 1
        wanted = re.search(r"(?m)^a=(sendonly|recvonly|inactive)\s*$", request.body)
        body = self._description(MIRRORED[wanted[1]] if wanted else "sendrecv")
        return answer(request, "200 OK", (contact, "Content-Type: application/sdp"), body)

    # --- bytes ---

    def _request(self, method: str, cseq: int, branch: str, *more: str, body: str = "") -> bytes:
        in_call = method == "BYE" or (method == "ACK" and branch == "a")
        uri = self._uri if in_call else f"sip:{self.to}@{self.target}"
        lines = [
            f"Via: SIP/2.0/UDP {self.local};branch=z9hG4bK{self.call_id}{branch}", "Max-Forwards: 70",
            *(f"Route: {each}" for each in self._routes if in_call),
            f"From: <sip:{self.number}@{self.local}>;tag={self.tag}", f"To: {self._to}", f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}", *more,
        ]  # fmt: skip
        return _bytes(f"{method} {uri} SIP/2.0", lines, body)

    def _description(self, direction: str = "sendrecv") -> str:
        host = self.local.host
        lines = (
            "v=0", f"o=- 1 {self._version} IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0",
            f"m=audio {self.media_port} RTP/AVP 0 {DTMF}", "a=rtpmap:0 PCMU/8000",
            f"a=rtpmap:{DTMF} telephone-event/8000", f"a=fmtp:{DTMF} 0-15", "a=ptime:20", f"a={direction}",
        )  # fmt: skip
        return "".join(f"{line}\r\n" for line in lines)


def _bytes(start: str, lines: list[str], body: str) -> bytes:
    head = "\r\n".join([start, *lines, f"Content-Length: {len(body.encode())}"])
    return f"{head}\r\n\r\n{body}".encode()
