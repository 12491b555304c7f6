"""Vertex AI's requests as they come to a server: Gemini and Claude, by a token that was given and by an API key."""

import doctest
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.errors import ConfigError, ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers import vertex
from rxlapce.providers.discovery import check_health, count_tokens, list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard
from rxlapce.testing.recorder import Asked, Recorder, Reply
from rxlapce.tokens import Finish

TOKEN = "given-token-0123456789"
KEY = "express-test-0123456789abcdef"
ROOT = "/v1/projects/p-1/locations/us-east5"


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as running:
        yield running


def built(**environ: str) -> Provider:
    return load_provider_configs_from_env(environ)["vertex"]


def provider(base_url: str) -> Provider:
    return built(
        VERTEX_PROJECT_ID="p-1", VERTEX_LOCATION="us-east5", VERTEX_ACCESS_TOKEN=TOKEN, VERTEX_BASE_URL=base_url
    )


def express(base_url: str) -> Provider:
    return built(VERTEX_API_KEY=KEY, VERTEX_BASE_URL=base_url)


GEMINI = f"{ROOT}/publishers/google/models/sim"
CLAUDE = f"{ROOT}/publishers/anthropic/models/claude-sim"


@pytest.mark.parametrize(
    ("model", "api", "streamed", "whole"),
    [
        ("sim", None, f"{GEMINI}:streamGenerateContent?alt=sse", f"{GEMINI}:generateContent"),
        ("sim", "generate_content_array", f"{GEMINI}:streamGenerateContent", f"{GEMINI}:generateContent"),
        ("claude-sim", None, f"{CLAUDE}:streamRawPredict", f"{CLAUDE}:rawPredict"),
        ("claude-sim", "messages", f"{CLAUDE}:streamRawPredict", f"{CLAUDE}:rawPredict"),
    ],
)
async def test_each_model_answers_at_its_publishers_path(
    client: HttpClient, simulator: Simulator, model: str, api: str | None, streamed: str, whole: str
) -> None:
    asked = provider(simulator.base_url)
    got = Collected(chat_stream(client, asked, ask(api=api), model, Exchange()))
    assert await got.end() is None
    assert heard(got.items).text
    assert isinstance(got.items[-1], Finish)
    assert heard(await chat(client, asked, ask(api=api), model, Exchange())).text
    assert [request.target for request in simulator.requests] == [streamed, whole]
    for request in simulator.requests:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert "model" not in request.json()
        assert request.json().get("anthropic_version") == ("vertex-2023-10-16" if "claude" in model else None)


async def test_express_mode_sends_its_key_in_a_header_and_names_no_project(client: HttpClient) -> None:
    chunk = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}
    async with Recorder(lambda asked: Reply(json=chunk)) as server:
        assert heard(await chat(client, express(server.url), ask(), "m-1", Exchange())).text == "Hi"
    (asked,) = server.asked
    assert asked.target == "/v1/publishers/google/models/m-1:generateContent"
    assert asked.headers["x-goog-api-key"] == KEY
    assert "authorization" not in asked.headers
    assert KEY not in repr(express(server.url))


def test_express_mode_has_no_claude() -> None:
    asked = express("http://h")
    with pytest.raises(ProviderError, match="vertex has no API 'messages'") as caught:
        asked.api(ask(), "claude-sim")
    assert caught.value.kind is ErrorKind.BAD_REQUEST


def test_express_mode_is_at_the_global_address() -> None:
    assert built(VERTEX_API_KEY=KEY).base_url == "https://aiplatform.googleapis.com"


@pytest.mark.parametrize("name", ["VERTEX_PROJECT_ID", "VERTEX_LOCATION"])
def test_express_mode_with_a_project_or_a_location_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="VERTEX_API_KEY is for express mode"):
        built(**{"VERTEX_API_KEY": KEY, name: "us-1"})


def test_express_mode_is_not_disturbed_by_googles_own_variables() -> None:
    asked = built(VERTEX_API_KEY=KEY, GOOGLE_CLOUD_PROJECT="p", GOOGLE_CLOUD_LOCATION="us-1")
    assert asked.apis["generate_content"].path == "/v1/{model}:generateContent"


@pytest.mark.parametrize(
    ("environ", "base_url", "location"),
    [
        ({}, "https://aiplatform.googleapis.com", "global"),
        ({"VERTEX_LOCATION": "us-central1"}, "https://us-central1-aiplatform.googleapis.com", "us-central1"),
        ({"VERTEX_LOCATION": "eu"}, "https://aiplatform.eu.rep.googleapis.com", "eu"),
        ({"VERTEX_LOCATION": "us"}, "https://aiplatform.us.rep.googleapis.com", "us"),
        ({"GOOGLE_CLOUD_LOCATION": "us-east5"}, "https://us-east5-aiplatform.googleapis.com", "us-east5"),
        (
            {"GOOGLE_CLOUD_LOCATION": "us-east5", "VERTEX_LOCATION": "eu"},
            "https://aiplatform.eu.rep.googleapis.com",
            "eu",
        ),
    ],
)
def test_the_host_follows_from_the_location(environ: dict[str, str], base_url: str, location: str) -> None:
    asked = built(VERTEX_PROJECT_ID="p-1", **environ)
    call = asked.call(asked.apis["generate_content"], ask(), "m", stream=False)
    assert call.url == f"{base_url}/v1/projects/p-1/locations/{location}/publishers/google/models/m:generateContent"


@pytest.mark.parametrize("location", ["evil.example/x", "us-east5.evil.example#", "US", "-a", "a" * 64, "user@host"])
def test_a_location_that_would_send_the_token_elsewhere_is_refused(location: str) -> None:
    with pytest.raises(ConfigError, match="VERTEX_LOCATION: expected a location"):
        built(VERTEX_PROJECT_ID="p", VERTEX_LOCATION=location)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-pro", "publishers/google/models/gemini-2.5-pro"),
        ("claude-opus-4@20250514", "publishers/anthropic/models/claude-opus-4@20250514"),
        ("publishers/google/models/gemini-2.5-pro", "publishers/google/models/gemini-2.5-pro"),
        ("publishers/anthropic/models/claude-opus-4@1", "publishers/anthropic/models/claude-opus-4@1"),
        ("endpoints/1234567890", "endpoints/1234567890"),
        ("endpoints/../../x", "publishers/google/models/endpoints%2F..%2F..%2Fx"),
        ("publishers/../models/x", "publishers/google/models/publishers%2F..%2Fmodels%2Fx"),
        ("a?b#c", "publishers/google/models/a%3Fb%23c"),
    ],
)
def test_a_model_is_a_resource_below_the_location_and_never_more(model: str, path: str) -> None:
    asked = provider("http://h")
    call = asked.call(asked.api(ask(), model), ask(), model, stream=False)
    assert call.url.rpartition(":")[0] == f"http://h{ROOT}/{path}"


async def test_gemini_and_claude_are_counted_each_at_its_path(client: HttpClient, simulator: Simulator) -> None:
    async with Recorder(lambda asked: Reply(json={"totalTokens": 5, "input_tokens": 6})) as server:
        assert await count_tokens(client, provider(server.url), ask(), "m-1") == 5
        assert await count_tokens(client, provider(server.url), ask(), "claude-1") == 6
    gemini, claude = server.asked
    assert gemini.target == f"{ROOT}/publishers/google/models/m-1:countTokens"
    assert list(gemini.json()) == ["contents"]
    assert claude.target == f"{ROOT}/publishers/anthropic/models/count-tokens:rawPredict"
    assert claude.json()["model"] == "claude-1"
    for model in ("sim", "claude-sim"):
        assert await count_tokens(client, provider(simulator.base_url), ask(), model) > 0


async def test_models_and_health_are_asked_of_the_publishers_list(client: HttpClient, simulator: Simulator) -> None:
    def reply(asked: Asked) -> Reply:
        return Reply(json={"publisherModels": [{"name": "publishers/google/models/m-1"}]})

    async with Recorder(reply) as server:
        assert await list_models(client, provider(server.url)) == ["m-1"]
        await check_health(client, provider(server.url))
    assert [(asked.method, asked.target) for asked in server.asked] == [
        ("GET", "/v1beta1/publishers/google/models")
    ] * 2
    assert all(asked.headers["authorization"] == f"Bearer {TOKEN}" for asked in server.asked)
    assert "sim" in await list_models(client, provider(simulator.base_url))


# -- the project ----------------------------------------------------------------------------------------------------


def test_the_project_comes_from_ours_then_googles_variable_then_the_credentials_file(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps({"type": "service_account", "project_id": "of-file"}))
    environ = {"VERTEX_LOCATION": "eu", "GOOGLE_APPLICATION_CREDENTIALS": str(file)}
    for more, project in (
        ({}, "of-file"),
        ({"GOOGLE_CLOUD_PROJECT": "of-google"}, "of-google"),
        ({"GOOGLE_CLOUD_PROJECT": "of-google", "VERTEX_PROJECT_ID": "of-ours"}, "of-ours"),
        ({"VERTEX_PROJECT_ID": "example.com:p"}, "example.com%3Ap"),
    ):
        path = built(**environ, **more).apis["generate_content"].path
        assert path == f"/v1/projects/{project}/locations/eu/{{model}}:generateContent"


def test_a_named_project_leaves_the_credentials_file_unread_until_a_request(tmp_path: Path) -> None:
    asked = built(VERTEX_PROJECT_ID="p", GOOGLE_APPLICATION_CREDENTIALS=str(tmp_path / "none.json"))
    assert asked.origin == "environment: VERTEX_PROJECT_ID, GOOGLE_APPLICATION_CREDENTIALS"


@pytest.mark.parametrize("content", ['{"type": "authorized_user"}', '{"project_id": 7}', "[]"])
def test_no_project_anywhere_is_an_error_that_names_the_variables(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key.json"
    file.write_text(content)
    for environ in ({}, {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}):
        with pytest.raises(ConfigError) as caught:
            built(VERTEX_LOCATION="eu", **environ)
        for name in ("VERTEX_PROJECT_ID", "GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS"):
            assert name in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot read .*none.json: No such file"),
        ("secret, no JSON", "is no JSON file"),
        ("[" * 100_000, "is no JSON file"),
    ],
)
def test_a_credentials_file_that_is_none_is_told_without_its_content(
    tmp_path: Path, content: str | None, told: str
) -> None:
    file = tmp_path / "none.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=f"GOOGLE_APPLICATION_CREDENTIALS: .*{told}") as caught:
        built(VERTEX_LOCATION="eu", GOOGLE_APPLICATION_CREDENTIALS=str(file))
    assert "secret" not in str(caught.value)


def test_googles_own_variables_alone_ask_for_no_provider() -> None:
    environ = {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_APPLICATION_CREDENTIALS": "/key.json"}
    assert "vertex" not in load_provider_configs_from_env(environ)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(vertex).failed == 0
