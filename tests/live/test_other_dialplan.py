"""A PBX that keeps its own dialplan: one line of it, and it knows who is calling."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cti.demo.carrier import Caller
from tests.live.site import STORY, STRANGER, Site

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

SAYS = "outcome=${SANTRAL_OUTCOME} level=${SANTRAL_LEVEL} role=${SANTRAL_ROLE} party=${SANTRAL_PARTY} result=${SANTRAL_RESULT}"
NAMES = ["SANTRAL_OUTCOME", "SANTRAL_LEVEL", "SANTRAL_PARTY", "SANTRAL_ROLE", "SANTRAL_CUSTOMER_NO", "SANTRAL_RESULT"]


@pytest_asyncio.fixture(loop_scope="module")
async def theirs(site: Site) -> AsyncIterator[Site]:
    """As if 7001 were another PBX's number: its dialplan asks with one line and goes on. 7002 runs our example as it is."""
    path = site.plan.conf.with_name("extensions.conf")
    shipped = path.read_text(encoding="utf-8")
    path.write_text(f"""{shipped}
[from-trunk](+)
exten => 7001,1,AGI(agi://127.0.0.1:{site.plan.agi_port}/identify)
 same => n,Log(NOTICE,{SAYS})
 same => n,Answer(,i)
 same => n,Hangup(16)
exten => 7002,1,Answer(,i)
 same => n,Goto(identify-example,+902125550100,1)
""")
    await site.ask("dialplan reload")
    yield site
    path.write_text(shipped, encoding="utf-8")
    await site.ask("dialplan reload")


def log(site: Site) -> str:
    return (site.plan.home / "log" / "messages").read_text(encoding="utf-8", errors="replace")


async def test_one_line_in_a_dialplan_that_is_not_ours_tells_who_calls(theirs: Site) -> None:
    begin = len(theirs.agi.commands)
    async with await theirs.carrier.dial(Caller(STORY, name='x\\" EXEC System id'), "7001") as call:
        assert await call.answered()
        result = await call.ended(timeout_s=10)
    assert (result.ended_by, result.cause) == ("switch", "16")
    async with theirs.signed_in("agent1001") as client:
        known = (await client.get("/api/v1/identify", params={"number": STORY})).json()
    first = known["candidates"][0]
    said = f"outcome=unique level=1 role={first['role']} party={first['party']} result=OK"
    assert said in log(theirs)
    commands = theirs.agi.commands[begin:]
    assert [each.split()[:3] for each in commands] == [["SET", "VARIABLE", f'"{name}"'] for name in NAMES], (
        "nothing but these"
    )
    assert len(theirs.agi.results) == len(theirs.agi.commands), "and the switch read as many commands as were meant"


async def test_unknown_and_withheld_callers_are_told_as_such(theirs: Site) -> None:
    for caller, outcome in ((Caller(STRANGER), "none"), (Caller("", withheld=True), "withheld")):
        async with await theirs.carrier.dial(caller, "7001") as call:
            assert await call.answered()
            assert (await call.ended(timeout_s=10)).cause == "16"
        assert f"outcome={outcome} level=0 role= party= result=OK" in log(theirs)


async def test_the_shipped_example_asks_and_goes_on(theirs: Site) -> None:
    begin = len(theirs.agi.commands)
    async with await theirs.carrier.dial(STORY, "7002") as call:
        assert await call.answered()
        assert (await call.ended(timeout_s=10)).cause == "16"
    assert theirs.agi.commands[begin].startswith('SET VARIABLE "SANTRAL_OUTCOME" "unique"')
