"""What the simulator's tests share: recordings, and clients, one of them of ours, on a running simulator."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from rxlapce.providers.http import HttpClient
from rxlapce.simulator import Simulator


@pytest.fixture(scope="session")
def recordings() -> Path:
    default = Path(__file__).parents[2].parent / "shared" / "streams"
    folder = Path(os.environ.get("RXLAPCE_STREAMS", default))
    if not folder.is_dir():
        pytest.skip("no recorded streams: set RXLAPCE_STREAMS")
    return folder


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(seed=7) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(simulator.base_url, headers={"anthropic-version": "2023-06-01"}) as session:
        yield session


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened
