"""What the comparisons with the vendors' own clients share; skipped where these are not installed."""

import importlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from rxlapce.simulator import Options
from rxlapce.testing.dummies import AWS_KEYS, ENVIRONS
from rxlapce.testing.loopback import Loopback, loopback

#: What of the environment no client takes for a setting of its own.
KEPT = ("PATH", "LANG", "TMPDIR", "CI", "PYTEST_", "COVERAGE_", "COV_")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop a module here: to make a vendor's client takes longer than most tests."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


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


@pytest.fixture(scope="module", autouse=True)
def bare_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No key, proxy, profile or address of the machine's reaches a client."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if not name.startswith(KEPT):
                patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NO_PROXY", "*")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loop(bare_environment: None) -> AsyncIterator[Loopback]:
    """Its answers are short, unless a test asks for more: most tests are about the question."""
    async with loopback(seed=3, defaults=Options(tokens=6)) as running:
        yield running


@pytest.fixture(scope="session")
def google(vendor: Callable[[str], ModuleType]) -> Callable[..., Any]:
    """Makes Google's client of `gemini` or `vertex`, at a version of the API; without a URL at its own hosts."""

    def make(
        name: str, url: str | None, version: str, location: str = "us-east5", arguments: dict[str, Any] | None = None
    ) -> Any:
        options = {"api_version": version, "base_url": url, "client_args": arguments}
        genai, environ = vendor("google.genai"), ENVIRONS[name]
        if name == "gemini":
            return genai.Client(api_key=environ["GEMINI_API_KEY"], http_options=options)
        return genai.Client(
            vertexai=True,
            project=environ["VERTEX_PROJECT_ID"],
            location=location,
            credentials=vendor("google.oauth2.credentials").Credentials(environ["VERTEX_ACCESS_TOKEN"]),
            http_options=options,
        )

    return make


@pytest.fixture(scope="module")
def aws(vendor: Callable[[str], ModuleType]) -> Callable[..., Any]:
    """Makes AWS's client of a service, which never tries again."""
    session = vendor("botocore.session").Session()
    config = vendor("botocore.config").Config(retries={"total_max_attempts": 1})

    def make(service: str, url: str | None = None, region: str = "us-east-1") -> Any:
        return session.create_client(
            service,
            region_name=region,
            endpoint_url=url,
            config=config,
            aws_access_key_id=AWS_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=AWS_KEYS["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=AWS_KEYS["AWS_SESSION_TOKEN"],
        )

    return make
