"""Every error of the HTTP client, provoked at a socket: what it is, and who may be asked next."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange
from rxlapce.operators.legs import FallbackPolicy, may_ask_elsewhere
from rxlapce.operators.retry import may_ask_again
from rxlapce.operators.timeouts import StreamTimeout, TimeLimit, stream_timeouts
from rxlapce.providers import http
from rxlapce.providers.auth import NoAuth
from rxlapce.providers.call import HttpCall
from rxlapce.providers.http import HttpClient, HttpTimeouts
from rxlapce.providers.provider import chat_stream
from rxlapce.testing.asking import Collected, ask, simulated
from rxlapce.testing.scripted import CHUNKED, Peer, ScriptedServer, chunk


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    return ProviderError(ErrorKind.OVERLOADED, body.decode(), status=status)


def call(url: str, headers: Mapping[str, str] | None = None) -> HttpCall:
    return HttpCall(provider="acme", url=url, body=b"{}", auth=NoAuth(), read_error=read_error, headers=headers or {})


async def failure(client: HttpClient, url: str, exchange: Exchange | None = None) -> ProviderError:
    error = await Collected(client.stream(call(url), exchange or Exchange())).end()
    assert isinstance(error, ProviderError)
    return error


# -- places that do not answer ----------------------------------------------------------------------------------------

Place = AbstractAsyncContextManager[str]


@asynccontextmanager
async def nobody() -> AsyncGenerator[str]:
    """A port where nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


@asynccontextmanager
async def full() -> AsyncGenerator[str]:
    """A listener that accepts nobody, and whose backlog is full: the system drops what else wants to connect."""
    loop = asyncio.get_running_loop()
    waiting: list[socket.socket] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        try:
            while len(waiting) < 64:
                waiting.append(socket.socket())
                waiting[-1].setblocking(False)
                try:
                    await asyncio.wait_for(loop.sock_connect(waiting[-1], address), timeout=0.05)
                except TimeoutError:
                    break
            else:
                raise AssertionError("the backlog takes everybody")
            yield f"http://127.0.0.1:{address[1]}"
        finally:
            for one in waiting:
                one.close()


def saying(*pieces: bytes, abort: bool = False, stay: bool = False) -> Callable[[], Place]:
    """A server that answers every request with `pieces`."""

    @asynccontextmanager
    async def place() -> AsyncGenerator[str]:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(*pieces)
            if abort:
                peer.abort()
            if stay:
                await peer.until_gone()

        async with ScriptedServer(script) as server:
            yield server.url

    return place


@asynccontextmanager
async def reset_on_reuse() -> AsyncGenerator[str]:
    """A server that answers the first request of a connection, and resets it at the second."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, chunk(b"x"), chunk(b""))
        await peer.request()
        peer.abort()

    async with ScriptedServer(script) as server:
        yield server.url


def given(url: str) -> Callable[[], Place]:
    @asynccontextmanager
    async def place() -> AsyncGenerator[str]:
        yield url

    return place


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key with a certificate that nobody has reason to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


# -- the table --------------------------------------------------------------------------------------------------------

NETWORK, TIMEOUT, BAD_REQUEST = ErrorKind.NETWORK, ErrorKind.TIMEOUT, ErrorKind.BAD_REQUEST
CONNECT, HEADERS, FLOW = Phase.CONNECT, Phase.HEADERS, Phase.FLOW
SHORT = HttpTimeouts(connect_s=0.1, headers_s=0.2)
REDIRECT = b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
#: A place -> kind, phase, status, begin of the message, asked again there?, asked elsewhere?
ERRORS = {
    "nobody listens": (nobody, NETWORK, CONNECT, None, "cannot connect to 127.0.0.1:", False, True),
    "no connection in time": (full, TIMEOUT, CONNECT, None, "no connection within 0.1 s", False, True),
    "no headers in time": (saying(stay=True), TIMEOUT, HEADERS, None, "no response headers within", False, True),
    "closed before the headers": (saying(), NETWORK, HEADERS, None, "the server closed the connection", True, True),
    "reset before the headers": (saying(abort=True), NETWORK, HEADERS, None, "the ", True, True),
    "no HTTP": (saying(b"SSH-2.0-x\r\n\r\n"), ErrorKind.PROTOCOL, HEADERS, None, "the answer is no HTTP", False, True),
    "a redirect": (saying(REDIRECT), BAD_REQUEST, HEADERS, 307, "the server redirects", False, True),
    "an error's status": (saying(BUSY), ErrorKind.OVERLOADED, HEADERS, 503, "busy", True, True),
    "a body that breaks off": (
        saying(CHUNKED, chunk(b"x")), ErrorKind.TRUNCATED, FLOW, 200, "the connection broke off", True, True,
    ),
    "a URL without a host": (given("http:///v1"), BAD_REQUEST, CONNECT, None, "no usable URL", False, True),
    "a URL with a bad port": (given("http://127.0.0.1:99999"), BAD_REQUEST, CONNECT, None, "no", False, True),
    "another scheme": (given("gopher://127.0.0.1:9"), BAD_REQUEST, CONNECT, None, "no usable URL", False, True),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_says_who_may_be_asked_next(name: str) -> None:
    place, kind, phase, status, said, again, elsewhere = ERRORS[name]
    async with place() as url, HttpClient(SHORT) as client:
        error = await failure(client, url)
    assert (error.kind, error.phase, error.status, error.provider) == (kind, phase, status, "acme")
    assert error.message.startswith(said)
    assert may_ask_again(error) is again
    assert may_ask_elsewhere(error, FallbackPolicy()) is elsewhere


@pytest.mark.parametrize(("status", "retry"), [(407, Retry.OTHER_PROVIDER), (502, Retry.SAME)])
async def test_a_proxy_that_does_not_connect_is_the_way_to_one_provider_alone(status: int, retry: Retry) -> None:
    async with (
        saying(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)() as proxy,
        HttpClient(proxy_for=lambda _: proxy) as client,
    ):
        error = await failure(client, "https://api.example/v1")
    assert (error.kind, error.phase, error.retry) == (NETWORK, CONNECT, retry)
    assert not may_ask_again(error)
    assert may_ask_elsewhere(error, FallbackPolicy())


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://[bad", "http://127.0.0.1:99999"])
async def test_a_proxy_that_is_none_is_the_way_to_one_provider_alone(proxy: str) -> None:
    async with HttpClient(proxy_for=lambda _: proxy) as client:
        error = await failure(client, "https://api.example/v1")
    assert (error.kind, error.phase) == (BAD_REQUEST, CONNECT)
    assert not may_ask_again(error)
    assert may_ask_elsewhere(error, FallbackPolicy())


@pytest.mark.parametrize("speaks_tls", [True, False])
async def test_tls_that_fails_is_of_one_provider_alone(self_signed: Path, speaks_tls: bool) -> None:
    """A certificate that nobody trusts, and a server that does not speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed)

    async def shut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 welcome\r\n")
        writer.close()

    server = await asyncio.start_server(shut, "127.0.0.1", 0, ssl=context if speaks_tls else None)
    async with server, HttpClient() as client:
        error = await failure(client, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert (error.kind, error.phase, error.retry) == (NETWORK, CONNECT, Retry.OTHER_PROVIDER)
    assert error.message.startswith("TLS failed: ")
    assert not may_ask_again(error)
    assert may_ask_elsewhere(error, FallbackPolicy())


async def test_a_connection_kept_alive_that_is_reset_may_be_asked_again() -> None:
    """aiohttp sends a POST once: a retry is ours, and on a new connection."""
    async with reset_on_reuse() as url, HttpClient() as client:
        assert await client.fetch(call(url), Exchange()) == b"x"
        error = await failure(client, url)
        assert (error.kind, error.phase, error.status) == (NETWORK, HEADERS, None)
        assert may_ask_again(error)
        assert await client.fetch(call(url), Exchange()) == b"x"


async def test_a_whole_answer_that_is_late_or_too_large_is_asked_for_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 8)
    late, large = saying(CHUNKED, chunk(b"x"), stay=True), saying(CHUNKED, chunk(b"123456789"), stay=True)
    for place, kind in ((late, TIMEOUT), (large, ErrorKind.PROTOCOL)):
        async with place() as url, HttpClient(HttpTimeouts(answer_s=0.1)) as client:
            with pytest.raises(ProviderError) as caught:
                await client.fetch(call(url), Exchange())
        assert (caught.value.kind, caught.value.status, caught.value.provider) == (kind, 200, "acme")
        assert not may_ask_again(caught.value)
        assert may_ask_elsewhere(caught.value, FallbackPolicy())


# -- one request's limit on connecting --------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "client_s", "said"), [(0.05, 5, 0.05), (5, 0.05, 0.05), (None, 0.05, 0.05)])
async def test_the_stricter_limit_on_connecting_holds_and_is_told(
    own: float | None, client_s: float, said: float
) -> None:
    async with full() as url, HttpClient(HttpTimeouts(connect_s=client_s)) as client:
        error = await failure(client, url, Exchange(connect_s=own))
    assert isinstance(error, StreamTimeout)
    assert (error.limit, error.phase, error.status) == (TimeLimit.CONNECT, CONNECT, None)
    assert error.message == f"no connection within {said:g} s"


async def test_a_stream_is_given_its_limit_on_connecting() -> None:
    exchange = Exchange()
    async with full() as url, HttpClient() as client:
        tokens = chat_stream(client, simulated(url)[0], ask(), "m", exchange)
        error = await Collected(tokens.pipe(stream_timeouts(connect_s=0.05, exchange=exchange))).end()
    assert isinstance(error, StreamTimeout)
    assert (error.limit, error.provider) == (TimeLimit.CONNECT, "openai")
    assert error.message == "no connection within 0.05 s"
    assert exchange.connect_s is None


async def test_a_limit_on_connecting_ends_with_the_connection() -> None:
    connected = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await connected.wait()
        await peer.send(CHUNKED, chunk(b"x"), chunk(b""))

    async with ScriptedServer(script) as server, HttpClient() as client:
        got = Collected(client.stream(call(server.url), Exchange(connect_s=0.05)))
        asyncio.get_running_loop().call_later(0.15, connected.set)
        assert await got.end() is None
    assert got.items == [b"x"]


async def test_an_error_ahead_of_the_headers_does_not_tell_the_answer_before() -> None:
    exchange = Exchange()
    async with HttpClient() as client:
        async with saying(b"HTTP/1.1 503 Busy\r\nx-request-id: r1\r\nContent-Length: 0\r\n\r\n")() as url:
            assert (await failure(client, url, exchange)).request_id == "r1"
        error = await failure(client, url, exchange)
    assert (error.kind, error.status, error.request_id) == (NETWORK, None, None)
