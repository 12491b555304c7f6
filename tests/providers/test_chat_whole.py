"""An answer in one piece as a stream of its tokens: what it costs, what is told of it, and how it is cancelled."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.timeouts import StreamTimeout, TimeLimit, stream_timeouts
from rxlapce.providers.http import HttpClient, HttpTimeouts
from rxlapce.providers.provider import Provider, chat, chat_whole
from rxlapce.testing.asking import KEY, Collected, ask, simulated
from rxlapce.testing.processes import until
from rxlapce.testing.scripted import Peer, ScriptedServer, chunk
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text, Usage, UsageReport

WHOLE = (
    b'{"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}'
)
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


async def test_a_timeout_of_somebody_downstream_is_not_told_as_the_providers(client: HttpClient) -> None:
    async with Pieces(HEAD, chunk(WHOLE), chunk(b"")).hurry() as server:
        ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

        def late(token: StreamToken) -> None:
            raise TimeoutError("the reader's own")

        chat_whole(client, provider(server.url), ask(), "m", Exchange()).subscribe(late, ended.set_result)
        error = await ended
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.INTERNAL
    assert "the reader's own" in error.message


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
