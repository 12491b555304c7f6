"""The HTTP client against real sockets: what arrives, what is told of a failure, what a dispose does."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange
from rxlapce.providers import http
from rxlapce.providers.auth import Auth, Bearer, NoAuth
from rxlapce.providers.call import HttpCall
from rxlapce.providers.http import READ_BUFFER_BYTES, HttpClient, HttpTimeouts
from rxlapce.secret import Secret
from rxlapce.testing.scripted import CHUNKED, Peer, ScriptedServer, chunk

KEY = "sk-test-0123456789abcdef"


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    text = body.decode(errors="replace")
    return ProviderError(ErrorKind.RATE_LIMIT, f"{headers.get('retry-after')}: {text}", status=status, raw=text)


def call(url: str, auth: Auth | None = None) -> HttpCall:
    return HttpCall(
        provider="test", url=url, body=b'{"a":1}', auth=auth or NoAuth(), read_error=read_error, headers={"X-Own": "1"}
    )


class Collected:
    """What a subscription got."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.error: Exception | None = None
        self.ended = asyncio.Event()
        self.grew = asyncio.Event()

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    def on_next(self, data: bytes) -> None:
        self.pieces.append(data)
        self.grew.set()

    def on_error(self, error: Exception) -> None:
        self.error = error
        self.ended.set()

    def on_completed(self) -> None:
        self.ended.set()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(HttpTimeouts(connect_s=2, headers_s=2, answer_s=2)) as opened:
        yield opened


async def collect(
    client: HttpClient, url: str, exchange: Exchange | None = None, auth: Auth | None = None
) -> Collected:
    seen = Collected()
    scheduler = AsyncIOScheduler(asyncio.get_running_loop())
    client.stream(call(url, auth), exchange or Exchange()).subscribe(
        seen.on_next, seen.on_error, seen.on_completed, scheduler=scheduler
    )
    await seen.ended.wait()
    return seen


def told(seen: Collected) -> ProviderError:
    assert isinstance(seen.error, ProviderError)
    return seen.error


async def test_body_arrives_whole_and_the_exchange_learns_the_facts(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            CHUNKED.replace(b"\r\n\r\n", b"\r\nX-Request-Id: r1\r\n\r\n"), chunk(b"a\n"), chunk(b"b\n"), chunk(b"")
        )
        await peer.until_gone()

    exchange = Exchange()
    async with ScriptedServer(script) as server:
        seen = await collect(client, server.url, exchange)
    assert (seen.data, seen.error) == (b"a\nb\n", None)
    assert (exchange.status, exchange.content_type, exchange.provider_request_id) == (200, "text/event-stream", "r1")
    assert exchange.bytes_read == 4


async def test_request_has_body_headers_and_key_and_asks_for_no_compression(client: HttpClient) -> None:
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        got.extend(await peer.request())
        await peer.send(CHUNKED, chunk(b""))

    async with ScriptedServer(script) as server:
        await collect(client, server.url + "/v1/x", auth=Bearer(Secret(KEY)))
    head = got[0].decode().lower()
    assert head.startswith("post /v1/x http/1.1")
    assert f"authorization: bearer {KEY}" in head
    assert "accept-encoding: identity" in head
    assert "x-own: 1" in head
    assert got[1] == b'{"a":1}'


async def test_connection_is_used_again_after_a_whole_body(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(CHUNKED, chunk(b"x"), chunk(b""))

    async with ScriptedServer(script) as server:
        for _ in range(3):
            assert (await collect(client, server.url)).data == b"x"
        assert server.connections == 1


async def test_a_status_from_400_is_the_providers_error_in_phase_headers(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nrequest-id: r9\r\nContent-Length: 4\r\n\r\nbusy")

    async with ScriptedServer(script) as server:
        error = told(await collect(client, server.url))
    assert (error.kind, error.phase, error.status) == (ErrorKind.RATE_LIMIT, Phase.HEADERS, 429)
    assert (error.message, error.provider, error.request_id) == ("7: busy", "test", "r9")


async def test_a_key_that_the_provider_echoes_is_masked_everywhere(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        body = f"Incorrect API key provided: {KEY}".encode()
        await peer.send(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async with ScriptedServer(script) as server:
        error = told(await collect(client, server.url, auth=Bearer(Secret(KEY))))
    assert "Incorrect API key" in str(error)
    assert KEY not in f"{error!s} {error!r} {error.args} {error.raw} {error.to_dict()}"


async def test_a_redirect_is_not_followed_with_the_key(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")

    async with ScriptedServer(script) as server:
        error = told(await collect(client, server.url, auth=Bearer(Secret(KEY))))
    assert error.kind is ErrorKind.BAD_REQUEST
    assert "redirects to http://127.0.0.1:1/" in error.message


async def test_nobody_listening_is_a_network_error_in_phase_connect(client: HttpClient) -> None:
    async with ScriptedServer(Peer.until_gone) as server:
        url = server.url
    error = told(await collect(client, url))
    assert (error.kind, error.phase, error.retry) == (ErrorKind.NETWORK, Phase.CONNECT, Retry.SAME)
    assert "cannot connect to 127.0.0.1" in error.message


async def test_a_reset_before_the_headers_is_a_network_error_in_phase_headers(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.abort()

    async with ScriptedServer(script) as server:
        error = told(await collect(client, server.url))
    assert (error.kind, error.phase) == (ErrorKind.NETWORK, Phase.HEADERS)


async def test_no_headers_in_time_is_a_timeout_in_phase_headers() -> None:
    async def script(peer: Peer) -> None:
        await peer.until_gone()

    async with ScriptedServer(script) as server, HttpClient(HttpTimeouts(headers_s=0.05)) as client:
        error = told(await collect(client, server.url))
    assert (error.kind, error.phase) == (ErrorKind.TIMEOUT, Phase.HEADERS)
    assert "within 0.05 s" in error.message


@pytest.mark.parametrize("reset", [False, True])
async def test_a_body_that_breaks_off_is_truncated_after_what_arrived(client: HttpClient, reset: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(b"partial"))
        if reset:
            await read.wait()  # a reset overtakes what the reader has not taken from the kernel
            peer.abort()

    seen = Collected()
    read = seen.grew
    async with ScriptedServer(script) as server:
        client.stream(call(server.url), Exchange()).subscribe(seen.on_next, seen.on_error, seen.on_completed)
        await seen.ended.wait()
    error = told(seen)
    assert seen.data == b"partial"
    assert (error.kind, error.phase, error.status) == (ErrorKind.TRUNCATED, Phase.FLOW, 200)


async def test_what_arrived_before_a_break_is_not_lost_while_the_gate_was_closed(client: HttpClient) -> None:
    closed, broken = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(b"first"))
        await closed.wait()
        await peer.send(chunk(b"second"))
        peer.writer.close()
        await peer.writer.wait_closed()
        broken.set()

    exchange, seen = Exchange(), Collected()

    def on_next(data: bytes) -> None:
        seen.on_next(data)
        if not closed.is_set():
            exchange.flow.close(seen)
            closed.set()

    async with ScriptedServer(script) as server:
        client.stream(call(server.url), exchange).subscribe(on_next, seen.on_error, seen.on_completed)
        await closed.wait()
        await broken.wait()
        # the break reaches aiohttp while nobody reads: give its side of the loop some rounds
        for _ in range(20):
            await asyncio.sleep(0)
        exchange.flow.open(seen)
        await seen.ended.wait()
    assert seen.data == b"firstsecond"
    assert told(seen).kind is ErrorKind.TRUNCATED


async def test_dispose_closes_the_connection_at_once(client: HttpClient) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(b"x"))
        await peer.until_gone()
        gone.set()

    seen = Collected()
    async with ScriptedServer(script) as server:
        subscription = client.stream(call(server.url), Exchange()).subscribe(seen.on_next, seen.on_error)
        await seen.grew.wait()
        subscription.dispose()
        await gone.wait()
    assert seen.error is None
    assert client.open_streams == 0


async def test_a_closed_gate_stops_the_reading_of_the_socket(client: HttpClient) -> None:
    blocked = asyncio.Event()
    total = 32 << 20

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        piece = chunk(b"x" * 65536)
        for _ in range(total // 65536):
            peer.writer.write(piece)
            if peer.writer.transport.get_write_buffer_size() > 0:
                blocked.set()  # the kernel takes no more: nobody reads at the other end
            await peer.writer.drain()
        await peer.send(chunk(b""))

    exchange, seen = Exchange(), Collected()

    def on_next(data: bytes) -> None:
        seen.on_next(data)
        if not blocked.is_set():
            exchange.flow.close(seen)

    async with ScriptedServer(script) as server:
        client.stream(call(server.url), exchange).subscribe(on_next, seen.on_error, seen.on_completed)
        await blocked.wait()
        assert len(seen.data) < 1 << 20
        exchange.flow.open(seen)
        await seen.ended.wait()
    assert len(seen.data) == total


async def test_leaving_the_client_ends_its_streams() -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(b"x"))
        await peer.until_gone()
        gone.set()

    seen = Collected()
    async with ScriptedServer(script) as server:
        async with HttpClient() as client:
            client.stream(call(server.url), Exchange()).subscribe(seen.on_next, seen.on_error)
            await seen.grew.wait()
        await gone.wait()


async def test_an_answer_in_one_piece_is_fetched_whole_and_a_cut_one_is_truncated(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n{}{}")
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{}")

    async with ScriptedServer(script) as server:
        assert await client.fetch(call(server.url), Exchange()) == b"{}{}"
        with pytest.raises(ProviderError) as caught:
            await client.fetch(call(server.url), Exchange())
    assert caught.value.kind is ErrorKind.TRUNCATED


async def test_an_answer_in_one_piece_is_bounded(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nrequest-id: r1\r\nContent-Length: 9\r\n\r\n123456789")

    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 8)
    async with ScriptedServer(script) as server:
        with pytest.raises(ProviderError, match="larger than 8 bytes") as caught:
            await client.fetch(call(server.url), Exchange())
    error = caught.value
    assert (error.kind, error.provider, error.request_id) == (ErrorKind.PROTOCOL, "test", "r1")


async def test_a_netrc_is_neither_read_nor_sent(
    client: HttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password NETRC-PASSWORD\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append((await peer.request())[0])
        await peer.send(CHUNKED, chunk(b""))

    async with ScriptedServer(script) as server:
        for auth in (NoAuth(), Bearer(Secret(KEY))):
            assert (await collect(client, server.url, auth=auth)).error is None
    assert b"basic" not in heads[0].lower()
    assert f"bearer {KEY}".encode() in heads[1].lower()


async def test_a_proxy_is_asked_when_there_is_one() -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append((await peer.request())[0])
        await peer.send(CHUNKED, chunk(b"by proxy"), chunk(b""))

    async with ScriptedServer(script) as server, HttpClient(proxy_for=lambda _: server.url) as client:
        assert (await collect(client, "http://api.example/v1")).data == b"by proxy"
    assert heads[0].startswith(b"POST http://api.example/v1 ")


@pytest.mark.parametrize(("holds_s", "times"), [(60.0, 1), (0.0, 2)])
async def test_what_was_said_of_an_origins_proxy_holds_for_a_while(
    monkeypatch: pytest.MonkeyPatch, holds_s: float, times: int
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(b"hi"), chunk(b""))

    monkeypatch.setattr(http, "PROXY_HOLDS_S", holds_s)
    asked: list[str] = []
    async with ScriptedServer(script) as server, HttpClient(proxy_for=asked.append) as client:
        for path in ("/v1", "/v2"):
            assert (await collect(client, server.url + path)).data == b"hi"
    assert asked == [server.url] * times


async def test_one_read_is_bounded_so_that_the_gate_is_asked_in_time(client: HttpClient) -> None:
    total = 1 << 20

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(b"x" * total), chunk(b""))

    async with ScriptedServer(script) as server:
        seen = await collect(client, server.url)
    assert len(seen.data) == total
    assert max(map(len, seen.pieces)) <= READ_BUFFER_BYTES


async def test_a_header_that_is_not_utf_8_does_no_harm(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 429 Slow\r\nRetry-After: \xff\r\nx-request-id: r\xff1\r\nContent-Length: 0\r\n\r\n")

    async with ScriptedServer(script) as server:
        error = told(await collect(client, server.url))
    assert error.request_id == "r?1"
    f"{error.to_dict()}".encode()


async def test_use_outside_the_context_is_a_misuse() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await HttpClient().fetch(call("http://127.0.0.1:1"), Exchange())
