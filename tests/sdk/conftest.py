"""What the comparisons with the vendors' own clients share; skipped where these are not installed."""

import importlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType

import pytest

from rxlapce.simulator import Options
from rxlapce.testing.loopback import Loopback, loopback

#: What of the environment no client takes for a setting of its own.
KEPT = ("PATH", "LANG", "TMPDIR", "CI", "PYTEST_", "COVERAGE_", "COV_")


@pytest.fixture(scope="session")
def vendor() -> Callable[[str], ModuleType]:
    """A module of the test group `sdk` by its name.

    Imported here and not by the tests' modules: these are collected, and type-checked, where the group is not
    installed.
    """

    def load(name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            reason = f"the package {error.name} is not installed: run make test-sdk"
            # A run that must cover these tests may not pass by skipping them all.
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)

    return load


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, proxy, profile or address of the machine's reaches a client."""
    for name in list(os.environ):
        if not name.startswith(KEPT):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
async def loop() -> AsyncIterator[Loopback]:
    """Its answers are short, unless a test asks for more: most tests are about the question."""
    async with loopback(seed=3, defaults=Options(tokens=6)) as running:
        yield running
