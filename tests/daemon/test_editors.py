"""Editors that are killed, stand still or do not read: the daemon holds a bounded amount and lets go of the rest."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from rxlapce.bridge import Client, connect
from rxlapce.messages import TransportName
from rxlapce.simulator import Outcome, Served, Simulator
from rxlapce.testing.asking import Collected, ask, heard, truth
from rxlapce.testing.daemons import DaemonProcess, EmbeddedDaemon, daemon_process
from rxlapce.testing.processes import Footprint, resident_bytes, state, until
from rxlapce.tokens import Finish

both_ways = pytest.mark.parametrize("transport", ["shm", "socket"])
#: One way in the quick run; the other with what takes long.
one_quick_way = pytest.mark.parametrize("transport", ["shm", pytest.param("socket", marks=pytest.mark.heavy)])
one_loop = pytest.mark.asyncio(loop_factories=["asyncio"])
MIB = 1 << 20
UNCOUNTED = 1 << 30
"""A window that never stops a stream: only the way itself can."""


def shared_memory() -> set[str]:
    """What has a name in shared memory."""
    return {file.name for file in Path("/dev/shm").iterdir()}  # noqa: S108 - looked at, not used


@contextlib.asynccontextmanager
async def editor(
    path: Path, transport: str, options: str, window: int = 1024
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """An editor's process whose stream has brought its first token; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, Path(__file__).with_name("editor_process.py"), path, transport, f"local/sim:{options}",
        str(window), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"first\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def kill_editors(simulator: Simulator, path: Path, transport: str, times: int) -> None:
    """Kill editors in mid-stream, four at once; the provider must see each of them leave within a second."""
    killed = 0
    while killed < times:
        async with contextlib.AsyncExitStack() as stack:
            number = min(4, times - killed)
            opening = (editor(path, transport, "tokens=100000000,tps=500") for _ in range(number))
            editors = await asyncio.gather(*(stack.enter_async_context(one) for one in opening))
            assert simulator.open_streams == number
            for process in editors:
                process.kill()
            await simulator.wait_until(lambda: simulator.open_streams == 0, timeout_s=1)
            killed += number
    assert set(simulator.outcomes) == {Outcome.CLIENT_GONE}


async def leaves_nothing(simulator: Simulator, daemon: DaemonProcess, transport: str, times: int) -> None:
    named = shared_memory()
    await kill_editors(simulator, daemon.path, transport, 2)  # what is made once and kept
    before = Footprint.of(daemon.pid)
    await kill_editors(simulator, daemon.path, transport, times)
    await until(lambda: Footprint.of(daemon.pid).descriptors == before.descriptors)
    after = Footprint.of(daemon.pid)
    # Descriptors and memory tell of leaks; of threads there is the main one and asyncio's pool, which fills by and by.
    assert after.threads <= 1 + min(32, (os.cpu_count() or 1) + 4)
    assert after.resident_bytes - before.resident_bytes < 2 * MIB, (before, after)
    assert shared_memory() == named
    async with await connect(daemon.path) as client:
        assert (await client.chat(ask("tokens=3"))).text


@pytest.mark.heavy
@one_loop
@one_quick_way
async def test_killed_editors_leave_nothing_in_the_daemon(
    daemon: DaemonProcess, simulator: Simulator, transport: TransportName
) -> None:
    await leaves_nothing(simulator, daemon, transport, 10)


@one_loop
@pytest.mark.heavy
@pytest.mark.timeout(300)
@both_ways
async def test_a_hundred_killed_editors_leave_nothing_in_the_daemon(
    daemon: DaemonProcess, simulator: Simulator, transport: TransportName
) -> None:
    await leaves_nothing(simulator, daemon, transport, 100)


# -- editors that stand still ---------------------------------------------------------------------------------------


async def stands_still(path: Path, transport: str, tokens: int) -> None:
    """Stop an editor in mid-stream, look at daemon and provider, let it go on, and compare all that it got."""
    async with (
        Simulator(seed=5, send_buffer_bytes=65_536) as simulator,
        daemon_process(path, "--base-url", f"{simulator.base_url}/v1") as daemon,
        await connect(path, transport=transport_of(transport)) as other,
    ):
        async for _ in other.chat_stream(ask("tokens=5000")):  # what is made once and kept
            pass
        before = resident_bytes(daemon.pid)
        async with editor(path, transport, f"tokens={tokens}", UNCOUNTED) as process:
            process.send_signal(signal.SIGSTOP)
            await until(lambda: state(process.pid) == "T")
            stopped = simulator.served[1]
            await simulator.wait_until(lambda: stopped.paused_by_client)
            written = await standing(simulator, other, stopped)
            assert resident_bytes(daemon.pid) - before < 8 * MIB
            assert written < tokens
            process.send_signal(signal.SIGCONT)
            got = await said_by(process)
        said = await truth(simulator, 1)
        assert got.pop("tokens") < tokens  # what had to wait came in longer pieces
        assert got == {
            "sha256": hashlib.sha256(said.text.encode()).hexdigest(),
            "finished": True,
            "gaps": 0,
            "error": None,
        }
        assert resident_bytes(daemon.pid) - before < 8 * MIB


def transport_of(name: str) -> TransportName:
    return "shm" if name == "shm" else "socket"


async def standing(simulator: Simulator, other: Client, stopped: Served) -> int:
    """The tokens written for the stopped editor, once they no longer grow while another one's stream goes by whole."""
    while True:
        written = stopped.tokens
        async with asyncio.timeout(5):
            tokens = [token async for token in other.chat_stream(ask("tokens=5000", prompt="me too"))]
        assert isinstance(tokens[-1], Finish)
        if stopped.tokens == written and stopped.paused_by_client:
            return written


async def said_by(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(await process.stdout.readline())
    return line


@pytest.mark.heavy
@one_loop
@one_quick_way
async def test_an_editor_that_stands_still_stops_its_provider_and_nobody_else(path: Path, transport: str) -> None:
    await stands_still(path, transport, 50_000)


@one_loop
@pytest.mark.heavy
@pytest.mark.timeout(120)
@both_ways
async def test_an_editor_that_stands_still_for_long_costs_no_memory(path: Path, transport: str) -> None:
    await stands_still(path, transport, 200_000)


@both_ways
async def test_an_iterator_that_is_not_advanced_stops_its_stream_by_credit(
    embedded: EmbeddedDaemon, simulator: Simulator, transport: TransportName
) -> None:
    async with await connect(embedded.path, transport=transport) as client:
        stream = aiter(client.chat_stream(ask("tokens=3000", provider="openai"), window=16))
        tokens = [await anext(stream)]
        # The others of the connection are not held up.
        other = Collected(client.chat_stream(ask("tokens=3000", provider="openai")))
        assert await other.end() is None
        [session] = embedded.daemon.sessions
        [sink] = session.streams.values()
        await until(lambda: not sink.exchange.flow.is_open)
        assert sink.seq == 16
        assert client.chunks == 16 + len(other.items) - 1  # its Finish is no chunk
        tokens += [token async for token in stream]
        assert len(tokens) < 3_002  # what had to wait came in longer pieces
        assert heard(tokens) == await truth(simulator, 0)
