"""The client for Neovim: its own tests, and what a person does in it, against real daemons."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rxlapce.simulator import Outcome, Simulator
from rxlapce.testing.asking import truth
from rxlapce.testing.daemons import daemon_process

PLUGIN = Path(__file__).parents[2] / "clients" / "nvim"
NVIM = shutil.which("nvim")

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(NVIM is None, reason="nvim is not installed"),
]

Line = dict[str, Any]


class Editor:
    """A Neovim without a terminal that runs a script of the plugin's tests."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._said: list[str] = []

    async def line(self) -> Line:
        """The next thing that it tells."""
        assert self._process.stdout is not None
        while data := await self._process.stdout.readline():
            text = data.decode().strip()
            before, brace, rest = text.partition('{"')  # behind what Neovim itself says without ending its line
            if brace:
                told: Line = json.loads(brace + rest)
                return told
            self._said.append(before)
        raise AssertionError("\n".join(self._said))

    async def passed(self) -> str:
        """Its last line, once it has ended well."""
        assert self._process.stdout is not None
        self._said += (await self._process.stdout.read()).decode().splitlines()
        assert await self._process.wait() == 0, "\n".join(self._said)
        return self._said[-1]


@contextlib.asynccontextmanager
async def editor(script: str, **environ: str) -> AsyncGenerator[Editor]:
    assert NVIM is not None
    process = await asyncio.create_subprocess_exec(
        NVIM, "--headless", "--clean", "--cmd", f"set rtp^={PLUGIN}", "-S", str(PLUGIN / "tests" / f"{script}.lua"),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environ}, limit=1 << 22,
    )  # fmt: skip
    try:
        yield Editor(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(seed=5) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d.sock"


@pytest.fixture
async def daemon(simulator: Simulator, path: Path) -> AsyncIterator[Path]:
    async with daemon_process(path, "--base-url", f"{simulator.base_url}/v1") as running:
        yield running.path


def told_roles(request: bytes) -> list[str]:
    return [message["role"] for message in json.loads(request)["messages"]]


@pytest.mark.parametrize("script", ["unit", "vectors", "handshake"])
async def test_the_plugin_s_own_tests_pass(script: str) -> None:
    async with editor(script) as nvim:
        assert "0 failed" in await nvim.passed()


async def test_a_chat_streams_into_its_buffer_and_goes_on(daemon: Path, simulator: Simulator) -> None:
    async with editor("daemon", SCENARIO="chat", RXLAPCE_SOCKET=str(daemon), MODEL="local/sim:tps=0") as nvim:
        first, second = await nvim.line(), await nvim.line()
        await nvim.passed()
    said = [await truth(simulator, number) for number in (0, 1)]
    assert [first["answer"], second["answer"]] == [one.text for one in said]
    assert first["state"] == "connected"
    assert said[0].usage is not None
    assert f"{said[0].usage[1]} tokens" in first["notes"][0]
    assert [turn["role"] for turn in second["turns"]] == ["user", "assistant", "user", "assistant"]
    assert told_roles(simulator.requests[1].body) == ["user", "assistant", "user"]
    assert second["cursor"]


async def test_a_reader_who_has_scrolled_away_is_left_alone(daemon: Path) -> None:
    async with editor("daemon", SCENARIO="scrolled_away", RXLAPCE_SOCKET=str(daemon), MODEL="local/sim:tps=0") as nvim:
        assert await nvim.line() == {"cursor": 1}
        await nvim.passed()


async def test_thoughts_are_folded_and_not_sent_back(daemon: Path, simulator: Simulator) -> None:
    model = "local/sim:tps=0,reasoning=40"
    async with editor("daemon", SCENARIO="thoughts", RXLAPCE_SOCKET=str(daemon), MODEL=model) as nvim:
        told = await nvim.line()
        await nvim.passed()
    said = await truth(simulator)
    assert (told["thoughts"], told["answer"]) == (said.reasoning, said.text)
    assert told["quoted"] >= 1
    assert told["folded"]
    assert told["turns"][-1] == {"role": "assistant", "content": said.text.strip()}


async def test_cancel_reaches_the_provider_and_leaves_what_had_come(daemon: Path, simulator: Simulator) -> None:
    model = "local/sim:tokens=100000,tps=200"
    async with editor("daemon", SCENARIO="cancel", RXLAPCE_SOCKET=str(daemon), MODEL=model) as nvim:
        told = await nvim.line()
        await nvim.passed()
    assert told["shown"]
    assert told["notes"][0].startswith("cancelled after ")
    assert told["last"] == "## You"
    await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CLIENT_GONE])


async def test_an_error_is_one_line_that_says_what_to_do(daemon: Path) -> None:
    async with editor("daemon", SCENARIO="fails", RXLAPCE_SOCKET=str(daemon), MODEL="local/sim:status=401") as nvim:
        told = await nvim.line()
        await nvim.passed()
    (line,) = told["told"]
    assert "(auth); check the key" in line
    assert [turn["role"] for turn in told["turns"]] == ["user"]


async def test_a_model_is_picked_from_the_daemon_s_list(daemon: Path) -> None:
    async with editor("daemon", SCENARIO="models", RXLAPCE_SOCKET=str(daemon)) as nvim:
        told, completed = await nvim.line(), await nvim.line()
        await nvim.passed()
    assert told["model"] == told["offered"][0]
    assert told["model"].startswith("local/")
    assert told["answer"]
    assert told["model"] in completed["completed"]


async def test_a_buffer_that_is_wiped_out_cancels_its_stream(daemon: Path, simulator: Simulator) -> None:
    model = "local/sim:tokens=100000,tps=200"
    async with editor("daemon", SCENARIO="deleted", RXLAPCE_SOCKET=str(daemon), MODEL=model) as nvim:
        assert await nvim.line() == {"gone": True}
        await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CLIENT_GONE])
        assert await nvim.line() == {"running": 0}
        await nvim.passed()


async def test_two_chats_stream_at_once(daemon: Path, simulator: Simulator) -> None:
    async with editor("daemon", SCENARIO="two", RXLAPCE_SOCKET=str(daemon), MODEL="local/sim:tps=400") as nvim:
        told = await nvim.line()
        await nvim.passed()
    said = {
        json.loads(simulator.requests[n].body)["messages"][-1]["content"]: await truth(simulator, n) for n in (0, 1)
    }
    assert told == {word: said[word].text for word in ("left", "right")}


async def test_a_daemon_that_dies_is_told_and_its_successor_found(simulator: Simulator, path: Path) -> None:
    options = ("--base-url", f"{simulator.base_url}/v1")
    environ = {"RXLAPCE_SOCKET": str(path), "MODEL": "local/sim:tokens=100000,tps=200", "NEXT_MODEL": "local/sim:tps=0"}
    async with daemon_process(path, *options) as daemon, editor("daemon", SCENARIO="killed", **environ) as nvim:
        assert (await nvim.line())["shown"] > 0
        await daemon.kill()
        told = await nvim.line()
        assert told["state"] == "disconnected"
        assert "the daemon closed the connection (network); ask again when the daemon is there" in told["told"]
        async with daemon_process(path, *options):
            back = await nvim.line()
            assert back["states"][0] == "connecting"
            assert "disconnected" in back["states"]
            assert back["states"][-1] == "connected"
            assert (await nvim.line())["answer"] == (await truth(simulator)).text
            await nvim.passed()


async def test_a_signed_connection_streams_and_a_wrong_secret_is_refused(
    simulator: Simulator, path: Path, tmp_path: Path
) -> None:
    keys, others = tmp_path / "keys", tmp_path / "others"
    keys.write_text(f"laptop {'5e' * 32}\n")
    others.write_text(f"laptop {'6f' * 32}\n")
    for file in (keys, others):
        file.chmod(0o600)
    options = ("--base-url", f"{simulator.base_url}/v1", "--key-file", str(keys), "--require-signing")
    async with daemon_process(path, *options):
        environ = {"RXLAPCE_SOCKET": str(path), "MODEL": "local/sim:tps=0"}
        async with editor("daemon", SCENARIO="chat", RXLAPCE_KEY_FILE=str(keys), **environ) as nvim:
            assert (await nvim.line())["answer"] == (await truth(simulator)).text
            await nvim.line()
            await nvim.passed()
        for given, why in ((str(others), "it has another secret of that name"), ("", "serves signed connections only")):
            async with editor("daemon", SCENARIO="fails", RXLAPCE_KEY_FILE=given, **environ) as nvim:
                assert why in (await nvim.line())["told"][0]
                await nvim.passed()


async def test_status_and_health_say_how_the_daemon_is(daemon: Path) -> None:
    async with editor("daemon", SCENARIO="status", RXLAPCE_SOCKET=str(daemon)) as nvim:
        assert "0 requests under way" in (await nvim.line())["said"]
        assert f"answers at {daemon}" in (await nvim.line())["health"]
        await nvim.passed()


async def test_a_script_asks_without_a_buffer(daemon: Path, simulator: Simulator) -> None:
    async with editor("daemon", SCENARIO="api", RXLAPCE_SOCKET=str(daemon), MODEL="local/sim:tps=0") as nvim:
        told = await nvim.line()
        await nvim.passed()
    said = (await truth(simulator)).text
    assert told == {"pieces": said, "answer": said, "finish": "stop"}
