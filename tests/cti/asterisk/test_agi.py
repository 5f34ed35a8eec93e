"""The FastAGI door: a caller's name stays one argument, and no PBX of a stranger waits for us long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from typing import Any

import pytest
from asterisk.agi import AGIException, AGIHangup, AGIUsageError
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cti.asterisk.agi import IDENTIFIED, Agi, AgiBroken, SafeAGI, Script, identify_script, read_env
from cti.asterisk.wire import agi_quoted

ENV = "agi_network_script: identify\nagi_callerid: +905321112233\nagi_calleridname: Şule\nagi_dnid: +908501112233\n\n"


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


def understood(line: str) -> list[str]:
    """A command as Asterisk's res_agi parses it: quotes, backslashes, blanks."""
    words: list[str] = []
    word, quoted, escaped, started = "", False, False, False
    for letter in line:
        if escaped:
            word, escaped = word + letter, False
        elif letter == "\\":
            escaped = started = True
        elif letter == '"':
            quoted, started = not quoted, True
        elif letter == " " and not quoted:
            words, word, started = [*words, word] if started or word else words, "", False
        else:
            word += letter
    return [*words, word] if started or word else words


class Pbx:
    """The other side of a session: sends variables, answers every command with success, remembers the commands."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.commands: list[list[str]] = []

    async def ask(self, env: str = ENV, answer: str = "200 result=1\n") -> Mapping[str, str]:
        """The channel variables that were set when the server closed the session."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(env.encode())
        async with asyncio.timeout(5):
            while line := await reader.readline():
                self.commands.append(understood(line.decode().rstrip("\n")))
                writer.write(answer.encode())
        writer.close()
        return {words[2]: words[3] for words in self.commands if words[:2] == ["SET", "VARIABLE"]}


@contextlib.asynccontextmanager
async def serving(script: Script, deadline_s: float = 2.0) -> AsyncIterator[Pbx]:
    server = Agi("127.0.0.1", 0, {"identify": script}, deadline_s=deadline_s)
    await server.start()
    try:
        yield Pbx(server.port)
    finally:
        await server.stop()


async def known(number: str, did: str) -> Mapping[str, str]:
    return {"SANTRAL_OUTCOME": "unique", "SANTRAL_LEVEL": "1", "SANTRAL_PARTY": f"{number} {did}"}


async def test_caller_is_identified_and_the_result_comes_last():
    async with serving(identify_script(known)) as pbx:
        variables = await pbx.ask()
        assert variables["SANTRAL_OUTCOME"] == "unique"
        assert variables["SANTRAL_PARTY"] == "+905321112233 +908501112233"
        assert list(variables) == [*IDENTIFIED, "SANTRAL_RESULT"]
        assert variables["SANTRAL_RESULT"] == "OK"


async def test_quotes_and_line_ends_stay_inside_their_argument():
    async def hostile(number: str, did: str) -> Mapping[str, str]:
        return {"SANTRAL_PARTY": 'Şule "VIP" \\ Öz\nEXEC System "id"\r\n'}

    async with serving(identify_script(hostile)) as pbx:
        variables = await pbx.ask()
        assert variables["SANTRAL_PARTY"] == 'Şule "VIP" \\ Öz EXEC System "id"  '
        assert {words[0] for words in pbx.commands} == {"SET"}


async def test_withheld_number_is_anonymous():
    async with serving(identify_script(known)) as pbx:
        variables = await pbx.ask(ENV.replace("\n\n", "\nagi_callingpres: 35\n\n"))
        assert variables["SANTRAL_PARTY"] == "anonymous +908501112233"


async def test_first_of_a_repeated_variable_counts():
    async with serving(identify_script(known)) as pbx:
        variables = await pbx.ask(ENV.replace("\n\n", "\nagi_callerid: +15550000\n\n"))
        assert variables["SANTRAL_PARTY"].startswith("+905321112233")


async def test_slow_answer_ends_the_session_without_a_result():
    async def slow(number: str, did: str) -> Mapping[str, str]:
        await asyncio.Event().wait()
        return {}

    async with serving(identify_script(slow), deadline_s=0.05) as pbx:
        assert "SANTRAL_RESULT" not in await pbx.ask()


async def test_error_of_ours_ends_the_session_without_a_result(logs):
    async def broken(number: str, did: str) -> Mapping[str, str]:
        raise RuntimeError("ours")

    async with serving(identify_script(broken)) as pbx:
        assert await pbx.ask() == {}
        assert [each["event"] for each in logs] == ["agi.failed"]


async def test_only_announced_variables_are_set():
    async def more(number: str, did: str) -> Mapping[str, str]:
        return {"CALLERID(name)": "x"}

    async with serving(identify_script(more)) as pbx:
        assert await pbx.ask() == {}


async def test_unknown_script_is_refused_and_named_in_the_log(logs):
    async with serving(identify_script(known)) as pbx:
        assert await pbx.ask(ENV.replace("identify", "../etc/passwd")) == {}
        assert "expected one of the scripts identify, got '../etc/passwd'" in logs[0]["problem"]


@pytest.mark.parametrize(
    "answer", ["HANGUP\n", "511 Command Not Permitted on a dead channel\n", "200 result=-1\n", "garbage\n"]
)
async def test_caller_who_hangs_up_ends_the_session(answer):
    async with serving(identify_script(known)) as pbx:
        assert "SANTRAL_RESULT" not in await pbx.ask(answer=answer if answer != "HANGUP\n" else "HANGUP\n511 x\n")


async def test_three_hundred_sessions_at_once():
    async with serving(identify_script(known), deadline_s=10) as pbx:
        answers = await asyncio.gather(*(Pbx(pbx.port).ask() for _ in range(300)))
        assert all(each["SANTRAL_RESULT"] == "OK" for each in answers)


async def env_of(data: bytes) -> dict[str, str]:
    reader = asyncio.StreamReader(limit=8 * 1024)
    reader.feed_data(data)
    reader.feed_eof()
    return await read_env(reader)


@pytest.mark.parametrize(
    "data", [b"agi_a: b\n" * 101, b"agi_a: " + b"x" * 9000 + b"\n\n", b"agi_a: b\n", b"", b"\0" * 20]
)
async def test_too_many_variables_or_no_end_is_refused(data):
    with pytest.raises(AgiBroken):
        await env_of(data)


@given(st.binary(max_size=400))
def test_any_bytes_are_variables_or_broken(data):
    with contextlib.suppress(AgiBroken):
        asyncio.run(env_of(data))


@given(st.text())
def test_any_text_is_one_argument(text):
    plain = text.replace("\r", " ").replace("\n", " ").replace("\0", " ")
    assert understood(f"SET VARIABLE {agi_quoted('X')} {agi_quoted(text)}") == ["SET", "VARIABLE", "X", plain]


@given(st.lists(st.text(max_size=1500), max_size=3))
def test_any_verb_sends_one_command_or_none(values):
    sent: list[bytes] = []
    agi = SafeAGI({}, lambda: b"200 result=1\n", sent.append)
    for value in values:
        with contextlib.suppress(AGIException):
            agi.set_variable("X", value)
        with contextlib.suppress(AGIException):
            agi.stream_file(value)
    assert all(frame.count(b"\n") == 1 and frame.endswith(b"\n") and len(frame) < 2048 for frame in sent)


@given(st.lists(st.binary(max_size=60)))
def test_any_answer_is_understood_or_an_agi_error(lines):
    answers = iter([line.replace(b"\n", b"") + b"\n" for line in lines])
    agi = SafeAGI({}, lambda: next(answers, b""), lambda frame: None)
    with contextlib.suppress(AGIException, AgiBroken):
        agi.get_variable("X")


def test_newline_in_an_unquoted_argument_is_refused():
    agi = SafeAGI({}, lambda: b"200 result=0\n", lambda frame: None)
    with pytest.raises(AGIUsageError, match="one AGI command"):
        agi.stream_file("hello\nEXEC System id")


def test_verbs_of_pyst2_still_speak():
    sent: list[bytes] = []
    replies = iter(
        [
            b"200 result=1 (a (b) c)\n",
            b"100 Trying\n",
            b"200 result=49 endpos=800\n",
            b"520-Invalid command syntax.\n",
            b"use\n",
            b"520 End\n",
        ]
    )
    agi = SafeAGI({}, lambda: next(replies), sent.append)
    assert agi.get_variable("CALLERID(name)") == "a (b) c"
    assert agi.wait_for_digit(100) == "1"
    with pytest.raises(AGIUsageError, match="use"):
        agi.noop()
    agi.hung_up = True
    with pytest.raises(AGIHangup):
        agi.answer()
    assert sent == [b'GET VARIABLE "CALLERID(name)"\n', b"WAIT FOR DIGIT 100\n", b"NOOP\n"]
