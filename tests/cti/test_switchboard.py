"""Facts of the switch: twice, late, in odd orders, or of somebody else's calls. Whole calls are told in tests/stories."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from cti import calls, ledger, line, switchboard
from cti.db import LAST_WORDS, Database
from cti.events import AgentStateChanged, CallDiverted
from cti.records.contact_points import ContactPoint
from cti.records.conversations import Conversation, Offer
from cti.records.parties import Party
from cti.switchboard import Switchboard, desk
from tests.fakes import company, story

ARRIVES = {"flow": "arrives", "number": company.HIS}
QUEUES = {"flow": "queues", "intent": "fault"}
RINGS, ANSWERS = {"fact": "DeviceRinging", "agent": "zeynep"}, {"fact": "DeviceAnswered", "agent": "zeynep"}


async def types(db: Database) -> list[str]:
    return [each.event.type for each in await story.told(db)]


async def states(db: Database) -> dict[str, str]:
    """Each agent's offer and how it stands."""
    return {each.agent: each.state for each in await db.read(lambda session: list(session.scalars(select(Offer))))}


def counted(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


# --- odd orders ---


async def test_the_same_channel_twice_is_one_conversation(any_db, now):
    await any_db.work(company.load, now)
    caller = line.Caller("c1", story.DID, company.HIS, "")
    first = await any_db.work(switchboard.arrived, caller, region="TR", now=now)
    again = await any_db.work(switchboard.arrived, caller, region="TR", now=now)
    assert again == first
    assert await types(any_db) == ["call.arrived", "call.identified"]


@pytest.mark.parametrize("number", ["0544 555 99 88", "anonymous", "+90 (((5", "112", ""])
async def test_a_number_that_nobody_knows_makes_no_party(db, now, number):
    teller = await story.begin(db, now)
    before = await db.read(counted, Party)
    await teller.tell([{"flow": "arrives", "number": number}, QUEUES, {"fact": "ChannelGone"}])
    assert await db.read(counted, Party) == before


async def test_a_withheld_number_leaves_no_contact_point(db, now):
    teller = await story.begin(db, now)
    before = await db.read(counted, ContactPoint)
    await teller.tell([{"flow": "arrives", "number": "anonymous"}])
    assert await db.read(counted, ContactPoint) == before


async def test_facts_of_calls_that_are_not_ours_leave_no_trace(db, now):
    teller = await story.begin(db, now)
    strange = [
        "DeviceRinging", "DeviceStopped", "DeviceAnswered", "TalkEnded", "ChannelGone", "QueueLeft"
    ]  # fmt: skip
    await teller.tell([{"fact": name, "agent": "zeynep", "channel": "elsewhere"} for name in strange])
    assert await types(db) == []


async def test_a_device_that_rings_after_the_caller_left_is_not_offered(db, now):
    teller = await story.begin(db, now)
    await teller.tell([ARRIVES, QUEUES, {"fact": "ChannelGone"}, RINGS])
    assert await states(db) == {}


async def test_an_answer_after_the_withdrawal_does_not_bring_the_offer_back(db, now):
    teller = await story.begin(db, now)
    await teller.tell([ARRIVES, QUEUES, RINGS, {"fact": "ChannelGone"}, ANSWERS])
    assert await states(db) == {"zeynep": "withdrawn"}
    assert "call.answered" not in await types(db)


async def test_a_caller_who_hangs_up_while_it_rings_withdraws_every_offer_once(db, now):
    teller = await story.begin(db, now, twice=True)
    await teller.tell(
        [ARRIVES, QUEUES, RINGS, {**RINGS, "agent": "murat"}, {"fact": "QueueLeft"}, {"fact": "ChannelGone"}]
    )
    reasons = [each.event.reason for each in await story.told(db) if isinstance(each.event, CallDiverted)]
    assert reasons == ["caller_left", "caller_left"]


async def test_an_agent_s_leg_that_vanishes_while_it_rings_withdraws_its_offer(db, now):
    teller = await story.begin(db, now)
    await teller.tell([ARRIVES, QUEUES, RINGS, {"fact": "ChannelGone", "channel": "zeynep-1"}])
    assert await states(db) == {"zeynep": "withdrawn"}
    assert (await db.read(switchboard.of_channel, "c1")).state == "queued"


async def test_an_agent_s_leg_that_vanishes_while_he_talks_counts_the_talk_by_our_clock(db, now):
    teller = await story.begin(db, now)
    await teller.tell([ARRIVES, QUEUES, RINGS, ANSWERS, {"fact": "ChannelGone", "channel": "zeynep-1", "after_s": 42}])
    cleared: Any = (await story.told(db))[-1].event
    assert (cleared.type, cleared.talked_s, cleared.by) == ("call.cleared", 42.0, "unknown")


async def test_a_call_that_ends_takes_its_talk_along_and_a_later_word_of_it_changes_nothing(db, now):
    teller = await story.begin(db, now)
    await teller.tell(
        [ARRIVES, QUEUES, RINGS, ANSWERS, {"fact": "ChannelGone"}, {"fact": "TalkEnded", "agent": "zeynep"}]
    )
    assert (await types(db))[-2:] == ["call.cleared", "call.ended"]
    assert (await db.read(switchboard.of_channel, "c1")).end_reason == "answered"


async def test_a_queue_that_is_entered_after_the_hang_up_is_not_told(db, now):
    """The caller hung up while the flow was writing that it sends him to a queue."""
    teller = await story.begin(db, now)
    await teller.tell([ARRIVES, {"fact": "ChannelGone"}, QUEUES])
    assert (await types(db))[-1] == "call.ended"


async def test_being_queued_twice_is_one_recording(db, now):
    teller = await story.begin(db, now)
    await teller.tell([ARRIVES, QUEUES, QUEUES, {"fact": "QueueJoined"}])
    assert Counter(await types(db))["recording.started"] == 1


async def test_an_answered_caller_who_is_queued_again_waits_again(db, now):
    teller = await story.begin(db, now)
    await teller.tell(
        [ARRIVES, QUEUES, RINGS, ANSWERS, {"fact": "TalkEnded", "agent": "zeynep"}, {"fact": "QueueJoined"}]
    )
    assert (await db.read(switchboard.of_channel, "c1")).state == "queued"


FACTS = [
    {"fact": "QueueJoined"}, {"fact": "QueueLeft"}, {"fact": "ChannelGone"},
    *({"fact": name, "agent": agent} for agent in ("zeynep", "murat")
      for name in ("DeviceRinging", "DeviceStopped", "DeviceAnswered", "TalkEnded")),
    *({"fact": "ChannelGone", "channel": f"{agent}-1"} for agent in ("zeynep", "murat")),
]  # fmt: skip


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(FACTS), max_size=15))
def test_any_order_of_facts_keeps_the_ledger_in_order(sqlite_file, now, steps):
    """One end at most, nothing offered afterwards, one fate for each offer, and a row that says what its events say."""
    engine = create_engine(f"sqlite:///{sqlite_file}")
    with Session(engine) as session:
        session.info[LAST_WORDS] = []
        company.load(session, now)
        switchboard.arrived(session, line.Caller("c1", story.DID, company.HIS, ""), region="TR", now=now)
        for second, step in enumerate(steps):
            at = now + dt.timedelta(seconds=second)
            given_ = {key: value for key, value in step.items() if key != "fact"}
            switchboard.take(story.fact(step["fact"], at, given_), session, at, "TR")
        for word in session.info[LAST_WORDS]:
            word(session)
        row = switchboard.of_channel(session, "c1")
        assert row is not None
        check_order(row, [each.event for each in ledger.of_conversation(session, row.id)])
        session.rollback()
    engine.dispose()


def check_order(row: Conversation, events: list[Any]) -> None:
    kinds = [each.type for each in events]
    state = calls.State.IVR
    for event in events:
        state = calls.after(state, event)
    assert row.state == state
    assert kinds.count("call.ended") <= 1
    if "call.ended" in kinds:
        late = set(kinds[kinds.index("call.ended") + 1 :])
        assert late <= {"call.cleared"}
    for offer in {each.offer for each in events if each.type == "call.delivered"}:
        fate = [each.type for each in events if getattr(each, "offer", "") == offer]
        assert fate in (
            ["call.delivered"], ["call.delivered", "call.diverted"], ["call.delivered", "call.answered"],
            ["call.delivered", "call.answered", "call.cleared"],
        )  # fmt: skip


# --- the switchboard itself ---


class Board:
    """A switchboard that runs; `refused` are device channels that the switch does not confirm."""

    def __init__(self, db: Database, now: dt.datetime) -> None:
        self.db, self.now = db, now
        self.refused: set[str] = set()
        self.changed: list[str] = []
        self.board = Switchboard(db, clock=lambda: now, region="TR", confirm=self._confirm)
        self.board.changed = self.changed.append

    async def _confirm(self, ringing: line.DeviceRinging) -> bool:
        return ringing.device_channel not in self.refused

    async def hear(self, *steps: dict[str, Any]) -> None:
        """Take these facts, and return when the switchboard has written them."""
        running = asyncio.create_task(self.board.run())
        for step in steps:
            self.board.take(story.fact(step["fact"], self.now, {k: v for k, v in step.items() if k != "fact"}))
        done = asyncio.Event()
        self.db.on_commit = lambda news: done.set() if news[-1].event.agent == "last" else None
        self.board.take(story.fact("MemberChanged", self.now, {"agent": "last"}))
        await asyncio.wait_for(done.wait(), 5)
        running.cancel()
        await asyncio.wait([running])


async def test_ami_saying_everything_twice_makes_one_offer(db, now):
    teller = await story.begin(db, now)
    await teller.tell([ARRIVES, QUEUES])
    await Board(db, now).hear(*(each for each in (RINGS, ANSWERS) for _ in range(2)))
    assert Counter(await types(db))["call.delivered"] == 1
    assert await states(db) == {"zeynep": "answered"}


async def test_a_ringing_that_the_switch_does_not_confirm_is_not_offered(db, now):
    teller = await story.begin(db, now)
    await teller.tell([ARRIVES, QUEUES])
    board = Board(db, now)
    board.refused = {"zeynep-1"}
    await board.hear(RINGS, {**RINGS, "agent": "murat"})
    assert await states(db) == {"murat": "offered"}


async def test_a_fact_that_cannot_be_written_does_not_take_its_neighbours_along(db, now):
    teller = await story.begin(db, now)
    await teller.tell([ARRIVES, QUEUES])
    impossible = {"fact": "QueueJoined", "channel": None}
    await Board(db, now).hear(impossible, RINGS, impossible)
    assert await states(db) == {"zeynep": "offered"}


async def test_an_agent_s_state_is_told_when_it_is_new(db, now):
    board = Board(db, now)
    here = {"fact": "MemberChanged", "agent": "zeynep"}
    await board.hear(here, here, {**here, "state": "in_use"}, {**here, "paused": True, "reason": "lunch"})
    heard = [each.event for each in await db.read(ledger.since, 0) if each.event.agent == "zeynep"]
    assert heard == [
        AgentStateChanged(agent="zeynep", state="ready"),
        AgentStateChanged(agent="zeynep", state="paused", reason="lunch"),
    ]
    assert board.changed == ["zeynep"] * 3 + ["last"]  # seats also show who is on the phone


async def test_facts_that_find_no_place_have_the_switch_read_anew(db, now, monkeypatch):
    monkeypatch.setattr(desk, "FACTS_WAITING_MAX", 2)
    board = Board(db, now).board
    for _ in range(3):
        board.take(story.fact("QueueLeft", now, {}))
    assert board.overflowed.is_set()


async def test_facts_wait_until_the_database_is_back_and_those_at_the_desk_are_told(db, now, monkeypatch):
    monkeypatch.setattr(desk, "AGAIN_S", 0.01)
    teller = await story.begin(db, now)
    await teller.tell([ARRIVES, QUEUES])
    board, works, refused = Board(db, now), db.work, 5
    told: list[line.Fact] = []
    board.board.unwritten = told.append

    async def away(*args: Any) -> Any:
        nonlocal refused
        refused -= 1
        if refused > 0:
            raise OperationalError("BEGIN", {}, OSError("the disk is gone"))
        return await works(*args)

    db.work = away
    await board.hear(RINGS)
    assert await states(db) == {"zeynep": "offered"}
    assert [type(each).__name__ for each in told][:1] == ["DeviceRinging"]
    assert not board.board.away
    assert not board.board.overflowed.is_set()


ENDS = ("DeviceStopped", "TalkEnded", "ChannelGone")
FACT_NAMES = (*ENDS, "DeviceRinging", "DeviceAnswered", "QueueLeft")


@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize(("away", "told"), [(False, ENDS), (True, FACT_NAMES)])
async def test_pages_hear_of_every_end_and_of_all_else_only_while_it_cannot_be_written(db, now, leads, away, told):
    """What rang while the database was away may stop when it is back: nobody shall go on seeing it ring."""
    heard: list[line.Fact] = []
    board = Board(db, now).board
    board.unwritten = heard.append
    board.lead(leads)
    board.database_away(away)
    for name in FACT_NAMES:
        board.take(story.fact(name, now, {"agent": "zeynep"}))
    assert [type(each).__name__ for each in heard] == list(told)


async def test_a_node_that_does_not_lead_writes_what_its_leader_left_when_it_leads(db, now):
    teller = await story.begin(db, now)
    await teller.tell([ARRIVES, QUEUES])
    board = Board(db, now)
    board.board.lead(False)
    board.board.take(story.fact("DeviceRinging", now, {k: v for k, v in RINGS.items() if k != "fact"}))
    assert await states(db) == {}
    board.board.lead(True)
    await board.hear(RINGS)
    assert await states(db) == {"zeynep": "offered"}
    assert Counter(await types(db))["call.delivered"] == 1


async def test_a_ringing_that_was_over_when_we_woke_up_is_written_but_only_with_its_end(db, now):
    teller = await story.begin(db, now)
    await teller.tell([ARRIVES, QUEUES])
    board = Board(db, now)
    board.refused = {"zeynep-1", "murat-1"}
    earlier = now - dt.timedelta(seconds=30)
    rings = story.fact("DeviceRinging", earlier, {k: v for k, v in RINGS.items() if k != "fact"})
    stops = story.fact("DeviceStopped", earlier, {"agent": "zeynep", "device_channel": "zeynep-1"})
    assert await board.board._real([rings]) == []
    assert await board.board._real([rings, stops]) == [rings, stops]


async def test_a_talk_that_nobody_heard_the_end_of_is_over_and_the_call_is_lost(any_db, now):
    teller = await story.begin(any_db, now)
    await teller.tell([ARRIVES, QUEUES, RINGS, ANSWERS])
    await teller.tell([{"fact": "ChannelGone", "cause": switchboard.UNHEARD}])
    assert (await types(any_db))[-2:] == ["call.cleared", "call.ended"]
    row = await any_db.read(switchboard.of_channel, "c1")
    assert row.end_reason == "lost"
    (offer,) = await any_db.read(lambda session: list(session.scalars(select(Offer))))
    assert offer.ended_at is not None


async def test_two_nodes_that_both_lead_for_a_moment_do_not_wait_for_each_other(pg, now):
    """As the fault bench saw it: each had many calls' facts in one piece of work, in another order."""
    other, channels = Database(pg.url), [f"1795323088.{number}" for number in range(60)]
    for channel in channels:
        caller = line.Caller(channel, "02125550100", "05325550123", "")
        await pg.work(switchboard.arrived, caller, region="TR", now=now)
    gone = [line.ChannelGone(now.timestamp(), channel, "") for channel in channels]
    boards = [Board(pg, now).board, Board(other, now).board]
    work = zip(boards, (pg, other), (gone, gone[::-1]), strict=True)
    await asyncio.gather(*(db.work(board._take_all, facts) for board, db, facts in work))
    assert Counter(await types(pg))["call.ended"] == len(channels)
    await other.close()
