"""Answers become levels by one readable table; guessing is slowed by another; and docs/proof.md says what both say."""

import re
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti import identity_texts, proof, proof_texts
from cti.identity import MAY, Level
from cti.proof import ASKABLE, IDENTIFIERS, POLICY, SLOW, Factor, Slow, Window, level, next_questions, read_answer

DOC = (Path(__file__).parents[2] / "docs/proof.md").read_text(encoding="utf-8")
FACTORS = st.sets(st.sampled_from(Factor))


# --- levels ---


@pytest.mark.parametrize(
    ("factors", "reached"),
    [
        ((), Level.NONE),
        (("birth_date",), Level.NONE),
        (("pin",), Level.NONE),
        (("caller_id",), Level.MATCHED),
        (("last_four",), Level.MATCHED),
        (("customer_number",), Level.MATCHED),
        (("customer_number", "subscription_number", "landline", "caller_id", "last_four"), Level.MATCHED),
        (("caller_id", "birth_date"), Level.KEYED),
        (("last_four", "birth_date"), Level.KEYED),
        (("landline", "birth_date"), Level.KEYED),
        (("agent",), Level.MATCHED),
        (("agent", "birth_date"), Level.KEYED),
        (("caller_id", "pin"), Level.KEYED),
        (("customer_number", "pin"), Level.VERIFIED),
        (("subscription_number", "one_time_code"), Level.VERIFIED),
        (("customer_number", "birth_date", "caller_id"), Level.KEYED),
        (("pin", "one_time_code"), Level.STRONG),
    ],
)
def test_factors_reach_their_level(factors, reached):
    assert level(factors) is reached


def test_a_factor_that_there_is_not_is_an_error():
    with pytest.raises(ValueError, match="shoe_size"):
        level(["shoe_size"])


def test_no_single_factor_is_more_than_a_match():
    assert max(level([each]) for each in Factor) is Level.MATCHED


def test_what_stands_on_a_bill_never_proves_anybody():
    on_paper = [*IDENTIFIERS, Factor.CALLER_ID, Factor.LAST_FOUR]
    sets = (each for size in range(len(on_paper) + 1) for each in combinations(on_paper, size))
    assert max(level(each) for each in sets) is Level.MATCHED


@given(FACTORS, st.sampled_from(Factor))
def test_another_right_answer_never_lowers_the_level(factors, further):
    assert level({*factors, further}) >= level(factors)


# --- questions ---


def test_a_matched_caller_is_asked_for_his_birth_date_first():
    assert next_questions(["caller_id"], Level.KEYED)[0] is Factor.BIRTH_DATE


def test_an_unknown_caller_is_asked_for_a_number_or_a_secret():
    assert next_questions([], Level.MATCHED) == (
        Factor.CUSTOMER_NUMBER, Factor.SUBSCRIPTION_NUMBER, Factor.LANDLINE,
    )  # fmt: skip


def test_who_has_reached_it_is_asked_nothing_and_who_cannot_either():
    assert next_questions(["customer_number", "pin"], Level.VERIFIED) == ()
    assert next_questions(["caller_id"], Level.VERIFIED, {Factor.BIRTH_DATE}) == ()


@given(FACTORS, st.sampled_from(Level))
def test_every_question_leads_nearer_until_there_is_none(factors, wanted):
    asked = 0
    while questions := next_questions(factors, wanted):
        assert set(questions).isdisjoint(factors)
        factors = factors | {questions[0]}
        asked += 1
        assert asked <= proof.QUESTIONS_MAX
    assert level(factors) >= wanted


# --- answers ---


@pytest.mark.parametrize(
    ("factor", "text", "read"),
    [
        (Factor.BIRTH_DATE, "31121980", "1980-12-31"),
        (Factor.BIRTH_DATE, "311280", "80-12-31"),
        (Factor.BIRTH_DATE, "31.12.1980", "1980-12-31"),
        (Factor.BIRTH_DATE, "5/3/1980", "1980-03-05"),
        (Factor.BIRTH_DATE, "31 12 80", "80-12-31"),
        (Factor.BIRTH_DATE, "1980-12-31", "1980-12-31"),
        (Factor.BIRTH_DATE, "٣١١٢١٩٨٠", "1980-12-31"),
        (Factor.BIRTH_DATE, "29022000", "2000-02-29"),
        (Factor.BIRTH_DATE, "29022001", None),
        (Factor.BIRTH_DATE, "31021980", None),
        (Factor.BIRTH_DATE, "1980", None),
        (Factor.LANDLINE, "02125550101", "+902125550101"),
        (Factor.LANDLINE, "2125550101", "+902125550101"),
        (Factor.LANDLINE, "5550101", "+902125550101"),
        (Factor.LANDLINE, "12", None),
        (Factor.CUSTOMER_NUMBER, " 100 0123 ", "1000123"),
        (Factor.CUSTOMER_NUMBER, "", None),
        (Factor.CUSTOMER_NUMBER, "9" * 33, None),
        (Factor.LAST_FOUR, "0101", "0101"),
        (Factor.LAST_FOUR, "101", None),
        (Factor.LAST_FOUR, "%101", None),
        (Factor.PIN, "4711", "4711"),
        (Factor.PIN, "471", None),
        (Factor.ONE_TIME_CODE, "123 456", "123456"),
        (Factor.ONE_TIME_CODE, "12345", None),
        (Factor.CALLER_ID, "anything", None),
        (Factor.AGENT, "anything", None),
    ],
)
def test_an_answer_is_read(factor, text, read):
    assert read_answer(factor, text, region="TR", area="212") == read


@given(st.sampled_from(Factor), st.text(max_size=200))
def test_no_answer_breaks_the_reading(factor, text):
    read = read_answer(factor, text, area="212")
    assert read is None or 0 < len(read) <= proof.IDENTIFIER_MAX


@given(st.dates())
def test_a_birth_date_is_the_same_keyed_long_or_short_or_said(date):
    stored = f"{date.year:04}-{date.month:02}-{date.day:02}"
    for written in (f"{date.day:02}{date.month:02}{date.year:04}", f"{date.day}.{date.month}.{date.year:04}", stored):
        answer = read_answer(Factor.BIRTH_DATE, written)
        assert answer is not None
        assert proof.born(stored, answer)


def test_a_birth_date_without_its_century_fits_both_and_nothing_else():
    answer = read_answer(Factor.BIRTH_DATE, "010245") or ""
    assert proof.born("1945-02-01", answer)
    assert not proof.born("1954-02-01", answer)
    assert not proof.born(None, answer)


@pytest.mark.parametrize(
    "pin", ["1111", "1234", "4321", "7890", "1212", "123123", "12341234", "1984", "2026", "3112", "311280", "1980"]
)
def test_the_first_pins_that_anybody_would_try_are_weak(pin):
    assert proof.is_weak(pin, "1980-12-31")


@pytest.mark.parametrize("pin", ["4711", "8302", "590713"])
def test_other_pins_are_not(pin):
    assert not proof.is_weak(pin, "1980-12-31")
    assert not proof.is_weak(pin)


# --- slow ---

GROWING = Slow((Window(60, 2), Window(600, 3)), alarm=2)


@pytest.mark.parametrize(
    ("count", "since_s", "may"),
    [(0, 0, True), (1, 59, True), (2, 59, False), (2, 60, True), (3, 599, False), (3, 600, True), (99, 600, True), (2, -5, False)],
)  # fmt: skip
def test_each_window_hears_so_many_wrong_answers(count, since_s, may):
    assert GROWING.may_try(count, since_s) is may


@given(st.sampled_from(sorted(SLOW)), st.integers(0, 10_000), st.floats(0, 40 * proof.DAY_S))
def test_the_wait_is_as_long_as_the_block_and_never_longer_than_the_last_window(scope, count, since_s):
    slow = SLOW[scope]
    wait_s = slow.wait_s(count, since_s)
    assert (wait_s == 0) is slow.may_try(count, since_s)
    assert wait_s <= slow.forgotten_s
    assert slow.may_try(count, since_s + wait_s + 0.001)


def test_the_windows_grow():
    for slow in SLOW.values():
        assert list(slow.windows) == sorted(slow.windows, key=lambda each: each.within_s)
        assert [each.most for each in slow.windows] == sorted({each.most for each in slow.windows})


def test_the_alarm_comes_once_a_day():
    assert not GROWING.is_alarming(1, None)
    assert GROWING.is_alarming(2, None)
    assert not GROWING.is_alarming(3, proof.DAY_S - 1)
    assert GROWING.is_alarming(3, proof.DAY_S)


# --- the policies in words ---


def test_every_table_is_explained_in_both_languages():
    turkish, english = proof_texts.explain("tr"), proof_texts.explain("en")
    assert len(turkish) == len(english) == len(MAY) + len(POLICY) + sum(len(slow.windows) for slow in SLOW.values())
    assert {row.key for row in english if row.table == "may"} == set(MAY)
    assert all(row.text and row.needs for row in (*turkish, *english))
    assert proof_texts.explain("de") == english


def test_every_question_and_reason_has_its_words():
    assert set(proof_texts.QUESTIONS) == set(ASKABLE) - {Factor.PIN}
    assert set(proof_texts.FACTORS) == set(Factor)
    assert {f"proved_{each}" for each in Factor if each is not Factor.CALLER_ID} <= set(identity_texts.TEXTS)


# --- docs/proof.md ---


def table(heading: str) -> list[list[str]]:
    """The rows below a heading, without the head."""
    body = DOC.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[2:]]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", cell))


def test_the_doc_s_levels_are_the_code_s():
    told = {Level(int(row[0])): names(row[2]) for row in table("Levels")}
    assert told == {each: {deed for deed, needed in MAY.items() if needed == each} for each in Level}


def test_the_doc_s_policy_is_the_code_s():
    told = [(int(row[0]), [names(cell) for cell in row[1:] if cell]) for row in table("Policy")]
    assert told == [(int(way.level), [set(map(str, part)) for part in way.parts]) for way in POLICY]


def test_the_doc_s_slow_table_is_the_code_s():
    unit = {"h": proof.HOUR_S, "d": proof.DAY_S}
    told = {}
    for scope, windows, alarm in table("Slow"):
        found = re.findall(r"(\d+) in (\d+) ([hd])", windows)
        told[scope.strip("`")] = Slow(tuple(Window(int(n) * unit[u], int(most)) for most, n, u in found), int(alarm))
    assert told == SLOW
