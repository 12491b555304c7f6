"""What a bridge does for a UI: every request has one last message, and the connection's state is told as it is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from rxlapce.bridge import Bridge, ConnectionState
from rxlapce.bridge.bridge import MAX_WAITING
from rxlapce.bridge.messages import (
    Cancel,
    InboundMessage,
    ListModels,
    ModelsListed,
    Ping,
    Pong,
    ProviderChat,
    ProviderChatResponse,
    ProviderChatStream,
    ProviderComplete,
    ProviderCompleteResponse,
    ProviderCompleteStream,
    ProviderStreamChunk,
    ProviderStreamDone,
    Reconnect,
    Status,
    StatusTold,
)
from rxlapce.daemon.server import DaemonSettings
from rxlapce.errors import ConfigError
from rxlapce.flow import FlowControl
from rxlapce.messages import ChatStream, Draining, Heartbeat, StreamChunk, StreamDone, TransportName
from rxlapce.requests import CompletionRequest
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard, simulated, told, truth
from rxlapce.testing.daemons import EmbeddedDaemon, embedded_daemon
from rxlapce.testing.peer import RawPeer, fake_daemon
from rxlapce.testing.processes import until
from rxlapce.testing.ui import Ui
from rxlapce.tokens import Finish, FinishKind, Text

S = ConnectionState
#: A stream that does not end by itself while a test looks at it.
LONG = "tokens=100000,tps=500"
COMPLETION = CompletionRequest(model="openai/sim:tokens=7", prompt="Once")


def chat(options: str = "", **settings: Any) -> Any:
    return ask(options, provider="openai", **settings)


@pytest.fixture
def ui() -> Ui:
    return Ui()


@pytest.fixture
async def bridge(path: Path, ui: Ui) -> AsyncIterator[Bridge]:
    """A bridge with nobody at its path yet."""
    async with Bridge(path, on_message=ui) as running:
        yield running
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in names if name.startswith(("bridge", "ui request", "close drained"))]


def daemon_at(path: Path, simulator: Simulator) -> AbstractAsyncContextManager[EmbeddedDaemon]:
    return embedded_daemon(DaemonSettings(path=path), *simulated(simulator.base_url))


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["shm", "socket"])
async def test_every_kind_of_request_is_answered_under_its_own_id(
    embedded: EmbeddedDaemon, simulator: Simulator, transport: TransportName, ui: Ui
) -> None:
    async with Bridge(embedded.path, on_message=ui, transport=transport) as bridge:
        bridge.send(Ping(id=0))
        bridge.send(Status(id=10))
        bridge.send(ListModels(id=20, providers=("openai",)))
        assert await ui.end(0) == Pong(id=0)
        report = await ui.end(10)
        assert isinstance(report, StatusTold)
        assert report.report.connections == 1
        models = await ui.end(20)
        assert isinstance(models, ModelsListed)
        assert "openai/sim" in {entry.name for entry in models.models}

        bridge.send(ProviderChatStream(id=30, request=chat("tokens=20")))
        done = await ui.end(30)
        assert isinstance(done, ProviderStreamDone)
        tokens = ui.tokens(30)
        assert heard([*tokens, done.finish]) == await truth(simulator)
        assert done.seq == len(tokens)

        bridge.send(ProviderChat(id=40, request=chat("tokens=5")))
        answer = await ui.end(40)
        assert isinstance(answer, ProviderChatResponse)
        assert told(answer.response) == await truth(simulator)

        bridge.send(ProviderComplete(id=50, request=COMPLETION))
        completion = await ui.end(50)
        assert isinstance(completion, ProviderCompleteResponse)
        assert completion.response.text == (await truth(simulator)).text
        bridge.send(ProviderCompleteStream(id=60, request=COMPLETION))
        done = await ui.end(60)
        assert isinstance(done, ProviderStreamDone)
        assert heard([*ui.tokens(60), done.finish]) == await truth(simulator)
        assert bridge.open_requests == 0
    assert ui.states == [S.CONNECTING, S.CONNECTED, S.DISCONNECTED]
    assert all(len(ui.ends(number)) == 1 for number in range(0, 70, 10))


async def test_many_requests_at_once_each_end_once(embedded: EmbeddedDaemon, bridge: Bridge, ui: Ui) -> None:
    for number in range(0, 45, 3):
        bridge.send(ProviderChatStream(id=number, request=chat(f"tps=0,tokens={number}")))
        bridge.send(ProviderChat(id=number + 1, request=chat("tokens=3")))
        bridge.send(ProviderChatStream(id=number + 2, request=chat("status=401")))
    assert bridge.open_requests == 45
    await bridge.settled()
    assert all(len(ui.ends(number)) == 1 for number in range(45))
    for number in range(0, 45, 3):
        assert isinstance(await ui.end(number), ProviderStreamDone)
        assert sum(isinstance(token, Text) for token in ui.tokens(number)) == number
        assert (await ui.failure(number + 2)).error.kind == "auth"


async def test_an_id_in_use_is_refused_and_its_request_goes_on(
    embedded: EmbeddedDaemon, bridge: Bridge, ui: Ui
) -> None:
    bridge.send(ProviderChatStream(id=1, request=chat("tokens=9,tps=100")))
    bridge.send(Ping(id=1))
    bridge.refuse("no message", 1)
    complaint = await ui.invalid()
    assert (complaint.id, complaint.message) == (1, "request id 1 is in use")
    assert isinstance(await ui.end(1), ProviderStreamDone)
    assert len(ui.ends(1)) == 1
    bridge.send(Ping(id=1))
    await bridge.settled()
    assert ui.ends(1)[1:] == [Pong(id=1)]


async def test_what_was_no_message_ends_its_request(embedded: EmbeddedDaemon, bridge: Bridge, ui: Ui) -> None:
    bridge.refuse("Expected `int` - at `$.params.request`", 7)
    error = (await ui.failure(7)).error
    assert (error.kind, error.phase, error.message) == (
        "bad_request",
        "admit",
        "Expected `int` - at `$.params.request`",
    )
    bridge.refuse("no JSON")
    assert (await ui.invalid()).message == "no JSON"


async def test_a_cancelled_request_ends_at_once_and_at_the_daemon(
    embedded: EmbeddedDaemon, bridge: Bridge, ui: Ui
) -> None:
    await ui.until(S.CONNECTED)
    bridge.send(ProviderChatStream(id=1, request=chat(LONG)))
    bridge.send(ProviderChat(id=2, request=chat(LONG)))
    said = "".join(token.text for token in await ui.chunks(1, 5) if isinstance(token, Text))
    await until(lambda: embedded.daemon.requests == 2)
    bridge.send(Cancel(id=1))
    bridge.send(Cancel(id=2))
    bridge.send(Cancel(id=3))
    bridge.send(Cancel(id=1))
    for number in (1, 2):
        (last,) = ui.ends(number)
        assert last == await ui.failure(number)
        assert (await ui.failure(number)).error.kind == "cancelled"
    assert (await ui.failure(1)).error.delivered_chars == len(said)
    await until(lambda: embedded.daemon.requests == 0)
    bridge.send(Ping(id=4))
    await ui.end(4)
    assert len(ui.ends(1)) == len(ui.ends(2)) == 1
    assert not ui.ends(3)


async def test_a_request_that_no_frame_can_hold_fails_alone(embedded: EmbeddedDaemon, bridge: Bridge, ui: Ui) -> None:
    await ui.until(S.CONNECTED)
    huge = "x" * (11 * 2**20)
    bridge.send(ProviderChatStream(id=1, request=chat(prompt=huge)))
    bridge.send(ProviderChat(id=2, request=chat(prompt=huge)))
    for number in (1, 2):
        error = (await ui.failure(number)).error
        assert error.kind == "bad_request"
        assert "10,485,760" in error.message
    bridge.send(Ping(id=3))
    assert await ui.end(3) == Pong(id=3)


async def test_as_an_observable_it_says_the_same_and_completes(embedded: EmbeddedDaemon, path: Path, ui: Ui) -> None:
    bridge = Bridge(path, on_message=ui)
    collected: Collected[InboundMessage] = Collected(bridge.messages)
    async with bridge:
        bridge.send(ProviderChatStream(id=1, request=chat("tokens=30")))
        await ui.end(1)
    assert await collected.end() is None
    assert collected.completed
    assert collected.items == ui.messages


async def test_a_subscriber_that_raises_is_told_and_disturbs_nothing(embedded: EmbeddedDaemon, path: Path) -> None:
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    ui = Ui()

    def broken(message: InboundMessage) -> None:
        ui(message)
        if isinstance(message, ProviderStreamChunk):
            raise LookupError("my own bug")  # noqa: TRY004 - any error at all

    async with Bridge(path, on_message=broken) as bridge:
        bridge.send(ProviderChatStream(id=1, request=chat("tokens=10")))
        assert isinstance(await ui.end(1), ProviderStreamDone)
    assert len(raised) == len(ui.tokens(1)) >= 10
    assert {type(context["exception"]) for context in raised} == {LookupError}


async def test_a_closed_gate_stops_each_stream_after_its_window(embedded: EmbeddedDaemon, path: Path, ui: Ui) -> None:
    flow = FlowControl()
    async with Bridge(path, on_message=ui, flow=flow, window=10) as bridge:
        await ui.until(S.CONNECTED)
        flow.close(ui)
        for number in (1, 2):
            bridge.send(ProviderChatStream(id=number, request=chat("tokens=60,tps=0")))
        await ui.chunks(1, 10)
        await ui.chunks(2, 10)
        bridge.send(Ping(id=3))  # the answers to other questions still come
        await ui.end(3)
        assert (len(ui.tokens(1)), len(ui.tokens(2))) == (10, 10)
        flow.open(ui)
        assert isinstance(await ui.end(1), ProviderStreamDone)
        assert isinstance(await ui.end(2), ProviderStreamDone)


# -- the connection ---------------------------------------------------------------------------------------------------


async def test_without_a_daemon_requests_fail_at_once_and_say_why(path: Path, ui: Ui) -> None:
    async with Bridge(path, on_message=ui) as bridge:
        bridge.send(Ping(id=1))  # while it is being looked for, one waits
        assert not ui.ends(1)
        status = await ui.until(S.DISCONNECTED)
        assert status.reason is not None
        assert "no daemon at" in status.reason
        assert "rxlapce serve" in status.reason
        bridge.send(ProviderChatStream(id=2, request=chat()))
        assert len(ui.ends(1)) == len(ui.ends(2)) == 1
    for number in (1, 2):
        error = (await ui.failure(number)).error
        assert (error.kind, error.phase, error.retry) == ("network", "connect", "same")
        assert error.message == f"not connected to the daemon: {status.reason}"
    assert ui.states == [S.CONNECTING, S.DISCONNECTED]


async def test_it_connects_when_a_daemon_comes_and_again_when_it_comes_back(
    bridge: Bridge, ui: Ui, path: Path, simulator: Simulator
) -> None:
    await ui.until(S.DISCONNECTED)
    loop = asyncio.get_running_loop()
    took: list[float] = []
    for time in range(1, 4):
        async with daemon_at(path, simulator):
            began = loop.time()
            status = await ui.until(S.CONNECTED, times=time)
            took.append(loop.time() - began)
            assert (status.transport, status.reason) == ("shm", None)
            bridge.send(Ping(id=time))
            assert await ui.end(time) == Pong(id=time)
        status = await ui.until(S.DISCONNECTED, times=time + 1)
        assert status.reason == "the daemon is stopping: what runs may finish within 0 s"
    assert max(took) < 0.1
    assert ui.states == [S.CONNECTING, S.DISCONNECTED] + [S.CONNECTING, S.CONNECTED, S.DISCONNECTED] * 3


async def test_a_request_waits_for_a_daemon_if_it_is_to(path: Path, ui: Ui, simulator: Simulator) -> None:
    async with Bridge(path, on_message=ui, wait_s=20) as bridge:
        await ui.until(S.DISCONNECTED)
        bridge.send(ProviderChatStream(id=1, request=chat("tokens=4")))
        bridge.send(Ping(id=2))
        bridge.send(Ping(id=3))
        bridge.send(Ping(id=2))
        bridge.send(Cancel(id=3))
        assert (await ui.failure(3)).error.kind == "cancelled"
        assert (await ui.invalid()).id == 2
        assert bridge.open_requests == 2
        async with daemon_at(path, simulator):
            assert isinstance(await ui.end(1), ProviderStreamDone)
            assert await ui.end(2) == Pong(id=2)


async def test_a_request_waits_no_longer_than_it_is_to_and_only_so_many_do(path: Path, ui: Ui) -> None:
    async with Bridge(path, on_message=ui, wait_s=0.05) as bridge:
        await ui.until(S.DISCONNECTED)
        for number in range(MAX_WAITING + 1):
            bridge.send(Ping(id=number))
        assert "as many as may" in (await ui.failure(MAX_WAITING)).error.message
        assert bridge.open_requests == MAX_WAITING
        await bridge.settled()
        assert {(await ui.failure(number)).error.kind for number in range(MAX_WAITING)} == {"network"}
        assert all(len(ui.ends(number)) == 1 for number in range(MAX_WAITING + 1))


async def test_what_is_under_way_when_the_daemon_goes_ends_once_and_says_how_much_there_is(
    bridge: Bridge, ui: Ui, path: Path
) -> None:
    async def script(peer: RawPeer) -> None:
        asked = [await peer.receive() for _ in range(3)]
        by_kind = {type(command): number for number, command in asked if not isinstance(command, ChatStream)}
        first, second = (number for number, command in asked if isinstance(command, ChatStream))
        assert set(by_kind) == {Heartbeat}
        assert second > first
        for seq, text in enumerate(("Ho", "la 🦀")):
            peer.send(StreamChunk(seq, Text(text)), first)

    async with fake_daemon(path, script):
        await ui.until(S.CONNECTED)
        bridge.send(ProviderChatStream(id=1, request=chat()))
        bridge.send(ProviderChatStream(id=2, request=chat()))
        bridge.send(Ping(id=3))
        broken, unanswered, ping = [(await ui.failure(number)).error for number in (1, 2, 3)]
        await ui.until(S.DISCONNECTED)
    assert (broken.kind, broken.retry, broken.phase, broken.delivered_chars) == ("truncated", "same", "flow", 6)
    assert broken.message == "the answer broke off: the daemon closed the connection"
    assert (unanswered.kind, unanswered.phase, unanswered.delivered_chars) == ("network", "headers", None)
    assert ping.kind == "network"
    assert all(len(ui.ends(number)) == 1 for number in (1, 2, 3))


async def test_a_daemon_that_breaks_the_protocol_ends_requests_as_that(bridge: Bridge, ui: Ui, path: Path) -> None:
    async def script(peer: RawPeer) -> None:
        number, _ = await peer.receive()
        peer.send(StreamChunk(5, Text("gap")), number)
        with contextlib.suppress(EOFError, ConnectionError):
            await peer.receive()

    async with fake_daemon(path, script):
        await ui.until(S.CONNECTED)
        bridge.send(ProviderChatStream(id=1, request=chat()))
        error = (await ui.failure(1)).error
        assert (error.kind, error.delivered_chars) == ("protocol", None)
        assert "expected frame 0, got 5" in ((await ui.until(S.DISCONNECTED)).reason or "")


async def test_from_a_draining_daemon_new_requests_go_to_the_next_and_the_old_ones_finish(
    bridge: Bridge, ui: Ui, path: Path, simulator: Simulator
) -> None:
    replaced = asyncio.Event()
    rest: list[tuple[int, object]] = []

    async def old(peer: RawPeer) -> None:
        number, _ = await peer.receive()
        peer.send(StreamChunk(0, Text("be")), number)
        path.unlink()  # noqa: ASYNC240 - as a daemon that stops does
        peer.send(Draining(within_s=5))
        await replaced.wait()
        peer.send(StreamChunk(1, Text("gun")), number)
        peer.send(StreamDone(2, Finish(FinishKind.STOP)), number)
        rest.extend(await peer.receive_all())

    async with fake_daemon(path, old):
        await ui.until(S.CONNECTED)
        bridge.send(ProviderChatStream(id=1, request=chat()))
        status = await ui.until(S.DISCONNECTED)
        assert status.reason == "the daemon is stopping: what runs may finish within 5 s"
        bridge.send(Ping(id=2))
        assert (await ui.failure(2)).error.kind == "network"
        async with daemon_at(path, simulator):
            await ui.until(S.CONNECTED, times=2)
            bridge.send(Ping(id=3))
            assert await ui.end(3) == Pong(id=3)
            assert not ui.ends(1)
            replaced.set()
            assert isinstance(await ui.end(1), ProviderStreamDone)
            assert ui.tokens(1) == [Text("be"), Text("gun")]
            await until(lambda: bool(rest))  # the old connection is closed as soon as nothing runs on it
            bridge.send(Ping(id=4))
            assert await ui.end(4) == Pong(id=4)
    assert [type(message).__name__ for _, message in rest][-1] == "Disconnect"


async def test_a_daemon_that_will_not_have_it_is_an_error_with_advice_until_it_is_told_to_try_again(
    ui: Ui, tmp_path: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sub" / "d.sock"
    refusal = "it belongs to somebody else"

    def refuse(*_: object) -> None:
        raise ConfigError(refusal)

    async with Bridge(path, on_message=ui, wait_s=20) as bridge:
        await ui.until(S.DISCONNECTED)
        bridge.send(Ping(id=1))
        with monkeypatch.context() as patch:
            patch.setattr("rxlapce.bridge.keeping.connect_socket", refuse)
            bridge.send(Reconnect())
            status = await ui.until(S.ERROR)
            assert status.reason == refusal
            assert "reconnect" in (status.advice or "")
            assert refusal in (await ui.failure(1)).error.message
            bridge.send(Reconnect())
            await ui.until(S.ERROR, times=2)
        path.parent.mkdir(mode=0o700)
        async with daemon_at(path, simulator):
            bridge.send(Reconnect())
            await ui.until(S.CONNECTED)
            bridge.send(Reconnect())
            bridge.send(Ping(id=2))
            assert await ui.end(2) == Pong(id=2)
    assert ui.states.count(S.CONNECTED) == 1


async def test_closing_ends_everything_and_leaves_nothing(embedded: EmbeddedDaemon, path: Path, ui: Ui) -> None:
    before = len(asyncio.all_tasks())
    bridge = Bridge(path, on_message=ui)
    with pytest.raises(RuntimeError, match="not been started"):
        bridge.send(Ping(id=0))
    async with bridge:
        with pytest.raises(RuntimeError, match="has been started"):
            bridge.start()
        await ui.until(S.CONNECTED)
        bridge.send(ProviderChatStream(id=1, request=chat(LONG)))
        bridge.send(ProviderChat(id=2, request=chat(LONG)))
        await ui.chunks(1, 3)
    for number in (1, 2):
        error = (await ui.failure(number)).error
        assert (error.kind, error.message) == ("cancelled", "the bridge is closed")
        assert len(ui.ends(number)) == 1
    assert (ui.status.state, ui.status.reason) == (S.DISCONNECTED, "closed by this side")
    await bridge.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        bridge.send(Ping(id=3))
    await until(lambda: not embedded.daemon.sessions)
    await until(lambda: len(asyncio.all_tasks()) == before)


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="window must be at least 1"):
        Bridge(window=0)
