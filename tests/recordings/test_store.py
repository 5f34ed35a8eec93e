from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from recordings.store import Folder, Outside

RECORDING = "019aa0b2-0000-7000-8000-000000000001"


def test_stems_are_the_names_without_their_sides(tmp_path: Path):
    for name in (f"{RECORDING}.wav", f"{RECORDING}-r.wav", f"{RECORDING}-t.wav", "1795311706-4-t.wav", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "2026").mkdir()
    assert Folder(tmp_path).stems() == ["019aa0b2-0000-7000-8000-000000000001", "1795311706-4"]


def test_no_folder_yet_means_no_files(tmp_path: Path):
    assert Folder(tmp_path / "later").stems() == []


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret.wav", "link.wav", "2026", "x" * 300, ""])
def test_nothing_outside_of_the_folder_is_served(tmp_path: Path, name: str):
    root = tmp_path / "recordings"
    (root / "2026").mkdir(parents=True)
    (root / "a").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "secret.wav").write_bytes(b"secret")
    (root / "link.wav").symlink_to(tmp_path / "secret")
    with pytest.raises((Outside, OSError)):
        Folder(root).resolve(name)


@pytest.mark.parametrize("stem", ["../x", "a/b", "", "x" * 65, "%2e", "a\0b"])
def test_a_stem_is_never_a_path(tmp_path: Path, stem: str):
    with pytest.raises(Outside):
        Folder(tmp_path).parts(stem)


def test_tidying_keeps_the_finished_file_and_everybody_elses(tmp_path: Path, now: dt.datetime):
    folder, other = Folder(tmp_path), "019aa0b2-0000-7000-8000-000000000002"
    kept, lost = folder.out(RECORDING, now, 2), folder.out(RECORDING, now, 1)
    kept.parent.mkdir(parents=True)
    loose = [tmp_path / f"{RECORDING}-r.wav", tmp_path / "1795311706-4.wav"]
    strangers = [folder.out(other, now, 1), tmp_path / f"{other}-r.wav"]
    for path in (kept, lost, *loose, *strangers):
        path.touch()
    folder.tidy(RECORDING, now, keep=folder.relative(kept), stem="1795311706-4")
    assert set(tmp_path.rglob("*.wav")) == {kept, *strangers}
