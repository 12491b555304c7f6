"""Two daemons, each a process of its own, that count one quota in one Redis."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from rxlapce.bridge import Client, connect
from rxlapce.cli.child import running_daemon
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Message
from rxlapce.testing.redis_server import RedisServer
from rxlapce.tokens import Finish, StreamToken

pytestmark = pytest.mark.heavy  # four daemons

MODEL = "simulator/sim:tps=0,tokens=3"
UNLIMITED = "simulator/sim:tps=0"
FILE = f"""
limits:
  models: {{"{MODEL}": {{requests: 6}}}}
  user: {{requests: 4}}
  wait_s: 0
  store: env:STORE
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "f.yaml"
    path.write_text(FILE)
    return str(path)


async def ask(client: Client, model: str = MODEL) -> StreamToken | ProviderError:
    """The last token of an answer, or why there was none."""
    request = ChatRequest(model=model, messages=(Message(role="user", content="hi"),))
    try:
        return [token async for token in client.chat_stream(request)][-1]
    except ProviderError as error:
        return error


async def test_two_daemons_answer_as_many_requests_in_all_as_the_quota_has(server: RedisServer, file: str) -> None:
    environ = {**os.environ, "STORE": server.address}
    options = ("--simulator", "--config", file)
    async with (
        running_daemon(*options, environ=environ) as first,
        running_daemon(*options, environ=environ) as second,
        await connect(first) as one,
        await connect(second) as other,
    ):
        ended = [await ask(client) for client in (one, other, one, other, one, other)]
        assert [type(end) for end in ended] == [Finish] * 6
        for client in (one, other):
            refused = await ask(client)
            assert isinstance(refused, ProviderError)
            assert (refused.kind, refused.phase) == (ErrorKind.RATE_LIMIT, Phase.ADMIT)
            assert "6 requests a minute" in refused.message
            assert refused.retry_after_s is not None
            assert 0 < refused.retry_after_s <= 120
        # A user's quota is each daemon's, and not in the store: each has let in 3 of the 4.
        for client in (one, other):
            assert isinstance(await ask(client, UNLIMITED), Finish)
            refused = await ask(client, UNLIMITED)
            assert isinstance(refused, ProviderError)
            assert "4 requests a minute of 'user uid" in refused.message
    keys = server.ask("keys", "*").splitlines()
    assert keys == [f"LIMITS:{{rxlapce/requests/{MODEL}/60}}"]


async def test_a_daemon_whose_store_dies_refuses_and_answers_again_when_it_is_back(
    locked: RedisServer, file: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    path = tmp_path / "d.sock"
    ready, ready_write = os.pipe()
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-m", "rxlapce", "serve", "--simulator", "--config", file, "--path",
            str(path), "--ready-fd", str(ready_write), "--log-format", "json", pass_fds=(ready_write,), stderr=errors,
            env={**os.environ, "STORE": locked.address},
        )  # fmt: skip
    os.close(ready_write)
    assert await asyncio.to_thread(os.read, ready, 16) == b"ready\n"
    os.close(ready)
    async with await connect(path) as client:
        assert isinstance(await ask(client), Finish)
        locked.kill()
        for _ in range(2):
            refused = await ask(client)
            assert isinstance(refused, ProviderError)
            assert (refused.kind, refused.phase) == (ErrorKind.INTERNAL, Phase.ADMIT)
            assert "the store of the rate limits failed (ConnectionError)" in refused.message
        locked.start()
        assert isinstance(await ask(client), Finish)
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    said = log.read_text()
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert [event for event in events if event.startswith("limits_")] == [
        "limits_are_shared",
        "limits_store_failed",
        "limits_store_answers",
    ]
    assert locked.password not in said
    assert "Traceback" not in said


async def test_a_daemon_starts_while_its_store_is_away(file: str, tmp_path: Path) -> None:
    environ = {**os.environ, "STORE": f"unix://{tmp_path}/nobody.sock"}
    async with running_daemon("--simulator", "--config", file, environ=environ) as path, await connect(path) as client:
        refused = await ask(client)
        assert isinstance(refused, ProviderError)
        assert refused.kind is ErrorKind.INTERNAL
        assert isinstance(await ask(client, UNLIMITED), Finish)
