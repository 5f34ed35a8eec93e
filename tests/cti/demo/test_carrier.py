"""What the carrier puts on the wire, read at the other end of it by a switch that refuses every call."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from cti.asterisk import debs
from cti.demo import carrier, load, phones
from cti.demo.carrier import Caller, Carrier
from cti.demo.sipp import SCENARIOS, Address, scenario

TOOLS = Path(os.environ.get("SANTRAL_TOOLS_DIR", Path(__file__).parents[3] / "var" / "tools"))
HOSTILE = '"; \\ [call_id] ]]> <script>alert(1)</script> \\x41 & Şule Öz 🙂' + "Ğ" * 250
KNOWN = re.compile(rb"^(INVITE|Via|Max-Forwards|From|To|Call-ID|CSeq|Contact|Content-Type|Content-Length)\b")


def sipp() -> list[str]:
    try:
        return debs.find("sipp", TOOLS)
    except debs.DebsError as missing:
        pytest.fail(f"no SIPp here: {missing}")


class RefusingSwitch(asyncio.DatagramProtocol):
    """Answers every INVITE with 486 and keeps it."""

    def __init__(self) -> None:
        self.invites: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not data.startswith(b"INVITE"):
            return
        self.invites.append(data)
        lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
        kept = [line for line in lines if line.startswith((b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:"))]
        answer = [b"SIP/2.0 486 Busy Here", *kept, b"Content-Length: 0", b"", b""]
        self.transport.sendto(b"\r\n".join(answer), addr)


@pytest_asyncio.fixture
async def switch() -> AsyncIterator[RefusingSwitch]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(RefusingSwitch, local_addr=("127.0.0.1", 0))
    yield protocol
    transport.close()


async def invite(switch: RefusingSwitch, folder: Path, caller: Caller) -> bytes:
    """Call once; the INVITE's head as it came."""
    target = Address("127.0.0.1", switch.transport.get_extra_info("sockname")[1])
    result = await carrier.call(Carrier(sipp=sipp(), target=target, out_dir=folder), caller, hold_s=0.1)
    assert (result.answered, result.status, result.ended_by, result.cause) == (False, 486, "refused", "Busy Here")
    return switch.invites[-1].partition(b"\r\n\r\n")[0]


def header(head: bytes, name: bytes) -> bytes:
    return next(line for line in head.split(b"\r\n") if line.startswith(name + b": ")).partition(b": ")[2]


async def test_a_hostile_name_is_one_quoted_string_on_the_wire(switch: RefusingSwitch, tmp_path: Path) -> None:
    head = await invite(switch, tmp_path, Caller("+905325550123", name=HOSTILE + "\r\nX-Evil: yes"))
    assert all(KNOWN.match(line) for line in head.split(b"\r\n")), "no line but ours"
    quoted = header(head, b"From").decode().rpartition('" <sip:')[0].removeprefix('"')
    assert re.sub(r"\\(.)", r"\1", quoted) == HOSTILE + "  X-Evil: yes"


async def test_raw_bytes_reach_the_wire_as_they_are(switch: RefusingSwitch, tmp_path: Path) -> None:
    raw = b'"\xff\x01[field0]\t' + b"x" * 500 + b'\r\nX-Evil: yes\r\nX-More: "<sip:1@2>'
    head = await invite(switch, tmp_path, Caller("", raw_from=raw))
    assert b"From: " + raw + b";tag=" in head


async def test_a_withheld_number_asks_for_privacy_and_may_be_asserted(switch: RefusingSwitch, tmp_path: Path) -> None:
    caller = Caller("+905325550123", withheld=True, asserted="+905325550123", headers=(b"X-Extra: 1",))
    head = await invite(switch, tmp_path, caller)
    assert header(head, b"From").startswith(b'"Anonymous" <sip:anonymous@anonymous.invalid>')
    assert header(head, b"Privacy") == b"id"
    assert header(head, b"P-Asserted-Identity").startswith(b"<sip:+905325550123@")
    assert header(head, b"X-Extra") == b"1"


async def test_the_offer_names_the_ear_and_not_sipp(switch: RefusingSwitch, tmp_path: Path) -> None:
    await invite(switch, tmp_path, Caller("+905325550123"))
    body = switch.invites[-1].partition(b"\r\n\r\n")[2]
    assert re.search(rb"m=audio \d+ RTP/AVP 0 101", body)
    assert b"c=IN IP4 127.0.0.2" in body


def test_scenarios_are_well_formed_with_and_without_values(tmp_path: Path) -> None:
    values: dict[str, dict[str, object]] = {
        "call": {},
        "load": {"keys": load._key_step(1, 1.0), "hold_ms": 1},
        "phone": {"ring_ms": 1, "talk_ms": 1, "voice": "hum.ulaw"},
        "register": {"expires_s": 600, "again_ms": 1000},
    }
    assert set(values) == {path.stem for path in SCENARIOS.glob("*.xml")}
    for name, filled in values.items():
        ElementTree.parse(SCENARIOS / f"{name}.xml")
        ElementTree.parse(scenario(name, tmp_path, **filled))


def test_a_row_that_would_be_two_rows_is_refused(tmp_path: Path) -> None:
    for row in (load.Row("1;2"), load.Row("+90\n1"), load.Row("1", ("x",))):
        with pytest.raises(ValueError, match="expected a plain number"):
            load._write_rows(tmp_path / "rows.csv", [row])
    with pytest.raises(ValueError, match="same number of keys"):
        load._same_many_keys([load.Row("1", ("1",)), load.Row("2")])


def test_a_phone_rings_for_more_than_no_time() -> None:
    assert phones.NEVER.ring_ms == phones.FOREVER_MS
    assert phones.Behaviour(answer_s=0.5, talk_s=None).ring_ms == 500
    with pytest.raises(ValueError, match="expected more than 0"):
        phones.Behaviour(answer_s=-1)


async def test_a_phone_without_a_switch_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phones, "REGISTER_MAX_S", 0.5)
    unheard = phones.Phones(sipp(), Address("127.0.0.1", 9), {"1001": "x"}, tmp_path)
    with pytest.raises(phones.NotRegistered, match="1001"):
        await unheard.start()
    assert unheard.pids == []
