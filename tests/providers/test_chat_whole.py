"""An answer in one piece as a stream of its tokens: what it costs, what is told of it, and how it is cancelled."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

import pytest
from reactivex import Observable

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange, Receiver, connect
from rxlapce.operators.retry import RetryPolicy, retry_stream
from rxlapce.operators.timeouts import StreamTimeout, TimeLimit, stream_timeouts
from rxlapce.providers import http
from rxlapce.providers.auth import Unsigned
from rxlapce.providers.call import HttpSource
from rxlapce.providers.http import HttpClient, HttpTimeouts
from rxlapce.providers.provider import Provider, chat, chat_stream, chat_whole
from rxlapce.requests import ChatRequest
from rxlapce.secret import Secret
from rxlapce.testing.asking import KEY, Collected, ask, simulated
from rxlapce.testing.processes import until
from rxlapce.testing.scripted import Peer, ScriptedServer, chunk
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text, Usage, UsageReport

WHOLE = (
    b'{"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}'
)
Ask = Callable[[HttpSource, Provider, ChatRequest, str, Exchange], Observable[StreamToken]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: r1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


def provider(url: str) -> Provider:
    return simulated(url)[0]


def whole(client: HttpClient, url: str, exchange: Exchange | None = None) -> Collected[StreamToken]:
    return Collected(chat_whole(client, provider(url), ask(), "m", exchange or Exchange()))


class Pieces(ScriptedServer):
    """Answers each request with `pieces`, one after the other as `go` is set for each."""

    def __init__(self, *pieces: bytes, end: bool = True) -> None:
        self.go = [asyncio.Event() for _ in pieces]
        self.requests: list[bytes] = []
        self.gone = asyncio.Event()

        async def script(peer: Peer) -> None:
            while True:
                self.requests.append((await peer.request())[1])
                for piece, go in zip(pieces, self.go, strict=True):
                    await go.wait()
                    await peer.send(piece)
                if not end:
                    await peer.until_gone()
                    self.gone.set()

        super().__init__(script)

    def hurry(self) -> "Pieces":
        for go in self.go:
            go.set()
        return self


async def test_the_tokens_come_at_the_end_and_the_exchange_knows_the_answer(client: HttpClient) -> None:
    exchange = Exchange()
    async with Pieces(HEAD, chunk(WHOLE[:40]), chunk(WHOLE[40:]), chunk(b"")).hurry() as server:
        got = whole(client, server.url, exchange)
        assert await got.end() is None
        assert b'"stream"' not in server.requests[0]
    assert [type(token) for token in got.items] == [Text, UsageReport, Finish]
    assert got.items[0] == Text("Hi")
    assert got.items[-1] == Finish(FinishKind.STOP, "stop", "m-1")
    assert (exchange.provider, exchange.model) == ("openai", "m")
    assert (exchange.status, exchange.content_type, exchange.provider_request_id) == (200, "application/json", "r1")
    assert exchange.bytes_read == len(WHOLE)
    assert exchange.reads >= 1
    assert exchange.last_read_s > 0


async def test_each_read_is_a_sign_of_life_before_the_answer_is_whole(client: HttpClient) -> None:
    exchange = Exchange()
    async with Pieces(HEAD, chunk(WHOLE[:40]), chunk(WHOLE[40:]), chunk(b"")) as server:
        server.go[0].set()
        server.go[1].set()
        got = whole(client, server.url, exchange)
        await until(lambda: exchange.bytes_read == 40)
        first_s = exchange.last_read_s
        assert (got.items, first_s > 0) == ([], True)
        server.hurry()
        assert await got.end() is None
        assert exchange.last_read_s > first_s


async def test_it_is_cold_and_may_be_asked_again_on_the_same_exchange(client: HttpClient) -> None:
    exchange = Exchange()
    async with Pieces(HEAD, chunk(WHOLE), chunk(b"")).hurry() as server:
        source = chat_whole(client, provider(server.url), ask(), "m", exchange)
        assert server.requests == []
        for _ in range(2):
            got = Collected(source)
            assert await got.end() is None
            assert len(got.items) == 3
        assert (len(server.requests), server.connections) == (2, 1)
    assert exchange.bytes_read == 2 * len(WHOLE)


@pytest.mark.parametrize("pieces", [(), (HEAD,), (HEAD, chunk(WHOLE[:40]))])
async def test_disposing_closes_the_connection_wherever_it_is(client: HttpClient, pieces: tuple[bytes, ...]) -> None:
    exchange = Exchange()
    expected = 40 * len(pieces[1:])
    async with Pieces(*pieces, end=False).hurry() as server:
        got = whole(client, server.url, exchange)
        await until(
            lambda: (
                bool(server.requests)
                and exchange.bytes_read == expected
                and (exchange.status is not None or not pieces)
            )
        )
        got.dispose()
        await server.gone.wait()
    assert (got.items, got.ends, client.open_streams) == ([], 0, 0)


async def test_a_cancelled_task_closes_the_connection(client: HttpClient) -> None:
    exchange = Exchange()
    async with Pieces(HEAD, end=False).hurry() as server:
        asked = asyncio.ensure_future(chat(client, provider(server.url), ask(), "m", exchange))
        await until(lambda: exchange.status is not None)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await server.gone.wait()
    assert client.open_streams == 0


async def test_an_empty_body_is_no_answer(client: HttpClient) -> None:
    async with Pieces(HEAD, chunk(b"")).hurry() as server:
        got = whole(client, server.url)
        error = await got.end()
    assert isinstance(error, ProviderError)
    assert (error.kind, error.provider, error.status, error.request_id) == (ErrorKind.PROTOCOL, "openai", 200, "r1")
    assert (got.items, got.ends) == ([], 1)


@pytest.mark.parametrize(("pieces", "phase", "status"), [((), Phase.HEADERS, None), ((HEAD,), Phase.FLOW, 200)])
async def test_an_answer_that_is_not_whole_in_time_is_a_timeout_that_says_how_far_it_came(
    pieces: tuple[bytes, ...], phase: Phase, status: int | None
) -> None:
    async with (
        Pieces(*pieces, end=False).hurry() as server,
        HttpClient(HttpTimeouts(headers_s=9, answer_s=0.1)) as client,
    ):
        error = await whole(client, server.url).end()
        await server.gone.wait()
    assert isinstance(error, StreamTimeout)
    assert (error.limit, error.phase, error.status, error.provider) == (TimeLimit.TOTAL, phase, status, "openai")
    assert error.message == "no whole answer within 0.1 s"


async def test_limits_of_streams_hold_for_it(client: HttpClient) -> None:
    exchange = Exchange()
    async with Pieces(HEAD, chunk(b" "), end=False).hurry() as server:
        source = chat_whole(client, provider(server.url), ask(), "m", exchange)
        error = await Collected(source.pipe(stream_timeouts(idle_s=0.05, exchange=exchange))).end()
        await server.gone.wait()
    assert isinstance(error, StreamTimeout)
    assert (error.limit, error.phase, error.status) == (TimeLimit.IDLE, Phase.FIRST_TOKEN, 200)
    assert error.message == "nothing arrived for 0.05 s; 1 reads brought 1 bytes without a token"


async def test_a_body_that_is_too_large_is_read_no_further_and_told_once(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 8)
    failures: list[Exception] = []
    ends: list[object] = []
    exchange = Exchange()
    async with Pieces(HEAD, chunk(WHOLE), chunk(WHOLE), end=False).hurry() as server:
        asked = provider(server.url)
        call = asked.call(asked.api(ask(), "m"), ask(), "m", stream=False)
        # without the auto-detach of `subscribe`, which would close the connection in any case
        receiver = Receiver[bytes](ends.append, failures.append, lambda: ends.append("end"))
        connect(client.whole(call, exchange), receiver, None)
        await server.gone.wait()
    (error,) = failures
    assert isinstance(error, ProviderError)
    assert (error.kind, error.request_id, ends) == (ErrorKind.PROTOCOL, "r1", [])
    assert error.message == "the answer is larger than 8 bytes"


class Late:
    """A credential whose source gave up waiting."""

    secrets: tuple[Secret, ...] = ()

    async def headers(self, request: Unsigned) -> Mapping[str, str]:
        raise TimeoutError("the credential's own")

    def refused(self) -> None:
        """It is never sent."""


async def test_a_timeout_that_is_none_of_ours_is_not_told_as_one(client: HttpClient) -> None:
    asked = replace(provider("http://127.0.0.1:9"), auth=Late())
    error = await Collected(chat_whole(client, asked, ask(), "m", Exchange())).end()
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.INTERNAL
    assert "the credential's own" in error.message


@pytest.mark.parametrize("ask_for", [chat_stream, chat_whole])
async def test_one_exchange_lives_through_a_refusal_a_reset_and_an_answer(client: HttpClient, ask_for: Ask) -> None:
    answers = [b"HTTP/1.1 503 Busy\r\nx-request-id: r0\r\nContent-Length: 0\r\n\r\n", b"", HEAD]
    exchange = Exchange()
    seen: list[tuple[int | None, str | None]] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        seen.append((exchange.status, exchange.provider_request_id))
        answer = answers.pop(0)
        await peer.send(answer, *([chunk(WHOLE), chunk(b"")] if answers == [] else []))

    policy = RetryPolicy(min_s=0.001, base_s=0.001, max_s=0.001)
    async with ScriptedServer(script) as server:
        source = ask_for(client, provider(server.url), ask(), "m", exchange)
        limits = stream_timeouts(connect_s=1, headers_s=2, first_token_s=3, exchange=exchange)
        got = Collected(source.pipe(limits, retry_stream(policy, exchange=exchange)))
        assert await got.end() is None
    assert [type(token) for token in got.items] == [Text, UsageReport, Finish]
    assert seen == [(None, None)] * 3  # nothing of the answer before, while the next one is asked for
    assert [(attempt.status, attempt.phase, attempt.finished) for attempt in exchange.attempts] == [
        (503, Phase.HEADERS, False),
        (None, Phase.HEADERS, False),
        (200, None, True),
    ]
    assert (exchange.provider_request_id, exchange.connect_s) == ("r1", None)


async def test_errors_tell_no_key(client: HttpClient) -> None:
    body = b'{"error":{"message":"no credit for %s","type":"insufficient_quota","code":"insufficient_quota"}}'
    async with Pieces(HEAD, chunk(body % KEY.reveal().encode()), chunk(b"")).hurry() as server:
        error = await whole(client, server.url).end()
    assert isinstance(error, ProviderError)
    assert (error.kind in (ErrorKind.QUOTA, ErrorKind.BILLING), error.status) == (True, 200)
    assert KEY.reveal() not in f"{error!s} {error.raw} {error.args}"


async def test_usage_is_told_as_in_a_stream(client: HttpClient) -> None:
    async with Pieces(HEAD, chunk(WHOLE), chunk(b"")).hurry() as server:
        tokens = await chat(client, provider(server.url), ask(), "m", Exchange())
    (report,) = (token for token in tokens if isinstance(token, UsageReport))
    assert isinstance(report.usage, Usage)
    assert (report.usage.input, report.usage.output) == (2, 1)
