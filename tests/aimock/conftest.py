"""The mock server as a child process that lives as long as the tests; skipped where Node.js is not installed."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rxlapce.providers.http import HttpClient
from rxlapce.testing.aimock import Mock

HERE = Path(__file__).parent
STOP_S = 5.0


@pytest.fixture(scope="session")
def node() -> str:
    """The program that runs the mock, if both are there."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node.js is not installed, and this mock server runs on nothing else")
    if not (HERE / "node_modules").is_dir():
        pytest.skip("the mock server is not installed: run make test-aimock")
    return program


@pytest.fixture(scope="session")
def mock_url(node: str) -> Iterator[str]:
    """The base URL of a server that knows no answer yet."""
    with subprocess.Popen(
        [node, HERE / "serve.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().strip()
            assert url.startswith("http://127.0.0.1:"), f"the mock server ended with {server.wait(STOP_S)}"
            yield url
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


@pytest.fixture
async def mock(mock_url: str) -> AsyncIterator[Mock]:
    """The mock, with nothing of what an earlier test taught it."""
    async with HttpClient() as http:
        fresh = Mock(mock_url, http)
        await fresh.forget()
        yield fresh
