"""A node beside servers of others: it asks the CRM about callers nobody knows, and hands messages to the gateway."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

from cti.app import House
from cti.config import Settings
from cti.events import CallIdentified, MessageSettled, Recorded
from cti.line import Caller
from cti.records import contact_points, outbox, standing
from cti.switchboard import arrived
from ivr.voice import Voice
from tests.fakes.http_server import as_json, http_server
from tests.fakes.synth import FakeSynth

MOBILE = "+905321234567"
PARTY = {"external_id": "C-17", "name": "Zehra Öz"}


async def test_a_caller_nobody_knows_gets_a_name_and_a_message_its_way(sqlite_file: Path, tmp_path: Path):
    shutil.copyfile(sqlite_file, tmp_path / "santral.db")
    done = asyncio.Event()
    told: list[str] = []

    def hear(recorded: Recorded) -> None:
        match recorded.event:
            case CallIdentified(method="crm") | MessageSettled(state="sent"):
                told.append(recorded.event.type)
        if len(told) == 2:
            done.set()

    async def answer(asked: Any):
        return as_json({"party": PARTY} if "e164" in asked.body else {"id": "gw-1"})

    async with http_server(answer) as server:
        settings = Settings(data_dir=tmp_path, crm_url=server.url, sms_url=server.url)
        house = House(settings, Voice(tmp_path / "prompts", FakeSynth()), ari_password="secret", ami_password="secret")
        house.bus.subscribe(hear)
        now = house.clock()
        await house.db.work(lambda session: standing.load(session))
        sending = asyncio.create_task(house.neighbours.sender.run())
        try:
            await house.db.work(arrived, Caller("1.1", "02125550100", MOBILE, ""), region="TR", now=now)
            point = await house.db.read(contact_points.find, "phone", MOBILE)
            assert point is not None
            await house.db.work(
                outbox.put, key="k", channel="sms", contact_point=point.id, purpose="ticket", text="x", now=now
            )
            async with asyncio.timeout(10):
                await done.wait()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await house.close()
    assert sorted(told) == ["call.identified", "message.settled"]
