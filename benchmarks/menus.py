"""The menu of a fault call in the native dialplan, and as an AGI process for each call: with the shipped flow's own prompts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from ivr import store
from ivr.prompts import Book
from ivr.voice import Voice

NATIVE, AGI = "80001", "80002"  # dialled by the carrier
TICKET = "123456"  # six digits, like a real one

DIALPLAN = """
[from-trunk](+)
exten => {native},1,Goto(bench-native,s,1)
exten => {agi},1,AGI({script},{greeting},{restarted},{number},{after})
 same => n,Hangup()

[bench-native]
exten => s,1,Answer(,i)
 same => n,Background({greeting})
 same => n,WaitExten(5)
 same => n,Hangup()
exten => 1,1,Goto(bench-native-restarted,s,1)

[bench-native-restarted]
exten => s,1,Background({restarted})
 same => n,WaitExten(5)
 same => n,Hangup()
exten => 1,1,Playback({number})
 same => n,Background({after})
 same => n,WaitExten(5)
 same => n,Hangup()
"""


@dataclass(frozen=True)
class Menu:
    """What a recognised caller hears who keys 1, 1: prompts as Asterisk joins them."""

    greeting: str
    restarted: str
    number: str
    after: str


def menu(voice: Voice, language: str) -> Menu:
    """The very files that our own flow plays."""
    book = Book(store.read_shipped("main"))

    def files(*keys: str) -> str:
        facts = {"ticket_number": TICKET}
        return "&".join(voice.media([piece for key in keys for piece in book.pieces(key, facts, language)]))

    return Menu(
        greeting=files("welcome", "other_language", "greet_person", "menu"),
        restarted=files("restarted"),
        number=files("opened", "number_again"),
        after=files("after_ticket"),
    )


def dialplan(heard: Menu, folder: Path) -> str:
    """Both rivals as a dialplan; the AGI script is put into `folder`."""
    script = folder / "agi_menu"
    source = Path(__file__).with_name("agi_menu.py").read_text(encoding="utf-8")
    script.write_text(f"#!{sys.executable} -IS\n{source}", encoding="utf-8")  # -IS: the quickest start that Python has
    script.chmod(0o755)
    return DIALPLAN.format(native=NATIVE, agi=AGI, script=script, **vars(heard))
