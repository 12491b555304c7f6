"""`/metrics` over HTTP: who may ask, what is answered, and who is cut off."""

import asyncio
import io
import json
import socket
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rxlapce.daemon import metrics_server
from rxlapce.daemon.metrics import DaemonMetrics
from rxlapce.daemon.metrics_server import (
    MAX_CONNECTIONS,
    MetricsServer,
    PlaceTaken,
    Render,
    rendered,
    serve_metrics,
)
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.errors import ConfigError
from rxlapce.routing.settings import RoutingSettings
from rxlapce.routing.traffic import Traffic
from rxlapce.telemetry.listen import parse_listen
from rxlapce.telemetry.logs import Logger, logger
from rxlapce.telemetry.metrics_text import OPENMETRICS, TEXT
from rxlapce.telemetry.settings import MetricsSettings
from rxlapce.testing.processes import until

#: More than the kernel keeps for a reader that does not read.
MUCH = b"x" * (16 << 20)
one_loop = pytest.mark.asyncio(loop_factories=["asyncio"])


class Log:
    """What was logged."""

    def __init__(self) -> None:
        self._lines = io.StringIO()
        self.logger: Logger = logger(self._lines, as_json=True)

    @property
    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self._lines.getvalue().splitlines()]


@pytest.fixture
def log() -> Log:
    return Log()


async def tell(content: str) -> bytes:
    return f"told as {content}\n".encode()


@asynccontextmanager
async def served(
    render: Render = tell, *, listen: str = "127.0.0.1:0", log: Log | None = None, deadline_s: float = 10.0
) -> AsyncGenerator[MetricsServer]:
    async with MetricsServer(listen, render, (log or Log()).logger, deadline_s=deadline_s) as server:
        yield server


async def connected(server: MetricsServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    place = parse_listen(server.address)
    if isinstance(place, Path):
        return await asyncio.open_unix_connection(place)
    return await asyncio.open_connection(*place, limit=64 << 20)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What still comes, until the end or a reset: which of the two is the system's choice."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def said(server: MetricsServer, request: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer, which ends with the connection."""
    reader, writer = await connected(server)
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return int(first.split()[1]), headers, body


def get(path: str = "/metrics", *, method: str = "GET", fields: str = "") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content"),
    [("", TEXT), ("Accept: */*\r\n", TEXT), ("Accept: application/openmetrics-text;version=1.0.0\r\n", OPENMETRICS)],
)
async def test_who_asks_gets_the_format_that_it_takes(accept: str, content: str) -> None:
    async with served() as server:
        status, headers, body = await said(server, get(fields=accept))
    assert (status, headers["content-type"], body) == (200, content, await tell(content))
    assert headers["content-length"] == str(len(body))
    assert headers["connection"] == "close"


async def test_head_is_told_everything_but_the_body() -> None:
    async with served() as server:
        status, headers, body = await said(server, get(method="HEAD"))
    assert (status, headers["content-length"], body) == (200, str(len(await tell(TEXT))), b"")


REQUESTS = {
    get("/healthz"): 200,
    get("/metrics?x=1"): 200,
    get("/"): 404,
    get("/metrics/"): 404,
    get("/../metrics"): 404,
    get(method="POST", fields="Content-Length: 0\r\n"): 405,
    get(method="DELETE"): 405,
    "what is this\r\n\r\n": 400,
    get(fields=f"X: {'x' * 20_000}\r\n"): 400,
    get(fields="".join(f"X{n}: x\r\n" for n in range(200))): 400,
    get("/" + "x" * 20_000): 400,
}


@one_loop
async def test_every_request_has_its_answer() -> None:
    async with served() as server:
        found = {request: (await said(server, request))[0] for request in REQUESTS}
        assert found == REQUESTS
        assert (await said(server, get()))[0] == 200


@one_loop
async def test_junk_leaves_no_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    async with served(log=log) as server:
        await said(server, "\x00\x01\x02\r\n\r\n")
        await said(server, get(fields="no colon\r\n"))
    assert log.events == ["metrics_listening"]
    assert not caplog.records


async def test_those_who_ask_while_an_answer_is_made_get_that_one() -> None:
    asked, made = 0, asyncio.Event()

    async def render(_: str) -> bytes:
        nonlocal asked
        asked += 1
        await made.wait()
        return str(asked).encode()

    async with served(render) as server:
        waiting = [asyncio.ensure_future(said(server, get())) for _ in range(5)]
        await until(lambda: len(server.connections) == 5)
        made.set()
        assert [body for _, _, body in await asyncio.gather(*waiting)] == [b"1"] * 5
        assert (await said(server, get()))[2] == b"2"


@one_loop
async def test_an_answer_that_cannot_be_made_is_an_error_and_a_line_in_the_log(log: Log) -> None:
    async def render(_: str) -> bytes:
        raise ValueError("secret")

    async with served(render, log=log) as server:
        status, _, body = await said(server, get())
        assert (status, b"secret" in body) == (500, False)
        assert (await said(server, get("/healthz")))[0] == 200
    assert "metrics_failed" in log.events


# -- who takes their time ---------------------------------------------------------------------------------------------


async def test_who_does_not_send_its_request_in_time_is_cut_off() -> None:
    async with served(deadline_s=0.05) as server:
        for begin in (b"", b"GET /metr", get().encode()[:-2]):
            reader, writer = await connected(server)
            writer.write(begin)
            assert await rest(reader) == b""
            writer.close()
        await until(lambda: not server.connections)


async def test_who_does_not_read_its_answer_in_time_is_cut_off() -> None:
    async def much(_: str) -> bytes:
        return MUCH

    async with served(much, deadline_s=1.5) as server:
        place = parse_listen(server.address)
        assert not isinstance(place, Path)
        with socket.create_connection(place) as slow:
            slow.send(get().encode())
            await until(lambda: len(server.connections) == 1)
            _, _, body = await said(server, get())  # others are served meanwhile
            assert len(body) == len(MUCH)
            await until(lambda: not server.connections)


async def test_more_connections_than_there_may_be_are_dropped_and_the_others_served() -> None:
    async with served() as server:
        waiting = [await connected(server) for _ in range(MAX_CONNECTIONS)]
        await until(lambda: len(server.connections) == MAX_CONNECTIONS)
        reader, writer = await connected(server)
        assert await rest(reader) == b""
        writer.close()
        assert len(server.connections) == MAX_CONNECTIONS
        waiting[0][1].write(get().encode())
        assert b"told as" in await waiting[0][0].read()
        for _, opened in waiting:
            opened.close()
        await until(lambda: not server.connections)
        assert (await said(server, get()))[0] == 200


@pytest.mark.parametrize("turns", range(8))
async def test_a_stop_drops_who_is_connected_and_what_is_being_made(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether their request has been read, is being answered, or waits for what is made."""
    monkeypatch.setattr(metrics_server, "_ENDED_WITHIN_S", 0.0)  # forever: nothing needs that bound
    never = asyncio.Event()

    async def render(_: str) -> bytes:
        await never.wait()
        return b""

    before = asyncio.all_tasks()
    async with served(render) as server:
        reader, writer = await connected(server)
        writer.write(get().encode())
        await until(lambda: len(server.connections) == 1)
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.stop()
        assert await rest(reader) == b""
        writer.close()
    await until(lambda: not server.connections)
    assert asyncio.all_tasks() == before


# -- places -----------------------------------------------------------------------------------------------------------


@one_loop
@pytest.mark.parametrize(
    ("listen", "place"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("unix:/run/x.sock", Path("/run/x.sock")),
    ],
)
async def test_a_place_is_a_port_of_a_host_or_a_path(listen: str, place: object) -> None:
    assert parse_listen(listen) == place


@one_loop
@pytest.mark.parametrize(
    "listen",
    ["", ":9464", "9464", "localhost", "localhost:", "localhost:x", "localhost:65536", "localhost:-1", "::1:9464",
     "unix:x.sock", "unix:", "/run/x.sock", "http://localhost:1", "localhost:\u0661"],
)  # fmt: skip
async def test_what_is_no_place_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        MetricsServer(listen, tell, Log().logger)


async def test_a_port_that_is_taken_is_a_clear_error(log: Log) -> None:
    async with served() as first:
        with pytest.raises(PlaceTaken, match=rf"cannot serve metrics at {first.address}: another program listens"):
            async with served(listen=first.address):
                pass
        assert (await said(first, get()))[0] == 200


@one_loop
async def test_a_host_that_is_not_this_one_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match=r"cannot serve metrics at 192\.0\.2\.1:9464: "):
        async with served(listen="192.0.2.1:9464"):
            pass


async def test_a_socket_is_for_its_user_alone_and_is_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    async with served(listen=f"unix:{path}") as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (await said(server, get()))[0] == 200
        with pytest.raises(PlaceTaken):
            async with served(listen=f"unix:{path}"):
                pass
        assert (await said(server, get()))[0] == 200
    assert not path.exists()


async def test_a_socket_that_a_killed_daemon_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with served(listen=f"unix:{path}") as server:
        assert (await said(server, get()))[0] == 200


@one_loop
async def test_a_file_is_never_replaced_by_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "precious.txt"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="no socket stands there"):
        async with served(listen=f"unix:{path}"):
            pass
    assert path.read_text() == "precious"


@one_loop
@pytest.mark.parametrize(("listen", "warned"), [("0.0.0.0:0", True), ("127.0.0.1:0", False), ("localhost:0", False)])
async def test_who_listens_for_others_too_is_warned(listen: str, warned: bool, log: Log) -> None:
    async with served(listen=listen, log=log):
        pass
    assert ("metrics_open_to_others" in log.events) is warned


# -- a daemon's -------------------------------------------------------------------------------------------------------


def idle(log: Log, path: Path) -> Daemon:
    return Daemon(DaemonSettings(path=path / "d.sock"), log=log.logger)


async def test_the_loop_goes_round_while_an_answer_is_made(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "SLICE_S", 0.0)
    traffic = Traffic(RoutingSettings())
    for number in range(200):
        traffic.breakers.get("acme", f"m{number}")
    metrics = DaemonMetrics(idle(log, tmp_path), lambda: [traffic])
    rounds = 0
    making = asyncio.ensure_future(rendered(metrics, OPENMETRICS))
    while not making.done():
        await asyncio.wait([making], timeout=0)
        rounds += 1
    assert rounds > 20
    assert (await making).endswith(b"# EOF\n")


@one_loop
async def test_metrics_are_served_only_where_the_settings_say_so(tmp_path: Path, log: Log) -> None:
    async with serve_metrics(idle(log, tmp_path), list, MetricsSettings()):
        assert log.events == []
    path = tmp_path / "m.sock"
    async with serve_metrics(idle(log, tmp_path), list, MetricsSettings(listen=f"unix:{path}")):
        assert log.events == ["metrics_listening"]
        assert path.is_socket()
    assert not path.exists()


@one_loop
async def test_who_takes_anothers_place_listens_when_that_has_ended(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "AGAIN_S", 0.01)
    async with MetricsServer("127.0.0.1:0", tell, Log().logger) as before:
        settings = MetricsSettings(listen=before.address)
        daemon = idle(log, tmp_path)
        with pytest.raises(PlaceTaken):
            async with serve_metrics(daemon, list, settings):
                pass
        async with serve_metrics(daemon, list, settings, patient=True):
            assert log.events == ["metrics_wait"]
            await before.stop()
            await until(lambda: log.events == ["metrics_wait", "metrics_listening"])
        async with before, serve_metrics(daemon, list, settings, patient=True):
            pass  # it ends while it waits
