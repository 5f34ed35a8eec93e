"""What people did to what an import brought outlives importing it again and undoing it; and FILE.rejected.csv outlives being killed."""

import asyncio
import csv
import datetime as dt
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cti.db import Database
from cti.line import Caller
from cti.records import batches, import_undo, imports, links, timeline
from cti.records.contact_points import ContactPoint, Link
from cti.records.import_rejects import Rejects
from cti.records.import_undo import Undone
from cti.records.import_waiting import Waiting, Waitlist
from cti.records.parties import Household, HouseholdMember, Party, Subscription
from cti.records.timeline import Interaction
from cti.switchboard import arrived
from tests.cti.records.test_imports_ahead import planned_ahead as planned_ahead
from tests.cti.records.test_imports_whole import (
    Killed,
    counts,
    killed_after,
    load,
    number,
    quiet,
    rejected,
    written,
)
from tests.cti.records.test_imports_whole import small_pieces as small_pieces

DAY = dt.timedelta(days=1)
ALI = "external_id,name,phones\na,Ali,0532 555 01 23\n"
LINE = "external_id,name,subscription_no,subscription_kind,line_number\na,Ali,S1,landline,0212 555 01 01\n"
SERVICES = "external_id,name,subscription_no,subscription_kind,depends_on\n"


async def undo(db: Database, batch: int, now: dt.datetime) -> Undone:
    return await import_undo.undo(db, batch, by="test", now=now, progress=quiet)


async def parties(db: Database) -> set[str | None]:
    return await db.read(lambda session: set(session.scalars(select(Party.external_id))))


# --- disowned ---------------------------------------------------------------------------------------------------------


def dispute(session: Session, now: dt.datetime) -> None:
    links.dispute(session, session.scalars(select(Link.id)).one(), reason="not his", by="agent", now=now)


def end(session: Session, now: dt.datetime) -> None:
    links.end_link(session, session.scalars(select(Link.id)).one(), reason="not_theirs", by="agent", now=now)


@pytest.mark.parametrize("said", [dispute, end])
@pytest.mark.parametrize(
    ("first", "again"),
    [(ALI, ALI), (ALI, ALI.replace("0532", "user:0532")), (LINE, LINE)],
    ids=["same", "role", "line"],
)
@pytest.mark.parametrize("way", ["ahead", "careful"])
async def test_a_number_that_somebody_disowned_is_not_linked_again(
    any_db, tmp_path, now, request, said, first, again, way
):
    await load(any_db, written(tmp_path, first), now)
    await any_db.work(said, now + DAY)
    if way == "ahead":
        request.getfixturevalue("planned_ahead")()
    report = await load(
        any_db,
        written(tmp_path, again + "b,Bora" + "," * (again.count(",", 0, again.index("\n")) - 1) + "\n"),
        now + 2 * DAY,
    )
    assert (report.parties, report.links) == (1, 0)
    open_one = said is dispute and first == again  # a disputed link holds its place, so nothing else would be made
    assert report.disowned == (0 if open_one else 1)
    assert report.batch is not None
    assert (await any_db.read(batches.the, report.batch)).counts["disowned"] == report.disowned


async def test_a_number_that_was_given_up_may_come_back(any_db, tmp_path, now):
    first = await load(any_db, written(tmp_path, ALI), now)
    await undo(any_db, number(first), now + DAY)
    assert (await load(any_db, written(tmp_path, ALI), now + 2 * DAY)).links == 1


# --- undo -------------------------------------------------------------------------------------------------------------


def sets_pin(session: Session, now: dt.datetime) -> None:
    session.execute(update(Party).values(pin_hash="x"))


def moves_in(session: Session, now: dt.datetime) -> None:
    session.add(Household(id="h", label="ev"))
    session.flush()
    session.add(HouseholdMember(household_id="h", party_id=session.scalars(select(Party.id)).one(), role="member"))


def calls(session: Session, now: dt.datetime) -> None:
    value = session.scalars(select(ContactPoint.value)).one()
    arrived(session, Caller("1.1", "02125550100", value, ""), region="TR", now=now)


def writes(session: Session, now: dt.datetime) -> None:
    timeline.seed_channels(session)
    point = session.scalars(select(ContactPoint.id)).one()
    session.add(
        Interaction(id="i", channel_id="phone", direction="in", contact_point_id=point, external_id="e", at=now)
    )


@pytest.mark.parametrize("use", [sets_pin, moves_in, calls, writes])
@pytest.mark.parametrize("text", [ALI, LINE], ids=["number", "line"])
async def test_who_is_used_without_being_referred_to_stays(any_db, tmp_path, now, use, text):
    report = await load(any_db, written(tmp_path, text), now)
    await any_db.work(use, now + DAY)
    undone = await undo(any_db, number(report), now + 2 * DAY)
    assert await parties(any_db) == {"a"}
    assert undone.kept["parties"] == 1


async def test_a_call_from_before_the_import_keeps_nobody(any_db, tmp_path, now):
    await any_db.work(arrived, Caller("1.1", "02125550100", "+905325550123", ""), region="TR", now=now - DAY)
    report = await load(any_db, written(tmp_path, ALI), now)
    await undo(any_db, number(report), now + DAY)
    assert await parties(any_db) == set()


async def test_a_row_that_somebody_begins_to_use_meanwhile_stays_and_the_others_go(any_db, tmp_path, now, monkeypatch):
    report = await load(any_db, written(tmp_path, "external_id,name\na,Ali\nb,Bora\nc,Cem\n"), now)
    of_ali = await any_db.read(lambda s: s.scalars(select(Party.id).where(Party.external_id == "a")).one())
    delete = import_undo._delete

    def beaten(session: Session, table: type, ids: list[str]) -> int:
        gone = delete(session, table, ids)
        if of_ali in ids:
            raise IntegrityError("", {}, RuntimeError("a call refers to it"))
        return gone

    monkeypatch.setattr(import_undo, "_delete", beaten)
    undone = await undo(any_db, number(report), now + DAY)
    assert (undone.removed["parties"], undone.kept["parties"]) == (2, 1)
    assert await parties(any_db) == {"a"}


# --- what carries what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["ahead", "careful"])
async def test_a_service_never_hangs_on_itself(any_db, tmp_path, now, request, way):
    if way == "ahead":
        request.getfixturevalue("planned_ahead")()
    path = written(tmp_path, SERVICES + "a,A,S1,dsl,S2\nb,B,S2,dsl,S3\nc,C,S3,dsl,S1\nd,D,S4,dsl,S5\ne,E,S5,dsl,\n")
    report = await load(any_db, path, now)
    assert report.subscriptions == 5
    [(line, reason)] = rejected(path)
    assert line == "3"
    assert reason == "imported, but depends_on names a subscription that itself hangs on this one: 'S3'"
    carried = await any_db.read(
        lambda s: set(s.scalars(select(Subscription.number).where(Subscription.depends_on_id.is_not(None))))
    )
    assert "S4" in carried
    assert len(carried) == 3
    await undo(any_db, number(report), now + DAY)
    assert await any_db.read(lambda s: s.scalar(select(func.count()).select_from(Subscription))) == 0


async def test_a_resumed_import_says_how_far_it_is_while_it_looks_for_what_waits(db, tmp_path, now, small_pieces):
    path = written(tmp_path, SERVICES + "".join(f"{n},A,S{n},dsl,X{n}\n" for n in range(40)))
    with pytest.raises(Killed):
        await load(db, path, now, progress=killed_after(28))
    seen: list[int] = []
    await load(db, path, now, resume=True, progress=lambda progress: seen.append(progress.line))
    assert seen == [8, 15, 22, 29, 36, 41]
    assert [int(line) for line, _ in rejected(path)] == list(range(2, 42))


def test_what_waits_is_kept_on_disk_and_told_in_the_order_of_the_file():
    waitlist = Waitlist()
    rows = [Waiting(f"id {n}", f"S{n % 3}", n, {"name": "Müşteri"}) for n in range(9)]
    waitlist.change([], reversed(rows))
    assert [each.line for each in waitlist] == list(range(9))
    assert waitlist.of({"S1", "x"}) == {"S1": [rows[1], rows[4], rows[7]]}
    waitlist.change(["S1", "S2"], [])
    assert (len(waitlist), waitlist.has(["S0"]), waitlist.has(["S1"]), waitlist.has([])) == (3, True, False, False)
    assert [each.rejected().line for each in waitlist] == [0, 3, 6]
    waitlist.close()


# --- FILE.rejected.csv ------------------------------------------------------------------------------------------------


async def test_a_new_import_begins_without_the_rows_of_an_earlier_one(db, tmp_path, now, small_pieces):
    path = written(tmp_path, ALI + "b,,\n")
    await load(db, path, now)
    assert len(rejected(path)) == 1
    path = written(tmp_path, ALI + "b,Bora,\n" * 20)
    with pytest.raises(Killed):
        await load(db, path, now, progress=killed_after(7))
    await load(db, path, now, resume=True)
    assert not path.with_name("customers.csv.rejected.csv").exists()


async def test_what_waited_in_vain_is_told_once_by_who_was_stopped_at_the_very_end(db, tmp_path, now, monkeypatch):
    path = written(tmp_path, SERVICES + "a,A,S1,dsl,X1\nb,,S2,dsl,\nc,C,S3,dsl,X3\n")

    def stopped(*_of: object, **_more: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(batches, "finish", stopped)
        with pytest.raises(Killed):
            await load(db, path, now)
    assert [line for line, _ in rejected(path)] == ["3", "2", "4"]
    report = await load(db, path, now, resume=True)
    assert [line for line, _ in rejected(path)] == ["3", "2", "4"]
    assert report.left_out == 3


async def test_a_huge_cell_is_told_in_short_and_read_again(db, tmp_path, now, small_pieces):
    path = written(tmp_path, "external_id,name,kind\na,Ali," + "ş" * 131_000 + "\n" + "b,Bora,\n" * 20)
    with pytest.raises(Killed):
        await load(db, path, now, progress=killed_after(7))
    await load(db, path, now, resume=True)
    [(line, reason)] = rejected(path)
    assert (line, len(reason)) == ("2", 500)


@pytest.mark.parametrize(
    "half",
    ["12", "12,", "12,no name", "4,no name,x\r\n", '120,"no\n', "3,no na", '3,"imported, but depends_on n'],
    ids=repr,
)
def test_of_a_file_that_was_cut_off_whole_rows_stay(tmp_path: Path, half: str):
    path = tmp_path / "a.csv.rejected.csv"
    whole = '\ufeffline,reason,external_id,name\r\n2,no name,"x\ny",\r\n5,no name,ş,\r\n'
    path.write_bytes((whole + half).encode())
    rejects = Rejects.open(tmp_path / "a.csv", 20)
    rejects.write([imports.Rejected(21, "no name", {"external_id": "z", "name": ""})], after=20)
    rejects.close()
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["line", "2", "5", "21"]


async def test_undo_beside_calls_that_refer_to_what_goes(pg, tmp_path, now):
    text = "external_id,name\n" + "".join(f"a{n},Ali {n}\n" for n in range(300))
    report = await load(pg, written(tmp_path, text), now)
    await pg.work(timeline.seed_channels)
    ids = await pg.read(lambda s: s.scalars(select(Party.id).order_by(Party.id.desc())).all())

    def uses(session: Session, party: str) -> None:
        if session.get(Party, party) is not None:
            session.add(
                Interaction(id=party, channel_id="phone", direction="in", party_id=party, external_id=party, at=now)
            )

    async def use() -> None:
        for party in ids[:60]:
            await pg.work(uses, party)

    undone, _ = await asyncio.gather(undo(pg, number(report), now + DAY), asyncio.gather(use(), return_exceptions=True))
    assert undone.removed["parties"] + undone.kept["parties"] == 300
    assert (await counts(pg))[0] == undone.kept["parties"]
