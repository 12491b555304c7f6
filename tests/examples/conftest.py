"""What the tests of the examples share: a simulator that plays every provider, and one loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from rxlapce.simulator import Simulator


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(seed=7) as running:
        yield running


@pytest.fixture
def example(simulator: Simulator) -> Callable[[str], str]:
    """The text of an example by its name, with the addresses that it has at the simulator."""

    def text_of(name: str) -> str:
        text = (Path(__file__).parents[2] / "examples" / f"{name}.yaml").read_text()
        return text.replace("https://api.groq.com/openai/v1", f"{simulator.base_url}/v1")

    return text_of
