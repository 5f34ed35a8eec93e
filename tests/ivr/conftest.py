"""The voice that tests speak with: espeak-ng where it is fetched, else a synthesiser that writes what it was told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cti.asterisk import debs
from ivr import document, store
from ivr.document import Document

ROOT = Path(__file__).parents[2]


@pytest.fixture
def espeak() -> list[str]:
    """The argv prefix of a real espeak-ng; the test is skipped where `make test` has not fetched one."""
    root = Path(os.environ.get("SANTRAL_TOOLS_DIR") or ROOT / "var" / "tools")
    try:
        return debs.find("espeak-ng", root)
    except debs.DebsError as error:
        pytest.fail(str(error))


@pytest.fixture(scope="session")
def main_flow() -> Document:
    return document.read(store.shipped("main"))
