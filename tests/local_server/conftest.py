"""A real llama.cpp server around a tiny model with random weights; skipped where its packages are not installed."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rxlapce.cli.local_model import serve_model
from rxlapce.secret import Secret

#: Context of each slot: room for a stream of a minute, so that one which ends early was ended.
CONTEXT_TOKENS = 32_768


@pytest.fixture(scope="session")
def server_packages() -> None:
    """What of the test group `server` a test needs to be installed."""
    for package in ("gguf", "xllamacpp"):
        if importlib.util.find_spec(package) is None:
            reason = f"the package {package} is not installed: run make test-local"
            # A run that must cover these tests may not pass by skipping them all.
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture(scope="session")
def tiny_model(server_packages: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    subprocess.run([sys.executable, Path(__file__).with_name("tiny_gguf.py"), path], check=True, timeout=60)
    return path


@pytest.fixture(scope="session")
def model_server(tiny_model: Path) -> Iterator[str]:
    """The base URL of a server that asks for no key."""
    with serve_model(tiny_model, slots=2, context_tokens=CONTEXT_TOKENS, threads=1) as base_url:
        yield base_url


@pytest.fixture(scope="session")
def server_key() -> Secret:
    return Secret("sk-local-0123456789abcdef")


@pytest.fixture(scope="session")
def guarded_server(tiny_model: Path, server_key: Secret) -> Iterator[str]:
    """The base URL of a server that asks for `server_key`."""
    with serve_model(tiny_model, slots=1, threads=1, api_key=server_key) as base_url:
        yield base_url
