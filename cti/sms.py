"""Text messages to telephones, by somebody's HTTP gateway. The contract that a gateway keeps is in docs/outside.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from cti.outside import NoAnswer, Outside

WITHIN_S = 10.0
# Refusals that are about our settings, the gateway's state or the moment, not about the message: it may still be taken later.
NOT_YET = frozenset({401, 403, 404, 405, 407, 408, 409, 425, 429})


@dataclass(frozen=True)
class Taken:
    """The gateway will deliver it. `external_id`: under which name, when it said one."""

    external_id: str = ""


@dataclass(frozen=True)
class NotTaken:
    """`final`: asking again will not change that."""

    why: str
    final: bool = False


class Gateway(Protocol):
    async def send(self, *, id: str, to: str, text: str) -> Taken | NotTaken:  # noqa: A002  the name in the contract
        """Hand over one message. The same `id` again is the same message, which nobody gets twice. Never raises."""


class HttpGateway:
    """POST {"to", "text", "id"} to one address. Raises outside.BadAddress when that is none."""

    def __init__(self, url: str, token: str = "", *, within_s: float = WITHIN_S) -> None:
        self._outside, self._within_s = Outside(url, token), within_s

    async def send(self, *, id: str, to: str, text: str) -> Taken | NotTaken:  # noqa: A002  the name in the contract
        body = {"to": to, "text": text, "id": id}
        try:
            answer = await self._outside.post(body, within_s=self._within_s, headers={"Idempotency-Key": id})
        except NoAnswer as none:
            return NotTaken(str(none))
        if 200 <= answer.status < 300:
            return Taken(_external_id(answer.body))
        return NotTaken(f"HTTP {answer.status}", 400 <= answer.status < 500 and answer.status not in NOT_YET)

    async def close(self) -> None:
        await self._outside.close()


def _external_id(body: bytes | None) -> str:
    """Of a 2xx answer, which holds whatever its body is."""
    try:
        told = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return ""
    name = told.get("id", "") if isinstance(told, dict) else ""
    return str(name)[:200].replace("\0", "") if isinstance(name, str | int) else ""
