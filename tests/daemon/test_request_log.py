"""What somebody who runs a daemon reads in its log about each request."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex import Observable

from rxlapce.bridge import connect
from rxlapce.codec.frame import Flag, encode_frame
from rxlapce.daemon.request_log import MAX_CONTENT_CHARS, MAX_TOLD, told_failures
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Attempt, Exchange
from rxlapce.messages import NUMBERS, Chat, ChatResponse, ChatStream, Credit, Heartbeat, ProviderCommand
from rxlapce.telemetry.logs import logger
from rxlapce.testing.asking import ask
from rxlapce.testing.peer import RawPeer
from rxlapce.tokens import Finish, FinishKind, Reasoning, StreamToken, Text, ToolCall, Usage


def attempt(number: int, *, kind: ErrorKind | None = ErrorKind.OVERLOADED, model: str = "m") -> Attempt:
    return Attempt(
        number=number,
        provider="p",
        model=model,
        started_s=0,
        took_s=0,
        error_kind=kind,
        phase=Phase.HEADERS,
        status=503,
    )


FAILED = "p/m: overloaded in phase headers, HTTP 503"


@pytest.mark.parametrize(
    ("attempts", "told"),
    [
        ([], ""),
        ([attempt(1, kind=None)], ""),
        ([attempt(1), attempt(2, kind=None)], FAILED),
        ([replace(attempt(1), key="work")], FAILED.replace("p/m", "p/m (key work)")),
        ([attempt(1), attempt(2), attempt(3)], f"{FAILED} (3 times)"),
        (
            [attempt(1), attempt(2, model="n"), attempt(3)],
            f"{FAILED}; p/n: overloaded in phase headers, HTTP 503; {FAILED}",
        ),
    ],
)
def test_failures_are_told_in_order_and_those_in_a_row_that_are_alike_once(attempts: list[Attempt], told: str) -> None:
    assert told_failures(attempts) == told


def test_a_line_does_not_grow_with_the_attempts() -> None:
    lines = told_failures([attempt(number, model=f"m{number}") for number in range(1000)]).split("; ")
    assert len(lines) == MAX_TOLD + 1
    assert lines[-1] == f"and {1000 - MAX_TOLD} more"


class Logged:
    """A daemon whose handlers note one failed attempt and do what `source` says; `lines` are its log."""

    def __init__(self, path: Path, *, content: bool = False) -> None:
        self._out = io.StringIO()
        log = logger(self._out, as_json=True, level="debug")
        self.daemon = Daemon(DaemonSettings(path=path, log_content=content), log=log)
        self.source: Observable[StreamToken] = reactivex.never()
        self.answers = asyncio.Event()
        """Whether a request in one piece fails at once, or waits."""
        self.answers.set()
        self.more: tuple[Attempt, ...] = ()
        self.response: ChatResponse | None = None
        self.failure: Exception = ProviderError(ErrorKind.TIMEOUT, "too slow")
        self.daemon.register_streaming_handler(ChatStream, self.stream)
        self.daemon.register_handler(Chat, self.chat)

    def _note(self, exchange: Exchange) -> None:
        exchange.provider, exchange.model = "p", "second"
        exchange.attempts += (attempt(1), *self.more)
        exchange.tell_first_token()

    def stream(self, command: ProviderCommand, exchange: Exchange) -> Observable[StreamToken]:
        self._note(exchange)
        return self.source

    async def chat(self, command: ProviderCommand, exchange: Exchange) -> ChatResponse:
        self._note(exchange)
        await self.answers.wait()
        if self.response is not None:
            return self.response
        raise self.failure

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.getvalue().splitlines()]

    def of(self, *events: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] in events]


@pytest.fixture(params=[False])
async def logged(path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Logged]:
    """`params` say whether content is told."""
    logged = Logged(path, content=request.param)
    await logged.daemon.start()
    yield logged
    await logged.daemon.stop(drain_s=0)


async def test_a_stream_is_told_when_it_begins_and_when_it_ends(logged: Logged) -> None:
    logged.source = reactivex.of(Finish(FinishKind.STOP))
    async with await connect(logged.daemon.settings.path) as client:
        async for _ in client.chat_stream(ask()):
            pass
    start, end = logged.of("stream_start", "stream_end")
    assert (start["request_id"], start["model"]) == ("1.1", "local/sim")
    assert (end["request_id"], end["provider"], end["model"]) == ("1.1", "p", "second")
    assert (end["outcome"], end["frames"], end["tried"]) == ("stop", 1, FAILED)
    assert 0 <= end["duration_s"] < 25
    assert (end["attempts"], end["tokens"]) == (1, 0)
    assert start["provider"] is None
    assert start["user"] == end["user"] == f"uid {os.getuid()}"


async def test_what_happens_to_a_stream_is_told_between_its_beginning_and_its_end(logged: Logged) -> None:
    logged.source = reactivex.throw(ProviderError(ErrorKind.TIMEOUT, "too slow", phase=Phase.FIRST_TOKEN))
    async with await connect(logged.daemon.settings.path) as client:
        with pytest.raises(ProviderError, match="too slow"):
            async for _ in client.chat_stream(ask()):
                pass
    lines = [line for line in logged.lines() if "request_id" in line]
    assert [line["event"] for line in lines] == ["stream_start", "first_token", "error", "stream_end"]
    assert all(
        line["request_id"] == "1.1" and {"timestamp", "level", "provider", "model"} <= set(line) for line in lines
    )
    _, first, error, end = lines
    assert (first["provider"], first["model"], first["first_token_s"] < 25) == ("p", "second", True)
    assert (error["kind"], error["phase"], error["message"]) == ("timeout", "first_token", "too slow")
    assert end["outcome"] == "timeout"


async def test_what_a_stream_used_is_told_at_its_end(logged: Logged) -> None:
    used = replace(attempt(2, kind=None), finished=True, tokens=3, usage=Usage(input=5, output=2, total=7))
    logged.more = (used,)
    logged.source = reactivex.of(Finish(FinishKind.STOP))
    async with await connect(logged.daemon.settings.path) as client:
        async for _ in client.chat_stream(ask()):
            pass
    (end,) = logged.of("stream_end")
    assert end["usage"] == {"input": 5, "output": 2, "total": 7, "source": "provider"}
    assert (end["attempts"], end["tokens"]) == (2, 3)


async def asked_both_ways(logged: Logged) -> None:
    """The prompt "a canary" and the answer "a parrot", as a stream and in one piece; and a handler that breaks."""
    logged.source = reactivex.of(
        Text("a par"), Text("rot"), Reasoning("hm"), ToolCall(0, "c", "fly", "{}"), Finish(FinishKind.STOP)
    )
    logged.response = ChatResponse(text="a parrot", finish=FinishKind.STOP)
    async with await connect(logged.daemon.settings.path) as client:
        async for _ in client.chat_stream(ask(prompt="a canary")):
            pass
        await client.chat(ask(prompt="a canary"))
        logged.response = None
        logged.failure = LookupError("a canary")
        with pytest.raises(ProviderError, match="in the handler"):
            await client.chat(ask(prompt="a canary"))


async def test_neither_prompt_nor_answer_is_told_at_any_level(logged: Logged) -> None:
    await asked_both_ways(logged)
    told = json.dumps(logged.lines())
    assert "handler_failed" in told
    assert "LookupError" in told
    assert "canary" not in told
    assert "par" not in told


@pytest.mark.parametrize("logged", [True], indirect=True)
async def test_where_content_is_asked_for_both_are_told_at_level_debug(logged: Logged) -> None:
    await asked_both_ways(logged)
    prompts, answers = logged.of("prompt"), logged.of("answer")
    assert [line["level"] for line in prompts + answers] == ["debug"] * 5
    assert all(json.loads(line["request"])["messages"][0]["content"] == "a canary" for line in prompts)
    stream, whole = answers
    assert (stream["text"], stream["reasoning"], stream["tool_calls"]) == ("a parrot", "hm", "fly{}")
    assert (whole["text"], whole["characters"]) == ("a parrot", 8)
    assert [line["message"] for line in logged.of("error")] == ["LookupError in the handler: a canary"]


@pytest.mark.parametrize("logged", [True], indirect=True)
async def test_of_a_long_answer_the_beginning_is_told(logged: Logged) -> None:
    logged.source = reactivex.of(*(Text("x" * 1000) for _ in range(100)), Finish(FinishKind.STOP))
    async with await connect(logged.daemon.settings.path) as client:
        async for _ in client.chat_stream(ask()):
            pass
    (answer,) = logged.of("answer")
    assert (len(answer["text"]), answer["characters"]) == (MAX_CONTENT_CHARS, 100_000)


async def test_a_payload_that_is_wrong_is_told_by_its_place(logged: Logged) -> None:
    async with await RawPeer.greeted(logged.daemon.settings.path) as peer:
        payload = b'{"type": "credit", "frames": "a canary"}'
        peer.send_bytes(encode_frame(NUMBERS[Credit], int(Flag.REQUEST), 7, payload))
        await peer.receive()
    await logged.daemon.stop(drain_s=20)
    (line,) = logged.of("protocol_error")
    assert (line["error"], line["at"]) == ("BadPayload", "$.frames")
    assert "canary" not in json.dumps(logged.lines())


async def test_a_request_in_one_piece_is_told_as_a_stream_is(logged: Logged) -> None:
    async with await connect(logged.daemon.settings.path) as client:
        with pytest.raises(ProviderError, match="too slow"):
            await client.chat(ask())
    start, end = logged.of("request_start", "request_end")
    assert (start["request_id"], start["model"]) == ("1.1", "local/sim")
    assert (end["request_id"], end["provider"], end["model"]) == ("1.1", "p", "second")
    assert (end["outcome"], end["tried"]) == ("timeout", FAILED)
    assert "frames" not in end


async def test_requests_whose_client_has_gone_are_told_too(logged: Logged) -> None:
    logged.answers.clear()
    async with await RawPeer.greeted(logged.daemon.settings.path) as peer:
        peer.send(ChatStream(request=ask()), 7)
        peer.send(Chat(request=ask()), 8)
        peer.send(Heartbeat(echo=True), 9)  # its answer comes when both have begun
        await peer.receive()
    await logged.daemon.stop(drain_s=20)
    stream, request = logged.of("stream_end", "request_end")
    assert (stream["request_id"], stream["outcome"], stream["frames"]) == ("1.7", "client_gone", 0)
    assert (request["request_id"], request["outcome"]) == ("1.8", "client_gone")
    assert stream["tried"] == request["tried"] == FAILED
