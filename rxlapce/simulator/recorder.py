"""A proxy that records: requests go on as they came, answers come back as they are, and a file has them."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.record import RecordingFile, SecretScrubber, Tape
from rxlapce.operators.recording import FIRST_ERROR
from rxlapce.providers.apis import APIS
from rxlapce.providers.auth import NoAuth
from rxlapce.providers.call import HttpCall, told_by
from rxlapce.providers.http import Forwarded, HttpClient
from rxlapce.providers.recorded import api_of_target, model_of_request
from rxlapce.secret import scrub
from rxlapce.simulator.secrets_of import secrets_of
from rxlapce.simulator.site import Site

#: RFC 9110 section 7.6.1: of one connection, not of the message. And what this side says anew.
_OF_THE_CONNECTION: Final = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_SAID_ANEW: Final = _OF_THE_CONNECTION | {"host", "content-length", "accept-encoding", "expect"}
_OF_THE_PACKED: Final = frozenset({"content-encoding", "content-length"})
#: Of an error's body as much is looked at as tells what it was.
_MAX_ERROR_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One request that went through, and its recording: `end` and `status` as in the file; no status, no response."""

    file: Path
    method: str
    path: str
    api: str
    model: str
    status: int | None
    bytes: int
    reads: int
    seconds: float
    end: str
    error: ProviderError | None = None


class RecordingProxy:
    """Sends every request on to `upstream`, a URL without a path of its own or with one, and records each answer.

        async with HttpClient() as client, RecordingProxy("https://api.openai.com", folder, client) as proxy:
            ...  # proxy.base_url in the place of the provider's

    Method, path, query, headers and body go on as they came, but that no compressed answer is asked for: secrets could
    not be found in it. The answer's status, headers and bytes come back as they are, each read at once; who reads
    slowly slows the provider, who leaves ends the request, and an answer that breaks off breaks off here. Where no
    response came, the client gets 502, or 504 after a timeout, with a JSON error.

    Each request has a file of its own in `folder` (made if it is not there, mode 0700), whose name begins with the
    time. What the request proved itself by is in none: it is taken out of the answer, too. `on_taken` is called as each
    ends, `on_trouble` for a recording that cannot be written, which harms no answer.
    """

    def __init__(
        self,
        upstream: str,
        folder: Path,
        client: HttpClient,
        *,
        provider: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        on_taken: Callable[[Taken], None] | None = None,
        on_trouble: Callable[[Exception], None],
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._upstream = upstream.rstrip("/")
        self._folder = folder
        self._client = client
        self._provider = provider
        self._site = Site(self._handle, host, port)
        self._on_taken = on_taken
        self._on_trouble = on_trouble
        self._wall_clock = wall_clock
        self._requests = 0

    async def __aenter__(self) -> Self:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._site.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._site.__aexit__(*exc_info)

    @property
    def base_url(self) -> str:
        """Where it listens, without a path."""
        return self._site.base_url

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        call = self._call(request, body)
        exchange = Exchange(provider=self._provider, model=model_of_request(request.raw_path, body))
        taking = self._taking(call, exchange, request.path, api_of_target(request.raw_path))
        response: web.StreamResponse | None = None
        try:
            async with self._client.forward(call, _headers(request), exchange) as upstream:
                response = _response(upstream)
                await response.prepare(request)
                while data := await upstream.read():
                    taking.take(data)
                    await response.write(data)
            await response.write_eof()
            taking.end_of_body()
        except ProviderError as error:
            taking.end("failed", error)
            if response is None:
                return _no_response(error)
            if request.transport is not None:
                request.transport.close()  # inside the body, as the provider did
        except ConnectionError:
            taking.end("disposed")  # the client has gone
        finally:
            taking.end("disposed")  # without effect but where this is cancelled
            if self._on_taken is not None:
                self._on_taken(taking.taken())
        return response or web.Response()

    def _call(self, request: web.Request, body: bytes) -> HttpCall:
        """The request, as it goes on; its `auth` only knows what must not be seen."""
        api = APIS.get(api_of_target(request.raw_path), APIS["openai.chat.completions"])
        return HttpCall(
            provider=self._provider,
            method=request.method,
            url=self._upstream + request.raw_path,
            body=body,
            auth=NoAuth(secrets_of(request.headers.items(), request.query.items(), body)),
            read_error=api.dialect().read_error,
            headers={},
        )

    def _taking(self, call: HttpCall, exchange: Exchange, path: str, api: str) -> "_Taking":
        self._requests += 1
        shown = scrub(path, call.auth.secrets)
        words = re.sub(r"[^A-Za-z0-9.]+", "-", shown).strip("-.")[-60:].strip("-.") or "root"
        name = f"{self._wall_clock():%Y%m%dT%H%M%S}-{self._requests:04d}-{call.method.lower()}-{words}.rec"
        return _Taking(self._folder / name, call, exchange, shown, api, self._on_trouble, self._wall_clock)


class _Taking:
    """The recording of one request under way."""

    def __init__(
        self,
        file: Path,
        call: HttpCall,
        exchange: Exchange,
        path: str,
        api: str,
        on_trouble: Callable[[Exception], None],
        wall_clock: Callable[[], datetime],
    ) -> None:
        self._file = file
        self._call = call
        self._exchange = exchange
        self._path = path
        self._api = api
        self._clock = asyncio.get_running_loop().time
        self._started_s = self._clock()
        self._beginning = bytearray()
        self._ended: tuple[str, ProviderError | None, float] | None = None
        self._tape = Tape(
            RecordingFile(file, on_trouble),
            exchange=exchange,
            api=api,
            framing=APIS[api].framing.name if api else "",
            path=path,
            scrubber=SecretScrubber(call.auth.secrets),
            started_s=self._started_s,
            wall_clock=wall_clock,
        )

    def take(self, data: bytes) -> None:
        """The provider sent this."""
        exchange = self._exchange
        exchange.reads += 1
        exchange.bytes_read += len(data)
        if self._is_error and len(self._beginning) < _MAX_ERROR_BYTES:
            self._beginning += data
        self._tape.take(self._clock() - self._started_s, data)

    def end_of_body(self) -> None:
        """All of it has come, and has gone on."""
        if self._is_error:
            error = self._call.read_error(self._exchange.status or 0, self._exchange.headers, bytes(self._beginning))
            error.phase = Phase.HEADERS
            self.end("failed", told_by(error, self._call, self._exchange))
        else:
            self.end("completed")

    def end(self, outcome: str, error: ProviderError | None = None) -> None:
        """It ended so; without effect after the first call."""
        if self._ended is None:
            seconds = self._clock() - self._started_s
            self._ended = outcome, error, seconds
            self._tape.end(seconds, outcome, error)

    def taken(self) -> Taken:
        """What became of it, after its end."""
        outcome, error, seconds = self._ended or ("", None, 0.0)
        exchange = self._exchange
        return Taken(
            file=self._file,
            method=self._call.method,
            path=self._path,
            api=self._api,
            model=exchange.model,
            status=exchange.status,
            bytes=exchange.bytes_read,
            reads=exchange.reads,
            seconds=round(seconds, 3),
            end=outcome,
            error=error,
        )

    @property
    def _is_error(self) -> bool:
        return (self._exchange.status or 0) >= FIRST_ERROR


def _headers(request: web.Request) -> list[tuple[str, str]]:
    """What goes on of the client's headers."""
    named = {name.strip().lower() for name in request.headers.get("connection", "").split(",")}
    left_out = _SAID_ANEW | named
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in left_out]
    return [*headers, ("Accept-Encoding", "identity")]


def _response(upstream: Forwarded) -> web.StreamResponse:
    """The provider's response, its body still to come."""
    left_out = _OF_THE_CONNECTION | _OF_THE_PACKED if upstream.unpacked else _OF_THE_CONNECTION
    response = web.StreamResponse(status=upstream.status)
    for name, value in upstream.headers:
        if name.lower() not in left_out:
            response.headers.add(name, value)
    return response


def _no_response(error: ProviderError) -> web.Response:
    """What the client gets where the provider gave nothing."""
    status = 504 if error.kind is ErrorKind.TIMEOUT else 502
    told = {"type": "upstream_error", "code": error.kind.value, "message": f"rxlapce record: {error.message}"}
    return web.json_response({"error": told}, status=status)
