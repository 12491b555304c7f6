"""The only HTTP client: one aiohttp session for all providers, requests as cold Observables of bytes.

aiohttp's errors become `ProviderError`s in one place, most specific first (`_as_provider_error`), and everything that a
provider says is scrubbed of the request's secrets before it is kept.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Final, Self

import aiohttp
import yarl
from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import SingleAssignmentDisposable

from rxlapce.dialects.failures import request_id
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry, writable
from rxlapce.flow import Exchange, Receiver, Stage, Tasks, connect, from_reads, iterate
from rxlapce.operators.timeouts import StreamTimeout, TimeLimit
from rxlapce.providers.auth import Unsigned
from rxlapce.providers.call import MAX_ANSWER_BYTES, MAX_HEADER_CHARS, HttpCall, telling_headers, told_by
from rxlapce.secret import scrub

#: What one read takes at most, and what aiohttp holds of a response before it stops reading the socket (at twice this,
#: and what the last recv brought, up to 256 KiB). The gate is asked between reads, so this, with the smallest event of
#: a provider, also bounds how many tokens come to our own buffer after its gate has closed.
READ_BUFFER_BYTES: Final = 16 * 1024
#: Error bodies are read up to this; the rest tells nothing.
MAX_ERROR_BODY_BYTES: Final = 64 * 1024

#: How long what is said of an origin's proxy holds, in seconds: to go through the environment takes 0.3 ms, and a
#: laptop that comes into another network has other proxies.
PROXY_HOLDS_S: Final = 10.0
#: What aiohttp adds to a request that does not have it.
_ADDED_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

#: The proxy's URL for an origin (scheme, host and port as a URL), None for none.
ProxyFor = Callable[[str], str | None]


def no_proxy(url: str) -> str | None:
    """The direct way to every URL."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTimeouts:
    """Limits until the headers are there, in seconds. What comes after is `stream_timeouts`' business.

    `connect_s` covers name resolution, TCP and TLS (an exchange may have a stricter one); `headers_s` the time from
    sending to the response's headers (models may think before they answer, so it is long); `answer_s` a whole unary
    answer.
    """

    connect_s: float = 5.0
    headers_s: float = 120.0
    answer_s: float = 600.0


class HttpClient:
    """A session that keeps connections alive, and the tasks of the streams on it. Use as an async context manager.

    Runs on the loop that enters it. Leaving cancels the streams that run, waits for them, and closes every connection.
    Redirects are not followed: they would carry the key to another host. `proxy_for` is asked once in `PROXY_HOLDS_S`.
    """

    def __init__(self, timeouts: HttpTimeouts | None = None, proxy_for: ProxyFor = no_proxy) -> None:
        self.timeouts = timeouts or HttpTimeouts()
        self.proxy_for = proxy_for
        self._proxies: dict[str, tuple[str | None, float]] = {}
        """What it said of an origin, and until when that holds."""
        self.tasks = Tasks()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=None, connect=self.timeouts.connect_s),
            read_bufsize=READ_BUFFER_BYTES,
            # A cookie of one answer would go with every request to its host, also with one of another key.
            cookie_jar=aiohttp.DummyCookieJar(),
            # Proxies come by `proxy_for`; with this, aiohttp would also read ~/.netrc, and send its password.
            trust_env=False,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.tasks.aclose()
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def open_streams(self) -> int:
        """Requests whose answer is awaited or read now."""
        return len(self.tasks)

    def stream(self, call: HttpCall, exchange: Exchange) -> Observable[bytes]:
        """Send `call` on subscribe and emit the response body as it arrives, one read at a time.

            source: --(bytes)--(bytes)------(bytes)-|

        Fills in `exchange` (status, content type, the provider's request id, times, byte counts), and asks
        `exchange.flow` before each read. A status from 300 is `on_error` with the provider's error. A body that breaks
        off is `on_error` of kind `truncated`, after all bytes that did arrive. Disposing closes the connection at once.
        """
        return from_reads(partial(self._reads, call, exchange), exchange, self.tasks)

    def whole(self, call: HttpCall, exchange: Exchange) -> Observable[bytes]:
        """Send `call` on subscribe and emit the whole body of a successful response, as one item.

            source: --------------(body)|

        As `stream` in all else; and `on_error` of kind `timeout` after `timeouts.answer_s`, of kind `protocol` for a
        body of more than `MAX_ANSWER_BYTES`, which is what is held at most.
        """

        def on_subscribe(receiver: Receiver[bytes], scheduler: SchedulerBase | None) -> DisposableBase:
            pieces: list[bytes] = []
            size = 0
            upstream = SingleAssignmentDisposable()

            def on_next(data: bytes) -> None:
                nonlocal size
                pieces.append(data)
                size += len(data)
                if size > MAX_ANSWER_BYTES:
                    pieces.clear()
                    upstream.dispose()
                    error = ProviderError(ErrorKind.PROTOCOL, f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
                    receiver.on_error(told_by(error, call, exchange))

            def on_completed() -> None:
                receiver.on_next(b"".join(pieces))
                receiver.on_completed()

            reads = from_reads(partial(self._reads_in_time, call, exchange), exchange, self.tasks)
            upstream.disposable = connect(reads, Receiver(on_next, receiver.on_error, on_completed), scheduler)
            return upstream

        return Stage(on_subscribe)

    async def fetch(self, call: HttpCall, exchange: Exchange) -> bytes:
        """What `whole` emits. Raises `ProviderError`; a cancel closes the connection."""
        self._opened()  # a misuse here is the caller's, and no error of a provider
        async with aclosing(iterate(self.whole(call, exchange))) as bodies:
            return await anext(bodies)

    @asynccontextmanager
    async def forward(
        self, call: HttpCall, headers: Sequence[tuple[str, str]], exchange: Exchange
    ) -> AsyncGenerator["Forwarded"]:
        """The response to somebody else's request, whatever its status; leaving early closes the connection.

        What is sent is `headers` alone: of the call's `auth` only the secrets count. A body that was compressed, though
        nobody asked for it, is unpacked. Raises `ProviderError` where no response came.
        """
        response = await self._request(call, headers, exchange, added=False)
        try:
            _learn(response, call, exchange)
            unpacked = "content-encoding" in response.headers
            yield Forwarded(
                response.status,
                tuple(response.headers.items()),
                partial(_read, response.content, call, exchange),
                unpacked=unpacked,
            )
        finally:
            response.close()

    @asynccontextmanager
    async def _reads(self, call: HttpCall, exchange: Exchange) -> AsyncGenerator[Callable[[], Awaitable[bytes]]]:
        """The reads of a successful response's body."""
        async with self._respond(call, exchange) as response:
            yield partial(_read, response.content, call, exchange)

    @asynccontextmanager
    async def _reads_in_time(
        self, call: HttpCall, exchange: Exchange
    ) -> AsyncGenerator[Callable[[], Awaitable[bytes]]]:
        """The same, all of them within `answer_s`."""
        answer_s = self.timeouts.answer_s
        deadline = asyncio.timeout(answer_s)
        try:
            async with deadline, self._reads(call, exchange) as read:
                yield read
        except TimeoutError:
            if not deadline.expired():
                raise  # of whoever gets the credential
            phase = Phase.HEADERS if exchange.status is None else Phase.FLOW
            error = StreamTimeout(TimeLimit.TOTAL, f"no whole answer within {answer_s:g} s", phase, exchange)
            raise told_by(error, call, exchange) from None

    @asynccontextmanager
    async def _respond(self, call: HttpCall, exchange: Exchange) -> AsyncGenerator[aiohttp.ClientResponse]:
        """The response to `call` once its headers are there and its status is a success."""
        response = await self._send(call, exchange)
        try:
            _learn(response, call, exchange)
            if response.status >= 300:
                refusal = await _refusal(response, call, exchange)
                if refusal.kind is ErrorKind.AUTH:
                    call.auth.refused()
                raise refusal
            yield response
        finally:
            # After the end of the body the connection is back in the pool and this does nothing; before it, the
            # provider must see at once that nobody listens.
            response.close()

    async def _send(self, call: HttpCall, exchange: Exchange) -> aiohttp.ClientResponse:
        """The response to `call`, whatever its status, once its headers are there. Raises `ProviderError`."""
        self._opened()
        headers = {
            "Content-Type": "application/json",
            "Accept": call.accept,
            # A compressing proxy would hold tokens back until its window fills.
            "Accept-Encoding": "identity",
            **call.headers,
        }
        headers.update(await call.auth.headers(Unsigned(call.method, call.url, headers, call.body)))
        return await self._request(call, tuple(headers.items()), exchange)

    async def _request(
        self, call: HttpCall, headers: Sequence[tuple[str, str]], exchange: Exchange, *, added: bool = True
    ) -> aiohttp.ClientResponse:
        """The response to `call` with these headers, and with those that aiohttp adds to every request if `added`."""
        session = self._opened()
        proxy = self._proxy(call)
        connect_s, headers_s = self.timeouts.connect_s, self.timeouts.headers_s
        if exchange.connect_s is not None:
            connect_s = min(connect_s, exchange.connect_s)
        deadline = asyncio.timeout(headers_s)
        try:
            async with deadline:
                return await session.request(
                    call.method,
                    # Percent-encoded already, and perhaps signed so: aiohttp must not write %3A as a colon.
                    yarl.URL(call.url, encoded=True),
                    data=call.body or None,
                    headers=headers,
                    skip_auto_headers=() if added else _ADDED_HEADERS,
                    proxy=proxy,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, connect=connect_s),
                )
        except TimeoutError:
            if deadline.expired():
                late, phase, said = TimeLimit.HEADERS, Phase.HEADERS, f"no response headers within {headers_s:g} s"
            else:  # aiohttp's own, which has no other limit than the one on connecting
                late, phase, said = TimeLimit.CONNECT, Phase.CONNECT, f"no connection within {connect_s:g} s"
            raise told_by(StreamTimeout(late, said, phase, exchange), call, exchange) from None
        except (aiohttp.ClientHttpProxyError, aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            # Without the cause, which holds the proxy's password.
            raise _as_provider_error(error, Phase.CONNECT, call, exchange) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _as_provider_error(error, Phase.HEADERS, call, exchange) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("HttpClient is used outside its `async with`")
        return self._session

    def _proxy(self, call: HttpCall) -> str | None:
        """The proxy for `call`. Raises `ProviderError` for one of a kind that is not spoken."""
        proxy = self._proxy_of("/".join(call.url.split("/", 3)[:3]))
        if proxy is not None and not proxy.lower().startswith(("http://", "https://")):
            raise ProviderError(
                ErrorKind.BAD_REQUEST,
                f"the environment names a proxy of the kind {proxy.partition('://')[0]!r}; only http and https are "
                "spoken",
                retry=Retry.OTHER_PROVIDER,
                phase=Phase.CONNECT,
                provider=call.provider,
            )
        return proxy

    def _proxy_of(self, origin: str) -> str | None:
        now_s = asyncio.get_running_loop().time()
        said, until_s = self._proxies.get(origin, (None, now_s))
        if until_s <= now_s:
            said = self.proxy_for(origin)
            self._proxies = {one: held for one, held in self._proxies.items() if held[1] > now_s}
            self._proxies[origin] = said, now_s + PROXY_HOLDS_S
        return said


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A response on its way to somebody else. `read` gives what comes next, b"" at the end; it raises `ProviderError`.

    `unpacked`: the body is another than the headers say, for it was compressed.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    read: Callable[[], Awaitable[bytes]]
    _: KW_ONLY
    unpacked: bool


async def _read(content: aiohttp.StreamReader, call: HttpCall, exchange: Exchange) -> bytes:
    """What has come of a body, b"" at its end. Raises `ProviderError` once all is read that came before a break."""
    try:
        return await content.read(READ_BUFFER_BYTES)
    except (aiohttp.ClientError, OSError) as error:
        left = _unread(content)
        if left:
            return left  # the next call raises again, with nothing left
        raise _as_provider_error(error, Phase.FLOW, call, exchange) from error


def _learn(response: aiohttp.ClientResponse, call: HttpCall, exchange: Exchange) -> None:
    """Fill in what the headers tell."""
    exchange.status = response.status
    exchange.content_type = response.content_type
    exchange.last_read_s = exchange.answered_s = asyncio.get_running_loop().time()
    exchange.headers = telling_headers(response.headers, call.auth.secrets)
    told = request_id(response.headers)
    told = None if told is None else scrub(writable(told, MAX_HEADER_CHARS), call.auth.secrets)
    exchange.provider_request_id = told


async def _refusal(response: aiohttp.ClientResponse, call: HttpCall, exchange: Exchange) -> ProviderError:
    """The error that a response of status 300 or more tells."""
    headers = {name.lower(): writable(value, MAX_HEADER_CHARS) for name, value in response.headers.items()}
    try:
        body = await asyncio.wait_for(_beginning(response, MAX_ERROR_BODY_BYTES), timeout=10)
    except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
        body = b""
    exchange.refusal = scrub(body.decode("latin-1"), call.auth.secrets).encode("latin-1")
    if response.status < 400:
        error = ProviderError(
            ErrorKind.BAD_REQUEST,
            f"the server redirects to {headers.get('location', 'nowhere')}; redirects are not followed, since they "
            "would carry the key to another host: set the base URL to the final address",
            retry=Retry.OTHER_PROVIDER,
            status=response.status,
        )
    else:
        error = call.read_error(response.status, headers, body)
    error.phase = Phase.HEADERS
    return told_by(error, call, exchange)


async def _beginning(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, or its first `limit` bytes."""
    pieces: list[bytes] = []
    size = 0
    while size < limit and (piece := await response.content.readany()):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)[:limit]


def _unread(content: aiohttp.StreamReader) -> bytes:
    """The bytes that had arrived before `content` failed.

    aiohttp's public readers raise the connection's error ahead of data that is still in their buffer; these tokens were
    sent and received, and a reader that was slow must not lose them. `tests/providers` holds this to aiohttp's version.
    """
    return content._read_nowait(-1) if content._buffer else b""  # pyright: ignore[reportPrivateUsage] - see above


def _as_provider_error(error: Exception, phase: Phase, call: HttpCall, exchange: Exchange) -> ProviderError:
    """A failure of the connection in our words; most specific class first.

    What is wrong with this provider's address, its certificate or the way to it (`OTHER_PROVIDER`) is not of the
    request: another provider may well answer it.
    """
    kind, retry = ErrorKind.NETWORK, Retry.SAME
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        phase, retry, what = Phase.CONNECT, Retry.OTHER_PROVIDER, f"TLS failed: {error}"
    elif isinstance(error, aiohttp.ClientConnectorError):
        phase, what = Phase.CONNECT, f"cannot connect to {error.host}:{error.port}: {error.strerror or error}"
    elif isinstance(error, aiohttp.ClientHttpProxyError):
        retry = Retry.SAME if error.status >= 500 else Retry.OTHER_PROVIDER
        what = f"the proxy did not connect: {error.status} {error.message}"
    elif isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        # It says the URL, which may be the proxy's, with a password.
        kind, phase, retry = ErrorKind.BAD_REQUEST, Phase.CONNECT, Retry.OTHER_PROVIDER
        what = "no usable URL, or no usable proxy"
    elif isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientPayloadError):
        kind, phase, retry = ErrorKind.BAD_REQUEST, Phase.CONNECT, Retry.OTHER_PROVIDER
        what = f"not a usable URL: {error}"
    elif phase is Phase.FLOW:
        kind, what = ErrorKind.TRUNCATED, "the connection broke off in the middle of the answer"
    elif isinstance(error, aiohttp.ClientResponseError):
        kind, retry, what = ErrorKind.PROTOCOL, Retry.OTHER_PROVIDER, f"the answer is no HTTP: {error.message}"
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        what = "the server closed the connection before it answered"
    else:
        what = f"the connection failed before the answer: {type(error).__name__}"
    return told_by(ProviderError(kind, what, retry=retry, phase=phase), call, exchange)
