"""The simulator over HTTP: routes, keys, and the performance of what `play` decided."""

import asyncio
import random
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, Self, TypeVar

from aiohttp import web

from rxlapce.secret import Secret
from rxlapce.simulator import vendor as vendors
from rxlapce.simulator.asked import Asked, BadBody, Where
from rxlapce.simulator.journal import Journal, Outcome, Received, Served
from rxlapce.simulator.metronome import Metronome
from rxlapce.simulator.options import HEADER, REFUSALS, BadOption, Fault, Options, parse
from rxlapce.simulator.play import Close, play, play_whole
from rxlapce.simulator.route import PlainRoute, Route
from rxlapce.simulator.routes import PLAIN_ROUTES, ROUTES, VENDORS
from rxlapce.simulator.stage import Stage, silence
from rxlapce.simulator.steady import ends_in_the_models_turn, give
from rxlapce.simulator.tokenizer import seeded
from rxlapce.simulator.vendor import HttpError, Vendor
from rxlapce.simulator.wire import Wire

_MAX_BODY_BYTES: Final = 64 << 20


class _Refused(Exception):
    """The request is answered with an HTTP error."""

    def __init__(self, error: HttpError) -> None:
        super().__init__(error.status)
        self.error = error


class _Wish(NamedTuple):
    """What `times` is counted by: where, in what words, and what `by_model` gave."""

    path: str
    header: str
    model: str = ""
    given: Options | None = None


class Simulator:
    """A provider that speaks every dialect in `rxlapce.simulator.routes`, and misbehaves on request.

        async with Simulator(seed=1) as simulator:
            ...  # simulator.base_url
            await simulator.wait_until(lambda: simulator.outcomes == [Outcome.COMPLETED])

    The same seed and request give the same bytes. `defaults` is the behaviour of a request that asks for none; without
    them it answers as fast as it is read. With an `api_key` another key is refused, else any key or none is taken.
    `port` 0 takes a free one. `send_buffer_bytes` makes the kernel's buffer small, so that a client that does not read
    is felt early. `on_served` is called as each request ends. The last `keep` requests are remembered.

    `by_model` is asked at each request to a model, with the model's plain name; the options that it gives stand in the
    place of `defaults`, which None leaves. It may answer differently each time: behaviour can change as time goes by.
    While `outage` is set, every request of any kind is refused with that HTTP status (400 to 599), in the vendor's
    words; streams that have begun go on.

    Runs on the loop that entered it; leaving ends all streams at once. It can be started again, and so can another one
    on the same port, at once.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: Secret | None = None,
        defaults: Options | None = None,
        by_model: Callable[[str], Options | None] | None = None,
        send_buffer_bytes: int | None = None,
        on_served: Callable[[Served], None] | None = None,
        keep: int = 10_000,
    ) -> None:
        self._seed = seed
        self._address = (host, port)
        self._api_key = api_key
        self._defaults = defaults or Options()
        self._by_model = by_model
        self._send_buffer_bytes = send_buffer_bytes
        self._on_served = on_served
        self._journal = Journal(keep)
        self._metronome = Metronome()
        self._seen: Counter[_Wish] = Counter()
        self._handlers: set[asyncio.Task[object] | None] = set()
        self._stopping = False
        self._runner: web.AppRunner | None = None
        self.base_url = ""
        self.outage: int | None = None

    # -- running ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. `base_url` is valid afterwards. Raises OSError if the address is taken."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        for path, routes in _grouped(ROUTES, lambda route: route.path).items():
            app.router.add_post(path, partial(self._post, routes))
        for (method, path), plain in _grouped(PLAIN_ROUTES, lambda route: (route.method, route.path)).items():
            app.router.add_route(method, path, partial(self._plain, plain))
        app.router.add_get("/health", self._health)
        app.router.add_route("*", "/{path:.*}", self._not_found)
        listener = self._listen()
        self._stopping = False
        # Handlers are cancelled when their client leaves: that is how a disconnect is noticed in the midst of silence.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener, backlog=1024).start()
        host, port = listener.getsockname()[:2]
        self.base_url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._send_buffer_bytes is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
            listener.bind(self._address)
        except OSError:
            listener.close()
            raise
        return listener

    async def stop(self) -> None:
        """End every stream and stop listening."""
        self._stopping = True
        for handler in self._handlers:
            if handler is not None:
                handler.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- what tests look at -----------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Received]:
        """The requests so far, oldest first."""
        return list(self._journal.requests)

    @property
    def served(self) -> list[Served]:
        """The progress of each request to a provider's endpoint, in the order in which they came."""
        return list(self._journal.served)

    @property
    def outcomes(self) -> list[Outcome]:
        """How the requests that are over ended, in the order in which they came."""
        return [served.outcome for served in self._journal.served if served.outcome is not None]

    @property
    def open_streams(self) -> int:
        """Streams whose headers have gone out and that have not ended."""
        return self._journal.open_streams

    @property
    def bytes_sent(self) -> int:
        """Bytes of bodies handed to the network since the start."""
        return self._journal.bytes_sent

    async def wait_until(self, predicate: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
        """Return once `predicate()` is true; it is asked after every change here. Raises TimeoutError."""
        await self._journal.wait_until(predicate, timeout_s)

    # -- requests ---------------------------------------------------------------------------------------------------

    async def _health(self, request: web.Request) -> web.Response:
        if self.outage is not None:
            return self._nobodys(request)
        return web.json_response({"status": "ok", "open_streams": self.open_streams})

    async def _not_found(self, request: web.Request) -> web.Response:
        return self._nobodys(request)

    def _nobodys(self, request: web.Request) -> web.Response:
        """The error of an address that is no vendor's own, in the words of the likeliest one."""
        vendor = _host(request)
        if self.outage is not None:
            error = vendors.error_for(vendor, self.outage)
        else:
            error = vendors.not_found(vendor, request.method, request.path)
        return _error(error, vendor, self._chance(request))

    def _chance(self, request: web.Request) -> random.Random:
        """The chance of a request whose body does not matter."""
        return seeded(self._seed, request.method, request.path)

    async def _plain(self, routes: Sequence[PlainRoute], request: web.Request) -> web.Response:
        route = _choose(routes, request)
        body = await request.read()
        try:
            options = self._admit(_received(request, body), route.vendor, request.headers.get(HEADER, ""))
            if options.fault is Fault.HANG:
                await silence()
            answer = route.answer(body, _where(request))
        except BadBody as error:
            refusal = vendors.bad_request(route.vendor, str(error), error.param)
            return _error(refusal, route.vendor, self._chance(request))
        except _Refused as refused:
            return _error(refused.error, route.vendor, self._chance(request))
        return web.Response(body=answer, headers={"content-type": "application/json", **route.headers})

    def _admit(self, request: Received, vendor: Vendor, asked_by_header: str) -> Options:
        """How to behave to a request that costs nothing. Raises `_Refused` for its key, or as the header asks."""
        key = self._check_key(request, vendor)
        try:
            options = parse(asked_by_header)
        except BadOption as error:
            raise _Refused(vendors.bad_request(vendor, str(error))) from None
        if options.times and self._is_over(_Wish(request.path, asked_by_header), options.times):
            options = options.well_behaved()
        fault: Fault | int | None = options.fault if options.fault in REFUSALS else options.status
        if fault is not None:
            raise _Refused(vendors.error_for(vendor, fault, key=key, wait_s=options.retry_after))
        return options

    async def _post(self, routes: Sequence[Route], request: web.Request) -> web.StreamResponse:
        served = self._journal.received(_received(request, await request.read()))
        handler = asyncio.current_task()
        self._handlers.add(handler)
        outcome = Outcome.CLIENT_GONE
        try:
            response, outcome = await self._answer(_choose(routes, request), request, served)
        except asyncio.CancelledError:
            if self._stopping:
                outcome = Outcome.STOPPED
            raise
        finally:
            self._handlers.discard(handler)
            self._journal.ended(served, outcome)
            if self._on_served is not None:
                self._on_served(served)
        return response

    async def _answer(self, route: Route, request: web.Request, served: Served) -> tuple[web.StreamResponse, Outcome]:
        asked_by_header = request.headers.get(HEADER, "")
        chance = seeded(self._seed, request.path, served.request.body, asked_by_header)
        stage = Stage(request, served, self._journal, self._metronome)
        try:
            asked, options = self._understand(served, route, _where(request), asked_by_header)
            if options.fault is Fault.HANG:
                await silence()
            if options.fault is Fault.RESET and options.after is None:
                stage.close(Close.RESET)
                return web.Response(), Outcome.CUT
            _check_ending(asked, options, route.vendor)
        except _Refused as refused:
            served.status = refused.error.status
            return _error(refused.error, route.vendor, chance), Outcome.REFUSED
        wire = route.wire(asked, chance)
        given = give(asked, options, chance, seed=self._seed)
        served.replies, served.continued = given.replies, given.continued
        served.status = 200
        if not asked.stream:
            tokens = sum(reply.output_tokens for reply in given.replies)
            steps = play_whole(wire.unary(given.replies), tokens, options)
            return await stage.perform(_headers(wire, "application/json"), steps)
        self._journal.stream_opened(served)
        steps = play(wire, wire.events(given.replies), options, chance)
        return await stage.perform(_headers(wire, wire.stream_type), steps)

    # -- before the answer ------------------------------------------------------------------------------------------

    def _understand(self, served: Served, route: Route, where: Where, asked_by_header: str) -> tuple[Asked, Options]:
        """What is asked, and how to behave; `served` tells it too. Raises `_Refused`."""
        vendor, request = route.vendor, served.request
        key = self._check_key(request, vendor)
        for header, message in vendor.demands.items():
            if header not in request.headers:
                raise _Refused(vendors.bad_request(vendor, message))
        try:
            asked = route.read(request.body, where)
            served.model = asked.model
            given = self._by_model(asked.model) if self._by_model is not None else None
            options = parse(asked_by_header, parse(asked.options, given or self._defaults))
        except BadBody as error:
            raise _Refused(vendors.bad_request(vendor, str(error), error.param)) from None
        except BadOption as error:
            raise _Refused(vendors.bad_request(vendor, str(error), "model")) from None
        wish = _Wish(request.path, asked_by_header, f"{asked.model}:{asked.options}", given)
        if options.times and self._is_over(wish, options.times):
            options = options.well_behaved()
        served.options = options
        fault: Fault | int | None = options.fault if options.fault in REFUSALS else options.status
        if fault is None and options.fault is Fault.ERROR and not asked.stream:
            fault = Fault.ERROR
        if fault is not None:
            wait_s = options.retry_after
            raise _Refused(vendors.error_for(vendor, fault, model=asked.model, key=key, wait_s=wait_s))
        return asked, options

    def _is_over(self, wish: _Wish, times: int) -> bool:
        """Whether this very wish has been met `times` times before."""
        self._seen[wish] += 1
        return self._seen[wish] > times

    def _check_key(self, request: Received, vendor: Vendor) -> str:
        """The key that the request carries ("" if none). Raises `_Refused` in an outage, or for another key's sake."""
        key = vendor.key(request)
        if self.outage is not None:
            raise _Refused(vendors.error_for(vendor, self.outage, key=key))
        if not vendor.accepts(request, self._api_key):
            raise _Refused(vendors.error_for(vendor, Fault.AUTH, key=key))
        return key


def _check_ending(asked: Asked, options: Options, vendor: Vendor) -> None:
    """Raise `_Refused` for a turn of the model's at the end, unless it may be gone on with."""
    if not options.prefill and ends_in_the_models_turn(asked):
        raise _Refused(vendors.bad_request(vendor, vendor.no_prefill, "messages"))


# -- routes ---------------------------------------------------------------------------------------------------------

_AnyRoute = TypeVar("_AnyRoute", Route, PlainRoute)
_Place = TypeVar("_Place")


def _grouped(routes: Sequence[_AnyRoute], place: Callable[[_AnyRoute], _Place]) -> dict[_Place, list[_AnyRoute]]:
    """The routes of each place, in their order."""
    groups: dict[_Place, list[_AnyRoute]] = {}
    for route in routes:
        groups.setdefault(place(route), []).append(route)
    return groups


def _choose(routes: Sequence[_AnyRoute], request: web.Request) -> _AnyRoute:
    """The first route whose vendor's demanded headers came, else the last."""
    fitting = (route for route in routes if all(header in request.headers for header in route.vendor.demands))
    return next(fitting, routes[-1])


def _host(request: web.Request) -> Vendor:
    """Whose 404 an unknown path gets: of the vendor whose headers came, else of the one with the longest `home`."""
    for vendor in VENDORS:
        if vendor.demands and all(header in request.headers for header in vendor.demands):
            return vendor
    homes = (vendor for vendor in VENDORS if request.path.startswith(vendor.home))
    return max(homes, key=lambda vendor: len(vendor.home))


def _where(request: web.Request) -> Where:
    return Where(path=request.path, query=dict(request.query), model=request.match_info.get("model"))


def _received(request: web.Request, body: bytes) -> Received:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Received(method=request.method, path=request.path, target=request.raw_path, headers=headers, body=body)


# -- responses ------------------------------------------------------------------------------------------------------

_SERVER: Final = {"server": "rxlapce-simulator"}


def _headers(wire: Wire, content_type: str) -> dict[str, str]:
    return _SERVER | wire.headers() | {"content-type": content_type, "cache-control": "no-cache"}


def _error(error: HttpError, vendor: Vendor, chance: random.Random) -> web.Response:
    """The error as a response; some vendors say the request's id in the body too."""
    request_id = vendor.request_id(chance)
    body = error.body
    for value in request_id.values():
        body = body.replace(vendors.REQUEST_ID.encode(), value.encode())
    headers = {**_SERVER, **error.headers, **request_id, "content-type": error.content_type}
    return web.Response(status=error.status, body=body, headers=headers)
