"""What docs/bridge.md shows, works."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest

from rxlapce.bridge.messages import ProviderChatStream, decode_outbound
from rxlapce.testing.daemons import daemon_process

DOCUMENT = (Path(__file__).parents[2] / "docs" / "bridge.md").read_text()


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


def test_its_example_is_a_message() -> None:
    (line,) = snippets("json")
    message = decode_outbound(line)
    assert isinstance(message, ProviderChatStream)
    assert message.request.max_tokens == 100
    assert json.loads(line)["params"]["request"]["maxTokens"] == 100


@pytest.mark.heavy
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_its_program_prints_an_answer_and_the_connection_s_states(path: Path) -> None:
    (program,) = snippets("python")
    async with daemon_process(path, "--simulator"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", program.replace("simulator/sim", "simulator/sim:tps=0")),
            env={**os.environ, "RXLAPCE_SOCKET": str(path)},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    assert process.returncode == 0
    said = out.decode()
    assert said.startswith("[connecting] \n[connected] \n")
    assert said.endswith("[disconnected] closed by this side\n")
    assert len(said) > 500
