"""The demo's carrier and phones against a real Asterisk on which nothing of ours runs: the call takes the fallback."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from cti.asterisk import debs, pbx, placeholders
from cti.demo import load
from cti.demo.carrier import Caller, Carrier, call
from cti.demo.phones import NEVER, Behaviour, Phones
from cti.demo.sipp import Address, free_port
from tests.live.switch import Switch, running

pytestmark = pytest.mark.live
NUMBER = "+905325550123"
QUICK = Behaviour(answer_s=0.3, talk_s=1.0)


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    folder = tmp_path_factory.mktemp("phones")
    (folder / "prompts").mkdir()
    for name in pbx.SAID_IN_FALLBACK:  # short: the words are not what is tested
        placeholders.save(folder / "prompts" / f"{name}.wav", array("h", placeholders.chime()[:8000]))
    with running(folder, agents=("1001", "1002"), ring_s=1) as started:
        yield started


@pytest.fixture
def carrier(switch: Switch, tmp_path: Path) -> Carrier:
    sipp = debs.find("sipp", switch.plan.tools)
    return Carrier(sipp=sipp, target=Address(switch.plan.host, switch.plan.sip_port), out_dir=tmp_path)


def phones(switch: Switch, carrier: Carrier, **behaviours: Behaviour) -> Phones:
    by_name = {name.removeprefix("p"): behaviour for name, behaviour in behaviours.items()}
    return Phones(carrier.sipp, carrier.target, switch.secrets.phones, carrier.out_dir / "phones", by_name)


async def test_a_call_without_an_application_rings_two_phones_in_turn_and_is_heard(
    switch: Switch, carrier: Carrier
) -> None:
    async with phones(switch, carrier, p1001=NEVER, p1002=QUICK) as desk:
        async with await carrier.dial(Caller(NUMBER, name='Şule "Öz"')) as caller:
            assert await caller.answered()
            await caller.ear.until_voice(since_s=0.0)  # the announcement
            await desk.until("ringing", "1001")
            await desk.until("answered", "1002")
            talk = caller.ear.now_s
            await caller.ear.until_voice(since_s=talk)  # the agent's hum
            result = await caller.ended(timeout_s=10)
        await desk.until("over", "1001")
        await desk.until("over", "1002")
    assert result.answered
    assert (result.ended_by, result.cause) == ("switch", "16")
    assert desk.heard.count(("answered", "1001")) == 0
    await nothing_left(switch)


async def test_the_caller_hangs_up_and_the_phone_hears_it(switch: Switch, carrier: Carrier) -> None:
    async with phones(switch, carrier, p1001=Behaviour(0.2, None), p1002=NEVER) as desk:
        async with await carrier.dial(NUMBER) as caller:
            await desk.until("answered", "1001")
            result = await caller.hang_up()
        await desk.until("over", "1001")
    assert (result.answered, result.ended_by) == (True, "caller")
    await nothing_left(switch)


async def test_a_caller_who_gives_up_before_the_answer_leaves_nothing(switch: Switch, carrier: Carrier) -> None:
    caller = await carrier.dial(NUMBER)
    result = await caller.hang_up()
    assert (result.answered, result.ended_by) == (False, "caller")
    await nothing_left(switch)


def test_all_of_it_works_on_uvloop_too(switch: Switch, carrier: Carrier) -> None:
    async def talk() -> None:
        async with phones(switch, carrier, p1001=QUICK):
            assert (await call(carrier, NUMBER)).ended_by == "switch"

    uvloop.run(talk())


async def test_a_number_that_is_not_there_is_refused(carrier: Carrier) -> None:
    result = await call(carrier, NUMBER, to="nobody", hold_s=0.1)
    assert (result.answered, result.status, result.ended_by) == (False, 404, "refused")


async def test_three_callers_at_once_have_ports_of_their_own(switch: Switch, carrier: Carrier) -> None:
    together = dataclasses.replace(carrier, port=free_port(carrier.host), media_port=free_port(carrier.host))
    results = await asyncio.gather(*(call(together, f"{NUMBER[:-1]}{each}", hold_s=0.2) for each in range(3)))
    assert [result.ended_by for result in results] == ["caller"] * 3
    assert all(result.answered for result in results)
    await nothing_left(switch)


async def test_a_phone_that_changes_its_mind_rings_at_one_place_only(switch: Switch, carrier: Carrier) -> None:
    async with phones(switch, carrier, p1001=NEVER, p1002=NEVER) as desk:
        await desk.set(QUICK, "1001")
        contacts = [line for line in switch.ask("pjsip show contacts").splitlines() if "/sip:" in line]
        assert len(contacts) == 2, contacts
        result = await call(carrier, NUMBER)
        assert result.ended_by == "switch"
        assert ("answered", "1001") in desk.heard
    await nothing_left(switch)


async def test_keys_of_the_ear_reach_the_switch(switch: Switch, carrier: Carrier) -> None:
    """The console's DTMF log is off, so the proof is RTP's own count of events: an echo would not know them."""
    async with phones(switch, carrier, p1001=Behaviour(0.2, None)), await carrier.dial(NUMBER) as caller:
        assert await caller.answered()
        switch.ask("rtp set debug on")
        switch.ask("logger add channel rtp.log verbose,dtmf")
        await caller.press_each(["4", "2"], within_s=1.0)
        switch.ask("rtp set debug off")
    log = (switch.plan.home / "log" / "rtp.log").read_text(errors="replace")
    switch.ask("logger remove channel rtp.log")
    assert [digit for digit in "42" if f"DTMF end '{digit}' received" in log] == ["4", "2"]


async def test_a_load_of_calls_with_keys_is_answered_and_measured(switch: Switch, carrier: Carrier) -> None:
    rows = [load.Row(f"+90532555{1000 + each}", ("1", "2")) for each in range(6)]
    result = await load.calls(carrier, rows, rate=6, key_s=0.9, hold_s=0.5)
    assert (result.placed, result.answered, result.failed) == (6, 6, 0)
    claim_ms = switch.plan.claim_timeout_ms
    assert claim_ms <= result.percentile(50) < claim_ms + 500
    await nothing_left(switch)


async def test_when_its_parent_is_killed_no_sipp_stays(switch: Switch, carrier: Carrier) -> None:
    code = (
        "import asyncio, pathlib, sys\nfrom cti.demo.phones import *\nfrom cti.demo.sipp import Address, free_port\n"
        "async def main():\n"
        "    phones = Phones(sys.argv[5:], Address('127.0.0.1', int(sys.argv[1])), {'1001': sys.argv[2]}, pathlib.Path(sys.argv[3]))\n"
        "    await phones.start()\n    print(*phones.pids, flush=True)\n    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    arguments = [str(switch.plan.sip_port), switch.secrets.phones["1001"], str(carrier.out_dir), "--", *carrier.sipp]
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in (await parent.stdout.readline()).split()]
    assert pids
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    await asyncio.to_thread(wait_gone, pids)


async def nothing_left(switch: Switch) -> None:
    """Asterisk forgets a channel a moment after the BYE."""
    until = time.monotonic() + 5
    while (said := await asyncio.to_thread(switch.ask, "core show channels count")) and "0 active channels" not in said:
        assert time.monotonic() < until, said


def wait_gone(pids: list[int]) -> None:
    until = time.monotonic() + 5
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < until, pids
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
