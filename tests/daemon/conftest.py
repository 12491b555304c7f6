"""What the daemon's tests share: both event loops, a simulator, and the daemons around it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from rxlapce.daemon.server import DaemonSettings
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import simulated
from rxlapce.testing.daemons import DaemonProcess, EmbeddedDaemon, daemon_process, embedded_daemon
from rxlapce.testing.loops import loops_of


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """On the daemon's loop, or what `RXLAPCE_TEST_LOOPS` says; unless a test asks for one."""
    return loops_of(item)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(seed=5) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a daemon may listen: pytest makes `tmp_path` with mode 0700."""
    return tmp_path / "d.sock"


@pytest.fixture
async def embedded(simulator: Simulator, path: Path) -> AsyncIterator[EmbeddedDaemon]:
    """A daemon on the test's loop, with the simulator as `openai` and `anthropic`."""
    async with embedded_daemon(DaemonSettings(path=path), *simulated(simulator.base_url)) as running:
        yield running


@pytest.fixture
async def daemon(simulator: Simulator, path: Path) -> AsyncIterator[DaemonProcess]:
    """A daemon process with the simulator as `local`."""
    async with daemon_process(path, "--base-url", f"{simulator.base_url}/v1") as running:
        yield running
