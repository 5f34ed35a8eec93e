from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti.demo import sip
from cti.demo.sipp import Address

OK = (
    "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP 127.0.0.2:5\r\nRecord-Route: <sip:first;lr>\r\nRecord-Route: <sip:second;lr>\r\n"
    "f: <sip:1@here>;tag=a\r\nt: <sip:2@there>;tag=b\r\ni: x\r\nCSeq: 1 INVITE\r\nm: <sip:box@10.0.0.1:9;x=1>;q=1\r\n\r\n"
    "v=0\r\nc=IN IP4 10.0.0.2\r\nm=audio 4000 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/8000\r\n"
)


def dialog() -> sip.Dialog:
    return sip.Dialog("0532", "0212", Address("127.0.0.2", 5), Address("127.0.0.1", 5060), 4000, "x", "a")


def request(method: str, *headers: str, body: str = "") -> sip.Message:
    lines = (
        f"{method} sip:a@b SIP/2.0",
        "Via: v",
        "From: f",
        "To: t;tag=1",
        "Call-ID: x",
        f"CSeq: 7 {method}",
        *headers,
    )
    return sip.read(("\r\n".join(lines) + f"\r\n\r\n{body}").encode())


def response(status: str, method: str = "INVITE", *headers: str) -> sip.Message:
    lines = (f"SIP/2.0 {status}", "To: <sip:2@there>;tag=b", f"CSeq: 1 {method}", *headers)
    return sip.read(("\r\n".join(lines) + "\r\n\r\n").encode())


def test_an_invite_offers_voice_and_keys_and_can_be_read_again() -> None:
    invite = sip.read(dialog().invite())
    assert (invite.method, invite.status, invite.header("call-id")) == ("INVITE", 0, "x")
    assert sip.read_media(invite.body) == sip.Media("127.0.0.2", 4000, 101)
    assert int(invite.header("Content-Length")) == len(invite.body)


def test_an_answer_is_acknowledged_where_it_says_by_the_way_it_came() -> None:
    call = dialog()
    call.invite()
    (ack,) = call.hear(sip.read(OK.encode()))
    assert ack.startswith(b"ACK sip:box@10.0.0.1:9;x=1 SIP/2.0\r\n")
    assert sip.read(ack).all("Route") == ["<sip:second;lr>", "<sip:first;lr>"]
    assert call.media == sip.Media("10.0.0.2", 4000, 96)
    assert call.hear(sip.read(OK.encode())) == [ack], "and again, when it comes again"
    assert sip.read(call.bye()).header("CSeq") == "2 BYE"
    assert call.bye() == call.bye()


def test_a_refusal_is_acknowledged_in_its_own_transaction() -> None:
    call = dialog()
    branch = sip.read(call.invite()).header("Via")
    assert call.hear(response("100 Trying")) == []
    (ack,) = call.hear(response("503 Service Unavailable", "INVITE", "Reason: Q.850;cause=34"))
    assert sip.read(ack).header("Via") == branch
    assert sip.read(ack).header("To").endswith("tag=b")
    assert (call.status, call.reason, call.end_reason) == (503, "Service Unavailable", "Q.850;cause=34")


def test_who_gave_up_hangs_up_when_it_is_answered_after_all() -> None:
    call = dialog()
    branch = sip.read(call.invite()).header("Via")
    assert sip.read(call.cancel()).header("Via") == branch
    assert call.hear(response("200 OK", "CANCEL")) == []
    assert [sip.read(each).method for each in call.hear(response("200 OK"))] == ["ACK", "BYE"]


@pytest.mark.parametrize("method", ["OPTIONS", "INFO", "NOTIFY", "MESSAGE", "UPDATE"])
def test_whatever_is_asked_politely_is_answered(method: str) -> None:
    (answered,) = map(sip.read, dialog().hear(request(method)))
    assert (answered.status, answered.method, answered.header("Via")) == (200, method, "v")


def test_what_we_cannot_do_is_refused_and_an_ack_is_not_answered() -> None:
    assert sip.read(dialog().hear(request("REFER"))[0]).status == 405
    assert dialog().hear(request("ACK")) == []


@pytest.mark.parametrize(
    ("offered", "answered"), [("sendonly", "recvonly"), ("inactive", "inactive"), ("sendrecv", "sendrecv")]
)
def test_a_call_that_is_held_says_so_in_a_newer_description(offered: str, answered: str) -> None:
    call = dialog()
    body = f"c=IN IP4 10.0.0.9\r\nm=audio 6000 RTP/AVP 0\r\na={offered}\r\n"
    said = sip.read(call.hear(request("INVITE", body=body))[0])
    assert f"a={answered}\r\n" in said.body
    assert "o=- 1 2 IN" in said.body
    assert call.media == sip.Media("10.0.0.9", 6000, None)


def test_their_goodbye_ends_the_call_once_and_gives_its_reason() -> None:
    call = dialog()
    assert sip.read(call.hear(request("BYE", "Reason: Q.850;cause=16"))[0]).status == 200
    assert sip.read(call.hear(request("BYE"))[0]).status == 200
    assert (call.they_ended, call.end_reason) == (True, "Q.850;cause=16")


def test_a_request_outside_of_every_call_gets_its_answer() -> None:
    assert sip.read(sip.stray(request("BYE")) or b"").status == 481
    assert sip.stray(request("ACK")) is None
    ping = sip.read(b"OPTIONS sip:a SIP/2.0\r\nTo: <sip:a>\r\nCSeq: 1 OPTIONS\r\n\r\n")
    assert sip.read(sip.stray(ping) or b"").status == 200


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    with contextlib.suppress(sip.MalformedSip):
        sip.read(data)


@given(st.lists(st.sampled_from(["INVITE", "BYE", "UPDATE", "INFO", "100", "180", "200", "486"]), max_size=12))
def test_nothing_that_comes_in_any_order_breaks_a_dialog(coming: list[str]) -> None:
    call = dialog()
    call.invite()
    for each in coming:
        for sent in call.hear(response(f"{each} Said") if each.isdigit() else request(each)):
            sip.read(sent)
    finals = [int(each) for each in coming if each.isdigit() and each != "100" and each != "180"]
    assert call.status == (finals[0] if finals else 0)
    assert call.they_ended == ("BYE" in coming)
