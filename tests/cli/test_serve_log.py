"""What a daemon's log tells of its providers, besides requests (`tests/daemon/test_request_log.py`)."""

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from rxlapce.simulator import Simulator

FILE = """
providers:
  ours: {{base_url: "http://127.0.0.1:{port}/v1"}}
health: {{unusable_every_s: 0.05}}
"""


async def told(log: asyncio.StreamReader, event: str) -> dict[str, Any]:
    """The next line of that event."""
    async for line in log:
        record: dict[str, Any] = json.loads(line)
        if record["event"] == event:
            return record
    raise EOFError(f"the daemon ended without {event}")


@pytest.mark.heavy
async def test_a_provider_that_is_not_well_is_told_with_the_cause_and_so_is_its_return(folder: Path) -> None:
    reserved = socket.socket()  # bound and not listening: who connects is refused
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    file = folder / "f.yaml"
    file.write_text(FILE.format(port=port))
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rxlapce", "serve", "--config", str(file), "--path", str(folder / "d.sock"),
        "--log-format", "json", stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert daemon.stderr is not None
        unwell = await told(daemon.stderr, "provider_unwell")
        assert (unwell["provider"], unwell["level"]) == ("ours", "warning")
        assert "cannot connect" in unwell["cause"]
        reserved.close()
        async with Simulator(port=port):
            well = await told(daemon.stderr, "provider_well_again")
        assert (well["provider"], well["level"]) == ("ours", "info")
    finally:
        reserved.close()
        daemon.terminate()
        await daemon.communicate()
    assert daemon.returncode == 0
