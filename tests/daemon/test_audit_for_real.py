"""The audit log of daemons that are killed, and of two that take turns: no row is lost, and the chain is one."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from rxlapce.bridge import Client, connect
from rxlapce.errors import ConnectionLost, ProviderError
from rxlapce.simulator import Simulator
from rxlapce.telemetry.audit_verify import files_of, verify
from rxlapce.testing.asking import ask
from rxlapce.testing.auditing import rows_in
from rxlapce.testing.daemons import daemon_process
from rxlapce.tokens import Finish

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_factories=["uvloop"])]


def config(audit: Path) -> str:
    return f"""
limits: {{default: {{requests: null}}}}
health: {{enabled: false}}
telemetry: {{audit: {{file: {audit}}}}}
"""


def requests_in(audit: Path) -> Counter[str]:
    """The outcomes of all rows; the log is as it was written."""
    files = files_of(audit)
    assert verify(files).problems == []
    return Counter(row["outcome"] for file in files for row in rows_in(file) if row["event"] == "request")


async def ask_until_it_ends(client: Client, finished: Callable[[], object]) -> None:
    """One stream after the other; `finished` is called as soon as a stream's last frame has been read."""
    while True:
        try:
            async for token in client.chat_stream(ask("tokens=3")):
                if isinstance(token, Finish):
                    finished()
        except (ProviderError, ConnectionLost):
            return


async def test_whoever_is_killed_has_written_down_each_answer_that_somebody_has(
    simulator: Simulator, path: Path, tmp_path: Path
) -> None:
    audit, answers, enough = tmp_path / "audit.jsonl", 0, asyncio.Event()

    def finished() -> None:
        nonlocal answers
        answers += 1
        if answers >= 200:
            enough.set()

    options = ("--base-url", f"{simulator.base_url}/v1")
    async with (
        daemon_process(path, *options, config=config(audit)) as daemon,
        await connect(path, transport="shm") as ring,
        await connect(path, transport="socket") as socket,
    ):
        asking = [asyncio.create_task(ask_until_it_ends(one, finished)) for one in (ring, socket) for _ in range(4)]
        async with asyncio.timeout(20):
            await enough.wait()
        await daemon.kill()
        await asyncio.gather(*asking)
    assert requests_in(audit)["completed"] >= answers >= 200


async def test_two_daemons_that_take_turns_write_one_chain(simulator: Simulator, path: Path, tmp_path: Path) -> None:
    audit, options = tmp_path / "audit.jsonl", ("--base-url", f"{simulator.base_url}/v1")
    async with daemon_process(path, *options, config=config(audit)) as first, await connect(path) as early:
        stream = aiter(early.chat_stream(ask("tokens=400,tps=1000")))
        await anext(stream)
        async with daemon_process(path, *options, "--replace", config=config(audit)) as second:
            async with await connect(path) as late:
                assert (await late.status()).pid == second.pid
                for _ in range(20):
                    await late.chat(ask("tokens=3"))
            tokens = [token async for token in stream]  # the first one drains
            assert isinstance(tokens[-1], Finish)
            assert await first.exit_code() == 0
            second.terminate()
            assert await second.exit_code() == 0
    assert requests_in(audit) == {"completed": 21}
