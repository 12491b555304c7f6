"""What a daemon says when it is asked how it is, while it streams, drains, refuses and does nothing."""

import asyncio
import io
import json
import os
import resource
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

import rxlapce
from rxlapce.bridge import connect
from rxlapce.codec.frame import Flag, encode_frame
from rxlapce.daemon.bounds import Limits
from rxlapce.daemon.handlers import Handlers
from rxlapce.daemon.load import MAX_TOLD
from rxlapce.daemon.reload import Loaded
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.daemon.status import StatusReporter, memory_bytes
from rxlapce.daemon.users import Users
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.messages import (
    NUMBERS,
    Cancel,
    ChatStream,
    Handshake,
    HandshakeAck,
    ModelList,
    Models,
    Question,
    Status,
    StreamChunk,
    StreamError,
    TransportName,
)
from rxlapce.routing.settings import Admission, Quota
from rxlapce.simulator import Simulator
from rxlapce.status import ClientStatus, ModelStatus, StatusReport, UserStatus
from rxlapce.telemetry.logs import logger
from rxlapce.testing.asking import Collected, ask, simulated
from rxlapce.testing.daemons import EmbeddedDaemon, bare, embedded_daemon
from rxlapce.testing.peer import RawPeer
from rxlapce.testing.processes import descriptors, resident_bytes, until
from rxlapce.transports.unix import attach

both_ways = pytest.mark.parametrize("transport", ["shm", "socket"])
#: What does not depend on the loop: unread bytes do, as its transports hold some.
one_loop = pytest.mark.asyncio(loop_factories=["asyncio"])


def of(report: StatusReport, model: str) -> ModelStatus:
    return next(one for one in report.models if one.model == model)


# -- the daemon itself ------------------------------------------------------------------------------------------------


@one_loop
async def test_a_daemon_without_providers_says_how_it_is_and_lists_no_model(path: Path) -> None:
    daemon = Daemon(DaemonSettings(path=path, max_connections=7), log=logger(level="error", as_json=True))
    await daemon.start()
    try:
        async with await connect(path, transport="socket", client="tester") as client:
            report = await client.status()
            assert await client.models() == ModelList()
    finally:
        await daemon.stop(drain_s=0)
    assert (report.version, report.pid, report.draining) == (rxlapce.__version__, os.getpid(), False)
    assert (report.models, report.providers, report.refused, report.tokens_per_s) == ((), (), {}, 0.0)
    assert (report.connections, report.max_connections, report.requests) == (1, 7, 0)
    assert 0 <= report.uptime_s < 5
    (one,) = report.clients
    assert (one.number, one.client, one.user, one.transport) == (1, "tester", f"uid {os.geteuid()}", "socket")
    assert (one.signed, one.requests, one.unread_bytes, one.ring_bytes) == (False, 0, 0, 0)


@one_loop
async def test_a_report_has_the_process_s_own_figures(embedded: EmbeddedDaemon) -> None:
    async with await connect(embedded.path) as client:
        report = await client.status()
        assert report.open_files == len(descriptors(os.getpid()))
        assert report.tasks >= len(asyncio.all_tasks())  # this one, and the one that answered
    assert report.max_open_files == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert report.memory_bytes > resident_bytes(os.getpid()) / 2
    assert report.memory_bytes < 1 << 33


def test_without_proc_the_memory_is_the_most_that_it_ever_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(path: Path) -> bytes:
        raise FileNotFoundError(path)

    now = memory_bytes()
    monkeypatch.setattr(Path, "read_bytes", absent)
    assert now * 0.9 < memory_bytes() < now * 20


# -- requests ---------------------------------------------------------------------------------------------------------


@both_ways
async def test_streams_under_way_are_counted_by_model_and_client(
    embedded: EmbeddedDaemon, transport: TransportName
) -> None:
    async with (
        await connect(embedded.path, transport=transport, client="asks") as client,
        await connect(embedded.path, transport="socket", client="watches") as watcher,
    ):
        streams = [Collected(client.chat_stream(ask("tokens=1000,tps=50", provider="openai"))) for _ in range(3)]
        for stream in streams:
            await stream.until(5)
        report = await watcher.status()
        for stream in streams:
            stream.dispose()
        await until(lambda: embedded.daemon.requests == 0)
        after = await watcher.status()
    model = of(report, "openai/sim:tokens=1000,tps=50")
    assert (model.running, model.waiting, model.attempts, model.finished) == (3, 0, 3, 0)
    assert model.tokens >= 15
    assert model.first_token_s is not None
    assert 0 < model.first_token_s < 5
    assert report.requests == 3  # the question is none
    assert [(one.client, one.transport, one.requests) for one in report.clients] == [
        ("asks", transport, 3),
        ("watches", "socket", 0),
    ]
    ended = of(after, model.model)
    assert (ended.running, ended.cancelled, ended.failed, after.requests) == (0, 3, 0, 0)


@one_loop
async def test_what_became_of_attempts_is_told_by_kind(embedded: EmbeddedDaemon) -> None:
    async with await connect(embedded.path) as client:
        await client.chat(ask("tokens=3", provider="openai"))
        for _ in range(2):
            with pytest.raises(ProviderError):
                await client.chat(ask("fault=http,status=500", provider="openai"))
        report = await client.status()
    failing = of(report, "openai/sim:fault=http,status=500")
    assert (failing.attempts, failing.failed, sum(failing.errors.values())) == (2, 2, 2)
    assert set(failing.errors) <= {kind.value for kind in ErrorKind}
    whole = of(report, "openai/sim:tokens=3")
    assert (whole.attempts, whole.finished, whole.failed, whole.errors) == (1, 1, 0, {})
    assert whole.tokens >= 1


async def test_a_slow_client_s_unread_bytes_are_told(embedded: EmbeddedDaemon) -> None:
    async with (
        await RawPeer.greeted(embedded.path) as slow,
        await connect(embedded.path, transport="socket") as watcher,
    ):
        slow.send(ChatStream(request=ask("tokens=100000", provider="openai")), 1)
        _, first = await slow.receive()
        assert isinstance(first, StreamChunk)
        (session,) = (one for one in embedded.daemon.sessions if one.client == "raw")
        await until(lambda: session.status().unread_bytes > 64 * 1024)
        report = await watcher.status()
        told = next(one for one in report.clients if one.client == "raw")
        assert told.unread_bytes > 64 * 1024
        assert told.ring_bytes == 0


async def test_what_waits_in_the_transport_and_before_it_is_unread() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        connection = await attach(ours, lambda _: None, lambda _: None)
        for _ in range(32):
            connection.writer.send(NUMBERS[StreamChunk], 0, 1, bytes(65536))
        connection.writer.flush()
        assert connection.unread_bytes > connection.writer.pending_bytes > 1 << 20
        connection.abort()


async def test_what_finds_no_room_in_a_ring_is_unread(simulator: Simulator, path: Path) -> None:
    settings = DaemonSettings(path=path, ring_bytes=4096)
    async with embedded_daemon(settings, *simulated(simulator.base_url)) as embedded, await connect(path) as reader:
        assert reader.ring is not None
        reader.ring.pause()
        stream = Collected(reader.chat_stream(ask("tokens=2000", provider="openai")))
        (session,) = embedded.daemon.sessions
        await until(lambda: session.status().ring_bytes == 4096 and session.status().unread_bytes > 4096)
        reader.ring.resume()
        assert await stream.end() is None


async def test_what_waits_in_a_ring_is_told(embedded: EmbeddedDaemon) -> None:
    async with (
        await connect(embedded.path, transport="shm") as reader,
        await connect(embedded.path, transport="socket") as watcher,
    ):
        assert reader.ring is not None
        reader.ring.pause()
        stream = Collected(reader.chat_stream(ask("tokens=200", provider="openai")))
        (session,) = (one for one in embedded.daemon.sessions if one.transport == "shm")
        await until(lambda: session.status().ring_bytes > 1000)
        report = await watcher.status()
        assert report.clients[0].ring_bytes > 1000
        reader.ring.resume()
        assert await stream.end() is None


@one_loop
async def test_requests_that_wait_for_their_quota_are_told_apart(simulator: Simulator, path: Path) -> None:
    routing = replace(bare(), admission=Admission(default=Quota(streams=1), wait_s=30.0))
    async with (
        embedded_daemon(DaemonSettings(path=path), *simulated(simulator.base_url), routing=routing) as embedded,
        await connect(path) as client,
    ):
        streams = [Collected(client.chat_stream(ask("fault=stall,after=2", provider="openai"))) for _ in range(4)]
        await streams[0].until(2)
        await until(lambda: embedded.manager.traffic.all_running == 4)
        model = of(await client.status(), "openai/sim:fault=stall,after=2")
        assert (model.running, model.waiting) == (1, 3)
        for stream in streams:
            stream.dispose()


# -- bounds and ends --------------------------------------------------------------------------------------------------


@one_loop
async def test_a_question_counts_as_a_request_and_can_be_cancelled(embedded: EmbeddedDaemon) -> None:
    asked = asyncio.Event()

    async def never(_: Question) -> ModelList:
        asked.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    embedded.daemon.handlers.questions[Models] = never
    async with await RawPeer.greeted(embedded.path) as peer:
        peer.send(Models(), 3)
        await asked.wait()
        assert embedded.daemon.requests == 1
        peer.send(Cancel(), 3)
        request_id, ended = await peer.receive()
        assert isinstance(ended, StreamError)
        assert (request_id, ended.seq, ended.error.kind) == (3, 0, "cancelled")
        asked.clear()
        peer.send(Models(), 4)
        await asked.wait()
    await until(lambda: embedded.daemon.requests == 0 and not len(embedded.daemon.tasks))


@one_loop
async def test_a_question_is_not_told_in_the_log(path: Path) -> None:
    said = io.StringIO()
    daemon = Daemon(DaemonSettings(path=path), log=logger(said, level="debug", as_json=True))
    await daemon.start()
    async with await connect(path) as client:
        await client.status()
        await client.models()
    await daemon.stop(drain_s=0)
    assert [json.loads(line)["event"] for line in said.getvalue().splitlines()] == [
        "daemon_listening",
        "client_connected",
        "client_gone",
        "daemon_stopped",
    ]


@one_loop
async def test_a_handler_with_a_bug_ends_its_own_question(embedded: EmbeddedDaemon) -> None:
    async def broken(_: Question) -> ModelList:
        raise LookupError("a bug")

    embedded.daemon.handlers.questions[Models] = broken
    async with await connect(embedded.path) as client:
        with pytest.raises(ProviderError, match="LookupError in the handler: a bug"):
            await client.models()
        assert (await client.status()).connections == 1


@one_loop
async def test_questions_are_bounded_as_other_requests_are(simulator: Simulator, path: Path) -> None:
    settings = DaemonSettings(path=path, limits=Limits(max_requests=1))
    async with (
        embedded_daemon(settings, *simulated(simulator.base_url)) as embedded,
        await RawPeer.greeted(path) as peer,
    ):
        peer.send(ChatStream(request=ask("fault=stall,after=1", provider="openai")), 1)
        await peer.receive()
        peer.send(Status(), 2)
        request_id, refused = await peer.receive()
        assert isinstance(refused, StreamError)
        assert (request_id, refused.error.kind, refused.error.phase) == (2, "rate_limit", "admit")
        async with await connect(path) as other:
            report = await other.status()
        assert (report.max_requests, report.refused) == (4096, {"max_requests": 1})
        assert embedded.daemon.refused == {"max_requests": 1}


@one_loop
async def test_connections_that_were_turned_away_are_told(path: Path) -> None:
    settings = DaemonSettings(path=path, max_connections=1)
    async with embedded_daemon(settings), await connect(path, transport="socket") as client:
        for _ in range(3):
            async with await RawPeer.connect(path) as refused:
                assert len(await refused.receive_all()) == 1
        assert (await client.status()).refused == {"max_connections": 3}


@one_loop
async def test_a_question_that_is_none_is_refused_alone(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        payload = json.dumps({"type": "models", "providers": "openai"}).encode()
        peer.send_bytes(encode_frame(NUMBERS[Models], int(Flag.REQUEST), 5, payload))
        request_id, refused = await peer.receive()
        assert isinstance(refused, StreamError)
        assert (request_id, refused.error.kind) == (5, "bad_request")
        assert "$.providers" in refused.error.message
        peer.send(Status(), 6)
        assert isinstance((await peer.receive())[1], StatusReport)


@one_loop
async def test_a_draining_daemon_says_how_it_is_and_lists_no_models(embedded: EmbeddedDaemon) -> None:
    async with await connect(embedded.path) as client:
        stream = Collected(client.chat_stream(ask("fault=stall,after=1", provider="openai")))
        await stream.until(1)
        stopping = asyncio.ensure_future(embedded.daemon.stop(drain_s=20))
        await until(lambda: embedded.daemon.draining)
        report = await client.status()
        assert (report.draining, report.requests) == (True, 1)
        with pytest.raises(ProviderError, match="stopping"):
            await client.models()
        stream.dispose()
        await stopping


@one_loop
async def test_a_client_s_long_name_is_told_cut(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.connect(embedded.path) as peer:
        peer.send(Handshake(client="n" * 60_000))
        assert isinstance((await peer.receive())[1], HandshakeAck)
        peer.send(Status(), 1)
        _, report = await peer.receive()
        assert isinstance(report, StatusReport)
        assert report.clients[0].client == "n" * 128


async def test_a_client_s_long_name_does_not_fill_the_log(path: Path) -> None:
    said = io.StringIO()
    daemon = Daemon(DaemonSettings(path=path), log=logger(said, as_json=True))
    await daemon.start()
    try:
        async with await connect(path, client="x" * 10_000) as client:
            await client.status()
    finally:
        await daemon.stop(drain_s=0)
    assert "client_gone" in said.getvalue()
    assert max(map(len, said.getvalue().splitlines())) < 500


async def test_of_many_reports_one_is_made_a_loop_round(embedded: EmbeddedDaemon) -> None:
    answers = [asyncio.create_task(embedded.daemon.status.answer(Status())) for _ in range(20)]
    made = [0]
    while made[-1] < len(answers):
        await asyncio.sleep(0)
        made.append(sum(answer.done() for answer in answers))
    assert max(after - before for before, after in pairwise(made)) == 1


def test_of_many_clients_the_oldest_are_told() -> None:
    class Connected:
        def __init__(self, number: int) -> None:
            self.number = number
            self.user = "u"
            self.for_providers = 1

        def status(self) -> ClientStatus:
            return ClientStatus(number=self.number, client="c", user="u", transport="socket")

    class Crowded:
        def __init__(self) -> None:
            self.handlers = Handlers()
            self.users = Users()
            self.config: Callable[[], Loaded | None] = lambda: None
            self.draining = False
            self.refused = Counter[str]()
            self.sessions = tuple(Connected(number) for number in range(1000, 0, -1))
            self.requests = self.max_requests = 0
            self.max_connections = 5000

    async def asked() -> StatusReport:
        return StatusReporter(Crowded()).report()

    report = asyncio.run(asked())
    assert report.connections == 1000
    assert [client.number for client in report.clients] == list(range(1, MAX_TOLD + 1))
    assert report.users == (UserStatus(name="u", requests=1000),)
