"""What pages are made of: the browser's types against protocol.py, texts in every language, templates, and text from outside."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from cti.records.cards import Member, PartyCard, Service
from cti.records.contact_points import Contact
from cti.records.parties import Party
from cti.records.timeline import SHIPPED, Entry
from screenpop import customers, pages, protocol
from screenpop.pages import NotBundled, Pages, Person, count, own_address, plain, prose, span, text, ticket_number

ROOM = Path(pages.__file__).parent
LANGUAGES = ("tr", "en")
EVIL = "\u202eDEV<script>alert(1)</script>\x00" + "Z" + "\u0301" * 20
ZEHRA = Person("zehra", "Zehra <b>Şahin", "agent")
SELIN = Person("selin", "Selin <b>Öz", "supervisor")


@pytest.fixture
def shown(tmp_path: Path) -> Pages:
    """The real templates and texts, with a manifest in which every file is there."""
    room = tmp_path / "screenpop"
    dist = room / "static" / "dist"
    dist.mkdir(parents=True)
    for folder in ("templates", "texts"):
        (room / folder).symlink_to(ROOM / folder)
    names = ("page.css", "page.js", "desk.css", "desk.js", "sign_in.js", "stream.worker.js", "htmx.min.js")
    (dist / "manifest.json").write_text(json.dumps({name: f"{name}-HASH" for name in names}))
    return Pages(time_zone="Europe/Istanbul", room=room)


# --- the browser's types ---


def interfaces() -> dict[str, set[str]]:
    source = (ROOM / "islands" / "_protocol.ts").read_text()
    found = re.findall(r"export interface (\w+) \{(.*?)\n\}", source, re.DOTALL)
    return {name: set(re.findall(r"^  (\w+)\??:", body, re.MULTILINE)) for name, body in found}


def values() -> list[type]:
    return [each for each in vars(protocol).values() if isinstance(each, type) and dataclasses.is_dataclass(each)]


def incoming() -> list[type[BaseModel]]:
    return [
        each
        for name, each in vars(protocol).items()
        if isinstance(each, type)
        and issubclass(each, BaseModel)
        and each.__module__ == protocol.__name__
        and name[0] != "_"
    ]


@pytest.mark.parametrize("value", values(), ids=lambda value: value.__name__)
def test_the_browser_knows_the_fields_of_every_value(value: Any):
    assert interfaces()[value.__name__] == {field.name for field in dataclasses.fields(value)}


@pytest.mark.parametrize("message", incoming(), ids=lambda message: message.__name__)
def test_the_browser_sends_the_fields_that_the_server_reads(message: type[BaseModel]):
    assert interfaces()[message.__name__] == set(message.model_fields)


def test_close_codes_and_version_are_the_same_on_both_sides():
    source = (ROOM / "islands" / "_protocol.ts").read_text()
    constants = dict(re.findall(r'export const (\w+) = "?([\w.]+)"?;', source))
    assert constants == {
        "VERSION": str(protocol.VERSION),
        "SUBPROTOCOL": protocol.SUBPROTOCOL,
        "NOT_SIGNED_IN": str(protocol.CLOSE_NOT_SIGNED_IN),
        "BAD_MESSAGE": str(protocol.CLOSE_BAD_MESSAGE),
    }


# --- texts ---


def texts(language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((ROOM / "texts" / f"{language}.json").read_text(encoding="utf-8"))
    return found


def sources() -> str:
    files = [*(ROOM / "islands").glob("*.ts*"), *(ROOM / "templates").glob("*")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_every_language_has_the_same_texts_with_the_same_names_in_them():
    turkish, english = texts("tr"), texts("en")
    assert turkish.keys() == english.keys()
    assert not [
        key for key in turkish if set(re.findall(r"\{\w+\}", turkish[key])) != set(re.findall(r"\{\w+\}", english[key]))
    ]
    assert all(turkish.values())


def test_every_text_that_is_asked_for_exists():
    asked = set(re.findall(r"""\b(?:t|count)\(\s*["']([\w.]+[\w])["']""", sources()))
    known = texts("en").keys()
    assert asked
    assert not {key for key in asked if key not in known and f"{key}.other" not in known}


def test_every_text_is_used():
    source = sources()
    quoted = set(re.findall(r"""["'`]([\w]+(?:\.[\w]+)*)\.?(?:["'`]|\$\{)""", source))
    unused = {key for key in texts("en") if not quoted & {key, *_prefixes(key)}}
    assert not unused


def _prefixes(key: str) -> set[str]:
    parts = key.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


def test_names_are_filled_in_and_a_missing_text_is_an_error():
    assert text({"a": "x {n} y {m}"}, "a", n=3) == "x 3 y {m}"
    with pytest.raises(KeyError):
        text({}, "nothing.like.this")


def test_numbers_choose_their_form():
    english = {"calls.found.one": "{n} call", "calls.found.other": "{n} calls"}
    locale = Locale.parse("en")
    assert [count(english, locale, "calls.found", n) for n in (0, 1, 2)] == ["0 calls", "1 call", "2 calls"]


def test_tickets_and_spans_read_as_they_are_spoken():
    assert ticket_number("1234567") == "123 456 7"
    assert [span(seconds) for seconds in (-1, 42, 600, 3725)] == ["0:00", "0:42", "10:00", "1:02:05"]


# --- text from outside ---


def test_hidden_and_reordering_characters_are_shown():
    assert plain("\u202eKÖTÜ\u200b\x07") == "\ufffdKÖTÜ\ufffd\ufffd"
    assert plain("iki\nsatır") == "iki\ufffdsatır"
    assert prose("iki\r\nsatır") == "iki\nsatır"
    assert plain("aile 👨\u200d👩") == "aile 👨\u200d👩"
    assert plain("Z" + "\u0301" * 20) == "Z" + "\u0301" * 3


@given(st.text())
def test_plain_text_stays_one_line_and_is_settled_at_once(foreign: str):
    shown = plain(foreign)
    assert shown == plain(shown)
    assert shown.splitlines() in ([], [shown])


# --- pages ---


def test_desk_carries_its_data_without_any_inline_script(shown: Pages, now: dt.datetime):
    data = shown.desk_data("tr", user="</script><script>", wrap_up_max_s=120, now=now)
    html = shown.render("desk.html", "tr", user=ZEHRA, page=data)
    found = re.search(r'<script type="application/json" id="page">(.*?)</script>', html, re.DOTALL)
    assert found
    assert json.loads(found[1]) == data
    assert data["worker"] == "/static/screenpop/dist/stream.worker.js-HASH"
    assert "Zehra &lt;b&gt;Şahin" in html


def fields_of_page() -> set[str]:
    source = (ROOM / "islands" / "_page.ts").read_text()
    body = re.search(r"export interface Page \{(.*?)\n\}", source, re.DOTALL)
    assert body
    return set(re.findall(r"^  (\w+):", body[1], re.MULTILINE))


def test_islands_expect_the_data_that_the_desk_carries(shown: Pages, now: dt.datetime):
    assert shown.desk_data("en", user="zehra", wrap_up_max_s=120, now=now).keys() == fields_of_page()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_free_of_inline_scripts_and_styles(shown: Pages, now: dt.datetime, language: str):
    for html in every_page(shown, language, now):
        assert f'<html lang="{language}"' in html
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
        assert not re.findall(r"<script(?![^>]*(?:\ssrc=|application/json))", html)
        assert "<script>alert" not in html
        assert "\u202e" not in html


def every_page(shown: Pages, language: str, now: dt.datetime) -> list[str]:
    rows = [call(now, who=EVIL, number=""), call(now, who="", duration_s=None, recording="", end_reason="")]
    listed = {"user": ZEHRA, "q": EVIL.replace("\u202e", ""), "rows": rows, "more": True}
    data = shown.desk_data(language, user="zehra", wrap_up_max_s=120, now=now)
    return [
        shown.render("sign_in.html", language, user=None, next="/desk", chosen=False),
        shown.render("desk.html", language, user=ZEHRA, page=data),
        shown.render("calls.html", language, **listed),
        shown.render("calls.html", language, **(listed | {"rows": [], "more": False})),
        *(shown.render("customer.html", language, user=user, **customer(now)) for user in (ZEHRA, SELIN)),
        *(shown.error(code, language, user=user, request_id="r") for code in (403, 404, 500) for user in (None, ZEHRA)),
    ]


def call(at: dt.datetime, **fields: Any) -> dict[str, Any]:
    usual = {
        "id": "c", "at": at, "number": "0532 123 45 67", "number_kind": "withheld", "outcome": "withheld", "who": "Ayşe", "percent": 62,
        "confirmed": False, "party": "p", "queue": "Teknik", "agent": "zehra", "ticket": "1234567", "disposition": "",
        "end_reason": "answered", "duration_s": 61.0, "recording": "r",
    }  # fmt: skip
    return usual | fields


def customer(now: dt.datetime) -> dict[str, Any]:
    at = now.isoformat().replace("+00:00", "Z")
    entry = Entry(
        id="e", kind="interaction", channel="fax", direction="in", at=at, subject=EVIL, text=EVIL, contact="+905321234567", author=EVIL,
        ticket="1234567", party=None, party_name=EVIL,
    )  # fmt: skip
    card = PartyCard(
        "p", "person", EVIL, "100", "tr", ("vip", "new"), EVIL, (Member("p2", EVIL, "spouse"),),
        (Service("s", "1", "dsl", None, "Kadıköy", "active", None, True),), (Contact("phone", "+905321234567", "owner", "verified", "l"),),
    )  # fmt: skip
    other = Party(id="p3", name=EVIL, customer_no="101")
    return {
        "card": card, "entries": [entry], "channels": {each.id: each for each in SHIPPED}, "said": "invalid", "q": EVIL,
        "others": [other], "kinds": customers.KINDS, "roles": customers.ROLES,
    }  # fmt: skip


def test_times_are_shown_in_the_zone_of_the_house(shown: Pages):
    late = dt.datetime(2026, 11, 20, 22, 30, tzinfo=dt.UTC)  # half past one of the next day in Istanbul
    html = shown.render("calls.html", "tr", user=ZEHRA, q="", rows=[call(late)], more=False)
    assert "21 Kas 01:30" in html


def test_an_unknown_language_gets_the_first_of_ours(shown: Pages):
    assert '<html lang="tr"' in shown.error(404, "de", user=None)


def test_an_error_without_texts_of_its_own_gets_the_nearest_page(shown: Pages):
    assert texts("en")["error.500.title"] in shown.error(503, "en", user=None)
    assert texts("en")["error.404.title"] in shown.error(410, "en", user=None)


def test_a_file_that_was_not_bundled_is_named(shown: Pages, tmp_path: Path):
    with pytest.raises(NotBundled, match=r"expected wallboard\.js in manifest\.json"):
        shown.asset("wallboard.js")
    with pytest.raises(NotBundled, match="make islands"):
        Pages(time_zone="Europe/Istanbul", room=tmp_path).asset("desk.js")


@pytest.mark.parametrize(
    "address", ["//evil.example", "/\\evil.example", "https://evil.example", "", "desk", "/a b", "/\x0b/x"]
)
def test_nobody_is_sent_to_another_site_after_signing_in(address: str):
    assert own_address(address) == "/desk"


def test_a_page_of_ours_is_gone_back_to():
    assert own_address("/calls?q=%C4%B1") == "/calls?q=%C4%B1"
