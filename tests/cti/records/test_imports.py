"""Customers from a file: the household of the story in three rows, twice the same file, and rows that cannot be right."""

import csv
import datetime as dt
from pathlib import Path

import pytest
from sqlalchemy import select

from cti.db import Database
from cti.identity import Outcome
from cti.numbers import parse as parse_number
from cti.records import imports
from cti.records.cards import search
from cti.records.contact_points import identify
from cti.records.imports import COLUMNS, BadFile, Customer, Rejected, Report, import_customers, parse
from cti.records.parties import Party, Subscription

HEADER = ",".join(COLUMNS)
STORY_HEADER = (
    "external_id;name;customer_no;birth_date;household;household_role;subscription_no;subscription_kind;line_number;area;"
    "depends_on;phones;emails\n"
)
STORY = (
    STORY_HEADER
    + """1;Ali Yılmaz;1000123;1980-12-31;Yılmaz, Moda 1;holder;8002;landline;0212 555 01 01;Kadıköy-3;8001;owner:0532 555 01 23;a@x.org
1;Ali Yılmaz;1000123;1980-12-31;Yılmaz, Moda 1;holder;8001;dsl;;Kadıköy-3;;0532 555 01 23;a@x.org
2;Ayşe Yılmaz;;;Yılmaz, Moda 1;spouse;;;;;;user:+90 (533) 555/01/45|work:0216 555 01 99;
"""
)


def quiet(_text: str) -> None:
    pass


def rows(text: str) -> list[Customer | Rejected]:
    return list(parse(text.splitlines(keepends=True), "TR"))


async def load(db: Database, tmp_path: Path, now: dt.datetime, text: str, encoding: str = "utf-8") -> Report:
    path = tmp_path / "customers.csv"
    path.write_bytes(text.encode(encoding))
    return await import_customers(db, path, region="TR", now=now, say=quiet)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1254"])
async def test_the_household_of_the_story_comes_from_a_file_in_any_encoding(db, tmp_path, now, encoding):
    report = await load(db, tmp_path, now, STORY, encoding)
    assert report == Report(parties=2, subscriptions=2, numbers=5, links=5)
    found = [
        await db.read(identify, parse_number(raw, "TR"), now) for raw in ("02125550101", "05325550123", "05335550145")
    ]
    assert {each.outcome for each in found} == {Outcome.UNIQUE}
    assert len({each.subscriptions for each in found}) == 1
    assert [each.candidates[0].party_name for each in found] == ["Ali Yılmaz", "Ali Yılmaz", "Ayşe Yılmaz"]


async def test_importing_a_file_twice_adds_nothing(db, tmp_path, now):
    await load(db, tmp_path, now, STORY)
    assert await load(db, tmp_path, now, STORY) == Report()
    assert not list(tmp_path.glob("*.rejected.csv"))


async def test_a_carrier_may_come_after_what_it_carries(db, tmp_path, now):
    await load(db, tmp_path, now, STORY)

    def carrier(session):
        line = session.scalars(select(Subscription).where(Subscription.number == "8002")).one()
        return session.get(Subscription, line.depends_on_id).number

    assert await db.read(carrier) == "8001"


async def test_more_rows_than_a_piece_are_loaded_piece_by_piece(db, tmp_path, now, monkeypatch):
    for name in ("PIECE_MIN", "PIECE_FIRST", "PIECE_MAX"):
        monkeypatch.setattr(imports, name, 7)
    text = "external_id,name,household,phones\n" + "".join(
        f"{n},Party {n},home {n % 5},0532 555 {n:02} 00\n" for n in range(40)
    )
    assert (await load(db, tmp_path, now, text)).parties == 40
    assert len(await db.read(search, "party", 100)) == 40


async def test_bad_rows_are_left_out_told_and_can_be_corrected(db, tmp_path, now):
    text = (
        "external_id,name,phones\n1,Ali,0532 555 01 23\n2,Ayşe,0533 555\n,Cem,\n4,Ece\n5,Naz,05325550123|05335550145\n"
    )
    report = await load(db, tmp_path, now, text)
    assert report.parties == 2
    assert [each.line for each in report.rejected] == [3, 4, 5]
    path = tmp_path / "customers.csv.rejected.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        left_out = list(csv.DictReader(file))
    assert [(each["line"], each["name"]) for each in left_out] == [("3", "Ayşe"), ("4", "Cem"), ("5", "Ece")]
    assert "expected a telephone number" in left_out[0]["reason"]
    again = await import_customers(db, path, region="TR", now=now, say=quiet)
    assert (again.parties, len(again.rejected)) == (1, 2)  # Ece has all her columns now


@pytest.mark.parametrize(
    ("row", "reason"),
    [("1,", "expected a value for name"), (",Ali", "expected a value for external_id"), ("1", "expected 18 columns"),
     ("1,Ali,dog", "for kind"), ("1,Ali,,,31.12.1980", "expected a day as YYYY-MM-DD"),
     ("1,Ali,,,19801231", "'19801231'"), ("1,Ali,,,2020-W01-1", "YYYY-MM-DD"), ("1,Ali,,,1980-02-30", "YYYY-MM-DD"),
     ("1,Ali," + "x" * 99_000, "for kind"), (f"1,{'x' * 201}", "at most 200"),
     ("1,Ali,,,,,,,,8001,gas", "for subscription_kind"), ("1,Ali,,,,,,,,,,0212 555 01 01", "expected a subscription_no"),
     ("1,Ali,,,,,,,,8001,dsl,1001", "expected a telephone number"), ("1,Ali,,,,,,,,8001,dsl,,,,8001", "another subscription"),
     ("1,Ali,,,,,,,,,,,,,,boss:05325550123", "the role of a phone"), ("1,Ali,,,,,,,,,,,,,,,ali", "e-mail address")],
)  # fmt: skip
def test_a_row_with_a_mistake_says_what_was_expected(row, reason):
    missing = 0 if row == "1" else len(COLUMNS) - 1 - row.count(",")
    [read] = rows(f"{HEADER}\n{row}{',' * missing}\n")
    assert isinstance(read, Rejected)
    assert reason in read.reason


async def test_a_number_that_belongs_to_somebody_else_is_a_mistake(db, tmp_path, now):
    text = "external_id,name,customer_no,subscription_no,subscription_kind\n1,Ali,77,8001,dsl\n2,Cem,77,,\n3,Ece,,8001,dsl\n"
    report = await load(db, tmp_path, now, text)
    assert (report.parties, report.subscriptions) == (1, 1)
    assert [
        "customer_no of its own" in report.rejected[0].reason,
        "another party holds" in report.rejected[1].reason,
    ] == [True, True]
    assert (await load(db, tmp_path, now, text)).parties == 0


async def test_a_carrier_that_never_comes_is_told(db, tmp_path, now):
    text = "external_id,name,subscription_no,subscription_kind,depends_on\n1,Ali,8002,landline,8001\n"
    report = await load(db, tmp_path, now, text)
    assert report.subscriptions == 1
    assert "depends_on names no subscription" in report.rejected[0].reason


@pytest.mark.parametrize(
    "text", ["", "name\nAli\n", "external_id,name,shoe_size\n1,Ali,44\n", "external_id,name,name\n"]
)
async def test_a_file_without_our_columns_is_refused(db, tmp_path, now, text):
    with pytest.raises(BadFile, match="expected a first line with the columns"):
        await load(db, tmp_path, now, text)
    assert await db.read(lambda session: session.scalars(select(Party)).all()) == []


def test_a_quotation_mark_that_nobody_closes_is_told():
    with pytest.raises(BadFile, match="field larger than field limit"):
        rows('external_id,name\n1,"Ali\n' + "2,Ayşe\n" * 30_000)


def test_empty_lines_are_nothing_and_quoted_line_breaks_stay_in_their_row():
    read = rows('external_id,name,address\n\n1,Ali,"Moda Cad. 1\nKadıköy"\n,,\n')
    assert [(type(each), each.line) for each in read] == [(Customer, 4)]
