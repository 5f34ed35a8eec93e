"""Merges, partings and any work in between, beside a second database in which nothing is ever merged.

Whatever happens: what is told of a party is what the other database tells of all whom it stands for; and when every merge is undone,
both hold the same rows, byte for byte.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from cti import migrations
from cti.db import LAST_WORDS, sqlite_engine
from cti.records import merges, timeline
from cti.records.moves import Reference, references
from cti.records.parties import Party
from tests.fakes import rows

BESIDES = ("merges",)
PARTIES = [f"p{n}" for n in range(6)]
HOMES = ["h0", "h1", "h2"]
SLOTS = st.integers(0, 10**6)


class Merging(RuleBasedStateMachine):
    """`merged` is the database under test, `plain` the one without merges. Both get the same work."""

    engines: Sequence[Engine] = ()

    def __init__(self):
        super().__init__()
        self.worlds = [Session(engine, expire_on_commit=False) for engine in self.engines]
        for session in self.worlds:
            session.connection().exec_driver_sql("BEGIN")
            session.info[LAST_WORDS] = []
        self.merged, self.plain = self.worlds
        self.tables = migrations.tables().tables
        self.stack: list[str] = []  # merges that are open, the newest last
        self.into: dict[str, str] = {}  # who was merged into whom
        self.given: set[str] = set()  # rows that were given to somebody
        self.left_homes: set[tuple[str, str]] = set()  # memberships that were taken away
        self.n = 0

    def teardown(self):
        for merge in reversed(self.stack):
            merges.unmerge(self.merged, merge, by="test", now=rows.AT)
        after = [rows.dump(session, besides=BESIDES) for session in self.worlds]
        for session in self.worlds:
            session.rollback()
            session.close()
        assert after[0] == after[1], rows.difference(*after)

    # --- the work ---

    @initialize(born=st.lists(st.sampled_from([None, "1980-01-02", "1990-03-04"]), min_size=6, max_size=6))
    def begin(self, born):
        for session in self.worlds:
            rows.ground(session)
            for n, (party, birth_date) in enumerate(zip(PARTIES, born, strict=True)):
                rows.add_row(session, self.tables["parties"], n, id=party, birth_date=birth_date, name=f"N {n}")
            for n, home in enumerate(HOMES):
                rows.add_row(session, self.tables["households"], n, id=home)

    @rule(slot=SLOTS, who=SLOTS)
    def add_a_row_that_refers_to_a_party(self, slot, who):
        choices = [each for each in references() if not each.once_only]
        reference = choices[slot % len(choices)]
        self.n += 1
        given = {"id": f"r{self.n}", reference.column.name: self.standing(who)}
        for session in self.worlds:
            rows.add_row(session, reference.table, self.n, **given)

    @rule(home=st.sampled_from(HOMES), who=SLOTS)
    def move_in(self, home, who):
        party = self.standing(who)
        if not self.at_home(home, party) and (home, party) not in self.left_homes:
            self.n += 1
            for session in self.worlds:
                row = {"household_id": home, "party_id": party, "role": f"role {self.n}"}
                rows.add_row(session, self.tables["household_members"], self.n, **row)

    @rule(home=st.sampled_from(HOMES), who=SLOTS, leaves=st.booleans())
    def move_out_or_get_another_role(self, home, who, leaves):
        party = self.standing(who)
        there = self.at_home(home, party)
        if len(there) != 1:
            return  # of two memberships that became one, which one is meant is not to be told
        self.n += 1
        table = self.tables["household_members"]
        for session, member in ((self.merged, party), (self.plain, there[0])):
            same = (table.c.household_id == home) & (table.c.party_id == member)
            session.execute(
                table.delete().where(same) if leaves else update(table).where(same).values(role=f"{self.n}")
            )
        if leaves:  # whoever comes back is, by his key, the one who left
            self.left_homes |= {(home, each) for each in PARTIES}

    @rule(who=st.sampled_from(PARTIES), field=st.sampled_from(["name", "language", "birth_date", "tags", "pin_hash"]))
    def write_another_field_of_a_party(self, who, field):
        self.n += 1
        for session in self.worlds:
            session.execute(update(Party).where(Party.id == who).values({field: f"new {self.n}"}))

    @rule(slot=SLOTS)
    def write_another_field_of_a_row(self, slot):
        """The first text that refers to nothing."""
        reference, row = self.some_row(slot)
        if row is None:
            return
        table = reference.table
        field = next(
            each for each in table.columns
            if not each.primary_key and not each.foreign_keys and each.type.python_type is str and not each.unique
        )  # fmt: skip
        self.n += 1
        for session in self.worlds:
            session.execute(update(table).where(table.c.id == row).values({field.name: f"{self.n}"}))

    @rule(slot=SLOTS, who=SLOTS)
    def give_a_row_to_somebody_else(self, slot, who):
        reference, row = self.some_row(slot)
        party = self.standing(who)
        if row is None or row in self.given:
            return
        has = self.merged.scalar(select(reference.column).where(reference.table.c.id == row))
        if has in (None, party):
            return
        self.given.add(row)
        for session in self.worlds:
            statement = update(reference.table).where(reference.table.c.id == row)
            session.execute(statement.values({reference.column.name: party}))

    # --- merging and parting ---

    @rule(one=SLOTS, other=SLOTS)
    def merge(self, one, other):
        kept, gone = self.standing(one), self.standing(other)
        if kept != gone:
            made = merges.merge(self.merged, kept=kept, gone=gone, reason="", by="test", now=rows.AT)
            self.stack.append(made)
            self.into[gone] = kept

    @precondition(lambda self: self.stack)
    @rule(which=SLOTS)
    def part(self, which):
        made = self.stack[which % len(self.stack)]
        row = self.merged.get_one(merges.Merge, made)
        on_top = [self.merged.get_one(merges.Merge, each) for each in self.stack[self.stack.index(made) + 1 :]]
        if any(row.kept_id in (each.kept_id, each.gone_id) for each in on_top):
            with pytest.raises(merges.NotLast):
                merges.unmerge(self.merged, made, by="test", now=rows.AT)
        else:
            merges.unmerge(self.merged, made, by="test", now=rows.AT)
            self.stack.remove(made)
            del self.into[row.gone_id]

    # --- what holds at any time ---

    @invariant()
    def each_timeline_is_that_of_all_whom_a_party_stands_for(self):
        for party in PARTIES:
            if party not in self.into:
                told, wanted = self.told(self.merged, [party]), self.told(self.plain, self.cluster(party))
                assert told == wanted
                assert len(told) == len(set(told))

    @invariant()
    def nothing_refers_to_a_party_that_is_gone(self):
        for reference in references():
            held = set(self.merged.scalars(select(reference.column).where(reference.column.is_not(None))))
            assert not held & self.into.keys()

    # --- its words ---

    def standing(self, n: int) -> str:
        here = [each for each in PARTIES if each not in self.into]
        return here[n % len(here)]

    def cluster(self, party: str) -> list[str]:
        below = [each for each, into in self.into.items() if into == party]
        return [party, *(each for one in below for each in self.cluster(one))]

    def at_home(self, home: str, party: str) -> list[str]:
        """Who of those that `party` stands for is in `home`, where nothing is merged."""
        table = self.tables["household_members"]
        query = select(table.c.party_id).where(table.c.household_id == home, table.c.party_id.in_(self.cluster(party)))
        return list(self.plain.scalars(query))

    def some_row(self, slot: int) -> tuple[Reference, str | None]:
        choices = [each for each in references() if not each.once_only]
        reference = choices[slot % len(choices)]
        ids = list(self.plain.scalars(select(reference.table.c.id).order_by(reference.table.c.id)))
        return reference, ids[slot % len(ids)] if ids else None

    @staticmethod
    def told(session: Session, parties: list[str]) -> list[str]:
        return sorted(each.id for each in timeline.entries(session, parties=parties, limit=500))


def test_after_any_work_and_any_merges_all_is_as_if_nothing_had_been_merged(sqlite_file, tmp_path):
    engines = []
    for name in ("merged", "plain"):
        path = tmp_path / f"{name}.db"
        shutil.copyfile(sqlite_file, path)
        engines.append(sqlite_engine(f"sqlite:///{path}"))
    machine = type("Machine", (Merging,), {"engines": engines})
    many = settings(
        max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    try:
        run_state_machine_as_test(machine, settings=many)
    finally:
        for engine in engines:
            engine.dispose()
