"""The team's server as a process: who does not sign is refused, who does is counted, told and written down by name."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from rxlapce.bridge import connect
from rxlapce.errors import HandshakeRefused
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import ask
from rxlapce.testing.daemons import daemon_process
from rxlapce.testing.examples import environ
from rxlapce.tokens import Finish
from rxlapce.transports.key_file import SigningKey, add_key

pytestmark = pytest.mark.heavy


async def test_a_member_who_signs_is_answered_counted_and_written_down(
    example: Callable[[str], str], simulator: Simulator, tmp_path: Path
) -> None:
    keys, path, ada = tmp_path / "keys", tmp_path / "d.sock", SigningKey("ada", b"a" * 32)
    add_key(keys, ada)
    text = example("team-server").replace("/etc/rxlapce/keys", str(keys)).replace("/run/rxlapce/daemon.sock", str(path))
    text = text.replace("/var/lib/rxlapce", str(tmp_path)).replace("127.0.0.1:9464", f"unix:{tmp_path}/metrics")
    text = text.replace("gpt-4.1-mini", "gpt-4.1-mini:tokens=4").replace("drain_s: 30", "drain_s: 1")
    variables = {**os.environ, **environ(simulator.base_url)}
    async with daemon_process(path, environ=variables, config=text) as daemon:
        with pytest.raises(HandshakeRefused):
            await connect(path)
        async with await connect(path, key=ada) as client:
            request = ask("tokens=4", provider="openai")
            tokens = [token async for token in client.chat_stream(request)]
            assert isinstance(tokens[-1], Finish)
            connector = aiohttp.UnixConnector(str(tmp_path / "metrics"))
            async with aiohttp.ClientSession(connector=connector) as http, http.get("http://d/metrics") as response:
                told = await response.text()
        daemon.terminate()
        assert await daemon.exit_code() == 0
    assert 'user="ada"' in told
    rows = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(row["user"], row["outcome"]) for row in rows if row["event"] == "request"] == [("ada", "completed")]
