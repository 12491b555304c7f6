"""The ground that the other tests of this folder stand on: the server is real, streams, and ends with its parent."""

import asyncio
import hashlib
import json
import socket
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from rxlapce.cli.local_model import serve_model
from rxlapce.errors import ConfigError
from rxlapce.secret import Secret

pytestmark = pytest.mark.local_server


def question(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "stream": True, **more}


async def test_server_streams_events_up_to_the_terminator(model_server: str) -> None:
    body = question(max_tokens=16, ignore_eos=True, stream_options={"include_usage": True})
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{model_server}/chat/completions", json=body) as response,
    ):
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        lines = [line.decode().strip() async for line in response.content]
    events = [line.removeprefix("data: ") for line in lines if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert any(chunk["choices"] and chunk["choices"][0]["delta"].get("content") for chunk in chunks)
    assert chunks[-1]["usage"]["completion_tokens"] == 16


async def test_server_refuses_a_request_without_its_key(guarded_server: str, server_key: Secret) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{guarded_server}/chat/completions", json=question()) as refused:
            assert refused.status == 401
        bearer = {"Authorization": f"Bearer {server_key.reveal()}"}
        async with session.post(
            f"{guarded_server}/chat/completions", json=question(max_tokens=1), headers=bearer
        ) as answered:
            assert answered.status == 200
            await answered.read()


def test_tiny_model_is_the_same_file_each_time(tiny_model: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.gguf"
    subprocess.run([sys.executable, Path(__file__).with_name("tiny_gguf.py"), again], check=True, timeout=60)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(tiny_model.read_bytes()).digest()
    assert again.stat().st_size < 1 << 20


def test_server_is_gone_when_the_block_is_left(tiny_model: Path) -> None:
    with serve_model(tiny_model) as base_url:
        assert asyncio.run(answers(base_url))
    assert not asyncio.run(answers(base_url))


def test_server_ends_when_its_parent_is_killed(tiny_model: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from rxlapce.cli.local_model import serve_model
        with serve_model(Path(sys.argv[1])) as base_url:
            print(base_url, flush=True)
            sys.stdin.read()
    """)
    command = [sys.executable, "-c", program, str(tiny_model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        base_url: str = parent.stdout.readline().decode().strip()
        with socket.create_connection(("127.0.0.1", urlsplit(base_url).port or 0), timeout=10) as witness:
            parent.kill()
            with suppress(ConnectionResetError):
                assert witness.recv(1) == b"", "the kernel closes the connection with the process that held it"
    assert not asyncio.run(answers(base_url))


def test_file_that_is_no_model_is_told_with_the_servers_own_words(tiny_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    with pytest.raises(ConfigError, match=r"(?s)ended before it listened.*failed to load model"), serve_model(broken):
        pass


def test_missing_model_is_told_by_its_path(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model at .*absent\.gguf"), serve_model(tmp_path / "absent.gguf"):
        pass


async def answers(base_url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{base_url}/models") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False
