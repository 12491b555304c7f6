"""What the transports' tests share: both event loops, and a count of descriptors."""

import asyncio
import gc
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import uvloop

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    factory: LoopFactory = request.param
    return factory


def _descriptors() -> dict[int, str]:
    found: dict[int, str] = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found[int(entry.name)] = str(entry.readlink())
        except FileNotFoundError:
            continue  # the directory's own descriptor, closed by now
    return found


@pytest.fixture(scope="session")
def warm_loops() -> None:
    """The first uvloop of a process opens descriptors for good: not a leak of the test that happens to be first."""
    uvloop.new_event_loop().close()


@pytest.fixture
def no_descriptor_leaks(warm_loops: None) -> Generator[None]:
    """Fails if the test leaves more descriptors open than it found."""
    if not Path("/proc/self/fd").exists():
        yield
        return
    before = _descriptors()
    yield
    after = _descriptors()
    if len(after) > len(before):
        gc.collect()  # what only a collection closes is late, not leaked
        after = _descriptors()
    leaked = {fd: target for fd, target in after.items() if before.get(fd) != target}
    assert len(after) <= len(before), f"left open: {leaked}"
