from __future__ import annotations

import datetime as dt

import pytest

from ivr import facts, numerals, prompts
from ivr.nodes import Text, Value
from ivr.prompts import Piece
from tests.ivr.flows import flow_of

WORDS = {"yes": Text("evet", "tr")}
NOW = {"now": "2026-11-20T10:30"}


def said(text: str, language: str = "tr", **known: Value) -> tuple[Piece, ...]:
    return prompts.pieces(Text(text, language), NOW | known, key="p", words=WORDS)


def test_a_number_is_read_digit_by_digit_from_pieces_that_are_ready():
    pieces = said("Numaranız: {{ n | digits }}.", n="407")
    assert [piece.key for piece in pieces] == ["p", "digit-4", "digit-0", "digit-7"]
    assert [piece.text for piece in pieces] == ["Numaranız:", "dört", "sıfır", "yedi"]
    assert prompts.text(pieces) == "Numaranız: 407."


@pytest.mark.parametrize(
    ("language", "at", "words", "shown"),
    [
        ("tr", "2026-11-20T17:30", "on yedi otuz", "17:30"),
        ("tr", "2026-11-20T09:05", "dokuz sıfır beş", "09:05"),
        ("tr", "2026-11-20T00:00", "sıfır", "00:00"),
        ("en", "2026-11-20T17:30", "five thirty P M", "17:30"),
        ("en", "2026-11-20T09:05", "nine oh five A M", "09:05"),
        ("en", "2026-11-20T12:00", "twelve P M", "12:00"),
    ],
)
def test_clock_times(language, at, words, shown):
    pieces = said("{{ at | clock }}", language, at=at)
    assert " ".join(piece.text for piece in pieces) == words
    assert prompts.text(pieces) == shown


@pytest.mark.parametrize(
    ("language", "at", "words"),
    [
        ("tr", "2026-11-20T23:59", "bugün"), ("tr", "2026-11-21T00:00", "yarın"), ("tr", "2026-11-19T08:00", "dün"),
        ("tr", "2026-12-31T08:00", "otuz bir Aralık"), ("en", "2026-11-21T08:00", "tomorrow"),
        ("en", "2026-12-03T08:00", "December third"), ("en", "2027-01-20T08:00", "January twentieth"),
    ],
)  # fmt: skip
def test_days(language, at, words):
    assert " ".join(piece.text for piece in said("{{ at | day }}", language, at=at)) == words


def test_words_and_small_numbers():
    assert [piece.text for piece in said("{{ a | word }} {{ n | number }}", a="yes", n=42)] == ["evet", "kırk iki"]
    assert [piece.text for piece in said("{{ n | number }}", n=60)] == ["altı", "sıfır"]


@pytest.mark.parametrize(
    ("language", "areas", "keys", "heard", "shown"),
    [
        ("tr", "Moda", "name-moda", "Moda", "Moda"),
        ("tr", "Moda\nKars", "name-moda and name-kars", "Moda ve Kars", "Moda ve Kars"),
        ("en", "Moda\nKars\nRize", "name-moda name-kars and name-rize", "Moda Kars and Rize", "Moda, Kars and Rize"),
        ("tr", "Kadıköy-3", "name-kadikoy-3", "Kadıköy 3", "Kadıköy-3"),
        ("en", "İĞNEADA/Şişli_2", "name-igneada-sisli-2", "IGNEADA Shishli 2", "İĞNEADA/Şişli_2"),
        ("tr", "../../etc; a=1&b", "name-etc-a-1-b", ".. .. etc; a=1&b", "../../etc; a=1&b"),
        ("en", "القاهرة", "name-other", "القاهرة", "القاهرة"),
    ],
)
def test_names_that_no_document_knows(language, areas, keys, heard, shown):
    pieces = said("{{ areas | names }}", language, areas=areas)
    assert pieces == prompts.names(areas, language)
    assert " ".join(piece.key for piece in pieces) == keys
    assert " ".join(piece.text for piece in pieces) == heard
    assert prompts.text(pieces) == shown


def test_without_names_nothing_of_the_prompt_is_said_but_a_fact_that_is_missing_is_an_error():
    assert said("Now in {{ areas | names }}: {{ n | digits }}.", areas="", n="1") == ()
    with pytest.raises(prompts.PromptError, match="expected the fact 'areas'"):
        said("Now in {{ areas | names }}.")


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("{{ n }}", {"n": "1"}), ("{{ n | upper }}", {"n": "1"}), ("{% for x in y %}{% endfor %}", {}), ("{{ 9 ** 9 ** 9 }}", {}),
        ("{{ n | digits", {"n": "1"}), ("{{ n | digits }}", {}), ("{{ n | digits }}", {"n": "12a"}), ("{{ n | digits }}", {"n": "1" * 33}),
        ("{{ n | clock }}", {"n": "soon"}), ("{{ n | word }}", {"n": "maybe"}), ("x" * 1001, {}),
        ("{{ n.__class__ | digits }}", {"n": "1"}),
    ],
)  # fmt: skip
def test_what_cannot_be_spoken_is_refused(text, known):
    with pytest.raises(prompts.PromptError, match="expected"):
        said(text, **known)


def test_a_prompt_without_facts_is_taken_apart_once():
    book = prompts.Book(flow_of({}))
    assert book.pieces("p", {}, "tr") is book.pieces("p", {}, "tr")
    with pytest.raises(prompts.PromptError, match="expected a prompt 'p' in 'en'"):
        book.pieces("p", {}, "en")


def test_everything_the_shipped_flow_can_say_is_among_what_is_built(main_flow):
    ready = set(prompts.all_pieces(main_flow))
    book = prompts.Book(main_flow)
    keys = {key for piece in ready for key in [piece.key]}
    assert {"digit-0", "digit-9", "month-12", "welcome", "opened"} <= keys
    customers = [caller for caller in facts.callers() if "line_3_kind" in caller]
    known = {**customers[0], "ticket_number": "1234567890", "restarted": "yes", "outage_estimate": "2027-02-28T23:59"}
    for key in main_flow.prompts:
        for language in main_flow.languages:
            if not key.startswith("word_") and not key.endswith("_text"):
                needed = book.pieces(key, known, language)
                assert set(needed) <= ready, key
    areas = book.pieces("lines_down_in", {"areas_down": "Moda\nKars"}, "tr")
    assert [piece.key for piece in areas if piece not in ready] == ["name-moda", "name-kars"]


def test_numbers_in_words():
    assert [numerals.number(each, "tr") for each in (0, 10, 11, 59)] == ["sıfır", "on", "on bir", "elli dokuz"]
    assert [numerals.number(each, "en") for each in (0, 10, 11, 59)] == ["zero", "ten", "eleven", "fifty-nine"]
    assert [numerals.WORDS["en"][f"day-{each}"] for each in (1, 12, 21, 30)] == [
        "first",
        "twelfth",
        "twenty-first",
        "thirtieth",
    ]


@pytest.mark.parametrize("language", ["tr", "en"])
def test_every_key_that_a_rule_can_name_has_words(language):
    day = dt.date(2026, 1, 1)
    dates = [key for at in range(366) for key in numerals.day(day + dt.timedelta(days=at), day, language)]
    times = [
        key for hour in range(24) for minute in range(60) for key in numerals.clock(dt.time(hour, minute), language)
    ]
    assert {*dates, *times} <= set(numerals.WORDS[language])
    assert set(dates) <= set(numerals.family("day", language))
    assert set(times) <= set(numerals.family("clock", language))


def test_pieces_are_the_same_however_they_are_shown():
    assert Piece("digit-1", "bir", "tr", "1", True) == Piece("digit-1", "bir", "tr")
