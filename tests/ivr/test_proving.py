"""One attempt of a caller, from his keys to what is counted: a number that nobody has cannot be told from one that somebody has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import event, func, select

from cti import numbers
from cti.events import ProofGiven
from cti.identity import Identification, Level, Outcome
from cti.ledger import EventRow
from cti.numbers import Areas
from cti.proof import SLOW
from cti.records import outages, parties, pins
from cti.records.guesses import GuessCount
from cti.switchboard import Arrival
from ivr import proving, steps
from tests.cti.records import household
from tests.cti.records.household import NOW, UNKNOWN, build, call, happened, row

ALIKE = (
    SLOW["trunk"].windows[0].most // 2 + 10
)  # pairs of lines: with one count for the house nobody was heard after them


@dataclass(frozen=True)
class Wishes:
    default_region: str = "TR"
    language: str = "tr"
    time_zone: str = "Europe/Istanbul"
    public_name: str = "Santral"
    link_unseen_days: int = 730
    areas: Areas = field(default_factory=lambda: numbers.NO_AREAS)


async def key(db: Any, answers: Mapping[str, str], wanted: int = Level.KEYED, raw: str = UNKNOWN) -> int:
    """The level after one attempt in a call of its own."""
    conversation = await db.work(call, raw)
    return int(await db.work(attempt, conversation, answers, wanted))


def attempt(session, conversation: str, answers: Mapping[str, str], wanted: int) -> int:
    here = row(session, conversation)
    who = numbers.parse(here.raw, "TR")
    arrival = Arrival(conversation, who, Identification(Outcome.NONE, Level.NONE, (), ()))
    check = steps.CheckProof(dict(answers), wanted, "prove", 1)
    return proving.Check(arrival, check, conversation, Wishes())(session, NOW).level


async def statements(db: Any, raw: str, answers: Mapping[str, str], wanted: int) -> list[str]:
    """The texts of all statements of the whole attempt, until it is committed."""
    conversation, seen = await db.work(call, raw), []

    def heard(connection, cursor, text, *rest):
        seen.append(text)

    engine = db._inner._engine
    engine = getattr(engine, "sync_engine", engine)  # PostgreSQL's is an asynchronous one
    event.listen(engine, "before_cursor_execute", heard)
    try:
        await db.work(attempt, conversation, answers, wanted)
    finally:
        event.remove(engine, "before_cursor_execute", heard)
    return seen


UNTOLD = [
    {"identifier": "1999999", "birth_date": "01011990"},
    {"identifier": "1999999", "birth_date": ""},
    {"identifier": "1000123", "birth_date": ""},
    {"identifier": "1000123", "birth_date": "01011990"},
    {"identifier": "1000124", "birth_date": "01011990"},
    {"identifier": "", "birth_date": ""},
]


async def test_a_whole_attempt_is_the_same_work_whoever_has_the_number(any_db):
    home = await any_db.work(build)
    await any_db.work(household.second_home, home)
    await any_db.work(parties_without_birth_date)
    found = [await statements(any_db, f"0535 111 22 {at:02}", each, Level.KEYED) for at, each in enumerate(UNTOLD)]
    assert len(found[0]) > 15
    assert all(each == found[0] for each in found)
    pin = [
        await statements(any_db, f"0535 111 33 {at:02}", {"identifier": each, "pin": "4711"}, Level.VERIFIED)
        for at, each in enumerate(("1999999", "1000123", "1000124"))
    ]
    assert pin[0] == pin[1] == pin[2]


def parties_without_birth_date(session):
    naz = session.scalars(select(parties.Party).where(parties.Party.customer_no == "1000124")).one()
    naz.birth_date = None


async def test_narrowing_is_the_same_work_for_a_line_that_is_up(any_db):
    home = await any_db.work(build)
    await any_db.work(household.line_down, home.dsl)
    up, nobody_s = [
        await statements(any_db, f"0535 111 22 {at:02}", {"last_four": each}, Level.MATCHED)
        for at, each in enumerate(("0199", "7777"))
    ]
    assert up == nobody_s


@pytest.mark.parametrize("suspect", ["1000123", "1999999"])
async def test_his_own_count_does_not_tell_a_stranger_which_numbers_there_are(db, suspect):
    """Four that nobody has, then the one that he wonders about, each with the birth date skipped: is he still heard himself?"""
    await db.work(build)
    for each in range(SLOW["number"].windows[0].most - 1):
        await key(db, {"identifier": f"199999{each}", "birth_date": ""})
    await key(db, {"identifier": suspect, "birth_date": ""})
    assert await key(db, {"identifier": "1000124", "birth_date": "02011975"}) == 0


async def test_what_stays_below_the_level_leaves_the_call_as_it_was(db):
    home = await db.work(build)
    conversation = await db.work(call)
    before = await db.read(lambda session: session.scalar(select(func.count()).select_from(EventRow)))
    assert await db.work(attempt, conversation, {"identifier": "1000123", "birth_date": ""}, Level.KEYED) == 0
    here = await db.read(row, conversation)
    assert (here.outcome, here.level, here.proof, here.subscription_id) == ("none", 0, None, None)
    assert await db.read(happened, ProofGiven) == []
    assert await db.read(lambda session: session.scalar(select(func.count()).select_from(EventRow))) == before + 1
    left = await db.read(lambda session: session.scalars(select(GuessCount.key)).all())
    assert not [each for each in left if home.household in each], "nothing was guessed at him"


async def test_a_right_birth_date_is_not_enough_where_a_pin_is_wanted_and_counts(db):
    home = await db.work(build)
    await db.work(pins.set_pin, home.ali, "4711", by="ops", now=NOW)
    answers = {"identifier": "1000123", "birth_date": "31121980", "pin": ""}
    assert await key(db, answers, Level.VERIFIED) == 0
    counted = await db.read(lambda session: session.get_one(GuessCount, f"subscription:{home.household}"))
    assert counted.count == 1
    assert await key(db, {**answers, "pin": "4711"}, Level.VERIFIED) == Level.VERIFIED


async def test_a_right_one_is_a_proof_and_ends_the_waiting(db):
    home = await db.work(build)
    await key(db, {"identifier": "1000123", "birth_date": "01011990"})
    assert await key(db, {"identifier": "1000123", "birth_date": "31121980"}) == Level.KEYED
    assert await db.read(lambda session: session.get(GuessCount, f"subscription:{home.household}")) is None


async def test_in_a_large_outage_everybody_is_heard(db):
    """Honest callers, each with the last four digits of his own line, and most lines end like another one."""
    await db.work(build)
    alike, alone = range(1_000, 1_000 + ALIKE), range(8_000, 8_010)
    lines = [*alike, *(10_000 + each for each in alike), *alone]

    def many(session):
        holder = household.stranger(session, "Site", "2000000", "1970-01-01")
        for each in lines:
            parties.add_subscription(
                session,
                number=f"S{each}",
                kind="landline",
                holder=holder,
                line_number=f"+90212{each:07}",
                area="Moda",
                now=NOW,
            )
        outages.open_outage(session, area="Moda", started_at=NOW, estimate_at=None, now=NOW)

    await db.work(many)
    levels = [
        await key(db, {"last_four": f"{each % 10**4:04}"}, Level.MATCHED, f"0535 {at:07}")
        for at, each in enumerate(lines)
    ]
    assert levels == [0] * 2 * ALIKE + [Level.MATCHED] * len(alone)
    assert await key(db, {"identifier": "1000123", "birth_date": "31121980"}) == Level.KEYED, (
        "and so is who proves himself"
    )


async def test_nobody_walks_through_all_endings(db):
    home = await db.work(build)
    await db.work(household.line_down, home.dsl)
    for raw in (UNKNOWN, "anonymous"):
        for each in range(SLOW["last_four"].windows[0].most):
            assert await key(db, {"last_four": f"77{each:02}"}, Level.MATCHED, raw) == 0
        assert await key(db, {"last_four": "0101"}, Level.MATCHED, raw) == 0
    assert await key(db, {"last_four": "0101"}, Level.MATCHED, "0535 111 22 33") == Level.MATCHED
