"""A request as the HTTP client takes it: what stands between the providers and the client, without loading either."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from reactivex import Observable

from rxlapce.dialects.failures import REQUEST_ID_HEADERS
from rxlapce.errors import ProviderError, writable
from rxlapce.flow import Exchange
from rxlapce.providers.auth import Auth
from rxlapce.secret import Secret, scrub

#: A unary answer is read whole, up to this.
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024

#: Of a response's headers those that say what limits hold, when to ask again, and by which name the provider's support
#: knows the request; and what such names begin with. None of them holds a secret, nor who the user is.
TELLING_HEADERS: Final = frozenset(
    {
        *REQUEST_ID_HEADERS,
        "retry-after",
        "retry-after-ms",
        "x-ms-retry-after-ms",
        "x-should-retry",
        "x-amzn-errortype",
        "openai-processing-ms",
    }
)
TELLING_PREFIXES: Final = ("x-ratelimit-", "anthropic-ratelimit-")
MAX_HEADER_CHARS: Final = 2048

ReadError = Callable[[int, Mapping[str, str], bytes], ProviderError]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """One request: where, what, as whom, and how to read the provider's error bodies."""

    provider: str
    url: str
    body: bytes
    auth: Auth
    read_error: ReadError
    headers: Mapping[str, str]
    accept: str = "application/json"
    method: str = "POST"


class HttpSource(Protocol):
    """What a provider needs of an HTTP client: `providers.http.HttpClient` over sockets, a script in a test."""

    def stream(self, call: HttpCall, exchange: Exchange) -> Observable[bytes]:
        """Send `call` on subscribe and emit the response body as it arrives; see `HttpClient.stream`."""
        ...

    def whole(self, call: HttpCall, exchange: Exchange) -> Observable[bytes]:
        """Send `call` on subscribe and emit the whole body of a successful response; see `HttpClient.whole`."""
        ...

    async def fetch(self, call: HttpCall, exchange: Exchange) -> bytes:
        """What `whole` emits. Raises `ProviderError`."""
        ...


def telling_headers(headers: Mapping[str, str], secrets: Iterable[Secret]) -> dict[str, str]:
    """Those of `headers` that tell something, by lower-case names, cleaned of `secrets`."""
    return {
        name: scrub(writable(value, MAX_HEADER_CHARS), secrets)
        for name, value in ((name.lower(), value) for name, value in headers.items())
        if name in TELLING_HEADERS or name.startswith(TELLING_PREFIXES)
    }


def told_by(error: ProviderError, call: HttpCall, exchange: Exchange) -> ProviderError:
    """`error` with the exchange's facts filled in and every secret of the call masked."""
    error.provider = error.provider or call.provider
    error.status = exchange.status if error.status is None else error.status
    error.request_id = error.request_id or exchange.provider_request_id
    secrets = call.auth.secrets
    error.message = scrub(error.message, secrets)
    error.args = (error.message,)
    error.raw = None if error.raw is None else scrub(error.raw, secrets)
    error.request_id = None if error.request_id is None else scrub(error.request_id, secrets)
    return error
