from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from cti import ledger
from cti.config import Settings
from cti.db import Database
from cti.events import FlowSpoke
from cti.line import HungUp, LineFailed, ToQueue
from cti.records import outages, tickets
from cti.records.conversations import Conversation
from cti.switchboard import Arrival
from ivr import conversation, deeds, engine, keeping, prompts, store
from ivr.voice import Voice
from tests.fakes.line import HANG_UP, FakeLine
from tests.fakes.synth import FakeSynth
from tests.ivr import people


class NoDatabase:
    """A database that fails at once (`error`), or never answers."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def work(self, *_args, **_kwargs):
        if self.error:
            raise self.error
        await asyncio.Event().wait()

    read = work


class NoTickets(Database):
    """All is well but the ticket store."""

    async def work(self, fn, /, *args, **kwargs):
        if any(getattr(each, "__qualname__", "").startswith("Deeds._opening") for each in args):
            raise OperationalError("INSERT INTO tickets", {}, Exception("no such disk"))
        return await super().work(fn, *args, **kwargs)


@pytest.fixture
async def voice(tmp_path, main_flow):
    built = Voice(tmp_path / "prompts", FakeSynth())
    await built.build(prompts.all_pieces(main_flow), lambda line: None)
    return built


@pytest.fixture
def flow(main_flow):
    return store.Published(main_flow, 1)


@pytest.fixture
def house(db, voice, now):
    return {"db": db, "voice": voice, "settings": Settings(), "clock": lambda: now}


async def arrive(db: Database, now: dt.datetime, raw: str = people.MOBILE) -> Arrival:
    await db.work(people.customer, "dsl", "landline", now=now)
    return await db.work(people.arrive, raw, now)


def queue_of(line: FakeLine) -> str:
    return line.queued.queue if line.queued else "none"


async def happened(db: Database, arrival: Arrival) -> list[Any]:
    recorded = await db.read(ledger.of_conversation, arrival.conversation)
    return [each.event for each in recorded if each.event.type.startswith(("flow.", "ticket.", "call.queued"))]


async def test_keys_1_1_open_a_ticket_that_is_durable_before_its_number_is_spoken(db, house, flow, now):
    arrival = await arrive(db, now)
    there: list[list[tickets.TicketRow]] = []

    async def on_play(names):
        if any("opened" in name for name in names):
            there.append(await db.read(tickets.open_for, arrival.identification.carriers))

    line = FakeLine("1", "1", on_play=on_play)
    assert await conversation.run(line, arrival, **house, flow=flow)
    assert line.answered
    ((ticket,),) = there
    digits = "".join(name.split("-")[2] for name in line.played if "digit" in name)
    assert digits == ticket.number * 2
    assert ticket.text == "Arayan tuşlarla bildirdi. Modemini yeniden başlattı mı: evet."
    assert ticket.party == arrival.identification.candidates[0].party
    row = await db.read(lambda session: session.get_one(Conversation, arrival.conversation))
    assert line.queued == ToQueue("technical", arrival.conversation, row.recording, language="tr")
    assert (row.state, row.queue, row.intent, row.ticket_id) == ("queued", "technical", "fault", ticket.id)


async def test_the_ledger_tells_the_whole_path_in_order(db, house, flow, now):
    arrival = await arrive(db, now)
    await conversation.run(FakeLine("1", "2"), arrival, **house, flow=flow)
    events = await happened(db, arrival)
    path = [(each.type, getattr(each, "node", "")) for each in events]
    assert path == [
        ("flow.started", ""), ("flow.entered", "menu"), ("flow.heard", "menu"), ("flow.entered", "restarted"),
        ("flow.heard", "restarted"), ("flow.entered", "open"), ("ticket.opened", ""), ("flow.entered", "opened"),
        ("flow.spoke", "opened"), ("flow.entered", "after_ticket"), ("flow.heard", "after_ticket"), ("flow.entered", "technical"),
        ("flow.left", "technical"), ("call.queued", ""),
    ]  # fmt: skip
    (spoke,) = (each for each in events if isinstance(each, FlowSpoke))
    (ticket,) = await db.read(tickets.open_for, arrival.identification.carriers)
    number = ticket.number
    assert spoke.text == f"Arıza kaydınızı açtık. Kayıt numaranız: {number}. Tekrar ediyorum: {number}."


async def test_an_outage_is_told_before_the_first_question(db, house, flow, now):
    await db.work(outages.open_outage, area=people.AREA, started_at=now, estimate_at=None, now=now)
    line = FakeLine(HANG_UP)
    await conversation.run(line, await arrive(db, now), **house, flow=flow)
    names = [name.rpartition("-")[0] for name in line.played]
    assert names[names.index("tr-outage") :] == ["tr-outage", "tr-outage_no_estimate", "tr-outage_menu"]


async def test_what_an_unknown_caller_keys_is_kept_for_the_agent_and_masked_in_the_log(db, house, flow, now, capsys):
    arrival = await arrive(db, now, "05325559999")
    line = FakeLine("1", "4455667788")
    await conversation.run(line, arrival, **house, flow=flow)
    assert ("customer_number", "4455667788") in [
        (each.node, each.digits) for each in await happened(db, arrival) if each.type == "flow.heard"
    ]
    assert queue_of(line) == "technical"
    said = capsys.readouterr().out
    assert "4455667788" not in said
    assert "**********" in said


STRANGER = "05325559999"
QUESTION = ["tr-lines_down", "tr-last_four"]
NAMED = ["tr-lines_down_in-1", "tr-name-moda", "tr-lines_down_in-2", "tr-last_four"]


async def asked(house: dict[str, Any], arrival: Arrival, flow: store.Published, **more: Any) -> list[str]:
    """What a stranger hears who reports a fault, or who is taken over at the question."""
    line = FakeLine(*([HANG_UP] if "resumed" in more else ["1", HANG_UP]))
    await conversation.run(line, arrival, **house, flow=flow, **more)
    names = [name.rpartition("-")[0] or name for name in line.played]
    return names if "resumed" in more else names[names.index("tr-stranger") + 1 :]


async def test_a_stranger_is_asked_about_lines_in_the_areas_that_can_be_spoken_now(db, house, flow, now, voice):
    await voice.add(prompts.names("Moda", "tr"))
    await db.work(outages.open_outage, area="Moda", started_at=now, estimate_at=None, now=now)
    arrival = await db.work(people.arrive, STRANGER, now)
    assert await asked(house, arrival, flow, areas_down=lambda: "Moda") == NAMED


async def test_nobody_is_asked_about_an_area_in_which_all_is_well_again(db, house, flow, now):
    arrival = await db.work(people.arrive, STRANGER, now)
    assert await asked(house, arrival, flow, areas_down=lambda: "Moda") == ["tr-customer_number"]


async def test_while_no_area_can_be_spoken_the_question_names_none(db, house, flow, now):
    await db.work(outages.open_outage, area="Moda", started_at=now, estimate_at=None, now=now)
    assert await asked(house, await db.work(people.arrive, STRANGER, now), flow) == QUESTION


async def test_who_takes_the_call_over_and_cannot_speak_the_area_asks_without_it(db, house, flow, now, voice):
    await voice.add(prompts.names("Moda", "tr"))
    await db.work(outages.open_outage, area="Moda", started_at=now, estimate_at=None, now=now)
    arrival = await db.work(people.arrive, STRANGER, now)

    class Died(BaseException):
        pass

    async def die(names):
        if any("last_four" in name for name in names):
            raise Died

    with pytest.raises(Died):
        await conversation.run(FakeLine("1", on_play=die), arrival, **house, flow=flow, areas_down=lambda: "Moda")
    kept = await db.work(store.take, arrival.conversation)
    assert await asked(house, arrival, flow, resumed=kept) == ["resumed_tr", "tr-last_four"]


@pytest.mark.parametrize("keys", [(HANG_UP,), ("1", HANG_UP), ("1", "1", HANG_UP)])
async def test_hanging_up_at_a_question_leaves_the_flow_there(db, house, flow, now, keys):
    arrival = await arrive(db, now)
    line = FakeLine(*keys)
    assert await conversation.run(line, arrival, **house, flow=flow)
    left = (await happened(db, arrival))[-1]
    assert (left.to, left.node) == ("hangup", ("menu", "restarted", "after_ticket")[len(keys) - 1])
    assert line.queued is None


async def test_a_number_that_was_not_heard_to_its_end_was_not_spoken(db, house, flow, now):
    arrival = await arrive(db, now)
    await conversation.run(FakeLine("1", "1", hang_up_at="number_again"), arrival, **house, flow=flow)
    types = [each.type for each in await happened(db, arrival)]
    assert "ticket.opened" in types
    assert "flow.spoke" not in types


async def test_with_the_ticket_store_down_the_caller_hears_the_truth_and_reaches_a_person(db, house, flow, now):
    arrival = await arrive(db, now)
    broken = NoTickets(db.url.render_as_string())
    line = FakeLine("1", "1")
    await conversation.run(line, arrival, **{**house, "db": broken}, flow=flow)
    await broken.close()
    assert line.heard("ticket_failed")
    assert not line.heard("opened")
    assert queue_of(line) == "technical"
    heard = [each.digits for each in await happened(db, arrival) if each.type == "flow.heard"]
    assert heard == ["1", "1"]


@pytest.mark.parametrize(
    "error", [None, OperationalError("SELECT", {}, Exception("gone")), RuntimeError("a bug of ours")]
)
async def test_without_a_database_the_caller_still_reaches_a_queue(db, house, flow, now, error, monkeypatch):
    deadlines = {
        conversation: ("FACTS_S", "QUEUED_S"),
        keeping: ("KEEP_S", "KEEP_AGAIN_S"),
        deeds: ("TICKET_S", "PROOF_S"),
    }
    for module, names in deadlines.items():
        for name in names:
            monkeypatch.setattr(module, name, 0.01)
    arrival = await arrive(db, now)
    line = FakeLine("1", "1")
    dead = {**house, "db": NoDatabase(error)}
    assert await conversation.run(line, arrival, **dead, flow=flow)
    assert line.queued == ToQueue(queue_of(line), arrival.conversation, "", language="tr")


async def test_a_prompt_that_was_never_built_leads_to_the_queue_with_a_word(db, house, flow, now, tmp_path):
    empty = Voice(tmp_path / "empty", FakeSynth())
    await empty.build([], lambda line: None)
    arrival = await arrive(db, now)
    line = FakeLine("1")
    assert await conversation.run(line, arrival, **{**house, "voice": empty}, flow=flow)
    assert line.played == ["fallback_tr"]
    assert queue_of(line) == "customer_care"
    failed = [each for each in await happened(db, arrival) if each.type == "flow.failed"]
    assert "PromptMissing" in failed[0].error


async def test_a_switch_that_does_not_take_the_caller_back_is_told_to_the_lines_holder(db, house, flow, now):
    class Stuck(FakeLine):
        async def to_queue(self, to):
            raise LineFailed("no answer")

    assert not await conversation.run(Stuck("0"), await arrive(db, now), **house, flow=flow)


async def test_who_hangs_up_while_handed_over_left_once(db, house, flow, now):
    class Leaving(FakeLine):
        async def to_queue(self, to):
            raise HungUp

    arrival = await arrive(db, now)
    assert await conversation.run(Leaving("0"), arrival, **house, flow=flow)
    assert [each.to for each in await happened(db, arrival) if each.type == "flow.left"] == ["queue"]
    assert (await db.work(store.take, arrival.conversation)).session.state == "gone"


async def test_whose_call_was_taken_over_does_not_hand_it_to_the_queue_too(db, house, flow, now):
    arrival = await arrive(db, now)

    async def taken_over(names):
        if any("to_person" in name for name in names):
            await db.work(store.take, arrival.conversation)

    line = FakeLine("0", on_play=taken_over)
    assert await conversation.run(line, arrival, **house, flow=flow)
    assert line.queued is None


@pytest.mark.parametrize(
    ("keys", "at"), [("1", "tr-menu"), ("11", "tr-restarted"), ("11", "tr-opened"), ("0", "to_person")]
)
async def test_whose_call_was_taken_over_lets_go_of_the_line_and_asks_nothing_more_of_it(
    db, house, flow, now, keys, at
):
    arrival = await arrive(db, now)
    until_then: list[str] = []

    async def taken_over(names):
        if not until_then and any(at in name for name in names):
            await db.work(store.take, arrival.conversation)
            until_then.extend(line.played)

    line = FakeLine(*keys, on_play=taken_over)
    assert await conversation.run(line, arrival, **house, flow=flow)
    assert line.played == until_then != []
    assert (line.abandoned, line.queued, line.hung_up) == (True, None, False)
    types = [each.type for each in await happened(db, arrival)]
    assert not {"flow.left", "flow.failed", "call.queued"} & set(types)


async def test_a_driver_that_broke_and_was_taken_over_lets_go_of_the_line_too(db, house, flow, now, tmp_path):
    """It hears so only when it hands the caller over."""
    arrival = await arrive(db, now)
    kept = store.Kept(arrival.conversation, 1, engine.Session("main", "menu", "tr"), (), 0)
    await db.work(store.keep, kept, now)
    empty = Voice(tmp_path / "empty", FakeSynth())
    await empty.build([], lambda line: None)

    async def taken_over(names):
        await db.work(store.take, arrival.conversation)

    line = FakeLine("1", on_play=taken_over)
    assert await conversation.run(line, arrival, **{**house, "voice": empty}, flow=flow)
    assert (line.played, line.abandoned, line.queued) == (["fallback_tr"], True, None)


async def test_a_driver_that_is_stopped_while_it_hands_over_does_nothing_more(db, house, flow, now):
    arrival, handing_over = await arrive(db, now), asyncio.Event()

    class Slow(Database):
        async def work(self, fn, /, *args, **kwargs):
            if any(getattr(each, "__qualname__", "").startswith("_Call._queued") for each in args):
                handing_over.set()
                await asyncio.Event().wait()
            return await super().work(fn, *args, **kwargs)

    slow, line = Slow(db.url.render_as_string()), FakeLine("0")
    driving = asyncio.create_task(conversation.run(line, arrival, **{**house, "db": slow}, flow=flow))
    await handing_over.wait()
    driving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await driving
    await slow.close()
    assert line.queued is None


async def test_a_call_that_ends_by_itself_is_hung_up(db, house, flow, now):
    await db.work(outages.open_outage, area=people.AREA, started_at=now, estimate_at=None, now=now)
    arrival = await arrive(db, now)
    line = FakeLine("1")
    await conversation.run(line, arrival, **house, flow=flow)
    assert line.hung_up
    assert line.queued is None
    (notice,) = await db.read(tickets.open_for, arrival.identification.carriers)
    assert notice.matter == "notice"


async def test_another_driver_goes_on_where_the_first_one_died(db, house, flow, now):
    arrival = await arrive(db, now)

    class Died(BaseException):
        pass

    async def die(names):
        if any("restarted" in name for name in names):
            raise Died

    with pytest.raises(Died):
        await conversation.run(FakeLine("1", on_play=die), arrival, **house, flow=flow)
    kept = await db.work(store.take, arrival.conversation)
    line = FakeLine("1")
    await conversation.run(line, arrival, **house, flow=flow, resumed=kept)
    assert line.played[0] == "resumed_tr"
    assert line.played[1].startswith("tr-restarted")
    types = [each.type for each in await happened(db, arrival)]
    assert (types.count("flow.started"), types.count("ticket.opened"), types[-1]) == (1, 1, "call.queued")


async def test_english_is_spoken_in_english_from_then_on(db, house, flow, now):
    arrival = await arrive(db, now)
    line = FakeLine("9", "1", "1")
    await conversation.run(line, arrival, **house, flow=flow)
    after = line.played[[name.startswith("en-menu") for name in line.played].index(True) :]
    assert all(name.startswith("en-") for name in after)
    (ticket,) = await db.read(tickets.open_for, arrival.identification.carriers)
    assert ticket.text.startswith("Reported by keys on the phone.")


async def test_keys_cut_plain_words_off_but_a_report_is_heard_to_its_end(db, house, flow, now):
    groups: list[list[str]] = []

    async def on_play(names):
        groups.append([name.rpartition("-")[0] for name in names])

    await conversation.run(FakeLine("1", "1", on_play=on_play), await arrive(db, now), **house, flow=flow)
    assert groups[0] == ["tr-welcome", "en-other_language", "tr-greet_person", "tr-menu"]
    assert groups[2][0] == "tr-opened"
    assert groups[2][-1].startswith("tr-digit")
    assert groups[3] == ["tr-after_ticket"]
