"""The facts that a flow may ask about a caller: their names, their meaning, and the callers that a checker tries a flow with.

Flows may hold these and what they set themselves. Nothing private is among them: who is calling is for the agent's eyes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ivr.nodes import Facts, Value

LINES_MAX = 3  # a caller chooses among so many lines by key; with more of them a person asks

MEANINGS: dict[str, dict[str, str]] = {
    "outcome": {
        "tr": "Numara kime ait: unique (tek müşteri), ambiguous (birden çok), none (tanınmıyor), withheld (gizli), malformed",
        "en": "Whose number: unique (one customer), ambiguous (several), none (unknown), withheld, malformed",
    },
    "level": {"tr": "Kimliğin kanıt düzeyi, 0-4", "en": "Strength of the identification, 0-4"},
    "role": {
        "tr": "Numaranın bağı: owner, user, line_number, work, neighbour, former",
        "en": "The number's link: owner, user, line_number, work, neighbour, former",
    },
    "foreign": {"tr": "Yurt dışı numarası mı", "en": "Whether the number is of another country"},
    "lines": {"tr": "Birbirinden bağımsız etkin hat sayısı", "en": "Active lines that do not depend on one another"},
    "subscription": {"tr": "Tek hat varsa o aboneliğin kimliği", "en": "The subscription's id when there is one line"},
    "open_ticket": {"tr": "Tek hatta açık arıza kaydı var mı", "en": "Whether the one line has an open fault ticket"},
    "subscription_1": {"tr": "1. hattın abonelik kimliği (2 ve 3 de var)", "en": "Line 1's subscription (also 2 and 3)"},
    "line_1_kind": {"tr": "1. hattın türü: dsl, fibre, landline, mobile", "en": "Line 1's kind: dsl, fibre, landline, mobile"},
    "line_1_tail": {"tr": "1. hattın abonelik numarasının son iki hanesi", "en": "Last two digits of line 1's number"},
    "open_ticket_1": {"tr": "1. hatta açık arıza kaydı var mı", "en": "Whether line 1 has an open fault ticket"},
    "outage": {"tr": "Arayanın kendi hattında açık kesinti var mı", "en": "Whether an open outage hits the caller's own line"},
    "outage_estimate": {"tr": "Kesintinin tahmini bitişi, yerel saat", "en": "When it is thought to end, local time"},
    "lines_down": {
        "tr": "Bazı hatlar şu anda çalışmıyor ve arayan tanınmıyor: hattının son dört rakamı sorulabilir",
        "en": "Some lines are down now and the caller is unknown: he may be asked for the last four digits of his",
    },
    "areas_down": {
        "tr": "O hatların bölgelerinin adları, satır satır (names ile söylenir); bilinmiyorsa, çoksa ya da sesi hazır değilse boş",
        "en": "The names of those lines' areas, one a line (spoken as names); empty when unknown, too many or not spoken yet",
    },
    "link_offer": {
        "tr": "Kimliğini kanıtladı ama aradığı numara kayıtlı değil: numarasını eklemek ister mi diye sorulabilir",
        "en": "He proved who he is, but his number is not linked: he may be asked whether it shall be",
    },
    "degraded": {
        "tr": "Arama geldiğinde veritabanı cevap vermedi; arayan tanınamadı",
        "en": "The database did not answer when the call arrived, so nobody could be recognised",
    },
    "now": {"tr": "Şu an, yerel saat", "en": "Now, local time"},
    "hour": {"tr": "Saat, 0-23", "en": "The hour, 0-23"},
    "weekday": {"tr": "Haftanın günü, 1 pazartesi", "en": "Day of the week, 1 is Monday"},
}  # fmt: skip

NOBODY: dict[str, Value] = {
    "outcome": "none", "level": 0, "role": "", "foreign": False, "lines": 0, "outage": False, "open_ticket": False,
    "lines_down": False, "areas_down": "", "link_offer": False, "degraded": False, "now": "2026-11-20T10:30", "hour": 10, "weekday": 5,
}  # fmt: skip


def line(at: int, subscription: str, kind: str, tail: str, open_ticket: bool) -> dict[str, Value]:
    """The facts of the caller's line number `at` (1 to LINES_MAX)."""
    return {
        f"subscription_{at}": subscription,
        f"line_{at}_kind": kind,
        f"line_{at}_tail": tail,
        f"open_ticket_{at}": open_ticket,
    }


def known(name: str) -> bool:
    """Whether the driver may hand in a fact of this name."""
    head, _, at = name.partition("_2" if "_2" in name else "_3")
    return name in MEANINGS or f"{head}_1{at}" in MEANINGS


def callers() -> Iterator[Facts]:
    """One caller of every sort that a flow has to serve."""
    for outcome in ("none", "ambiguous", "withheld", "malformed"):
        yield NOBODY | {"outcome": outcome}
        yield NOBODY | {"outcome": outcome, "degraded": True}
    yield NOBODY | {"lines_down": True}
    yield NOBODY | {"lines_down": True, "areas_down": "Moda\nKars"}
    yield NOBODY | {"foreign": True}
    yield NOBODY | {"outcome": "unique", "level": 1, "role": "former"}
    outages: tuple[dict[str, Value], ...] = (
        {"outage": False}, {"outage": True}, {"outage": True, "outage_estimate": "2026-11-21T17:05"},
    )  # fmt: skip
    roles = ("owner", "line_number", "work")
    for role, lines, open_ticket, outage in itertools.product(roles, range(1, LINES_MAX + 2), (False, True), outages):
        yield _customer(role, lines, open_ticket) | outage


def proved(level: int) -> dict[str, Value]:
    """What becomes known of a caller who proved who he is, as a checker has it happen."""
    return _customer("", 1, False) | {"level": level, "link_offer": level > 1}


def _customer(role: str, lines: int, open_ticket: bool) -> dict[str, Value]:
    facts = NOBODY | {"outcome": "unique", "level": 1, "role": role, "lines": lines}
    for at in range(1, min(lines, LINES_MAX) + 1):
        facts |= line(at, f"s{at}", ("dsl", "mobile", "fibre")[at - 1], f"{at}0", open_ticket)
    return facts | ({"subscription": "s1", "open_ticket": open_ticket} if lines == 1 else {})
