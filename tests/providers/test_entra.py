"""Azure OpenAI without a key: tokens of Entra ID by azure-identity, from a managed identity on the loopback."""

import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import rxlapce.providers
from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange
from rxlapce.providers.discovery import check_health
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.testing.asking import Collected, ask
from rxlapce.testing.recorder import Asked, Recorder, Reply

TOKEN = "opaque-entra-token-0123456789"
EXPIRES_ON = str(int(time.time()) + 86400)
HEADER = "identity-header-0123456789"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """azure-identity sees none of this machine's variables and logins."""
    names = ("CLIENT_ID", "CLIENT_SECRET", "TENANT_ID", "USERNAME", "PASSWORD", "FEDERATED_TOKEN_FILE")
    for name in (*(f"AZURE_{name}" for name in names), "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "environmentcredential")


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


def managed(monkeypatch: pytest.MonkeyPatch, server: Recorder) -> None:
    """This process runs on an App Service with `server` as the endpoint of its identity."""
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "managedidentitycredential")
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", HEADER)


def azure(base_url: str, **more: str) -> Provider:
    return load_provider_configs_from_env({"AZURE_OPENAI_ENDPOINT": base_url, **more})["azure"]


def reply(asked: Asked) -> Reply:
    if asked.target.startswith("/msi/"):
        return Reply(json={"access_token": TOKEN, "expires_on": EXPIRES_ON, "resource": "r", "token_type": "Bearer"})
    return Reply(json={"data": []})


async def test_without_a_key_a_token_of_the_machine_is_fetched_once_and_sent(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Recorder(reply) as server:
        managed(monkeypatch, server)
        provider = azure(server.url)
        await check_health(client, provider)
        await check_health(client, provider)
    asked, *requests = server.asked
    assert asked.target == "/msi/token?api-version=2019-08-01&resource=https://cognitiveservices.azure.com"
    assert asked.headers["x-identity-header"] == HEADER
    assert [request.target for request in requests] == ["/openai/v1/models"] * 2
    assert all(request.headers["authorization"] == f"Bearer {TOKEN}" for request in requests)
    assert all("api-key" not in request.headers for request in requests)
    assert TOKEN not in repr(provider)
    assert [secret.reveal() for secret in provider.auth.secrets] == [TOKEN]


async def test_the_scope_is_a_setting(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Recorder(reply) as server:
        managed(monkeypatch, server)
        await check_health(client, azure(server.url, AZURE_OPENAI_SCOPE="https://ai.azure.com/.default"))
    assert server.asked[0].target.endswith("&resource=https://ai.azure.com")


async def test_a_token_that_a_server_echoes_is_masked(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(asked: Asked) -> Reply:
        if asked.target.startswith("/msi/"):
            return reply(asked)
        return Reply(json={"error": {"message": f"bad {asked.headers['authorization']}", "code": "401"}}, status=401)

    async with Recorder(refuse) as server:
        managed(monkeypatch, server)
        with pytest.raises(ProviderError) as caught:
            await chat(client, azure(server.url), ask(), "m", Exchange())
    assert caught.value.kind is ErrorKind.AUTH
    assert "bad Bearer [redacted]" in caught.value.message
    assert TOKEN not in f"{caught.value} {caught.value.raw} {caught.value.args}"


async def test_nobody_signed_in_is_one_auth_error_that_says_what_to_do(client: HttpClient) -> None:
    async with Recorder(reply) as server:
        provider = azure(server.url)
        ended = await Collected(chat_stream(client, provider, ask(), "m", Exchange())).end()
        with pytest.raises(ProviderError) as caught:
            await chat(client, provider, ask(), "m", Exchange())
        assert server.asked == []
    assert isinstance(ended, ProviderError)
    for error in (ended, caught.value):
        assert (error.kind, error.retry) == (ErrorKind.AUTH, Retry.OTHER_PROVIDER)
        assert (error.phase, error.provider) == (Phase.ADMIT, "azure")
        assert "az login" in error.message
        assert "EnvironmentCredential" in error.message


async def test_without_azure_identity_the_error_names_the_extra(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "rxlapce.providers.entra", raising=False)
    monkeypatch.delattr(rxlapce.providers, "entra", raising=False)
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(ProviderError) as caught:
        await chat(client, azure("http://127.0.0.1:9"), ask(), "m", Exchange())
    assert (caught.value.kind, caught.value.retry) == (ErrorKind.AUTH, Retry.OTHER_PROVIDER)
    assert caught.value.provider == "azure"
    assert "pip install 'rxlapce[azure]'" in caught.value.message
