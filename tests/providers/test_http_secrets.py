"""What the HTTP client lets nobody see, and what it keeps of no request: keys, a proxy's password, cookies."""

import traceback
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange
from rxlapce.providers.auth import Auth, Bearer, Unsigned
from rxlapce.providers.call import HttpCall
from rxlapce.providers.http import HttpClient
from rxlapce.secret import Secret
from rxlapce.testing.scripted import Peer, ScriptedServer

KEY = "sk-test-0123456789abcdef"


def refused_as(kind: ErrorKind) -> Callable[[int, Mapping[str, str], bytes], ProviderError]:
    """Reads any error body as one of `kind`, with all that it says."""

    def read(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        text = body.decode()
        return ProviderError(kind, text, status=status, request_id=headers.get("x-request-id"), raw=text)

    return read


def call(url: str, auth: Auth | None = None, kind: ErrorKind = ErrorKind.AUTH) -> HttpCall:
    auth = auth or Bearer(Secret(KEY))
    return HttpCall(provider="test", url=url, body=b"{}", auth=auth, read_error=refused_as(kind), headers={})


async def failure(client: HttpClient, asked: HttpCall, exchange: Exchange | None = None) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await client.fetch(asked, exchange or Exchange())
    return caught.value


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


@pytest.mark.parametrize("bound", [ProviderError.MAX_MESSAGE_CHARS, ProviderError.MAX_RAW_CHARS])
async def test_a_key_that_stands_across_an_errors_bound_is_masked(client: HttpClient, bound: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        body = b"x" * (bound - len(KEY) + 1) + KEY.encode()
        await peer.send(b"HTTP/1.1 401 No\r\nx-request-id: %s\r\n" % KEY.encode())
        await peer.send(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    async with ScriptedServer(script) as server:
        exchange = Exchange()
        error = await failure(client, call(server.url), exchange)
    assert KEY[:6] not in f"{error!s} {error.args} {error.to_dict()} {exchange.provider_request_id}"


PASSWORD = "proxy-password-0123"


@pytest.mark.parametrize(
    ("status", "retry"), [(407, Retry.OTHER_PROVIDER), (403, Retry.OTHER_PROVIDER), (502, Retry.SAME)]
)
async def test_a_proxy_that_refuses_is_told_without_its_password(status: int, retry: Retry) -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append((await peer.request())[0])
        await peer.send(b"HTTP/1.1 %d No Way\r\nContent-Length: 0\r\n\r\n" % status)

    async with ScriptedServer(script) as server:
        proxy = server.url.replace("://", f"://me:{PASSWORD}@")
        async with HttpClient(proxy_for=lambda _: proxy) as client:
            error = await failure(client, call("https://api.example/v1"))
    assert heads[0].startswith(b"CONNECT api.example:443 ")
    assert KEY.encode() not in heads[0]
    assert (error.kind, error.retry, error.phase) == (ErrorKind.NETWORK, retry, Phase.CONNECT)
    assert f"{status} No Way" in error.message
    assert PASSWORD not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        (f"http://me:{PASSWORD}@host:99999", "no usable proxy"),
        (f"http://me:{PASSWORD}@[bad", "no usable proxy"),
        (f"socks5://me:{PASSWORD}@127.0.0.1:9", "a proxy of the kind 'socks5'"),
    ],
)
async def test_a_proxy_that_cannot_be_one_is_told_without_its_password(proxy: str, said: str) -> None:
    async with HttpClient(proxy_for=lambda _: proxy) as client:
        error = await failure(client, call("https://api.example/v1"))
    assert (error.kind, error.retry, error.phase) == (ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER, Phase.CONNECT)
    assert said in error.message
    assert PASSWORD not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("url", [f"gopher://me:{PASSWORD}@127.0.0.1:9", f"http://me:{PASSWORD}@127.0.0.1:99999"])
async def test_an_address_that_cannot_be_one_is_told_without_its_password(client: HttpClient, url: str) -> None:
    error = await failure(client, call(url))
    assert (error.kind, error.retry, error.phase) == (ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER, Phase.CONNECT)
    assert PASSWORD not in "".join(traceback.format_exception(error))


async def test_a_cookie_is_not_kept_for_the_next_request(client: HttpClient) -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            heads.append((await peer.request())[0])
            await peer.send(b"HTTP/1.1 200 OK\r\nSet-Cookie: seen=1; Path=/\r\nContent-Length: 2\r\n\r\n{}")

    async with ScriptedServer(script) as server:
        url = server.url.replace("127.0.0.1", "localhost")  # an address would get no cookie in any case
        for _ in range(2):
            await client.fetch(call(url), Exchange())
    assert len(heads) == 2
    assert b"seen=1" not in heads[1]


class Refusable:
    """Counts the refusals that it is told of."""

    secrets: tuple[Secret, ...] = ()

    def __init__(self) -> None:
        self.refusals = 0

    async def headers(self, request: Unsigned) -> Mapping[str, str]:
        return {}

    def refused(self) -> None:
        self.refusals += 1


@pytest.mark.parametrize(("kind", "refusals"), [(ErrorKind.AUTH, 1), (ErrorKind.RATE_LIMIT, 0)])
async def test_a_credential_is_told_of_its_refusal_alone(client: HttpClient, kind: ErrorKind, refusals: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    auth = Refusable()
    async with ScriptedServer(script) as server:
        await failure(client, call(server.url, auth, kind))
    assert auth.refusals == refusals
