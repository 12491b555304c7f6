"""What somebody who runs a daemon reads in its log about each request."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex import Observable

from rxlapce.bridge import connect
from rxlapce.daemon.request_log import MAX_TOLD, told_failures
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Attempt, Exchange
from rxlapce.messages import Chat, ChatResponse, ChatStream, Heartbeat, ProviderCommand
from rxlapce.telemetry.logs import logger
from rxlapce.testing.asking import ask
from rxlapce.testing.peer import RawPeer
from rxlapce.tokens import Finish, FinishKind, StreamToken


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

    def __init__(self, path: Path) -> None:
        self._out = io.StringIO()
        self.daemon = Daemon(DaemonSettings(path=path), log=logger(self._out, as_json=True))
        self.source: Observable[StreamToken] = reactivex.never()
        self.answers = asyncio.Event()
        """Whether a request in one piece fails at once, or waits."""
        self.answers.set()
        self.daemon.register_streaming_handler(ChatStream, self.stream)
        self.daemon.register_handler(Chat, self.chat)

    def _note(self, exchange: Exchange) -> None:
        exchange.provider, exchange.model = "p", "second"
        exchange.attempts.append(attempt(1))

    def stream(self, command: ProviderCommand, exchange: Exchange) -> Observable[StreamToken]:
        self._note(exchange)
        return self.source

    async def chat(self, command: ProviderCommand, exchange: Exchange) -> ChatResponse:
        self._note(exchange)
        await self.answers.wait()
        raise ProviderError(ErrorKind.TIMEOUT, "too slow")

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.getvalue().splitlines()]

    def of(self, *events: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] in events]


@pytest.fixture
async def logged(path: Path) -> AsyncIterator[Logged]:
    logged = Logged(path)
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
