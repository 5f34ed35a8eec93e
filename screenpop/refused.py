"""A command that cannot be done."""

from __future__ import annotations


class Refused(Exception):
    """`code` for the page's text, `text` for the log."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
