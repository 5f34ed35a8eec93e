"""Packages unpacked into a folder: the parts that need no network."""

from pathlib import Path

import pytest

from cti.asterisk import debs

SOURCES = """\
# a comment
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://tools.invalid/apt stable main
Types: deb
URIs: http://security.invalid/debian-security
Suites: bookworm-security
URIs: http://archive.invalid/debian/
"""


def silent(_: str) -> None:
    pass


def test_address_is_the_debian_archive_and_not_its_security_sister() -> None:
    listed = (
        "|https://tools.invalid/apt/|stable\n"
        "Debian|http://security.invalid/debian-security/|bookworm-security\n"
        "Debian|http://archive.invalid/debian/|bookworm\n"
    )
    assert debs.archive_address(listed) == "http://archive.invalid/debian"


def test_address_comes_from_the_sources_when_apt_was_never_updated() -> None:
    assert debs.archive_address("", SOURCES) == "http://archive.invalid/debian"
    assert debs.archive_address("", "deb http://one.invalid/debian forky main") == "http://one.invalid/debian"
    assert debs.archive_address("", "deb [a=b c=d] http://two.invalid/debian/ forky") == "http://two.invalid/debian"


def test_a_machine_without_debian_sources_is_told_so() -> None:
    with pytest.raises(debs.DebsError, match="is this machine a Debian"):
        debs.archive_address(
            "Ubuntu|http://archive.invalid/ubuntu/|noble\n", "deb http://archive.invalid/ubuntu noble main"
        )


def test_signature_is_checked_and_only_the_date_is_not() -> None:
    line = debs.source_line("http://archive.invalid/debian", "forky")
    assert line.startswith(
        f"deb [signed-by={debs.KEYRING} check-valid-until=no] http://archive.invalid/debian forky main"
    )
    assert "trusted" not in line


def test_apt_reads_and_writes_only_our_folder(tmp_path: Path) -> None:
    conf = debs.apt_conf(tmp_path)
    for key in ("Dir::State", "Dir::Cache", "Dir::Etc::sourcelist", "Dir::State::status", "Dir::Log"):
        assert f'{key} "{tmp_path}' in conf
    assert 'APT::Install-Recommends "false";' in conf
    assert "#clear DPkg::Post-Invoke;" in conf


def test_what_is_stamped_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "tools"
    root.mkdir()
    (root / debs.STAMP).write_text("forky\nasterisk\nsip-tester\n")
    monkeypatch.setattr(debs, "_download", lambda *_: pytest.fail("downloaded"))
    assert debs.get(["sip-tester"], suite="forky", root=root, say=silent) == root
    assert debs.stamped(root, "forky") == {"asterisk", "sip-tester"}
    assert debs.stamped(root, "bookworm") == set()
    assert debs.stamped(tmp_path / "nothing", "forky") == set()


def test_a_broken_download_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "tools"
    root.mkdir()
    (root / debs.STAMP).write_text("forky\nasterisk\n")

    def fail(*_: object) -> list[Path]:
        raise debs.DebsError("no network")

    monkeypatch.setattr(debs, "_download", fail)
    with pytest.raises(debs.DebsError, match="no network"):
        debs.get(["chromium"], suite="forky", root=root, say=silent)
    assert debs.stamped(root, "forky") == {"asterisk"}
    assert {found.name for found in tmp_path.iterdir()} == {"tools", ".tools.lock"}


def test_no_apt_get_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(debs.DebsError, match="expected apt-get"):
        debs.get(["x"], suite="forky", root=tmp_path / "tools", say=silent)


@pytest.mark.parametrize(
    ("machine", "loader", "library"),
    [
        ("x86_64", "lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu"),
        ("aarch64", "lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu"),
    ],
)
def test_a_program_runs_through_the_loader_it_came_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, loader: str, library: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/asterisk").touch()
    argv = debs.command(tmp_path, "asterisk")
    assert argv[0] == str(tmp_path / loader)
    assert argv[1] == "--library-path"
    assert argv[2].split(":")[0] == str(tmp_path / "usr/lib" / library)
    assert argv[3:] == [str(tmp_path / "usr/sbin/asterisk")]


def test_espeak_is_told_where_its_voices_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    voices = tmp_path / "usr/lib/x86_64-linux-gnu/espeak-ng-data"
    voices.mkdir(parents=True)
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/espeak-ng").touch()
    assert debs.command(tmp_path, "espeak-ng")[-1] == f"--path={voices}"


def test_an_unknown_machine_and_a_missing_program_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(debs.DebsError, match="expected sipp on PATH or in"):
        debs.command(tmp_path, "sipp")
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/sipp").touch()
    monkeypatch.setattr("platform.machine", lambda: "sparc")
    with pytest.raises(debs.DebsError, match="this one is sparc"):
        debs.command(tmp_path, "sipp")


def own_asterisk(folder: Path, version: str) -> Path:
    program = folder / "asterisk"
    program.write_text(f"#!/bin/sh\necho 'Asterisk {version}'\n")
    program.chmod(0o755)
    return program


def test_the_machines_asterisk_is_taken_only_when_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program = own_asterisk(tmp_path, "22.10.1~dfsg")
    assert debs.find("asterisk", tmp_path / "tools") == [str(program)]
    own_asterisk(tmp_path, "20.6.0~dfsg")
    with pytest.raises(debs.DebsError):
        debs.find("asterisk", tmp_path / "tools")


def test_versions_are_read() -> None:
    assert debs.version_of("Asterisk 22.10.1+dfsg+~cs6") == (22, 10)
    assert debs.version_of("Asterisk certified/20.7-cert1") == (20, 7)
    assert debs.version_of("GIT-master") == (0, 0)


def test_suite_of_this_machine() -> None:
    assert debs.own_suite('ID=debian\nVERSION_CODENAME="bookworm"\n') == "bookworm"
    with pytest.raises(debs.DebsError, match="'ubuntu'"):
        debs.own_suite("ID=ubuntu\nVERSION_CODENAME=noble\n")


def test_what_no_maintainer_script_did_is_done(tmp_path: Path) -> None:
    (tmp_path / "usr/share/doc/x").mkdir(parents=True)
    (tmp_path / "usr/share/asterisk/sounds/en_US_f_Allison").mkdir(parents=True)
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64/ld.so").touch()
    for name in ("bin", "sbin", "lib"):
        (tmp_path / name).symlink_to(f"usr/{name}")
    debs._tidy(tmp_path)
    assert not (tmp_path / "usr/share/doc").exists()
    assert (tmp_path / "usr/share/asterisk/sounds/en").is_dir()
    assert (tmp_path / "lib64").is_symlink()
    assert (tmp_path / "lib64/ld.so").exists()


def test_chromium_gets_a_wrapper_with_its_fonts_and_libraries(tmp_path: Path) -> None:
    with pytest.raises(debs.DebsError, match="fetch it first"):
        debs.chromium(tmp_path)
    (tmp_path / "usr/lib/chromium").mkdir(parents=True)
    (tmp_path / "usr/lib/chromium/chromium").touch()
    script = debs.chromium(tmp_path)
    assert script.stat().st_mode & 0o111
    assert f"FONTCONFIG_FILE='{tmp_path}/fonts.conf'" in script.read_text()
    assert f"<dir>{tmp_path}/usr/share/fonts</dir>" in (tmp_path / "fonts.conf").read_text()
