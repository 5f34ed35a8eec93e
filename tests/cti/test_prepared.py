"""Statements that are made once: they say what SQLAlchemy would say, on both engines."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import bindparam, literal, select, union_all

from cti.prepared import Prepared
from cti.records import contact_points, parties
from cti.records.contact_points import ContactPoint
from cti.records.parties import Party

NAMED = select(Party.id, Party.name, Party.created_at).where(
    Party.name.in_(bindparam("names", expanding=True)), Party.created_at <= bindparam("until"), Party.kind == "person"
).order_by(Party.name)  # fmt: skip


async def test_rows_are_those_that_sqlalchemy_brings_with_times_in_utc(any_db, now):
    def both(session):
        for each in ("Ali", "Can", "Ece", "İpek", "%s ?"):
            parties.add_party(session, name=each, source="test", now=now)
        prepared = Prepared(NAMED, lambda *row: row)
        for names in (["Ali"], ["Ali", "Can"], ["Ali", "Ece", "nobody"], ["İpek", "%s ?", "Can", "Ali", "Ece"], [""]):
            values = {"names": names, "until": now}
            assert prepared.rows(session, **values) == [tuple(row) for row in session.execute(NAMED, values)]
        early = {"names": ["Ali"], "until": now - dt.timedelta(seconds=1)}
        assert prepared.rows(session, **early) == []
        return prepared.rows(session, names=["Ali"], until=now)[0][2]

    assert await any_db.work(both) == now


async def test_what_the_session_has_not_written_yet_is_found(any_db, now):
    def unwritten(session):
        session.add(ContactPoint(id="point", kind="phone", value="+905320000000", raw="", created_at=now))
        prepared = Prepared(select(ContactPoint.id).where(ContactPoint.value == bindparam("value")), lambda id_: id_)
        return prepared.rows(session, value="+905320000000")

    assert await any_db.work(unwritten) == ["point"]


async def test_parts_of_a_union_are_filled_each_with_its_own_values(any_db, now):
    def union(session):
        for each in ("Ali", "Can"):
            parties.add_party(session, name=each, source="test", now=now)
        contact_points.ensure(session, "phone", "0532 555 01 23", now=now)
        prepared = Prepared(
            union_all(
                select(literal("party"), Party.name).where(Party.name.in_(bindparam("names", expanding=True))),
                select(literal("number"), ContactPoint.value).where(ContactPoint.kind == bindparam("kind")),
            ),
            lambda what, name: (what, name),
        )
        return prepared.rows(session, kind="phone", names=["Can"])

    assert sorted(await any_db.work(union)) == [("number", "+905325550123"), ("party", "Can")]


async def test_a_value_that_is_missing_is_said(db):
    prepared = Prepared(select(Party.id).where(Party.name == bindparam("name")), lambda id_: id_)
    with pytest.raises(KeyError, match="name"):
        await db.read(lambda session: prepared.rows(session))
