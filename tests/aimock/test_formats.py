"""Every format that aimock speaks: what it is told to answer is what arrives, streamed and in one piece."""

import asyncio
from math import ceil
from pathlib import Path
from typing import Any, Final

import pytest

from rxlapce.answer import AnswerBuilder
from rxlapce.bridge import connect
from rxlapce.errors import ErrorKind
from rxlapce.requests import Message, Tool
from rxlapce.testing.aimock import OLLAMA, QUESTION, STREAMED, WHOLE, Format, Heard, Mock, mocked_environ
from rxlapce.testing.daemons import daemon_process
from rxlapce.tokens import Finish, FinishKind, Text, Usage, UsageSource

pytestmark = pytest.mark.aimock

TEXT: Final = "Backpressure is what a reader says to a writer: wait, I am not there yet. 12345."
THOUGHT: Final = "Somebody asks about streams; keep it short."
#: How many characters of an answer the mock puts into one event (serve.mjs).
CHUNK_CHARS: Final = 8
#: The counts by the names of every format that takes them from a fixture.
COUNTS: Final = dict.fromkeys(("prompt_tokens", "input_tokens", "promptTokenCount"), 7) | dict.fromkeys(
    ("completion_tokens", "output_tokens", "candidatesTokenCount"), 9
)
CALLS: Final = [("get_weather", {"city": "Rome", "days": 3}), ("get_weather", {"city": "Ōsaka 🦀"})]
WEATHER: Final = Tool(
    name="get_weather",
    description="The weather of a city",
    parameters={"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
)

streamed = pytest.mark.parametrize("asked", STREAMED, ids=str)
whole = pytest.mark.parametrize("asked", WHOLE, ids=str)
#: Format, and whether it is streamed. What is not here is in `test_known_wrong.py`.
WAYS: Final = [*((asked, True) for asked in STREAMED), *((asked, False) for asked in WHOLE)]
either = pytest.mark.parametrize(("asked", "stream"), WAYS, ids=str)


def tool_calls() -> list[dict[str, Any]]:
    """`CALLS` as a fixture has them."""
    return [{"name": name, "arguments": said, "id": f"call_{index}"} for index, (name, said) in enumerate(CALLS)]


def ended(heard: Heard, kind: FinishKind) -> None:
    """Exactly one end, of this kind, and it is the last token."""
    assert heard.error is None, heard.error
    finish = heard.tokens[-1]
    assert isinstance(finish, Finish)
    assert finish.kind is kind
    assert sum(isinstance(token, Finish) for token in heard.tokens) == 1


def counted(heard: Heard, asked: Format) -> None:
    """The counts are those of the fixture; to Ollama's clients aimock always says zero."""
    usage = heard.builder.answer().usage
    assert isinstance(usage, Usage)
    assert usage.source is UsageSource.PROVIDER
    assert (usage.input, usage.output) == ((0, 0) if asked == OLLAMA else (7, 9))


@streamed
async def test_a_streamed_text_arrives_piece_by_piece(mock: Mock, asked: Format) -> None:
    await mock.teach({"content": TEXT, "usage": COUNTS})
    heard = await mock.streamed(asked)
    ended(heard, FinishKind.STOP)
    pieces = [token.text for token in heard.tokens if isinstance(token, Text)]
    assert "".join(pieces) == TEXT
    assert len(pieces) == ceil(len(TEXT) / CHUNK_CHARS)
    counted(heard, asked)


@whole
async def test_a_text_in_one_piece_is_the_same(mock: Mock, asked: Format) -> None:
    await mock.teach({"content": TEXT, "usage": COUNTS})
    heard = await mock.whole(asked)
    ended(heard, FinishKind.STOP)
    assert heard.text == TEXT
    counted(heard, asked)


@either
async def test_tools_are_called_and_take_their_results(mock: Mock, asked: Format, stream: bool) -> None:
    await mock.teach({"toolCalls": tool_calls()}, match={"hasToolResult": False}, chunkSize=1000)
    await mock.teach({"content": TEXT}, match={"toolResultContains": "21 degrees"})
    question = Message(role="user", content=QUESTION)
    first = await mock.answer(asked, asked.request(question, tools=(WEATHER,)), stream=stream)
    ended(first, FinishKind.TOOL_CALLS)
    assert first.calls == CALLS
    turn = first.turn()
    results = [
        Message(role="tool", content=f"{20 + number} degrees", tool_call_id=call.id)
        for number, call in enumerate(turn.calls())
    ]
    second = await mock.answer(asked, asked.request(question, turn, *results, tools=(WEATHER,)), stream=stream)
    ended(second, FinishKind.STOP)
    assert second.text == TEXT


@streamed
async def test_arguments_that_come_in_pieces_are_joined_by_call(mock: Mock, asked: Format) -> None:
    spoken = [
        {"name": "now", "arguments": "{}", "id": "a"},
        {"name": "add", "arguments": '{"x":[1,2.5]}', "id": "b"},
    ]
    await mock.teach({"content": TEXT, "toolCalls": spoken}, chunkSize=3)
    heard = await mock.streamed(asked, asked.request(tools=(WEATHER,)))
    ended(heard, FinishKind.TOOL_CALLS)
    assert heard.text == TEXT
    assert heard.calls == [("now", {}), ("add", {"x": [1, 2.5]})]


@pytest.mark.parametrize(("asked", "stream"), [way for way in WAYS if way[0] != OLLAMA], ids=str)
async def test_thoughts_are_told_from_the_answer(mock: Mock, asked: Format, stream: bool) -> None:
    await mock.teach({"content": TEXT, "reasoning": THOUGHT})
    heard = await mock.answer(asked, stream=stream)
    ended(heard, FinishKind.STOP)
    assert heard.builder.answer().choices[0].reasoning == THOUGHT
    assert heard.text == TEXT


@pytest.mark.parametrize(("asked", "stream"), [way for way in WAYS if way[0] != OLLAMA], ids=str)
async def test_an_answer_that_reached_its_limit_says_so(mock: Mock, asked: Format, stream: bool) -> None:
    await mock.teach({"content": TEXT, "finishReason": "length"})
    ended(await mock.answer(asked, stream=stream), FinishKind.LENGTH)


@streamed
async def test_the_same_question_has_its_answers_in_turn(mock: Mock, asked: Format) -> None:
    busy = {"error": {"message": "Slow down", "type": "rate_limit_error"}, "status": 429, "retryAfter": 7}
    await mock.teach(busy, match={"sequenceIndex": 0})
    await mock.teach({"content": TEXT}, match={"sequenceIndex": 1})
    refused = await mock.streamed(asked)
    assert refused.error is not None
    assert (refused.error.kind, refused.error.retry_after_s) == (ErrorKind.RATE_LIMIT, 7)
    assert (await mock.streamed(asked)).text == TEXT


@streamed
async def test_a_slow_first_token_is_waited_for(mock: Mock, asked: Format) -> None:
    await mock.teach({"content": TEXT}, streamingProfile={"ttft": 150, "tps": 1000})
    loop = asyncio.get_running_loop()
    started = loop.time()
    heard = await mock.streamed(asked)
    assert loop.time() - started >= 0.14, "a timer of Node.js may be a millisecond early"
    assert heard.text == TEXT
    ended(heard, FinishKind.STOP)


async def test_every_format_reaches_an_editor_the_whole_way(mock: Mock, tmp_path: Path) -> None:
    """Mock, HTTP, daemon process, shared memory, bridge."""
    await mock.teach({"content": TEXT, "usage": COUNTS})
    environ = {**mocked_environ(mock.url), "PATH": "/usr/bin:/bin", "NO_PROXY": "*"}
    async with (
        daemon_process(tmp_path / "d.sock", environ=environ) as daemon,
        await connect(daemon.path, transport="shm") as client,
    ):
        for asked in STREAMED:
            builder = AnswerBuilder()
            async for token in client.chat_stream(asked.request()):
                builder.add(token)
            assert builder.answer().text == TEXT, str(asked)
            assert builder.answer().choices[0].finish_kind is FinishKind.STOP, str(asked)
            assert (await client.chat(asked.request())).text == TEXT, str(asked)
        assert client.sequence_gaps == 0
