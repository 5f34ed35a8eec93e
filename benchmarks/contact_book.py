"""A contact book of millions of points, made inside the database by arithmetic, so that every run has the same rows: parties in
households, their numbers, services with lines, numbers that two people share. Indexes come last, as in any restore of a backup."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, Index, MetaData, Table, text

from cti import migrations

MOBILE, LANDLINE = 5_300_000_000, 2_121_000_000  # the first national numbers
MOBILES = 260_000_000  # numbers from there on, all of them given out
AREAS = 500
AT = "2026-01-01 00:00:00.000000"
TABLES = ("households", "parties", "household_members", "subscriptions", "contact_points", "links")


@dataclass(frozen=True)
class Book:
    """How many of what. All follow from the number of contact points."""

    points: int

    @property
    def parties(self) -> int:
        return self.points * 4 // 10

    @property
    def households(self) -> int:
        return self.points * 2 // 10

    @property
    def lines(self) -> int:
        """Subscriptions; each has a landline, which is one of the points."""
        return self.points * 15 // 100

    @property
    def step(self) -> int:
        return MOBILES // self.points

    def number(self, point: int) -> str:
        """The E.164 form of point number `point`."""
        national = LANDLINE + point if point < self.lines else MOBILE + point * self.step
        return f"+90{national}"

    def numbers(self, many: int, seed: int) -> list[str]:
        chance = random.Random(seed)
        return [self.number(chance.randrange(self.points)) for _ in range(many)]


def fill(connection: Connection, book: Book, say: Callable[[str], None]) -> None:
    """Every table and row; the caller commits."""
    metadata = migrations.tables()
    later = list(_later(metadata))
    kept = {table: set(table.indexes) for table in metadata.tables.values()}
    for index in later:
        assert index.table is not None
        index.table.indexes.discard(index)
    try:
        metadata.create_all(connection)
    finally:
        for table, indexes in kept.items():
            table.indexes = indexes
    for name, statement in _statements(book, connection.dialect.name).items():
        say(f"{connection.dialect.name}: {name}")
        connection.execute(text(statement))
    for index in later:
        say(f"{connection.dialect.name}: {index.name}")
        index.create(connection)


def _later(metadata: MetaData) -> Iterator[Index]:
    for name in TABLES:
        table: Table = metadata.tables[name]
        yield from sorted(table.indexes, key=lambda index: str(index.name))


def _statements(book: Book, dialect: str) -> dict[str, str]:
    lite = dialect == "sqlite"

    def series(many: int) -> str:
        if lite:
            return f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {many - 1})"
        return f"WITH n AS (SELECT generate_series(0, {many - 1})::bigint AS i)"

    def id_(kind: int, number: str) -> str:
        tail = f"printf('%012x', {number})" if lite else f"lpad(to_hex(({number})::bigint), 12, '0')"
        return f"'019b0000-000{kind}-7000-8000-' || {tail}"

    def scattered(number: str, many: int) -> str:
        return f"(({number}) * 2654435761 % {many})"

    home, party, line, point, link = (partial(id_, kind) for kind in range(1, 6))
    at = f"'{AT}'" if lite else f"'{AT}+00'::timestamptz"
    p, h, many_lines = book.parties, book.households, book.lines
    national = f"CASE WHEN i < {many_lines} THEN {LANDLINE} + i ELSE {MOBILE} + i * {book.step} END"
    name = f"'Ad' || {scattered('i', 5000)} || ' Soyad' || {scattered('i + 7', 90000)}"
    folded = name.replace("Ad", "ad").replace("Soyad", "soyad")
    columns = "id, contact_point_id, party_id, subscription_id, role, exclusivity, source, state, method, verified_by, valid_from"
    links = f"INSERT INTO links ({columns}) "
    rest = f"'unknown', 'import', 'unverified', '', '', {at} FROM n"
    return {
        "households": f"INSERT INTO households (id, label) {series(h)} SELECT {home('i')}, 'ev ' || i FROM n",
        "parties": "INSERT INTO parties (id, kind, name, search_text, language, customer_no, tags, external_id, created_at) "
        f"{series(p)} SELECT {party('i')}, 'person', {name}, {folded}, 'tr', CAST(10000000 + i AS text), '', "
        f"'x' || (10000000 + i), {at} FROM n",
        "household_members": "INSERT INTO household_members (household_id, party_id, role) "
        f"{series(p)} SELECT {home('i / 2')}, {party('i')}, 'member' FROM n",
        "subscriptions": "INSERT INTO subscriptions (id, number, kind, holder_id, household_id, line_number, area, address, status) "
        f"{series(many_lines)} SELECT {line('i')}, CAST(700000000 + i AS text), 'landline', {party(scattered('i', p))}, "
        f"{home(scattered('i', p) + ' / 2')}, '+90' || ({LANDLINE} + i), 'area-' || (i % {AREAS}), '', 'active' FROM n",
        "contact_points": "INSERT INTO contact_points (id, kind, value, raw, created_at) "
        f"{series(book.points)} SELECT {point('i')}, 'phone', '+90' || ({national}), '0' || ({national}), {at} FROM n",
        "links": f"{links}{series(book.points)} SELECT {link('i')}, {point('i')}, "
        f"CASE WHEN i < {many_lines} THEN NULL ELSE {party(scattered('i', p))} END, "
        f"CASE WHEN i < {many_lines} THEN {line('i')} END, CASE WHEN i < {many_lines} THEN 'line_number' ELSE 'owner' END, {rest}",
        "shared numbers": f"{links}{series(book.points // 5)} SELECT {link(f'i + {book.points}')}, {point('i * 5')}, "
        f"{party(scattered('i + 1', p))}, NULL, 'user', {rest}",
    }
