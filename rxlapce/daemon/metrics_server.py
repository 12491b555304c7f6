"""`/metrics` over HTTP: a port, or a Unix socket, that a Prometheus asks now and then.

One request a connection, and some seconds for all of it: who sends a header a byte at a time, or reads an answer so,
is cut off, and many of them get no further than `MAX_CONNECTIONS`. Several that ask at once get one answer.
"""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import stat
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from rxlapce.daemon.metrics import DaemonMetrics
from rxlapce.daemon.server import Daemon
from rxlapce.errors import ConfigError
from rxlapce.flow import Tasks
from rxlapce.routing.traffic import Traffic
from rxlapce.telemetry.hooks import OnSettled, Settled
from rxlapce.telemetry.listen import parse_listen
from rxlapce.telemetry.logs import Logger
from rxlapce.telemetry.metrics_families import Reading
from rxlapce.telemetry.metrics_text import content_type, pieces
from rxlapce.telemetry.settings import MetricsSettings

#: Makes the answer in the format of a content type.
Render = Callable[[str], Awaitable[bytes]]

#: Connections at once; a Prometheus has one, for a moment.
MAX_CONNECTIONS: Final = 16
#: What a connection has for its one request and answer.
DEADLINE_S: Final = 10.0
#: Of one line, and of one field.
MAX_HEADER_BYTES: Final = 8192
MAX_FIELDS: Final = 64
#: How long the making of an answer keeps the loop to itself, give or take a piece.
SLICE_S: Final = 0.001
#: An answer is handed on in such parts; the next one when the reader has taken most of the last.
PART_BYTES: Final = 64 * 1024
#: A bound that a stop does not come near: each handler ends with its connection. To aiohttp, 0 is forever.
_ENDED_WITHIN_S: Final = 1.0
#: How soon a place is tried again that a daemon still has whose place this one takes.
AGAIN_S: Final = 0.5


class MetricsServer:
    """Answers GET and HEAD of `/metrics` with what `render` makes, and of `/healthz` with `ok`, at `listen`.

    `listen` is `HOST:PORT`, `[ADDRESS]:PORT` or `unix:/PATH`, a socket that this user alone may use; see
    `parse_listen`, which raises `ConfigError` for anything else. In `async with`, on one loop. Memory: one answer, and
    128 KiB a connection.
    """

    def __init__(self, listen: str, render: Render, log: Logger, *, deadline_s: float = DEADLINE_S) -> None:
        self.listen = listen
        self.deadline_s = deadline_s
        self._place = parse_listen(listen)
        self._render = render
        self._log = log
        self._http = web.Server(self._answer, handler_cancellation=True)  # who has gone waits for nothing
        self.connections: set[_Connection] = set()
        """Those that are open."""
        self._under_way: dict[str, asyncio.Task[bytes]] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. Raises `ConfigError` for a place that cannot be had: `PlaceTaken`, if it is somebody else's now."""
        loop = asyncio.get_running_loop()
        try:
            if isinstance(self._place, Path):
                self._server = await loop.create_unix_server(self._accept, sock=_unix_socket(self._place))
            else:
                host, port = self._place
                self._server = await loop.create_server(self._accept, host, port, backlog=MAX_CONNECTIONS)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PlaceTaken(f"cannot serve metrics at {self.listen}: another program listens there") from None
            said = error.strerror or str(error)
            raise ConfigError(f"cannot serve metrics at {self.listen}: {said}") from error
        self._log.info("metrics_listening", address=self.address)
        if not isinstance(self._place, Path) and not _is_loopback(self._place[0]):
            self._log.warning("metrics_open_to_others", address=self.address, advice="names of users and models are in")

    async def stop(self) -> None:
        """Listen no more and drop who is connected. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        if isinstance(self._place, Path):
            with contextlib.suppress(OSError):
                self._place.unlink()
        server.close()
        for connection in tuple(self.connections):
            connection.cut()
        await self._http.shutdown(_ENDED_WITHIN_S)
        making = tuple(self._under_way.values())  # after those who ask have gone: one of them may just have begun
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)

    @property
    def address(self) -> str:
        """Where it listens: `listen`, with the port that it got for port 0."""
        if self._server is None or isinstance(self._place, Path):
            return self.listen
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _accept(self) -> "_Connection":
        return _Connection(self._http, self.connections, self.deadline_s)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path not in ("/metrics", "/healthz"):
            return _told(404, "there are /metrics and /healthz\n")
        if request.method not in ("GET", "HEAD"):
            response = _told(405, "GET or HEAD\n")
            response.headers["Allow"] = "GET, HEAD"
            return response
        if request.path == "/healthz":
            return _told(200, "ok\n")
        content = content_type(request.headers.get("Accept", ""))
        try:
            body = await self._body(content)
        except Exception as error:  # noqa: BLE001 - a bug in what is told must not look like a daemon that is gone
            self._log.error("metrics_failed", exc_info=error)
            return _told(500, "the daemon's log says what failed\n")
        return await self._send(request, content, body)

    async def _body(self, content: str) -> bytes:
        """The answer; whoever comes while one is made waits for that one."""
        task = self._under_way.get(content)
        if task is None:
            making = self._render(content)
            task = self._under_way[content] = asyncio.ensure_future(making)
            task.add_done_callback(lambda _: self._under_way.pop(content, None))
        return await asyncio.shield(task)

    async def _send(self, request: web.BaseRequest, content: str, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content})
        response.content_length = len(body)
        response.force_close()
        await response.prepare(request)
        if request.method == "GET":
            for start in range(0, len(body), PART_BYTES):
                await response.write(body[start : start + PART_BYTES])
        await response.write_eof()
        return response


class PlaceTaken(ConfigError):
    """Somebody listens there already."""


class _Connection(web.RequestHandler):
    """One connection: it counts itself, and is over after `deadline_s` seconds whatever it does."""

    __slots__ = ("_all", "_deadline", "_deadline_s")

    def __init__(self, http: web.Server, everybody: "set[_Connection]", deadline_s: float) -> None:
        super().__init__(
            http,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # None is what it takes for none, though it does not say so
            logger=_QUIET,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_FIELDS,
            lingering_time=0.0,
        )
        self._all = everybody
        self._deadline_s = deadline_s
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._all.add(self)
        if len(self._all) > MAX_CONNECTIONS:
            self.cut()
        else:
            self._deadline = asyncio.get_running_loop().call_later(self._deadline_s, self.cut)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""
        self._all.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def cut(self) -> None:
        """End it at once, with what is not sent. Without effect on one that has ended."""
        if self.transport is not None:
            self.transport.abort()


#: What clients send is not worth a line: aiohttp would log each request that is none, with a traceback.
_QUIET: Final = logging.getLogger("rxlapce.metrics")
_QUIET.disabled = True


def _told(status: int, text: str) -> web.Response:
    response = web.Response(status=status, text=text)
    response.force_close()
    return response


# -- where ------------------------------------------------------------------------------------------------------------


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unix_socket(path: Path) -> socket.socket:
    """A socket at `path`, of mode 0600 before it listens; one that nobody answers at is replaced. Raises OSError."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISSOCK(found.st_mode):
            raise FileExistsError(errno.EEXIST, "a file that is no socket stands there")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(os.fspath(path))
            except (ConnectionRefusedError, FileNotFoundError):
                path.unlink(missing_ok=True)
            except BlockingIOError:  # its backlog is full: somebody does listen
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from None
            else:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(os.fspath(path))
        path.chmod(0o600)  # nobody can have connected: it does not listen yet
    except BaseException:
        made.close()
        raise
    made.setblocking(False)
    return made


# -- a daemon's -------------------------------------------------------------------------------------------------------


async def rendered(metrics: DaemonMetrics, content: str) -> bytes:
    """What `metrics` reads, as text of that content type; the loop goes round every `SLICE_S` meanwhile."""
    parts: list[bytes] = []
    until_s = time.perf_counter() + SLICE_S  # not the loop's clock, which uvloop rounds to a millisecond
    for _ in _written(metrics, content, parts):
        if time.perf_counter() >= until_s:
            await asyncio.sleep(0)
            until_s = time.perf_counter() + SLICE_S
    await asyncio.sleep(0)  # two megabytes are no piece
    return b"".join(parts)


def _written(metrics: DaemonMetrics, content: str, parts: list[bytes]) -> Iterator[None]:
    reading = Reading()
    yield from metrics.steps(reading)
    for piece in pieces(reading, content):
        parts.append(piece.encode())
        yield


@contextlib.asynccontextmanager
async def serve_metrics(
    daemon: Daemon,
    traffics: Callable[[], Iterable[Traffic]],
    settings: MetricsSettings,
    *,
    patient: bool = False,
) -> AsyncGenerator[OnSettled]:
    """Serve the metrics of `daemon` and `traffics` (see `DaemonMetrics`) where `settings` say, if they do.

    Gives what each request that ended is to be told to: `ProviderManager.on_settled`. `patient` is for a daemon that
    takes the place of another, which has the port until it has ended: then this one listens as soon as it can.

    Raises `ConfigError`.
    """
    if settings.listen is None:
        yield _ignore
        return
    metrics = DaemonMetrics(daemon, traffics, settings)
    server = MetricsServer(settings.listen, partial(rendered, metrics), daemon.log)
    tasks = Tasks()
    try:
        try:
            await server.start()
        except PlaceTaken as error:
            if not patient:
                raise
            daemon.log.warning("metrics_wait", address=settings.listen, cause=str(error))
            tasks.spawn(_listen_when_free(server, daemon.log), name="metrics")
        yield metrics.settled
    finally:
        await tasks.aclose()
        await server.stop()


async def _listen_when_free(server: MetricsServer, log: Logger) -> None:
    free = False
    while not free:
        await asyncio.sleep(AGAIN_S)
        try:
            await server.start()
            free = True
        except PlaceTaken:
            pass
        except ConfigError as error:
            log.error("metrics_not_served", error=str(error))
            return


def _ignore(_: Settled) -> None:
    """Nobody asks for metrics."""
