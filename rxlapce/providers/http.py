"""The only HTTP client: one aiohttp session for all providers, requests as cold Observables of bytes.

aiohttp's errors become `ProviderError`s in one place, most specific first (`_as_provider_error`), and everything that a
provider says is scrubbed of the request's secrets before it is kept.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

import aiohttp
import yarl
from reactivex import Observable

from rxlapce.dialects.failures import request_id
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry, writable
from rxlapce.flow import Exchange, Tasks, from_reads
from rxlapce.providers.auth import Unsigned
from rxlapce.providers.call import MAX_ANSWER_BYTES, HttpCall, told_by
from rxlapce.secret import scrub

#: What one read takes at most, and what aiohttp holds of a response before it stops reading the socket (at twice this,
#: and what the last recv brought, up to 256 KiB). The gate is asked between reads, so this, with the smallest event of
#: a provider, also bounds how many tokens come to our own buffer after its gate has closed.
READ_BUFFER_BYTES: Final = 16 * 1024
#: Error bodies are read up to this; the rest tells nothing.
MAX_ERROR_BODY_BYTES: Final = 64 * 1024
MAX_HEADER_CHARS: Final = 2048

#: The proxy's URL for a URL, None for none.
ProxyFor = Callable[[str], str | None]


def no_proxy(url: str) -> str | None:
    """The direct way to every URL."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTimeouts:
    """Limits until the headers are there, in seconds. What comes after is `stream_timeouts`' business.

    `connect_s` covers name resolution, TCP and TLS; `headers_s` the time from sending to the response's headers (models
    may think before they answer, so it is long); `answer_s` a whole unary answer.
    """

    connect_s: float = 5.0
    headers_s: float = 120.0
    answer_s: float = 600.0


class HttpClient:
    """A session that keeps connections alive, and the tasks of the streams on it. Use as an async context manager.

    Runs on the loop that enters it. Leaving cancels the streams that run, waits for them, and closes every connection.
    Redirects are not followed: they would carry the key to another host.
    """

    def __init__(self, timeouts: HttpTimeouts | None = None, proxy_for: ProxyFor = no_proxy) -> None:
        self.timeouts = timeouts or HttpTimeouts()
        self.proxy_for = proxy_for
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
        """Streams whose response is being read now."""
        return len(self.tasks)

    def stream(self, call: HttpCall, exchange: Exchange) -> Observable[bytes]:
        """Send `call` on subscribe and emit the response body as it arrives, one read at a time.

            source: --(bytes)--(bytes)------(bytes)-|

        Fills in `exchange` (status, content type, the provider's request id, times, byte counts), and asks
        `exchange.flow` before each read. A status from 300 is `on_error` with the provider's error. A body that breaks
        off is `on_error` of kind `truncated`, after all bytes that did arrive. Disposing closes the connection at once.
        """

        @asynccontextmanager
        async def open_reads() -> AsyncGenerator[Callable[[], Awaitable[bytes]]]:
            async with self._respond(call, exchange) as response:
                content = response.content

                async def read() -> bytes:
                    try:
                        return await content.read(READ_BUFFER_BYTES)
                    except (aiohttp.ClientError, OSError) as error:
                        left = _unread(content)
                        if left:
                            return left  # the next call raises again, with nothing left
                        raise _as_provider_error(error, Phase.FLOW, exchange) from error

                yield read

        return from_reads(open_reads, exchange, self.tasks)

    async def fetch(self, call: HttpCall, exchange: Exchange) -> bytes:
        """Send `call` and return the whole body of a successful response. Raises `ProviderError`."""
        try:
            async with asyncio.timeout(self.timeouts.answer_s), self._respond(call, exchange) as response:
                try:
                    return await _read_bounded(response, MAX_ANSWER_BYTES)
                except ProviderError as error:
                    raise told_by(error, call, exchange) from None
                except (aiohttp.ClientError, OSError) as error:
                    raise _as_provider_error(error, Phase.FLOW, exchange) from error
        except TimeoutError:
            raise ProviderError(
                ErrorKind.TIMEOUT,
                f"no whole answer within {self.timeouts.answer_s:g} s",
                phase=Phase.FLOW,
                status=exchange.status,
                provider=call.provider,
                request_id=exchange.provider_request_id,
            ) from None

    @asynccontextmanager
    async def _respond(self, call: HttpCall, exchange: Exchange) -> AsyncGenerator[aiohttp.ClientResponse]:
        """The response to `call` once its headers are there and its status is a success."""
        if self._session is None:
            raise RuntimeError("HttpClient is used outside its `async with`")
        headers = {
            "Content-Type": "application/json",
            "Accept": call.accept,
            # A compressing proxy would hold tokens back until its window fills.
            "Accept-Encoding": "identity",
            **call.headers,
        }
        headers.update(await call.auth.headers(Unsigned(call.method, call.url, headers, call.body)))
        proxy = self.proxy_for(call.url)
        if proxy is not None and not proxy.lower().startswith(("http://", "https://")):
            raise ProviderError(
                ErrorKind.BAD_REQUEST,
                f"the environment names a proxy of the kind {proxy.partition('://')[0]!r}; only http and https are "
                "spoken",
                phase=Phase.CONNECT,
                provider=call.provider,
            )
        deadline = asyncio.timeout(self.timeouts.headers_s)
        try:
            async with deadline:
                response = await self._session.request(
                    call.method,
                    # Percent-encoded already, and perhaps signed so: aiohttp must not write %3A as a colon.
                    yarl.URL(call.url, encoded=True),
                    data=call.body or None,
                    headers=headers,
                    proxy=proxy,
                    allow_redirects=False,
                )
        except TimeoutError as error:
            if not deadline.expired():  # the session's own connect timeout
                raise _as_provider_error(error, Phase.CONNECT, exchange) from None
            raise ProviderError(
                ErrorKind.TIMEOUT,
                f"no response headers within {self.timeouts.headers_s:g} s",
                phase=Phase.HEADERS,
                provider=call.provider,
            ) from None
        except (aiohttp.ClientHttpProxyError, aiohttp.InvalidURL) as error:
            # Without the cause, which holds the proxy's password.
            raise _as_provider_error(error, Phase.CONNECT, exchange) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _as_provider_error(error, Phase.HEADERS, exchange) from error
        try:
            exchange.status = response.status
            exchange.content_type = response.content_type
            exchange.last_read_s = asyncio.get_running_loop().time()
            told = request_id(response.headers)
            told = None if told is None else scrub(writable(told, MAX_HEADER_CHARS), call.auth.secrets)
            exchange.provider_request_id = told
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


async def _refusal(response: aiohttp.ClientResponse, call: HttpCall, exchange: Exchange) -> ProviderError:
    """The error that a response of status 300 or more tells."""
    headers = {name.lower(): writable(value, MAX_HEADER_CHARS) for name, value in response.headers.items()}
    try:
        body = await asyncio.wait_for(_read_bounded(response, MAX_ERROR_BODY_BYTES, cut=True), timeout=10)
    except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
        body = b""
    if response.status < 400:
        error = ProviderError(
            ErrorKind.BAD_REQUEST,
            f"the server redirects to {headers.get('location', 'nowhere')}; redirects are not followed, since they "
            "would carry the key to another host: set the base URL to the final address",
            status=response.status,
        )
    else:
        error = call.read_error(response.status, headers, body)
    error.phase = Phase.HEADERS
    return told_by(error, call, exchange)


async def _read_bounded(response: aiohttp.ClientResponse, limit: int, *, cut: bool = False) -> bytes:
    """The whole body, at most `limit` bytes: more is an error, or with `cut` left unread."""
    pieces: list[bytes] = []
    size = 0
    while piece := await response.content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            if cut:
                break
            raise ProviderError(
                ErrorKind.PROTOCOL, f"the answer is larger than {limit} bytes", phase=Phase.FLOW, status=response.status
            )
    return b"".join(pieces)[:limit]


def _unread(content: aiohttp.StreamReader) -> bytes:
    """The bytes that had arrived before `content` failed.

    aiohttp's public readers raise the connection's error ahead of data that is still in their buffer; these tokens were
    sent and received, and a reader that was slow must not lose them. `tests/providers` holds this to aiohttp's version.
    """
    return content._read_nowait(-1) if content._buffer else b""  # pyright: ignore[reportPrivateUsage] - see above


def _as_provider_error(error: Exception, phase: Phase, exchange: Exchange) -> ProviderError:
    """A failure of the connection in our words; most specific class first."""
    kind, retry = ErrorKind.NETWORK, Retry.SAME
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, aiohttp.ConnectionTimeoutError | TimeoutError):
        kind, phase, what = ErrorKind.TIMEOUT, Phase.CONNECT, "the connection was not made in time"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        phase, retry, what = Phase.CONNECT, Retry.NEVER, f"TLS failed: {error}"
    elif isinstance(error, aiohttp.ClientConnectorError):
        phase, what = Phase.CONNECT, f"cannot connect to {error.host}:{error.port}: {error.strerror or error}"
    elif isinstance(error, aiohttp.ClientHttpProxyError):
        retry = Retry.SAME if error.status >= 500 else Retry.NEVER
        what = f"the proxy did not connect: {error.status} {error.message}"
    elif isinstance(error, aiohttp.InvalidURL):
        # It says the URL, which may be the proxy's, with a password.
        kind, phase, retry, what = (
            ErrorKind.BAD_REQUEST,
            Phase.CONNECT,
            Retry.NEVER,
            "no usable URL, or no usable proxy",
        )
    elif isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientPayloadError):
        kind, phase, retry, what = ErrorKind.BAD_REQUEST, Phase.CONNECT, Retry.NEVER, f"not a usable URL: {error}"
    elif phase is Phase.FLOW:
        kind, what = ErrorKind.TRUNCATED, "the connection broke off in the middle of the answer"
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        what = "the server closed the connection before it answered"
    else:
        what = f"the connection failed before the answer: {type(error).__name__}"
    return ProviderError(
        kind,
        what,
        retry=retry,
        phase=phase,
        status=exchange.status,
        provider=exchange.provider or None,
        request_id=exchange.provider_request_id,
    )
