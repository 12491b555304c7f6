"""Azure OpenAI's requests as they come to a server, by both kinds of URLs and with each way to prove who asks."""

from collections.abc import AsyncIterator, Mapping

import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.errors import ConfigError, ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers.discovery import check_health, list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.secret import Secret
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard
from rxlapce.testing.recorder import Recorder, Reply
from rxlapce.tokens import Finish

KEY = "azure-test-0123456789abcdef"
DATED = {"AZURE_OPENAI_API_VERSION": "2024-10-21"}


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(api_key=Secret(KEY)) as running:
        yield running


def provider(endpoint: str, more: Mapping[str, str] | None = None, *, key: str = KEY) -> Provider:
    environ = {"AZURE_OPENAI_API_KEY": key, "AZURE_OPENAI_ENDPOINT": endpoint, **(more or {})}
    return load_provider_configs_from_env(environ)["azure"]


V1 = {
    "chat_completions": "/openai/v1/chat/completions",
    "responses": "/openai/v1/responses",
    "completions": "/openai/v1/completions",
}
BY_DEPLOYMENT = {
    "chat_completions": "/openai/deployments/sim/chat/completions?api-version=2024-10-21",
    "responses": "/openai/responses?api-version=2024-10-21",
    "completions": "/openai/deployments/sim/completions?api-version=2024-10-21",
}


@pytest.mark.parametrize("api", list(V1))
@pytest.mark.parametrize(("version", "targets"), [({}, V1), (DATED, BY_DEPLOYMENT)])
async def test_each_api_answers_at_its_path_streamed_and_whole(
    client: HttpClient, simulator: Simulator, api: str, version: Mapping[str, str], targets: Mapping[str, str]
) -> None:
    azure = provider(simulator.base_url, version)
    got = Collected(chat_stream(client, azure, ask(api=api), "sim", Exchange()))
    assert await got.end() is None
    assert heard(got.items).text
    assert isinstance(got.items[-1], Finish)
    whole = await chat(client, azure, ask(api=api), "sim", Exchange())
    assert heard(whole).text
    for request in simulator.requests:
        assert (request.method, request.target) == ("POST", targets[api])
        assert request.headers["api-key"] == KEY
        assert "authorization" not in request.headers
        assert request.json()["model"] == "sim"
    assert [request.json().get("stream") for request in simulator.requests] == [True, None]


def test_the_default_api_chats() -> None:
    assert next(iter(provider("https://r.openai.azure.com").apis)) == "chat_completions"


@pytest.mark.parametrize(
    ("version", "query"), [("v1", ""), ("latest", ""), ("preview", "?api-version=preview"), (" ", "")]
)
def test_a_version_without_a_date_is_the_v1_api(version: str, query: str) -> None:
    azure = provider("https://r.openai.azure.com", {"AZURE_OPENAI_API_VERSION": version})
    call = azure.call(azure.apis["chat_completions"], ask(), "my-gpt", stream=True)
    assert call.url == f"https://r.openai.azure.com/openai/v1/chat/completions{query}"


@pytest.mark.parametrize(
    ("environ", "version"),
    [
        ({"OPENAI_API_VERSION": "2025-01-01-preview"}, "2025-01-01-preview"),
        ({"OPENAI_API_VERSION": "2023-05-15", "AZURE_OPENAI_API_VERSION": "2024-10-21"}, "2024-10-21"),
    ],
)
def test_the_version_is_read_under_either_name_and_ours_wins(environ: Mapping[str, str], version: str) -> None:
    azure = provider("https://r.openai.azure.com", environ)
    call = azure.call(azure.apis["chat_completions"], ask(), "a b/c", stream=True)
    assert call.url.endswith(f"/openai/deployments/a%20b%2Fc/chat/completions?api-version={version}")


@pytest.mark.parametrize("version", ["2024", "2024-10-21&x=y", "2024-10-21-PREVIEW", "v2"])
def test_an_unknown_version_is_refused_by_its_variables_name(version: str) -> None:
    with pytest.raises(ConfigError, match="AZURE_OPENAI_API_VERSION: expected v1, preview or a date"):
        provider("https://r.openai.azure.com", {"AZURE_OPENAI_API_VERSION": version})


@pytest.mark.parametrize(
    ("endpoint", "base_url"),
    [
        ("https://openai-1.openai.azure.com", "https://openai-1.openai.azure.com"),
        ("https://r.openai.azure.com/", "https://r.openai.azure.com"),
        ("https://r.services.ai.azure.com/openai/v1/", "https://r.services.ai.azure.com"),
        ("https://r.openai.azure.com/openai", "https://r.openai.azure.com"),
        ("https://r.openai.azure.com/OpenAI/v1", "https://r.openai.azure.com"),
        ("https://r.openai.azure.com/openai/deployments/d/chat/completions", "https://r.openai.azure.com"),
        ("https://gw.example/team/openai-proxy/", "https://gw.example/team/openai-proxy"),
    ],
)
def test_an_endpoint_is_taken_as_the_portal_shows_it(endpoint: str, base_url: str) -> None:
    assert provider(endpoint).base_url == base_url


def test_a_key_without_an_endpoint_is_refused_by_the_variables_name() -> None:
    with pytest.raises(ConfigError, match="azure needs AZURE_OPENAI_ENDPOINT"):
        load_provider_configs_from_env({"AZURE_OPENAI_API_KEY": KEY})


def test_the_deployment_of_the_environment_is_the_default_model() -> None:
    named = provider("https://r.openai.azure.com", {"AZURE_OPENAI_DEPLOYMENT_NAME": "my-gpt"})
    assert named.default_model == "my-gpt"
    assert provider("https://r.openai.azure.com").default_model is None


@pytest.mark.parametrize(
    ("version", "target"), [({}, "/openai/v1/models"), (DATED, "/openai/models?api-version=2024-10-21")]
)
async def test_models_and_health_are_asked_of_the_list(
    client: HttpClient, simulator: Simulator, version: Mapping[str, str], target: str
) -> None:
    async with Recorder(lambda asked: Reply(json={"data": [{"id": "m-1"}]})) as server:
        azure = provider(server.url, version)
        assert await list_models(client, azure) == ["m-1"]
        await check_health(client, azure)
    assert [(asked.method, asked.target) for asked in server.asked] == [("GET", target)] * 2
    assert all(asked.headers["api-key"] == KEY for asked in server.asked)
    assert "sim" in await list_models(client, provider(simulator.base_url, version))


async def test_a_token_of_the_environment_wins_over_the_key(client: HttpClient) -> None:
    async with Recorder(lambda asked: Reply(json={"data": []})) as server:
        await check_health(client, provider(server.url, {"AZURE_OPENAI_AD_TOKEN": "given-token"}))
    (asked,) = server.asked
    assert asked.headers["authorization"] == "Bearer given-token"
    assert "api-key" not in asked.headers


async def test_a_key_that_is_refused_is_told_without_it(client: HttpClient, simulator: Simulator) -> None:
    wrong = provider(simulator.base_url, key="azure-wrong-key-000000")
    ended = await Collected(chat_stream(client, wrong, ask(), "sim", Exchange())).end()
    assert isinstance(ended, ProviderError)
    assert (ended.kind, ended.status, ended.provider) == (ErrorKind.AUTH, 401, "azure")
    assert "azure-wrong-key" not in f"{ended} {ended.raw} {wrong!r}"
