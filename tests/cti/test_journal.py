"""The node's own file: on disk when kept, whole after a crash, bounded, and honest about a full disk."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cti import journal
from cti.journal import CallNoted, Entry, Journal, JournalFull, ReportNoted

AT = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)


def call(number: str = "1", **fields: Any) -> CallNoted:
    usual: dict[str, Any] = {
        "at": AT,
        "conversation": "c",
        "channel": "1795.1",
        "did": "444",
        "raw": "0532",
        "name": "Şule\nÖz",
    }
    return CallNoted(id=number, **(usual | fields))


def report(number: str = "2", **fields: Any) -> ReportNoted:
    usual: dict[str, Any] = {
        "at": AT, "conversation": "c", "channel": "1795.1", "raw": "0532", "did": "444", "subscription": None, "party": None,
        "matter": "fault", "text": "", "visit": "c:open:1", "message": "m-1", "message_s": 4.2,
    }  # fmt: skip
    return ReportNoted(id=number, **(usual | fields))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node" / "journal.jsonl"


def ids(journal: Journal) -> list[str]:
    return [each.id for each in journal.waiting()]


@pytest.mark.parametrize("entry", [call(), report(), report(subscription="s", party="p", message="")])
def test_what_was_kept_is_there_for_whoever_opens_the_file_next(path: Path, entry: Entry):
    Journal(path).keep(entry)
    assert Journal(path).waiting() == (entry,)


@given(st.text(), st.text(), st.datetimes(timezones=st.just(dt.UTC)))
def test_whatever_a_caller_is_called_is_one_line(name: str, text: str, at: dt.datetime):
    for entry in (call(name=name, at=at), report(text=text, at=at)):
        line = journal.written(entry)
        assert line.count(b"\n") == 1
        assert len(line.splitlines()) == 1
        assert journal.read(line) == entry


def test_nothing_is_made_before_something_is_kept(path: Path):
    kept = Journal(path)
    assert kept.waiting() == ()
    kept.forget(["1"])
    assert not path.parent.exists()


def test_nobody_else_may_read_what_callers_said(path: Path):
    Journal(path).keep(call())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_entry_kept_twice_waits_once(path: Path):
    kept = Journal(path)
    kept.keep(call("1"))
    kept.keep(call("1"))
    assert ids(kept) == ["1"]
    kept.forget(["1"])
    assert Journal(path).waiting() == ()


# --- crashes ---


@given(torn=st.integers(1, len(journal.written(report())) - 1))
def test_a_line_that_a_crash_tore_is_not_read_and_is_cut_off_before_the_next(
    tmp_path_factory: pytest.TempPathFactory, torn: int
):
    path = tmp_path_factory.mktemp("torn") / "journal.jsonl"
    path.write_bytes(journal.written(call("1")) + journal.written(report("2"))[:torn])
    kept = Journal(path)
    assert ids(kept) == ["1"]
    kept.keep(call("3"))
    assert ids(kept) == ids(Journal(path)) == ["1", "3"]
    assert path.read_bytes() == journal.written(call("1")) + journal.written(call("3"))


def test_reading_does_not_touch_the_file(path: Path):
    path.parent.mkdir()
    torn = journal.written(call("1")) + b'{"v": 1'
    path.write_bytes(torn)
    assert ids(Journal(path)) == ["1"]
    assert path.read_bytes() == torn


def test_a_rewriting_that_was_interrupted_loses_nothing(path: Path):
    kept = Journal(path)
    for each in "123":
        kept.keep(call(each))
    path.with_name("journal.jsonl.new").write_bytes(b"half of it")
    again = Journal(path)
    again.forget(["1"])
    assert ids(Journal(path)) == ["2", "3"]


# --- forgetting ---


def test_what_was_kept_during_a_replay_is_not_forgotten(path: Path):
    kept = Journal(path)
    kept.keep(call("1"))
    replayed = [each.id for each in kept.waiting()]
    kept.keep(call("2"))
    kept.forget(replayed)
    assert ids(kept) == ids(Journal(path)) == ["2"]


def test_an_emptied_journal_takes_new_entries(path: Path):
    kept = Journal(path)
    kept.keep(call("1"))
    kept.forget(["1"])
    assert path.stat().st_size == 0
    kept.keep(call("2"))
    assert ids(Journal(path)) == ["2"]


def test_many_threads_keep_while_another_forgets(path: Path):
    """Nothing that was kept gets lost, nothing that was forgotten comes back."""
    kept = Journal(path)
    gone: list[str] = []
    done = threading.Event()

    def keep(thread: int) -> None:
        for number in range(25):
            kept.keep(call(f"{thread}-{number}"))

    def forget() -> None:
        while not done.is_set():
            some = ids(kept)[:5]
            kept.forget(some)
            gone.extend(some)

    keepers = [threading.Thread(target=keep, args=(each,)) for each in range(4)]
    forgetter = threading.Thread(target=forget)
    for each in (*keepers, forgetter):
        each.start()
    for each in keepers:
        each.join()
    done.set()
    forgetter.join()
    everything = {f"{thread}-{number}" for thread in range(4) for number in range(25)}
    assert len(gone) == len(set(gone))
    assert {*gone, *ids(Journal(path))} == everything
    assert not {*gone} & {*ids(Journal(path))}


# --- lines of somebody else ---


def test_a_line_that_cannot_be_read_keeps_nobody_from_the_others_and_is_never_forgotten(path: Path):
    strange = b'{"v": 2, "kind": "call_noted", "id": "9"}\n[]\n7\n"v"\n{"v": 1, "kind": "fax_noted"}\nnot json\r\xff\n'
    path.parent.mkdir()
    path.write_bytes(journal.written(call("1")) + strange)
    kept = Journal(path)
    kept.keep(call("2"))
    assert ids(kept) == ["1", "2"]
    assert kept.unreadable == 7  # a stray \r ends a line too
    kept.forget(["1", "2"])
    assert path.read_bytes() == strange


def test_what_another_program_wrote_meanwhile_is_seen(path: Path):
    kept = Journal(path)
    kept.keep(call("1"))
    Journal(path).keep(call("2"))
    kept.keep(call("3"))
    assert ids(kept) == ["1", "2", "3"]
    path.unlink()
    assert ids(kept) == []


# --- no room ---


def test_a_journal_has_an_end(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal, "JOURNAL_MAX", 3)
    kept = Journal(path)
    for each in "123":
        kept.keep(call(each))
    with pytest.raises(JournalFull, match=r"expected room in journal\.jsonl"):
        kept.keep(call("4"))
    kept.forget(["2"])
    kept.keep(call("5"))
    assert ids(Journal(path)) == ["1", "3", "5"]


FILLING = """
import pathlib, resource, sys
from cti.journal import Journal, JournalFull
from tests.cti.test_journal import call
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
kept = Journal(pathlib.Path(sys.argv[1]))
number = 0
try:
    while True:
        kept.keep(call(str(number)))
        number += 1
except JournalFull as error:
    print(error.errno is not None and number)
kept.forget([str(each) for each in range(number)])
kept.keep(call("after"))
"""


def test_a_full_disk_is_said_and_harms_nothing_that_was_kept(path: Path):
    """No file may grow over 1000 bytes: a write takes what fits, then fails, as on a full disk."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", FILLING, str(path)], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == 1000 // len(journal.written(call("0")))
    assert ids(Journal(path)) == ["after"]


def test_a_folder_that_cannot_be_made_is_a_full_journal(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(JournalFull, match=r"journal\.jsonl could not be written"):
        Journal(tmp_path / "file" / "journal.jsonl").keep(call())


def test_a_disk_that_does_not_sync_is_a_full_journal(path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = Journal(path)
    kept.keep(call("1"))

    def fails(file: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fails)
        with pytest.raises(JournalFull, match="Input/output error"):
            kept.keep(call("2"))
    assert ids(kept) == ids(Journal(path)) == ["1"]


async def test_the_loop_may_wait_for_the_disk(path: Path):
    kept = Journal(path)
    await kept.keep_soon(call("1"))
    assert ids(Journal(path)) == ["1"]


def test_every_kind_of_entry_has_a_name():
    assert set(journal.NAMES) == set(Entry.__args__)
    assert all(dataclasses.is_dataclass(kind) for kind in journal.NAMES)
