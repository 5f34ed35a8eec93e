"""What leaves for Asterisk is made harmless here: text for AMI lines, AGI arguments and ARI addresses.

A caller's name is hostile until it went through one of these. Nothing here knows a socket.
"""

from __future__ import annotations

import re
from urllib.parse import quote

LINE_BREAKERS = re.compile(r"[\r\n\0]")
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
LONE_SURROGATES = re.compile(r"[\ud800-\udfff]")


class Unsafe(ValueError):
    """A text that would mean something else to Asterisk than to us; the message says where, never what."""


def ami_line(key: str, value: str) -> bytes:
    """One `Key: value` line of an AMI action. Raises Unsafe when either could end the line or the key."""
    if not key or not key.isascii() or ":" in key or not key.isprintable() or " " in key:
        raise Unsafe("expected an AMI header name of printable ASCII without ':' and blanks")
    if LINE_BREAKERS.search(value) or LONE_SURROGATES.search(value):
        raise Unsafe(f"expected the AMI header {key} without CR, LF, NUL and half characters")
    return f"{key}: {value}\r\n".encode()


def agi_quoted(value: object) -> str:
    """`value` as one argument of an AGI command, between quotes. Line ends and NUL become blanks."""
    text = LINE_BREAKERS.sub(" ", str(value))
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def path(*segments: str) -> str:
    """An ARI address such as `channels/1795320823.0/answer`; no segment can become two, or a query."""
    for segment in segments:
        if segment in ("", ".", "..") or LONE_SURROGATES.search(segment):
            raise Unsafe("expected the segments of an ARI address to be names")
    return "/".join(quote(segment, safe="") for segment in segments)


BRACKETED = re.compile(r"[^<,]*<([^<>]*)>([^,]*)")
PRIVACY = re.compile(r";\s*privacy\s*=\s*\"?([a-z]+)", re.IGNORECASE)
VERSTAT = re.compile(r";\s*verstat\s*=\s*([A-Za-z-]+)", re.IGNORECASE)
PASSED = re.compile(r"TN-Validation-Passed(?:-([ABC]))?", re.IGNORECASE)
ATTESTATIONS = frozenset("ABC")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def display_name(from_header: str) -> str:
    """The caller's name in a From header (RFC 3261 section 25.1, name-addr), "" without one. It is as hostile as it was."""
    text = from_header.lstrip()
    if quoted := QUOTED.match(text):
        return re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)
    before, has_address, _ = text.partition("<")
    return before.strip() if has_address else ""


def asserted(header: str) -> str:
    """Whom a P-Asserted-Identity header (RFC 3325 section 9.1) names first: an address as hostile as it was, "" without one."""
    return _first(header)[0]


def diverter(header: str) -> str:
    """Who sent the call on, by a Diversion header (RFC 5806): the last of them, which stands first; "" when he wants to stay
    unnamed."""
    address, parameters = _first(header)
    wish = PRIVACY.search(parameters)
    return "" if wish and wish[1].lower() != "off" else address


def attestation(asserted_header: str, indicator: str) -> str:
    """A | B | C when the trunk has verified the caller's signature (RFC 8588), else "".

    Carriers put the result into P-Asserted-Identity, which they alone may write: `verstat=TN-Validation-Passed`, some with the
    level behind it. Others say the level in a header of its own (`indicator`: P-Attestation-Indicator, Attestation-Info), which
    counts only beside such a result: strangers can send that header too.
    """
    address, parameters = _first(asserted_header)
    said = VERSTAT.search(address) or VERSTAT.search(parameters)
    passed = PASSED.fullmatch(said[1]) if said else None
    if passed is None:
        return ""
    levels = {passed[1] or "", *re.sub(r"[\s;]", "", indicator)} - {""}
    return levels.pop() if len(levels) == 1 and levels <= ATTESTATIONS else ""


def _first(header: str) -> tuple[str, str]:
    """Address and parameters of a header's first value; a name before it may look like an address and is none. A name that never ends was
    cut by somebody who wants his own address read: nothing is."""
    text = header.lstrip()
    if text.startswith('"'):
        quoted = QUOTED.match(text)
        text = text[quoted.end() :] if quoted else ""
    if bracketed := BRACKETED.match(text):
        return bracketed[1].strip(), bracketed[2]
    address, _, parameters = text.partition(",")[0].partition(";")
    return address.strip(), f";{parameters}"


def shown(text: str, length_max: int) -> str:
    """Text from a stranger, for our logs and records: control characters become blanks, and it is cut."""
    return LONE_SURROGATES.sub("\ufffd", CONTROLS.sub(" ", text[:length_max]))
