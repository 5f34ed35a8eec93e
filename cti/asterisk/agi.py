"""FastAGI for dialplans that are not ours: a PBX asks `agi://…/identify`, we set channel variables, its dialplan goes on.

pyst2's AGI verbs, hardened and without its thread: a script is plain code that calls verbs one after the other, and
SQLAlchemy's greenlet bridge lets it wait on the loop. This is the only file that imports pyst2.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import structlog
from asterisk.agi import (
    AGI,
    AGIAppError,
    AGIException,
    AGIHangup,
    AGIInvalidCommand,
    AGIResultHangup,
    AGIUnknownError,
    AGIUsageError,
)
from sqlalchemy.util import await_only, greenlet_spawn

from cti.asterisk.wire import agi_quoted, shown

log = structlog.get_logger(__name__)

ENV_LINES_MAX = 100
ENV_BYTES_MAX = 8 * 1024
LINE_BYTES_MAX = 8 * 1024
# Asterisk 22 reads commands into 2,048 bytes and takes the rest of a longer line for the next command.
COMMAND_BYTES_MAX = 2000
REPLY_LINES_MAX = 100
DEADLINE_S = 2.0
SESSIONS_MAX = 500
VALUE_CHARS_MAX = 200
TEXT_CHARS_MAX = 80
RESULT = re.compile(r"result=(-?[^\s(]*)(?: \((.*)\))?(?: endpos=(\d+))?\s*")
PRESENTATION_MASK, PRESENTATION_RESTRICTED = 0x60, 0x20  # Q.931 presentation indicator, bits 6 and 7
IDENTIFIED = ("SANTRAL_OUTCOME", "SANTRAL_LEVEL", "SANTRAL_PARTY", "SANTRAL_ROLE", "SANTRAL_CUSTOMER_NO")
RESULT_VARIABLE = "SANTRAL_RESULT"

T = TypeVar("T")


class AgiBroken(Exception):
    """Not the AGI protocol: too much, too long, or cut short. The text says what was expected."""


class SafeAGI(AGI):  # type: ignore[misc]  # pyst2 has no types
    """pyst2's verbs over a socket. Quoted arguments stay arguments; no command can become two; hanging up raises AGIHangup."""

    def __init__(self, env: Mapping[str, str], readline: Callable[[], bytes], write: Callable[[bytes], None]) -> None:
        """`readline` returns b"" at the end. pyst2's own would take over SIGHUP, and write the caller's number to stderr."""
        self.env = dict(env)
        self.hung_up = False
        self._readline, self._write = readline, write

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Wait on the loop from inside a script."""
        return await_only(awaitable)

    def test_hangup(self) -> None:
        if self.hung_up:
            raise AGIHangup("the caller hung up")

    def _quote(self, string: object) -> str:
        return agi_quoted(string)

    def send_command(self, command: str, *args: object) -> None:
        line = " ".join([command.strip(), *map(str, args)]).strip()
        frame = line.encode("utf-8", "replace")
        if re.search(r"[\r\n\0]", line) or len(frame) > COMMAND_BYTES_MAX:
            raise AGIUsageError(f"expected one AGI command of up to {COMMAND_BYTES_MAX} bytes, got {len(frame)} bytes")
        self._write(frame + b"\n")

    def get_result(self, stdin: object = None) -> dict[str, tuple[str, str]]:
        """The answer to the last command: `result` -> (value, text in parentheses), and `endpos` where there is one."""
        for _ in range(REPLY_LINES_MAX):
            line = self._line()
            code, _, rest = line.partition(" ")
            if code == "HANGUP":
                self.hung_up = True
            elif code == "200":
                return _result(rest)
            elif code != "100":
                raise self._refusal(code, rest)
        raise AgiBroken(f"expected an answer within {REPLY_LINES_MAX} lines")

    def _refusal(self, code: str, rest: str) -> AGIException:
        match code:
            case "510":
                return AGIInvalidCommand(rest)
            case "511":
                return AGIHangup("the channel is dead")
            case "520":
                return AGIUsageError(rest)
            case "520-Invalid":
                return AGIUsageError(self._usage())
        return AGIUnknownError(f"expected an AGI answer, got code {code:.20}")

    def _usage(self) -> str:
        lines: list[str] = []
        while len(lines) < REPLY_LINES_MAX and not (line := self._line()).startswith("520"):
            lines.append(line)
        return " ".join(lines)[:VALUE_CHARS_MAX]

    def _line(self) -> str:
        raw = self._readline()
        if not raw:
            raise AGIHangup("the connection ended")
        return raw.decode("utf-8", "replace").strip()


def _result(rest: str) -> dict[str, tuple[str, str]]:
    found = RESULT.fullmatch(rest)
    if not found:
        raise AGIUnknownError("expected result=VALUE (TEXT) from the switch")
    value, text, position = (group or "" for group in found.groups())
    if text == "hangup":
        raise AGIResultHangup("the caller hung up during the command")
    if value == "-1":
        raise AGIAppError("the command failed, or the caller hung up")
    return {"result": (value, text)} | ({"endpos": (position, "")} if position else {})


Script = Callable[[SafeAGI], None]


class Agi:
    """The FastAGI server. `scripts` maps the path in `agi://host:port/PATH` to what is done there."""

    def __init__(self, host: str, port: int, scripts: Mapping[str, Script], *, deadline_s: float = DEADLINE_S) -> None:
        """A caller of somebody else's PBX waits for us: a session that takes longer than `deadline_s` is closed."""
        self._host, self._port, self._scripts, self._deadline_s = host, port, scripts, deadline_s
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that is listened on; with port 0 the system chose it at start()."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else self._port

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=LINE_BYTES_MAX)

    async def stop(self) -> None:
        """Take no more sessions and end those under way."""
        if self._server:
            self._server.close()
            for session in self._sessions:
                session.cancel()
            await asyncio.gather(*self._sessions, return_exceptions=True)
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session: asyncio.Task[None] | None = asyncio.current_task()
        assert session is not None  # a connection is served in a task of its own
        self._sessions.add(session)
        try:
            if len(self._sessions) > SESSIONS_MAX:
                raise AgiBroken(f"expected up to {SESSIONS_MAX} sessions at a time")
            async with asyncio.timeout(self._deadline_s):
                await self._session(reader, writer)
        except TimeoutError:
            log.warning("agi.too_slow", expected_s=self._deadline_s)
        except (AGIException, AgiBroken, OSError) as problem:
            log.warning("agi.ended", problem=shown(f"{type(problem).__name__}: {problem}", VALUE_CHARS_MAX))
        except Exception:  # the end of a socket: the other dialplan goes on without us
            log.exception("agi.failed")
        finally:
            self._sessions.discard(session)
            writer.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        env = await read_env(reader)
        name = env.get("agi_network_script", "").partition("?")[0].strip("/")
        script = self._scripts.get(name)
        if script is None:
            known = ", ".join(self._scripts)
            raise AgiBroken(f"expected one of the scripts {known}, got {shown(name, TEXT_CHARS_MAX)!r}")
        agi = SafeAGI(env, lambda: await_only(_readline(reader)), writer.write)
        await greenlet_spawn(script, agi)
        await writer.drain()


async def read_env(reader: asyncio.StreamReader) -> dict[str, str]:
    """The `agi_…` lines before the blank one; the first of a key counts. Raises AgiBroken when they are too many."""
    env: dict[str, str] = {}
    size = 0
    for _ in range(ENV_LINES_MAX):
        raw = await _readline(reader)
        size += len(raw)
        if not raw.endswith(b"\n") or size > ENV_BYTES_MAX:
            raise AgiBroken(f"expected the session's variables and a blank line within {ENV_BYTES_MAX} bytes")
        line = raw.decode("utf-8", "replace").strip()
        if not line:
            return env
        key, colon, value = line.partition(":")
        if colon and key.startswith("agi_"):
            env.setdefault(key, value.strip())
    raise AgiBroken(f"expected a blank line within {ENV_LINES_MAX} lines")


async def _readline(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError as long:
        raise AgiBroken(f"expected lines up to {LINE_BYTES_MAX} bytes") from long


# --- scripts ---


def identify_script(identify: Callable[[str, str], Awaitable[Mapping[str, str]]]) -> Script:
    """The script behind `agi://…/identify`. `identify(number_raw, did)` returns values for some of IDENTIFIED, nothing private.

    The dialplan tests SANTRAL_RESULT=OK, which is set last: AGISTATUS says SUCCESS even when we died in the middle.
    """

    def script(agi: SafeAGI) -> None:
        found = agi.wait(identify(*_asked_for(agi.env)))
        if unknown := set(found) - set(IDENTIFIED):
            raise ValueError(f"expected only {', '.join(IDENTIFIED)}, got {', '.join(sorted(unknown))}")
        for name in IDENTIFIED:
            agi.set_variable(name, shown(found.get(name, ""), VALUE_CHARS_MAX))
        agi.set_variable(RESULT_VARIABLE, "OK")

    return script


def _asked_for(env: Mapping[str, Any]) -> tuple[str, str]:
    """The caller's number as sent and the number dialled; a caller who withholds is `anonymous`."""
    presentation = env.get("agi_callingpres", "0")
    withheld = presentation.isdecimal() and int(presentation[:3]) & PRESENTATION_MASK == PRESENTATION_RESTRICTED
    number = "anonymous" if withheld else _known(env.get("agi_callerid", ""))
    did = _known(env.get("agi_dnid", "")) or _known(env.get("agi_extension", ""))
    return shown(number, TEXT_CHARS_MAX), shown(did, TEXT_CHARS_MAX)


def _known(text: str) -> str:
    return "" if text == "unknown" else text
