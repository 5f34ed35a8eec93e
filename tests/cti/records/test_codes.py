"""A one-time code works once, for one thing, for minutes, and hears five tries; nobody is told which of them failed."""

import asyncio
import datetime as dt

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from cti.records import codes, contact_points
from cti.records.codes import CODE_TRIES, OneTimeCode


def make(
    session: Session, now: dt.datetime, subject: str = "call-1", raw: str = "0532 555 01 23", purpose: str = "proof",
    **more: int,
) -> tuple[str, str]:  # fmt: skip
    point = contact_points.ensure(session, "phone", raw, now=now)
    return point.id, codes.make(session, purpose=purpose, subject=subject, contact_point=point.id, now=now, **more)


def use(session, code, now, purpose="proof", **where):
    return codes.use(session, purpose=purpose, code=code, now=now, **(where or {"subject": "call-1"}))


def states(session):
    return list(session.scalars(select(OneTimeCode.state).order_by(OneTimeCode.id)))


def other(code: str) -> str:
    """A code of as many digits that is not this one."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


async def test_a_code_works_once(db, now):
    _, code = await db.work(make, now)
    assert len(code) == 6
    assert await db.work(use, code, now) == "call-1"
    assert await db.work(use, code, now) is None
    assert await db.read(states) == ["used"]


async def test_a_code_is_nowhere_in_the_database(db, now):
    _, code = await db.work(make, now)
    row = await db.read(lambda session: session.scalars(select(OneTimeCode)).one())
    assert code not in (row.code_hash, row.id, row.subject)


async def test_a_code_lapses(db, now):
    _, code = await db.work(make, now)
    late = now + dt.timedelta(seconds=codes.VALID_S)
    assert await db.work(use, code, late) is None
    assert await db.read(states) == ["lapsed"]


async def test_the_right_code_after_five_wrong_ones_is_too_late(db, now):
    _, code = await db.work(make, now)
    for _ in range(CODE_TRIES):
        assert await db.work(use, other(code), now) is None
    assert await db.work(use, code, now) is None
    assert await db.read(states) == ["revoked"]


async def test_a_code_is_for_its_own_subject_and_purpose(db, now):
    point, code = await db.work(make, now)
    assert await db.work(use, code, now, subject="call-2") is None
    assert await db.work(use, code, now, purpose="link") is None
    assert await db.work(use, code, now, subject="call-2", contact_point=point) is None
    assert await db.work(use, code, now, subject="call-1", contact_point=point) == "call-1"


async def test_the_newest_code_is_the_only_one(db, now):
    _, first = await db.work(make, now)
    _, second = await db.work(make, now + dt.timedelta(seconds=1))
    assert await db.read(states) == ["revoked", "open"]
    if first != second:
        assert await db.work(use, first, now) is None
    assert await db.work(use, second, now) == "call-1"


async def test_a_telephone_with_two_codes_names_the_one_it_means(db, now):
    point, first = await db.work(make, now, "link-1", purpose="link", valid_s=86_400)
    _, second = await db.work(make, now, "link-2", purpose="link", valid_s=86_400)
    assert first != second
    assert await db.work(use, second, now, purpose="link", contact_point=point) == "link-2"
    assert await db.work(use, first, now, purpose="link", contact_point=point) == "link-1"


async def test_a_wrong_code_from_a_telephone_counts_against_all_that_it_may_have_meant(db, now):
    point, first = await db.work(make, now, "link-1", purpose="link")
    _, second = await db.work(make, now, "link-2", purpose="link")
    wrong = next(each for each in ("000000", "111111", "222222") if each not in (first, second))
    for _ in range(CODE_TRIES):
        await db.work(use, wrong, now, purpose="link", contact_point=point)
    assert await db.read(states) == ["revoked", "revoked"]


async def test_a_telephone_never_has_two_codes_alike(db, now):
    def ten(session):
        return {make(session, now, f"link-{each}", purpose="link", digits=1)[1] for each in range(10)}

    assert len(await db.work(ten)) == 10


async def test_a_code_of_nowhere_is_an_error(db, now):
    with pytest.raises(ValueError, match="expected a subject, a contact point or both"):
        await db.work(lambda session: codes.use(session, purpose="proof", code="123456", now=now))


async def test_two_at_the_same_moment_use_a_code_once(any_db, now):
    _, code = await any_db.work(make, now)
    told = await asyncio.gather(*(any_db.work(use, code, now) for _ in range(8)))
    assert sorted(told, key=str) == [None] * 7 + ["call-1"]
