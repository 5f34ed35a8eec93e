"""`santral import` at the desk: what it prints, where it ends, and how it is taken back."""

import re

import pytest
from typer.testing import CliRunner

from cti.import_commands import _told, app, bar
from cti.records.import_cleaning import Cleaning, lines, shape
from cti.records.imports import Progress, Report

FILE = "external_id,name,phones\n1,Ali,0532 555 01 23\n2,Ayşe,0533 555\n3,Cem,gizli\n"


@pytest.fixture
def santral(tmp_path, monkeypatch):
    monkeypatch.setenv("SANTRAL_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("SANTRAL_DATABASE_URL", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(FILE, encoding="utf-8")
    return lambda *words: CliRunner().invoke(app, list(words))


def test_a_dry_run_an_import_the_list_and_undo_as_an_operator_sees_them(santral, tmp_path):
    dry = santral("customers", "a.csv", "--dry-run")
    assert dry.exit_code == 1
    assert "3 rows read, nothing was imported; 2 rows rejected, see a.csv.rejected.csv" in dry.stdout
    done = santral("customers", "a.csv")
    assert done.exit_code == 1
    assert "import 1: 1 parties, 0 subscriptions, 1 numbers, 1 links; 2 rows rejected" in done.stdout
    assert re.search(r"1  words instead of a number .*\n +line 4: xxxxx\n", done.stdout)
    assert "line 3: **** *55" in done.stdout
    listed = santral("list")
    assert re.match(
        r" +1  done  \d{4}-\d\d-\d\d \d\d:\d\d  a.csv  1 parties, 1 numbers, 1 links, 3 rows, 2 rejected\n",
        listed.stdout,
    )
    undone = santral("undo", "1")
    assert undone.exit_code == 0
    assert "parties: 1 removed, 0 stay" in undone.stdout
    again = santral("undo", "1")
    assert (again.exit_code, again.stderr.strip()) == (
        1,
        "santral: expected an import that is not undone yet, import 1 is",
    )


def test_links_that_somebody_disowned_are_told(tmp_path):
    told = list(_told(Report(links=3, disowned=2, batch=7), tmp_path, dry_run=False))
    assert (
        told[-1] == "import 7: 0 parties, 0 subscriptions, 0 numbers, 3 links (2 not made: disowned); 0 rows rejected"
    )


def test_trouble_is_one_line(santral, tmp_path):
    (tmp_path / "map.toml").write_text("[columns]\nname = 'Ad'\n", encoding="utf-8")
    failed = santral("customers", "a.csv", "--mapping", "map.toml")
    assert failed.exit_code == 1
    assert (
        failed.stderr.strip() == "santral: map.toml: expected [columns] with external_id and name, missing: external_id"
    )
    assert (
        santral("undo", "9").stderr.strip() == "santral: expected the number of an import (santral import list), got 9"
    )


def test_the_bar_says_how_far_how_fast_and_how_long():
    text = bar(Progress(line=50_000, lines=100_000, rows=40_000, rejected=12), passed_s=2.0, width=10)
    assert text == "[#####.....]  50%  40,000 rows, 20,000 rows/s, 0:02 left, 12 rejected"
    assert "100%" in bar(Progress(line=0, lines=0, rows=0, rejected=0), passed_s=0.0)


def test_examples_show_how_it_was_written_and_not_whose_it_is():
    assert shape("Ali cep 0532 555 01 2") == "xxx xxx **** *** *1 2"
    assert shape("x" * 100) == "x" * 40


def test_the_report_adds_up_and_speaks_both_languages():
    one, two = (
        Cleaning({"e164": 3, "too_short": 1}, {"too_short": ["2: *1 2"]}),
        Cleaning({"too_short": 7}, {"too_short": ["3: 1"] * 5}),
    )
    one += two
    assert (one.counts, len(one.examples["too_short"])) == ({"e164": 3, "too_short": 8}, 5)
    assert next(iter(lines(one, "tr"))).split("  ")[-1] == "numara fazla kısa"
    assert "full numbers (E.164)" in "\n".join(lines(one))
