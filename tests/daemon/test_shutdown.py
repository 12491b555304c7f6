"""The daemon as a process: how it stops, and what its clients are told."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rxlapce.bridge import connect
from rxlapce.cli.child import running_daemon
from rxlapce.errors import ConfigError, ConnectionLost, DaemonNotRunning, ErrorKind, Phase, ProviderError
from rxlapce.messages import TransportName
from rxlapce.simulator import Outcome, Simulator
from rxlapce.testing.asking import Collected, ask, heard, truth
from rxlapce.testing.daemons import DaemonProcess, daemon_process
from rxlapce.testing.processes import until
from rxlapce.tokens import Text

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
both_ways = pytest.mark.parametrize("transport", ["shm", "socket"])
#: One way in the quick run; the other with what takes long.
one_quick_way = pytest.mark.parametrize("transport", ["shm", pytest.param("socket", marks=pytest.mark.heavy)])


def base_url(simulator: Simulator) -> tuple[str, str]:
    return "--base-url", f"{simulator.base_url}/v1"


def is_there(path: Path) -> bool:
    return path.exists()


async def exit_code(daemon: DaemonProcess, within_s: float = 3.0) -> int:
    async with asyncio.timeout(within_s):
        return await daemon.exit_code()


@both_ways
async def test_running_streams_finish_while_it_drains(
    simulator: Simulator, path: Path, transport: TransportName
) -> None:
    async with (
        daemon_process(path, *base_url(simulator), "--drain", "5") as daemon,
        await connect(path, transport=transport) as client,
    ):
        got = Collected(client.chat_stream(ask("tokens=40,tps=200")))
        await got.until(1)
        answer = asyncio.ensure_future(client.chat(ask("tokens=5,ttft=0.1")))
        await simulator.wait_until(lambda: len(simulator.requests) == 2)
        daemon.terminate()
        assert await got.end() is None
        assert heard(got.items) == await truth(simulator, 0)
        assert (await answer).text
        assert await exit_code(daemon) == 0
        await client.closed.wait()
        with pytest.raises(ConnectionLost, match="it said 'shutdown'"):
            await client.ping()
    assert not is_there(path)


@pytest.mark.heavy
@both_ways
async def test_without_draining_each_request_gets_its_error_then_the_goodbye(
    simulator: Simulator, path: Path, transport: TransportName
) -> None:
    async with (
        daemon_process(path, *base_url(simulator), "--drain", "0") as daemon,
        await connect(path, transport=transport) as client,
    ):
        streams = [Collected(client.chat_stream(ask("fault=stall,after=30"))) for _ in range(5)]
        for stream in streams:
            await stream.until(30)
        answer = asyncio.ensure_future(client.chat(ask("fault=hang")))
        await simulator.wait_until(lambda: len(simulator.requests) == 6)
        daemon.terminate()
        ends = [await stream.end() for stream in streams]
        for error in (*ends, *await asyncio.gather(answer, return_exceptions=True)):
            assert isinstance(error, ProviderError), error
            assert (error.kind, error.message) == (ErrorKind.CANCELLED, "the daemon is stopping")
        await client.closed.wait()
        assert await exit_code(daemon) == 0
        await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CLIENT_GONE] * 6)
    assert not is_there(path)


async def test_new_requests_are_refused_while_it_drains_and_a_second_signal_does_not_wait(
    simulator: Simulator, path: Path
) -> None:
    async with (
        daemon_process(path, *base_url(simulator), "--drain", "60") as daemon,
        await connect(path) as client,
    ):
        got = Collected(client.chat_stream(ask("fault=stall,after=2")))
        await got.until(2)
        daemon.terminate()
        await until(lambda: not path.exists())
        for asked in (client.chat(ask()), anext(aiter(client.chat_stream(ask())))):
            with pytest.raises(ProviderError, match="the daemon is stopping") as caught:
                await asked
            assert (caught.value.kind, caught.value.phase) == (ErrorKind.OVERLOADED, Phase.ADMIT)
        with pytest.raises(DaemonNotRunning):
            await connect(path)
        assert not got.ends
        daemon.process.send_signal(signal.SIGINT)
        error = await got.end()
        assert isinstance(error, ProviderError)
        assert error.kind is ErrorKind.CANCELLED
        assert await exit_code(daemon) == 0
    assert len(simulator.requests) == 1


async def test_what_does_not_finish_in_time_gets_its_error(simulator: Simulator, path: Path) -> None:
    async with (
        daemon_process(path, *base_url(simulator), "--drain", "0.2") as daemon,
        await connect(path) as client,
    ):
        got = Collected(client.chat_stream(ask("fault=stall,after=2")))
        await got.until(2)
        daemon.terminate()
        error = await got.end()
        assert isinstance(error, ProviderError)
        assert error.kind is ErrorKind.CANCELLED
        assert error.delivered_chars == sum(len(token.text) for token in got.items if isinstance(token, Text)) > 0
        assert await exit_code(daemon) == 0


@pytest.mark.heavy
@one_quick_way
async def test_a_client_that_stands_still_does_not_keep_it_from_stopping(
    simulator: Simulator, path: Path, transport: TransportName
) -> None:
    async with daemon_process(path, *base_url(simulator), "--drain", "0") as daemon:
        editor = await asyncio.create_subprocess_exec(
            sys.executable, Path(__file__).with_name("editor_process.py"), path, transport, "local/sim:tokens=200000",
            str(1 << 30), stdout=subprocess.PIPE,
        )  # fmt: skip
        assert editor.stdout is not None
        await editor.stdout.readline()
        editor.send_signal(signal.SIGSTOP)
        await simulator.wait_until(lambda: simulator.served[0].paused_by_client)
        daemon.terminate()
        assert await exit_code(daemon, within_s=4) == 0
        editor.send_signal(signal.SIGCONT)
        out, _ = await editor.communicate()
        assert b"ConnectionLost" in out or b"ProviderError" in out


@pytest.mark.heavy
async def test_it_stops_when_its_parent_is_gone(simulator: Simulator, path: Path) -> None:
    async with daemon_process(path, *base_url(simulator), "--drain", "60") as daemon:
        daemon.let_go()
        assert await exit_code(daemon) == 0
    assert not is_there(path)


async def test_a_running_daemon_is_stopped_in_order_and_its_folder_removed(simulator: Simulator) -> None:
    async with running_daemon(*base_url(simulator)) as path:
        client = await connect(path)
        got = Collected(client.chat_stream(ask("fault=stall,after=1")))
        await got.until(1)
    error = await got.end()
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.CANCELLED
    assert not is_there(path.parent)
    await client.aclose()


async def test_a_daemon_that_cannot_start_says_why() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_BASE_URL"))}
    with pytest.raises(ConfigError, match="the daemon did not start: no provider is configured"):
        async with running_daemon(environ=environ):
            pass
