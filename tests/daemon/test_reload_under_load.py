"""A real daemon whose file changes, for better and worse, while streams run: no token is lost, and new ones obey."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rxlapce.bridge import Client, connect
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.requests import ChatRequest, Message
from rxlapce.testing.daemons import DaemonProcess, daemon_process
from rxlapce.tokens import Finish, StreamToken, Text

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(120), pytest.mark.asyncio(loop_factories=["asyncio"])]

SHORT, LONG = 7, 23
GOOD = """\
limits: {{default: {{requests: null}}}}
health: {{enabled: false}}
models:
  fast: {{ask: ["simulator/sim:steady=1,tps=0,tokens={tokens}"]}}
"""
BAD = (
    "models: {fast: {ask: [nobody/m]}}\n",
    "models: [\n",
    "limits: {default: {requests: -1}}\nretry: {max_attempts: no}\n",
    "",
    "pipelines: {default: {stages: [token_map, sse_decode], sinks: [editor]}}\n",
)
ROUNDS = 20
STREAMS = 50


class Running:
    """The daemon, its file, and what its log says."""

    def __init__(self, folder: Path, daemon: DaemonProcess) -> None:
        self.file = folder / "config.yaml"
        self.log = folder / "log"
        self.daemon = daemon

    def write(self, text: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.file)  # noqa: PTH105

    def lines(self, *events: str) -> list[dict[str, object]]:
        return [line for line in map(json.loads, self.log.read_text().splitlines()) if line["event"] in events]

    async def until(self, count: int) -> None:
        """Wait until the file has been read so often, for better or worse."""
        async with asyncio.timeout(20):
            while len(self.lines("config_reloaded", "config_refused")) < count:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(folder: Path) -> AsyncGenerator[Running]:
    file = folder / "config.yaml"
    file.write_text(GOOD.format(tokens=SHORT))
    options = ("--simulator", "--config", str(file), "--log-level", "info", "--log-file", str(folder / "log"))
    async with daemon_process(folder / "d.sock", *options) as daemon:
        yield Running(folder, daemon)


async def tokens_of(client: Client, model: str) -> tuple[list[StreamToken], float]:
    """The tokens, and the longest time in seconds between two of them."""
    tokens, longest_s, last_s = list[StreamToken](), 0.0, 0.0
    async for token in client.chat_stream(ChatRequest(model=model, messages=(Message(role="user", content="hi"),))):
        now_s = time.monotonic()
        longest_s, last_s = max(longest_s, now_s - last_s if last_s else 0.0), now_s
        tokens.append(token)
    return tokens, longest_s


def texts(tokens: list[StreamToken]) -> list[str]:
    return [token.text for token in tokens if isinstance(token, Text)]


async def test_reloads_under_load_lose_no_token_and_new_streams_take_what_holds(tmp_path: Path) -> None:
    long = f"simulator/sim:steady=1,tps=20,tokens={ROUNDS * 12}"
    async with running(tmp_path) as here, await connect(here.daemon.path) as client:
        whole, _ = await tokens_of(client, long.replace("tps=20", "tps=0"))
        under_way = [asyncio.ensure_future(tokens_of(client, long)) for _ in range(STREAMS)]
        held = SHORT
        for number in range(1, ROUNDS + 1):
            if number % 2:
                here.write(BAD[number // 2 % len(BAD)])
            else:
                held = LONG if held == SHORT else SHORT
                here.write(GOOD.format(tokens=held))
            if number % 5 == 0:
                here.daemon.process.send_signal(signal.SIGHUP)
            await here.until(number)
            fast, _ = await tokens_of(client, "fast")
            assert len(texts(fast)) == held, number
        results = await asyncio.gather(*under_way)
        report = await client.status()
    for tokens, _ in results:
        assert texts(tokens) == texts(whole)
        assert isinstance(tokens[-1], Finish)
    refused, reloaded = here.lines("config_refused"), here.lines("config_reloaded")
    assert len(refused) >= ROUNDS // 2
    assert {line["changed"] for line in reloaded} >= {"models"}
    problems = [str(line["problem"]) for line in here.lines("config_problem")]
    assert any("limits.default.requests" in problem for problem in problems)
    assert report.config is not None
    assert (report.config.file, report.config.error) == (str(here.file), None)
    print(f"longest gap of {STREAMS} streams: {max(longest_s for _, longest_s in results) * 1000:.0f} ms")


async def test_sighup_reads_the_file_and_reopens_the_log(tmp_path: Path) -> None:
    async with running(tmp_path) as here, await connect(here.daemon.path) as client:
        here.log.rename(tmp_path / "log.old")
        here.daemon.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while not here.log.exists() or not here.lines("config_reloaded"):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        here.write("serve: {ring_kib: 3}\n")
        async with asyncio.timeout(10):
            while (await client.status()).config.error is None:  # type: ignore[union-attr]  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)
        report = await client.status()
        assert report.config is not None
        assert f"{here.file}:1:19: serve.ring_kib: expected" in str(report.config.error)
        here.write(GOOD.format(tokens=LONG) + "serve: {ring_kib: 64}\n")
        async with asyncio.timeout(10):
            while not here.lines("config_needs_restart"):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)
        assert here.lines("config_needs_restart")[0]["settings"] == "serve.ring_kib"


async def test_a_pipe_is_read_once_and_not_looked_at_again(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writing = asyncio.ensure_future(asyncio.to_thread(pipe.write_text, GOOD.format(tokens=SHORT)))
    options = ("--simulator", "--config", str(pipe))  # a second reader would wait for a second writer
    async with daemon_process(tmp_path / "d.sock", *options) as daemon, await connect(daemon.path) as client:
        await writing
        fast, _ = await tokens_of(client, "fast")
        assert len(texts(fast)) == SHORT
        assert (await client.status()).config is None


REDACTING = """\
pipelines:
  default: {stages: [rate_limit_gate, {redact: {patterns: ["[Ss]imulated"], replacement: "(gone)"}}], sinks: [editor]}
"""


async def test_running_streams_keep_their_pipeline_and_what_was_counted_stays_counted(tmp_path: Path) -> None:
    limited = GOOD.format(tokens=LONG).replace(
        "limits: {", "limits: {wait_s: 0, models: {simulator/few: {requests: 3}}, "
    )
    slow = "simulator/sim:steady=1,tps=20,tokens=60"
    async with running(tmp_path) as here, await connect(here.daemon.path) as client:
        here.write(limited)
        await here.until(1)
        whole, _ = await tokens_of(client, slow.replace("tps=20", "tps=0"))
        assert "simulated" in "".join(texts(whole))
        await tokens_of(client, "simulator/few")
        under_way = asyncio.ensure_future(tokens_of(client, slow))
        await tokens_of(client, "simulator/few")  # by now the other one is being answered
        here.write(limited + REDACTING)
        await here.until(2)
        assert not under_way.done()
        redacted, _ = await tokens_of(client, slow.replace("tps=20", "tps=0"))
        assert "".join(texts(redacted)) == "".join(texts(whole)).replace("simulated", "(gone)")
        await tokens_of(client, "simulator/few")
        with pytest.raises(ProviderError) as caught:
            await tokens_of(client, "simulator/few")
        assert caught.value.kind is ErrorKind.RATE_LIMIT
        assert texts((await under_way)[0]) == texts(whole)
