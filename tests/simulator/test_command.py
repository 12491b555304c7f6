"""`rxlapce simulate` as a process."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
from click.testing import CliRunner

from rxlapce.cli.simulate import simulate

RUN = "from rxlapce.cli.simulate import simulate; simulate()"


@asynccontextmanager
async def running(*arguments: str, key: str = "") -> AsyncGenerator[tuple[Process, str]]:
    """The process and its first line."""
    environment = {**os.environ, "SIMULATED_KEY": key}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", RUN, *arguments, stdout=PIPE, stderr=PIPE, env=environment
    )
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.heavy
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_logs_each_request_and_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    async with running("--json", "--tps", "0", "--ttft", "0", "--seed", "3") as (process, line):
        announced = msgspec.json.decode(line)
        assert announced["models"]["sim:fault=hang"] == "never answers"
        body = {"model": "sim:tokens=5", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        async with (
            aiohttp.ClientSession(announced["url"]) as client,
            client.post("/v1/chat/completions", json=body) as response,
        ):
            assert (await response.read()).endswith(b"data: [DONE]\n\n")
        assert process.stderr is not None
        report = await process.stderr.readline()
        assert report.startswith(b"POST /v1/chat/completions sim:tokens=5 200 completed 5 tokens ")
        process.send_signal(number)
        _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[" * 200_000, b"POST /v1/chat/completions - 400 refused"),
        (b'{"model":"\xff"}', b"POST /v1/chat/completions - 400 refused"),
        (b'{"model":"a\\u001b[31m\\nb"}', b"POST /v1/chat/completions a[31m b "),
    ],
    ids=["deep", "no UTF-8", "controls"],
)
async def test_a_hostile_body_is_one_line_of_the_report(body: bytes, said: bytes) -> None:
    async with running("--json", "--tps", "0", "--ttft", "0") as (process, line):
        async with (
            aiohttp.ClientSession(msgspec.json.decode(line)["url"]) as client,
            client.post("/v1/chat/completions", data=body) as response,
        ):
            assert response.status < 500
            await response.read()
        assert process.stderr is not None
        report = await process.stderr.readline()
        assert report.startswith(said)
        assert b"\x1b" not in report


@pytest.mark.heavy
async def test_it_demands_the_key_of_the_environment_and_never_prints_it() -> None:
    async with running("--api-key-env", "SIMULATED_KEY", key="sk-of-the-environment") as (process, line):
        assert line.startswith("Simulated provider on http://127.0.0.1:")
        url = line.split()[3]
        async with aiohttp.ClientSession() as client:
            assert (await client.get(f"{url}/v1/models")).status == 401
            headers = {"authorization": "Bearer sk-of-the-environment"}
            assert (await client.get(f"{url}/v1/models", headers=headers)).status == 200
        process.send_signal(signal.SIGINT)
        output, errors = await process.communicate()
        assert b"sk-of-the-environment" not in output + errors


def test_a_key_variable_that_is_not_set_is_an_error_that_names_it() -> None:
    result = CliRunner().invoke(simulate, ["--api-key-env", "NO_SUCH_VARIABLE"])
    assert result.exit_code == 1
    assert "the environment variable NO_SUCH_VARIABLE is not set" in result.output


@pytest.mark.heavy
async def test_a_port_in_use_is_an_error_and_no_traceback() -> None:
    async with running("--json") as (_, line):
        port = msgspec.json.decode(line)["url"].rpartition(":")[2]
        async with running("--port", port) as (second, nothing):
            assert nothing == ""
            _, errors = await second.communicate()
            assert second.returncode == 1
            assert b"Error: cannot listen: Address already in use" in errors


def test_help_tells_every_fault() -> None:
    output = CliRunner().invoke(simulate, ["--help"]).output
    assert "closes the connection after `after` tokens" in output
    assert "X-Simulate" in output
