"""What an import survives and leaves: killed and resumed, undone, beside calls, with a dry run and with a mapping."""

import asyncio
import csv
import datetime as dt
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cti import ledger
from cti.db import Database
from cti.events import ImportEnded, ImportUndone, LinkEnded
from cti.numbers import parse as parse_number
from cti.records import batches, import_reading, import_undo, imports
from cti.records.contact_points import ContactPoint, Link, identify
from cti.records.import_mapping import BadMapping, read
from cti.records.imports import BadFile, Report, Unfinished, check, import_customers
from cti.records.parties import Household, HouseholdMember, Party, Subscription

HEADER = "external_id,name,customer_no,household,subscription_no,subscription_kind,depends_on,phones\n"
ROWS = 60
TABLES = (Party, Household, HouseholdMember, Subscription, ContactPoint, Link)


def quiet(_text: object) -> None:
    pass


def customers(many: int = ROWS) -> str:
    """Every seventh row is wrong; services wait for a carrier that comes 20 rows later, or never."""
    return HEADER + "".join(
        f"{n},Müşteri {n},{5000 + n},ev {n // 2},S{n},dsl,{f'S{n + 20}' if n % 5 == 0 else ''},"
        f"{'0532 555' if n % 7 == 3 else f'0532 555 {n // 100:02} {n % 100:02}|user:0212 555 01 {n % 10:02}'}\n"
        for n in range(many)
    )


def written(tmp_path: Path, text: str, name: str = "customers.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


async def load(db: Database, path: Path, now: dt.datetime, **options) -> Report:
    return await import_customers(db, path, region="TR", now=now, say=quiet, **options)


def number(report: Report) -> int:
    assert report.batch is not None
    return report.batch


async def counts(db: Database) -> list[int]:
    def counted(session: Session) -> list[int]:
        return [session.scalars(select(func.count()).select_from(table)).one() for table in TABLES]

    return await db.read(counted)


def rejected(path: Path) -> list[tuple[str, str]]:
    with path.with_name(path.name + ".rejected.csv").open(encoding="utf-8-sig", newline="") as file:
        return [(row["line"], row["reason"]) for row in csv.DictReader(file)]


class Killed(RuntimeError):
    pass


def killed_after(rows: int):
    def progress(progress: imports.Progress) -> None:
        if progress.rows >= rows:
            raise Killed

    return progress


@pytest.fixture
def small_pieces(monkeypatch):
    for name in ("PIECE_MIN", "PIECE_FIRST", "PIECE_MAX"):
        monkeypatch.setattr(imports, name, 7)


@pytest.mark.parametrize("stops", [(7,), (21, 35), (28, 29, 30), (60,)])
async def test_a_killed_import_goes_on_where_it_stopped_and_brings_nothing_twice(
    db, tmp_path, now, small_pieces, stops
):
    path = written(tmp_path, customers())
    for at, stop in enumerate(stops):
        with pytest.raises(Killed):
            await load(db, path, now, resume=at > 0, progress=killed_after(stop))
    left_out = path.with_name(f"{path.name}.rejected.csv")
    told = left_out.read_bytes()
    for again in (load(db, path, now), check(db, path, region="TR", now=now)):
        with pytest.raises(Unfinished, match="--resume goes on there"):
            await again
    assert left_out.read_bytes() == told, "not even a dry run touches it"
    report = await load(db, path, now + dt.timedelta(minutes=5), resume=True)
    bad = rejected(path)
    assert [line for line, _ in bad[:-4]] == [str(n + 2) for n in range(ROWS) if n % 7 == 3]
    assert [reason for _, reason in bad[-4:]] == [
        f"imported, but depends_on names no subscription: 'S{n}'" for n in (45, 60, 70, 75)
    ]
    assert (report.rows, report.left_out) == (ROWS, len(bad))
    assert await counts(db) == [51, 30, 51, 51, 61, 102]
    waiting = await db.read(
        lambda s: set(s.scalars(select(Subscription.number).where(Subscription.depends_on_id.is_not(None))))
    )
    assert waiting == {f"S{n}" for n in range(0, 40, 5) if n % 7 != 3 and (n + 20) % 7 != 3}
    assert (await db.read(batches.the, number(report))).state == "done"
    with pytest.raises(BadFile, match=f"import {number(report)} of this one is done"):
        await load(db, path, now, resume=True)
    assert rejected(path) == bad


async def test_an_import_that_somebody_else_went_on_with_stops(db, tmp_path, now, small_pieces):
    path = written(tmp_path, customers())

    def undone_meanwhile(progress: imports.Progress) -> None:
        if progress.rows == 14:
            with sqlite3.connect(tmp_path / "santral.db") as other:
                other.execute("UPDATE imports SET line = line + 7")
            other.close()

    with pytest.raises(batches.Overtaken, match="somebody else went on"):
        await load(db, path, now, progress=undone_meanwhile)
    assert (await counts(db))[0] == 12


async def test_an_import_is_one_event_and_everything_it_brought_carries_its_number(db, tmp_path, now):
    report = await load(db, written(tmp_path, customers()), now)
    events = [each.event for each in await db.read(ledger.since, 0)]
    assert events == [
        ImportEnded(batch=number(report), file="customers.csv", rows=ROWS, rejected=report.left_out, by="import")
    ]
    for table in (Party, Household, Subscription, ContactPoint, Link):
        assert await db.read(lambda session, t=table: set(session.scalars(select(t.batch)))) == {report.batch}


async def test_a_large_file_is_read_by_a_process_of_its_own_to_the_same_end(any_db, tmp_path, now, monkeypatch):
    monkeypatch.setattr(import_reading, "LARGE_BYTES", 0)
    report = await load(any_db, written(tmp_path, customers(400)), now)
    assert report.rows == 400
    assert (await counts(any_db))[:2] == [report.parties, 200]
    with pytest.raises(BadFile, match="expected a first line"):
        await load(any_db, written(tmp_path, "name\nAli\n", "other.csv"), now)
    with pytest.raises(BadFile, match="field larger"):
        await load(any_db, written(tmp_path, 'external_id,name\n1,"Ali\n' + "2,Ayşe\n" * 30_000, "open.csv"), now)


async def test_leaving_in_the_middle_ends_the_reading_process(db, tmp_path, now, monkeypatch):
    monkeypatch.setattr(import_reading, "LARGE_BYTES", 0)
    with pytest.raises(Killed):
        await load(db, written(tmp_path, customers(20_000)), now, progress=killed_after(100))


# --- undo -------------------------------------------------------------------------------------------------------------


async def test_an_undone_import_leaves_nothing_that_nobody_used(any_db, tmp_path, now):
    first = await load(any_db, written(tmp_path, "external_id,name,phones\nx,Eski,0216 555 00 00\n", "old.csv"), now)
    before = await counts(any_db)
    report = await load(any_db, written(tmp_path, customers()), now + dt.timedelta(seconds=1))
    undone = await import_undo.undo(any_db, number(report), by="test", now=now + dt.timedelta(hours=1), progress=quiet)
    assert await counts(any_db) == before
    assert undone.removed["parties"] == report.parties
    assert set(undone.kept.values()) == {0}
    assert (await any_db.read(batches.the, report.batch)).state == "undone"
    last = (await any_db.read(ledger.since, 0))[-1].event
    assert isinstance(last, ImportUndone)
    assert (last.batch, last.kept) == (report.batch, 0)
    with pytest.raises(import_undo.NotUndone, match="is"):
        await import_undo.undo(any_db, number(report), by="test", now=now, progress=quiet)
    assert (await any_db.read(batches.the, first.batch)).state == "done"


async def test_what_somebody_used_stays_but_its_links_end(db, tmp_path, now):
    report = await load(db, written(tmp_path, "external_id,name,phones\n1,Ali,05325550123\n2,Ayşe,05335550145\n"), now)

    def confirm(session):
        link = session.scalars(select(Link).join(ContactPoint).where(ContactPoint.value == "+905325550123")).one()
        link.last_seen_at = now

    await db.work(confirm)
    undone = await import_undo.undo(db, number(report), by="test", now=now + dt.timedelta(hours=1), progress=quiet)
    assert (undone.removed["parties"], undone.kept["parties"], undone.kept["links"]) == (1, 1, 1)
    assert await counts(db) == [1, 0, 0, 0, 1, 1]
    later = now + dt.timedelta(hours=2)
    assert (await db.read(identify, parse_number("05325550123", "TR"), later)).candidates == ()
    ended = [each.event for each in await db.read(ledger.since, 0) if isinstance(each.event, LinkEnded)]
    assert [each.reason for each in ended] == ["import undone"]


async def test_an_import_that_was_killed_can_be_undone_and_made_again(db, tmp_path, now, small_pieces):
    path = written(tmp_path, customers())
    with pytest.raises(Killed):
        await load(db, path, now, progress=killed_after(20))
    await import_undo.undo(db, 1, by="test", now=now + dt.timedelta(minutes=1), progress=quiet)
    assert await counts(db) == [0] * 6
    assert (await load(db, path, now + dt.timedelta(minutes=2))).parties == 51


async def test_only_an_import_that_is_there_can_be_undone(db, now):
    with pytest.raises(LookupError, match="santral import list"):
        await import_undo.undo(db, 7, by="test", now=now, progress=quiet)


# --- dry run ----------------------------------------------------------------------------------------------------------


async def test_a_dry_run_checks_everything_and_writes_nothing(db, tmp_path, now):
    await load(db, written(tmp_path, "external_id,name,customer_no\nx,Eski,5001\n", "old.csv"), now)
    before = await counts(db)
    path = written(
        tmp_path, customers() + "x1,Cem,,,,,,gizli\nx2,Can,,,,,,112\nx3,Ece,,,,,,0532 555 01 23 / 0533 555 01 45\n"
    )
    report = await check(db, path, region="TR", now=now)
    assert await counts(db) == before
    assert len(await db.read(batches.newest)) == 1
    assert report.rows == ROWS + 3
    reasons = dict(rejected(path))
    assert "customer_no of its own" in reasons["3"]
    assert report.left_out == len(reasons) == 13
    assert report.cleaning.counts == {"e164": 102, "unassigned": 9, "withheld": 1, "short": 1, "two_numbers": 1}
    assert all("555 01 45" not in example for shown in report.cleaning.examples.values() for example in shown)


# --- mapping ----------------------------------------------------------------------------------------------------------

THEIRS = """MusteriNo;Ad;Soyad;DogumTarihi;Hizmet;HizmetNo;Cep;EvTel
77;Ali;Yılmaz;31.12.1980;ADSL;8001;0532 555 01 23;0212 555 01 01
78;Ayşe;-;;;;0533 555 01 45;
79;Cem;Kaya;1980-12-31;ADSL;8003;;
80;Ece;Kaya;;ISDN;8004;;
"""
MAPPING = """empty = ["-"]

[columns]
external_id = { from = "MusteriNo", prefix = "crm-" }
name = { join = ["Ad", "Soyad"] }
kind = { constant = "person" }
birth_date = { from = "DogumTarihi", date = "%d.%m.%Y" }
subscription_no = "HizmetNo"
subscription_kind = { from = "Hizmet", values = { ADSL = "dsl", FTTH = "fibre" } }
phones = { join = ["Cep", { from = "EvTel", prefix = "user:" }], with = "|" }
"""


async def test_a_mapping_makes_our_columns_of_theirs(db, tmp_path, now):
    plan = read("map.toml", MAPPING)
    path = written(tmp_path, THEIRS)
    report = await load(db, path, now, plan=plan)
    assert report == replace(Report(), parties=2, subscriptions=1, numbers=3, links=3, rejected=report.rejected)
    people = await db.read(
        lambda s: s.execute(select(Party.external_id, Party.name, Party.birth_date).order_by(Party.external_id)).all()
    )
    assert [tuple(each) for each in people] == [("crm-77", "Ali Yılmaz", "1980-12-31"), ("crm-78", "Ayşe", None)]
    assert [reason for _, reason in rejected(path)] == [
        "expected a date written as %d.%m.%Y for birth_date, got '1980-12-31'",
        "expected one of ADSL, FTTH in Hizmet for subscription_kind, got 'ISDN'",
    ]
    assert (await db.read(batches.the, report.batch)).mapping["columns"]["name"] == {"join": ["Ad", "Soyad"]}


async def test_rejected_rows_keep_their_own_columns_and_are_imported_with_the_same_mapping(db, tmp_path, now):
    path = written(tmp_path, THEIRS)
    await load(db, path, now, plan=read("map.toml", MAPPING))
    left_out = path.with_name("customers.csv.rejected.csv")
    text = left_out.read_text(encoding="utf-8-sig")
    assert text.splitlines()[0] == "line,reason,MusteriNo,Ad,Soyad,DogumTarihi,Hizmet,HizmetNo,Cep,EvTel"
    left_out.write_text(
        text.replace("1980-12-31,ADSL", "31.12.1980,ADSL").replace(",ISDN,", ",FTTH,"), encoding="utf-8"
    )
    assert (await load(db, left_out, now, plan=read("map.toml", MAPPING))).parties == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{", "expected a mapping as TOML"), ("[]", "expected a table for the file"), ("{}", "missing: external_id, name"),
     ('{"colums": {}}', "not known: colums"), ('{"columns": {"external_id": "a", "nam": "b"}}', "not known: nam"),
     ('{"columns": {"external_id": "a", "name": 7}}', "expected a table for name, got 7"),
     ('{"columns": {"external_id": "a", "name": {}}}', "either from or constant"),
     ('{"columns": {"external_id": "a", "name": {"join": "b"}}}', "expected a list for name"),
     ('{"columns": {"external_id": "a", "name": {"from": "b", "vals": {}}}}', "not known: vals"),
     ('{"columns": {"external_id": "a", "name": "b"}, "delimiter": ":"}', "expected a delimiter"),
     ('{"columns": {"external_id": "a", "name": "b"}, "encoding": "klingon"}', "name of an encoding")],
)  # fmt: skip
def test_a_mapping_that_is_wrong_says_what_was_expected(text, expected):
    with pytest.raises(BadMapping, match=expected):
        read("map.json", text)


async def test_a_mapping_that_names_a_missing_column_is_told_before_the_first_row(db, tmp_path, now):
    plan = read("m.json", '{"columns": {"external_id": "No", "name": "Unvan"}}')
    with pytest.raises(BadMapping, match=r"expected the columns No, Unvan .* the file has MusteriNo"):
        await load(db, written(tmp_path, THEIRS), now, plan=plan)


# --- beside calls -----------------------------------------------------------------------------------------------------


async def test_another_writer_gets_its_turn_between_the_pieces(db, tmp_path, now):
    """The writer of the process that serves calls, while another process imports: it waits for a piece, not for the import."""
    calls = Database(str(db.url))
    path = written(tmp_path, customers(2_000))
    importing = asyncio.create_task(load(db, path, now))
    waits, loop = [], asyncio.get_running_loop()
    while not importing.done():
        began = loop.time()
        await calls.work(batches.begin, file="x", checksum="x", mapping={}, by="call", now=now)
        waits.append(loop.time() - began)
    await importing
    await calls.close()
    assert sorted(waits)[len(waits) // 2] < 0.25
    assert max(waits) < 2.0
