"""What the tests of pipelines share: one loop, a simulator, and a manager that a file's text configures."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from rxlapce.config.assembled import manager_of
from rxlapce.config.sources import load_config
from rxlapce.providers.http import HttpClient
from rxlapce.routing.manager import ProviderManager
from rxlapce.simulator import Simulator
from rxlapce.testing.examples import environ

Managed = Callable[[str], ProviderManager]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(seed=7) as running:
        yield running


@pytest.fixture
async def managed(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Managed]:
    """Makes a manager of a file's text; every provider is the simulator."""
    made: list[ProviderManager] = []
    async with HttpClient() as http:

        def of(text: str) -> ProviderManager:
            (tmp_path / "f.yaml").write_text(text)
            made.append(manager_of(load_config(environ(simulator.base_url), tmp_path / "f.yaml"), http))
            return made[-1]

        yield of
        for manager in made:
            await manager.traffic.aclose()
