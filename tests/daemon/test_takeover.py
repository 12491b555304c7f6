"""A daemon that dies without a word, and the one that comes after it."""

import asyncio
import sys
from pathlib import Path

import pytest

from rxlapce.bridge import connect
from rxlapce.errors import ConnectionLost, DaemonNotRunning
from rxlapce.messages import TransportName
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard, truth
from rxlapce.testing.daemons import DaemonProcess, daemon_process
from rxlapce.tokens import Text

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
both_ways = pytest.mark.parametrize("transport", ["shm", "socket"])


def is_there(path: Path) -> bool:
    return path.exists()


def shared_memory() -> set[str]:
    """What has a name in shared memory."""
    return {file.name for file in Path("/dev/shm").iterdir()}  # noqa: S108 - looked at, not used


@pytest.mark.parametrize("transport", ["shm", pytest.param("socket", marks=pytest.mark.heavy)])
async def test_everything_under_way_ends_in_connection_lost_after_what_had_arrived(
    daemon: DaemonProcess, simulator: Simulator, transport: TransportName
) -> None:
    named = shared_memory()
    async with await connect(daemon.path, transport=transport) as client:
        streams = [Collected(client.chat_stream(ask(f"fault=stall,after={50 + n}"))) for n in range(3)]
        iterated = aiter(client.chat_stream(ask("fault=stall,after=9")))
        tokens = [await anext(iterated) for _ in range(9)]
        unary = asyncio.ensure_future(client.chat(ask("fault=hang")))
        await simulator.wait_until(lambda: len(simulator.requests) == 5)
        for number, stream in enumerate(streams):
            await stream.until(50 + number)
        async with asyncio.timeout(1):
            await daemon.kill()
            for number, stream in enumerate(streams):
                assert isinstance(await stream.end(), ConnectionLost)
                assert (len(stream.items), stream.ends) == (50 + number, 1)
            with pytest.raises(ConnectionLost):
                await anext(iterated)
            with pytest.raises(ConnectionLost):
                await unary
        assert len(tokens) == 9
        for asked in (client.ping(), client.chat(ask()), anext(aiter(client.chat_stream(ask())))):
            with pytest.raises(ConnectionLost, match="the daemon closed the connection"):
                await asked
        late = Collected(client.chat_stream(ask()))
        assert isinstance(await late.end(), ConnectionLost)
        assert client.open_requests == 0
    assert shared_memory() == named


@pytest.mark.heavy
@both_ways
async def test_killed_at_full_speed_it_leaves_a_whole_beginning(
    daemon: DaemonProcess, simulator: Simulator, transport: TransportName
) -> None:
    async with await connect(daemon.path, transport=transport) as client:
        got = Collected(client.chat_stream(ask("tokens=60000")))
        await got.until(3000)
        daemon.process.kill()
        assert isinstance(await got.end(), ConnectionLost)
        assert client.sequence_gaps == 0
    assert all(type(token) is Text for token in got.items)
    said = await truth(simulator)
    assert said.text.startswith(heard(got.items).text)
    assert 3000 <= len(got.items) < 60000


@pytest.mark.heavy
async def test_a_new_daemon_takes_the_dead_ones_socket_over(
    daemon: DaemonProcess, simulator: Simulator, path: Path
) -> None:
    await daemon.kill()
    assert is_there(path)
    with pytest.raises(DaemonNotRunning, match="start it with: rxlapce serve"):
        await connect(path)
    async with daemon_process(path, "--base-url", f"{simulator.base_url}/v1"), await connect(path) as client:
        assert (await client.chat(ask("tokens=2"))).text


async def test_a_second_daemon_on_a_live_socket_is_refused_and_harms_nothing(
    daemon: DaemonProcess, simulator: Simulator
) -> None:
    async with await connect(daemon.path) as client:
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rxlapce", "serve", "--path", daemon.path, "--base-url", f"{simulator.base_url}/v1",
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, errors = await second.communicate()
        assert second.returncode == 1
        assert f"a daemon already listens at {daemon.path}: use it, or stop it first" in " ".join(
            errors.decode().split()
        )
        assert "Traceback" not in errors.decode()
        await client.ping()
    async with await connect(daemon.path) as client:
        await client.ping()
